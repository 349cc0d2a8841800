//! The state directory: what a job has to remember beyond the life of its programs.
//!
//! The discoverer writes the [`manifest`] before it offers items; workers write the [`ledger`] before they acknowledge
//! them, [`dead_letters`] before that, and [`checkpoints`] when they give an item back half done. Who asks whether a job
//! is done compares ledger and manifest, and needs nobody else.
//!
//! Every document is whole or not there at all, because a put is atomic in each [`place`]; so a crash between any two
//! writes leaves a state that can be read. Nothing here knows queues, and nothing here may hold a secret.
//!
//! ```text
//! <root>/<job>/plan.json                          what the discoverer was asked to list
//!              manifest/<first seq>.ndjson.zst    work items in order; the last one seals the manifest
//!              offered.json                       items below this number are in the queue, or were
//!              ledger/<worker>-<n>.ndjson.zst     settled items
//!              checkpoints/<seq>.json             how far an item was read
//!              dead-letters/<worker>-<n>.ndjson.zst   records that were given up
//! ```

pub mod checkpoints;
pub mod dead_letters;
pub mod error;
mod growing;
pub mod ledger;
pub mod manifest;
mod part;
pub mod place;
mod state_dir;

pub use checkpoints::Checkpoints;
pub use dead_letters::{DeadLetterWriter, RecordDeadLetter, Stage};
pub use error::{Error, Result};
pub use ledger::{Ledger, LedgerWriter, Outcome, Settled};
pub use manifest::{ManifestReader, ManifestWriter, Seal};
pub use place::Place;
pub use state_dir::StateDir;
