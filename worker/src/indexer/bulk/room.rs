//! The bound on bytes in flight.

use std::sync::Arc;

use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room is given in pieces of this size: a semaphore counts in `u32`, and nobody minds the difference.
const PIECE_BYTES: usize = 1024;

/// All the room that there is. First come, first served, so that a large body is not overtaken for ever.
#[derive(Debug)]
pub struct Budget {
    pieces: Arc<Semaphore>,
    pieces_total: u32,
    gauge: Option<IntGauge>,
}

/// Room for one body, given back when dropped.
#[derive(Debug)]
#[must_use = "room is given back when it is dropped"]
pub struct Room {
    _pieces: OwnedSemaphorePermit,
    counted: Option<(IntGauge, i64)>,
}

impl Budget {
    /// Room for so many bytes in all, shown on `gauge`, if there is one.
    pub fn new(bytes: usize, gauge: Option<IntGauge>) -> Self {
        let pieces_total = pieces(bytes);
        Self {
            pieces: Arc::new(Semaphore::new(pieces_total as usize)),
            pieces_total,
            gauge,
        }
    }

    /// Waits for room; a body larger than the budget waits for all of it.
    pub async fn room(&self, bytes: usize) -> Room {
        let wanted = pieces(bytes).min(self.pieces_total);
        let permit = self
            .pieces
            .clone()
            .acquire_many_owned(wanted)
            .await
            .expect("the semaphore is never closed");
        let counted = self.gauge.clone().map(|gauge| (gauge, bytes as i64));
        if let Some((gauge, bytes)) = &counted {
            gauge.add(*bytes);
        }
        Room {
            _pieces: permit,
            counted,
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some((gauge, bytes)) = &self.counted {
            gauge.sub(*bytes);
        }
    }
}

fn pieces(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE_BYTES).max(1))
        .unwrap_or(u32::MAX)
        .min(Semaphore::MAX_PERMITS.min(u32::MAX as usize) as u32)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_body_waits_until_there_is_room_and_one_larger_than_everything_waits_for_all_of_it() {
        let gauge = IntGauge::new("g", "g").unwrap();
        let budget = Budget::new(10 << 20, Some(gauge.clone()));
        let first = budget.room(6 << 20).now_or_never().expect("there is room");
        assert_eq!(gauge.get(), 6 << 20);
        assert!(budget.room(5 << 20).now_or_never().is_none());
        assert!(budget.room(1 << 30).now_or_never().is_none());
        drop(first);
        let all = budget.room(1 << 30).now_or_never().expect("all of it is free");
        assert_eq!(gauge.get(), 1 << 30);
        assert!(budget.room(0).now_or_never().is_none());
        drop(all);
        assert_eq!(gauge.get(), 0);
    }
}
