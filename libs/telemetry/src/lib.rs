//! What every program says about itself: logs, metrics, health, the progress line, reports, and how it is asked to stop.
//!
//! Everything here goes to standard error or to the metrics port. Standard output belongs to the data, and to a report where
//! there is none; a report is only made here.

pub mod logs;
pub mod metrics;
pub mod progress;
pub mod report;
pub mod server;
pub mod shutdown;

pub use progress::Progress;
pub use server::Health;
pub use shutdown::Shutdown;
