//! What ends a worker before its work does, and who must know.

use std::sync::{Mutex, MutexGuard};

use pf_telemetry::Shutdown;

/// Why a worker takes no more work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The reader of standard output has gone.
    OutputClosed,
    /// Something failed that isn't an item's fault.
    Failed {
        /// What, in words.
        reason: String,
    },
    /// Somebody refuses us, and would with every other item too.
    Refused {
        /// Who, and what they said.
        reason: String,
    },
    /// More records are rejected than may be.
    ErrorBudgetSpent {
        /// The numbers, in words.
        reason: String,
    },
}

/// The end of a worker, shared by all who may bring it about.
#[derive(Debug)]
pub struct Ending {
    shutdown: Shutdown,
    cause: Mutex<Option<Cause>>,
}

impl Ending {
    /// Nothing has ended yet; `shutdown` is asked to drain when something does.
    pub fn new(shutdown: Shutdown) -> Self {
        Self {
            shutdown,
            cause: Mutex::default(),
        }
    }

    /// Stops taking work. The first cause stands.
    pub fn stop(&self, cause: Cause) {
        self.lock().get_or_insert(cause);
        self.shutdown.drain();
    }

    /// Why, if something did.
    pub fn cause(&self) -> Option<Cause> {
        self.lock().clone()
    }

    /// The wish to stop, whoever has it.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    fn lock(&self) -> MutexGuard<'_, Option<Cause>> {
        self.cause.lock().expect("no one panics while noting the end")
    }
}
