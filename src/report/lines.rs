//! Files of lines: each is a struct whose fields are the columns. What is not known is an empty field.

use crate::error::{Error, Result};
use serde::Serialize;

/// Declares a line of a file and how it is made of what it is about: one row a column with its name, its type and its value.
macro_rules! line {
    ($(#[$about:meta])* $name:ident($($of:ident: $kind:ty),+) { $($column:ident: $type:ty = $value:expr;)+ }) => {
        $(#[$about])*
        #[derive(serde::Serialize)]
        pub(in crate::report) struct $name { $($column: $type),+ }

        impl $name {
            pub(in crate::report) fn of($($of: $kind),+) -> Self {
                Self { $($column: $value),+ }
            }
        }
    };
}
pub(super) use line;

/// The lines as a CSV file of that name; nothing of no lines.
///
/// # Errors
/// [`Error::Resource`] if it cannot be written.
pub(super) fn csv(name: &str, lines: impl IntoIterator<Item = impl Serialize>) -> Result<Vec<u8>> {
    let failed = |e: String| Error::Resource(format!("{name} could not be written: {e}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    lines.into_iter().try_for_each(|line| writer.serialize(line)).map_err(|e| failed(e.to_string()))?;
    writer.into_inner().map_err(|e| failed(e.to_string()))
}

/// A number that can be written, if it is one.
pub(super) fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite())
}
