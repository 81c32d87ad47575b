//! Averages over maps.

use tch::{Kind, Tensor};

/// Average pooling without padding.
pub fn avg_pool_valid(x: &Tensor, kernel: i64, stride: i64) -> Tensor {
    x.avg_pool2d([kernel, kernel], [stride, stride], [0, 0], false, false, None)
}

/// Mean over the map: [N, C, H, W] → [N, C].
pub fn global_average(x: &Tensor) -> Tensor {
    x.mean_dim([2i64, 3].as_slice(), false, None::<Kind>)
}
