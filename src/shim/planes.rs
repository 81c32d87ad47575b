//! Depthwise convolution and pooling by kernels of our own, where libtorch's are slow: small maps on a processor.

use super::trace::is_tracing;
use std::ffi::{CStr, c_char, c_void};
use tch::{Device, Kind, Tensor};

unsafe extern "C" {
    fn naslab_last_error() -> *const c_char;
    fn naslab_depthwise(x: *const c_void, w: *const c_void, stride: i64, padding: i64, dilation: i64) -> *mut c_void;
    fn naslab_pool(x: *const c_void, maximum: bool, kernel: i64, stride: i64) -> *mut c_void;
    fn naslab_stage(
        x: *const c_void,
        dw: *const c_void,
        pw: *const c_void,
        gamma: *const c_void,
        beta: *const c_void,
        mean: *const c_void,
        var: *const c_void,
        training: bool,
        relu: bool,
        stride: i64,
        padding: i64,
        dilation: i64,
    ) -> *mut c_void;
}

/// Whether the kernels take such a tensor: single or double precision in the memory of the processor, while nobody records libtorch's operations.
fn takes(x: &Tensor) -> bool {
    !is_tracing() && x.device() == Device::Cpu && matches!(x.kind(), Kind::Float | Kind::Double) && x.numel() > 0
}

/// Depthwise convolution with a square kernel: x [N, C, H, W], w [C, 1, K, K] → [N, C, H', W'].
///
/// On a processor forward and gradient are ours, else libtorch's; they agree to rounding.
///
/// # Panics
/// As tch does, with libtorch's message.
pub fn depthwise(x: &Tensor, w: &Tensor, stride: i64, padding: i64, dilation: i64) -> Tensor {
    if !takes(x) || w.kind() != x.kind() {
        return x.conv2d(w, None::<&Tensor>, [stride, stride], [padding, padding], [dilation, dilation], x.size()[1]);
    }
    // SAFETY: both pointers are tensors that live through the call.
    adopt(unsafe { naslab_depthwise(x.as_ptr().cast(), w.as_ptr().cast(), stride, padding, dilation) })
}

/// Pooling with an odd square window and a border that keeps the size at stride 1: the maximum, or the average over the pixels that
/// exist. [N, C, H, W] → [N, C, ⌈H/stride⌉, ⌈W/stride⌉].
///
/// # Panics
/// As tch does, with libtorch's message.
pub fn pool(x: &Tensor, maximum: bool, kernel: i64, stride: i64) -> Tensor {
    if takes(x) {
        // SAFETY: the pointer is a tensor that lives through the call.
        return adopt(unsafe { naslab_pool(x.as_ptr().cast(), maximum, kernel, stride) });
    }
    let (side, stride, border) = ([kernel, kernel], [stride, stride], [(kernel - 1) / 2, (kernel - 1) / 2]);
    if maximum { x.max_pool2d(side, stride, border, [1, 1], false) } else { x.avg_pool2d(side, stride, border, false, false, None) }
}

/// A stage of a cell network: ReLU (if `relu`), depthwise convolution (if there is one), pointwise convolution, batch norm.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// [C, 1, K, K]
    pub depthwise: Option<&'a Tensor>,
    /// [C', C, 1, 1]
    pub pointwise: &'a Tensor,
    /// Scale and shift, `[C']` each.
    pub affine: Option<(&'a Tensor, &'a Tensor)>,
    /// Running mean and variance, `[C']` each; training moves them by a tenth.
    pub running: (&'a Tensor, &'a Tensor),
    /// Whether a ReLU comes first.
    pub relu: bool,
    /// Of the depthwise convolution, or of the pointwise one where there is none.
    pub stride: i64,
    /// Likewise.
    pub padding: i64,
    /// Likewise.
    pub dilation: i64,
}

impl Stage<'_> {
    /// [N, C, H, W] → [N, C', H', W'], in one pass; `None` where the kernels do not take such tensors or no gradient could be given.
    ///
    /// # Panics
    /// As tch does, with libtorch's message.
    pub fn forward(&self, x: &Tensor, training: bool) -> Option<Tensor> {
        if !takes(x) || self.pointwise.kind() != x.kind() {
            return None;
        }
        let pointer = |t: Option<&Tensor>| t.map_or(std::ptr::null(), |t| t.as_ptr().cast());
        let (gamma, beta) = self.affine.map_or((None, None), |(g, b)| (Some(g), Some(b)));
        // SAFETY: all pointers are null or tensors that live through the call.
        let out = unsafe {
            naslab_stage(
                pointer(Some(x)),
                pointer(self.depthwise),
                pointer(Some(self.pointwise)),
                pointer(gamma),
                pointer(beta),
                pointer(Some(self.running.0)),
                pointer(Some(self.running.1)),
                training,
                self.relu,
                self.stride,
                self.padding,
                self.dilation,
            )
        };
        (!out.is_null() || !last_error().is_empty()).then(|| adopt(out))
    }
}

