//! From batches to bulk bodies: an action line before each document, and nothing copied twice.
//!
//! What is the same for every document stands in the request's address, so that an action line has little more in it than
//! the `_id`. A record whose address can't be made (no such field, no name that an index may have) becomes a [`Reject`].

use std::{collections::BTreeMap, ops::Range, str, sync::Arc};

use super::{
    Bulk, Document, ID_BYTES_MAX, Origin,
    addressing::{Addressing, IdMode},
    columns::Columns,
    dates,
    index_name::NameValues,
};
use crate::{
    batch::{Batch, ColumnBatch, LineBatch, Reject},
    indexer::json::{self, Encoder},
    predicate::FieldPath,
    reader::ndjson::{
        cut::Cut,
        fields::{self, Fields, Scalar},
    },
    values::calendar::Day,
};

/// About how long an action line is, to make room for it.
const ACTION_BYTES: usize = 56;

/// Puts records into bulks; one for each lane.
#[derive(Debug)]
pub struct BulkEncoder {
    actions: Actions,
    /// The fields that action lines are made from.
    paths: Vec<FieldPath>,
    /// Their names, as reasons say them.
    names: Vec<String>,
    lines: Fields,
    rows: Encoder,
    columns: Encoder,
    places: Vec<Option<Range<usize>>>,
    text: Vec<u8>,
    /// Fields that documents don't have.
    cut: Option<Cut>,
    row: Vec<u8>,
}

impl BulkEncoder {
    /// An encoder of documents that are addressed like this.
    pub fn new(addressing: Arc<Addressing>) -> Self {
        let mut paths = Vec::new();
        let mut number = |path: &FieldPath| {
            paths.push(path.clone());
            paths.len() - 1
        };
        let cut = Cut::new(&addressing.left_out);
        let actions = Actions {
            id: match &addressing.id {
                IdMode::Field(path) => Some(number(path)),
                IdMode::Deterministic | IdMode::Auto => None,
            },
            routing: addressing.routing.as_ref().map(&mut number),
            timestamp: addressing.index.has_date().then(|| number(&addressing.timestamp)),
            index_fields: addressing.index.fields().map(&mut number).collect(),
            addressing,
            name: String::new(),
            scratch: Vec::new(),
        };
        Self {
            actions,
            lines: Fields::new(&paths),
            names: paths.iter().map(ToString::to_string).collect(),
            paths,
            rows: Encoder::default(),
            columns: Encoder::default(),
            places: Vec::new(),
            text: Vec::new(),
            cut,
            row: Vec::new(),
        }
    }

    /// Puts the records of a batch into a bulk, as documents of `segment`: raw lines are copied once, columns are written.
    /// What has no address, or is larger than any request may be, is added to `rejects` instead. Gives the bytes of the
    /// documents themselves.
    ///
    /// # Errors
    /// If a column has a type without a JSON form; nothing was put into the bulk then.
    pub fn append(
        &mut self,
        bulk: &mut Bulk,
        origin: &Origin,
        segment: u32,
        batch: &Batch,
        rejects: &mut Vec<Reject>,
    ) -> Result<u64, json::Error> {
        let mut target = Target {
            documents: &mut bulk.documents,
            body: bulk.body.text_mut(),
            segment,
            rejects,
            source_bytes: 0,
        };
        match batch {
            Batch::Lines(batch) => self.append_lines(&mut target, origin, batch),
            Batch::Columns(batch) => self.append_columns(&mut target, origin, batch)?,
        }
        Ok(target.source_bytes)
    }

    /// How many values were NaN or an infinity, written as null, since this was asked last.
    pub fn take_not_finite(&self) -> u64 {
        self.rows.take_not_finite()
    }

