//! The cell space of NAS-Unet (Weng et al. 2019; its public code): a cell that halves the maps (DownSC) and one that doubles them (UpSC).

use super::operations::operations;
use super::{Architecture, Cell, CellGraph, Edge, Genotype, Nodes, Space, differ, parameters, sample_nodes};
use crate::error::{Result, usage};
use crate::seed::Rng;
use serde::{Deserialize, Serialize};

/// Most nodes of a cell.
pub const MOST_NODES: usize = 8;

operations! {
    /// An operation of a segmentation cell. Which of the three sets an edge chooses from follows from the cell and the state that it reads.
    SegmentOp {
        /// 2x2 average pooling, stride 2.
        AvgPool = "avg_pool",
        /// 2x2 maximum pooling, stride 2.
        MaxPool = "max_pool",
        /// Channel gate, 3x3 convolution with stride 2.
        DownCweight = "down_cweight",
        /// 3x3 convolution with stride 2 and dilation 2.
        DownDilConv = "down_dil_conv",
        /// Depthwise 3x3 convolution with stride 2, pointwise convolution.
        DownDepConv = "down_dep_conv",
        /// 3x3 convolution with stride 2.
        DownConv = "down_conv",
        /// Channel gate, transposed 3x3 convolution with stride 2.
        UpCweight = "up_cweight",
        /// Transposed depthwise 3x3 convolution with stride 2, pointwise convolution.
        UpDepConv = "up_dep_conv",
        /// Transposed 3x3 convolution with stride 2.
        UpConv = "up_conv",
        /// Transposed 3x3 convolution with stride 2 and dilation 2.
        UpDilConv = "up_dil_conv",
        /// The state itself.
        Identity = "identity",
        /// Zeros: the edge is absent.
        None = "none",
        /// Channel gate.
        Cweight = "cweight",
        /// 3x3 convolution with dilation 2.
        DilConv = "dil_conv",
        /// Depthwise 3x3 convolution, pointwise convolution.
        DepConv = "dep_conv",
        /// The same as [`SegmentOp::Conv`]: the public code shuffles channels between groups and has one group.
        ShuffleConv = "shuffle_conv",
        /// 3x3 convolution.
        Conv = "conv",
    }
}

impl SegmentOp {
    /// Operations that halve the map; the index is the column of alpha.
    pub const DOWN: [Self; 6] = [Self::AvgPool, Self::MaxPool, Self::DownCweight, Self::DownDilConv, Self::DownDepConv, Self::DownConv];
    /// Operations that double the map; the index is the column of alpha.
    pub const UP: [Self; 4] = [Self::UpCweight, Self::UpDepConv, Self::UpConv, Self::UpDilConv];
    /// Operations that keep the size; the index is the column of alpha.
    pub const NORMAL: [Self; 7] = [Self::Identity, Self::None, Self::Cweight, Self::DilConv, Self::DepConv, Self::ShuffleConv, Self::Conv];
}

/// Operations that are drawn where the size stays: no `none`, and `shuffle_conv` only once, as `conv`.
const DRAWN_NORMAL: [SegmentOp; 5] = [SegmentOp::Identity, SegmentOp::Cweight, SegmentOp::DilConv, SegmentOp::DepConv, SegmentOp::Conv];

/// The space, with the released cells.
pub static SPACE: Space = Space {
    pixels: true,
    published: &[("nas-unet-v3", v3), ("nas-unet-v2", v2), ("nas-unet-v2-en", v2_enhanced), ("nas-unet-v1-en", v1_enhanced)],
    ..Space::of::<UnetCells>("nas_unet", "nas_unet", |given, rng| {
        parameters(&SPACE, given).map(|Nodes { nodes }| sample(nodes, rng).into())
    })
};

/// Which way a cell goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// DownSC: state 0 is the output of cell k-2, twice as high and wide as state 1, that of cell k-1.
    Down,
    /// UpSC: state 0 is the map of the way down that has the size of the output, state 1 the output of cell k-1, half as high and wide.
    Up,
}

/// The operations that an edge chooses from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpSet {
    /// Halve the map.
    Down,
    /// Double the map.
    Up,
    /// Keep the size.
    Normal,
}

impl OpSet {
    /// Its operations in the order of alpha's columns.
    pub fn ops(self) -> &'static [SegmentOp] {
        match self {
            Self::Down => &SegmentOp::DOWN,
            Self::Up => &SegmentOp::UP,
            Self::Normal => &SegmentOp::NORMAL,
        }
    }
}

impl Direction {
    /// What an edge from state `from` chooses from. In a down cell both inputs are halved on the edge; in an up cell only state 1 is
    /// doubled.
    pub fn set(self, from: usize) -> OpSet {
        match (self, from) {
            (Self::Down, 0 | 1) => OpSet::Down,
            (Self::Up, 1) => OpSet::Up,
            _ => OpSet::Normal,
        }
    }

