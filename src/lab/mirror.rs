//! TensorBoard's file while a run goes on. It holds nothing that is not recorded elsewhere, so a run never fails for it.

use crate::record::{Board, Event, RunDir, RunResult, StoredEvent};
use std::io::Result;

/// The event file of a run, if it has one and as long as it can be written.
pub struct Mirror(Option<Board>);

impl Mirror {
    /// Brings the file to what is recorded, if it is wanted or there already. With it comes what a user should know.
    pub fn open(run: &RunDir, wanted: bool, past: &[StoredEvent]) -> (Self, Option<String>) {
        let folder = run.tensorboard_path();
        if !wanted && !Board::path_in(&folder).exists() {
            return (Self(None), None);
        }
        let opened = run.manifest().map_err(|e| e.to_string()).and_then(|m| Board::open(&folder, &m, past).map_err(|e| e.to_string()));
        match opened {
            Ok(board) => (Self(Some(board)), None),
            Err(e) => (Self(None), Some(without(run, &e))),
        }
    }

    /// Appends what was just recorded. The text is for the user: from now on there is no file.
    pub fn add(&mut self, run: &RunDir, time: &str, event: &Event) -> Option<String> {
        self.append(run, |board| board.add(time, event))
    }

    /// Appends the result; likewise.
    pub fn finish(&mut self, run: &RunDir, result: &RunResult) -> Option<String> {
        self.append(run, |board| board.finish(result))
    }

    fn append(&mut self, run: &RunDir, append: impl FnOnce(&mut Board) -> Result<()>) -> Option<String> {
        let error = append(self.0.as_mut()?).err()?;
        self.0 = None;
        Some(without(run, &error.to_string()))
    }
}

fn without(run: &RunDir, why: &str) -> String {
    format!(
        "the run goes on without TensorBoard's file, which cannot be written to {}: {why}; afterwards: naslab export {} --format tensorboard",
        run.tensorboard_path().display(),
        run.path().display()
    )
}
