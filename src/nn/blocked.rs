//! Maps of images in blocks, and what cells are made of over them: sums of stages and pools, each in one pass with its gradient.

use super::kernels::{PoolKind, takes};
use crate::shim;
use tch::{Kind, Tensor};

/// Scale and shift, or mean and variance.
type Pair<'a> = (&'a Tensor, &'a Tensor);

/// A stage of a cell network: ReLU (if `relu`), depthwise convolution (if there is one), pointwise convolution, batch norm. It keeps the size of
/// the map, but for the stride.
#[derive(Debug)]
pub struct BlockedStage<'a> {
    /// [C, 1, K, K], K odd
    pub depthwise: Option<&'a Tensor>,
    /// [C', C, 1, 1]
    pub pointwise: &'a Tensor,
    /// Scale and shift, `[C']` each.
    pub affine: Option<(Tensor, Tensor)>,
    /// Running mean and variance, `[C']` each; training moves them by a tenth.
    pub running: (Tensor, Tensor),
    /// Whether a ReLU comes first.
    pub relu: bool,
    /// Of the depthwise convolution, or of the pointwise one where there is none.
    pub stride: i64,
    /// Of the depthwise convolution.
    pub dilation: i64,
    /// Pixels by which the map is moved up and to the left before the convolution; zeros move in. 0 where there is a depthwise convolution.
    pub shift: i64,
    /// First channel of the sum that the stage adds to, for the last stage of a term.
    pub first: i64,
}

impl<'a> BlockedStage<'a> {
    /// ReLU, pointwise convolution, batch norm by `part` of the norm's tensors.
    pub(super) fn new(pointwise: &'a Tensor, affine: Option<Pair>, running: Pair, part: impl Fn(&Tensor) -> Tensor) -> Self {
        let both = |(a, b): Pair| (part(a), part(b));
        let (affine, running) = (affine.map(both), both(running));
        Self { depthwise: None, pointwise, affine, running, relu: true, stride: 1, dilation: 1, shift: 0, first: 0 }
    }
}

/// The sum of chains of stages over images, in one pass: [N, C, H, W] → [N, C', H', W']. `None` where the kernels do not take such tensors or no gradient
/// could be given.
///
/// # Panics
/// As tch does, with libtorch's message.
pub(super) fn chains(x: &Tensor, chains: Vec<Vec<BlockedStage>>, training: bool) -> Option<Tensor> {
    if !takes(x) {
        return None;
    }
    let terms: Vec<_> = chains.into_iter().map(|stages| BlockedTerm { source: 0, coefficient: None, stages }).collect();
    sum(&[x], None, &terms, None, training)
}

/// A term of a sum: a source times a coefficient, or a chain of stages over it times a coefficient.
#[derive(Debug)]
pub struct BlockedTerm<'a> {
    /// Which of the sources.
    pub source: usize,
    /// Which of the coefficients; 1 if there is none.
    pub coefficient: Option<usize>,
    /// The chain.
    pub stages: Vec<BlockedStage<'a>>,
}

/// Maps of images [blocks, C, H, W, lanes] for the processor's vectors: a block is as many images as a vector has lanes, and one vector holds
/// the same pixel of each of them. Lanes beyond the last image hold anything and have no gradient.
#[derive(Debug)]
pub struct Blocked {
    maps: Tensor,
    images: i64,
}

impl Blocked {
    /// Of [N, C, H, W]; `None` where the kernels do not take such tensors.
    pub fn from_images(x: &Tensor) -> Option<Self> {
        if !takes(x) {
            return None;
        }
        let (images, c, h, w) = x.size4().expect("maps have four dimensions");
        let lanes = shim::lanes(x.kind(), images);
        let missing = (lanes - images % lanes) % lanes;
        let whole = if missing > 0 { x.constant_pad_nd([0, 0, 0, 0, 0, 0, 0, missing]) } else { x.shallow_clone() };
        let maps = whole.view([-1, lanes, c, h, w]).permute([0, 2, 3, 4, 1]).contiguous();
        Some(Self { maps, images })
    }

