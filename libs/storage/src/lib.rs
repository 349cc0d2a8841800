//! Objects behind a URI: list them, read ranges of them. `s3://bucket/key` and `file:///path` behave alike.
//!
//! The room knows nothing of records, formats or work items. It alone knows the S3 SDK.

pub mod error;
pub mod list;
pub mod read;
pub mod store;
pub mod uri;

pub use error::{Error, Result};
pub use list::{ListPage, ListRequest, ObjectMeta};
pub use read::ByteStream;
pub use store::{Options, Storage};
pub use uri::ObjectUri;
