//! Delivery: what happens to a leased item between its lease and its acknowledgement, so that nothing is lost in between.
//!
//! ```text
//! leasing ──▶ lane: reads a batch ──▶ step of the item's track, held by
//!    │                                 ├─ the lane, until all of the batch is on its way
//!    │ keeper extends every lease      ├─ each bulk that has documents of it, until the sink has them
//!    │                                 └─ the store of dead letters, until its rejected records are kept
//!    ▼                                                │ the last hold is gone, and reading has ended
//! settler ◀───────────────────────────────────────────┘
//!    dead letters are stored already ▶ checkpoint or ledger ▶ complete, release or dead-letter
//! ```
//!
//! The order is the contract: documents are acknowledged by the sink, rejected records are stored, the ledger that names the
//! item is stored, and only then the queue hears of it. A crash between any two repeats work and never loses it.
//!
//! What an item is charged with is its own failure only. `weather` knows of outages, in which nothing is leased and nothing costs
//! anything; `witness` tells an object that fails alone from a storage that is down; an item whose worker died is read alone
//! (`leasing`), so that one that kills its workers kills nobody else's work.
//!
//! Everything here is async and has no thread of its own, so that a simulation under paused time can run it. It must not know
//! how objects are read, nor which queue or sink it has.

pub mod account;
pub mod budget;
pub mod keeper;
pub mod leasing;
pub mod letters;
pub mod settler;
pub mod states;
pub mod track;
pub mod tracked;
pub mod untold;
pub mod weather;
pub mod witness;

pub use account::Account;
pub use budget::ErrorBudget;
pub use keeper::Keeper;
pub use letters::Letters;
pub use settler::Settler;
pub use states::States;
pub use tracked::{Hold, Leased, Tracked};
pub use untold::Untold;
pub use weather::Weather;
pub use witness::Witness;
