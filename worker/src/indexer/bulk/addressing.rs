//! Where documents are to be put, and by which name: the part of the plan that an action line is made from.

use super::index_name::IndexName;
use crate::predicate::FieldPath;

/// How documents are addressed.
#[derive(Debug, Clone)]
pub struct Addressing {
    /// What is done with a document.
    pub operation: Operation,
    /// Where its `_id` comes from.
    pub id: IdMode,
    /// The index or data stream.
    pub index: IndexName,
    /// The field whose value decides the shard; Elasticsearch goes by the `_id` if there is none.
    pub routing: Option<FieldPath>,
    /// The field whose date an index name with a date is made from.
    pub timestamp: FieldPath,
    /// Fields that are not to be in documents.
    pub left_out: Vec<FieldPath>,
    /// A larger document is refused: alone it is more than the largest request that there may be.
    pub document_bytes_max: usize,
}

/// What is done with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It is put there if its `_id` is new.
    Create,
    /// It takes the place of a document with its `_id`.
    Index,
}

impl Addressing {
    /// The fields that addresses are read from, each once.
    pub fn fields(&self) -> Vec<&FieldPath> {
        let id = match &self.id {
            IdMode::Field(path) => Some(path),
            IdMode::Deterministic | IdMode::Auto => None,
        };
        let timestamp = self.index.has_date().then_some(&self.timestamp);
        let mut fields: Vec<&FieldPath> = Vec::new();
        for field in id
            .into_iter()
            .chain(&self.routing)
            .chain(timestamp)
            .chain(self.index.fields())
        {
            if !fields.contains(&field) {
                fields.push(field);
            }
        }
        fields
    }

    /// Leaves fields out of documents: those that are asked for; those that addresses are read from and that are not among
    /// the columns; and those that no document may have, since their names are those of its metadata.
    pub fn leave_out(&mut self, asked_for: &[FieldPath], columns: Option<&[FieldPath]>) {
        let mut left_out = asked_for.to_vec();
        for field in self.fields() {
            let is_wanted = columns.is_none_or(|columns| columns.iter().any(|column| field.0.starts_with(&column.0)));
            if !is_wanted {
                left_out.push(field.clone());
            }
            if let Some(root) = field.0.first()
                && METADATA.contains(&root.as_str())
            {
                left_out.push(FieldPath(vec![root.clone()]));
                left_out.push(field.clone());
            }
        }
        self.left_out = left_out;
    }
}

/// Names that a document may not have at its top ("Metadata fields", Elasticsearch reference).
const METADATA: [&str; 8] = [
    "_id",
    "_index",
    "_routing",
    "_source",
    "_version",
    "_seq_no",
    "_field_names",
    "_ignored",
];

impl Operation {
    /// Its name on an action line, and in the answer to it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Index => "index",
        }
    }
}

/// What becomes of a record whose `_id`, a value of its own, another record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// It is a dead letter.
    DeadLetter,
    /// What is there stays, and the record counts as a duplicate.
    Keep,
    /// It takes the place of what is there.
    Replace,
}

/// Where the `_id` of a document comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdMode {
    /// The object and the record's place in it: the same in every delivery.
    Deterministic,
    /// Elasticsearch makes one up: what is delivered twice is there twice.
    Auto,
    /// The value of a field, text or a number as it is written.
    Field(FieldPath),
}
