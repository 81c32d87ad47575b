//! Maps of images in blocks, and what cells are made of over them: sums of stages and pools, each in one pass with its gradient.

use super::planes::{adopt, lanes, last_error, takes};
use std::ffi::c_void;
use tch::{Kind, Tensor};

unsafe extern "C" {
    fn naslab_sum(
        inputs: *const *const c_void,
        input_count: i64,
        running: *const *const c_void,
        running_count: i64,
        numbers: *const i64,
        number_count: i64,
    ) -> *mut c_void;
    fn naslab_pool_norm(
        x: *const c_void,
        images: i64,
        maximum: bool,
        kernel: i64,
        stride: i64,
        training: bool,
        running: *const *const c_void,
        count: i64,
    ) -> *mut c_void;
}

/// A stage of a cell network: ReLU (if `relu`), depthwise convolution (if there is one), pointwise convolution, batch norm. It keeps the size of
/// the map, but for the stride.
#[derive(Debug)]
pub struct Stage<'a> {
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
    /// Pixels by which the map is moved up and to the left before the convolution; zeros move in.
    pub shift: i64,
    /// First channel of the sum that the stage adds to, for the last stage of a term.
    pub first: i64,
}

impl Stage<'_> {
    /// [N, C, H, W] → [N, C', H', W'], in one pass; `None` where the kernels do not take such tensors or no gradient could be given.
    ///
    /// # Panics
    /// As tch does, with libtorch's message.
    pub fn forward(self, x: &Tensor, training: bool) -> Option<Tensor> {
        if !takes(x) {
            return None;
        }
        let images = x.size()[0];
        let term = Term { source: 0, coefficient: None, stages: vec![self] };
        sum(&[x], None, &[term], images, true, training)
    }
}

/// A term of a sum: a source times a coefficient, or a chain of stages over it times a coefficient.
#[derive(Debug)]
pub struct Term<'a> {
    /// Which of the sources.
    pub source: usize,
    /// Which of the coefficients; 1 if there is none.
    pub coefficient: Option<usize>,
    /// The chain.
    pub stages: Vec<Stage<'a>>,
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
        let lanes = lanes(x.kind());
        let missing = (lanes - images % lanes) % lanes;
        let whole = if missing > 0 { x.constant_pad_nd([0, 0, 0, 0, 0, 0, 0, missing]) } else { x.shallow_clone() };
        let maps = whole.view([-1, lanes, c, h, w]).permute([0, 2, 3, 4, 1]).contiguous();
        Some(Self { maps, images })
    }

    /// [N, C, H, W]
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
    pub fn sum(sources: &[&Self], coefficients: Option<&Tensor>, terms: &[Term], training: bool) -> Option<Self> {
        let images = sources[0].images;
        let maps: Vec<&Tensor> = sources.iter().map(|s| &s.maps).collect();
        Some(Self { maps: sum(&maps, coefficients, terms, images, false, training)?, images })
    }

    /// Pooling with an odd square window (see [`super::pool`]), and batch norm without scale and shift. All pairs of running means and variances
    /// move alike; scoring uses the first.
    ///
    /// # Panics
    /// As tch does, with libtorch's message.
    pub fn pool_norm(&self, maximum: bool, kernel: i64, stride: i64, running: &[(&Tensor, &Tensor)], training: bool) -> Self {
        let flat: Vec<*const c_void> = running.iter().flat_map(|(m, v)| [m.as_ptr().cast(), v.as_ptr().cast()]).collect();
        // SAFETY: all pointers are tensors that live through the call.
        let maps = adopt(unsafe {
            naslab_pool_norm(self.maps.as_ptr().cast(), self.images, maximum, kernel, stride, training, flat.as_ptr(), flat.len() as i64)
        });
        Self { maps, images: self.images }
    }
}

