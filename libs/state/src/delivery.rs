//! Which delivery of an item wrote something, so that what several deliveries wrote can be told apart.
//!
//! An item is delivered at least once. A record that one delivery gave up may have been taken by the next, when the sink was
//! mended meanwhile: then the letter of the first must not be given back as if the record were nowhere.

use std::sync::OnceLock;

use pf_work::{WorkItem, checkpoint::Position};
use serde::{Deserialize, Serialize};

/// One delivery of an item to one process. All of it is absent where an older worker wrote.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Delivery {
    /// The life of the job that the item belongs to, as its discoverer wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<String>,
    /// Tells this delivery from all others of the item.
    #[serde(default, rename = "delivery", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// In a settlement: the delivery went on from a checkpoint, and records below this ordinal are as earlier ones left them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<u64>,
    /// In a settlement: how large the object was that the item named. Its ranges must cover that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_bytes: Option<u64>,
}

impl Delivery {
    /// The delivery of `item` to this process that is the `receive_count`-th of its message.
    pub fn of(item: &WorkItem, receive_count: u32) -> Self {
        Self {
            life: item.life.clone(),
            id: Some(format!("{:016x}-{}-{receive_count}", process(), item.returns)),
            began_at: None,
            object_bytes: None,
        }
    }

    /// How often the item had come back before this delivery of it. Unknown where an older worker wrote.
    pub(crate) fn returns(&self) -> Option<u32> {
        self.id.as_deref()?.split('-').nth(1)?.parse().ok()
    }

    /// The same as it settles the item, having begun at its checkpoint, if there was one.
    #[must_use]
    pub fn settling(self, item: &WorkItem, checkpoint: Option<Position>) -> Self {
        Self {
            began_at: checkpoint.map(ordinal),
            object_bytes: Some(item.size_bytes),
            ..self
        }
    }

    /// Whether the delivery that settled the item leaves the letter standing that the delivery `other` wrote of the record at
    /// `ordinal`: it wrote it itself, or did not read that record anew.
    pub(crate) fn keeps(&self, other: &Self, ordinal: u64) -> bool {
        self.id.is_none() || self.id == other.id || self.began_at.is_some_and(|began| ordinal < began)
    }
}

/// The ordinal of the first record at a position. A row's place in its file is not known from its place in its group: then all
/// records may lie before it.
fn ordinal(position: Position) -> u64 {
    match position {
        Position::Byte { offset } => offset,
        Position::Frame {
            offset: _,
            decompressed_offset,
            skip_bytes,
        } => decompressed_offset.saturating_add(skip_bytes),
        Position::Row { .. } => u64::MAX,
    }
}

/// Tells this process from all others.
fn process() -> u64 {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    *PROCESS.get_or_init(|| fastrand::u64(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_knows_how_often_its_item_had_come_back() {
        let json = r#"{"v":1,"job":"j","seq":0,"uri":"s3://b/k","size_bytes":1,"returns":7,"enqueued_at":"2024-01-01T00:00:00Z"}"#;
        let delivery = Delivery::of(&WorkItem::from_json(json).unwrap(), 3);
        assert_eq!(delivery.returns(), Some(7));
        for id in [None, Some(""), Some("x"), Some("a-b-1")] {
            let id = id.map(str::to_owned);
            assert_eq!(
                Delivery {
                    id,
                    ..Delivery::default()
                }
                .returns(),
                None
            );
        }
    }

    #[test]
    fn a_letter_stands_if_its_own_delivery_settled_or_its_record_was_not_read_anew() {
        let by = |id: &str, began_at| Delivery {
            id: Some(id.to_owned()),
            began_at,
            ..Delivery::default()
        };
        let (first, second) = (by("a-0-1", None), by("a-0-2", None));
        assert!(first.keeps(&first, 7));
        assert!(!second.keeps(&first, 7), "the record was read again, and taken");
        let resumed = by("a-0-2", Some(ordinal(Position::Byte { offset: 7 })));
        assert!(resumed.keeps(&first, 6) && !resumed.keeps(&first, 7));
        assert!(
            Delivery::default().keeps(&first, 7),
            "an older worker says nothing of it"
        );
        let frame = Position::Frame {
            offset: 1,
            decompressed_offset: 100,
            skip_bytes: 5,
        };
        assert_eq!(ordinal(frame), 105);
        assert_eq!(ordinal(Position::Row { row_group: 0, row: 1 }), u64::MAX);
    }
}