    fn append_lines(&mut self, target: &mut Target<'_>, origin: &Origin, batch: &LineBatch) {
        let records = batch.lines.len();
        target.documents.reserve(records);
        target.body.reserve(batch.text.len() + records * ACTION_BYTES);
        for line in &batch.lines {
            let (start, end) = (line.start as usize, line.end as usize);
            if !self.paths.is_empty() {
                self.lines.find(&batch.text, start, &mut self.places);
            }
            let ordinal = batch.offset_bytes + u64::from(line.start);
            let values = Values {
                text: &batch.text,
                places: &self.places,
                names: &self.names,
            };
            let action = target.body.len();
            let written = self.actions.write(origin, ordinal, &values, target.body);
            let source = target.body.len();
            match &mut self.cut {
                None => target.body.extend_from_slice(&batch.text[start..end]),
                Some(cut) => cut.copy(&batch.text, start..end, target.body),
            }
            if let Some(fields) = &origin.fields {
                fields.add(target.body, source);
            }
            target.close(ordinal, action, source, written, &self.actions.addressing);
        }
    }

    fn append_columns(
        &mut self,
        target: &mut Target<'_>,
        origin: &Origin,
        batch: &ColumnBatch,
    ) -> Result<(), json::Error> {
        let mut rows = self.rows.rows(&batch.records)?;
        let mut columns = Columns::new(&self.columns, &batch.records, &self.paths)?;
        target.documents.reserve(batch.ordinals.len());
        for (row, ordinal) in batch.ordinals.iter().copied().enumerate() {
            if !self.paths.is_empty() {
                columns.read(row, &mut self.text, &mut self.places);
            }
            let values = Values {
                text: &self.text,
                places: &self.places,
                names: &self.names,
            };
            let action = target.body.len();
            let written = self.actions.write(origin, ordinal, &values, target.body);
            let source = target.body.len();
            match &mut self.cut {
                None => rows.write(row, target.body),
                Some(cut) => {
                    self.row.clear();
                    rows.write(row, &mut self.row);
                    let end = self.row.len();
                    self.row.push(b'\n');
                    cut.copy(&self.row, 0..end, target.body);
                }
            }
            if let Some(fields) = &origin.fields {
                fields.add(target.body, source);
            }
            target.close(ordinal, action, source, written, &self.actions.addressing);
        }
        Ok(())
    }
}

/// What documents are put into.
struct Target<'a> {
    documents: &'a mut Vec<Document>,
    body: &'a mut Vec<u8>,
    segment: u32,
    rejects: &'a mut Vec<Reject>,
    source_bytes: u64,
}

impl Target<'_> {
    /// Makes a document of what was written from `action` and from `source` on, or takes it back and rejects it.
    #[inline]
    fn close(
        &mut self,
        ordinal: u64,
        action: usize,
        source: usize,
        written: Result<(), String>,
        addressing: &Addressing,
    ) {
        let bytes = self.body.len() - source;
        let fits = bytes <= addressing.document_bytes_max;
        if fits && written.is_ok() {
            self.documents.push(Document {
                segment: self.segment,
                ordinal,
                action: action as u32,
                source: source as u32..self.body.len() as u32,
            });
            self.source_bytes += bytes as u64;
            self.body.push(b'\n');
            return;
        }
        let reason = written.err().unwrap_or_else(|| {
            format!(
                "a document of {bytes} bytes, larger than the largest that a request may carry, {}",
                addressing.document_bytes_max
            )
        });
        self.rejects.push(Reject {
            ordinal,
            reason,
            raw: self.body[source..].to_vec(),
            record_bytes: bytes as u64,
        });
        self.body.truncate(action);
    }
}

/// Writes action lines.
#[derive(Debug)]
struct Actions {
    addressing: Arc<Addressing>,
    /// The number of the path that each part of an address is read from.
    id: Option<usize>,
    routing: Option<usize>,
    timestamp: Option<usize>,
    index_fields: Vec<usize>,
    name: String,
    scratch: Vec<u8>,
}

