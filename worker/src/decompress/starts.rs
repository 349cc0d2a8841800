//! Where members or frames began, as many as are needed to find the last one before a place.

use super::Start;

/// More are not kept: tiny members would else cost more memory than the text in them. Of more, some are forgotten, evenly;
/// then a little more is read again than need be.
const STARTS_MAX: usize = 4096;

/// Starts of members or frames in the order of the stream, never none.
#[derive(Debug)]
pub(super) struct Starts {
    starts: Vec<Start>,
    /// A start that is nearer to the one before is not kept.
    gap_bytes: u64,
}

impl Starts {
    pub(super) fn new(first: Start) -> Self {
        Self {
            starts: vec![first],
            gap_bytes: 0,
        }
    }

    /// Adds a start that lies behind all others.
    pub(super) fn add(&mut self, start: Start) {
        let last = self.starts.last_mut().expect("there is always one");
        let gap_bytes = start.decompressed_offset - last.decompressed_offset;
        if gap_bytes == 0 {
            // Nothing lies between the two.
            *last = start;
        } else if gap_bytes >= self.gap_bytes {
            if self.starts.len() >= STARTS_MAX {
                self.forget_half();
            }
            self.starts.push(start);
        }
    }

    /// The last start at or before this decompressed offset. Those before it are forgotten.
    pub(super) fn before(&mut self, decompressed_offset: u64) -> Start {
        let behind = self
            .starts
            .partition_point(|start| start.decompressed_offset <= decompressed_offset);
        self.starts.drain(..behind.saturating_sub(1));
        self.gap_bytes = 0;
        self.starts[0]
    }

    /// Makes room: at least half of the starts go, and those that stay lie evenly apart.
    fn forget_half(&mut self) {
        let bytes = |from: Start, to: Start| to.decompressed_offset - from.decompressed_offset;
        let (mut kept, last) = (self.starts[0], self.starts[self.starts.len() - 1]);
        let gap_bytes = bytes(kept, last).div_ceil(STARTS_MAX as u64 / 2);
        let first = kept;
        self.starts.retain(|start| {
            let stays = *start == first || bytes(kept, *start) >= gap_bytes;
            if stays {
                kept = *start;
            }
            stays
        });
        self.gap_bytes = gap_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(number: u64) -> Start {
        Start {
            offset: number * 10,
            decompressed_offset: number * 3,
        }
    }

    #[test]
    fn the_last_start_at_or_before_a_place_is_found() {
        let mut starts = Starts::new(start(0));
        (1..100).for_each(|number| starts.add(start(number)));
        assert_eq!(starts.before(2), start(0));
        assert_eq!(starts.before(3), start(1));
        assert_eq!(starts.before(200), start(66));
        assert_eq!(starts.before(1_000_000), start(99));
    }

    #[test]
    fn however_many_there_are_few_are_kept_and_an_early_enough_one_is_among_them() {
        let mut starts = Starts::new(start(0));
        for number in 1..1_000_000 {
            starts.add(start(number));
            assert!(starts.starts.len() <= STARTS_MAX);
        }
        let found = starts.before(2_400_000);
        assert!(
            (2_300_000..=2_400_000).contains(&found.decompressed_offset),
            "{found:?}"
        );
    }

    #[test]
    fn of_starts_without_a_byte_between_them_the_last_one_counts() {
        let mut starts = Starts::new(start(0));
        let later = Start {
            offset: 7,
            decompressed_offset: 0,
        };
        starts.add(later);
        assert_eq!(starts.before(0), later);
    }
}
