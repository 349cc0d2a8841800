//! An object that was opened ahead of its lane: where its records are streamed, the first piece is on its way.

use std::{ops::Range, sync::Arc};

use pf_storage::{ObjectUri, Storage};
use pf_work::{WorkItem, checkpoint::Position};
use tokio::runtime::Handle;

use crate::{
    input::reason,
    metrics::Metrics,
    prefetch::{Body, Object, ObjectRanges},
    reader::{
        object::{self, Source},
        range_source::RangeSource,
    },
};

/// How objects are opened.
#[derive(Debug, Clone)]
pub struct Opener {
    /// What fetches in the background.
    pub runtime: Handle,
    /// What reads objects.
    pub storage: Storage,
    /// Pieces of a stream that are fetched ahead of its lane.
    pub pieces_ahead: usize,
    /// What counts bytes.
    pub metrics: Metrics,
}

/// An object that is ready to be read.
#[derive(Debug)]
pub struct Opened {
    opener: Opener,
    object: Object,
    /// Where reading is to go on; none: at the item's start.
    pub from: Option<Position>,
    ahead: Option<(Range<u64>, Body)>,
}

impl Opener {
    /// Opens the object of an item that is to be read from a position on. The error says what is wrong with its address.
    pub fn open(&self, item: &WorkItem, from: Option<Position>) -> Result<Opened, String> {
        let uri: ObjectUri = item.uri.parse().map_err(|error| reason(&error))?;
        let object = Object {
            uri,
            etag: item.etag.clone(),
            size_bytes: item.size_bytes,
        };
        let ahead = object::first_stream(item, from).map(|range| (range.clone(), self.body(&object, range)));
        Ok(Opened {
            opener: self.clone(),
            object,
            from,
            ahead,
        })
    }

    fn body(&self, object: &Object, range: Range<u64>) -> Body {
        let Self {
            runtime,
            storage,
            pieces_ahead,
            metrics,
        } = self;
        Body::open(runtime, storage, object, range, *pieces_ahead, metrics)
    }
}

impl Opened {
    /// Gives up what was fetched ahead: it may have failed in an outage that is over.
    pub fn open_anew(&mut self) {
        self.ahead = None;
    }
}

impl Source for Opened {
    type Stream = Body;

    fn stream(&mut self, range: Range<u64>) -> Body {
        let body = match self.ahead.take() {
            Some((ahead, body)) if ahead == range => body,
            _ => self.opener.body(&self.object, range),
        };
        body.take();
        body
    }

    fn ranges(&self) -> Arc<dyn RangeSource> {
        let Opener {
            runtime,
            storage,
            pieces_ahead: _,
            metrics,
        } = self.opener.clone();
        Arc::new(ObjectRanges::new(runtime, storage, self.object.clone(), metrics))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test says what is wrong by failing

    use std::io::Write as _;

    use prometheus::Registry;

    use super::*;
    use crate::{
        batch::Batch,
        plan::Records,
        reader::object::{Error, ObjectReader},
    };

    /// Ordinals of the lines that an opened object gives.
    fn ordinals(item: &WorkItem, opened: &mut Opened) -> Result<Vec<u64>, Error> {
        let records = Records {
            columns: None,
            filter: None,
            batch_records_max: 1000,
            record_bytes_max: 1000,
            binary: crate::values::binary::Binary::Text,
        };
        let mut reader = ObjectReader::open(item, opened.from, &records, opened)?;
        let mut ordinals = Vec::new();
        while let Some(batch) = reader.next_batch(&mut Vec::new())? {
            let Batch::Lines(lines) = batch else { panic!("columns") };
            ordinals.extend(
                lines
                    .lines
                    .iter()
                    .map(|line| lines.offset_bytes + u64::from(line.start)),
            );
        }
        Ok(ordinals)
    }

    #[test]
    fn an_object_is_opened_where_reading_goes_on_and_once_more_at_its_start_if_that_is_no_place() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let line = b"{\"a\":12}\n";
        file.write_all(&line.repeat(300_000)).unwrap();
        let size_bytes = line.len() as u64 * 300_000;
        let uri = format!("file://{}", file.path().display());
        let text = format!(
            r#"{{"v":1,"job":"j","seq":0,"uri":"{uri}","size_bytes":{size_bytes},"enqueued_at":"2024-01-01T00:00:00Z"}}"#
        );
        let item = WorkItem::from_json(&text).unwrap();
        let opener = Opener {
            runtime: runtime.handle().clone(),
            storage: Storage::new(pf_storage::Options::default()),
            pieces_ahead: 2,
            metrics: Metrics::new(&Registry::new()),
        };

        let from = size_bytes - 9 * 100;
        let mut opened = opener.open(&item, Some(Position::Byte { offset: from })).unwrap();
        let rest = ordinals(&item, &mut opened).unwrap();
        assert!(rest.into_iter().eq((from..size_bytes).step_by(9)));
        assert_eq!(opener.metrics.wire_bytes.get(), 901);

        let mut opened = opener.open(&item, Some(Position::Byte { offset: from + 1 })).unwrap();
        let error = ordinals(&item, &mut opened).unwrap_err();
        assert!(matches!(error, Error::Misfit(_)), "{error}");
        opened.from = None;
        let all = ordinals(&item, &mut opened).unwrap();
        assert!(all.into_iter().eq((0..size_bytes).step_by(9)));
    }
}
