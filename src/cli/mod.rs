//! What was typed → what it means → do it. A file for each subcommand, or for several that are small.

mod args;
mod list;
mod memory;
#[cfg(any(feature = "search", feature = "report"))]
mod named;
#[cfg(feature = "report")]
mod report;
mod show;
mod table;
mod table_workers;
mod values;

#[cfg(feature = "search")]
mod bench;
#[cfg(feature = "search")]
mod cluster;
#[cfg(feature = "search")]
mod export;
#[cfg(feature = "search")]
mod member;
#[cfg(feature = "search")]
mod plan;
#[cfg(feature = "search")]
mod progress;
#[cfg(feature = "search")]
mod run;
#[cfg(feature = "search")]
mod run_args;
#[cfg(feature = "search")]
mod slurm_suite;
#[cfg(feature = "search")]
mod suite;
#[cfg(feature = "search")]
mod tabulate;
#[cfg(feature = "search")]
mod train;
#[cfg(feature = "search")]
mod trial;

pub use memory::Memory;

use crate::error::{Error, Result};
use crate::message::say;
use crate::units::{is_exhaustion, is_want_of_threads};
use args::{Arguments, Command};
use clap::Parser;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;

/// What is said where memory ran out in a place that has no better words.
const OUT_OF_MEMORY: &str = "memory ran out; use a smaller batch or network (--set), or resume on a larger machine";

/// Runs the command line and returns the documented exit code.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A file that reaches the limit of its size is an error of that write then, with a message, and not the end of the process.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
    #[cfg(feature = "search")]
    {
        if arguments.command.computes() {
            crate::device::let_threads_sleep(member::SELF);
        }
        crate::device::keep_memory();
    }
    hide_exhaustion();
    let work = || {
        #[cfg(feature = "search")]
        crate::device::check_libtorch()?;
        dispatch(arguments)
    };
    let code = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            say!("naslab: {error}");
            error.exit_code()
        }
        Err(payload) => after_panic(payload),
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn dispatch(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::List => list::list(),
        #[cfg(feature = "search")]
        Command::Plan { method, settings, cluster } => plan::plan(&method, &settings, &cluster),
        #[cfg(feature = "search")]
        Command::Bench(a) => bench::bench(&a),
        #[cfg(feature = "search")]
        Command::Run { methods, controls, runs } => run::run(&methods, controls, &runs),
        #[cfg(feature = "search")]
        Command::Resume(a) => run::resume(&a),
        #[cfg(feature = "search")]
        Command::Train { architecture, runs } => train::train(&architecture, &runs),
        Command::Data(action) => list::data(&action),
        Command::Table(action) => table::table(&action),
        #[cfg(feature = "search")]
        Command::Export(a) => export::export(&a),
        #[cfg(feature = "search")]
        Command::Trial(a) => trial::trial(&a),
        #[cfg(feature = "search")]
        Command::Member { plan } => member::member(&plan),
        #[cfg(feature = "report")]
        Command::Report { runs, out, against, figure_width, figure_dpi } => {
            let print = figure_width.map(|millimetres| crate::report::Print { millimetres, dpi: figure_dpi });
            report::report(&runs, &out, &crate::report::Extras { against, print })
        }
        #[cfg(feature = "report")]
        Command::Check(a) => report::check(&a),
        #[cfg(feature = "report")]
        Command::Draw { architecture, out } => report::draw(&architecture, &out),
        #[cfg(not(all(feature = "search", feature = "report")))]
        Command::Other(words) => Err(missing(&words[0].to_string_lossy())),
    }
}

/// Why a command is not there.
#[cfg(not(all(feature = "search", feature = "report")))]
fn missing(command: &str) -> Error {
    let needs = match command {
        "plan" | "bench" | "run" | "resume" | "train" | "trial" | "export" => Some(("search", "libtorch")),
        "report" | "check" | "draw" => Some(("report", "tables and figures")),
        _ => None,
    };
    Error::Usage(match needs {
        Some((feature, what)) => {
            format!(
                "'{command}' needs {what}, without which this naslab was built; build it with the feature '{feature}' (cargo build --features {feature})"
            )
        }
        None => format!("there is no command '{command}'; see naslab --help"),
    })
}

/// Exhausted memory and threads are reported as such, once; every other panic keeps its message.
fn hide_exhaustion() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.to_string();
        if !is_exhaustion(&text) && !is_want_of_threads(&text) {
            default(info);
        }
    }));
}

fn after_panic(payload: Box<dyn std::any::Any + Send>) -> i32 {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref().copied()).unwrap_or_default();
    let what = match text {
        text if is_exhaustion(text) => OUT_OF_MEMORY.into(),
        text if is_want_of_threads(text) => format!("the system starts no more threads; {}", Error::FEWER_THREADS),
        _ => String::new(),
    };
    if !what.is_empty() {
        let error = Error::Resource(what);
        say!("naslab: {error}");
        return error.exit_code();
    }
    say!("naslab: this is a bug; please report the message above. What was recorded is kept, and the run can be resumed.");
    101
}
