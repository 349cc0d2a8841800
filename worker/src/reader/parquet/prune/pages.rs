//! The page index of a row group: where its pages are, and which of them no row of can pass a filter.

use std::collections::HashMap;

use arrow::{array::ArrayRef, buffer::BooleanBuffer, datatypes::Fields};
use parquet::{
    arrow::arrow_reader::statistics::StatisticsConverter,
    file::{
        metadata::{ColumnChunkMetaData, FileMetaData, RowGroupMetaData, page_index::PageIndexBuilder},
        page_index::{
            column_index::ColumnIndexMetaData,
            index_reader::{decode_column_index, decode_offset_index},
            offset_index::OffsetIndexMetaData,
        },
        reader::ChunkReader as _,
        statistics::Statistics,
    },
};

use super::{Bounded, Bounds, Nulls, bounded, can_be_null};
use crate::{
    predicate::Predicate,
    reader::parquet::{Error, guard, pages::OffsetIndexes, windows::Windows},
};

/// An index that is longer than this isn't read: it would cost more than it saves.
const INDEX_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// For less than this, an index isn't read unless it is here already.
const DATA_BYTES_MIN: u64 = 1024 * 1024;

/// What a row group's page index says of some of its columns.
#[derive(Default)]
pub(in crate::reader::parquet) struct PageIndex {
    columns: HashMap<usize, ColumnIndexMetaData>,
    pub(in crate::reader::parquet) offsets: OffsetIndexes,
}

impl PageIndex {
    /// Reads the index: bounds of the pages of `bounded`, and places of those of `leaves`. What is damaged is left out:
    /// nothing but speed depends on it.
    pub(in crate::reader::parquet) fn read(
        windows: &Windows,
        row_group: &RowGroupMetaData,
        bounded: &[usize],
        leaves: &[usize],
    ) -> Result<Self, Error> {
        let mut index = Self::default();
        let data_bytes: u64 = leaves.iter().map(|leaf| row_group.column(*leaf).byte_range().1).sum();
        let rows = row_group.num_rows();
        let columns = texts(
            windows,
            row_group,
            bounded,
            data_bytes,
            ColumnChunkMetaData::column_index_range,
        )?;
        let offsets = texts(
            windows,
            row_group,
            leaves,
            data_bytes,
            ColumnChunkMetaData::offset_index_range,
        )?;
        for (leaf, text) in offsets {
            if let Ok(offsets) = decode_offset_index(&text)
                && is_sound(&offsets, row_group.column(leaf), rows)
            {
                index.offsets.insert(leaf, offsets);
            }
        }
        for (leaf, text) in columns {
            if let Ok(column) = decode_column_index(&text, row_group.column(leaf).column_type()) {
                index.columns.insert(leaf, column);
            }
        }
        Ok(index)
    }

    /// The rows that may pass; `None`: all.
    pub(in crate::reader::parquet) fn possible(
        &self,
        predicate: &Predicate,
        fields: &Fields,
        file: &FileMetaData,
        row_group: &RowGroupMetaData,
        rows: usize,
    ) -> Option<BooleanBuffer> {
        let mut all: Option<BooleanBuffer> = None;
        for bounded in bounded(predicate, fields) {
            let Some(possible) = self.possible_rows(&bounded, file, row_group, rows) else {
                continue;
            };
            all = Some(all.map_or_else(|| possible.clone(), |all| &all & &possible));
        }
        all.filter(|all| all.count_set_bits() < rows)
    }

    fn possible_rows(
        &self,
        bounded: &Bounded<'_>,
        file: &FileMetaData,
        row_group: &RowGroupMetaData,
        rows: usize,
    ) -> Option<BooleanBuffer> {
        let pages = self.offsets.get(&bounded.leaf)?.page_locations();
        let bounds = self.bounds(bounded, file, row_group, rows)?;
        let possible = bounded.possible(&bounds);
        let mut page = 0;
        Some(BooleanBuffer::collect_bool(rows, |row| {
            while pages
                .get(page + 1)
                .is_some_and(|next| next.first_row_index <= row as i64)
            {
                page += 1;
            }
            possible.value(page)
        }))
    }

