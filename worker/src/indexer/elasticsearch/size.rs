//! How large a request may be: what was refused as too large is remembered, so that the next is not refused again. No IO.

use std::sync::{Mutex, MutexGuard};

/// No limit makes requests smaller than this.
const BYTES_MIN: usize = 1 << 10;

/// The limit comes as close to what was refused as this share of it: nearer, each step would gain less than a refusal costs.
const NEAR: f64 = 0.875;

/// A step up, as a share of the way to what was refused.
const STEP: f64 = 0.25;

/// The largest request, as it was found out.
#[derive(Debug, Default)]
pub(super) struct Size(Mutex<Option<Known>>);

#[derive(Debug, Clone, Copy)]
struct Known {
    limit: usize,
    /// The smallest that was refused.
    refused: usize,
}

impl Size {
    /// No request is to be larger.
    pub(super) fn limit(&self) -> usize {
        self.known().map_or(usize::MAX, |known| known.limit)
    }

    /// A request of so many bytes was too large. Says so once.
    pub(super) fn refuse(&self, bytes: usize, words: &str) {
        let mut known = self.known();
        if known.is_none() {
            let fits = bytes / 2;
            tracing::warn!(
                "a request of {bytes} bytes was refused as too large ({words}): smaller ones are sent from now on, and \
                 --es-bulk-bytes {fits} would save the tries"
            );
        }
        let refused = known.map_or(bytes, |known| known.refused.min(bytes));
        let limit = known
            .map_or(usize::MAX, |known| known.limit)
            .min(bytes / 2)
            .max(BYTES_MIN);
        *known = Some(Known { limit, refused });
    }

    /// A request of so many bytes was taken: the limit creeps up if it was reached.
    pub(super) fn accept(&self, bytes: usize) {
        let mut known = self.known();
        let Some(Known { limit, refused }) = known.as_mut() else {
            return;
        };
        let most = (*refused as f64 * NEAR) as usize;
        if bytes >= *limit / 4 * 3 && *limit < most {
            let step = (*refused - *limit) as f64 * STEP;
            *limit = (*limit + step as usize).min(most);
        }
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.0.lock().expect("no one panics while holding it")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn few_requests_are_refused_and_most_of_what_is_taken_is_used(most in 4096usize..8_000_000, bulk in 4096usize..20_000_000) {
            let size = Size::default();
            let mut refused = 0;
            let mut sent = 0;
            for _ in 0..200 {
                let bytes = bulk.min(size.limit());
                if bytes > most {
                    refused += 1;
                    size.refuse(bytes, "413");
                } else {
                    sent = bytes;
                    size.accept(bytes);
                }
            }
            prop_assert!(refused <= 20, "{refused}");
            prop_assert!(sent >= most.min(bulk) / 2, "{sent} of {most}");
            prop_assert!(size.limit() >= BYTES_MIN);
        }
    }
}
