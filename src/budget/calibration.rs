//! A fixed piece of work, to tell a slow machine from a slow program.

use super::probes::cpu_seconds;
use tch::{Device, Kind, Tensor};

/// Times the work is done, after a first that is not counted. Odd, so that the median is one of them.
const REPEATS: usize = 21;
/// Products of two square matrices a repeat, and their side.
const PRODUCTS: (usize, i64) = (8, 384);
/// Depthwise convolutions a repeat, and the shape of their input.
const CONVOLUTIONS: (usize, [i64; 4]) = (16, [8, 64, 32, 32]);

/// Processor seconds of a fixed number of float32 matrix products and depthwise convolutions with one thread; the median of several.
///
/// The operations are libtorch's, not this crate's, so that a change of the crate does not move the measure. libtorch is left with one
/// thread. Takes a second or two.
///
/// # Errors
/// [`crate::Error::Torch`] if libtorch refuses the work.
pub fn calibrate() -> crate::Result<f64> {
    tch::set_num_threads(1);
    let _guard = tch::no_grad_guard();
    let mut seconds = (0..=REPEATS).map(|_| once()).collect::<crate::Result<Vec<f64>>>()?;
    seconds.remove(0);
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[REPEATS / 2])
}

fn once() -> crate::Result<f64> {
    let options = (Kind::Float, Device::Cpu);
    let (products, side) = PRODUCTS;
    let (convolutions, shape) = CONVOLUTIONS;
    let matrix = Tensor::f_full([side, side], 1.0 / side as f64, options)?;
    let (image, kernel) = (Tensor::f_ones(shape, options)?, Tensor::f_full([shape[1], 1, 3, 3], 1.0 / 9.0, options)?);
    let start = cpu_seconds();
    let mut product = matrix.shallow_clone();
    for _ in 0..products {
        product = product.f_matmul(&matrix)?;
    }
    let mut smooth = image.shallow_clone();
    for _ in 0..convolutions {
        smooth = smooth.f_conv2d(&kernel, None::<Tensor>, [1, 1], [1, 1], [1, 1], shape[1])?;
    }
    Ok(cpu_seconds() - start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_takes_some_time() {
        let seconds = calibrate().unwrap();
        assert!((1e-4..60.0).contains(&seconds), "{seconds}");
    }
}
