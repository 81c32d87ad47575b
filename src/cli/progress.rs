//! How a run goes, on standard error; what runs came to, on standard output.

use super::show::{print_out, table};
use crate::error::{Error, Result, resource};
use crate::lab::{Update, Watch};
use crate::message::say;
use crate::record::{EndReason, LedgerRecord, Phase, RunResult};
use crate::units::{show_count, show_seconds};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Seconds between two plain progress lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Bars on a terminal, plain lines elsewhere or if `plain`, nothing if `quiet`.
pub fn watch(label: &str, (quiet, plain): (bool, bool)) -> Watch {
    if quiet {
        return Box::new(|_| ());
    }
    let label = label.to_string();
    if std::io::stderr().is_terminal() && !plain { bars(label) } else { lines(label) }
}

fn bars(label: String) -> Watch {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{prefix} {msg:8} {bar:32} {pos}/{len}  {elapsed_precise} (left {eta})");
    bar.set_style(style.expect("the template is well formed"));
    bar.set_prefix(label);
    Box::new(move |update| match update {
        Update::Phase(phase) => {
            // Without a length the bar is empty; of length 0 it would be full.
            bar.unset_length();
            bar.reset();
            bar.set_message(phase.name());
            if phase == Phase::Test {
                bar.finish_and_clear();
            } else {
                // Drawn in any case: a bar that was drawn just now is left as it is otherwise, with the count of the phase before, until the first step is over.
                bar.force_draw();
            }
        }
        Update::Step { done, planned, .. } => {
            bar.set_length(planned);
            bar.set_position(done);
        }
        Update::Line(text) => bar.suspend(|| say!("{text}")),
    })
}

fn lines(label: String) -> Watch {
    let mut last = Instant::now();
    Box::new(move |update| match update {
        Update::Phase(phase) => {
            last = Instant::now();
            say!("{label}: {}", phase.name());
        }
        Update::Step { phase, done, planned } if last.elapsed() >= LINE_EVERY => {
            last = Instant::now();
            say!("{label}: {} {done}/{planned}", phase.name());
        }
        Update::Step { .. } => (),
        Update::Line(text) => say!("{label}: {text}"),
    })
}

/// One finished run: what it returned and what it cost.
pub type Row = (RunResult, LedgerRecord);

/// Prints the runs as a table on standard output.
pub fn results(rows: &[Row]) -> Result<()> {
    let cells = rows.iter().map(|(r, ledger)| {
        let seconds = |phase| {
            // Times of unlike devices are not added.
            if ledger.is_unlike(Some(phase)) {
                return ledger.models(Some(phase)).values().map(|seconds| show_seconds(*seconds)).collect::<Vec<_>>().join(" | ");
            }
            let of_phase = ledger.rows.iter().filter(|l| l.phase == phase).map(|l| l.device_seconds);
            of_phase.reduce(|a, b| a + b).map_or_else(|| "-".into(), show_seconds)
        };
        let [search, select, retrain] = [Phase::Search, Phase::Select, Phase::Retrain].map(seconds);
        let name = [&*r.method, &*r.variant].join(" ").trim_end().to_string();
        let (score, test) =
            (percent(r.search_score), r.failure().map_or_else(|| percent(r.final_score), |why| format!("- ({})", why.words())));
        [name, r.seed.to_string(), score, test, show_count(r.parameters), search, select, retrain, end(r, ledger)]
    });
    let header = ["method", "seed", "search score", "test", "weights", "search", "select", "retrain", "search ended"];
    print_out(table(header, &[0, 8], cells))?;
    print_out(rows.iter().filter_map(|(result, ledger)| tasks(result, ledger)).collect::<String>())
}

/// That runs have no test score, and why.
///
/// # Errors
/// [`Error::Resource`] if memory ran out in one of them, else [`Error::NoResult`].
pub fn scored(rows: &[Row]) -> Result<()> {
    let why = |(r, _): &Row| {
        let name = [&*r.method, &*r.variant].join(" ").trim_end().to_string();
        r.unscored().map(|why| (format!("{name} seed {}: {why}", r.seed), r.failure()))
    };
    let all: Vec<(String, Option<EndReason>)> = rows.iter().filter_map(why).collect();
    if all.is_empty() {
        return Ok(());
    }
    let text = all.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join("; ");
    if all.iter().any(|(_, why)| *why == Some(EndReason::OutOfMemory)) {
        return Err(resource!("{text}; give it more memory (--max-memory, or a larger machine), or make it smaller with --set"));
    }
    Err(Error::NoResult(format!("{text}; a lower retrain.recipe.learning_rate may help (--set)")))
}

/// What the trainings with an account of their own add to the table: where they were, how long they waited, and on unlike devices what each part was.
fn tasks(result: &RunResult, ledger: &LedgerRecord) -> Option<String> {
    let apart: Vec<_> = ledger.tasks.iter().filter(|task| task.apart).collect();
    let unlike = ledger.is_unlike(None);
    if apart.is_empty() && !unlike {
        return None;
    }
    let nodes: std::collections::BTreeSet<&str> = ledger.tasks.iter().map(|task| task.node.as_str()).collect();
    let queued: f64 = ledger.tasks.iter().filter_map(|task| task.queued_seconds).sum();
    let models: Vec<String> = ledger.models(None).iter().map(|(model, seconds)| format!("{} on {model}", show_seconds(*seconds))).collect();
    let (count, wall, queued) = (ledger.tasks.len(), show_seconds(ledger.wall_seconds), show_seconds(queued));
    let on = models.join(if unlike { "; and, which is another device, " } else { ", " });
    let seed = result.seed;
    Some(format!(
        "{} seed {seed}: {count} trainings on {} nodes, {on}; in the queue {queued}; wall time {wall}\n",
        result.method,
        nodes.len()
    ))
}

fn end(result: &RunResult, ledger: &LedgerRecord) -> String {
    let cut = result.cut_selection.map_or_else(String::new, |cut| format!("; {}", cut.words()));
    let reason = format!("{}{cut}", result.search_end.words());
    match (ledger.budget_seconds, ledger.overshoot_seconds) {
        (Some(budget), Some(over)) if over > 0.0 => format!("{reason} ({}, overshot by {})", show_seconds(budget), show_seconds(over)),
        _ => reason,
    }
}

/// A fraction in per cent; nothing where there is none.
pub fn percent(fraction: Option<f64>) -> String {
    fraction.map_or_else(|| "-".into(), |f| format!("{:.2} %", 100.0 * f))
}
