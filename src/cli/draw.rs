//! `naslab draw`

use super::args::DrawArguments;
use super::train::{Named, architecture};
use crate::error::Result;
use crate::report::draw_architecture;

/// Draws an architecture by name or file.
pub fn draw(a: &DrawArguments) -> Result<()> {
    let Named { name, architecture, .. } = architecture(&a.architecture)?;
    draw_architecture(&architecture, &name, &a.out)?;
    eprintln!("wrote {}", a.out.display());
    Ok(())
}
