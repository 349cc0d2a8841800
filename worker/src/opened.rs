//! An object that was opened ahead of its lane: where its records are streamed, the first piece is on its way.

use std::{ops::Range, sync::Arc};

use pf_storage::{ObjectUri, Storage};
use pf_work::{
    WorkItem,
    checkpoint::Position,
    settle::{Flaw, Outcome},
};
use tokio::runtime::Handle;

use crate::{
    input::reason,
    metrics::Metrics,
    permission::Permission,
    prefetch::{Body, Object, ObjectRanges},
    reader::{
        object::{self, Source},
        range_source::RangeSource,
    },
    sources::Sources,
};

/// How objects are opened.
#[derive(Debug, Clone)]
pub struct Opener {
    /// What fetches in the background.
    pub runtime: Handle,
    /// What reads objects.
    pub storage: Storage,
    /// What may be read.
    pub sources: Sources,
    /// Pieces of a stream that are fetched ahead of its lane.
    pub pieces_ahead: usize,
    /// What counts bytes.
    pub metrics: Metrics,
    /// What hears of each object that can be read.
    pub permission: Arc<Permission>,
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
    /// Opens the object of an item that is to be read from a position on. The error says what becomes of an item whose
    /// address is none, or none that may be read.
    pub fn open(&self, item: &WorkItem, from: Option<Position>) -> Result<Opened, Outcome> {
        let broken = |flaw| move |reason| Outcome::Broken { flaw, reason };
        let uri = item.uri.parse().map_err(|error: pf_storage::Error| reason(&error));
        let uri: ObjectUri = uri.map_err(broken(Flaw::Other))?;
        self.sources.check(&uri).map_err(broken(Flaw::Denied))?;
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
            sources: _,
            pieces_ahead,
            metrics,
            permission,
        } = self;
        Body::open(runtime, storage, object, range, *pieces_ahead, metrics, permission)
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
            sources: _,
            pieces_ahead: _,
            metrics,
            permission,
        } = self.opener.clone();
        let object = self.object.clone();
        Arc::new(ObjectRanges::new(runtime, storage, object, metrics, permission))
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
            batch_records_max: 1000,
            record_bytes_max: 1000,
            ..Records::default()
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

    fn opener(runtime: &Handle, sources: Sources) -> Opener {
        let storage = Storage::new(pf_storage::Options::default());
        let ending = Arc::new(crate::ending::Ending::new(pf_telemetry::Shutdown::default()));
        let permission = Permission::new(storage.clone(), ending, std::time::Duration::ZERO);
        Opener {
            runtime: runtime.clone(),
            storage,
            sources,
            pieces_ahead: 2,
            metrics: Metrics::new(&Registry::new()),
            permission: Arc::new(permission),
        }
    }

    #[test]
    fn what_is_no_source_is_a_dead_letter_and_is_not_opened() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let text = r#"{"v":1,"job":"j","seq":0,"uri":"file:///etc/passwd","size_bytes":9,"enqueued_at":"2024-01-01T00:00:00Z"}"#;
        let item = WorkItem::from_json(text).unwrap();
        let outcome = opener(runtime.handle(), Sources::AnyBucket)
            .open(&item, None)
            .unwrap_err();
        let Outcome::Broken {
            flaw: Flaw::Denied,
            reason,
        } = outcome
        else {
            panic!("{outcome:?}")
        };
        assert!(
            reason.starts_with("not a source of this job: file:///etc/passwd"),
            "{reason}"
        );
        opener(runtime.handle(), Sources::Anything).open(&item, None).unwrap();
    }

    #[test]
    fn a_stream_that_is_stopped_is_no_object_that_has_ended() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![b'\n'; 20 << 20]).unwrap();
        let uri = format!("file://{}", file.path().display());
        let text = format!(
            r#"{{"v":1,"job":"j","seq":0,"uri":"{uri}","size_bytes":{},"enqueued_at":"2024-01-01T00:00:00Z"}}"#,
            20 << 20
        );
        let item = WorkItem::from_json(&text).unwrap();
        let mut opened = opener(runtime.handle(), Sources::Anything).open(&item, None).unwrap();
        runtime.shutdown_background();
        let error = ordinals(&item, &mut opened).unwrap_err();
        let outcome = Outcome::from(error);
        assert!(matches!(outcome, Outcome::Unavailable { .. }), "{outcome:?}");
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
        let opener = opener(runtime.handle(), Sources::Anything);

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
