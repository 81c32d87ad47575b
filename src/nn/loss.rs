//! Losses: logits [N, classes] against labels `[N]`, or logits [N, classes, H, W] against masks [N, H, W] of class numbers (integers; 0 is
//! the background).

use super::network::cross_entropy;
use crate::error::{Result, usage};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Added to both sides of the Dice ratio, so that an empty mask has a value.
const SMOOTH: f64 = 1.0;

/// Weights of the parts of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// Of the mean cross-entropy, of an image or of a pixel, background included.
    pub cross_entropy: f64,
    /// Of [`dice_loss`]; 0 where whole images have a class.
    pub dice: f64,
}

impl Default for Loss {
    fn default() -> Self {
        Self { cross_entropy: 1.0, dice: 0.0 }
    }
}

impl Loss {
    /// Refuses weights that are negative, not finite or both zero.
    pub fn check(&self, section: &str) -> Result<()> {
        let weights = [self.cross_entropy, self.dice];
        if weights.iter().any(|w| !w.is_finite() || *w < 0.0) || weights == [0.0; 2] {
            return Err(usage!("{section}: cross_entropy {} and dice {}: give one a positive weight", weights[0], weights[1]));
        }
        Ok(())
    }

    /// The weighted sum, a scalar in the kind of the logits.
    pub fn of(&self, logits: &Tensor, masks: &Tensor) -> Tensor {
        match (self.cross_entropy, self.dice) {
            (1.0, 0.0) => cross_entropy(logits, masks),
            (entropy, 0.0) => cross_entropy(logits, masks) * entropy,
            (0.0, dice) => dice_loss(logits, masks) * dice,
            (entropy, dice) => cross_entropy(logits, masks) * entropy + dice_loss(logits, masks) * dice,
        }
    }
}

/// Dice loss (public code of NAS-Unet): 1 - the mean over images and foreground classes of (2 Σ p g + 1) / (Σ p² + Σ g² + 1), where p are
/// the softmax probabilities and g the mask, summed over the pixels of an image.
pub fn dice_loss(logits: &Tensor, masks: &Tensor) -> Tensor {
    let ratios = soft_dice(logits, masks);
    -ratios.narrow(1, 1, ratios.size()[1] - 1).mean(None::<Kind>) + 1.0
}

/// What the public code of NAS-Unet reports as "DSC": the same ratio of probabilities, averaged over images and all classes, background
/// included.
pub fn legacy_soft_dice(logits: &Tensor, masks: &Tensor) -> f64 {
    soft_dice(logits, masks).mean(Kind::Double).double_value(&[])
}

