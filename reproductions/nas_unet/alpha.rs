//! The architecture logits alpha and what they mean (public code of NAS-Unet; `conv` and `shuffle_conv` have a column each, as there,
//! though both are the same operation).

use crate::gradient::alpha::{entropy, initial, offset, rows, strongest};
use crate::seed::Rng;
use crate::space::{Architecture, Direction, OpSet, SegmentOp, UnetCells, UnetEdge};
use tch::{Device, Kind, Tensor};

/// The sets of operations, in the order of [`Alpha::logits`].
const SETS: [OpSet; 3] = [OpSet::Down, OpSet::Up, OpSet::Normal];

/// One row of logits an edge in each of three matrices: down [E, 6], up [E, 4], normal [E, 7], the last shared by both cells. An edge
/// reads the row of the set that it chooses from; the others never have a gradient.
pub struct Alpha {
    /// Nodes of a cell.
    pub nodes: usize,
    /// In the order down, up, normal.
    pub logits: [Tensor; 3],
}

impl Alpha {
    /// Near zero, drawn from `rng` in the order of [`Alpha::logits`].
    pub fn initial(nodes: usize, rng: &mut Rng, device: Device, kind: Kind) -> Self {
        let logits = SETS.map(|set| initial(&[offset(nodes) as i64, set.ops().len() as i64], rng, device, kind));
        Self { nodes, logits }
    }

    /// Softmax over every row, in the order of [`Alpha::logits`].
    pub fn softmax(&self) -> [Tensor; 3] {
        self.logits.each_ref().map(|l| l.softmax(-1, None::<Kind>))
    }

    /// Softmax over every row on the host, `[set][edge][op]`.
    pub fn probabilities(&self) -> [Vec<Vec<f64>>; 3] {
        self.softmax().each_ref().map(rows)
    }
}

/// Where a set stands in [`Alpha::logits`].
pub fn place(set: OpSet) -> usize {
    SETS.iter().position(|s| *s == set).expect("there are three sets")
}

/// The discrete cells. A node has as candidates every edge that halves or doubles, with its strongest operation, and the two best other
/// edges, each with its strongest operation but `none`. Where it has both kinds, the probabilities from the smaller set are scaled by the
/// ratio of the sets' sizes (6/7 in the down cell, 4/7 in the up cell). It keeps the two most probable, the weaker first. Ties go to the
/// lower source and the lower operation.
pub fn genotype(alpha: &Alpha) -> Architecture {
    let rows = alpha.probabilities();
    let cell = |direction| (0..alpha.nodes).map(|node| kept(&rows, direction, node)).collect();
    UnetCells { down: cell(Direction::Down), up: cell(Direction::Up) }.into()
}