/// Calls the kernel. `of_images`: the maps are [N, C, H, W].
fn sum(maps: &[&Tensor], coefficients: Option<&Tensor>, terms: &[Term], images: i64, of_images: bool, training: bool) -> Option<Tensor> {
    let mut inputs: Vec<&Tensor> = maps.iter().copied().chain(coefficients).collect();
    let mut running: Vec<&Tensor> = Vec::new();
    let flag = i64::from;
    let mut numbers = vec![maps.len() as i64, flag(coefficients.is_some()), flag(training), flag(of_images), images];
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
    let pointers = |tensors: &[&Tensor]| -> Vec<*const c_void> { tensors.iter().map(|t| t.as_ptr().cast()).collect() };
    let (inputs, running) = (pointers(&inputs), pointers(&running));
    // SAFETY: all pointers are tensors that live through the call.
    let out = unsafe {
        naslab_sum(inputs.as_ptr(), inputs.len() as i64, running.as_ptr(), running.len() as i64, numbers.as_ptr(), numbers.len() as i64)
    };
    (!out.is_null() || !last_error().is_empty()).then(|| adopt(out))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{largest, random, same};
    use super::*;
    use tch::Device;

    fn ones(n: i64, kind: Kind) -> (Tensor, Tensor) {
        (Tensor::zeros([n], (kind, Device::Cpu)), Tensor::ones([n], (kind, Device::Cpu)))
    }

    /// The stage by libtorch's own operations.
    fn plain(s: &Stage, x: &Tensor, training: bool) -> Tensor {
        let x = if s.relu { x.relu() } else { x.shallow_clone() };
        let x =
            if s.shift > 0 { x.constant_pad_nd([0, s.shift, 0, s.shift]).slice(2, s.shift, None, 1).slice(3, s.shift, None, 1) } else { x };
        let pair = |v: i64| [v, v];
        let x = match s.depthwise {
            Some(w) => {
                let padding = s.dilation * (w.size()[3] - 1) / 2;
                x.conv2d(w, None::<&Tensor>, pair(s.stride), pair(padding), pair(s.dilation), x.size()[1])
            }
            None => x,
        };
        let stride = if s.depthwise.is_some() { 1 } else { s.stride };
        let x = x.conv2d(s.pointwise, None::<&Tensor>, pair(stride), [0, 0], [1, 1], 1);
        let (gamma, beta) = s.affine.as_ref().map_or((None, None), |(g, b)| (Some(g), Some(b)));
        x.batch_norm(gamma, beta, Some(&s.running.0), Some(&s.running.1), training, 0.1, 1e-5, true)
    }

    /// The weights of a stage: depthwise and pointwise kernel, scale and shift.
    struct Kernels(Option<Tensor>, Tensor, Option<(Tensor, Tensor)>, (Tensor, Tensor));

    impl Kernels {
        fn new(kind: Kind, inputs: i64, outputs: i64, window: Option<i64>, affine: bool) -> Self {
            let dw = window.map(|k| random(&[inputs, 1, k, k], kind));
            let affine = affine.then(|| (random(&[outputs], kind), random(&[outputs], kind)));
            Self(dw, random(&[outputs, inputs, 1, 1], kind), affine, ones(outputs, kind))
        }

        fn all(&self) -> Vec<&Tensor> {
            self.0.iter().chain([&self.1]).chain(self.2.iter().flat_map(|(g, b)| [g, b])).collect()
        }

        fn stage(&self, how: (bool, i64, i64, i64, i64)) -> Stage<'_> {
            let (relu, stride, dilation, shift, first) = how;
            let pair = |(a, b): &(Tensor, Tensor)| (a.shallow_clone(), b.shallow_clone());
            Stage {
                depthwise: self.0.as_ref(),
                pointwise: &self.1,
                affine: self.2.as_ref().map(pair),
                running: pair(&self.3),
                relu,
                stride,
                dilation,
                shift,
                first,
            }
        }
    }

    fn check_stage(kind: Kind, within: f64, shape: [i64; 4], outputs: i64, window: Option<(i64, i64, i64)>, relu: bool, affine: bool) {
        let what = format!("{kind:?} {shape:?} to {outputs}, {window:?}, relu {relu}, affine {affine}");
        let (kernel, stride, dilation) = window.unwrap_or((1, if relu { 1 } else { 2 }, 1));
        let x = random(&shape, kind);
        let weights = Kernels::new(kind, shape[1], outputs, window.map(|_| kernel), affine);
        let theirs = Stage { running: ones(outputs, kind), ..weights.stage((relu, stride, dilation, 0, 0)) };
        let ours = || weights.stage((relu, stride, dilation, 0, 0));
        let mut inputs = vec![&x];
        inputs.extend(weights.all());
        same(&inputs, &ours().forward(&x, true).expect("the kernels take it"), &plain(&theirs, &x, true), within, &what);
        let running = &weights.3;
        assert!(largest(&running.0, &theirs.running.0) <= within && largest(&running.1, &theirs.running.1) <= within, "{what}: statistics");
        let scored = tch::no_grad(|| (ours().forward(&x, false).expect("the kernels take it"), plain(&ours(), &x, false)));
        assert!(largest(&scored.0, &scored.1) <= 10.0 * within, "{what}: scoring");
    }

    #[test]
    fn a_stage_agrees_with_its_parts() {
        for size in [(1, 1), (2, 2), (4, 4), (5, 7), (8, 8), (13, 10), (23, 17)] {
            for window in [
                None,
                Some((1, 1, 1)),
                Some((3, 1, 1)),
                Some((5, 1, 1)),
                Some((7, 1, 1)),
                Some((3, 2, 1)),
                Some((5, 2, 1)),
                Some((7, 2, 1)),
                Some((3, 1, 2)),
                Some((5, 1, 2)),
                Some((3, 2, 2)),
                Some((5, 2, 2)),
            ] {
                for (relu, affine, outputs, images) in [(true, true, 5, 9), (false, false, 4, 6), (true, false, 1, 16), (false, true, 9, 3)]
                {
                    check_stage(Kind::Double, 1e-12, [images, 3, size.0, size.1], outputs, window, relu, affine);
                }
                check_stage(Kind::Float, 1e-5, [20, 6, size.0, size.1], 8, window, true, true);
            }
        }
    }

    #[test]
    fn a_stage_agrees_for_every_number_of_channels() {
        for channels in 1..=130 {
            check_stage(Kind::Double, 1e-12, [5, channels, 3, 3], 131 - channels, Some((3, 1, 1)), true, true);
            check_stage(Kind::Float, 1e-5, [9, channels, 4, 3], 1 + channels % 7, Some((5, 1, 2)), true, false);
        }
    }

    /// A node of a cell: two maps, one of which is halved; chains, maps as they are, a pool, a factorised reduction; coefficients.
    fn check_sum(kind: Kind, within: f64, images: i64, channels: i64, (h, w): (i64, i64)) {
        let what = format!("{kind:?} {images} images, {channels} channels, {h}x{w}");
        let (wide, narrow) = (random(&[images, channels, 2 * h - 1, 2 * w], kind), random(&[images, channels, h, w], kind).cos());
        let p = random(&[6], kind);
        let half = channels / 2;
        let new = |inputs, outputs, window| Kernels::new(kind, inputs, outputs, window, false);
        let k = [
            new(channels, channels + 1, Some(3)),
            new(channels + 1, channels, Some(5)),
            new(channels, channels, Some(5)),
            new(channels, channels - half, None),
            new(channels, half.max(1), None),
        ];
        let chain = |source, coefficient, stages| Term { source, coefficient: Some(coefficient), stages };
        let pooled_running = [ones(channels, kind), ones(channels, kind)];
        let ours = {
            let sources = [&wide, &narrow].map(|x| Blocked::from_images(x).expect("the kernels take it"));
            let running: Vec<_> = pooled_running.iter().map(|(m, v)| (m, v)).collect();
            let pooled = sources[0].pool_norm(true, 3, 2, &running, true);
            let mut terms = vec![
                chain(0, 0, vec![k[0].stage((true, 2, 1, 0, 0)), k[1].stage((true, 1, 1, 0, 0))]),
                chain(1, 1, vec![k[2].stage((true, 1, 2, 0, 0))]),
                chain(1, 2, vec![]),
                chain(2, 3, vec![]),
                chain(0, 4, vec![k[3].stage((true, 2, 1, 0, 0))]),
            ];
            if half > 0 {
                terms.push(chain(0, 4, vec![k[4].stage((true, 2, 1, 1, channels - half))]));
            }
            let sum = Blocked::sum(&[&sources[0], &sources[1], &pooled], Some(&p), &terms, true).expect("it trains");
            sum.to_images()
        };
        let theirs = {
            fn own(k: &Kernels, how: (bool, i64, i64, i64, i64)) -> Stage<'_> {
                let stage = k.stage(how);
                Stage { running: ones(stage.running.0.size()[0], stage.running.0.kind()), ..stage }
            }
            let first = plain(&own(&k[0], (true, 2, 1, 0, 0)), &wide, true);
            let pool = wide.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
            let (mean, var) = ones(channels, kind);
            let pool = pool.batch_norm(None::<&Tensor>, None::<&Tensor>, Some(&mean), Some(&var), true, 0.1, 1e-5, true);
            for (m, v) in &pooled_running {
                assert!(largest(m, &mean) <= within && largest(v, &var) <= within, "{what}: statistics");
            }
            let mut halves = vec![plain(&own(&k[3], (true, 2, 1, 0, 0)), &wide, true)];
            if half > 0 {
                halves.push(plain(&own(&k[4], (true, 2, 1, 1, 0)), &wide, true));
            }
            plain(&own(&k[1], (true, 1, 1, 0, 0)), &first, true) * p.get(0)
                + plain(&own(&k[2], (true, 1, 2, 0, 0)), &narrow, true) * p.get(1)
                + &narrow * p.get(2)
                + pool * p.get(3)
                + Tensor::cat(&halves, 1) * p.get(4)
        };
        let mut inputs = vec![&wide, &p];
        inputs.extend(k[..if half > 0 { 5 } else { 4 }].iter().flat_map(Kernels::all));
        same(&inputs, &ours, &theirs, within, &what);
    }

    #[test]
    fn a_sum_agrees_with_its_terms() {
        for size in [(1, 1), (2, 3), (4, 4), (7, 5), (16, 9)] {
            for (images, channels) in [(2, 2), (3, 1), (8, 4), (11, 5), (16, 3)] {
                // A norm over few pixels has a small deviation, by which every rounding error is divided.
                if images * size.0 * size.1 > 4 {
                    check_sum(Kind::Double, 1e-12, images, channels, size);
                    check_sum(Kind::Float, 1e-5, 4 * images + 3, channels, (size.0 + 2, size.1 + 3));
                }
            }
        }
    }

    #[test]
    fn pools_and_norms_agree_with_libtorch() {
        for (h, w) in [(2, 2), (3, 5), (4, 4), (7, 8), (14, 13), (32, 32)] {
            for (kernel, stride, maximum) in [(3, 1, true), (3, 2, false), (5, 2, true), (3, 2, true), (3, 1, false)] {
                for (kind, within, images) in [(Kind::Double, 1e-12, 3), (Kind::Float, 1e-5, 9)] {
                    let x = random(&[images, 3, h, w], kind);
                    let ((m, v), (mean, var)) = (ones(3, kind), ones(3, kind));
                    let ours = Blocked::from_images(&x).expect("the kernels take it").pool_norm(maximum, kernel, stride, &[(&m, &v)], true);
                    let (side, step, edge) = ([kernel, kernel], [stride, stride], [kernel / 2, kernel / 2]);
                    let pooled = if maximum {
                        x.max_pool2d(side, step, edge, [1, 1], false)
                    } else {
                        x.avg_pool2d(side, step, edge, false, false, None)
                    };
                    let norm =
                        |training| pooled.batch_norm(None::<&Tensor>, None::<&Tensor>, Some(&mean), Some(&var), training, 0.1, 1e-5, true);
                    let what = format!("{kind:?} {h}x{w} window {kernel} stride {stride} maximum {maximum}");
                    same(&[&x], &ours.to_images(), &norm(true), within, &what);
                    assert!(largest(&m, &mean) <= within && largest(&v, &var) <= within, "{what}: statistics");
                    let scored = Blocked::from_images(&x).expect("taken").pool_norm(maximum, kernel, stride, &[(&m, &v)], false);
                    assert!(largest(&scored.to_images(), &norm(false)) <= 10.0 * within, "{what}: scoring");
                }
            }
        }
    }

    #[test]
    fn maps_come_back_from_blocks_as_they_were() {
        for images in [4, 5, 7, 8, 9, 17] {
            let x = random(&[images, 3, 5, 2], Kind::Float);
            let blocked = Blocked::from_images(&x).expect("taken");
            assert!(blocked.to_images().equal(&x));
            let mean = x.mean_dim([2i64, 3].as_slice(), false, None::<Kind>);
            assert!(largest(&blocked.global_average(), &mean) < 1e-6);
        }
    }

    #[test]
    fn the_result_does_not_depend_on_the_number_of_threads() {
        let before = tch::get_num_threads();
        let x = random(&[35, 16, 12, 12], Kind::Float);
        let weights = Kernels::new(Kind::Float, 16, 16, Some(5), true);
        let run = |threads| {
            tch::set_num_threads(threads);
            let y = weights.stage((true, 1, 1, 0, 0)).forward(&x, true).expect("taken");
            let mut inputs = vec![&x];
            inputs.extend(weights.all());
            Tensor::run_backward(&[y.square().sum(Kind::Double)], &inputs, false, false)
        };
        let (one, two) = (run(1), run(2));
        tch::set_num_threads(before);
        assert!(one.iter().zip(&two).all(|(a, b)| a.equal(b)));
    }

    #[test]
    fn a_stage_that_scores_gives_no_gradient_and_leaves_the_work_to_libtorch() {
        let x = random(&[4, 3, 5, 5], Kind::Float);
        let weights = Kernels::new(Kind::Float, 3, 2, None, false);
        let forward = || weights.stage((true, 1, 1, 0, 0)).forward(&x, false);
        assert!(forward().is_none());
        assert!(tch::no_grad(forward).is_some());
    }

    #[test]
    fn views_and_other_layouts_are_read_as_they_are() {
        let x = random(&[4, 6, 6, 8], Kind::Double).permute([0, 2, 1, 3]);
        let x = x.slice(3, 1, 7, 1);
        let mut weights = Kernels::new(Kind::Double, 6, 4, Some(3), false);
        weights.1 = random(&[6, 4, 1, 1], Kind::Double).transpose(0, 1);
        let stage = || weights.stage((true, 1, 1, 0, 0));
        let inputs = [&x, weights.0.as_ref().expect("depthwise"), &weights.1];
        same(&inputs, &stage().forward(&x, true).expect("taken"), &plain(&stage(), &x, true), 1e-12, "stage over views");
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let refused = |f: &dyn Fn() -> Option<Tensor>| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| f().is_some())).is_err();
        let x = random(&[8, 3, 2, 2], Kind::Float);
        let other = Kernels::new(Kind::Float, 4, 2, Some(3), false);
        assert!(refused(&|| other.stage((true, 1, 1, 0, 0)).forward(&x, true)));
        let even = Kernels::new(Kind::Float, 3, 2, Some(2), false);
        assert!(refused(&|| even.stage((true, 1, 1, 0, 0)).forward(&x, true)));
    }
}
