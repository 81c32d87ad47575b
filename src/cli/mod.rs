//! What was typed → what it means → do it. A file for each subcommand, or for several that are small.

mod args;
mod bench;
mod export;
mod list;
mod member;
mod plan;
mod run;
mod show;
mod suite;
mod table;
mod train;
mod values;

#[cfg(feature = "report")]
mod report;

use crate::device::keep_memory;
use crate::error::{Error, Result};
use crate::lab::is_exhaustion;
use args::{Arguments, Command};
use clap::Parser;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// Runs the command line and returns the documented exit code.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    keep_memory();
    hide_exhaustion();
    let code = match catch_unwind(AssertUnwindSafe(|| dispatch(arguments))) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            eprintln!("naslab: {error}");
            error.exit_code()
        }
        Err(payload) => after_panic(payload),
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn dispatch(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::List => list::list(),
        Command::Plan { method, settings } => plan::plan(&method, &settings),
        Command::Bench(a) => bench::bench(&a),
        Command::Run { methods, controls, runs } => run::run(&methods, controls, &runs),
        Command::Resume(a) => run::resume(&a),
        Command::Train { architecture, runs } => train::train(&architecture, &runs),
        Command::Data(action) => list::data(&action),
        Command::Table(action) => table::table(&action),
        Command::Export(a) => export::export(&a),
        Command::Member { plan } => member::member(&plan),
        #[cfg(feature = "report")]
        Command::Report { runs, out } => report::report(&runs, &out),
        #[cfg(feature = "report")]
        Command::Check(a) => report::check(&a),
        #[cfg(feature = "report")]
        Command::Draw { architecture, out } => report::draw(&architecture, &out),
    }
}

/// Exhausted memory is reported as such, once; every other panic keeps its message.
fn hide_exhaustion() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !is_exhaustion(&info.to_string()) {
            default(info);
        }
    }));
}

fn after_panic(payload: Box<dyn std::any::Any + Send>) -> i32 {
    let text = payload.downcast_ref::<String>().map_or("", String::as_str);
    if is_exhaustion(text) {
        let error = Error::Resource("memory ran out; use a smaller batch or network (--set), or resume on a larger machine".into());
        eprintln!("naslab: {error}");
        return error.exit_code();
    }
    eprintln!("naslab: this is a bug; please report the message above. What was recorded is kept, and the run can be resumed.");
    101
}
