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

impl Operation {
    /// Its name on an action line, and in the answer to it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Index => "index",
        }
    }
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
