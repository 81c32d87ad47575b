//! How many operators are called, and what the allocator keeps.

use super::AtEnd;

unsafe extern "C" {
    fn naslab_count_begin() -> bool;
    fn naslab_count() -> i64;
    fn naslab_count_end();
    fn naslab_keep_memory();
    fn naslab_return_memory();
}

/// Runs `f` and counts the operators of libtorch and kernels of our own that it calls, each without those that it calls itself; `None` if libtorch
/// does not say. One count at a time.
pub fn count_operators<T>(f: impl FnOnce() -> T) -> (T, Option<u64>) {
    // SAFETY: the functions take nothing and let no exception out.
    let count = unsafe { naslab_count_begin() }.then_some(AtEnd(naslab_count_end));
    let out = f();
    // SAFETY: as above.
    let calls = count.is_some().then(|| unsafe { naslab_count() }.max(0) as u64);
    (out, calls)
}

/// Lets the allocator keep freed memory for later tensors, for the rest of the process; see [`return_memory`].
pub fn keep_memory() {
    // SAFETY: the function takes nothing and changes thresholds of the allocator alone.
    unsafe { naslab_keep_memory() }
}

/// Gives memory that is kept but not used back to the system, so that a peak that is measured from here on is that of new work.
pub fn return_memory() {
    // SAFETY: the function takes nothing and frees nothing that is in use.
    unsafe { naslab_return_memory() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn operators_are_counted_without_those_inside() {
        let x = Tensor::ones([2, 3, 8, 8], (Kind::Float, Device::Cpu));
        let w = Tensor::ones([3, 3, 3, 3], (Kind::Float, Device::Cpu));
        // Other tests run beside this one, so more may be counted, never less.
        let (_, count) = count_operators(|| x.conv2d(&w, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 1).relu());
        assert!(count.is_some_and(|n| n >= 2));
    }

    #[test]
    fn memory_that_is_given_back_can_be_taken_again() {
        drop(Tensor::ones([1 << 20], (Kind::Float, Device::Cpu)));
        return_memory();
        assert_eq!(Tensor::ones([1 << 20], (Kind::Float, Device::Cpu)).sum(Kind::Double).double_value(&[]), f64::from(1 << 20));
    }
}
