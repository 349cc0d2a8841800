//! What writers are known to have got wrong in footers, and footers that are about something else.

use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnChunkMetaDataBuilder, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter,
};

use super::*;

/// The file with another footer.
pub(super) fn with_footer(bytes: &Bytes, change: impl FnOnce(ParquetMetaData) -> ParquetMetaData) -> Bytes {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(bytes).unwrap();
    let footer = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap());
    let mut changed = bytes[..bytes.len() - 8 - footer as usize].to_vec();
    ParquetMetaDataWriter::new(&mut changed, &change(metadata))
        .finish()
        .unwrap();
    changed.into()
}

/// The file with other words about the column chunks of some row groups.
pub(super) fn with_chunks(
    bytes: &Bytes,
    change: impl Fn(usize, &ColumnChunkMetaData, ColumnChunkMetaDataBuilder) -> ColumnChunkMetaDataBuilder,
) -> Bytes {
    with_footer(bytes, |metadata| {
        let mut builder = metadata.into_builder();
        let row_groups = builder.take_row_groups().into_iter().enumerate();
        let changed = row_groups.map(|(index, row_group)| {
            let chunks = row_group.columns().iter();
            let chunks = chunks.map(|chunk| change(index, chunk, chunk.clone().into_builder()).build().unwrap());
            let chunks = chunks.collect();
            row_group.into_builder().set_column_metadata(chunks).build().unwrap()
        });
        let changed = changed.collect();
        builder.set_row_groups(changed).build()
    })
}

fn plain() -> WriterProperties {
    let properties = WriterProperties::builder().set_dictionary_enabled(false);
    properties.set_max_row_group_row_count(Some(90)).build()
}

#[test]
fn a_dictionary_at_offset_0_is_none() {
    let bytes = file(&records(300), plain());
    let zero = with_chunks(&bytes, |_, _, chunk| chunk.set_dictionary_page_offset(Some(0)));
    let size = zero.len() as u64;
    let mut seen = Vec::new();
    for part in 0..3 {
        let range = (part * size / 3, (part + 1) * size / 3);
        let (batches, _) = read(Arc::new(zero.clone()), Some(range), options());
        assert_rows_match_ordinals(&batches);
        seen.extend(ordinals(&batches));
    }
    assert_eq!(seen, (0..300).collect::<Vec<_>>());
    let (batches, _) = read(Arc::new(zero), None, filtered("n >= 120 and s != null"));
    assert!(ordinals(&batches).iter().all(|row| *row >= 120 && row % 7 != 0));
}

#[test]
fn old_parquet_mr_states_column_chunks_too_short_by_a_header() {
    for created_by in ["parquet-mr version 1.2.8 (build 1)", "parquet-mr"] {
        let properties = WriterProperties::builder()
            .set_created_by(created_by.to_owned())
            .set_max_row_group_row_count(Some(90))
            .set_offset_index_disabled(true)
            .set_statistics_enabled(EnabledStatistics::None)
            .build();
        let bytes = file(&records(300), properties);
        // The dictionary's header is some twenty bytes long.
        let short = with_chunks(&bytes, |_, chunk, builder| {
            let header = i64::from(chunk.dictionary_page_offset().is_some()) * 14;
            builder.set_total_compressed_size(chunk.compressed_size() - header)
        });
        for options in [options(), filtered("s != t3"), filtered("n >= 100 and a.c != null")] {
            let right = read(Arc::new(bytes.clone()), None, options.clone());
            let (batches, counts) = read(Arc::new(short.clone()), None, options);
            assert_eq!(
                (ordinals(&batches), counts.rows),
                (ordinals(&right.0), 300),
                "{created_by}"
            );
            assert_rows_match_ordinals(&batches);
        }
    }
}

#[test]
fn a_summary_file_is_told_by_name() {
    let bytes = file(&records(100), plain());
    let summary = with_chunks(&bytes, |_, _, chunk| chunk.set_file_path("part-0.parquet".to_owned()));
    let error = refused(summary, options());
    assert!(matches!(error, Error::Unsupported(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains("a summary file: its values lie in other files, as `part-0.parquet`")
    );
}

#[test]
fn a_column_chunk_that_lies_outside_of_the_file_is_in_one_range_and_corrupt_there() {
    let bytes = file(&records(900), plain());
    let size = bytes.len() as i64;
    for far in [size, size * 10, i64::MAX / 2] {
        let damaged = with_chunks(&bytes, |group, chunk, builder| {
            match (group, chunk.column_path().string().as_str()) {
                (2, "n") => builder.set_total_compressed_size(far),
                _ => builder,
            }
        });
        let size = damaged.len() as u64;
        let (mut seen, mut errors) = (Vec::new(), Vec::new());
        for part in 0..5 {
            let range = (part * size / 5, (part + 1) * size / 5);
            let mut reader = Reader::open(Arc::new(damaged.clone()), Some(range), options()).unwrap();
            assert_eq!(reader.file_rows(), 900);
            loop {
                match reader.next_batch(&mut Vec::new()) {
                    Ok(Some(batch)) => seen.extend(batch.ordinals),
                    Ok(None) => break,
                    Err(error) => {
                        errors.push(error);
                        break;
                    }
                }
            }
        }
        assert!(
            !seen.iter().any(|row| (180..270).contains(row)),
            "nobody can read these"
        );
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(
            matches!(&errors[0], Error::Corrupt(text) if text.contains("column `n` of row group 2")),
            "{errors:?}"
        );
    }
}

#[test]
fn rows_that_are_promised_and_not_there_are_no_filtered_rows() {
    let bytes = file(&records(100), row_groups_of(200));
    for said in [99, 101, 1000] {
        let lying = with_footer(&bytes, |metadata| {
            let mut builder = metadata.into_builder();
            let row_groups = builder.take_row_groups().into_iter();
            let row_groups = row_groups.map(|row_group| row_group.into_builder().set_num_rows(said).build().unwrap());
            let row_groups = row_groups.collect();
            let file = builder.set_row_groups(row_groups).build();
            let (file, rest) = (file.file_metadata().clone(), file.row_groups().to_vec());
            let file = parquet::file::metadata::FileMetaData::new(
                file.version(),
                said,
                file.created_by().map(str::to_owned),
                None,
                file.schema_descr_ptr(),
                file.column_orders().cloned(),
            );
            ParquetMetaData::new(file, rest)
        });
        for options in [options(), filtered("n >= 0")] {
            let read = Reader::open(Arc::new(lying.clone()), None, options).and_then(|mut reader| {
                while reader.next_batch(&mut Vec::new())?.is_some() {}
                Ok(())
            });
            assert!(matches!(read, Err(Error::Corrupt(_))), "{said}: {read:?}");
        }
    }
}
