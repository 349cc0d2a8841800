//! Objects behind a URI: list them, read ranges of them, store and delete small ones. `s3://bucket/key` and `file:///path` behave alike.
//!
//! The room knows nothing of records, formats or work items. It alone knows the S3 SDK.
//!
//! `store` is the front door, `backend` the seam behind it, `file` and `s3` the two schemes, and `contract` the suite that
//! both pass. What a broken connection, a changed object or a slow server means is decided in `read` and `s3`.

mod backend;
pub mod budget;
pub mod contract;
pub mod error;
mod file;
pub mod list;
mod order;
pub mod patience;
pub mod read;
mod s3;
pub mod store;
mod trouble;
pub mod uri;

pub use budget::Budget;
pub use error::{Error, Reach, Result};
pub use list::{ListPage, ListRequest, ObjectMeta};
pub use patience::Patience;
pub use read::ByteStream;
pub use store::{Options, PutMode, Storage};
pub use uri::ObjectUri;
