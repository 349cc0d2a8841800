//! The row groups that a reader goes through, and how far it has come.

use super::{Error, Place, footer::Footer};

/// The way through a file.
pub(super) struct Route {
    /// The row groups of the reader's part, in order.
    row_groups: Vec<usize>,
    /// How many of these were begun.
    begun: usize,
    /// Where the first of the others is to be begun, if it isn't at its first row.
    from: Place,
    position: Place,
}

impl Route {
    /// The row groups of a range, from a place on.
    pub(super) fn new(footer: &Footer, range: Option<(u64, u64)>, from: Option<Place>) -> Result<Self, Error> {
        let row_groups = footer.row_groups(range);
        let first = Place {
            row_group: row_groups.first().copied().unwrap_or(0),
            row: 0,
        };
        let from = from.unwrap_or(first);
        let begun = row_groups.partition_point(|index| *index < from.row_group);
        if from != first {
            let known = footer.metadata.num_row_groups();
            let missing = match row_groups.get(begun) {
                _ if from.row_group >= known => Some(format!("row group {} of {known}", from.row_group)),
                Some(index) if *index == from.row_group => (from.row > footer.row_count(*index)).then(|| {
                    format!(
                        "row {} of row group {index}, which has {}",
                        from.row,
                        footer.row_count(*index)
                    )
                }),
                _ => Some(format!("row group {} in this part of it", from.row_group)),
            };
            if let Some(missing) = missing {
                return Err(Error::NoSuchPlace(missing));
            }
        }
        Ok(Self {
            row_groups,
            begun,
            from,
            position: from,
        })
    }

    /// The next row group, and the row in it to begin at.
    pub(super) fn next_start(&self) -> Option<Place> {
        let index = self.row_groups.get(self.begun)?;
        Some(if *index == self.from.row_group {
            self.from
        } else {
            Place {
                row_group: *index,
                row: 0,
            }
        })
    }

    /// Says that the next row group is begun.
    pub(super) fn begin(&mut self) {
        self.begun += 1;
    }

    /// Where the next row group begins, or where the last one ends.
    pub(super) fn next_place(&self, footer: &Footer) -> Place {
        let end = || {
            self.row_groups.last().map_or(self.position, |last| Place {
                row_group: *last,
                row: footer.row_count(*last),
            })
        };
        self.next_start().unwrap_or_else(end)
    }

    pub(super) fn position(&self) -> Place {
        self.position
    }

    /// Moves the position on, and says over how many rows.
    pub(super) fn advance(&mut self, to: Place, footer: &Footer) -> u64 {
        let from = std::mem::replace(&mut self.position, to);
        let left = self
            .row_groups
            .iter()
            .filter(|index| (from.row_group..to.row_group).contains(index));
        let rows: u64 = left.map(|index| footer.row_count(*index)).sum();
        // A damaged file may have other rows than it says.
        (rows + to.row).saturating_sub(from.row)
    }

    /// Begins no further row group, and says how many rows are left out so.
    pub(super) fn leave_out(&mut self, footer: &Footer) -> u64 {
        let skipped = self.next_start().map_or(0, |start| start.row);
        let rows: u64 = self.row_groups[self.begun..]
            .iter()
            .map(|index| footer.row_count(*index))
            .sum();
        self.begun = self.row_groups.len();
        rows.saturating_sub(skipped)
    }
}
