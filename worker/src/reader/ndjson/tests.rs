//! The reader as its callers see it, against slow and simple models of it.
#![allow(clippy::unwrap_used)] // a test says what is wrong by failing

mod columns;
mod lines;
mod projection;
mod records;
mod tree;

use std::io::{self, Read};

use super::*;

/// What a reader gave for an input.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    /// Lines let through: ordinal and bytes.
    lines: Vec<(u64, Vec<u8>)>,
    rejects: Vec<Reject>,
    counts: Counts,
}

fn options() -> Options {
    Options {
        columns: None,
        filter: None,
        record_bytes_max: 16 << 20,
        batch_records_max: 50_000,
        batch_bytes_max: 8 << 20,
    }
}

/// Gives its bytes in pieces of the sizes of a list, which is used over and over.
struct Pieces<'a> {
    text: &'a [u8],
    sizes: &'a [usize],
    next: usize,
}

impl<'a> Pieces<'a> {
    fn new(text: &'a [u8], sizes: &'a [usize]) -> Self {
        Self { text, sizes, next: 0 }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes[self.next % self.sizes.len()]
            .max(1)
            .min(buffer.len())
            .min(self.text.len());
        self.next += 1;
        buffer[..size].copy_from_slice(&self.text[..size]);
        self.text = &self.text[size..];
        Ok(size)
    }
}

/// Everything that a reader gives as lines, and the input's error.
fn read_lines(input: impl Read, span: Span, options: Options) -> (Outcome, Option<io::Error>) {
    let mut reader = Reader::new(input, span, options);
    let mut outcome = Outcome::default();
    let mut error = None;
    loop {
        match reader.next_batch(&mut outcome.rejects) {
            Ok(Some(batch)) => {
                let Batch::Lines(lines) = &batch else {
                    panic!("columns from {batch:?}")
                };
                for line in &lines.lines {
                    let bytes = lines.text[line.start as usize..line.end as usize].to_vec();
                    outcome.lines.push((lines.offset_bytes + u64::from(line.start), bytes));
                }
                reader.recycle(batch);
            }
            Ok(None) => break,
            Err(cause) => error = Some(cause),
        }
    }
    outcome.counts = reader.counts();
    (outcome, error)
}

/// Everything that a reader gives as lines for a whole text.
fn lines_of(text: &[u8], options: Options) -> Outcome {
    read_lines(text, Span::WHOLE, options).0
}

/// An input that counts what is read of it.
struct Counting<'a>(&'a [u8], usize);

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.0.read(buffer)?;
        self.1 += bytes;
        Ok(bytes)
    }
}

/// An input that breaks at once.
struct Breaks;

impl Read for Breaks {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ends early"))
    }
}
