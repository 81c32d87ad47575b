//! What is said on standard error is a courtesy: losing it (a reader that went away, a full disk, a closed terminal) never ends work.

use std::fmt::Arguments;
use std::io::Write;

/// Writes one line to standard error, whole, so that lines of several processes do not mix.
pub(crate) fn line(words: Arguments<'_>) {
    let _ = std::io::stderr().write_all(format!("{words}\n").as_bytes());
}

/// Says a line on standard error, as `eprintln!` does, which panics where nobody can hear it.
macro_rules! say {
    ($($words:tt)+) => {
        $crate::message::line(format_args!($($words)+))
    };
}

pub(crate) use say;
