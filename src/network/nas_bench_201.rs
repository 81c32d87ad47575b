//! The networks of NAS-Bench-201 (Dong, Yang 2020, section 2; released code): N cells, a residual block that halves the maps and doubles the width, N cells, a block, N cells. A cell
//! reads the output before it and no other, and keeps its size.

use super::candidate::{Candidate, PoolOf};
use crate::error::{Result, usage};
use crate::nn::{BatchNorm, Conv, ConvBn, ConvShape, Linear, Network, Output, Pass, PoolKind, ReluConvBn, Table, Weights, global_average};
use crate::space::nas_bench_201::EDGES;
use crate::space::{BenchCell, BenchOp, InputShape, NetSize, enas_micro};
use tch::Tensor;

/// Operations of an edge.
const OPS: usize = BenchOp::ALL.len();

/// Declares an operation that keeps `channels` channels.
fn operation(t: &mut Table, name: &str, op: BenchOp, channels: i64, affine: bool) -> Candidate {
    let conv = |t: &mut Table, kernel| ReluConvBn::declare(t, name, &[ConvShape::square(channels, channels, kernel, 1)], affine).into();
    match op {
        BenchOp::None => Candidate::Zero { stride: 1 },
        BenchOp::Skip => Candidate::Identity,
        BenchOp::Conv1 => conv(t, 1),
        BenchOp::Conv3 => conv(t, 3),
        BenchOp::AvgPool3 => Candidate::Pool(PoolOf { kind: PoolKind::Average, kernel: 3, stride: 1, norm: None, project: None }),
    }
}

/// Name of an edge in a table of weights.
fn name_of(edge: usize) -> String {
    let (from, to) = EDGES[edge];
    format!("node{to}.from{from}")
}

/// The output of a cell: every node is the sum of what `edge` makes, given its number, of the node that it leaves.
fn sums(x: &Tensor, mut edge: impl FnMut(usize, &Tensor) -> Option<Tensor>) -> Tensor {
    let mut nodes = vec![x.shallow_clone()]; // each [N, C, H, W]
    for node in 1..4 {
        let into = EDGES.iter().enumerate().filter(|(_, (_, to))| *to == node);
        let sum = into.filter_map(|(number, (from, _))| edge(number, &nodes[*from])).reduce(|a, b| a + b);
        nodes.push(sum.unwrap_or_else(|| x * 0.0));
    }
    nodes.swap_remove(3)
}

/// Twice ReLU, 3x3 convolution, batch norm, the first with stride 2; and a short cut of a 2x2 mean and a 1x1 convolution. [N, C, H, W] → [N, 2 C, ⌈H/2⌉, ⌈W/2⌉]
#[derive(Debug)]
struct Block {
    convs: [ReluConvBn; 2],
    short: Conv,
}

impl Block {
    fn declare(t: &mut Table, input: i64) -> Self {
        let output = 2 * input;
        let conv = |t: &mut Table, name, input, stride| ReluConvBn::declare(t, name, &[ConvShape::square(input, output, 3, stride)], true);
        let convs = [conv(t, "first", input, 2), conv(t, "second", output, 1)];
        Self { convs, short: Conv::declare(t, "short", ConvShape::pointwise(input, output, 1)) }
    }

    fn forward(&self, w: &Weights, x: &Tensor, training: bool) -> Tensor {
        let (_, _, height, width) = x.size4().expect("maps have four dimensions");
        let odd = [0, width % 2, 0, height % 2];
        // A last row or column without a partner is its own mean.
        let even = if odd.contains(&1) { x.replication_pad2d(odd) } else { x.shallow_clone() };
        let short = self.short.forward(w, &even.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None));
        short + self.convs.iter().fold(x.shallow_clone(), |x, conv| conv.forward(w, &x, training))
    }
}

#[derive(Debug)]
enum Layer<C> {
    Cell(C),
    Block(Box<Block>),
}

/// Everything but what a cell is.
#[derive(Debug)]
struct Skeleton<C> {
    table: Table,
    stem: ConvBn,
    layers: Vec<Layer<C>>,
    norm: BatchNorm,
    classifier: Linear,
}

