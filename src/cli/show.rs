//! Results on standard output.

use crate::error::{Result, resource};
use comfy_table::{Cell, CellAlignment, Table, presets};
use std::io::Write;

/// A table without frame: the columns in `left` to the left, and the others to the right, where numbers belong.
pub fn table<const N: usize>(header: [&str; N], left: &[usize], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let align = |i| if left.contains(&i) { CellAlignment::Left } else { CellAlignment::Right };
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row.into_iter().enumerate().map(|(i, cell)| Cell::new(cell).set_alignment(align(i))));
    }
    format!("{table}\n")
}

/// Writes to standard output; a reader that went away (such as `head`) has seen enough.
pub fn print_out(text: impl AsRef<[u8]>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(resource!("cannot write to standard output: {e}")),
        _ => Ok(()),
    }
}
