//! Columns of any bytes: they are what Arrow says they must be, and each record is a row or refused, be all fields wanted or
//! some, in large batches or small. What is refused beyond lines that are no records are keys: there twice, or no text.
#![no_main]

use std::collections::BTreeSet;

use arrow::array::Array;
use libfuzzer_sys::fuzz_target;
use pf_worker::{
    batch::Batch,
    predicate::FieldPath,
    reader::ndjson::{Options, Reader, Span},
};

/// What became of records, by their places.
struct Outcome {
    given: Vec<u64>,
    refused: BTreeSet<u64>,
    refused_for_keys: BTreeSet<u64>,
}

fuzz_target!(|text: &[u8]| {
    let lines = read(text, None, 1000);
    assert!(lines.refused_for_keys.is_empty());
    let path = |parts: &[&str]| FieldPath(parts.iter().map(ToString::to_string).collect());
    let some = vec![path(&["a"]), path(&["b", "c"])];
    for (columns, batch_records_max) in [(Vec::new(), 1000), (Vec::new(), 1), (some, 3)] {
        let columns = read(text, Some(columns), batch_records_max);
        assert!(columns.given.is_sorted());
        // A key that is there twice may be found before what else is wrong with a line.
        assert!(columns.refused.is_subset(&lines.refused));
        let refused: BTreeSet<u64> = columns.refused.union(&columns.refused_for_keys).copied().collect();
        assert!(lines.refused.is_subset(&refused));
        let rows: Vec<u64> = lines
            .given
            .iter()
            .copied()
            .filter(|place| !refused.contains(place))
            .collect();
        assert_eq!(columns.given, rows);
    }
});

fn read(text: &[u8], columns: Option<Vec<FieldPath>>, batch_records_max: usize) -> Outcome {
    let options = Options {
        columns,
        filter: None,
        record_bytes_max: 1 << 20,
        batch_records_max,
        batch_bytes_max: 1 << 20,
    };
    let mut reader = Reader::new(text, Span::WHOLE, options);
    let mut rejects = Vec::new();
    let mut given = Vec::new();
    while let Some(batch) = reader.next_batch(&mut rejects).expect("a slice does not break") {
        match &batch {
            Batch::Columns(columns) => {
                for column in columns.records.columns() {
                    column
                        .to_data()
                        .validate_full()
                        .expect("a column is what Arrow says it must be");
                }
                assert_eq!(columns.ordinals.len(), columns.records.num_rows());
                given.extend(&columns.ordinals);
            }
            Batch::Lines(lines) => {
                given.extend(
                    lines
                        .lines
                        .iter()
                        .map(|line| lines.offset_bytes + u64::from(line.start)),
                );
            }
        }
        reader.recycle(batch);
    }
    let for_keys = |reason: &str| !reason.starts_with("not ") && reason.contains("key");
    let (keys, others): (Vec<_>, Vec<_>) = rejects.iter().partition(|reject| for_keys(&reject.reason));
    Outcome {
        given,
        refused: others.iter().map(|reject| reject.ordinal).collect(),
        refused_for_keys: keys.iter().map(|reject| reject.ordinal).collect(),
    }
}
