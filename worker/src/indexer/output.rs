//! Where documents go on one machine: standard output, or nowhere but into the statistics.

use std::io::{self, Write as _};

use super::{
    json::{self, Encoder},
    partition::PartitionFields,
};
use crate::{
    batch::{Batch, LineBatch},
    predicate::FieldPath,
    reader::ndjson::cut::Cut,
};

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Whoever read our standard output has gone.
    #[error("standard output was closed")]
    Closed,
    /// Standard output can't be written.
    #[error("cannot write to standard output")]
    Write(#[source] io::Error),
    /// A column has no form in JSON.
    #[error("cannot write a batch as JSON")]
    Encode(#[source] json::Error),
}

impl Error {
    /// Whether the reader has gone, who may have seen enough.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }
}

/// What becomes of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// Standard output.
    Stdout,
    /// Nowhere: it is counted.
    Statistics,
}

/// One lane's way to the destination.
#[derive(Debug)]
pub struct Output {
    to: To,
    encoder: Encoder,
    text: Vec<u8>,
    documents: Vec<std::ops::Range<usize>>,
    /// Fields that documents don't have.
    cut: Option<Cut>,
    whole: Vec<u8>,
}

impl Output {
    /// A way there, of documents without the fields `left_out`.
    pub fn new(to: To, left_out: &[FieldPath]) -> Self {
        Self {
            to,
            encoder: Encoder::default(),
            text: Vec::new(),
            documents: Vec::new(),
            cut: Cut::new(left_out),
            whole: Vec::new(),
        }
    }

    /// How many values were NaN or an infinity, written as null, since this was asked last.
    pub fn take_not_finite(&self) -> u64 {
        self.encoder.take_not_finite()
    }

    /// Writes a batch whole, or not at all if the destination is gone, each document with these fields if there are any. Gives
    /// the bytes of its documents, newlines included.
    pub fn write(&mut self, batch: &Batch, fields: Option<&PartitionFields>) -> Result<u64, Error> {
        self.text.clear();
        self.documents.clear();
        match (batch, &mut self.cut) {
            (Batch::Lines(batch), Some(cut)) => {
                for line in &batch.lines {
                    let start = self.text.len();
                    cut.copy(&batch.text, line.start as usize..line.end as usize, &mut self.text);
                    if let Some(fields) = fields {
                        fields.add(&mut self.text, start);
                    }
                    self.text.push(b'\n');
                }
            }
            (Batch::Columns(batch), Some(cut)) => {
                self.whole.clear();
                self.encoder
                    .write(&batch.records, &mut self.whole, &mut self.documents)
                    .map_err(Error::Encode)?;
                for document in &self.documents {
                    let start = self.text.len();
                    cut.copy(&self.whole, document.clone(), &mut self.text);
                    if let Some(fields) = fields {
                        fields.add(&mut self.text, start);
                    }
                    self.text.push(b'\n');
                }
            }
            // Statistics need no copy of lines that are already what would be written.
            (Batch::Lines(batch), None) if self.to == To::Statistics && fields.is_none() => {
                return Ok(batch
                    .lines
                    .iter()
                    .map(|line| u64::from(line.end - line.start) + 1)
                    .sum());
            }
            (Batch::Lines(batch), None) => match fields {
                None => append_lines(batch, &mut self.text),
                Some(fields) => append(&batch.text, &batch.lines, fields, &mut self.text),
            },
            (Batch::Columns(batch), None) => {
                self.encoder
                    .write(&batch.records, &mut self.text, &mut self.documents)
                    .map_err(Error::Encode)?;
                if let Some(fields) = fields {
                    let rows = std::mem::take(&mut self.text);
                    append(&rows, &self.documents, fields, &mut self.text);
                }
            }
        }
        if self.to == To::Stdout {
            let mut stdout = io::stdout().lock();
            stdout
                .write_all(&self.text)
                .and_then(|()| stdout.flush())
                .map_err(|error| match error.kind() {
                    io::ErrorKind::BrokenPipe => Error::Closed,
                    _ => Error::Write(error),
                })?;
        }
        Ok(self.text.len() as u64)
    }
}

/// Appends documents, each with these fields and one newline.
fn append<Place: Copy + TryInto<usize, Error: std::fmt::Debug>>(
    text: &[u8],
    documents: &[std::ops::Range<Place>],
    fields: &PartitionFields,
    out: &mut Vec<u8>,
) {
    for document in documents {
        let place = |place: Place| place.try_into().expect("a place in a text is a place in memory");
        let start = out.len();
        out.extend_from_slice(&text[place(document.start)..place(document.end)]);
        fields.add(out, start);
        out.push(b'\n');
    }
}

/// Appends the lines, each with one newline. Lines that lie next to each other are copied at once.
fn append_lines(batch: &LineBatch, out: &mut Vec<u8>) {
    let mut lines = batch.lines.iter().peekable();
    while let Some(first) = lines.next() {
        let mut end = first.end;
        while let Some(next) = lines.peek()
            && next.start == end + 1
        {
            end = next.end;
            lines.next();
        }
        out.extend_from_slice(&batch.text[first.start as usize..end as usize]);
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_as_they_are_and_what_lies_between_them_is_not() {
        let text = b"{\"a\":1}\n{\"b\":2}\r\n\n{\"c\":3}".to_vec();
        let batch = LineBatch {
            lines: vec![0..7, 8..15, 18..25],
            text,
            offset_bytes: 0,
        };
        let mut out = Vec::new();
        append_lines(&batch, &mut out);
        assert_eq!(out, b"{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n");
    }

    #[test]
    fn fields_that_are_left_out_are_neither_written_nor_counted() {
        let text = b"{\"a\":1,\"b\":2}\n{\"b\":3}\n".to_vec();
        let batch = Batch::Lines(LineBatch {
            lines: vec![0..13, 14..21],
            text,
            offset_bytes: 0,
        });
        let mut output = Output::new(To::Statistics, &["a".parse().unwrap()]);
        assert_eq!(output.write(&batch, None).unwrap(), 16);
        assert_eq!(output.text, b"{\"b\":2}\n{\"b\":3}\n");
        assert_eq!(Output::new(To::Statistics, &[]).write(&batch, None).unwrap(), 22);
    }
}
