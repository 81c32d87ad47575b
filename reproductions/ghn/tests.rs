//! What the specification demands of the hypernetwork.

use super::graph::{Graph, Kind};
use super::hypernetwork::{Hypernetwork, tiled};
use super::propagation::{Schedule, Start};
use super::search::one_of_the_best;
use super::{Ghn, GhnSettings};
use crate::network::ghn_network;
use crate::nn::{Network, Pass, Table, Weights, cross_entropy};
use crate::seed::Streams;
use crate::space::{Cell, GhnOp, InputShape, NetSize, ghn};
use crate::train::{Adam, clip};
use tch::{Device, Kind as Number, Tensor, no_grad};

const INPUT: InputShape = InputShape { channels: 1, height: 8, width: 8, classes: 10 };
const SIZE: NetSize = NetSize { channels: 4, cells: 3, auxiliary: false };

fn settings() -> GhnSettings {
    let start = Start::OneHot;
    GhnSettings { embedding: 32, start, passes: 2, hidden: 64, schedule: Schedule::ForwardBackward, pass_embeddings: true }
}

fn block(nodes: usize, i: u64) -> Cell<GhnOp> {
    ghn::sample(nodes, &mut Streams::new(1).rng("sample", i))
}

fn hyper(s: &GhnSettings) -> (Hypernetwork, Weights) {
    let hyper = Hypernetwork::declare(s, INPUT, SIZE);
    let w = hyper.weights(&mut Streams::new(0).rng("init", 0), &block(4, 0), Device::Cpu, Number::Double);
    (hyper, w)
}

fn predict(hyper: &Hypernetwork, w: &Weights, cell: &Cell<GhnOp>) -> Vec<(String, Tensor)> {
    let network = hyper.network(cell).unwrap();
    let given = no_grad(|| hyper.predict(w, cell, &network).unwrap());
    network.table().names().map(String::from).zip(given.params().iter().map(Tensor::shallow_clone)).collect()
}

fn images(n: i64) -> Tensor {
    let values: Vec<f64> = (0..n * 64).map(|i| ((i * 37 % 101) as f64 / 50.0) - 1.0).collect();
    Tensor::from_slice(&values).view([n, 1, 8, 8])
}

/// The schedule as the paper writes it, vertex by vertex in the order of `topological`.
fn plain(w: &Weights, table: &Table, graph: &Graph, topological: &[usize], passes: u64) -> (Tensor, u64) {
    let named = |name: &str| &w.params()[table.names().position(|n| n == name).unwrap_or_else(|| panic!("{name}"))];
    let message = |h: &Tensor| {
        let inner = h.linear(named("message.0.weight"), Some(named("message.0.bias"))).relu();
        inner.linear(named("message.1.weight"), Some(named("message.1.bias")))
    };
    let gate = |x: &Tensor, h: &Tensor| {
        let a = x.linear(named("update.input.weight"), Some(named("update.input.bias"))).chunk(3, 1);
        let b = h.linear(named("update.hidden.weight"), Some(named("update.hidden.bias"))).chunk(3, 1);
        let (r, z) = ((&a[0] + &b[0]).sigmoid(), (&a[1] + &b[1]).sigmoid());
        let n = (&a[2] + r * &b[2]).tanh();
        (1.0 - &z) * n + z * h
    };
    let succs = graph.succs();
    let learned = table.names().any(|n| n == "embedding");
    let start = |k: &Kind| if learned { named("embedding").narrow(0, k.index() as i64, 1) } else { one_hot(*k) };
    let mut h: Vec<Tensor> = graph.kinds.iter().map(start).collect();
    let mut updates = 0;
    let mut update = |h: &mut Vec<Tensor>, v: usize, from: &[usize]| {
        let sum = from.iter().fold(h[v].zeros_like(), |sum, u| sum + message(&h[*u]));
        h[v] = gate(&sum, &h[v]);
        updates += 1;
    };
    for _ in 0..passes {
        topological.iter().for_each(|v| update(&mut h, *v, &graph.preds[*v]));
        topological.iter().rev().skip(1).for_each(|v| update(&mut h, *v, &succs[*v]));
    }
    (Tensor::cat(&h, 0), updates)
}