    /// Says so where an operation does not fit the state that it reads.
    fn misfit(self, UnetEdge { op, from }: &UnetEdge) -> Option<String> {
        let fitting: Vec<&SegmentOp> = self.set(*from).ops().iter().filter(|op| **op != SegmentOp::None).collect();
        let names = || fitting.iter().map(|op| op.name()).collect::<Vec<_>>().join(", ");
        (!fitting.contains(&op)).then(|| format!("applies {} to state {from}; there fit {}", op.name(), names()))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Up => "up",
        }
    }
}

/// An edge of a segmentation cell.
pub type UnetEdge = Edge<SegmentOp>;

/// Both cells. A node is the sum of its two edges, the output of a cell concatenates its nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnetCells {
    /// Nodes of the down cell; node `i` is state `i + 2`.
    pub down: Vec<[UnetEdge; 2]>,
    /// Nodes of the up cell, as many.
    pub up: Vec<[UnetEdge; 2]>,
}

impl UnetCells {
    /// Nodes of a cell.
    pub fn nodes(&self) -> usize {
        self.down.len()
    }

    /// The nodes of one cell.
    pub fn cell(&self, direction: Direction) -> &[[UnetEdge; 2]] {
        match direction {
            Direction::Down => &self.down,
            Direction::Up => &self.up,
        }
    }

    /// One cell; its output concatenates all nodes.
    fn whole(&self, direction: Direction) -> Cell<SegmentOp> {
        Cell::new(self.cell(direction).to_vec(), (2..2 + self.nodes()).collect())
    }
}

impl Genotype for UnetCells {
    const SPACE: &'static Space = &SPACE;

    /// Since the sources of a node differ, the first node reads both inputs.
    fn check(&self) -> Result<()> {
        let (down, up) = (self.down.len(), self.up.len());
        if !(1..=MOST_NODES).contains(&down) || down != up {
            return Err(usage!("both cells of a NAS-Unet have as many nodes, 1 to {MOST_NODES}, not {down} and {up}"));
        }
        [Direction::Down, Direction::Up].into_iter().try_for_each(|direction| {
            self.whole(direction).check(direction.name(), |cell| {
                cell.check_nodes(|_, edges| differ(edges).or_else(|| edges.iter().find_map(|edge| direction.misfit(edge))))
            })
        })
    }

    /// `shuffle_conv` is named `conv`, which it is.
    fn canonical(&self) -> Self {
        let plain = |op| if op == SegmentOp::ShuffleConv { SegmentOp::Conv } else { op };
        let [down, up] = [Direction::Down, Direction::Up].map(|d| self.whole(d).map(plain).canonical().nodes);
        Self { down, up }
    }

    fn cells(&self) -> Vec<(&'static str, CellGraph)> {
        [Direction::Down, Direction::Up].map(|d| (d.name(), self.whole(d).map(SegmentOp::name).into())).into()
    }
}

/// Both cells with `nodes` nodes: for every node two different sources uniformly, and for each a uniform operation that fits there
/// (no `none`; `shuffle_conv` is `conv` and counts once).
pub fn sample(nodes: usize, rng: &mut Rng) -> UnetCells {
    UnetCells { down: sample_cell(Direction::Down, nodes, rng), up: sample_cell(Direction::Up, nodes, rng) }
}

fn sample_cell(direction: Direction, nodes: usize, rng: &mut Rng) -> Vec<[UnetEdge; 2]> {
    sample_nodes(nodes, rng, |from| match direction.set(from) {
        OpSet::Normal => &DRAWN_NORMAL[..],
        set => set.ops(),
    })
}

use SegmentOp::{Conv, Cweight, DownConv, Identity, UpConv};
use SegmentOp::{DownCweight as Dcw, DownDepConv as Ddep, DownDilConv as Ddil, UpCweight as Ucw, UpDepConv as Udep};

type Rows<'a> = &'a [[(SegmentOp, usize); 2]];

fn cells(down: Rows, up: Rows) -> Architecture {
    let edges = |rows: Rows| rows.iter().map(|row| row.map(|(op, from)| UnetEdge { op, from })).collect();
    UnetCells { down: edges(down), up: edges(up) }.into()
}

/// The cells of the paper's figure; the default of the code's first release.
fn v3() -> Architecture {
    cells(
        &[[(Ddil, 1), (Dcw, 0)], [(Dcw, 0), (Dcw, 1)], [(Dcw, 0), (Conv, 3)], [(Dcw, 0), (Conv, 4)]],
        &[[(Cweight, 0), (Ucw, 1)], [(Conv, 2), (Ucw, 1)], [(Ucw, 1), (Conv, 3)], [(Ucw, 1), (Conv, 4)]],
    )
}

/// The default of the code since April 2019.
fn v2() -> Architecture {
    cells(
        &[[(DownConv, 1), (Ddep, 0)], [(Dcw, 1), (Ddil, 0)], [(Ddil, 1), (DownConv, 0)]],
        &[[(Identity, 0), (Ucw, 1)], [(Identity, 2), (Ucw, 1)], [(Cweight, 3), (UpConv, 1)]],
    )
}

