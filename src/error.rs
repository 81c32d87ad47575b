//! One error type: what went wrong, where, and what to try, with the exit code that belongs to it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The result of everything fallible in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong. Each kind has one exit code, see [`Error::exit_code`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Recorded runs are worse than the baseline.
    #[error("{0}")]
    Regression(String),
    /// The request makes no sense: unknown name, contradictory options.
    #[error("{0}")]
    Usage(String),
    /// An input is missing or damaged.
    #[error("{}: {what}", .path.display())]
    Input {
        /// The file or folder at fault.
        path: PathBuf,
        /// What is wrong with it, where in it, and what to try.
        what: String,
    },
    /// The budget ended before there was anything to report, or a training diverged.
    #[error("{0}")]
    NoResult(String),
    /// Disk, memory or device failed. What was recorded before stays valid.
    #[error("{0}")]
    Resource(String),
    /// A signal stopped the run; it can be resumed.
    #[error("stopped by signal {signal}; nothing recorded is lost, go on with: naslab resume {}", .dir.display())]
    Interrupted {
        /// 1 for SIGHUP, 2 for SIGINT, 15 for SIGTERM.
        signal: i32,
        /// The run directory to resume.
        dir: PathBuf,
    },
    /// Some of several runs failed.
    #[error("{what}")]
    Suite {
        /// Which, and how.
        what: String,
        /// Exit code of the first of them.
        code: i32,
    },
    /// libtorch refused an operation.
    #[cfg(feature = "search")]
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

impl Error {
    /// An [`Error::Input`] about `path`.
    pub fn input(path: impl AsRef<Path>, what: impl Into<String>) -> Self {
        Self::Input { path: path.as_ref().to_path_buf(), what: what.into() }
    }

    /// A failed read: a missing or unreadable file is bad input.
    pub fn reading(path: impl AsRef<Path>, e: &std::io::Error) -> Self {
        Self::input(path, format!("cannot read: {e}"))
    }

    /// A failed write: a full disk or a read-only folder is a resource failure. What to try depends on what failed.
    pub fn writing(path: impl AsRef<Path>, e: &std::io::Error) -> Self {
        let advice = match e.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space",
            ErrorKind::FileTooLarge => "allow larger files (ulimit -f)",
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "permit writing, or name another place",
            ErrorKind::NotFound => "there is no such folder: make it, or name another (TMPDIR names the folder of temporary files)",
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
                "something else is there, such as a link that leads nowhere: remove it, or name another place"
            }
            _ => "look at the disk, or name another place",
        };
        Self::Resource(format!(
            "{}: cannot write: {e}; {advice}. What was recorded before is kept, and a run can be resumed",
            path.as_ref().display()
        ))
    }

    /// A thread that the system did not start.
    pub fn thread(e: &std::io::Error) -> Self {
        Self::Resource(format!("cannot start a thread: {e}; {}", Self::FEWER_THREADS))
    }

    /// What to try where threads are limited.
    pub const FEWER_THREADS: &str =
        "use fewer (--jobs, --threads), or raise the limit of processes (ulimit -u) or of addresses (ulimit -v)";

    /// The documented exit code of the binary for this error.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Regression(_) => 1,
            Self::Usage(_) => 2,
            Self::Input { .. } => 3,
            Self::NoResult(_) => 4,
            Self::Resource(_) => 5,
            #[cfg(feature = "search")]
            Self::Torch(_) => 5,
            Self::Interrupted { signal, .. } => 128 + signal,
            Self::Suite { code, .. } => *code,
        }
    }
}

/// An [`Error::input`] in words, as `format!` takes them.
macro_rules! input {
    ($path:expr, $($words:tt)+) => {
        $crate::error::Error::input($path, format!($($words)+))
    };
}

/// An [`Error::Usage`] in words.
macro_rules! usage {
    ($($words:tt)+) => {
        $crate::error::Error::Usage(format!($($words)+))
    };
}

/// An [`Error::Resource`] in words.
macro_rules! resource {
    ($($words:tt)+) => {
        $crate::error::Error::Resource(format!($($words)+))
    };
}

pub(crate) use {input, resource, usage};