/// 1 at the place of the kind, zeros up to the width of a state. [1, 32]
fn one_hot(kind: Kind) -> Tensor {
    let mut row = [0.0; 32];
    row[kind.index()] = 1.0;
    Tensor::from_slice(&row).view([1, 32])
}

fn far(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

/// A random topological order.
fn order(graph: &Graph, seed: u64) -> Vec<usize> {
    use rand::RngExt;
    let mut rng = Streams::new(seed).rng("order", 0);
    let mut order: Vec<usize> = Vec::new();
    while order.len() < graph.vertices() {
        let ready: Vec<usize> =
            (0..graph.vertices()).filter(|v| !order.contains(v) && graph.preds[*v].iter().all(|u| order.contains(u))).collect();
        order.push(ready[rng.random_range(0..ready.len())]);
    }
    order
}

#[test]
fn it_has_the_derived_number_of_weights() {
    let input = InputShape { channels: 3, height: 32, width: 32, classes: 10 };
    let hyper = Hypernetwork::declare(&settings(), input, NetSize { channels: 32, cells: 18, auxiliary: false });
    let count = |prefix: &str| hyper.table.count_if(|n| n.starts_with(prefix));
    // A one-hot start has no weights; a learned one has twelve rows of 32.
    assert_eq!([count("update."), count("message."), count("embedding"), count("hidden.")], [6_336, 2_112, 0, 2_112]);
    let learned = Hypernetwork::declare(
        &GhnSettings { start: Start::Embedding, ..settings() },
        input,
        NetSize { channels: 32, cells: 18, auxiliary: false },
    );
    assert_eq!(learned.table.count() - hyper.table.count(), 384);
    let branches = ["conv_1x1", "input", "sep_conv_3x3", "dil_conv_3x3", "sep_conv_5x5", "conv_1x7_7x1", "stem", "head"];
    let of = |name: &str| count(&format!("branch.{name}."));
    assert_eq!(branches.map(of), [66_560, 66_560, 85_280, 85_280, 118_560, 931_840, 56_160, 83_850]);
    assert_eq!(["identity", "max_pool_3x3", "avg_pool_3x3", "output"].map(of), [0; 4]);
}

#[test]
fn sweeps_of_levels_are_the_papers_schedule_in_any_topological_order() {
    for (i, start) in (0..40).map(|i| (i, if i % 2 == 0 { Start::OneHot } else { Start::Embedding })) {
        let (hyper, w) = hyper_with(|s| s.start = start);
        let graph = Graph::of_block(&block(7, i));
        let ready = hyper.propagation.prepare(&graph, Device::Cpu, Number::Double);
        let states = &no_grad(|| hyper.propagation.run(&w, &[&ready]))[0];
        assert_eq!(ready.updates(), 2 * graph.vertices() as i64 - 1);
        for seed in 0..3 {
            let order = order(&graph, seed);
            let (expected, updates) = no_grad(|| plain(&w, &hyper.table, &graph, &order, 2));
            assert_eq!(updates, 2 * (2 * graph.vertices() as u64 - 1));
            assert!(far(states, &expected) < 1e-12);
        }
    }
    let (hyper, w) = hyper(&settings());
    let single = Graph::single(Kind::Stem);
    assert_eq!(hyper.propagation.prepare(&single, Device::Cpu, Number::Double).updates(), 1);
    // With two sinks the order matters: which of them is not updated twice?
    let two = Graph { kinds: vec![Kind::Input, Kind::Output, Kind::Output], preds: vec![vec![], vec![0], vec![0]] };
    let of = |order: &[usize]| no_grad(|| plain(&w, &hyper.table, &two, order, 2).0);
    assert!(far(&of(&[0, 1, 2]), &of(&[0, 2, 1])) > 1e-3);
    let synchronous = hyper_with(|s| s.schedule = Schedule::Synchronous).0;
    let graph = Graph::of_block(&block(7, 0));
    assert_eq!(synchronous.propagation.prepare(&graph, Device::Cpu, Number::Double).updates(), graph.vertices() as i64);
}

fn hyper_with(change: impl Fn(&mut GhnSettings)) -> (Hypernetwork, Weights) {
    let mut s = settings();
    change(&mut s);
    hyper(&s)
}

#[test]
fn renaming_the_nodes_renames_the_weights() {
    let (hyper, w) = hyper(&settings());
    for i in 0..20 {
        let cell = block(6, i);
        let graph = Graph::of_block(&cell);
        let nodes: Vec<usize> = order(&graph, i).into_iter().filter(|v| (2..8).contains(v)).collect();
        let new_name = |state: usize| if state < 2 { state } else { 2 + nodes.iter().position(|n| *n == state).unwrap() };
        let renamed: Vec<(GhnOp, [usize; 2])> =
            nodes.iter().map(|v| (cell.nodes[v - 2][0].op, cell.nodes[v - 2].map(|e| new_name(e.from)))).collect();
        let other = ghn::block(&renamed);
        let (before, after) = (predict(&hyper, &w, &cell), predict(&hyper, &w, &other));
        assert_eq!(before.len(), after.len());
        for (name, tensor) in &before {
            let mut parts: Vec<String> = name.split('.').map(String::from).collect();
            if let Some(state) = parts.get(1).and_then(|p| p.strip_prefix("node")) {
                parts[1] = format!("node{}", new_name(state.parse().unwrap()));
            }
            let renamed = &after.iter().find(|(n, _)| *n == parts.join(".")).unwrap_or_else(|| panic!("{name}")).1;
            assert!(far(tensor, renamed) < 1e-9, "{name}");
        }
    }
}

#[test]
fn a_thousand_random_blocks_get_weights_of_the_right_shapes() {
    let hyper = Hypernetwork::declare(&GhnSettings { passes: 1, ..settings() }, INPUT, NetSize { channels: 2, ..SIZE });
    let w = hyper.weights(&mut Streams::new(0).rng("init", 0), &block(4, 0), Device::Cpu, Number::Float);
    for i in 0..1000 {
        let cell = block(1 + i as usize % 28, i);
        let network = hyper.network(&cell).unwrap();
        // `Weights::given` refuses any other number or shape.
        let given = no_grad(|| hyper.predict(&w, &cell, &network).unwrap());
        let numbers: i64 = given.params().iter().map(|p| p.numel() as i64).sum();
        assert_eq!(numbers as u64, network.table().count());
    }
}

#[test]
fn a_weight_without_a_branch_is_an_error_with_its_name() {
    let (hyper, w) = hyper(&settings());
    let cell = block(3, 0);
    let affine = ghn_network(&cell, INPUT, SIZE, true).unwrap();
    let text = hyper.predict(&w, &cell, &affine).unwrap_err().to_string();
    assert!(text.contains("stem.norm.weight"), "{text}");
}

#[test]
fn equal_nodes_get_equal_weights_and_a_change_reaches_later_blocks_only() {
    let (hyper, w) = hyper(&settings());
    let twins = ghn::block(&[(GhnOp::SepConv3, [0, 1]), (GhnOp::SepConv3, [0, 1]), (GhnOp::Conv1, [2, 3])]);
    let weights = predict(&hyper, &w, &twins);
    let get = |weights: &[(String, Tensor)], name: &str| weights.iter().find(|(n, _)| n == name).unwrap().1.shallow_clone();
    let name = |block: usize, node: usize| format!("block{block}.node{node}.first.conv0.weight");
    assert!(far(&get(&weights, &name(0, 2)), &get(&weights, &name(0, 3))) < 1e-12);
    // Blocks are equal, but what they are sent is not.
    assert!(far(&get(&weights, &name(0, 4)).narrow(0, 0, 4), &get(&weights, &name(1, 4)).narrow(0, 0, 4).narrow(1, 0, 4)) > 1e-6);
    let changed = ghn::block(&[(GhnOp::SepConv3, [0, 1]), (GhnOp::SepConv3, [0, 1]), (GhnOp::Conv1x7, [2, 3])]);
    let other = predict(&hyper, &w, &changed);
    let stem = |weights| get(weights, "stem.conv0.weight");
    assert!(far(&stem(&weights), &stem(&other)) == 0.0, "nothing comes back to an earlier module");
    for at in [name(0, 2), "block0.in0.conv0.weight".into(), name(2, 2), "head.weight".into()] {
        assert!(far(&get(&weights, &at), &get(&other, &at)) > 1e-9, "{at}");
    }
    let (alone, w) = hyper_with(|s| s.pass_embeddings = false);
    let weights = predict(&alone, &w, &twins);
    let tile = |block| get(&weights, &name(block, 4)).narrow(0, 0, 4).narrow(1, 0, 4);
    assert!(far(&tile(0), &tile(1)) < 1e-12 && far(&tile(0), &tile(2)) < 1e-12);
}

#[test]
fn a_start_is_one_hot_in_the_order_of_the_kinds() {
    // Without a pass over the graph a state would be its start; of one pass with all weights at zero it is half of it: z = 1/2, n = 0.
    let (hyper, w) = hyper_with(|s| s.passes = 1);
    let _ = no_grad(|| w.flat().shallow_clone().zero_());
    let graph = Graph::single(Kind::Head);
    let ready = hyper.propagation.prepare(&graph, Device::Cpu, Number::Double);
    let states = &no_grad(|| hyper.propagation.run(&w, &[&ready]))[0];
    assert!(states.equal(&(one_hot(Kind::Head) * 0.5)));
    assert_eq!(Kind::Head.index(), 11, "all twelve kinds have a place");
    let narrow = crate::lab::resolve(&super::CARD, "smoke", &["search.network.embedding=11".into()]).unwrap();
    let message = |settings| crate::lab::Method::prepare(&super::GhnMethod, settings).err().map(|e| e.to_string());
    assert_eq!(message(&narrow.settings).unwrap(), "search.network.embedding = 11: must be at least 12");
    let learned =
        crate::lab::resolve(&super::CARD, "smoke", &["search.network.embedding=11".into(), "search.network.start=\"embedding\"".into()]);
    assert_eq!(message(&learned.unwrap().settings), None);
}

#[test]
fn gradients_reach_what_was_used_and_nothing_else() {
    let (hyper, w) = hyper_with(|s| s.start = Start::Embedding);
    let cell = ghn::block(&[(GhnOp::SepConv3, [0, 1]), (GhnOp::MaxPool3, [0, 2]), (GhnOp::Conv1, [2, 3])]);
    let network = hyper.network(&cell).unwrap();
    let given = hyper.predict(&w, &cell, &network).unwrap();
    let labels = Tensor::from_slice(&[1i64, 2, 3, 4]);
    let loss = cross_entropy(&network.forward(&given, &images(4), &mut Pass::by_batch()).logits, &labels);
    let grads = Tensor::run_backward(&[loss], w.params(), false, false);
    let size = |g: &Tensor| if g.defined() { g.abs().sum(Number::Double).double_value(&[]) } else { 0.0 };
    for (name, grad) in hyper.table.names().zip(&grads) {
        let unused = ["sep_conv_5x5", "dil_conv_3x3", "conv_1x7_7x1"].iter().any(|op| name.contains(op));
        assert_eq!(size(grad) == 0.0, unused, "{name}: {}", size(grad));
        if name == "embedding" {
            for kind in Kind::all() {
                let used = cell.nodes.iter().any(|n| kind == Kind::Node(n[0].op)) || !matches!(kind, Kind::Node(_));
                assert_eq!(size(&grad.select(0, kind.index() as i64)) > 0.0, used, "{kind:?}");
            }
        }
    }
}

#[test]
fn gradients_agree_with_central_differences() {
    let s = GhnSettings { embedding: 6, start: Start::Embedding, hidden: 5, ..settings() };
    let hyper = Hypernetwork::declare(&s, INPUT, NetSize { channels: 2, ..SIZE });
    let cell = ghn::block(&[(GhnOp::Conv1, [0, 1]), (GhnOp::AvgPool3, [0, 2]), (GhnOp::SepConv3, [2, 3])]);
    let w = hyper.weights(&mut Streams::new(0).rng("init", 0), &cell, Device::Cpu, Number::Double);
    let network = hyper.network(&cell).unwrap();
    // A smooth function of all predicted weights; the network itself has kinks.
    let loss = |w: &Weights| {
        let given = hyper.predict(w, &cell, &network).unwrap();
        given.params().iter().fold(Tensor::from(0.0), |sum, p| sum + p.tanh().square().sum(Number::Double))
    };
    w.check_gradient(loss, 60, 1e-6);
}

#[test]
fn tiles_repeat_the_base_and_share_its_gradient() {
    let base = Tensor::arange(8, (Number::Double, Device::Cpu)).view([2, 2, 1, 2]).set_requires_grad(true);
    let wide = tiled(&base, &[5, 4, 1, 2]);
    for i in 0..5 {
        for j in 0..4 {
            assert!(wide.get(i).get(j).equal(&base.get(i % 2).get(j % 2)));
        }
    }
    let grad = Tensor::run_backward(&[wide.sum(Number::Double)], &[&base], false, false);
    assert_eq!(Vec::<f64>::try_from(grad[0].view([-1])).unwrap(), [6.0, 6.0, 6.0, 6.0, 4.0, 4.0, 4.0, 4.0]);
    assert!(tiled(&base, &[1, 1, 1, 2]).equal(&base.narrow(0, 0, 1).narrow(1, 0, 1)));
}

#[test]
fn it_overfits_one_batch_of_one_block() {
    let resolved = crate::lab::resolve(&super::CARD, "smoke", &[]).unwrap();
    let search: Ghn = serde_json::from_value(resolved.settings["search"].clone()).unwrap();
    let hyper = Hypernetwork::declare(&search.network, INPUT, NetSize { channels: search.channels, ..SIZE });
    let cell = ghn::block(&[(GhnOp::SepConv3, [0, 1]), (GhnOp::Conv1, [1, 2])]);
    let w = hyper.weights(&mut Streams::new(0).rng("init", 0), &cell, Device::Cpu, Number::Float);
    let network = hyper.network(&cell).unwrap();
    let (x, y) = (images(64).to_kind(Number::Float) + Tensor::randn([64, 1, 8, 8], (Number::Float, Device::Cpu)), (0..64).map(|i| i % 10));
    let y = Tensor::from_slice(&y.collect::<Vec<i64>>());
    let mut adam = Adam::new(w.flat(), 3e-3, (0.9, 0.999), 0.0);
    let mut value = f64::NAN;
    for _ in 0..300 {
        let given = hyper.predict(&w, &cell, &network).unwrap();
        let loss = cross_entropy(&network.forward(&given, &x, &mut Pass::by_batch()).logits, &y);
        value = loss.double_value(&[]);
        if value < 0.1 {
            return;
        }
        adam.step(w.flat(), &clip(w.gradient(&loss), 5.0));
    }
    panic!("the loss is still {value}");
}

#[test]
fn over_seeds_the_experiment_top_trains_each_of_the_best_as_often() {
    let order: Vec<usize> = (0..50).rev().collect();
    let drawn = |keep, seed| one_of_the_best(&order, keep, &mut Streams::new(seed).rng("one of the best", 0));
    let counts: Vec<usize> = (0..50).map(|number| (0..2000).filter(|seed| drawn(10, *seed) == number).count()).collect();
    // 200 of each of the ten best, give or take five deviations of sqrt(2000 * 0.1 * 0.9).
    assert!(counts[40..].iter().all(|n| (133..267).contains(n)) && counts[..40].iter().all(|n| *n == 0), "{counts:?}");
    assert_eq!(drawn(1, 3), 49);
    assert!(order.contains(&drawn(1000, 3)), "a budget may leave fewer than are kept");
}

#[test]
fn predictions_are_the_same_every_time_and_change_nothing() {
    let (hyper, w) = hyper(&settings());
    let before = w.flat().copy();
    let (a, b) = (predict(&hyper, &w, &block(15, 3)), predict(&hyper, &w, &block(15, 3)));
    assert!(a.iter().zip(&b).all(|((_, a), (_, b))| a.equal(b)));
    assert!(w.flat().equal(&before));
}
