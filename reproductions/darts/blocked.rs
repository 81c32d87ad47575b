//! The search network over blocks of images, by our kernels: the same numbers as in [`super::supernet`] up to rounding, a node at a time.

use super::alpha::OPS;
use super::supernet::{MixedCell, Supernet};
use crate::gradient::alpha::offset;
use crate::network::{Candidate, PoolOf};
use crate::nn::{Blocked, BlockedTerm as Term, Weights};
use crate::space::darts::{EDGES, NODES};
use tch::Tensor;

impl Supernet {
    /// The same cells over blocks of images, a node at a time: [N, C]. `None` where our kernels do not take the tensors, or no gradient could be given.
    pub(super) fn features_blocked(&self, w: &Weights, p: &Tensor, stem: &Tensor, training: bool) -> Option<Tensor> {
        let halves = p.split_with_sizes([(EDGES * OPS) as i64; 2].as_slice(), 0);
        let mut newer = Blocked::from_images(stem)?;
        let mut older = newer.share();
        for cell in &self.cells {
            let out = cell.forward_blocked(w, &halves[usize::from(cell.reduction)], &older, &newer, training)?;
            (older, newer) = (newer, out);
        }
        Some(newer.global_average())
    }
}

impl MixedCell {
    /// As [`MixedCell::forward`], p being a vector. A node is one sum over all operations of all its edges, in which p is part of the last batch
    /// norm of each. Every state is pooled once for all edges that leave it: their pools are the same, and so is what their norms remember.
    fn forward_blocked(&self, w: &Weights, p: &Tensor, older: &Blocked, newer: &Blocked, training: bool) -> Option<Blocked> {
        let mut states = Vec::from(self.preprocess.forward_blocked(w, older, newer, training)?);
        let mut pooled: Vec<Vec<Blocked>> = Vec::new();
        for node in 0..NODES {
            for (from, state) in states.iter().enumerate().skip(pooled.len()) {
                let leaving = || (from.saturating_sub(1)..NODES).map(|node| &self.edges[offset(node) + from]);
                let pools = self.edges[offset(node) + from].iter().enumerate().filter_map(|(k, op)| Some((k, pool_of(op)?)));
                let of =
                    |(k, pool): (usize, &PoolOf)| state.pool_norm(pool.kind, 3, pool.stride, &pool_statistics(leaving(), k, w), training);
                pooled.push(pools.map(of).collect());
            }
            // The states, then what each has been pooled to.
            let mut sources: Vec<&Blocked> = states.iter().collect();
            let mut terms = Vec::new();
            for (from, pools) in pooled.iter().enumerate() {
                let mut pools = pools.iter();
                for (k, op) in self.edges[offset(node) + from].iter().enumerate() {
                    let coefficient = Some(from * OPS + k);
                    if pool_of(op).is_some() {
                        terms.push(Term { source: sources.len(), coefficient, stages: Vec::new() });
                        sources.push(pools.next().expect("a pool has been taken"));
                    } else {
                        terms.extend(op.terms(w, from, coefficient)?);
                    }
                }
            }
            let coefficients = p.narrow(0, (offset(node) * OPS) as i64, ((node + 2) * OPS) as i64);
            let sum = Blocked::sum(&sources, Some(&coefficients), &terms, training)?;
            states.push(sum);
        }
        Some(Blocked::join(&states[2..]))
    }
}

/// Running statistics of the norm after the pool of column `op` of alpha, on every edge in `edges`.
fn pool_statistics<'a>(edges: impl Iterator<Item = &'a Vec<Candidate>>, op: usize, w: &'a Weights) -> Vec<(&'a Tensor, &'a Tensor)> {
    edges.filter_map(|edge| pool_of(&edge[op])?.norm.map(|norm| norm.running(w))).collect()
}

fn pool_of(op: &Candidate) -> Option<&PoolOf> {
    if let Candidate::Pool(pool) = op { Some(pool) } else { None }
}
