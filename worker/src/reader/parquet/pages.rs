//! The pages of a row group, handed to the `parquet` crate's decoders. On the way, each page is looked at: how long the
//! values of a dictionary are, and how much one decoding step pulls, so that no step grows beyond its memory.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parquet::{
    arrow::{arrow_reader::RowGroups, arrow_reader::RowSelection},
    basic::{Encoding, Type},
    column::page::{Page, PageIterator, PageMetadata, PageReader},
    errors::{ParquetError, Result},
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData},
        page_index::offset_index::{OffsetIndexMetaData, PageLocation},
        serialized_reader::SerializedPageReader,
    },
};

use super::{
    checked::{Checked, Chunk, Refused},
    windows::{Part, Windows},
};

/// The offset indexes of one row group, by leaf, where they are known.
pub(super) type OffsetIndexes = HashMap<usize, OffsetIndexMetaData>;

/// A row group's pages.
pub(super) struct Pages {
    windows: Windows,
    metadata: Arc<ParquetMetaData>,
    row_group: usize,
    offsets: Arc<OffsetIndexes>,
    meter: Arc<Meter>,
    /// Columns whose dictionary was looked at.
    begun: Mutex<HashMap<usize, Column>>,
    /// The bytes of the columns that were begun.
    checked: Mutex<Vec<Checked>>,
    is_padded: bool,
    record_bytes_max: u64,
}

/// What a row may need when it is decoded.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RowBytes {
    /// On average.
    pub(super) usual: u64,
    /// If all its values were the longest of their dictionaries.
    pub(super) worst: u64,
}

/// How much the pages of one step hold. More than its limit is an error, after which the step must be made smaller.
#[derive(Debug, Default)]
pub(super) struct Meter {
    step: AtomicU64,
    bytes: AtomicU64,
    limit: AtomicU64,
    exceeded: AtomicBool,
}

