//! The U-Net that NAS-Unet is compared with (Ronneberger et al. 2015): no cells, but a size.

use super::{Architecture, Genotype, Space, UnetSize, parameters};
use crate::error::Result;

/// The space of all U-Nets; each has one, so a draw takes the size from its parameters.
pub static SPACE: Space = Space {
    pixels: true,
    published: &[("unet", || UnetSize::ORIGINAL_UNET.into()), ("unet-16", || narrow(16)), ("unet-8", || narrow(8))],
    ..Space::of::<UnetSize>("unet", "nas_unet", |given, _| Ok(parameters::<UnetSize>(&SPACE, given)?.into()))
};

impl Genotype for UnetSize {
    const SPACE: &'static Space = &SPACE;

    fn check(&self) -> Result<()> {
        UnetSize::check(*self)
    }
}

impl UnetSize {
    /// Ronneberger et al. 2015: 64, 128, ... 1024 channels.
    pub const ORIGINAL_UNET: Self = Self { channels: 64, depth: 4 };
}

/// Narrower by the width of its first stage; 8 has about as many weights as the released NAS-Unet V2 of width 32.
fn narrow(channels: i64) -> Architecture {
    UnetSize { channels, ..UnetSize::ORIGINAL_UNET }.into()
}
