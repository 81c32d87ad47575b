//! What a network does when it scores, for any number of images.

use crate::error::{Result, resource};
use crate::lab::Built;
use crate::nn::Pass;
use crate::shim::{Argument, Traced, TracedNode, TracedValue, trace};
use std::collections::HashSet;
use tch::{Device, Kind, Tensor, no_grad};

/// Numbers of images of the two traces that are compared.
const BATCHES: [i64; 2] = [2, 3];

/// The operations that lead from `images` and the weights, each by its name, to the logits. The first size of a map is the number of images of a
/// trace and says nothing.
///
/// # Errors
/// [`crate::Error::Resource`] if libtorch cannot record the network, or if what it does depends on the number of images.
pub fn record(built: &Built, images: &str) -> Result<Traced> {
    let [a, b] = BATCHES.map(|n| record_batch(built, images, n));
    let a = a?;
    check_same(&a, &b?)?;
    Ok(without_unused(a))
}

fn record_batch(built: &Built, images: &str, n: i64) -> Result<Traced> {
    let (table, weights, input) = (built.network.table(), &built.weights, built.input);
    let x = Tensor::zeros([n, input.channels, input.height, input.width], (Kind::Float, Device::Cpu));
    let mut inputs = vec![(images, &x)];
    inputs.extend(table.names().zip(weights.params()));
    inputs.extend(table.stat_names().zip(weights.stats()));
    let score = || built.network.forward(weights, &x, &mut Pass::evaluation()).logits;
    no_grad(|| trace(&inputs, score)).map_err(|e| resource!("libtorch cannot record the network: {e}"))
}

/// Refuses two traces that differ in more than the number of images.
fn check_same(a: &Traced, b: &Traced) -> Result<()> {
    let map = |v: &TracedValue| v.shape.as_ref().map(|s| s[1.min(s.len())..].to_vec());
    let same_value = |(a, b): (&TracedValue, &TracedValue)| a.name == b.name && map(a) == map(b);
    let same =
        |(a, b): (&TracedNode, &TracedNode)| a.op == b.op && a.inputs == b.inputs && a.outputs.iter().zip(&b.outputs).all(same_value);
    let differing = a.nodes.iter().zip(&b.nodes).find(|pair| !same(*pair)).map(|(a, _)| a.op.as_str());
    match differing.or((a.nodes.len() != b.nodes.len() || a.output != b.output).then_some("one of its operations")) {
        Some(op) => Err(resource!(
            "this network cannot be exported: {op} depends on the number of images, for which there is no translation in this version of naslab"
        )),
        None => Ok(()),
    }
}

/// Without operations that the result does not need.
fn without_unused(mut traced: Traced) -> Traced {
    let mut needed = HashSet::from([traced.output.clone()]);
    let mut kept = Vec::new();
    for node in traced.nodes.into_iter().rev() {
        if node.outputs.iter().any(|o| needed.contains(&o.name)) {
            node.inputs.iter().for_each(|argument| collect(argument, &mut needed));
            kept.push(node);
        }
    }
    kept.reverse();
    traced.nodes = kept;
    traced
}

/// The values that an argument names.
fn collect(argument: &Argument, into: &mut HashSet<String>) {
    match argument {
        Argument::Value(name) => drop(into.insert(name.clone())),
        Argument::List(list) => list.iter().for_each(|a| collect(a, into)),
        _ => (),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(op: &str, from: &str, to: &str, n: i64, sizes: &[i64]) -> TracedNode {
        let ints = sizes.iter().map(|s| Argument::Int(*s)).collect();
        let shape = Some(vec![n, 4]);
        let inputs = vec![Argument::Value(from.into()), Argument::List(ints)];
        TracedNode { op: op.into(), inputs, outputs: vec![TracedValue { name: to.into(), shape }] }
    }

    fn traced(n: i64, sizes: &[i64]) -> Traced {
        let nodes =
            vec![node("aten::a", "images", "x", n, sizes), node("aten::b", "images", "y", n, &[]), node("aten::c", "x", "z", n, &[])];
        Traced { nodes, output: "z".into() }
    }

    #[test]
    fn what_is_not_needed_is_left_out() {
        let traced = traced(2, &[2, 8]);
        assert_eq!(without_unused(traced).nodes.iter().map(|n| n.op.as_str()).collect::<Vec<_>>(), ["aten::a", "aten::c"]);
    }

    #[test]
    fn what_depends_on_the_number_of_images_is_refused_with_the_operation() {
        check_same(&traced(2, &[2, 8]), &traced(3, &[2, 8])).unwrap();
        let error = check_same(&traced(2, &[2, 8]), &traced(3, &[3, 8])).unwrap_err();
        assert!(error.to_string().contains("aten::a") && error.exit_code() == 5, "{error}");
        let mut shorter = traced(3, &[]);
        shorter.nodes.pop();
        assert!(check_same(&traced(2, &[]), &shorter).is_err());
    }
}