    /// [N, C, H, W]
    #[cfg(test)]
    pub fn to_images(&self) -> Tensor {
        let s = self.maps.size();
        self.maps.permute([0, 4, 1, 2, 3]).reshape([-1, s[1], s[2], s[3]]).narrow(0, 0, self.images)
    }

    /// Mean over the map: [N, C].
    pub fn global_average(&self) -> Tensor {
        let means = self.maps.mean_dim([2i64, 3].as_slice(), false, None::<Kind>); // [blocks, C, lanes]
        means.transpose(1, 2).reshape([-1, means.size()[1]]).narrow(0, 0, self.images)
    }

    /// The channels of all, one after the other.
    pub fn join(all: &[Self]) -> Self {
        Self { maps: Tensor::cat(&all.iter().map(|b| &b.maps).collect::<Vec<_>>(), 1), images: all[0].images }
    }

    /// The same maps, not copied.
    pub fn share(&self) -> Self {
        Self { maps: self.maps.shallow_clone(), images: self.images }
    }

    /// Sum of terms over sources of as many images; `coefficients` is a vector. `None` where no gradient could be given: while scoring.
    ///
    /// # Panics
    /// As tch does, with libtorch's message.
    pub fn sum(sources: &[&Self], coefficients: Option<&Tensor>, terms: &[BlockedTerm], training: bool) -> Option<Self> {
        let images = sources[0].images;
        let maps: Vec<&Tensor> = sources.iter().map(|s| &s.maps).collect();
        Some(Self { maps: sum(&maps, coefficients, terms, Some(images), training)?, images })
    }

    /// Pooling with an odd square window (see [`super::pool`]), and batch norm without scale and shift. All pairs of running means and variances
    /// move alike; scoring uses the first.
    ///
    /// # Panics
    /// As tch does, with libtorch's message.
    pub fn pool_norm(&self, of: PoolKind, kernel: i64, stride: i64, running: &[(&Tensor, &Tensor)], training: bool) -> Self {
        let running: Vec<&Tensor> = running.iter().flat_map(|(mean, variance)| [*mean, *variance]).collect();
        let maps = shim::pool_norm(&self.maps, self.images, of == PoolKind::Maximum, kernel, stride, training, &running);
        Self { maps, images: self.images }
    }
}

/// Calls the kernel. `blocked`: as many images are in the blocks; `None` for maps [N, C, H, W].
fn sum(maps: &[&Tensor], coefficients: Option<&Tensor>, terms: &[BlockedTerm], blocked: Option<i64>, training: bool) -> Option<Tensor> {
    let mut inputs: Vec<&Tensor> = maps.iter().copied().chain(coefficients).collect();
    let mut running: Vec<&Tensor> = Vec::new();
    let flag = i64::from;
    let images = blocked.unwrap_or_else(|| maps[0].size()[0]);
    let mut numbers = vec![maps.len() as i64, flag(coefficients.is_some()), flag(training), flag(blocked.is_none()), images];
    for term in terms {
        numbers.extend([term.source as i64, term.coefficient.map_or(-1, |c| c as i64), term.stages.len() as i64]);
        for s in &term.stages {
            let flags = [flag(s.depthwise.is_some()), flag(s.affine.is_some())];
            numbers.extend([s.stride, s.dilation, s.shift, flag(s.relu), s.first, flags[0], flags[1]]);
            inputs.extend(s.depthwise);
            inputs.push(s.pointwise);
            inputs.extend(s.affine.iter().flat_map(|(g, b)| [g, b]));
            running.extend([&s.running.0, &s.running.1]);
        }
    }
    if inputs.iter().any(|t| t.kind() != inputs[0].kind()) {
        return None;
    }
    shim::sum(&inputs, &running, &numbers)
}

#[cfg(test)]
#[path = "blocked_tests.rs"]
mod tests;