impl<C> Skeleton<C> {
    /// With `cells` = 3 N + 2 layers that start with `channels` channels; `cell` declares a cell of so many.
    fn declare(input: InputShape, channels: i64, cells: usize, cell: impl Fn(&mut Table, i64) -> C) -> Result<Self> {
        let Some(blocks) = enas_micro::reductions(cells) else {
            let rule = "3 N + 2 cells (N cells before, between and after two residual blocks)";
            return Err(usage!("a network of NAS-Bench-201 has {rule}, not {cells}"));
        };
        let mut t = Table::default();
        let stem = ConvBn::declare(&mut t, "stem", ConvShape::square(input.channels, channels, 3, 1));
        let mut width = channels;
        let mut layer = |i: usize| {
            t.scope(format!("cell{i}"), |t| {
                if !blocks.contains(&i) {
                    return Layer::Cell(cell(t, width));
                }
                width *= 2;
                Layer::Block(Box::new(Block::declare(t, width / 2)))
            })
        };
        let layers = (0..cells).map(&mut layer).collect();
        let norm = BatchNorm::declare(&mut t, "norm", width, true);
        let classifier = Linear::declare(&mut t, "classifier", width, input.classes);
        Ok(Self { table: t, stem, layers, norm, classifier })
    }

    fn forward(&self, w: &Weights, x: &Tensor, pass: &mut Pass, mut cell: impl FnMut(&C, &Tensor, &mut Pass) -> Tensor) -> Tensor {
        let training = pass.training;
        let x = self.layers.iter().fold(self.stem.forward(w, x, training), |x, layer| match layer {
            Layer::Cell(c) => cell(c, &x, pass),
            Layer::Block(block) => block.forward(w, &x, training),
        });
        let features = pass.dropout(global_average(&self.norm.forward(w, &x, training).relu()));
        self.classifier.forward(w, &features)
    }
}

/// A cell with its weights, also those of edges that carry nothing or lead nowhere: they are part of the network's size.
#[derive(Debug)]
struct BuiltCell {
    ops: [Candidate; 6],
    /// Whether the output depends on what an edge adds. The others are not computed; one that reads zeros is, since its norm shifts them.
    used: [bool; 6],
}

impl BuiltCell {
    fn declare(t: &mut Table, cell: &BenchCell, channels: i64) -> Self {
        let op =
            |t: &mut Table, edge: usize| operation(t, &format!("{}.{}", name_of(edge), cell.0[edge].name()), cell.0[edge], channels, true);
        let ops = [0, 1, 2, 3, 4, 5].map(|edge| op(t, edge));
        let mut used = [false; 6];
        // From the output back.
        for edge in (0..6).rev() {
            let read = |node: usize| node == 3 || (edge + 1..6).any(|later| used[later] && EDGES[later].0 == node);
            used[edge] = cell.0[edge] != BenchOp::None && read(EDGES[edge].1);
        }
        Self { ops, used }
    }

    fn forward(&self, w: &Weights, x: &Tensor, pass: &mut Pass) -> Tensor {
        sums(x, |edge, x| {
            let op = self.used[edge].then_some(&self.ops[edge])?;
            let out = op.adds(w, x, pass.training)?;
            Some(if op.is_identity() { out } else { pass.drop_path(out) })
        })
    }
}

/// The network of a cell.
#[derive(Debug)]
pub(super) struct CellNetwork(Skeleton<BuiltCell>);

impl CellNetwork {
    /// Declares it; `size.cells` is 3 N + 2.
    pub fn declare(cell: &BenchCell, input: InputShape, size: NetSize) -> Result<Self> {
        if size.auxiliary {
            return Err(usage!("a network of NAS-Bench-201 has no auxiliary head; set auxiliary_weight to 0"));
        }
        Skeleton::declare(input, size.channels, size.cells, |t, channels| BuiltCell::declare(t, cell, channels)).map(Self)
    }
}

impl Network for CellNetwork {
    fn table(&self) -> &Table {
        &self.0.table
    }

    fn forward(&self, w: &Weights, x: &Tensor, pass: &mut Pass) -> Output {
        Output { logits: self.0.forward(w, x, pass, |cell, x, pass| cell.forward(w, x, pass)), auxiliary: None }
    }
}

/// The network in which every edge of every cell has all operations.
#[derive(Debug)]
pub struct BenchSupernet(Skeleton<[[Candidate; OPS]; 6]>);

