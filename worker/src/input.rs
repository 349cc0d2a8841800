//! Work items from standard input, through a memory queue: they are leased and settled as they would be from a server.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use pf_work::{
    Lease, WorkItem, WorkSink as _, WorkSource, memory,
    memory::MemoryQueue,
    queue::{self, Failed, Receipt},
};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

/// Items that are read from standard input and not settled yet: enough to keep lanes busy, few enough to hold.
const ITEMS_MAX: usize = 4096;
/// A longer line is no work item.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// So much of it is told.
const SHOWN_BYTES: usize = 1024;
/// Nobody else can lease from this process' memory, so its leases need no keeper: they outlast every run.
pub const FOR_EVER: Duration = Duration::from_hours(24 * 365);
/// How long storage or sink may be out of reach before a worker that reads from a pipe gives up: who waits at the pipe's other end
/// wants to know.
pub const OUTAGE_MAX: Duration = Duration::from_mins(3);
/// A queue that standard input fills.
#[derive(Debug)]
pub struct Input {
    queue: MemoryQueue,
    room: Arc<Semaphore>,
    ended: CancellationToken,
}

impl Default for Input {
    fn default() -> Self {
        let options = memory::Options {
            visibility: FOR_EVER,
            // Nobody else leases, so what was leased before was never lost: tries are counted in the item.
            receives_max: u32::MAX,
        };
        Self {
            queue: MemoryQueue::new(options),
            room: Arc::new(Semaphore::new(ITEMS_MAX)),
            ended: CancellationToken::new(),
        }
    }
}

impl Input {
    /// Puts the items of `lines` into the queue until they end, or until this is dropped. `offered` is told how many these
    /// are, and `bad_line` of each line that is no work item, and why.
    pub async fn feed(
        &self,
        mut lines: impl AsyncBufRead + Unpin,
        mut offered: impl FnMut(u64),
        mut bad_line: impl FnMut(&str, &str) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let _ended = self.ended.clone().drop_guard();
        let mut items = 0;
        let mut line = Vec::new();
        loop {
            match read_line(&mut lines, &mut line).await? {
                Line::Whole => {}
                Line::TooLong => {
                    let start = String::from_utf8_lossy(&line[..line.len().min(SHOWN_BYTES)]);
                    bad_line(&start, &format!("not a work item: longer than {LINE_BYTES_MAX} bytes"))?;
                    continue;
                }
                Line::End => return Ok(()),
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            match WorkItem::from_json(text) {
                Ok(item) => {
                    let room = self.room.acquire().await.expect("the semaphore is never closed");
                    // Given back when the item is settled.
                    room.forget();
                    self.queue.offer(&[item]).await.map_err(std::io::Error::other)?;
                    items += 1;
                    offered(items);
                }
                Err(error) => bad_line(text, &reason(&error))?,
            }
        }
    }

    /// Whether no more items will come.
    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Whether everything that was offered is settled.
    pub fn is_empty(&self) -> bool {
        let depth = self.queue.depth();
        depth.visible + depth.in_flight + depth.delayed == 0
    }

    /// Makes room for another item: one is completed or given up.
    fn settled(&self, items: usize) {
        self.room.add_permits(items);
    }
}

#[async_trait]
impl WorkSource for Input {
    async fn lease(&self, count: usize, wait: Duration) -> Result<Vec<Lease>, queue::Error> {
        self.queue.lease(count, wait).await
    }

    async fn extend(&self, receipts: &[Receipt], duration: Duration) -> Result<Vec<Failed>, queue::Error> {
        self.queue.extend(receipts, duration).await
    }

    async fn complete(&self, receipts: &[Receipt]) -> Result<Vec<Failed>, queue::Error> {
        let failed = self.queue.complete(receipts).await?;
        self.settled(receipts.len() - failed.len());
        Ok(failed)
    }

    async fn release(&self, receipt: &Receipt, item: &WorkItem, delay: Duration) -> Result<(), queue::Error> {
        self.queue.release(receipt, item, delay).await
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<(), queue::Error> {
        self.queue.dead_letter(receipt, reason).await?;
        self.settled(1);
        Ok(())
    }
}

/// What reading a line came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// It is in the buffer.
    Whole,
    /// Its start is in the buffer; the rest of it was skipped.
    TooLong,
    /// There is none.
    End,
}

/// Reads the next line into `line`, of which at most [`LINE_BYTES_MAX`] bytes are kept.
async fn read_line(lines: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> std::io::Result<Line> {
    line.clear();
    if lines.take(LINE_BYTES_MAX).read_until(b'\n', line).await? == 0 {
        return Ok(Line::End);
    }
    if line.ends_with(b"\n") || (line.len() as u64) < LINE_BYTES_MAX {
        return Ok(Line::Whole);
    }
    loop {
        let rest = lines.fill_buf().await?;
        let end = memchr::memchr(b'\n', rest);
        let count = end.map_or(rest.len(), |end| end + 1);
        lines.consume(count);
        if end.is_some() || count == 0 {
            return Ok(Line::TooLong);
        }
    }
}

/// An error with its causes, in one line.
pub fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_that_is_too_long_is_skipped_whole_and_never_read_from_its_middle() {
        let long = "x".repeat(usize::try_from(LINE_BYTES_MAX).unwrap());
        let text = format!("a\n{long}tail\n{long}\nb\n{}", &long[1..]);
        let mut lines = text.as_bytes();
        let mut seen = Vec::new();
        let mut line = Vec::new();
        loop {
            let read = read_line(&mut lines, &mut line).await.unwrap();
            seen.push((read, line.len()));
            if read == Line::End {
                break;
            }
        }
        let max = long.len();
        let expected = [
            (Line::Whole, 2),
            (Line::TooLong, max),
            (Line::TooLong, max),
            (Line::Whole, 2),
            (Line::Whole, max - 1),
            (Line::End, 0),
        ];
        assert_eq!(seen, expected);
    }
}
