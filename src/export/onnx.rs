//! The ONNX model of a network.

use super::convert::Converter;
use super::graph::record;
use super::proto::{Dimension, Entry, FLOAT, Graph, Model, OperatorSet, Shape, Tensor, TensorKind, ValueInfo, ValueKind};
use crate::error::{Error, Result, resource};
use crate::lab::{Built, blobs};
use crate::record::Blob;
use prost::Message;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Version of the operators.
pub const OPSET: i64 = 17;
/// Version of the file's form that belongs to [`OPSET`].
const IR: i64 = 8;
/// Name of the input: normalised images, [batch, channels, height, width].
pub const IMAGES: &str = "images";
/// Name of the output: [batch, classes], or [batch, classes, height, width] where every pixel is classified.
pub const LOGITS: &str = "logits";
/// A protocol buffer may not be longer.
const LONGEST: usize = i32::MAX as usize;

/// The network that scores, for any number of images of this size, with its weights under their own names. `facts` stand in the file's metadata.
///
/// # Errors
/// [`Error::Resource`] for a network with an operation that has no translation, or with too many weights for one file.
pub fn onnx(built: &Built, facts: &Value) -> Result<Vec<u8>> {
    let traced = record(built, IMAGES)?;
    let images = vec![built.input.channels, built.input.height, built.input.width];
    let weights = blobs(built.network.table(), &built.weights)?;
    let mut shapes: HashMap<String, Vec<i64>> = weights.iter().map(|w| (w.name.clone(), sizes(w))).collect();
    shapes.insert(IMAGES.into(), [&[1], &images[..]].concat());
    let mut converter = Converter { nodes: Vec::new(), constants: Vec::new(), shapes };
    traced.nodes.iter().try_for_each(|node| converter.convert(node))?;
    let logits = converter.shapes.get(&traced.output).map(|s| s[1..].to_vec());
    let logits = logits.ok_or_else(|| Error::Resource("this network cannot be exported: it gives its input back".into()))?;
    let Converter { mut nodes, constants, .. } = converter;
    for name in nodes.iter_mut().flat_map(|n| n.input.iter_mut().chain(&mut n.output)).filter(|name| **name == traced.output) {
        *name = LOGITS.into();
    }
    let used: HashSet<String> = nodes.iter().flat_map(|n| n.input.iter().cloned()).collect();
    let tensor = |w: Blob| Tensor { dims: sizes(&w), data_type: FLOAT, name: w.name, raw_data: w.bytes };
    let weights = weights.into_iter().filter(|w| used.contains(&w.name)).map(tensor);
    let graph = Graph {
        name: "network".into(),
        initializer: weights.chain(constants).collect(),
        input: vec![value(IMAGES, &images, "normalised images")],
        output: vec![value(LOGITS, &logits, "unnormalised scores of the classes")],
        node: nodes,
    };
    encode(graph, facts)
}

/// `facts` are an object; a text among them stays as it is, everything else is JSON.
fn encode(graph: Graph, facts: &Value) -> Result<Vec<u8>> {
    let text = |fact: &Value| fact.as_str().map_or_else(|| fact.to_string(), String::from);
    let model = Model {
        ir_version: IR,
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
        producer_name: "naslab".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        metadata_props: facts.as_object().into_iter().flatten().map(|(key, fact)| Entry { key: key.clone(), value: text(fact) }).collect(),
    };
    let length = model.encoded_len();
    if length > LONGEST {
        return Err(resource!(
            "the network takes {length} bytes, an ONNX file holds {LONGEST} at the most; export its weights only, with --format weights"
        ));
    }
    Ok(model.encode_to_vec())
}

fn sizes(blob: &Blob) -> Vec<i64> {
    blob.shape.iter().map(|side| *side as i64).collect()
}

fn value(name: &str, map: &[i64], doc: &str) -> ValueInfo {
    let batch = Dimension { size: None, free: Some("batch".into()) };
    let dim = std::iter::once(batch).chain(map.iter().map(|side| Dimension { size: Some(*side), free: None })).collect();
    let tensor = TensorKind { elem_type: FLOAT, shape: Some(Shape { dim }) };
    ValueInfo { name: name.into(), value: Some(ValueKind { tensor: Some(tensor) }), doc_string: doc.into() }
}
