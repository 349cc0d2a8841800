//! A process-wide budget of bytes in flight: who wants to hold bytes takes a permit for them first, and waits while
//! too many are held.
//!
//! It counts bytes, it does not hold them, and it knows nothing of who asks. One budget is shared by all readers, so
//! that memory is bounded by one number however many of them there are.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Permits are counted in units of 1 KiB, so that the semaphore's 32-bit requests reach 4 TiB.
const UNIT_BYTES: u64 = 1024;

/// A bound on bytes held, shared by its clones.
///
/// Requests are served in their order. A request for more than the whole budget is served when everything else has
/// been given back, so that no request waits for ever by its size alone. Who keeps permits while waiting for more can
/// wait for itself: a consumer must not collect more pieces of streams than the budget has room for.
#[derive(Debug, Clone)]
pub struct Budget {
    units: Arc<Semaphore>,
    units_max: u32,
}

/// The right to hold some bytes of a [`Budget`], given back when dropped.
#[derive(Debug)]
pub struct Permit {
    held: OwnedSemaphorePermit,
}

impl Budget {
    /// A budget of `bytes_max` bytes, rounded up to KiB.
    pub fn new(bytes_max: u64) -> Self {
        let units_max = bytes_max.div_ceil(UNIT_BYTES).clamp(1, u64::from(u32::MAX)) as u32;
        Self {
            units: Arc::new(Semaphore::new(units_max as usize)),
            units_max,
        }
    }

    /// Waits until `bytes` more may be held.
    pub async fn acquire(&self, bytes: u64) -> Permit {
        let held = Arc::clone(&self.units)
            .acquire_many_owned(self.units_of(bytes))
            .await
            .expect("the semaphore is never closed");
        Permit { held }
    }

    /// How many bytes nobody holds now.
    pub fn free_bytes(&self) -> u64 {
        self.units.available_permits() as u64 * UNIT_BYTES
    }

    /// The most bytes that can be held.
    pub fn bytes_max(&self) -> u64 {
        u64::from(self.units_max) * UNIT_BYTES
    }

    fn units_of(&self, bytes: u64) -> u32 {
        bytes.div_ceil(UNIT_BYTES).min(u64::from(self.units_max)) as u32
    }
}

impl Permit {
    /// Gives back what is held beyond `bytes`.
    #[must_use]
    pub fn shrink_to(mut self, bytes: u64) -> Self {
        let keep = (bytes.div_ceil(UNIT_BYTES) as usize).min(self.held.num_permits());
        let surplus = self.held.num_permits() - keep;
        drop(self.held.split(surplus));
        self
    }

    /// The same bytes, without a copy, which give the permit back when their last reference goes.
    pub fn attach(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Held { bytes, _permit: self })
    }
}

struct Held {
    bytes: Bytes,
    _permit: Permit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_permit_comes_back_with_the_last_reference_to_its_bytes() {
        let budget = Budget::new(10 * UNIT_BYTES);
        let permit = budget.acquire(4 * UNIT_BYTES).now_or_never().expect("there is room");
        let bytes = permit.attach(Bytes::from(vec![7; 3000]));
        let part = bytes.slice(10..20);
        drop(bytes);
        assert_eq!(budget.free_bytes(), 6 * UNIT_BYTES);
        assert_eq!(part, vec![7; 10]);
        drop(part);
        assert_eq!(budget.free_bytes(), budget.bytes_max());
    }

    #[test]
    fn a_request_beyond_the_whole_budget_is_served_once_everything_is_back() {
        let budget = Budget::new(10 * UNIT_BYTES);
        let small = budget.acquire(1).now_or_never().expect("there is room");
        let mut large = Box::pin(budget.acquire(1 << 40));
        assert!(large.as_mut().now_or_never().is_none());
        drop(small);
        let large = large.now_or_never().expect("everything is back");
        assert_eq!(budget.free_bytes(), 0);
        let large = large.shrink_to(2 * UNIT_BYTES + 1);
        assert_eq!(budget.free_bytes(), 7 * UNIT_BYTES);
        drop(large);
        assert_eq!(budget.free_bytes(), budget.bytes_max());
    }
}
