//! The computation graph of a module, as the hypernetwork reads it (paper, section 3.1).

use crate::space::{Cell, GhnOp, ghn};

/// What a vertex stands for; it decides the state that the vertex starts with and the branch that gives its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A node of a block.
    Node(GhnOp),
    /// Brings an input of a block to its width.
    Input,
    /// Averages what no node reads.
    Output,
    /// The first convolution of the network.
    Stem,
    /// The classifier.
    Head,
}

impl Kind {
    /// All kinds; the place in this list is that of the 1 in a one-hot start, or the row of the embedding.
    pub fn all() -> impl Iterator<Item = Self> {
        ghn::OPS.into_iter().map(Self::Node).chain([Self::Input, Self::Output, Self::Stem, Self::Head])
    }

    /// Place in [`Kind::all`].
    pub fn index(self) -> usize {
        Self::all().position(|k| k == self).expect("every operation of the space is a kind")
    }
}

/// A directed acyclic graph whose vertices are numbered in a topological order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// Kind of every vertex.
    pub kinds: Vec<Kind>,
    /// The vertices that each reads.
    pub preds: Vec<Vec<usize>>,
}

impl Graph {
    /// A block: its two inputs, its nodes, and one output, which everything reaches.
    pub fn of_block(cell: &Cell<GhnOp>) -> Self {
        let mut kinds = vec![Kind::Input; 2];
        let mut preds = vec![Vec::new(); 2];
        for [a, b] in &cell.nodes {
            kinds.push(Kind::Node(a.op));
            preds.push(vec![a.from, b.from]);
        }
        kinds.push(Kind::Output);
        preds.push(cell.concat.clone());
        Self { kinds, preds }
    }

    /// A module of one vertex.
    pub fn single(kind: Kind) -> Self {
        Self { kinds: vec![kind], preds: vec![Vec::new()] }
    }

    /// Number of vertices.
    pub fn vertices(&self) -> usize {
        self.kinds.len()
    }

    /// The vertices that read each.
    pub fn succs(&self) -> Vec<Vec<usize>> {
        let mut succs = vec![Vec::new(); self.vertices()];
        for (v, preds) in self.preds.iter().enumerate() {
            preds.iter().for_each(|u| succs[*u].push(v));
        }
        succs
    }

    /// The vertices in groups: those of a group do not read each other, and `before` of each stand in earlier groups.
    pub fn levels(before: &[Vec<usize>], order: impl Iterator<Item = usize>) -> Vec<Vec<usize>> {
        let mut level = vec![0; before.len()];
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for v in order {
            level[v] = before[v].iter().map(|u| level[*u] + 1).max().unwrap_or(0);
            groups.resize_with(groups.len().max(level[v] + 1), Vec::new);
            groups[level[v]].push(v);
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;
    use crate::space::ghn;

    #[test]
    fn a_block_has_one_sink_and_levels_keep_the_order() {
        for i in 0..200 {
            let cell = ghn::sample(15, &mut Streams::new(1).rng("sample", i));
            let graph = Graph::of_block(&cell);
            assert_eq!(graph.vertices(), 18);
            let succs = graph.succs();
            let sinks: Vec<usize> = (0..graph.vertices()).filter(|v| succs[*v].is_empty()).collect();
            assert_eq!(sinks, [17]);
            for (before, order) in [(&graph.preds, (0..18).collect::<Vec<_>>()), (&succs, (0..18).rev().collect())] {
                let groups = Graph::levels(before, order.into_iter());
                let of = |v: usize| groups.iter().position(|g| g.contains(&v)).unwrap();
                assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), 18);
                assert!((0..18).all(|v| before[v].iter().all(|u| of(*u) < of(v))));
            }
        }
    }
}
