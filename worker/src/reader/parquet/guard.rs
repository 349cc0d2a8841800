//! The border to the `parquet` crate: its errors by what a caller does about them, and its panics caught.

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::Once,
};

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use super::{Error, windows::Windows};

thread_local! {
    /// Whether this thread is in [`guarded`], where a panic is an answer and not worth a message.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs what decodes bytes from outside. The `parquet` crate means to return errors, but on crafted bytes it can still
/// panic (its metadata has assertions on offsets): a file must never take the worker down, nor write to its log.
pub(super) fn guarded<T>(windows: &Windows, decode: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                hook(panic);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(decode));
    GUARDED.set(outer);
    let result = result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let text = text.unwrap_or("without a message");
        Err(Error::Corrupt(format!("decoding it panicked: {text}")))
    });
    result.map_err(|error| windows.take_failure().map_or(error, Error::Input))
}

pub(super) fn decoding(error: ParquetError) -> Error {
    match error {
        ParquetError::EOF(text) => Error::Truncated(text),
        ParquetError::NYI(text) => Error::Unsupported(text),
        ParquetError::ArrowError(text) => worded(&text),
        other => worded(&other.to_string()),
    }
}

/// Arrow's errors are Parquet's with their kind in words.
pub(super) fn arrow(error: &ArrowError) -> Error {
    match error {
        ArrowError::ParquetError(text) => worded(text),
        other => worded(&other.to_string()),
    }
}

fn worded(text: &str) -> Error {
    let text = ["Parquet error: ", "Parquet argument error: ", "Arrow: "]
        .into_iter()
        .fold(text, |text, prefix| text.strip_prefix(prefix).unwrap_or(text));
    if let Some(text) = text.strip_prefix("EOF: ") {
        Error::Truncated(text.to_owned())
    } else if let Some(text) = text.strip_prefix("NYI: ") {
        Error::Unsupported(text.to_owned())
    } else {
        Error::Corrupt(text.to_owned())
    }
}

pub(super) fn footer(error: ParquetError) -> Error {
    match decoding(error) {
        Error::Corrupt(text) if text.contains("ncrypt") => Error::Encrypted,
        other => other,
    }
}
