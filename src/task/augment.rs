//! Random changes of training images, a whole batch at a time.

use super::elastic::deform;
use crate::error::{Result, usage};
use crate::seed::Rng;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// Padded random crop, flips, elastic deformation, cutout (DeVries and Taylor 2017), in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Padding on each side before a crop of the original size, pixels; 0 for no crop.
    pub crop_padding: u32,
    /// Of what colour is what lies beyond an image.
    #[serde(default)]
    pub pad_with: Padding,
    /// Mirror left and right with probability 1/2.
    pub flip: bool,
    /// Side of the square set to the mean colour, pixels, clipped at the borders; 0 for none.
    pub cutout: u32,
    /// Mirror top and bottom with probability 1/2.
    #[serde(default)]
    pub flip_vertical: bool,
    /// Probability of an elastic deformation.
    #[serde(default)]
    pub elastic: f64,
}

/// The colour of what a crop or a deformation shows beyond an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Padding {
    /// Black: images are padded before they are normalised.
    #[default]
    Black,
    /// The mean colour: they are padded after that.
    Mean,
}

impl Augment {
    /// No change.
    pub const NONE: Self = Self { crop_padding: 0, pad_with: Padding::Black, flip: false, cutout: 0, flip_vertical: false, elastic: 0.0 };

    /// Refuses what makes no sense for images of this size.
    pub fn check(&self, section: &str, height: i64, width: i64) -> Result<()> {
        let side = height.min(width);
        if i64::from(self.crop_padding) >= side || i64::from(self.cutout) > 2 * side {
            let Self { crop_padding, cutout, .. } = self;
            return Err(usage!("{section}: crop_padding {crop_padding} and cutout {cutout} are too large for images of {height}x{width}"));
        }
        if !(0.0..=1.0).contains(&self.elastic) {
            return Err(usage!("{section}.elastic = {}: a probability is from 0 to 1", self.elastic));
        }
        Ok(())
    }

    /// Crop, flips, deformation of images [N, C, H, W] in bytes or floats and, where they are given, of their masks [N, H, W] (class numbers up
    /// to 255). Shapes and kinds stay; shifted-in pixels are 0 in both.
    pub fn moved(&self, images: &Tensor, masks: Option<&Tensor>, rng: &mut Rng) -> (Tensor, Option<Tensor>) {
        let channels = images.size()[1];
        let both = masks.map(|masks| Tensor::cat(&[images, &masks.unsqueeze(1).to_kind(images.kind())], 1));
        let both = self.crop_and_flip(both.as_ref().unwrap_or(images), rng);
        let masks = masks.map(|masks| both.select(1, channels).to_kind(masks.kind()));
        let images = both.narrow(1, 0, channels);
        if self.elastic > 0.0 { deform(&images, masks.as_ref(), self.elastic, rng) } else { (images, masks) }
    }

    fn crop_and_flip(&self, images: &Tensor, rng: &mut Rng) -> Tensor {
        if self.crop_padding == 0 && !self.flip && !self.flip_vertical {
            return images.shallow_clone();
        }
        let (n, c, h, w) = images.size4().expect("images have four dimensions");
        let pad = i64::from(self.crop_padding);
        let index = self.source_pixels(n, h, w, rng).to_device(images.device());
        let padded = images.constant_pad_nd([pad, pad, pad, pad]).reshape([n, c, -1]);
        padded.gather(2, &index.view([n, 1, h * w]).expand([n, c, h * w], false), false).view([n, c, h, w])
    }

    /// Cutout on normalised images, where 0 is the mean colour.
    pub fn cut(&self, images: &Tensor, rng: &mut Rng) -> Tensor {
        if self.cutout == 0 {
            return images.shallow_clone();
        }
        let (n, _, h, w) = images.size4().expect("images have four dimensions");
        let rows = kept(n, h, self.cutout, rng, images.device());
        let columns = kept(n, w, self.cutout, rng, images.device());
        // A pixel stays if its row or its column lies outside the square.
        let keep = rows.unsqueeze(2).logical_or(&columns.unsqueeze(1)).view([n, 1, h, w]);
        images * keep.to_kind(images.kind())
    }

    /// Flat index in the padded image for every pixel of the result: [N, H, W].
    fn source_pixels(&self, n: i64, h: i64, w: i64, rng: &mut Rng) -> Tensor {
        let span = 2 * i64::from(self.crop_padding);
        let turned = |start: i64, size: i64, turn: bool| if turn { [start + size - 1, -1] } else { [start, 1] };
        let mut draws = Vec::new();
        for _ in 0..n {
            let (top, left) = (rng.random_range(0..=span), rng.random_range(0..=span));
            let flipped = self.flip && rng.random::<bool>();
            let upside_down = self.flip_vertical && rng.random::<bool>();
            draws.extend([turned(top, h, upside_down), turned(left, w, flipped)].concat());
        }
        let draws = Tensor::from_slice(&draws).view([n, 4, 1, 1]);
        let along = |draw: i64, size: i64, shape: [i64; 3]| {
            draws.select(1, draw) + draws.select(1, draw + 1) * Tensor::arange(size, (Kind::Int64, Device::Cpu)).view(shape)
        };
        along(0, h, [1, h, 1]) * (w + span) + along(2, w, [1, 1, w])
    }
}