/// The smoothed ratio of every image and class: [N, classes].
fn soft_dice(logits: &Tensor, masks: &Tensor) -> Tensor {
    let p = logits.softmax(1, None::<Kind>);
    let g = p.zeros_like().scatter_value(1, &masks.unsqueeze(1), 1.0);
    let sum = |x: Tensor| x.sum_dim_intlist([2i64, 3].as_slice(), false, None::<Kind>);
    (sum(&p * &g) * 2.0 + SMOOTH) / (sum(p.square()) + sum(g) + SMOOTH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, no_grad};

    fn masks(classes: &[i64], shape: [i64; 3]) -> Tensor {
        Tensor::from_slice(classes).view(shape)
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} and {b}");
    }

    /// Logits whose softmax is `p` for class 1 and 1 - p for class 0.
    fn logits(p: &[f64], shape: [i64; 3]) -> Tensor {
        let one = Tensor::from_slice(p).view(shape);
        Tensor::stack(&[(one.neg() + 1.0).log(), one.log()], 1)
    }

    #[test]
    fn two_by_two_pixels_by_hand() {
        let (p, truth) = ([0.5, 0.25, 0.75, 0.5], masks(&[0, 0, 1, 1], [1, 2, 2]));
        let x = logits(&p, [1, 2, 2]);
        // Class 1: 2 (0.75 + 0.5) + 1 over 0.25 + 0.0625 + 0.5625 + 0.25 + 2 + 1. Class 0: the probabilities are mirrored.
        let (foreground, background) = (3.5 / 4.125, (2.0 * 1.25 + 1.0) / (0.25 + 0.5625 + 0.0625 + 0.25 + 2.0 + 1.0));
        close(dice_loss(&x, &truth).double_value(&[]), 1.0 - foreground);
        close(legacy_soft_dice(&x, &truth), f64::midpoint(foreground, background));
        let entropy = -(0.5f64.ln() + 0.75f64.ln() + 0.75f64.ln() + 0.5f64.ln()) / 4.0;
        let both = Loss { cross_entropy: 2.0, dice: 0.7 };
        close(both.of(&x, &truth).double_value(&[]), 2.0 * entropy + 0.7 * (1.0 - foreground));
        close(Loss { cross_entropy: 1.0, dice: 0.0 }.of(&x, &truth).double_value(&[]), entropy);
        close(Loss { cross_entropy: 0.0, dice: 1.0 }.of(&x, &truth).double_value(&[]), 1.0 - foreground);
    }

    #[test]
    fn a_certain_and_right_answer_costs_nothing_and_an_empty_mask_has_a_value() {
        let truth = masks(&[0, 1, 2, 2, 1, 0, 0, 0], [2, 2, 2]);
        let certain = Tensor::zeros([2, 3, 2, 2], (Kind::Double, Device::Cpu)).scatter_value(1, &truth.unsqueeze(1), 50.0);
        assert!(dice_loss(&certain, &truth).double_value(&[]) < 1e-3);
        close(legacy_soft_dice(&certain, &truth), 1.0);
        let empty = masks(&[0; 4], [1, 2, 2]);
        close(dice_loss(&logits(&[0.5; 4], [1, 2, 2]), &empty).double_value(&[]), 1.0 - 1.0 / (1.0 + 4.0 * 0.25));
    }

    #[test]
    fn the_order_of_images_does_not_matter() {
        let x = Tensor::rand([4, 3, 5, 6], (Kind::Double, Device::Cpu));
        let truth = (Tensor::rand([4, 5, 6], (Kind::Double, Device::Cpu)) * 3.0).floor().to_kind(Kind::Int64);
        close(dice_loss(&x, &truth).double_value(&[]), dice_loss(&x.flip([0]), &truth.flip([0])).double_value(&[]));
    }

    #[test]
    fn the_gradient_agrees_with_central_differences() {
        let x = Tensor::rand([2, 3, 3, 2], (Kind::Double, Device::Cpu)).set_requires_grad(true);
        let truth = masks(&[0, 1, 2, 2, 1, 0, 0, 0, 0, 0, 0, 1], [2, 3, 2]);
        let loss = |x: &Tensor| Loss { cross_entropy: 1.0, dice: 0.2 }.of(x, &truth);
        let gradient = Tensor::run_backward(&[loss(&x)], &[&x], false, false)[0].reshape([-1]);
        for i in 0..36 {
            let at = |step: f64| {
                let moved = x.detach().copy();
                let _ = moved.view([-1]).get(i).g_add_scalar_(step);
                no_grad(|| loss(&moved).double_value(&[]))
            };
            assert!(((at(1e-5) - at(-1e-5)) / 2e-5 - gradient.double_value(&[i])).abs() < 1e-9);
        }
    }

    #[test]
    fn weights_that_make_no_loss_are_refused() {
        for (cross_entropy, dice) in [(0.0, 0.0), (-1.0, 1.0), (1.0, f64::NAN), (f64::INFINITY, 0.0)] {
            assert!(Loss { cross_entropy, dice }.check("search.loss").is_err());
        }
        Loss { cross_entropy: 0.0, dice: 1.0 }.check("search.loss").unwrap();
    }
}
