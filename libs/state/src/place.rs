//! Where documents lie: the seam between the state directory and what keeps its bytes.
//!
//! - A document is put whole or not at all, and whoever reads it afterwards, anywhere, sees it.
//! - [`Place::create`] has one winner among all who try a name at the same time.
//! - A listing shows every document that was put before it began, in the order of the names' bytes.
//!
//! [`Objects`] is an S3 prefix or a folder, [`Memory`] is for tests and simulations.

mod memory;
mod objects;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use pf_storage::Result;

pub use self::{memory::Memory, objects::Objects};

/// A page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Names as they were put, in the order of their bytes.
    pub names: Vec<String>,
    /// Whether there are no more behind the last one.
    pub is_last: bool,
}

/// A keeper of small documents by name. Names are relative, parts joined by `/`.
#[async_trait]
pub trait Place: fmt::Debug + Send + Sync {
    /// What is known of `name` for a person: its full address.
    fn address(&self, name: &str) -> String;

    /// The whole document, if it is there.
    async fn get(&self, name: &str) -> Result<Option<Bytes>>;

    /// Puts a document, in place of an older one of that name.
    async fn put(&self, name: &str, bytes: Bytes) -> Result<()>;

    /// Puts a document unless there is one of that name: then nothing changes, and it says false. After a lost answer
    /// that was tried again, false may mean our own document: compare.
    async fn create(&self, name: &str, bytes: Bytes) -> Result<bool>;

    /// Takes a document away; one that isn't there is no error.
    async fn delete(&self, name: &str) -> Result<()>;

    /// Names that begin with `prefix`, behind `after` if given. A page that isn't the last has at least one name.
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Names>;
}