/// Which positions along one axis lie outside a random interval of length `side` whose centre is uniform: [N, size], boolean.
fn kept(n: i64, size: i64, side: u32, rng: &mut Rng, device: Device) -> Tensor {
    let starts: Vec<i64> = (0..n).map(|_| rng.random_range(0..size) - i64::from(side) / 2).collect();
    let starts = Tensor::from_slice(&starts).view([n, 1]);
    let at = Tensor::arange(size, (Kind::Int64, Device::Cpu)).view([1, size]);
    let after = &at - starts;
    after.lt(0).logical_or(&after.ge(i64::from(side))).to_device(device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;

    fn rng(step: u64) -> Rng {
        Streams::new(11).rng("augment", step)
    }

    fn picture() -> Tensor {
        (Tensor::arange(2 * 3 * 5 * 7, (Kind::Float, Device::Cpu)) + 1.0).view([2, 3, 5, 7])
    }

    #[test]
    fn nothing_asked_nothing_changed() {
        let x = picture();
        assert!(Augment::NONE.moved(&x, None, &mut rng(0)).0.equal(&x));
        assert!(Augment::NONE.cut(&x, &mut rng(0)).equal(&x));
    }

    #[test]
    fn a_crop_is_a_window_of_the_padded_image() {
        let augment = Augment { crop_padding: 2, ..Augment::NONE };
        let x = picture();
        let padded = x.constant_pad_nd([2, 2, 2, 2]);
        let mut offsets = std::collections::HashSet::new();
        for step in 0..60 {
            let y = augment.moved(&x, None, &mut rng(step)).0;
            for n in 0..2 {
                let window = (0..5)
                    .flat_map(|t| (0..5).map(move |l| (t, l)))
                    .find(|(t, l)| padded.narrow(0, n, 1).narrow(2, *t, 5).narrow(3, *l, 7).equal(&y.narrow(0, n, 1)));
                offsets.insert(window.expect("the crop is one of the 25 windows"));
            }
        }
        assert!(offsets.len() > 20, "{} of 25 windows were drawn", offsets.len());
    }

    #[test]
    fn a_flip_mirrors_about_half_of_the_images() {
        let augment = Augment { flip: true, ..Augment::NONE };
        let x = picture();
        let mirrored = x.flip([3]);
        let mut flips = 0;
        for step in 0..200 {
            let y = augment.moved(&x, None, &mut rng(step)).0;
            for n in 0..2 {
                let (y, x, m) = (y.narrow(0, n, 1), x.narrow(0, n, 1), mirrored.narrow(0, n, 1));
                assert!(y.equal(&x) || y.equal(&m));
                flips += i32::from(y.equal(&m));
            }
        }
        assert!((150..250).contains(&flips), "{flips} of 400");
    }

    #[test]
    fn all_four_turns_come_about_equally_often() {
        let augment = Augment { flip: true, flip_vertical: true, ..Augment::NONE };
        let x = picture();
        let turned = [x.shallow_clone(), x.flip([3]), x.flip([2]), x.flip([2, 3])];
        let mut seen = [0; 4];
        for step in 0..200 {
            let y = augment.moved(&x, None, &mut rng(step)).0;
            for n in 0..2 {
                seen[turned.iter().position(|t| t.narrow(0, n, 1).equal(&y.narrow(0, n, 1))).expect("one of four")] += 1;
            }
        }
        assert!(seen.iter().all(|n| (70..130).contains(n)), "{seen:?} of 400");
    }

    #[test]
    fn image_and_mask_move_together() {
        let augment = Augment { crop_padding: 2, flip: true, ..Augment::NONE };
        let masks = (Tensor::arange(2 * 5 * 7, (Kind::Int64, Device::Cpu)) + 186).to_kind(Kind::Uint8).view([2, 5, 7]);
        let images = Tensor::stack(&[masks.to_kind(Kind::Float), masks.to_kind(Kind::Float) * 2.0], 1);
        let mut seen = std::collections::HashSet::new();
        for step in 0..50 {
            let (x, m) = augment.moved(&images, Some(&masks), &mut rng(step));
            let m = m.unwrap();
            assert_eq!((x.size(), m.size(), m.kind()), (vec![2, 2, 5, 7], vec![2, 5, 7], Kind::Uint8));
            assert!(x.select(1, 0).equal(&m.to_kind(Kind::Float)) && x.select(1, 1).equal(&(m.to_kind(Kind::Float) * 2.0)));
            assert!(x.equal(&augment.moved(&images, None, &mut rng(step)).0), "a mask takes no random numbers of its own");
            seen.insert(Vec::<u8>::try_from(m.reshape([-1])).unwrap());
        }
        assert!(seen.len() > 40, "{} different moves", seen.len());
    }

    #[test]
    fn cutout_clears_one_square_clipped_at_the_borders() {
        let augment = Augment { cutout: 4, ..Augment::NONE };
        let x = Tensor::ones([500, 2, 8, 8], (Kind::Float, Device::Cpu));
        let y = augment.cut(&x, &mut rng(0));
        assert!(y.select(1, 0).equal(&y.select(1, 1)), "all channels alike");
        let cleared = (y.select(1, 0) - 1.0).abs().sum_dim_intlist([1i64, 2].as_slice(), false, Kind::Float);
        assert_eq!(cleared.max().double_value(&[]), 16.0);
        assert!(cleared.min().double_value(&[]) >= 4.0);
    }

    #[test]
    fn the_same_stream_gives_the_same_images() {
        let augment = Augment { crop_padding: 1, flip: true, cutout: 2, flip_vertical: true, elastic: 0.5, ..Augment::NONE };
        let run = |step| augment.cut(&augment.moved(&picture(), None, &mut rng(step)).0, &mut rng(step));
        assert!(run(3).equal(&run(3)));
        assert!(!run(3).equal(&run(4)));
    }
}
