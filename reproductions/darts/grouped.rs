//! The search network by few operators, for a card, which waits for the start of every one: the same numbers as in [`super::supernet`] up to rounding.
//!
//! The edges of a cell that leave one state are computed together; those that leave its two inputs are too. Their convolutions are one over joined channels: blocks of C
//! channels, by operation, target and source. The 3x3 windows are 5x5 windows with a border of zeros, and a factorised reduction is a 2x2 window with two zeros, so that
//! one depthwise convolution does both separable operations and another both dilated ones. A state is pooled once for all edges, as their pools are the same. What all edges
//! give is normalised at once, and a 1x1 convolution whose weights are the softmax of alpha adds it up for every node that it goes to ("mixing").
//!
//! All weights, all running statistics and all mixing weights are taken out of their flat vectors by one index each ([`super::pieces`]); [`super::joined`] makes these.

use super::pieces::{Gather, Piece, Taken};
use crate::nn::{Weights, batch_norm, global_average, join};
use crate::space::darts::NODES;
use tch::{Kind, Tensor, no_grad};

/// Running mean and variance of joined channels.
pub(super) struct Norm(pub [Piece; 2]);

/// The search network in its grouped form.
pub struct Grouped {
    pub(super) weights: Gather,
    pub(super) mixing: Gather,
    pub(super) running: Gather,
    /// Where each running statistic stands among those that are taken.
    pub(super) back: Tensor,
    pub(super) stem: (Piece, [Piece; 2], Norm),
    pub(super) cells: Vec<GroupedCell>,
    pub(super) classifier: [Piece; 2],
}

pub(super) struct GroupedCell {
    pub channels: i64,
    pub reduction: bool,
    /// What bring the older and the newer input to the cell's width.
    pub enter: [Piece; 2],
    /// Whether the older one is halved.
    pub halves: bool,
    pub norm: Norm,
    /// Of the edges that leave the inputs, the first node, the second, the third.
    pub groups: Vec<Group>,
}

/// The edges that leave some states of one cell together.
pub(super) struct Group {
    pub stride: i64,
    pub sources: i64,
    pub targets: i64,
    /// First depthwise convolution of the separable and of the dilated operations.
    pub first: [Piece; 2],
    /// The pointwise convolution after it.
    pub pointwise: [Piece; 2],
    /// After the first stage of the separable operations, which have another.
    pub inner: Norm,
    pub second: Piece,
    pub second_pointwise: Piece,
    /// Skip connections that halve the map.
    pub skip: Option<Piece>,
    pub norm: Norm,
    pub mixing: Piece,
}

/// What a pass takes out of the flat vectors.
struct Pass<'a> {
    weights: &'a Taken,
    mixing: &'a Taken,
    running: &'a Taken,
    training: bool,
}

impl Grouped {
    /// Class scores [N, classes] of images [N, C, H, W] under logits alpha [2, 14, 8].
    pub fn forward(&self, w: &Weights, alpha: &Tensor, x: &Tensor, training: bool) -> Tensor {
        let weights = &self.weights.take(w.whole());
        // p = softmax(alpha), one scalar an edge and operation
        let mixing = &self.mixing.take(&alpha.softmax(-1, None::<Kind>).reshape([-1]));
        let running = &no_grad(|| self.running.take(w.flat_stats()));
        let pass = Pass { weights, mixing, running, training };
        let (kernel, [scale, shift], norm) = &self.stem;
        let stem = pass.norm(&convolved(x, &weights[*kernel], 1, 1, 1), Some((&weights[*scale], &weights[*shift])), norm);
        // Both inputs of a cell are read behind a ReLU alone.
        let mut newer = stem.relu();
        let mut older = newer.shallow_clone();
        let mut last = stem;
        for (i, cell) in self.cells.iter().enumerate() {
            last = cell.forward(&pass, &older, &newer);
            if i + 1 < self.cells.len() {
                (older, newer) = (newer, last.relu());
            }
        }
        if training {
            no_grad(|| w.flat_stats().shallow_clone().copy_(&running.all.index_select(0, &self.back)));
        }
        let [weight, bias] = self.classifier.map(|piece| &weights[piece]);
        global_average(&last).linear(weight, Some(bias))
    }
}

impl Pass<'_> {
    fn norm(&self, x: &Tensor, affine: Option<(&Tensor, &Tensor)>, norm: &Norm) -> Tensor {
        let [mean, variance] = norm.0.map(|piece| &self.running[piece]);
        batch_norm(x, affine, (mean, variance), self.training)
    }
}

