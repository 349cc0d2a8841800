//! No byte is read twice, and none that isn't needed.

use super::*;

fn plain(rows: usize) -> WriterProperties {
    WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(Some(rows))
        .build()
}

fn fetched(source: &Watched) -> u64 {
    let asked = source.asked.lock().unwrap();
    asked.iter().map(|range| range.end - range.start).sum()
}

/// No two reads have a byte in common.
fn assert_read_once(source: &Watched, what: &str) {
    let mut asked = source.asked.lock().unwrap().clone();
    asked.sort_by_key(|range| range.start);
    for pair in asked.windows(2) {
        assert!(pair[0].end <= pair[1].start, "{what}: {pair:?} are read twice");
    }
}

#[test]
fn a_small_file_is_read_once_whatever_is_asked_of_it() {
    let bytes = file(&records(1000), row_groups_of(300));
    for filter in [None, Some("n < 500"), Some("s = t3"), Some("a.b = 8 and n > 2")] {
        let source = Watched::new(bytes.clone(), usize::MAX);
        let options = filter.map_or_else(options, filtered);
        let (_, counts) = read(source.clone(), None, options);
        let once = std::slice::from_ref(&(0..bytes.len() as u64)).to_vec();
        assert_eq!(*source.asked.lock().unwrap(), once);
        assert_eq!(counts.fetched_bytes, bytes.len() as u64);
    }
}

#[test]
fn no_byte_of_a_large_file_is_read_twice() {
    let bytes = file(&records(100_000), plain(40_000));
    for (filter, columns) in [
        (None, None),
        (Some("n >= 50000"), None),
        (Some("s = t3"), None),
        (Some("a.b < 100000 and s != t3"), Some("n,a.b")),
        (Some("a.c != x"), None),
        (Some("a.c != x and n > 3"), Some("a.c")),
        (Some("n > 3"), Some("n")),
    ] {
        let source = Watched::new(bytes.clone(), usize::MAX);
        let options = Options {
            columns: columns.map(|columns| FieldPath::list(columns).unwrap()),
            ..filter.map_or_else(options, filtered)
        };
        let (batches, counts) = read(source.clone(), None, options);
        assert!(!batches.is_empty());
        assert_read_once(&source, filter.unwrap_or("all"));
        assert_eq!(counts.fetched_bytes, fetched(&source));
    }
}

#[test]
fn where_no_row_passes_only_the_filters_columns_are_read() {
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let source = Watched::new(file(&records(100_000), properties), usize::MAX);
    let (batches, counts) = read(source.clone(), None, filtered("n = -1"));
    assert!(batches.is_empty());
    assert_eq!((counts.rows, counts.filtered, counts.pruned), (100_000, 100_000, 0));
    assert!(fetched(&source) < 1_500_000, "{} bytes of 22 MB", fetched(&source));
}

#[test]
fn few_rows_are_put_together_into_one_batch() {
    let bytes = file(&records(10_000), row_groups_of(1000));
    let options = Options {
        batch_records_max: 50_000,
        ..filtered("s = t3")
    };
    let (batches, _) = read(Arc::new(bytes), None, options);
    assert_eq!(batches.len(), 1);
    assert_rows_match_ordinals(&batches);
    let expected: Vec<_> = (0..10_000).filter(|row| row % 10 == 3 && row % 7 != 0).collect();
    assert_eq!(ordinals(&batches), expected);
}

#[test]
fn what_is_held_for_a_second_pass_is_let_go_with_its_row_group() {
    let bytes = file(&records(100_000), plain(10_000));
    let windows = Windows::new(Arc::new(bytes));
    let part = |start: u64| windows::Part {
        ranges: vec![start..start + 400, start + 500..start + 1000],
        twice: true,
    };
    windows.announce(vec![part(1000)]);
    windows.announce(vec![part(1000)]);
    assert_eq!(windows.fetched_bytes(), 1000, "held for the second pass");
    windows.forget();
    windows.announce(vec![part(1000)]);
    assert_eq!(windows.fetched_bytes(), 2000, "let go of");
}
