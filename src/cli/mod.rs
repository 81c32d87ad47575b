//! What was typed → what it means → do it. A file for each subcommand, or for several that are small.

mod args;
mod list;
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

use crate::error::{Error, Result};
use crate::units::is_exhaustion;
use args::{Arguments, Command};
use clap::Parser;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// Runs the command line and returns the documented exit code.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[cfg(feature = "search")]
    if arguments.command.computes() {
        crate::device::let_threads_sleep();
        crate::device::keep_memory();
    }
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
