//! What the tests of the kernels share.

use tch::{Device, Kind, Tensor};

/// Numbers in [-1/2, 1/2) that ask for gradients, the same in every run.
pub fn random(shape: &[i64], kind: Kind) -> Tensor {
    let n: i64 = shape.iter().product();
    // Without libtorch's generator, so that every run checks the same numbers.
    let t = (Tensor::arange(n, (Kind::Double, Device::Cpu)) * 12.9898).sin() * 43_758.545;
    (&t - t.floor() - 0.5).view(shape).to_kind(kind).set_requires_grad(true)
}

/// Largest difference.
pub fn largest(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

/// Forward and gradients of `ours` and `theirs` agree to `within`; sums over a batch in single precision to ten times that.
pub fn same(inputs: &[&Tensor], ours: &Tensor, theirs: &Tensor, within: f64, what: &str) {
    assert_eq!(ours.size(), theirs.size(), "{what}");
    assert!(largest(ours, theirs) <= within, "{what}: forward {}", largest(ours, theirs));
    let g = random(&ours.size(), ours.kind()).detach().cos();
    let summed = if ours.kind() == Kind::Float { 10.0 * within } else { within };
    let gradient = |y: &Tensor| Tensor::run_backward(&[(y * &g).sum(y.kind())], inputs, false, false);
    for (i, (a, b)) in gradient(ours).iter().zip(&gradient(theirs)).enumerate() {
        // A gradient is a sum over all pixels, of which many cancel.
        let scale = 1.0 + b.abs().max().double_value(&[]) + 5e-3 * ours.numel() as f64;
        assert!(largest(a, b) <= summed * scale, "{what}: gradient {i} {}", largest(a, b));
    }
}
