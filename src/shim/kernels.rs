//! Kernels of our own on a processor, where libtorch's are slow: depthwise convolution, pooling, and sums of stages over maps in blocks; and what joins maps
//! on any device.

use std::ffi::{CStr, c_char, c_void};
use tch::{Device, Kind, Tensor};

unsafe extern "C" {
    fn naslab_last_error() -> *const c_char;
    fn naslab_depthwise(x: *const c_void, w: *const c_void, stride: i64, padding: i64, dilation: i64) -> *mut c_void;
    fn naslab_pool(x: *const c_void, maximum: bool, kernel: i64, stride: i64) -> *mut c_void;
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
    fn naslab_lanes(single: bool, images: i64) -> i64;
    fn naslab_join(maps: *const *const c_void, count: i64) -> *mut c_void;
}

/// Images that one vector of the processor holds a pixel of, for maps of so many images.
pub fn lanes(kind: Kind, images: i64) -> i64 {
    // SAFETY: a function of its arguments and of what the processor can do.
    unsafe { naslab_lanes(kind == Kind::Float, images) }
}

/// Depthwise convolution with a square kernel: x [N, C, H, W], w [C, 1, K, K] → [N, C, H', W'].
///
/// # Panics
/// As tch does, with libtorch's message; where a tensor is not in the memory of the processor.
pub fn depthwise(x: &Tensor, w: &Tensor, stride: i64, padding: i64, dilation: i64) -> Tensor {
    let [x, w] = [pointer(x), pointer(w)];
    // SAFETY: both pointers are tensors that live through the call.
    adopt(unsafe { naslab_depthwise(x, w, stride, padding, dilation) })
}

/// Pooling with an odd square window and a border that keeps the size at stride 1. [N, C, H, W] → [N, C, ⌈H/stride⌉, ⌈W/stride⌉].
///
/// # Panics
/// As [`depthwise`].
pub fn pool(x: &Tensor, maximum: bool, kernel: i64, stride: i64) -> Tensor {
    let x = pointer(x);
    // SAFETY: the pointer is a tensor that lives through the call.
    adopt(unsafe { naslab_pool(x, maximum, kernel, stride) })
}

/// A sum of chains of stages, which `numbers` describe; `None` where no gradient could be given.
///
/// # Panics
/// As [`depthwise`].
pub fn sum(inputs: &[&Tensor], running: &[&Tensor], numbers: &[i64]) -> Option<Tensor> {
    let [inputs, running] = [inputs, running].map(|tensors| tensors.iter().map(|t| pointer(t)).collect::<Vec<_>>());
    // SAFETY: all pointers are tensors that live through the call, and the lists are as long as they are said to be.
    let out = unsafe {
        naslab_sum(inputs.as_ptr(), inputs.len() as i64, running.as_ptr(), running.len() as i64, numbers.as_ptr(), numbers.len() as i64)
    };
    (!out.is_null() || !last_error().is_empty()).then(|| adopt(out))
}

/// Pooling over maps in blocks, and batch norm without scale and shift; `running` are means and variances in turn.
///
/// # Panics
/// As [`depthwise`].
pub fn pool_norm(x: &Tensor, images: i64, maximum: bool, kernel: i64, stride: i64, training: bool, running: &[&Tensor]) -> Tensor {
    let x = pointer(x);
    let running: Vec<_> = running.iter().map(|t| pointer(t)).collect();
    // SAFETY: all pointers are tensors that live through the call.
    adopt(unsafe { naslab_pool_norm(x, images, maximum, kernel, stride, training, running.as_ptr(), running.len() as i64) })
}

/// The channels of all maps [N, C, ...], one after the other, by libtorch's operators on any device: one forward, and one for the gradients of all maps.
///
/// # Panics
/// As tch does, with libtorch's message.
pub fn join(maps: &[&Tensor]) -> Tensor {
    let maps: Vec<*const c_void> = maps.iter().map(|map| map.as_ptr().cast()).collect();
    // SAFETY: all pointers are tensors that live through the call, and the list is as long as it is said to be.
    adopt(unsafe { naslab_join(maps.as_ptr(), maps.len() as i64) })
}

/// The kernels read memory: that of a card is not theirs.
fn pointer(tensor: &Tensor) -> *const c_void {
    assert!(tensor.device() == Device::Cpu, "naslab: a kernel for processors, and a tensor on {:?}", tensor.device());
    tensor.as_ptr().cast()
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
