//! The state directory: what a job has to remember beyond the life of its programs.
//!
//! The discoverer writes the [`manifest`] before it offers items; workers write the [`ledger`] before they acknowledge
//! them, [`dead_letters`] before that, and [`checkpoints`] when they give an item back half done. Who asks whether a job
//! is done compares ledger and manifest, and needs nobody else.
//!
//! Every document is whole or not there at all, because a put is atomic in each [`place`]; so a crash between any two
//! writes leaves a state that can be read. Every name but a checkpoint's is used once, so that a write which comes late adds
//! nothing and takes nothing away. Nothing here knows queues, and nothing here may hold a secret.
//!
//! ```text
//! <root>/<job>/plan.json                          whose the books are, and what is to arrive
//!              owners/<n>.json                    who took them over
//!              delivery.json                      what the first worker makes of records
//!              creates.json                       what was created to see that creating has one winner
//!              manifest/<first seq>.ndjson.zst    work items in order; the last one seals the manifest
//!              manifest/<first seq>.r<n>.ndjson.zst   what the n-th listing found beyond the ones before, sealed likewise
//!              offered/<seq>-<random>.json        items below this number are in the queue that it names, or were
//!              ledger/<worker>-<n>.g<m>.ndjson.zst    settled items
//!              checkpoints/<seq>.json             how far an item was read
//!              dead-letters/<worker>-<n>.g<m>.ndjson.zst  records that were given up
//! ```

pub mod books;
pub mod checkpoints;
pub mod dead_letters;
pub mod delivery;
pub mod error;
mod growing;
pub mod ledger;
pub mod manifest;
mod offered;
mod part;
pub mod place;
mod returns;
mod state_dir;

pub use books::{Books, Claim, Life};
pub use checkpoints::Checkpoints;
pub use dead_letters::{DeadLetterWriter, RecordDeadLetter, Stage};
pub use delivery::Delivery;
pub use error::{Error, Result};
pub use ledger::{Ledger, LedgerReader, LedgerWriter, Outcome, Settled};
pub use manifest::{ManifestReader, ManifestWriter, Seal};
pub use place::Place;
pub use state_dir::StateDir;