/// Mean entropy of the rows of each set that some edge reads, in nats; the logarithm of the number of operations at the start.
pub fn entropies(alpha: &Alpha) -> [(&'static str, f64); 3] {
    let rows = alpha.probabilities();
    let cells = [Direction::Down, Direction::Up];
    let is_read = |set: OpSet, from: usize| cells.iter().any(|direction| direction.set(from) == set);
    [("down", OpSet::Down), ("up", OpSet::Up), ("normal", OpSet::Normal)].map(|(name, set)| {
        let edges = (0..alpha.nodes).flat_map(|node| (0..node + 2).map(move |from| (node, from)));
        let read = edges.filter(|(_, from)| is_read(set, *from)).map(|(node, from)| entropy(&rows[place(set)][offset(node) + from]));
        let all: Vec<f64> = read.collect();
        (name, all.iter().sum::<f64>() / all.len() as f64)
    })
}

fn kept(rows: &[Vec<Vec<f64>>; 3], direction: Direction, node: usize) -> [UnetEdge; 2] {
    let candidate = |from: usize| {
        let set = direction.set(from);
        let (op, probability) = strongest(set.ops(), SegmentOp::None, &rows[place(set)][offset(node) + from]);
        (set, probability, UnetEdge { op, from })
    };
    let (mut normal, mut changing): (Vec<_>, Vec<_>) = (0..node + 2).map(candidate).partition(|(set, ..)| *set == OpSet::Normal);
    normal.sort_by(|a, b| b.1.total_cmp(&a.1));
    normal.truncate(2);
    if !normal.is_empty() {
        // Both other sets are smaller than the normal one.
        changing.iter_mut().for_each(|(set, p, _)| *p *= set.ops().len() as f64 / OpSet::Normal.ops().len() as f64);
    }
    let mut all = [normal, changing].concat();
    all.sort_by_key(|(_, _, edge)| edge.from);
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    [all[1].2, all[0].2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradient::alpha::INITIAL_SPREAD;
    use crate::seed::Streams;
    use crate::space::Genotype;
    use std::collections::HashSet;

    fn random(seed: u64, nodes: usize, spread: f64) -> Alpha {
        let alpha = Alpha::initial(nodes, &mut Streams::new(seed).rng("alpha", 0), Device::Cpu, Kind::Double);
        let logits = alpha.logits.each_ref().map(|l| l.detach() * (spread / INITIAL_SPREAD));
        Alpha { logits, ..alpha }
    }

    #[test]
    fn entropies_are_those_of_a_uniform_choice_at_the_start_and_of_read_rows_alone() {
        for (name, entropy) in entropies(&random(1, 3, 1e-4)) {
            let ops = match name {
                "down" => 6.0f64,
                "up" => 4.0,
                _ => 7.0,
            };
            assert!((entropy - ops.ln()).abs() < 1e-6, "{name}");
        }
        let alpha = zero(2);
        // Row 1 is that of the up edge of node 0; row 0 of the up set is read by no edge.
        let _ = alpha.logits[1].get(1).get(2).fill_(60.0);
        let _ = alpha.logits[1].get(0).get(2).fill_(60.0);
        assert!((entropies(&alpha)[1].1 - 4f64.ln() / 2.0).abs() < 1e-9);
    }

    fn zero(nodes: usize) -> Alpha {
        random(0, nodes, 0.0)
    }

    /// Logits whose row has probability `p` for `op` and the rest in equal parts.
    fn set(alpha: &Alpha, ops: OpSet, row: usize, op: SegmentOp, p: f64) {
        let column = ops.ops().iter().position(|o| *o == op).unwrap();
        let others = (ops.ops().len() - 1) as f64;
        let _ = alpha.logits[place(ops)].get(row as i64).get(column as i64).fill_((p * others / (1.0 - p)).ln());
    }

    fn cells(alpha: &Alpha) -> UnetCells {
        genotype(alpha).get::<UnetCells>().unwrap().clone()
    }

    #[test]
    fn rows_are_those_of_the_public_code() {
        let at = |nodes| (offset(nodes), zero(nodes).logits.iter().map(Tensor::numel).sum::<usize>());
        assert_eq!([2, 3, 4].map(at), [(5, 85), (9, 153), (14, 238)]);
        assert_eq!((0..4).map(offset).collect::<Vec<_>>(), [0, 2, 5, 9]);
        for p in random(1, 3, 2.0).softmax() {
            assert!((p.sum_dim_intlist([1i64].as_slice(), false, Kind::Double) - 1.0).abs().max().double_value(&[]) < 1e-12);
        }
    }

    #[test]
    fn a_thousand_random_logits_give_legal_cells() {
        for seed in 0..1000 {
            let alpha = random(seed, 1 + seed as usize % 5, 3.0);
            if seed % 2 == 0 {
                let _ = alpha.logits[2].select(1, 1).fill_(50.0);
            }
            let found = cells(&alpha);
            found.check().unwrap();
            assert_eq!(found.nodes(), alpha.nodes);
            for nodes in [&found.down, &found.up] {
                assert!(nodes.iter().flatten().all(|e| e.op != SegmentOp::None));
                assert!(nodes.iter().all(|[a, b]| a.from != b.from));
                assert_eq!(nodes[0].iter().map(|e| e.from).collect::<HashSet<_>>(), HashSet::from([0, 1]));
            }
        }
    }

    #[test]
    fn edges_of_the_smaller_set_are_scaled_down_where_they_compete() {
        use SegmentOp as O;
        let alpha = zero(2);
        // Down cell, first node: both edges halve. Second node (rows 2 to 4): 0.34 x 6/7 = 0.291 and 0.30 x 6/7 = 0.257 against 0.28.
        set(&alpha, OpSet::Down, 0, O::DownConv, 0.4);
        set(&alpha, OpSet::Down, 1, O::MaxPool, 0.5);
        set(&alpha, OpSet::Down, 2, O::DownDepConv, 0.34);
        set(&alpha, OpSet::Down, 3, O::DownCweight, 0.30);
        set(&alpha, OpSet::Normal, 4, O::DilConv, 0.28);
        // Up cell, second node: 0.50 x 4/7 = 0.286 against 0.29 (row 2) and 0.28 (row 4).
        set(&alpha, OpSet::Up, 3, O::UpDilConv, 0.50);
        set(&alpha, OpSet::Normal, 2, O::Cweight, 0.29);
        let found = cells(&alpha);
        let edge = |op, from| UnetEdge { op, from };
        assert_eq!(found.down[0], [edge(O::DownConv, 0), edge(O::MaxPool, 1)], "the weaker first");
        assert_eq!(found.down[1], [edge(O::DilConv, 2), edge(O::DownDepConv, 0)]);
        assert_eq!(found.up[1], [edge(O::UpDilConv, 1), edge(O::Cweight, 0)]);
        // Unscaled, state 1 of the down cell would win over state 2.
        set(&alpha, OpSet::Down, 3, O::DownCweight, 0.33);
        assert_eq!(cells(&alpha).down[1], [edge(O::DownCweight, 1), edge(O::DownDepConv, 0)]);
        // An up cell need not go up after its first node.
        set(&alpha, OpSet::Up, 3, O::UpDilConv, 0.30);
        assert_eq!(cells(&alpha).up[1], [edge(O::DilConv, 2), edge(O::Cweight, 0)]);
    }

    #[test]
    fn ties_go_to_the_lower_source_and_operation_and_none_never_wins() {
        let alpha = zero(3);
        let _ = alpha.logits[2].select(1, 1).fill_(9.0);
        let found = cells(&alpha);
        for node in &found.down {
            assert_eq!(*node, [UnetEdge { op: SegmentOp::AvgPool, from: 1 }, UnetEdge { op: SegmentOp::AvgPool, from: 0 }]);
        }
        // `none` takes the probability of the normal edges, so that the edge up is the stronger.
        assert!(
            found.up.iter().all(|n| *n == [UnetEdge { op: SegmentOp::Identity, from: 0 }, UnetEdge { op: SegmentOp::UpCweight, from: 1 }])
        );
    }
}
