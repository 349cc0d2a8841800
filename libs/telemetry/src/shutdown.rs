//! How a program is asked to stop: the first SIGINT or SIGTERM asks for a drain, the second for an end at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The wish to stop, shared by all who work. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    abort: CancellationToken,
    asked_by_signal: Arc<AtomicBool>,
}

impl Shutdown {
    /// Nobody asked yet, and no signal is listened to: for tests, and for work that ends by itself.
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens to SIGINT and SIGTERM from now on. Must be called within a tokio runtime.
    pub fn on_signals() -> std::io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let shutdown = Self::new();
        let told = shutdown.clone();
        // Ends with the runtime: signals can come until the last moment.
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if told.drain.is_cancelled() {
                    told.abort.cancel();
                } else {
                    told.asked_by_signal.store(true, Ordering::Relaxed);
                    tracing::info!("asked to stop: finishing what is being written (ask again to stop at once)");
                    told.drain.cancel();
                }
            }
        });
        Ok(shutdown)
    }

    /// Asks for a drain, as the first signal does.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Whether somebody asked for a drain.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Whether it was a signal that asked.
    pub fn was_signalled(&self) -> bool {
        self.asked_by_signal.load(Ordering::Relaxed)
    }

    /// Waits until somebody asks for a drain.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Waits until somebody asks a second time.
    pub async fn aborted(&self) {
        self.abort.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_reaches_every_clone() {
        let shutdown = Shutdown::new();
        let clone = shutdown.clone();
        assert!(!clone.is_draining());
        shutdown.drain();
        clone.draining().await;
        assert!(clone.is_draining() && !clone.was_signalled());
    }
}
