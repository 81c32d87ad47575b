//! `naslab report`

use super::args::ReportArguments;
use super::show::print_out;
use crate::error::Result;
use crate::report::write_report;

/// Writes tables, figures and the page, and prints the table.
pub fn report(a: &ReportArguments) -> Result<()> {
    let summary = write_report(&a.runs, &a.out)?;
    for warning in &summary.warnings {
        eprintln!("note: {warning}");
    }
    print_out(&summary.table)?;
    eprintln!("{} files in {}", summary.files.len(), a.out.display());
    Ok(())
}
