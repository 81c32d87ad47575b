//! Sizes of maps: padding to what a U-shaped network needs, cropping back, nearest resizing; their mean, and what joins them.

use crate::shim;
use tch::{Kind, Tensor};

/// Mean over the map: [N, C, H, W] → [N, C].
pub fn global_average(x: &Tensor) -> Tensor {
    x.mean_dim([2i64, 3].as_slice(), false, None::<Kind>)
}

/// The channels of all, one after the other, [N, Cᵢ, ...] → [N, ΣCᵢ, ...], on any device; the gradients of all are one operator.
pub fn join(maps: &[&Tensor]) -> Tensor {
    shim::join(maps)
}

/// Repeats the last row and the last column until height and width are multiples of `multiple`: [N, C, H, W] → [N, C, H', W'].
pub fn pad_to_multiple(x: &Tensor, multiple: i64) -> Tensor {
    let (_, _, height, width) = x.size4().expect("maps have four dimensions");
    let missing = |size: i64| (multiple - size % multiple) % multiple;
    match (missing(height), missing(width)) {
        (0, 0) => x.shallow_clone(),
        (rows, columns) => x.replication_pad2d([0, columns, 0, rows]),
    }
}

/// The upper left `height` rows and `width` columns: [N, C, H', W'] → [N, C, height, width].
pub fn crop(x: &Tensor, height: i64, width: i64) -> Tensor {
    x.narrow(2, 0, height).narrow(3, 0, width)
}

/// Nearest resizing; row i reads row ⌊i H / height⌋. [N, C, H, W] → [N, C, height, width].
pub fn resize_nearest(x: &Tensor, height: i64, width: i64) -> Tensor {
    let (_, _, from_height, from_width) = x.size4().expect("maps have four dimensions");
    if (from_height, from_width) == (height, width) {
        return x.shallow_clone();
    }
    x.upsample_nearest2d([height, width], None, None)
}

/// Sum of maps that may differ in size: all are resized to the largest height and width. There is at least one.
pub fn sum_resized(maps: &[Tensor]) -> Tensor {
    let largest = |dim: usize| maps.iter().map(|m| m.size()[dim]).max().expect("at least one map");
    let (height, width) = (largest(2), largest(3));
    maps.iter().map(|m| resize_nearest(m, height, width)).reduce(|a, b| a + b).expect("at least one map")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn padding_repeats_the_border_and_cropping_takes_it_away() {
        let x = Tensor::rand([2, 3, 5, 9], (Kind::Double, Device::Cpu));
        let padded = pad_to_multiple(&x, 8);
        assert_eq!(padded.size(), [2, 3, 8, 16]);
        assert!(crop(&padded, 5, 9).equal(&x));
        assert!(padded.narrow(2, 7, 1).narrow(3, 0, 9).equal(&x.narrow(2, 4, 1)));
        assert!(pad_to_multiple(&padded, 8).equal(&padded));
    }

    #[test]
    fn a_map_of_odd_size_is_resized_by_repeating_its_first_row_and_column() {
        for half in 1..=64 {
            let x = Tensor::rand([1, 1, 2 * half - 1, 2 * half - 1], (Kind::Float, Device::Cpu));
            assert!(resize_nearest(&x, 2 * half, 2 * half).equal(&x.replication_pad2d([1, 0, 1, 0])), "{half}");
        }
    }

    #[test]
    fn a_sum_has_the_largest_size() {
        let one = |h, w| Tensor::ones([1, 2, h, w], (Kind::Float, Device::Cpu));
        let sum = sum_resized(&[one(3, 5), one(4, 5), one(3, 6)]);
        assert_eq!(sum.size(), [1, 2, 4, 6]);
        assert!(sum.eq(3.0).all().int64_value(&[]) == 1);
    }
}
