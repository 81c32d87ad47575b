//! Elastic deformation (Simard, Steinkraus, Platt 2003): every pixel is taken from a place that a smooth random field gives.

use crate::seed::Rng;
use rand::RngExt;
use tch::{Device, Kind, Tensor};

/// Size of the field: uniform noise of [-1, 1], smoothed, times this many heights (public code of NAS-Unet).
const STRENGTH: f64 = 1.5;
/// Standard deviation of the smoothing Gaussian, in heights.
const SMOOTHNESS: f64 = 0.07;
/// Where the Gaussian is cut off, in standard deviations (public code of NAS-Unet).
const REACH: f64 = 2.0;
/// Numbers of libtorch's grid sampler.
const BILINEAR: i64 = 0;
const NEAREST: i64 = 1;
const ZEROS: i64 = 0;

/// Deforms each image [N, C, H, W] with `probability`, and its mask [N, H, W] alike: images between pixels (bilinear), masks to the nearest
/// one. Beyond the border both are 0. Both keep their kinds.
pub fn deform(images: &Tensor, masks: Option<&Tensor>, probability: f64, rng: &mut Rng) -> (Tensor, Option<Tensor>) {
    let (n, _, h, w) = images.size4().expect("images have four dimensions");
    let chosen: Vec<i64> = (0..n).filter(|_| rng.random::<f64>() < probability).collect();
    if chosen.is_empty() {
        return (images.shallow_clone(), masks.map(Tensor::shallow_clone));
    }
    let grid = grid(&displacements(chosen.len() as i64, h, w, rng), h, w).to_device(images.device());
    let index = Tensor::from_slice(&chosen).to_device(images.device());
    let sample = |x: &Tensor, mode| {
        let sampled = x.index_select(0, &index).to_kind(Kind::Float).grid_sampler(&grid, mode, ZEROS, false);
        let sampled = if x.kind() == Kind::Float { sampled } else { sampled.round() };
        x.index_copy(0, &index, &sampled.to_kind(x.kind()))
    };
    (sample(images, BILINEAR), masks.map(|m| sample(&m.unsqueeze(1), NEAREST).squeeze_dim(1)))
}

/// How far each pixel's source is away, in pixels along width and height: [n, 2, H, W].
fn displacements(n: i64, h: i64, w: i64, rng: &mut Rng) -> Tensor {
    let noise: Vec<f32> = (0..2 * n * h * w).map(|_| rng.random_range(-1.0..1.0)).collect();
    let noise = Tensor::from_slice(&noise).view([2 * n, 1, h, w]);
    (smoothed(&noise, SMOOTHNESS * h as f64) * (STRENGTH * h as f64)).view([n, 2, h, w])
}

/// Fields [N, 1, H, W] under a Gaussian of so many pixels, cut off at [`REACH`]. Beyond the border a field is mirrored at its outermost pixel.
fn smoothed(fields: &Tensor, sigma: f64) -> Tensor {
    // An odd number of taps, as in the public code.
    let half = ((2.0 * REACH * sigma) as i64 | 1) / 2;
    let at = Tensor::arange(2 * half + 1, (Kind::Float, Device::Cpu)) - half;
    let kernel = (at.square() * (-0.5 / (sigma * sigma))).exp();
    let kernel = &kernel / kernel.sum(Kind::Float);
    let along = |x: &Tensor, axis: i64, shape: [i64; 4]| {
        let size = x.size()[axis as usize];
        let source: Vec<i64> = (-half..size + half).map(|i| mirrored(i, size)).collect();
        x.index_select(axis, &Tensor::from_slice(&source)).conv2d(&kernel.view(shape), None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1)
    };
    along(&along(fields, 2, [1, 1, -1, 1]), 3, [1, 1, 1, -1])
}

/// Pixel that stands at place `i` of a row of `size` pixels which is mirrored at both ends, the outermost pixels once.
fn mirrored(i: i64, size: i64) -> i64 {
    let period = (2 * (size - 1)).max(1);
    let i = i.rem_euclid(period);
    i.min(period - i)
}