fn v2_enhanced() -> Architecture {
    cells(
        &[[(Ddep, 0), (Ddil, 1)], [(Dcw, 0), (Ddep, 1)], [(Ddep, 1), (Ddep, 0)]],
        &[[(Identity, 0), (Udep, 1)], [(Cweight, 0), (Ucw, 1)], [(Conv, 2), (Ucw, 1)]],
    )
}

fn v1_enhanced() -> Architecture {
    cells(&[[(DownConv, 0), (Ddil, 1)], [(Ddep, 0), (Ddep, 1)]], &[[(Cweight, 0), (Ucw, 1)], [(Conv, 0), (Ucw, 1)]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;
    use rand::RngExt;
    use std::collections::HashSet;

    fn unet(architecture: Architecture) -> UnetCells {
        architecture.get::<UnetCells>().unwrap().clone()
    }

    #[test]
    fn published_and_sampled_cells_belong_to_the_space() {
        let published = SPACE.published.iter().map(|(_, make)| unet(make()));
        let sampled = (0..1000).map(|i| sample(1 + i as usize % MOST_NODES, &mut Streams::new(7).rng("sample", i)));
        for cells in published.chain(sampled) {
            cells.check().unwrap();
            for first in [&cells.down[0], &cells.up[0]] {
                assert_eq!(first.iter().map(|e| e.from).collect::<HashSet<_>>(), HashSet::from([0, 1]));
            }
        }
    }

    #[test]
    fn samples_reach_every_operation_and_source() {
        let mut seen = HashSet::new();
        for i in 0..3000 {
            let cells = sample(3, &mut Streams::new(7).rng("sample", i));
            for (cell, nodes) in [cells.down, cells.up].into_iter().enumerate() {
                seen.extend(nodes.iter().enumerate().flat_map(|(n, edges)| edges.map(|e| (cell, n, e))));
            }
        }
        // Down: 6 edges of 6 operations and 3 of 5. Up: 3 edges of 4 and 6 of 5.
        assert_eq!(seen.len(), 6 * 6 + 3 * 5 + 3 * 4 + 6 * 5);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |change: &dyn Fn(&mut UnetCells), says: &str| {
            let mut cells = unet(v2());
            change(&mut cells);
            let error = cells.check().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        };
        let edge = |op, from| UnetEdge { op, from };
        refused(&|c| c.down[1][0].from = 0, "down cell: node 3 reads state 0 twice");
        refused(&|c| c.up[1][0].from = 3, "up cell: node 3 reads state 3, which does not come before");
        refused(&|c| c.up[0][0] = edge(SegmentOp::UpConv, 0), "up cell: node 2 applies up_conv to state 0; there fit identity, cweight");
        refused(&|c| c.up[0][1] = edge(SegmentOp::Conv, 1), "there fit up_cweight, up_dep_conv");
        refused(&|c| c.down[0][0] = edge(SegmentOp::UpConv, 1), "there fit avg_pool");
        refused(&|c| c.down[2][0] = edge(SegmentOp::DownConv, 2), "applies down_conv to state 2");
        refused(&|c| c.up[1][0] = edge(SegmentOp::None, 2), "applies none");
        refused(&|c| c.up.truncate(2), "as many nodes, 1 to 8, not 3 and 2");
        refused(&|c| [&mut c.down, &mut c.up].map(Vec::clear)[0], "not 0 and 0");
    }

    #[test]
    fn isomorphic_cells_have_one_hash() {
        let a = v2();
        let mut b = unet(v2());
        b.down.swap(0, 2);
        b.up[1].swap(0, 1);
        b.down[0].swap(0, 1);
        assert_eq!(a.hash(), Architecture::from(b).hash());
        let mut shuffled = unet(v3());
        shuffled.down[2][1].op = SegmentOp::ShuffleConv;
        assert_eq!(v3().hash(), Architecture::from(shuffled).hash());
        let mut other = unet(v3());
        other.down[2][1].from = 2;
        assert_ne!(v3().hash(), Architecture::from(other).hash());
        let all: HashSet<String> = SPACE.published.iter().map(|(_, make)| make().hash()).collect();
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn every_topological_order_has_the_same_canonical_form() {
        let mut rng = Streams::new(9).rng("orders", 0);
        for _ in 0..200 {
            let cells = sample(6, &mut rng);
            let (mut order, nodes) = (Vec::new(), &cells.up);
            while order.len() < nodes.len() {
                let next = rng.random_range(0..nodes.len());
                if !order.contains(&next) && nodes[next].iter().all(|e| e.from < 2 || order.contains(&(e.from - 2))) {
                    order.push(next);
                }
            }
            let place = |state: usize| if state < 2 { state } else { 2 + order.iter().position(|n| *n == state - 2).unwrap() };
            let renamed = order.iter().map(|n| nodes[*n].map(|e| Edge { from: place(e.from), ..e })).map(|[a, b]| [b, a]).collect();
            let other = UnetCells { up: renamed, ..cells.clone() };
            other.check().unwrap();
            assert_eq!(cells.canonical(), other.canonical());
        }
    }
}