impl BenchSupernet {
    /// Declares it with `cells` = 3 N + 2 layers; the norms of the operations have scale and shift if `affine`, those of the blocks always.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] for another number of cells.
    pub fn declare(input: InputShape, channels: i64, cells: usize, affine: bool) -> Result<Self> {
        let edge = |t: &mut Table, edge: usize, channels| {
            t.scope(name_of(edge), |t| BenchOp::ALL.map(|op| operation(t, op.name(), op, channels, affine)))
        };
        Skeleton::declare(input, channels, cells, |t, channels| [0, 1, 2, 3, 4, 5].map(|e| edge(t, e, channels))).map(Self)
    }

    /// What it declares.
    pub fn table(&self) -> &Table {
        &self.0.table
    }

    /// Class scores [N, classes] of images [N, C, H, W]; `edge` makes, given its number in [`EDGES`] and its operations, what an edge adds of the node that it leaves.
    pub fn forward(
        &self,
        w: &Weights,
        x: &Tensor,
        pass: &mut Pass,
        mut edge: impl FnMut(usize, &[Candidate; OPS], &Tensor) -> Option<Tensor>,
    ) -> Tensor {
        self.0.forward(w, x, pass, |ops, x, _| sums(x, |number, x| edge(number, &ops[number], x)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::build;
    use crate::nn::{count, cross_entropy, plainly};
    use crate::seed::Streams;
    use crate::space::published;
    use std::collections::BTreeSet;
    use tch::{Device, Kind};

    const CIFAR: InputShape = InputShape { channels: 3, height: 32, width: 32, classes: 10 };
    const DIGITS: InputShape = InputShape { channels: 1, height: 8, width: 8, classes: 10 };

    fn size(channels: i64, cells: usize) -> NetSize {
        NetSize { channels, cells, auxiliary: false }
    }

    fn weights_of(cell: BenchCell, input: InputShape) -> u64 {
        count(&*build(&cell.into(), input, size(16, 17)).unwrap()).0
    }

    #[test]
    fn networks_have_the_published_number_of_weights_in_all_sizes() {
        use BenchOp::{Conv1, Conv3, None, Skip};
        let mut sizes = BTreeSet::new();
        for n1 in 0..=6 {
            for n3 in 0..=6 - n1 {
                // Edges that lead nowhere have their weights too: all of the cell that stands first is such.
                let others = |op| std::iter::repeat_n(op, 6 - n1 - n3);
                let ops = |op| std::iter::repeat_n(Conv1, n1).chain(std::iter::repeat_n(Conv3, n3)).chain(others(op)).collect::<Vec<_>>();
                let expected = 73_306 + 28_000 * n1 as u64 + 243_040 * n3 as u64;
                for op in [None, Skip] {
                    let cell = BenchCell(ops(op).try_into().unwrap());
                    assert_eq!(weights_of(cell, CIFAR), expected, "{cell}");
                    assert_eq!(weights_of(cell, InputShape { classes: 100, ..CIFAR }), expected + 5_850);
                    assert_eq!(weights_of(cell, InputShape { classes: 120, height: 16, width: 16, ..CIFAR }), expected + 7_150);
                }
                sizes.insert(expected);
            }
        }
        assert_eq!((sizes.len(), sizes.first(), sizes.last()), (28, Some(&73_306), Some(&1_531_546)));
    }

    /// A network, its weights in double precision, and some images.
    fn small(cell: BenchCell, input: InputShape) -> (CellNetwork, Weights, Tensor) {
        let net = CellNetwork::declare(&cell, input, size(3, 5)).unwrap();
        let w = Weights::init(net.table(), &mut Streams::new(5).rng("init", 0), Device::Cpu, Kind::Double);
        // Shifts that are not zero, so that a norm of zeros is something.
        tch::no_grad(|| drop(w.flat().shallow_clone().g_add_(&((w.flat() * 1e3).sin() * 0.1))));
        let pixels = input.channels * input.height * input.width;
        let x = (Tensor::arange(4 * pixels, (Kind::Double, Device::Cpu)) * 0.7).sin().view([4, input.channels, input.height, input.width]);
        (net, w, x)
    }

    /// The network as the paper's text has it, by libtorch's operators alone, with the statistics of the batch.
    fn by_operators(cell: &BenchCell, net: &CellNetwork, w: &Weights, x: &Tensor) -> Tensor {
        let of = |name: String| {
            let at = net.table().names().position(|n| n == name).unwrap_or_else(|| panic!("{name} is declared"));
            w.params()[at].shallow_clone()
        };
        let norm = |x: &Tensor, name: &str| {
            let (mean, centred) = (x.mean_dim([0i64, 2, 3].as_slice(), true, Kind::Double), x);
            let centred = centred - mean;
            let variance = centred.square().mean_dim([0i64, 2, 3].as_slice(), true, Kind::Double);
            let affine = |part: &str| of(format!("{name}.{part}")).view([1, -1, 1, 1]);
            centred / (variance + 1e-5).sqrt() * affine("weight") + affine("bias")
        };
        let conv = |x: &Tensor, name: &str, stride: i64| {
            let kernel = of(format!("{name}.weight"));
            let border = (kernel.size()[2] - 1) / 2;
            x.conv2d(&kernel, None::<&Tensor>, [stride, stride], [border, border], [1, 1], 1)
        };
        let block = |x: &Tensor, name: &str, stride| norm(&conv(&x.relu(), &format!("{name}.conv0"), stride), &format!("{name}.norm"));
        let mut x = norm(&conv(x, "stem.conv0", 1), "stem.norm");
        for i in 0..5 {
            if [1, 3].contains(&i) {
                let twice = block(&block(&x, &format!("cell{i}.first"), 2), &format!("cell{i}.second"), 1);
                let mean = x.avg_pool2d([2, 2], [2, 2], [0, 0], true, false, None);
                x = twice + conv(&mean, &format!("cell{i}.short"), 1);
                continue;
            }
            let mut nodes = vec![x];
            for node in 1..4 {
                let mut sum = nodes[0].zeros_like();
                for (edge, (from, _)) in EDGES.iter().enumerate().filter(|(_, (_, to))| *to == node) {
                    let x = &nodes[*from];
                    sum += match cell.0[edge] {
                        BenchOp::None => x * 0.0,
                        BenchOp::Skip => x.shallow_clone(),
                        BenchOp::AvgPool3 => x.avg_pool2d([3, 3], [1, 1], [1, 1], false, false, None),
                        op => block(x, &format!("cell{i}.{}.{}", name_of(edge), op.name()), 1),
                    };
                }
                nodes.push(sum);
            }
            x = nodes.pop().unwrap();
        }
        let features = norm(&x, "norm").relu().mean_dim([2i64, 3].as_slice(), false, Kind::Double);
        features.linear(&of("classifier.weight".into()), Some(of("classifier.bias".into())))
    }

    fn cells() -> Vec<BenchCell> {
        use BenchOp::{AvgPool3, Conv1, Conv3, None, Skip};
        let drawn = (0..12).map(|i| BenchCell::sample(&BenchOp::ALL, &mut Streams::new(2).rng("sample", i)));
        // Convolutions that read zeros, convolutions that lead nowhere, no path at all, and whole cells of one operation.
        let odd =
            [[None, None, Conv3, Conv1, Conv1, Conv3], [Conv3, Conv1, None, Skip, None, None], [Conv3, None, None, None, None, AvgPool3]];
        drawn.chain(odd.map(BenchCell)).chain(BenchOp::ALL.map(|op| BenchCell([op; 6]))).collect()
    }

    #[test]
    fn a_network_is_what_the_operators_of_libtorch_make_of_it() {
        tch::set_num_threads(1);
        for (i, cell) in cells().into_iter().enumerate() {
            // Odd sizes too.
            let input = InputShape { height: 8 - i as i64 % 2, width: 8 + i as i64 % 3, ..DIGITS };
            let (net, w, x) = small(cell, input);
            let expected = by_operators(&cell, &net, &w, &x);
            let logits = || net.forward(&w, &x, &mut Pass::by_batch()).logits;
            for (form, ours) in [("kernels", logits()), ("operators", plainly(logits))] {
                let difference = (ours - &expected).abs().max().double_value(&[]);
                assert!(difference < 1e-10, "{cell} by {form}: {difference}");
            }
        }
    }

    #[test]
    fn gradients_agree_with_central_differences_and_unused_convolutions_have_none() {
        tch::set_num_threads(1);
        for cell in cells() {
            let (net, w, x) = small(cell, DIGITS);
            let labels = Tensor::from_slice(&[0i64, 7, 3, 7]);
            let loss = |w: &Weights| cross_entropy(&net.forward(w, &x, &mut Pass::by_batch()).logits, &labels);
            w.check_gradient(loss, 20, 1e-6);
            let gradients = Tensor::run_backward(&[loss(&w)], w.params(), false, false);
            for (edge, op) in cell.0.iter().enumerate().filter(|(_, op)| matches!(op, BenchOp::Conv1 | BenchOp::Conv3)) {
                let scope = format!("cell0.{}.{}.conv0", name_of(edge), op.name());
                let at = net.table().names().position(|n| n.starts_with(&scope)).unwrap();
                let Layer::Cell(built) = &net.0.layers[0] else { panic!("a cell comes first") };
                assert_eq!(gradients[at].defined(), built.used[edge], "{cell}: {scope}");
                assert!(built.used[edge] || !cell.live().contains(&edge));
            }
        }
    }

    #[test]
    fn any_channels_classes_and_sizes_run() {
        for height in 4..=33 {
            let (width, classes) = (37 - height, [2, 10, 100][height as usize % 3]);
            let input = InputShape { channels: 1 + height % 3, height, width, classes };
            let cell = BenchCell::sample(&BenchOp::ALL, &mut Streams::new(3).rng("sample", height as u64));
            let net = build(&cell.into(), input, size(2, 5)).unwrap();
            let w = Weights::init(net.table(), &mut Streams::new(0).rng("init", 0), Device::Cpu, Kind::Float);
            let x = Tensor::zeros([2, input.channels, height, width], (Kind::Float, Device::Cpu));
            for mut pass in [Pass::training(0.2, Streams::new(0).rng("drop path", 0)), Pass::evaluation()] {
                assert_eq!(net.forward(&w, &x, &mut pass).logits.size(), [2, classes]);
            }
        }
    }

    #[test]
    fn what_is_no_network_of_the_space_is_refused() {
        let refused = |size| build(&published("nb201-skips").unwrap(), CIFAR, size).err().unwrap().to_string();
        assert!(refused(size(16, 15)).contains("3 N + 2 cells") && refused(size(16, 4)).contains("not 4"));
        assert!(refused(NetSize { auxiliary: true, ..size(16, 17) }).contains("no auxiliary head"));
        assert!(BenchSupernet::declare(DIGITS, 4, 6, true).unwrap_err().to_string().contains("not 6"));
    }

    #[test]
    fn an_edge_of_the_supernet_that_does_one_operation_is_that_of_a_network() {
        tch::set_num_threads(1);
        let bank = BenchSupernet::declare(DIGITS, 3, 5, true).unwrap();
        // With scale and shift every weight of a network is in it by name, but for one more step in the scopes.
        let all = Weights::init(bank.table(), &mut Streams::new(1).rng("init", 0), Device::Cpu, Kind::Double);
        for cell in cells() {
            let (net, _, x) = small(cell, DIGITS);
            let of = |name: &str| bank.table().names().position(|n| n == name).unwrap_or_else(|| panic!("{name} is declared"));
            let own = net.table().names().map(|name| all.params()[of(name)].shallow_clone()).collect();
            let alone = net.forward(&Weights::given(net.table(), own), &x, &mut Pass::by_batch()).logits;
            let child = bank.forward(&all, &x, &mut Pass::by_batch(), |edge, ops, x| ops[cell.0[edge] as usize].adds(&all, x, true));
            assert!(alone.allclose(&child, 1e-10, 1e-10, false), "{cell}");
        }
        // A cell a width: six edges with a 1x1 and a 3x3 kernel.
        let kernels: u64 = [3u64, 6, 12].map(|c| 6 * 10 * c * c).iter().sum();
        let without = BenchSupernet::declare(DIGITS, 3, 5, false).unwrap().table().count_if(|n| n.contains(".from"));
        assert_eq!(without, kernels);
        assert_eq!(bank.table().count_if(|n| n.contains(".from")), kernels + [3u64, 6, 12].map(|c| 6 * 4 * c).iter().sum::<u64>());
    }
}