impl GroupedCell {
    /// `older` and `newer` are behind their ReLU.
    fn forward(&self, pass: &Pass, older: &Tensor, newer: &Tensor) -> Tensor {
        let [first, second] = self.enter.map(|piece| &pass.weights[piece]);
        let older = if self.halves { halved(older, first, 1) } else { convolved(older, first, 1, 1, 1) };
        let newer = convolved(newer, second, 1, 1, 1);
        let x = pass.norm(&join(&[&older, &newer]), None, &self.norm);
        // All four nodes as far as they are added up, [N, 4 C, H', W'], and the next state once more for each operator that reads it.
        let mut nodes = self.groups[0].forward(pass, (!self.reduction).then_some(&x), [&x, &x, &x]);
        for group in &self.groups[1..] {
            let c = self.channels;
            let parts = nodes.split_with_sizes([NODES as i64 * c, c, c, c].as_slice(), 1);
            nodes = group.forward(pass, Some(&parts[0]), [&parts[1], &parts[2], &parts[3]]);
        }
        nodes // [N, 4 C, H', W']
    }
}

impl Group {
    /// `lead`: what is added up as it is. The states are given once to each operator that reads them: ReLU and both pools; [N, S C, H, W] each.
    fn forward(&self, pass: &Pass, lead: Option<&Tensor>, [x, pooled, averaged]: [&Tensor; 3]) -> Tensor {
        let w = |piece: Piece| &pass.weights[piece];
        let rectified = x.relu();
        let edges = self.sources * self.targets;
        let all = rectified.repeat([1, 2 * self.targets, 1, 1]);
        let blocks = 2 * edges;
        let depthwise = |x: &Tensor, piece, stride, dilation| convolved(x, w(piece), stride, dilation, x.size()[1]);
        let pointwise = |x: &Tensor, piece| convolved(x, w(piece), 1, 1, blocks);

        let separable = pointwise(&depthwise(&all, self.first[0], self.stride, 1), self.pointwise[0]);
        let separable = pass.norm(&separable, None, &self.inner).relu();
        let separable = pointwise(&depthwise(&separable, self.second, 1, 1), self.second_pointwise);
        let dilated = pointwise(&depthwise(&all, self.first[1], self.stride, 2), self.pointwise[1]);
        let [side, stride, border] = [3, self.stride, 1].map(|n| [n, n]);
        let pooled = pooled.max_pool2d(side, stride, border, [1, 1], false);
        let averaged = averaged.avg_pool2d(side, stride, border, false, false, None);
        let skipped = self.skip.map(|piece| halved(&rectified, w(piece), self.sources));

        let mut terms = vec![&separable, &dilated, &pooled, &averaged];
        terms.extend(&skipped);
        let normed = pass.norm(&join(&terms), None, &self.norm);
        let joined = lead.map_or_else(|| normed.shallow_clone(), |lead| join(&[lead, &normed]));
        self.mix(pass, &joined)
    }

    /// Equation 2 for all edges: [N, K C, H, W] → [N, R C, H, W].
    fn mix(&self, pass: &Pass, joined: &Tensor) -> Tensor {
        let (n, _, height, width) = joined.size4().expect("maps have four dimensions");
        let mixing = &pass.mixing[self.mixing]; // [R, K, 1, 1]
        let terms = joined.view([n, mixing.size()[1], -1, width]);
        terms.conv2d(mixing, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1).view([n, -1, height, width])
    }
}

/// A convolution whose odd window keeps the size at stride 1.
fn convolved(x: &Tensor, kernel: &Tensor, stride: i64, dilation: i64, groups: i64) -> Tensor {
    let border = dilation * (kernel.size()[3] - 1) / 2;
    x.conv2d(kernel, None::<&Tensor>, [stride, stride], [border, border], [dilation, dilation], groups)
}

/// A factorised reduction without its ReLU and its norm, by a 2x2 window; odd sizes are filled up with zeros.
fn halved(x: &Tensor, kernel: &Tensor, groups: i64) -> Tensor {
    let (_, _, height, width) = x.size4().expect("maps have four dimensions");
    let odd = [height % 2, width % 2];
    let filled = (odd != [0, 0]).then(|| x.constant_pad_nd([0, odd[1], 0, odd[0]]));
    filled.as_ref().unwrap_or(x).conv2d(kernel, None::<&Tensor>, [2, 2], [0, 0], [1, 1], groups)
}

#[cfg(test)]
#[path = "grouped_tests.rs"]
mod tests;
