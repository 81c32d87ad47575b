//! NAS-Unet: Neural Architecture Search for Medical Image Segmentation (Weng, Zhou, Li, Qiu 2019). Two cells, one that halves the maps and
//! one that doubles them, are searched inside a U by gradients on mixed operations, as in DARTS of first order.

pub mod alpha;
pub mod supernet;