impl Actions {
    /// Appends the action line of a record. If it fails, part of it may be there; the reason is the record's.
    fn write(&mut self, origin: &Origin, ordinal: u64, values: &Values<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        out.extend_from_slice(b"{\"");
        out.extend_from_slice(self.addressing.operation.name().as_bytes());
        out.extend_from_slice(b"\":{");
        let mut separator = Separator(false);
        match self.id {
            None if self.addressing.id == IdMode::Auto => {}
            None => {
                separator.key(b"\"_id\":\"", out);
                origin.id_prefix.write(ordinal, out);
                out.push(b'"');
            }
            Some(path) => {
                let id = values.required(path, "_id", &mut self.scratch)?;
                let (name, bytes) = (&values.names[path], id.len());
                if bytes == 0 {
                    return Err(format!("no _id: field `{name}` is empty"));
                }
                if bytes > ID_BYTES_MAX {
                    return Err(format!(
                        "no _id: field `{name}` has {bytes} bytes, and an _id may have {ID_BYTES_MAX}"
                    ));
                }
                separator.key(b"\"_id\":", out);
                json::string(id.as_bytes(), out);
            }
        }
        if let Some(path) = self.routing {
            let routing = values.required(path, "routing", &mut self.scratch)?;
            separator.key(b"\"routing\":", out);
            json::string(routing.as_bytes(), out);
        }
        if self.addressing.index.fixed().is_none() {
            let mut parts = NameParts {
                values,
                origin,
                timestamp: self.timestamp,
                index_fields: &self.index_fields,
                scratch: &mut self.scratch,
            };
            self.addressing.index.make(&mut parts, &mut self.name)?;
            separator.key(b"\"_index\":", out);
            json::string(self.name.as_bytes(), out);
        }
        out.extend_from_slice(b"}}\n");
        Ok(())
    }
}

/// Whether a key needs a comma before it.
struct Separator(bool);

impl Separator {
    fn key(&mut self, key: &[u8], out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.0, true) {
            out.push(b',');
        }
        out.extend_from_slice(key);
    }
}

/// The values of a record's named fields, by the numbers of their paths.
struct Values<'a> {
    text: &'a [u8],
    places: &'a [Option<Range<usize>>],
    names: &'a [String],
}

impl Values<'_> {
    /// Reads the text or number at a path; none if there is nothing or a null. `what` is it for.
    fn read<'b>(&self, path: usize, what: &str, scratch: &'b mut Vec<u8>) -> Result<Option<(Scalar, &'b str)>, String> {
        let Some(place) = &self.places[path] else {
            return Ok(None);
        };
        let kind = fields::scalar(&self.text[place.clone()], scratch);
        let name = &self.names[path];
        match (kind, str::from_utf8(scratch)) {
            (Scalar::Null, _) => Ok(None),
            (Scalar::Other, _) => Err(format!("no {what}: field `{name}` is neither text nor a number")),
            (kind @ (Scalar::Text | Scalar::Number), Ok(text)) => Ok(Some((kind, text))),
            _ => Err(format!(
                "no {what}: field `{name}` has half of a surrogate pair in it, which is no text"
            )),
        }
    }

    fn required<'b>(&self, path: usize, what: &str, scratch: &'b mut Vec<u8>) -> Result<&'b str, String> {
        match self.read(path, what, scratch)? {
            Some((_, text)) => Ok(text),
            None => Err(format!("no {what}: field `{}` is missing or null", self.names[path])),
        }
    }
}

/// What an index name is made from, of one record.
struct NameParts<'a> {
    values: &'a Values<'a>,
    origin: &'a Origin,
    timestamp: Option<usize>,
    index_fields: &'a [usize],
    scratch: &'a mut Vec<u8>,
}

impl NameValues for NameParts<'_> {
    fn day(&mut self) -> Result<Day, String> {
        let path = self.timestamp.expect("an index name with a date has a path for it");
        let name = &self.values.names[path];
        let day = match self.values.read(path, "index name", self.scratch)? {
            Some((Scalar::Number, number)) => dates::day_of_number(number),
            Some((_, text)) => dates::day_of_text(text),
            None => return Err(format!("no index name: field `{name}` is missing or null")),
        };
        day.ok_or_else(|| {
            format!("no index name: field `{name}` is neither RFC 3339 text nor seconds or milliseconds since 1970")
        })
    }

    fn field(&mut self, number: usize) -> Result<Option<&str>, String> {
        let value = self
            .values
            .read(self.index_fields[number], "index name", self.scratch)?;
        Ok(value.map(|(_, text)| text))
    }

    fn partition(&self) -> &BTreeMap<String, String> {
        &self.origin.partition
    }
}