impl Meter {
    /// Begins a step.
    pub(super) fn begin(&self, limit_bytes: u64) {
        self.step.fetch_add(1, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
        self.limit.store(limit_bytes, Ordering::Relaxed);
        self.exceeded.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_exceeded(&self) -> bool {
        self.exceeded.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: u64) -> Result<()> {
        let sum = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if sum > self.limit.load(Ordering::Relaxed) {
            self.exceeded.store(true, Ordering::Relaxed);
            return Err(ParquetError::General("the step is too large".to_owned()));
        }
        Ok(())
    }
}

impl Pages {
    pub(super) fn new(
        windows: Windows,
        metadata: Arc<ParquetMetaData>,
        row_group: usize,
        offsets: Arc<OffsetIndexes>,
        is_padded: bool,
        record_bytes_max: u64,
    ) -> Self {
        Self {
            windows,
            metadata,
            row_group,
            offsets,
            meter: Arc::default(),
            begun: Mutex::default(),
            checked: Mutex::default(),
            is_padded,
            record_bytes_max,
        }
    }

    /// The page that was refused, if reading has failed for that, and the name of its column.
    pub(super) fn take_refused(&self) -> Option<(Refused, String)> {
        let refused = lock(&self.checked).iter().find_map(Checked::take_refused)?;
        let path = self.group().column(refused.leaf).column_path().string();
        Some((refused, path))
    }

    /// Forgets the columns that were begun: they are begun anew.
    pub(super) fn forget(&self) {
        lock(&self.begun).clear();
        lock(&self.checked).clear();
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Starts to read what these leaves need for the selected rows; of those in `twice`, for another time too.
    pub(super) fn announce(&self, leaves: &[usize], selection: Option<&RowSelection>, twice: &[usize]) {
        let part = |leaf: &usize| Part {
            ranges: self.ranges(*leaf, selection),
            twice: twice.contains(leaf),
        };
        self.windows.announce(leaves.iter().map(part).collect());
    }

    fn ranges(&self, leaf: usize, selection: Option<&RowSelection>) -> Vec<Range<u64>> {
        let (start, length) = self.group().column(leaf).byte_range();
        let end = start.saturating_add(length).min(self.windows.len_bytes());
        match (self.offsets.get(&leaf), selection) {
            (Some(index), Some(selection)) => {
                let locations = index.page_locations();
                let first = locations.first().map_or(end, |page| page.offset as u64);
                let mut ranges = selection.scan_ranges(locations);
                // Before the first page lies the dictionary.
                ranges.insert(0, start..first.max(start));
                ranges
            }
            _ => Vec::from_iter(Some(start..end.max(start))),
        }
    }

    /// Looks at the dictionaries of these leaves, and says what a row may need.
    pub(super) fn begin(&self, leaves: &[usize]) -> Result<RowBytes> {
        let rows = (self.group().num_rows() as u64).max(1);
        let mut all = RowBytes::default();
        for leaf in leaves {
            let chunk = self.group().column(*leaf);
            let values = chunk.num_values().max(0) as u64;
            let encoded = chunk.uncompressed_size().max(0) as u64;
            if chunk.column_type() == Type::BYTE_ARRAY {
                let mut column = self.column(*leaf)?;
                let lengths = column.look_at_dictionary()?;
                let plain = chunk.unencoded_byte_array_data_bytes().unwrap_or(0).max(0) as u64;
                let repeated = (lengths.mean + 4).saturating_mul(values);
                all.usual += plain.max(encoded).max(if plain == 0 { repeated } else { 0 }) / rows;
                all.worst += lengths.longest.saturating_mul(values.div_ceil(rows));
                lock(&self.begun).insert(*leaf, column);
            } else {
                all.usual += value_bytes(chunk).saturating_mul(values) / rows;
            }
        }
        all.worst = all.worst.max(all.usual);
        Ok(all)
    }

    fn column(&self, leaf: usize) -> Result<Column> {
        let chunk = self.group().column(leaf);
        let locations = self.offsets.get(&leaf).map(|index| index.page_locations().clone());
        let rows = self.num_rows();
        let (start, length) = chunk.byte_range();
        let places = locations.as_ref().map(|pages| {
            let pages = pages.iter();
            let place = |page: &PageLocation| (page.offset as u64, page.first_row_index as usize);
            pages.map(place).collect()
        });
        let checked = Checked::new(
            self.windows.clone(),
            Chunk {
                leaf,
                end: start.saturating_add(length),
                is_flat: chunk.column_descr().max_rep_level() == 0,
                rows,
                value_bytes: value_bytes(chunk),
                places,
                record_bytes_max: self.record_bytes_max,
            },
        );
        lock(&self.checked).push(checked.clone());
        Ok(Column {
            values_left: self.is_padded.then(|| u64::try_from(chunk.num_values()).unwrap_or(0)),
            pages: SerializedPageReader::new(Arc::new(checked), chunk, rows, locations)?,
            dictionary: None,
            deferred: None,
            mean: match chunk.column_type() {
                Type::BYTE_ARRAY => 0,
                _ => value_bytes(chunk),
            },
            last: None,
            meter: self.meter.clone(),
        })
    }

    fn group(&self) -> &RowGroupMetaData {
        self.metadata.row_group(self.row_group)
    }
}

/// What a decoded value takes at least.
fn value_bytes(chunk: &ColumnChunkMetaData) -> u64 {
    match chunk.column_type() {
        Type::BOOLEAN => 1,
        Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
        Type::INT64 | Type::DOUBLE => 8,
        Type::INT96 => 12,
        Type::FIXED_LEN_BYTE_ARRAY => u64::try_from(chunk.column_descr().type_length()).unwrap_or(0),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RowGroups for Pages {
    fn num_rows(&self) -> usize {
        usize::try_from(self.group().num_rows()).unwrap_or(0)
    }

    fn column_chunks(&self, leaf: usize) -> Result<Box<dyn PageIterator>> {
        let column = match lock(&self.begun).remove(&leaf) {
            Some(column) => column,
            None => self.column(leaf)?,
        };
        Ok(Box::new(One(Some(column))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.group()))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// The one column chunk of a column in a row group.
struct One(Option<Column>);

impl Iterator for One {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(|column| Ok(Box::new(column) as _))
    }
}

impl PageIterator for One {}

/// How long the values of a dictionary are.
#[derive(Debug, Clone, Copy, Default)]
struct Lengths {
    mean: u64,
    longest: u64,
}

/// A column chunk's pages.
struct Column {
    pages: SerializedPageReader<Checked>,
    /// Values up to the last page, where more bytes may follow that are none of the column's.
    values_left: Option<u64>,
    /// Looked at, and not handed on yet.
    dictionary: Option<Page>,
    /// Skipped, and perhaps asked for later.
    deferred: Option<Page>,
    /// Length of a dictionary's values on average.
    mean: u64,
    /// Which step pulled the last page, and what it holds.
    last: Option<(u64, u64)>,
    meter: Arc<Meter>,
}

impl Column {
    fn pass_over(&mut self, values: u64) {
        if let Some(left) = &mut self.values_left {
            *left = left.saturating_sub(values);
        }
    }

    fn look_at_dictionary(&mut self) -> Result<Lengths> {
        let is_dictionary = self.pages.peek_next_page()?.is_some_and(|page| page.is_dict);
        if !is_dictionary {
            return Ok(Lengths::default());
        }
        self.dictionary = self.pages.get_next_page()?;
        let lengths = self.dictionary.as_ref().map(lengths).unwrap_or_default();
        self.mean = lengths.mean;
        Ok(lengths)
    }
}

/// Of byte arrays one after the other, each with its length before it. What is malformed is the decoder's to find.
fn lengths(dictionary: &Page) -> Lengths {
    let mut rest: &[u8] = dictionary.buffer();
    let count = u64::from(dictionary.num_values());
    let mut longest = 0;
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = u32::from_le_bytes(*length) as usize;
        longest = longest.max(length);
        rest = behind.get(length..).unwrap_or_default();
    }
    Lengths {
        mean: dictionary.buffer().len() as u64 / count.max(1),
        longest: longest as u64,
    }
}

impl Iterator for Column {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Column {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        if let Some(dictionary) = self.dictionary.take() {
            return Ok(Some(dictionary));
        }
        let step = self.meter.step.load(Ordering::Relaxed);
        if let Some((pulled, bytes)) = self.last.take()
            && pulled == step
        {
            // Pulled and used up in the same step: all of it is in that step's values.
            self.meter.add(bytes)?;
        }
        if self.values_left == Some(0) {
            return Ok(None);
        }
        let page = self.pages.get_next_page()?;
        if let Some(page) = page.as_ref().filter(|page| page.is_data_page()) {
            self.pass_over(u64::from(page.num_values()));
        }
        if let Some(page) = page.as_ref().filter(|page| page.is_data_page()) {
            let encoded = page.buffer().len() as u64;
            let bytes = match page.encoding() {
                Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => {
                    encoded.max(u64::from(page.num_values()).saturating_mul(self.mean))
                }
                _ => encoded,
            };
            self.last = Some((step, bytes));
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        if self.dictionary.is_some() {
            return Ok(Some(PageMetadata {
                num_rows: None,
                num_levels: None,
                is_dict: true,
            }));
        }
        if self.values_left == Some(0) {
            return Ok(None);
        }
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        if let Some(dictionary) = self.dictionary.take() {
            self.deferred = Some(dictionary);
            return Ok(());
        }
        if self.values_left.is_some()
            && let Some(page) = self.pages.peek_next_page()?.filter(|page| !page.is_dict)
        {
            self.pass_over(page.num_levels.or(page.num_rows).unwrap_or(0) as u64);
        }
        self.pages.skip_next_page()
    }

    fn supports_deferred_dictionary(&self) -> bool {
        self.dictionary.is_some() || self.deferred.is_some() || self.pages.supports_deferred_dictionary()
    }

    fn take_deferred_dictionary(&mut self) -> Result<Option<Page>> {
        match self.deferred.take() {
            Some(dictionary) => Ok(Some(dictionary)),
            None => self.pages.take_deferred_dictionary(),
        }
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        if self.dictionary.is_some() {
            return Ok(true);
        }
        self.pages.at_record_boundary()
    }
}
