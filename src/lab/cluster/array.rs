//! A job array: a script, and a list with a line for every task.

use super::commands::{Refusal, find, snapshot, submit};
use crate::error::{Error, Result};
use crate::record::write_atomic;
use crate::units::hex;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// An array that is written and not yet sent.
#[derive(Clone, Debug)]
pub struct Array {
    /// Its name in the queue, which no other has.
    pub name: String,
    folder: PathBuf,
    tasks: usize,
    /// Whether Slurm did not answer when it was sent: it may have taken it all the same.
    unanswered: bool,
}

/// A word as the shell reads it.
pub fn quoted(word: &str) -> String {
    // No word of ours has a byte 0.
    shlex::try_quote(word).map_or_else(|_| String::new(), |word| word.into_owned())
}

impl Array {
    /// A name that no other array has, since it comes from the place, the time and the process.
    pub fn new_name(folder: &Path) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (time, count) = (jiff::Timestamp::now(), COUNT.fetch_add(1, Ordering::Relaxed));
        let text = format!("{}|{time}|{}|{count}", folder.display(), std::process::id());
        format!("naslab-{}", &hex(&Sha256::digest(text.as_bytes()))[..12])
    }

    /// The array `name` in `folder`, which exists: task N calls `program` with the words of line N.
    ///
    /// # Errors
    /// [`Error::Resource`] where it cannot be written.
    pub fn write(folder: &Path, name: String, program: &Path, lines: &[String]) -> Result<Self> {
        let folder = std::path::absolute(folder).map_err(|e| Error::writing(folder, &e))?;
        let array = Self { name, folder, tasks: lines.len(), unanswered: false };
        let (list, program) = (quoted(&array.file("list").display().to_string()), quoted(&program.display().to_string()));
        let words = "$(sed -n \"$((SLURM_ARRAY_TASK_ID + 1))p\" \"$list\")";
        let about = "# Written by naslab. Line N + 1 of the list is what task N does.";
        let script = format!("#!/bin/sh\n{about}\nprogram={program}\nlist={list}\neval \"exec \\\"\\$program\\\" {words}\"\n");
        write_atomic(&array.file("list"), (lines.join("\n") + "\n").as_bytes())?;
        write_atomic(&array.file("sh"), script.as_bytes())?;
        Ok(array)
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.name))
    }

    /// Its number where Slurm took it without an answer.
    ///
    /// # Errors
    /// No answer where Slurm does not say what it has.
    pub fn taken(&self) -> std::result::Result<Option<u64>, Refusal> {
        if !self.unanswered {
            return Ok(None);
        }
        snapshot().map(|queue| find(&queue, &self.name)).map_err(Refusal::NoAnswer)
    }

    /// Sends it, at most `at_once` of its tasks at a time, with these words for `sbatch`. Returns
    /// Slurm's number. What may have been taken before is looked for first, and never sent twice.
    ///
    /// # Errors
    /// Why it was refused.
    pub fn send(&mut self, words: &[String], at_once: Option<u64>) -> std::result::Result<u64, Refusal> {
        if let Some(number) = self.taken()? {
            return Ok(number);
        }
        // Slurm reads `%` in a path as the begin of a symbol.
        let folder = self.folder.display().to_string().replace('%', "%%");
        let output = format!("{folder}/{}.%a.out", self.name);
        let sent = submit(words, (&self.name, &self.file("sh"), &output), (self.tasks, at_once));
        self.unanswered |= matches!(sent, Err(Refusal::NoAnswer(_)));
        sent
    }
}

/// The last lines that a task of the array `name` in `folder` printed, where they can be seen.
pub fn last_words(folder: &Path, name: &str, index: u64) -> String {
    let text = std::fs::read(folder.join(format!("{name}.{index}.out"))).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join(" / ")
}