pub(super) fn last_error() -> String {
    // SAFETY: the text belongs to this thread and is copied at once.
    unsafe { CStr::from_ptr(naslab_last_error()) }.to_string_lossy().into_owned()
}

/// Takes over a new tensor.
fn adopt(pointer: *mut c_void) -> Tensor {
    if pointer.is_null() {
        panic!("Torch({:?})", last_error());
    }
    // SAFETY: the pointer is a tensor allocated by `new` for us, as tch expects.
    unsafe { Tensor::from_ptr(pointer.cast()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(shape: &[i64], kind: Kind) -> Tensor {
        let n: i64 = shape.iter().product();
        // Without libtorch's generator, so that every run checks the same numbers.
        let t = (Tensor::arange(n, (Kind::Double, Device::Cpu)) * 12.9898).sin() * 43_758.545;
        (&t - t.floor() - 0.5).view(shape).to_kind(kind).set_requires_grad(true)
    }

    fn largest(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    /// Forward and gradients of `ours` and `theirs` agree to `within`; sums over a batch in single precision to ten times that.
    fn same(inputs: &[&Tensor], ours: &Tensor, theirs: &Tensor, within: f64, what: &str) {
        assert_eq!(ours.size(), theirs.size(), "{what}");
        assert!(largest(ours, theirs) <= within, "{what}: forward {}", largest(ours, theirs));
        let g = random(&ours.size(), ours.kind()).detach().cos();
        let summed = if ours.kind() == Kind::Float { 10.0 * within } else { within };
        let gradient = |y: &Tensor| Tensor::run_backward(&[(y * &g).sum(y.kind())], inputs, false, false);
        for (i, (a, b)) in gradient(ours).iter().zip(&gradient(theirs)).enumerate() {
            let scale = 1.0 + b.abs().max().double_value(&[]);
            assert!(largest(a, b) <= summed * scale, "{what}: gradient {i} {}", largest(a, b));
        }
    }

    fn check_depthwise(kind: Kind, within: f64, shape: [i64; 4], how: (i64, i64, i64)) {
        let (kernel, stride, dilation) = how;
        let padding = dilation * (kernel - 1) / 2;
        let (x, w) = (random(&shape, kind), random(&[shape[1], 1, kernel, kernel], kind));
        let ours = depthwise(&x, &w, stride, padding, dilation);
        let theirs = x.conv2d(&w, None::<&Tensor>, [stride, stride], [padding, padding], [dilation, dilation], shape[1]);
        same(&[&x, &w], &ours, &theirs, within, &format!("{kind:?} {shape:?} kernel, stride, dilation {how:?}"));
    }

    #[test]
    fn depthwise_agrees_with_libtorch_for_every_kernel_stride_dilation_and_size() {
        for (h, w) in [(1, 1), (2, 2), (3, 5), (4, 4), (7, 7), (8, 8), (9, 16), (14, 13), (28, 28), (33, 32)] {
            for how in
                [(3, 1, 1), (5, 1, 1), (7, 1, 1), (3, 2, 1), (5, 2, 1), (7, 2, 1), (3, 1, 2), (5, 1, 2), (3, 2, 2), (5, 2, 2), (1, 1, 1)]
            {
                check_depthwise(Kind::Double, 1e-12, [3, 2, h, w], how);
                check_depthwise(Kind::Float, 1e-5, [9, 3, h, w], how);
            }
        }
    }

    #[test]
    fn depthwise_agrees_for_every_number_of_channels_and_images() {
        for channels in 1..=130 {
            check_depthwise(Kind::Double, 1e-12, [2, channels, 5, 4], (3, 1, 1));
        }
        for images in [1, 4, 7, 8, 16, 65] {
            check_depthwise(Kind::Float, 1e-5, [images, 5, 6, 6], (5, 1, 1));
            check_depthwise(Kind::Double, 1e-12, [images, 5, 6, 6], (5, 2, 2));
        }
    }

    #[test]
    fn pools_agree_with_libtorch() {
        for (h, w) in [(1, 1), (2, 2), (3, 5), (4, 4), (7, 8), (14, 13), (32, 32)] {
            for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2)] {
                for (kind, within, images) in [(Kind::Double, 1e-12, 3), (Kind::Float, 1e-6, 9)] {
                    let x = random(&[images, 3, h, w], kind);
                    let border = (kernel - 1) / 2;
                    let (side, step, edge) = ([kernel, kernel], [stride, stride], [border, border]);
                    let what = format!("{kind:?} {h}x{w} window {kernel} stride {stride}");
                    same(&[&x], &pool(&x, true, kernel, stride), &x.max_pool2d(side, step, edge, [1, 1], false), within, &what);
                    same(&[&x], &pool(&x, false, kernel, stride), &x.avg_pool2d(side, step, edge, false, false, None), within, &what);
                }
            }
        }
    }

    #[test]
    fn equal_pixels_pass_their_gradient_to_the_first_and_a_nan_stays() {
        let x = Tensor::ones([8, 1, 4, 4], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        same(&[&x], &pool(&x, true, 3, 1), &x.max_pool2d([3, 3], [1, 1], [1, 1], [1, 1], false), 0.0, "ties");
        let bad = Tensor::from_slice(&[1.0f32, f32::NAN, 2.0, 3.0]).view([1, 1, 2, 2]);
        assert_eq!(pool(&bad, true, 3, 1).isnan().all().int64_value(&[]), 1);
    }

    #[test]
    fn the_result_does_not_depend_on_the_number_of_threads() {
        let (x, w) = (random(&[16, 24, 9, 9], Kind::Float), random(&[24, 1, 5, 5], Kind::Float));
        let before = tch::get_num_threads();
        let run = |threads| {
            tch::set_num_threads(threads);
            Tensor::run_backward(&[depthwise(&x, &w, 1, 2, 1).square().sum(Kind::Double)], &[&x, &w], false, false)
        };
        let (one, two) = (run(1), run(2));
        tch::set_num_threads(before);
        assert!(one.iter().zip(&two).all(|(a, b)| a.equal(b)));
    }

    #[test]
    fn a_gradient_of_a_gradient_is_libtorchs() {
        let (x, w) = (random(&[2, 3, 5, 5], Kind::Double), random(&[3, 1, 3, 3], Kind::Double));
        let second = |y: Tensor| {
            let first = Tensor::run_backward(&[y.square().sum(Kind::Double)], &[&w], true, true);
            Tensor::run_backward(&[first[0].square().sum(Kind::Double)], &[&x], false, false)
        };
        let ours = second(depthwise(&x, &w, 1, 1, 1));
        let theirs = second(x.conv2d(&w, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 3));
        assert!(largest(&ours[0], &theirs[0]) < 1e-10);
    }

    /// The stage by libtorch's own operations.
    fn plain(s: &Stage, x: &Tensor, training: bool) -> Tensor {
        let x = if s.relu { x.relu() } else { x.shallow_clone() };
        let pair = |v: i64| [v, v];
        let x = match s.depthwise {
            Some(w) => x.conv2d(w, None::<&Tensor>, pair(s.stride), pair(s.padding), pair(s.dilation), x.size()[1]),
            None => x,
        };
        let stride = if s.depthwise.is_some() { 1 } else { s.stride };
        let x = x.conv2d(s.pointwise, None::<&Tensor>, pair(stride), [0, 0], [1, 1], 1);
        let (gamma, beta) = s.affine.map_or((None, None), |(g, b)| (Some(g), Some(b)));
        x.batch_norm(gamma, beta, Some(s.running.0), Some(s.running.1), training, 0.1, 1e-5, true)
    }

    fn check_stage(kind: Kind, within: f64, shape: [i64; 4], outputs: i64, window: Option<(i64, i64, i64)>, relu: bool, affine: bool) {
        let what = format!("{kind:?} {shape:?} to {outputs}, {window:?}, relu {relu}, affine {affine}");
        let channels = shape[1];
        let (x, pw) = (random(&shape, kind), random(&[outputs, channels, 1, 1], kind));
        let (kernel, stride, dilation) = window.unwrap_or((1, if relu { 1 } else { 2 }, 1));
        let dw = window.map(|_| random(&[channels, 1, kernel, kernel], kind));
        let (gamma, beta) = (random(&[outputs], kind), random(&[outputs], kind));
        let running = || (Tensor::zeros([outputs], (kind, Device::Cpu)), Tensor::ones([outputs], (kind, Device::Cpu)));
        let (ours, theirs) = (running(), running());
        let a = Stage {
            depthwise: dw.as_ref(),
            pointwise: &pw,
            affine: affine.then_some((&gamma, &beta)),
            running: (&ours.0, &ours.1),
            relu,
            stride,
            padding: dilation * (kernel - 1) / 2,
            dilation,
        };
        let b = Stage { running: (&theirs.0, &theirs.1), ..a };
        let mut inputs = vec![&x, &pw];
        inputs.extend(dw.as_ref());
        if affine {
            inputs.extend([&gamma, &beta]);
        }
        same(&inputs, &a.forward(&x, true).expect("the kernels take it"), &plain(&b, &x, true), within, &what);
        assert!(largest(&ours.0, &theirs.0) <= within && largest(&ours.1, &theirs.1) <= within, "{what}: running statistics");
        let scored = tch::no_grad(|| (a.forward(&x, false).expect("the kernels take it"), plain(&a, &x, false)));
        assert!(largest(&scored.0, &scored.1) <= 10.0 * within, "{what}: scoring");
    }

    #[test]
    fn a_stage_agrees_with_its_parts() {
        for size in [(1, 1), (2, 2), (4, 4), (5, 7), (8, 8), (13, 10)] {
            for window in [
                None,
                Some((3, 1, 1)),
                Some((5, 1, 1)),
                Some((7, 1, 1)),
                Some((3, 2, 1)),
                Some((5, 2, 1)),
                Some((3, 1, 2)),
                Some((5, 2, 2)),
            ] {
                for (relu, affine, outputs, images) in [(true, true, 5, 9), (false, false, 4, 6), (true, false, 1, 16), (false, true, 9, 3)]
                {
                    check_stage(Kind::Double, 1e-11, [images, 3, size.0, size.1], outputs, window, relu, affine);
                }
                check_stage(Kind::Float, 1e-5, [20, 6, size.0, size.1], 8, window, true, true);
            }
        }
        for channels in 1..=130 {
            check_stage(Kind::Double, 1e-11, [5, channels, 3, 3], 131 - channels, Some((3, 1, 1)), true, true);
        }
    }

    #[test]
    fn a_stage_that_scores_gives_no_gradient_and_leaves_the_work_to_libtorch() {
        let (x, pw) = (random(&[4, 3, 5, 5], Kind::Float), random(&[2, 3, 1, 1], Kind::Float));
        let running = (Tensor::zeros([2], (Kind::Float, Device::Cpu)), Tensor::ones([2], (Kind::Float, Device::Cpu)));
        let stage = Stage {
            depthwise: None,
            pointwise: &pw,
            affine: None,
            running: (&running.0, &running.1),
            relu: true,
            stride: 1,
            padding: 0,
            dilation: 1,
        };
        assert!(stage.forward(&x, false).is_none());
        assert!(tch::no_grad(|| stage.forward(&x, false)).is_some());
    }

    #[test]
    fn views_and_other_layouts_are_read_as_they_are() {
        let x = random(&[4, 6, 6, 8], Kind::Double).permute([0, 2, 1, 3]);
        let x = x.slice(3, 1, 7, 1);
        let w = random(&[6, 1, 3, 3], Kind::Double);
        let theirs = x.conv2d(&w, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 6);
        same(&[&x, &w], &depthwise(&x, &w, 1, 1, 1), &theirs, 1e-12, "depthwise over a view");
        same(&[&x], &pool(&x, true, 3, 2), &x.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false), 1e-12, "pool over a view");
        let pw = random(&[6, 4, 1, 1], Kind::Double).transpose(0, 1);
        let running = (Tensor::zeros([4], (Kind::Double, Device::Cpu)), Tensor::ones([4], (Kind::Double, Device::Cpu)));
        let stage = Stage {
            depthwise: Some(&w),
            pointwise: &pw,
            affine: None,
            running: (&running.0, &running.1),
            relu: true,
            stride: 1,
            padding: 1,
            dilation: 1,
        };
        same(&[&x, &w, &pw], &stage.forward(&x, true).expect("the kernels take it"), &plain(&stage, &x, true), 1e-11, "stage over views");
        // A gradient that is one number, expanded.
        let sum = |y: Tensor| Tensor::run_backward(&[y.sum(Kind::Double)], &[&w], false, false);
        assert!(largest(&sum(depthwise(&x, &w, 1, 1, 1))[0], &sum(x.conv2d(&w, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 6))[0]) < 1e-11);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let refused = |f: &dyn Fn() -> Tensor| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| f().size())).is_err();
        let x = random(&[2, 3, 2, 2], Kind::Float);
        assert!(refused(&|| depthwise(&x, &random(&[4, 1, 3, 3], Kind::Float), 1, 1, 1)));
        assert!(refused(&|| depthwise(&x, &random(&[3, 1, 3, 3], Kind::Float), 2, 0, 1)));
    }
}
