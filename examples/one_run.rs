//! One run: ageing evolution on the digits that are part of the program, in seconds.
//!
//! `cargo run --example one_run -- [FOLDER]`

use naslab::Run;

fn main() -> naslab::error::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "runs".into());
    let done = Run::method("amoebanet").preset("smoke").set("search.trials", 4).seed(1).in_dir(folder)?;
    println!("{done}");
    println!("{} has the architecture, the weights and what each phase used", done.directory().display());
    Ok(())
}
