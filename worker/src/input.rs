//! Work items from standard input, through a memory queue: lanes lease and settle them as they would from a server.

use std::{sync::Arc, time::Duration};

use pf_work::{Lease, WorkItem, WorkSink as _, WorkSource as _, memory, memory::MemoryQueue, queue};
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
const FOR_EVER: Duration = Duration::from_hours(24 * 365);
/// How often an item is tried before it is given up.
pub const TRIES_MAX: u32 = 5;
/// How long an empty queue is waited at before looking whether the input has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A queue that standard input fills.
#[derive(Debug)]
pub struct Input {
    queue: MemoryQueue,
    room: Arc<Semaphore>,
    ended: CancellationToken,
}

/// What became of reading the input.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fed {
    /// Items offered.
    pub items: u64,
    /// Lines that are no work item.
    pub bad_lines: u64,
}

impl Default for Input {
    fn default() -> Self {
        let options = memory::Options {
            visibility: FOR_EVER,
            receives_max: TRIES_MAX,
        };
        Self {
            queue: MemoryQueue::new(options),
            room: Arc::new(Semaphore::new(ITEMS_MAX)),
            ended: CancellationToken::new(),
        }
    }
}

impl Input {
    /// The queue, to settle leases with.
    pub fn queue(&self) -> &MemoryQueue {
        &self.queue
    }

    /// Puts the items of `lines` into the queue until they end or `stop` is cancelled. `bad_line` is told of each line that
    /// is no work item, and why.
    pub async fn feed(
        &self,
        mut lines: impl AsyncBufRead + Unpin,
        stop: CancellationToken,
        mut offered: impl FnMut(u64),
        mut bad_line: impl FnMut(&str, &str) -> std::io::Result<()>,
    ) -> std::io::Result<Fed> {
        let _ended = self.ended.clone().drop_guard();
        let mut fed = Fed::default();
        let mut line = Vec::new();
        loop {
            let read = tokio::select! {
                read = read_line(&mut lines, &mut line) => read?,
                () = stop.cancelled() => return Ok(fed),
            };
            match read {
                Line::Whole => {}
                Line::TooLong => {
                    fed.bad_lines += 1;
                    let start = String::from_utf8_lossy(&line[..line.len().min(SHOWN_BYTES)]);
                    bad_line(&start, &format!("not a work item: longer than {LINE_BYTES_MAX} bytes"))?;
                    continue;
                }
                Line::End => return Ok(fed),
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            match WorkItem::from_json(text) {
                Ok(item) => {
                    let room = tokio::select! {
                        room = self.room.acquire() => room.expect("the semaphore is never closed"),
                        () = stop.cancelled() => return Ok(fed),
                    };
                    // Given back by `settled`.
                    room.forget();
                    self.queue.offer(&[item]).await.map_err(std::io::Error::other)?;
                    fed.items += 1;
                    offered(fed.items);
                }
                Err(error) => {
                    fed.bad_lines += 1;
                    bad_line(text, &reason(&error))?;
                }
            }
        }
    }

    /// Whether no more items will come.
    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// The next item; none when all are settled and no more will come.
    pub async fn lease(&self) -> Result<Option<Lease>, queue::Error> {
        loop {
            // In this order: an item that is offered in between is seen.
            let ended = self.ended.is_cancelled();
            if let Some(lease) = self.queue.lease(1, LOOK_EVERY).await?.pop() {
                return Ok(Some(lease));
            }
            let depth = self.queue.depth();
            if ended && depth.visible + depth.in_flight + depth.delayed == 0 {
                return Ok(None);
            }
        }
    }

    /// Makes room for another item: one is completed or given up.
    pub fn settled(&self) {
        self.room.add_permits(1);
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