    fn bounds(
        &self,
        bounded: &Bounded<'_>,
        file: &FileMetaData,
        row_group: &RowGroupMetaData,
        rows: usize,
    ) -> Option<Bounds> {
        let column = self.columns.get(&bounded.leaf)?;
        let offsets = self.offsets.get(&bounded.leaf)?;
        let pages = offsets.page_locations();
        if column.num_pages() != pages.len() as u64 {
            return None;
        }
        let counts: Vec<Option<u64>> = (0..pages.len())
            .map(|page| column.null_count(page).and_then(|nulls| u64::try_from(nulls).ok()))
            .collect();
        let said = row_group
            .column(bounded.leaf)
            .statistics()
            .and_then(Statistics::null_count_opt);
        let sum = counts.iter().copied().sum::<Option<u64>>();
        let adds_up = said.is_none() || sum.is_none() || said == sum;
        let mut nulls = Vec::with_capacity(pages.len());
        for (page, count) in counts.into_iter().enumerate() {
            let end = pages.get(page + 1).map_or(rows as i64, |next| next.first_row_index);
            let page_rows = u64::try_from(end - pages[page].first_row_index).unwrap_or(0);
            let count = count.filter(|_| adds_up);
            let known = Nulls::new(count, page_rows, can_be_null(file, bounded.leaf));
            // Either both say that all values are null, or neither does: of a page without values there are no bounds.
            if column.is_null_page(page) != (known == Nulls::All) {
                return None;
            }
            nulls.push(known);
        }
        let mut index = PageIndexBuilder::new(1, file.schema_descr().num_columns());
        index.put_column_index(column.clone(), 0, bounded.leaf);
        index.put_offset_index(offsets.clone(), 0, bounded.leaf);
        let index = index.build();
        let converter =
            StatisticsConverter::from_column_index(bounded.leaf, bounded.field, file.schema_descr()).ok()?;
        let converter = converter.with_column_orders(file.column_orders().map(Vec::as_slice));
        let believed = bounded.is_believed(file, false);
        let bound = |bound: Result<ArrayRef, _>| bound.ok().filter(|_| believed);
        let bounds = Bounds {
            least: bound(converter.data_page_mins(&index, [&0])),
            most: bound(converter.data_page_maxes(&index, [&0])),
            nulls,
        };
        Some(bounds.believable())
    }
}

/// The bytes of one kind of index for some leaves. They lie next to each other, and are read at once.
fn texts(
    windows: &Windows,
    row_group: &RowGroupMetaData,
    leaves: &[usize],
    data_bytes: u64,
    range: impl Fn(&ColumnChunkMetaData) -> Option<std::ops::Range<u64>>,
) -> Result<Vec<(usize, bytes::Bytes)>, Error> {
    let found: Vec<_> = leaves
        .iter()
        .filter_map(|leaf| Some((*leaf, range(row_group.column(*leaf))?)))
        .filter(|(_, range)| range.start < range.end && range.end <= windows.len_bytes())
        .collect();
    let start = found.iter().map(|(_, range)| range.start).min().unwrap_or(0);
    let end = found.iter().map(|(_, range)| range.end).max().unwrap_or(0);
    let is_here = windows.holds(&(start..end));
    if found.is_empty() || end - start > INDEX_BYTES_MAX || (data_bytes < DATA_BYTES_MIN && !is_here) {
        return Ok(Vec::new());
    }
    let all = windows
        .get_bytes(start, (end - start) as usize)
        .map_err(guard::decoding)?;
    let of = |range: &std::ops::Range<u64>| all.slice((range.start - start) as usize..(range.end - start) as usize);
    Ok(found.iter().map(|(leaf, range)| (*leaf, of(range))).collect())
}

/// Whether pages follow each other, within the chunk, from its first row on.
fn is_sound(index: &OffsetIndexMetaData, chunk: &ColumnChunkMetaData, rows: i64) -> bool {
    let pages = index.page_locations();
    let (start, length) = chunk.byte_range();
    let end = start.saturating_add(length);
    let within = pages.iter().all(|page| {
        let (Ok(offset), Ok(size)) = (u64::try_from(page.offset), u64::try_from(page.compressed_page_size)) else {
            return false;
        };
        offset >= start && size > 0 && offset + size <= end && page.first_row_index < rows
    });
    let ordered = pages.windows(2).all(|pair| {
        pair[0].first_row_index < pair[1].first_row_index
            && pair[0].offset + i64::from(pair[0].compressed_page_size) <= pair[1].offset
    });
    within && ordered && pages.first().is_some_and(|page| page.first_row_index == 0)
}