/// Sources in the sampler's units, where the borders of the image are -1 and 1: [N, 2, H, W] → [N, H, W, 2].
fn grid(displacement: &Tensor, h: i64, w: i64) -> Tensor {
    let axis = |size: i64, shape: [i64; 3]| Tensor::arange(size, (Kind::Float, Device::Cpu)).view(shape);
    let unit = |at: Tensor, size: i64| (at * 2.0 + 1.0) / size as f64 - 1.0;
    let x = unit(displacement.select(1, 0) + axis(w, [1, 1, w]), w);
    let y = unit(displacement.select(1, 1) + axis(h, [1, h, 1]), h);
    Tensor::stack(&[x, y], 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;

    fn rng(step: u64) -> Rng {
        Streams::new(3).rng("elastic", step)
    }

    #[test]
    fn a_field_of_zero_changes_nothing_and_a_shift_shifts() {
        let x = Tensor::rand([1, 2, 5, 7], (Kind::Float, Device::Cpu));
        let sample = |field: &Tensor, mode| x.grid_sampler(&grid(field, 5, 7), mode, ZEROS, false);
        let zero = Tensor::zeros([1, 2, 5, 7], (Kind::Float, Device::Cpu));
        assert!(sample(&zero, BILINEAR).allclose(&x, 1e-5, 1e-5, false) && sample(&zero, NEAREST).equal(&x));
        let right = Tensor::cat(&[Tensor::ones([1, 1, 5, 7], (Kind::Float, Device::Cpu)), zero.narrow(1, 0, 1)], 1);
        let shifted = sample(&right, NEAREST);
        assert!(shifted.narrow(3, 0, 6).equal(&x.narrow(3, 1, 6)));
        assert_eq!(shifted.select(3, 6).abs().max().double_value(&[]), 0.0, "beyond the border is 0");
        let half = sample(&(&right * 0.5), BILINEAR).select(3, 6);
        assert!(half.allclose(&(x.select(3, 6) * 0.5), 1e-5, 1e-5, false), "half of it between the last pixel and 0");
    }

    #[test]
    fn a_row_is_mirrored_at_its_outermost_pixels() {
        assert_eq!((-5..8).map(|i| mirrored(i, 4)).collect::<Vec<_>>(), [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]);
        assert_eq!((-2..3).map(|i| mirrored(i, 1)).collect::<Vec<_>>(), [0; 5]);
        assert_eq!((-2..4).map(|i| mirrored(i, 2)).collect::<Vec<_>>(), [0, 1, 0, 1, 0, 1]);
    }

    /// Gaussian weights as OpenCV has them for `int(4 sigma) | 1` taps, the mean of the mirrored neighbours with them, pixel by pixel.
    #[test]
    fn smoothing_is_that_of_the_public_code() {
        let (h, w, sigma) = (9i64, 4i64, 1.3f64);
        let x = Tensor::rand([1, 1, h, w], (Kind::Double, Device::Cpu));
        // int(5.2) | 1 = 5 taps.
        let weight = |d: i64| (-(d * d) as f64 / (2.0 * sigma * sigma)).exp();
        let all: f64 = (-2..=2).map(weight).sum();
        let found = smoothed(&x.to_kind(Kind::Float), sigma);
        assert_eq!(found.size(), [1, 1, h, w]);
        for (i, j) in (0..h).flat_map(|i| (0..w).map(move |j| (i, j))) {
            let near = (-2..=2).flat_map(|a| (-2..=2).map(move |b| (a, b)));
            let expected: f64 = near
                .map(|(a, b)| weight(a) * weight(b) * x.double_value(&[0, 0, mirrored(i + a, h), mirrored(j + b, w)]) / (all * all))
                .sum();
            assert!((found.double_value(&[0, 0, i, j]) - expected).abs() < 1e-5, "{i} {j}");
        }
        assert_eq!(smoothed(&Tensor::ones([1, 1, 3, 3], (Kind::Float, Device::Cpu)), 4.0).size(), [1, 1, 3, 3], "wider than the field");
    }

    #[test]
    fn fields_are_smooth_and_of_the_stated_size() {
        let all = displacements(20, 64, 48, &mut rng(0));
        // Uniform noise has variance 1/3; smoothing by a Gaussian divides it by 4 π σ², and by 0.91² less where the Gaussian ends at 2 σ.
        // Away from the border, where the noise is mirrored.
        let inner = all.narrow(2, 16, 32).narrow(3, 16, 16);
        let sigma = SMOOTHNESS * 64.0;
        let expected = STRENGTH * 64.0 * (1.0 / (3.0 * 4.0 * std::f64::consts::PI * sigma * sigma)).sqrt() / 0.91;
        let found = inner.square().mean(Kind::Double).double_value(&[]).sqrt();
        assert!((found / expected - 1.0).abs() < 0.25, "{found} and {expected} pixels");
        let steps = inner.diff(1, 3, None::<&Tensor>, None::<&Tensor>).square().mean(Kind::Double).double_value(&[]).sqrt();
        assert!(steps < 0.3 * found, "{steps}");
    }

    #[test]
    fn image_and_mask_are_deformed_alike_and_only_some() {
        let masks = Tensor::zeros([40, 24, 32], (Kind::Uint8, Device::Cpu));
        let _ = masks.narrow(1, 6, 12).narrow(2, 8, 16).fill_(3);
        let images = masks.unsqueeze(1).to_kind(Kind::Float);
        let (x, m) = deform(&images, Some(&masks), 0.5, &mut rng(0));
        let m = m.unwrap();
        assert_eq!((x.size(), m.size(), m.kind()), (images.size(), masks.size(), Kind::Uint8));
        let changed = (0..40).filter(|i| !m.get(*i).equal(&masks.get(*i))).count();
        assert!((10..=30).contains(&changed), "{changed} of 40");
        // Where the image is far from an edge, both agree.
        let sure = x.squeeze_dim(1).lt(0.01).logical_or(&x.squeeze_dim(1).gt(2.99));
        let same = x.squeeze_dim(1).round().to_kind(Kind::Uint8).eq_tensor(&m).logical_or(&sure.logical_not());
        assert_eq!(same.all().int64_value(&[]), 1);
        let (again, _) = deform(&images, Some(&masks), 0.5, &mut rng(0));
        assert!(again.equal(&x));
        let bytes = deform(&masks.unsqueeze(1), None, 1.0, &mut rng(1)).0;
        assert_eq!((bytes.kind(), bytes.max().int64_value(&[])), (Kind::Uint8, 3));
    }
}
