//! Which of the columns that somebody asked for any record had: a name that none has is most often mistyped, and its documents
//! look as if all was well.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arrow::array::{Array, RecordBatch, cast::AsArray as _};
use pf_work::WorkItem;

use crate::{batch::Batch, plan::Records, predicate::FieldPath};

/// The columns that were asked for, each with whether it was seen.
#[derive(Debug, Default)]
pub struct Sightings {
    columns: Vec<(FieldPath, AtomicBool)>,
}

impl Sightings {
    /// None of these columns was seen so far.
    pub fn of(columns: &[FieldPath]) -> Self {
        Self {
            columns: columns
                .iter()
                .cloned()
                .map(|path| (path, AtomicBool::new(false)))
                .collect(),
        }
    }

    /// Looks which columns an item's records have, of those that none had before. A value that stands in the object's key counts.
    pub fn look(&self, batch: &Batch, item: &WorkItem, records: &Records) {
        let Batch::Columns(batch) = batch else { return };
        for (path, is_seen) in &self.columns {
            if is_seen.load(Relaxed) {
                continue;
            }
            let is_in_key = match path.0.as_slice() {
                [name] => records.partition_fields && item.partition.contains_key(name),
                _ => false,
            };
            if is_in_key || has(&batch.records, path) {
                is_seen.store(true, Relaxed);
            }
        }
    }

    /// The columns that no record had.
    pub fn unseen(&self) -> Vec<&FieldPath> {
        let unseen = self.columns.iter().filter(|(_, is_seen)| !is_seen.load(Relaxed));
        unseen.map(|(path, _)| path).collect()
    }
}

/// Whether any row has a value at `path`. What lies inside of text that is JSON is not looked into: it counts as there.
fn has(records: &RecordBatch, path: &FieldPath) -> bool {
    let mut keys = path.0.iter();
    let Some(mut column) = keys.next().and_then(|key| records.column_by_name(key)) else {
        return false;
    };
    for key in keys {
        let Some(fields) = column.as_struct_opt() else { break };
        let Some(inner) = fields.column_by_name(key) else {
            return false;
        };
        column = inner;
    }
    column.logical_null_count() < column.len()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, Int64Array, StructArray},
        datatypes::{DataType, Field},
    };

    use super::*;
    use crate::batch::ColumnBatch;

    fn batch(a: Option<i64>, b: Option<i64>) -> Batch {
        let inner = Arc::new(Int64Array::from(vec![b])) as ArrayRef;
        let outer = StructArray::from(vec![(Arc::new(Field::new("b", DataType::Int64, true)), inner)]);
        let columns = [
            ("a", Arc::new(Int64Array::from(vec![a])) as ArrayRef),
            ("o", Arc::new(outer) as ArrayRef),
        ];
        Batch::Columns(ColumnBatch {
            records: RecordBatch::try_from_iter(columns).unwrap(),
            ordinals: vec![0],
            input_bytes: 0,
        })
    }

    #[test]
    fn a_column_is_seen_where_a_record_or_the_key_has_a_value_of_it() {
        let records = Records {
            partition_fields: true,
            ..Records::default()
        };
        let text = r#"{"v":1,"job":"j","seq":0,"uri":"s3://b/k","size_bytes":9,"enqueued_at":"2024-01-01T00:00:00Z"}"#;
        let mut item = WorkItem::from_json(text).unwrap();
        item.partition.insert("day".to_owned(), "1".to_owned());
        let sightings = Sightings::of(&FieldPath::list("a,o.b,o.c,day,typo").unwrap());
        let unseen = || sightings.unseen().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(unseen(), ["a", "o.b", "o.c", "day", "typo"]);
        sightings.look(&batch(None, Some(1)), &item, &records);
        assert_eq!(unseen(), ["a", "o.c", "typo"]);
        sightings.look(&batch(Some(1), None), &item, &records);
        assert_eq!(unseen(), ["o.c", "typo"]);
    }
}
