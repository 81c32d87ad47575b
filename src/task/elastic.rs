//! Elastic deformation (Simard, Steinkraus, Platt 2003): every pixel is taken from a place that a smooth random field gives.

use crate::seed::Rng;
use rand::RngExt;
use tch::{Device, Kind, Tensor};

/// Size of the field: uniform noise of [-1, 1], smoothed, times this many heights (public code of NAS-Unet).
const STRENGTH: f64 = 1.5;
/// Standard deviation of the smoothing Gaussian, in heights.
const SMOOTHNESS: f64 = 0.07;
/// Where the Gaussian is cut off, in standard deviations.
const REACH: f64 = 4.0;
/// Numbers of libtorch's grid sampler.
const BILINEAR: i64 = 0;
const NEAREST: i64 = 1;
const REFLECTION: i64 = 2;

/// Deforms each image [N, C, H, W] with `probability`, and its mask [N, H, W] alike: images between pixels (bilinear), masks to the nearest
/// one. Beyond the border the image is mirrored. Both keep their kinds.
pub fn deform(images: &Tensor, masks: Option<&Tensor>, probability: f64, rng: &mut Rng) -> (Tensor, Option<Tensor>) {
    let (n, _, h, w) = images.size4().expect("images have four dimensions");
    let chosen: Vec<i64> = (0..n).filter(|_| rng.random::<f64>() < probability).collect();
    if chosen.is_empty() {
        return (images.shallow_clone(), masks.map(Tensor::shallow_clone));
    }
    let grid = grid(&displacements(chosen.len() as i64, h, w, rng), h, w).to_device(images.device());
    let index = Tensor::from_slice(&chosen).to_device(images.device());
    let sample = |x: &Tensor, mode| {
        let sampled = x.index_select(0, &index).to_kind(Kind::Float).grid_sampler(&grid, mode, REFLECTION, false);
        let sampled = if x.kind() == Kind::Float { sampled } else { sampled.round() };
        x.index_copy(0, &index, &sampled.to_kind(x.kind()))
    };
    (sample(images, BILINEAR), masks.map(|m| sample(&m.unsqueeze(1), NEAREST).squeeze_dim(1)))
}

/// How far each pixel's source is away, in pixels along width and height: [n, 2, H, W].
fn displacements(n: i64, h: i64, w: i64, rng: &mut Rng) -> Tensor {
    let noise: Vec<f32> = (0..2 * n * h * w).map(|_| rng.random_range(-1.0..1.0)).collect();
    let noise = Tensor::from_slice(&noise).view([2 * n, 1, h, w]);
    let sigma = SMOOTHNESS * h as f64;
    let half = (REACH * sigma + 0.5).floor() as i64;
    let at = Tensor::arange(2 * half + 1, (Kind::Float, Device::Cpu)) - half;
    let kernel = (at.square() * (-0.5 / (sigma * sigma))).exp();
    let kernel = &kernel / kernel.sum(Kind::Float);
    let smooth =
        |x: &Tensor, shape: [i64; 4], padding: [i64; 2]| x.conv2d(&kernel.view(shape), None::<&Tensor>, [1, 1], padding, [1, 1], 1);
    let rows = smooth(&noise, [1, 1, 2 * half + 1, 1], [half, 0]);
    (smooth(&rows, [1, 1, 1, 2 * half + 1], [0, half]) * (STRENGTH * h as f64)).view([n, 2, h, w])
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
        let sample = |field: &Tensor, mode| x.grid_sampler(&grid(field, 5, 7), mode, REFLECTION, false);
        let zero = Tensor::zeros([1, 2, 5, 7], (Kind::Float, Device::Cpu));
        assert!(sample(&zero, BILINEAR).allclose(&x, 1e-5, 1e-5, false) && sample(&zero, NEAREST).equal(&x));
        let right = Tensor::cat(&[Tensor::ones([1, 1, 5, 7], (Kind::Float, Device::Cpu)), zero.narrow(1, 0, 1)], 1);
        assert!(sample(&right, NEAREST).narrow(3, 0, 6).equal(&x.narrow(3, 1, 6)));
    }

    #[test]
    fn fields_are_smooth_and_of_the_stated_size() {
        let all = displacements(20, 64, 48, &mut rng(0));
        // Uniform noise has variance 1/3; smoothing by a Gaussian divides it by 4 π σ². Away from the border, where zeros are smoothed in.
        let inner = all.narrow(2, 16, 32).narrow(3, 16, 16);
        let sigma = SMOOTHNESS * 64.0;
        let expected = STRENGTH * 64.0 * (1.0 / (3.0 * 4.0 * std::f64::consts::PI * sigma * sigma)).sqrt();
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
