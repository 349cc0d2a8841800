//! The text of values that JSON has no form for: moments, times, durations, intervals, bytes. Written into documents, into
//! map keys, and compared by filters: one place, so that a filter finds what a document shows.
//!
//! Every value of a type has a text, over the whole range of its bits. What a column is, beyond its Arrow type, stands in its
//! field's metadata (see [`crate::batch`]).

pub mod binary;
pub mod calendar;
pub mod clock;
pub mod keys;
pub mod moments;
pub mod texts;
