//! Depthwise convolution and pooling by kernels of our own, where libtorch's are slow: small maps on a processor.

use crate::shim;
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering};
use tch::{Device, Kind, Tensor};

/// What does the arithmetic; kernels of our own are for processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kernels {
    /// Kernels of our own where there are some.
    Own,
    /// libtorch's operators over the joined channels of edges that leave one state together, where a search network has that form; elsewhere as [`Kernels::Plain`].
    Grouped,
    /// libtorch's operators one after the other, channels last in memory.
    ChannelsLast,
    /// libtorch's operators one after the other, channels before rows and columns: the form that the others are compared with.
    Plain,
}

impl Kernels {
    /// All in their order.
    pub const ALL: [Self; 4] = [Self::Own, Self::Grouped, Self::ChannelsLast, Self::Plain];

    /// As it is typed and recorded.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Grouped => "grouped",
            Self::ChannelsLast => "channels-last",
            Self::Plain => "plain",
        }
    }
}

/// What new threads use.
static DEFAULT: AtomicU8 = AtomicU8::new(Kernels::Own as u8);

thread_local! {
    static KERNELS: Cell<Kernels> = Cell::new(Kernels::ALL[usize::from(DEFAULT.load(Ordering::Relaxed))]);
}

/// Chooses the kernels of this thread and of all that are started from now on.
pub fn use_kernels(kernels: Kernels) {
    DEFAULT.store(kernels as u8, Ordering::Relaxed);
    KERNELS.set(kernels);
}

/// Runs `f` on this thread by [`Kernels::Plain`].
pub fn plainly<T>(f: impl FnOnce() -> T) -> T {
    /// Puts back what was used before, also after a panic.
    struct Back(Kernels);
    impl Drop for Back {
        fn drop(&mut self) {
            KERNELS.set(self.0);
        }
    }
    let _back = Back(KERNELS.replace(Kernels::Plain));
    f()
}

/// Whether a search network is to take its grouped form if it has one.
pub fn by_groups() -> bool {
    KERNELS.get() == Kernels::Grouped
}

/// The same tensor, channels last in memory if that is the form in use.
pub fn laid_out(x: &Tensor) -> Tensor {
    if KERNELS.get() != Kernels::ChannelsLast || x.dim() != 4 {
        return x.shallow_clone();
    }
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// Whether the kernels take such images: single or double precision in the memory of the processor, enough of them to fill half of a vector, while
/// nobody records libtorch's operations.
pub(super) fn takes(x: &Tensor) -> bool {
    KERNELS.get() == Kernels::Own
        && !shim::is_tracing()
        && x.device() == Device::Cpu
        && matches!(x.kind(), Kind::Float | Kind::Double)
        && x.numel() > 0
        && 2 * x.size()[0] >= shim::lanes(x.kind(), x.size()[0])
}

/// Depthwise convolution with a square kernel: x [N, C, H, W], w [C, 1, K, K] → [N, C, H', W'].
///
/// On a processor forward and gradient are ours, else libtorch's; they agree to rounding.
///
/// # Panics
/// As tch does, with libtorch's message.
pub fn depthwise(x: &Tensor, w: &Tensor, stride: i64, padding: i64, dilation: i64) -> Tensor {
    if !takes(x) || w.kind() != x.kind() {
        return laid_out(x).conv2d(w, None::<&Tensor>, [stride, stride], [padding, padding], [dilation, dilation], x.size()[1]);
    }
    shim::depthwise(x, w, stride, padding, dilation)
}

/// What a pool takes of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// The maximum.
    Maximum,
    /// The average over the pixels that exist.
    Average,
}

/// Pooling with an odd square window and a border that keeps the size at stride 1. [N, C, H, W] → [N, C, ⌈H/stride⌉, ⌈W/stride⌉].
///
/// # Panics
/// As tch does, with libtorch's message.
pub fn pool(x: &Tensor, of: PoolKind, kernel: i64, stride: i64) -> Tensor {
    if takes(x) {
        return shim::pool(x, of == PoolKind::Maximum, kernel, stride);
    }
    let (side, stride, border) = ([kernel, kernel], [stride, stride], [(kernel - 1) / 2, (kernel - 1) / 2]);
    match of {
        PoolKind::Maximum => x.max_pool2d(side, stride, border, [1, 1], false),
        PoolKind::Average => x.avg_pool2d(side, stride, border, false, false, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{largest, random, same};

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
                    let (largest, mean) = (pool(&x, PoolKind::Maximum, kernel, stride), pool(&x, PoolKind::Average, kernel, stride));
                    same(&[&x], &largest, &x.max_pool2d(side, step, edge, [1, 1], false), within, &what);
                    same(&[&x], &mean, &x.avg_pool2d(side, step, edge, false, false, None), within, &what);
                }
            }
        }
    }

    #[test]
    fn equal_pixels_pass_their_gradient_to_the_first_and_a_nan_stays() {
        let x = Tensor::ones([8, 1, 4, 4], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        same(&[&x], &pool(&x, PoolKind::Maximum, 3, 1), &x.max_pool2d([3, 3], [1, 1], [1, 1], [1, 1], false), 0.0, "ties");
        let bad = Tensor::from_slice(&[1.0f32, f32::NAN, 2.0, 3.0]).view([1, 1, 2, 2]);
        assert_eq!(pool(&bad, PoolKind::Maximum, 3, 1).isnan().all().int64_value(&[]), 1);
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

    #[test]
    fn views_and_other_layouts_are_read_as_they_are() {
        let x = random(&[4, 6, 6, 8], Kind::Double).permute([0, 2, 1, 3]);
        let x = x.slice(3, 1, 7, 1);
        let w = random(&[6, 1, 3, 3], Kind::Double);
        let theirs = x.conv2d(&w, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 6);
        same(&[&x, &w], &depthwise(&x, &w, 1, 1, 1), &theirs, 1e-12, "depthwise over a view");
        same(&[&x], &pool(&x, PoolKind::Maximum, 3, 2), &x.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false), 1e-12, "pool over a view");
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

    #[test]
    fn while_a_trace_is_recorded_libtorchs_operators_are_called() {
        let [x, w] = [[2, 3, 5, 5], [3, 1, 3, 3]].map(|shape| Tensor::ones(shape, (Kind::Float, Device::Cpu)));
        let traced =
            shim::trace(&[("x", &x), ("a.weight", &w)], || pool(&depthwise(&x.relu(), &w, 2, 1, 1), PoolKind::Maximum, 3, 1) * 0.5)
                .unwrap();
        let ops: Vec<&str> = traced.nodes.iter().map(|n| n.op.as_str()).collect();
        assert_eq!(ops, ["aten::relu", "aten::_convolution", "aten::max_pool2d", "aten::mul"]);
        assert_eq!(traced.nodes[0].inputs, [shim::Argument::Value("x".into())]);
        let convolution = &traced.nodes[1];
        assert_eq!(convolution.inputs[1], shim::Argument::Value("a.weight".into()));
        assert_eq!(convolution.inputs[3], shim::Argument::List(vec![shim::Argument::Int(2), shim::Argument::Int(2)]));
        assert_eq!(convolution.outputs[0].shape.as_deref(), Some(&[2, 3, 3, 3][..]));
        assert_eq!(traced.output, traced.nodes[3].outputs[0].name);
        assert!(!shim::is_tracing());
    }
}
