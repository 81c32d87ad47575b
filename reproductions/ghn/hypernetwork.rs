//! From the states of the vertices to the weights of the network (paper, section 3.4).

use super::GhnSettings;
use super::graph::{Graph, Kind};
use super::propagation::{Prepared, Propagation};
use crate::error::{Result, usage};
use crate::network::{CellNetwork, ghn_network};
use crate::nn::{Init, Linear, Network, ParamId, Table, Weights};
use crate::seed::Rng;
use crate::space::{Cell, GhnOp, InputShape, NetSize};
use std::collections::HashMap;
use tch::{Device, Kind as Number, Tensor, no_grad};

/// A linear layer from the hidden features to one tensor of a kind.
struct Branch {
    kind: Kind,
    /// Name of the tensor within its vertex.
    tensor: &'static str,
    /// Shape for the first width; other widths are tiled from it.
    shape: Vec<i64>,
    weight: ParamId,
    bias: ParamId,
}

/// The declared hypernetwork.
pub struct Hypernetwork {
    /// What it declares.
    pub table: Table,
    /// The graph network below it.
    pub propagation: Propagation,
    hidden: Linear,
    branches: Vec<Branch>,
    input: InputShape,
    size: NetSize,
}

/// Name and shape of a tensor, and its starting spread.
type Declared = (&'static str, Vec<i64>, f64);

/// The tensors of a vertex for width `f`; √(2 / fan-in) where a norm follows, else √(1 / fan-in).
fn tensors(kind: Kind, f: i64, input: InputShape) -> Vec<Declared> {
    let conv = |name, shape: [i64; 4]| (name, shape.to_vec(), (2.0 / (shape[1] * shape[2] * shape[3]) as f64).sqrt());
    let separable = |k| vec![conv("conv0.weight", [f, 1, k, k]), conv("conv1.weight", [f, f, 1, 1])];
    match kind {
        Kind::Input | Kind::Node(GhnOp::Conv1) => vec![conv("conv0.weight", [f, f, 1, 1])],
        Kind::Node(GhnOp::SepConv3 | GhnOp::DilConv3) => separable(3),
        Kind::Node(GhnOp::SepConv5) => separable(5),
        Kind::Node(GhnOp::Conv1x7) => vec![conv("conv0.weight", [f, f, 1, 7]), conv("conv1.weight", [f, f, 7, 1])],
        Kind::Stem => vec![conv("conv0.weight", [f, input.channels, 3, 3])],
        Kind::Head => {
            let features = 4 * f;
            vec![("weight", vec![input.classes, features], (1.0 / features as f64).sqrt()), ("bias", vec![input.classes], 0.0)]
        }
        Kind::Node(_) | Kind::Output => Vec::new(),
    }
}

impl Hypernetwork {
    /// For networks of `size` on such images.
    pub fn declare(settings: &GhnSettings, input: InputShape, size: NetSize) -> Self {
        let mut t = Table::default();
        let propagation = Propagation::declare(&mut t, settings);
        let hidden = Linear::declare(&mut t, "hidden", settings.embedding, settings.hidden);
        let mut branches = Vec::new();
        for kind in Kind::all() {
            for (tensor, shape, spread) in tensors(kind, size.channels, input) {
                let numbers = shape.iter().product();
                let name = match kind {
                    Kind::Node(op) => op.name().to_string(),
                    other => format!("{other:?}").to_lowercase(),
                };
                let (weight, bias) = t.scope(format!("branch.{name}.{}", tensor.replace('.', "_")), |t| {
                    let weight = t.param("weight", &[numbers, settings.hidden], Init::Normal(spread));
                    (weight, t.param("bias", &[numbers], Init::Constant(0.0)))
                });
                branches.push(Branch { kind, tensor, shape, weight, bias });
            }
        }
        Self { table: t, propagation, hidden, branches, input, size }
    }

    /// Fresh weights. The branches are scaled so that what they give for `example` starts with its spread.
    pub fn weights(&self, rng: &mut Rng, example: &Cell<GhnOp>, device: Device, number: Number) -> Weights {
        let w = Weights::init(&self.table, rng, device, number);
        no_grad(|| {
            let square = self.features(&w, &self.states(&w, example)).square().sum_dim_intlist(1, false, None::<Number>);
            let scale = 1.0 / square.mean(Number::Double).double_value(&[]).sqrt();
            for branch in &self.branches {
                let _ = w[branch.weight].shallow_clone().g_mul_scalar_(scale);
            }
        });
        w
    }

    /// The network of a block without its weights.
    pub fn network(&self, cell: &Cell<GhnOp>) -> Result<CellNetwork> {
        ghn_network(cell, self.input, self.size, false)
    }

    /// States of all vertices after the last pass, [V, D]: stem, block after block, head.
    pub fn states(&self, w: &Weights, cell: &Cell<GhnOp>) -> Tensor {
        let prepare = |graph: Graph| self.propagation.prepare(&graph, w.flat().device(), w.flat().kind());
        let [stem, block, head] = [Graph::single(Kind::Stem), Graph::of_block(cell), Graph::single(Kind::Head)].map(prepare);
        let chain: Vec<&Prepared> = [&stem].into_iter().chain(std::iter::repeat_n(&block, self.size.cells)).chain([&head]).collect();
        Tensor::cat(&self.propagation.run(w, &chain), 0)
    }

    /// Hidden features of all vertices, [V, hidden].
    fn features(&self, w: &Weights, states: &Tensor) -> Tensor {
        self.hidden.forward(w, states).relu()
    }

    /// The weights of the network of `cell`, a function of the hypernetwork's.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] naming a weight of the network that no branch gives.
    pub fn predict(&self, w: &Weights, cell: &Cell<GhnOp>, network: &CellNetwork) -> Result<Weights> {
        self.decode(w, cell, &self.states(w, cell), network)
    }

    /// The same from the states of its vertices.
    ///
    /// # Errors
    /// As [`Hypernetwork::predict`].
    pub fn decode(&self, w: &Weights, cell: &Cell<GhnOp>, states: &Tensor, network: &CellNetwork) -> Result<Weights> {
        let features = self.features(w, states);
        let kinds = Graph::of_block(cell).kinds;
        let vertices: Vec<(String, Kind)> = [("stem".to_string(), Kind::Stem)]
            .into_iter()
            .chain((0..self.size.cells).flat_map(|b| kinds.iter().enumerate().map(move |(v, kind)| (vertex_name(b, v), *kind))))
            .chain([("head".to_string(), Kind::Head)])
            .collect();
        // Name of a weight → its numbers in the branch's own shape.
        let mut given = HashMap::new();
        for branch in &self.branches {
            let mine: Vec<usize> = (0..vertices.len()).filter(|v| vertices[*v].1 == branch.kind).collect();
            if mine.is_empty() {
                continue;
            }
            let rows = Tensor::from_slice(&mine.iter().map(|v| *v as i64).collect::<Vec<_>>()).to_device(features.device());
            let numbers = features.index_select(0, &rows).linear(&w[branch.weight], Some(&w[branch.bias]));
            for (row, v) in mine.iter().enumerate() {
                given.insert(format!("{}.{}", vertices[*v].0, branch.tensor), numbers.select(0, row as i64).view(branch.shape.as_slice()));
            }
        }
        let table = network.table();
        let params = table.names().zip(table.shapes()).map(|(name, shape)| fitted(&given, name, shape)).collect::<Result<_>>()?;
        Ok(Weights::given(table, params))
    }
}

/// Name of a vertex as the network's parameters have it.
fn vertex_name(block: usize, vertex: usize) -> String {
    if vertex < 2 { format!("block{block}.in{vertex}") } else { format!("block{block}.node{vertex}") }
}

/// The weight `name` of the network, tiled and cut to `shape`.
fn fitted(given: &HashMap<String, Tensor>, name: &str, shape: &[i64]) -> Result<Tensor> {
    // The convolutions that both inputs of a node share are declared with its first.
    let key = name.replace(".first.", ".");
    if let Some(base) = given.get(&key) {
        return Ok(tiled(base, shape));
    }
    // A factorised reduction has two convolutions: the upper and the lower rows of what an input has.
    let whole = given.get(&key.replace(".conv1.", ".conv0.")).filter(|_| key.contains(".in"));
    let whole = whole.ok_or_else(|| usage!("the hypernetwork does not predict the weight '{name}'"))?;
    let rows = [&[2 * shape[0]], &shape[1..]].concat();
    Ok(tiled(whole, &rows).narrow(0, shape[0], shape[0]).contiguous())
}

/// `base` repeated over both channel dimensions as often as needed, and cut to `shape`.
pub fn tiled(base: &Tensor, shape: &[i64]) -> Tensor {
    let from = base.size();
    let repeats: Vec<i64> = shape.iter().zip(&from).map(|(s, f)| (s + f - 1) / f).collect();
    let whole = if repeats.iter().any(|r| *r > 1) { base.repeat(&repeats) } else { base.shallow_clone() };
    shape.iter().enumerate().fold(whole, |t, (d, s)| if t.size()[d] == *s { t } else { t.narrow(d as i64, 0, *s) }).contiguous()
}
