//! What is logged as a warning while a test runs.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use tracing_subscriber::fmt::MakeWriter;

/// The warnings of this test's thread, on which its runtime runs.
pub(crate) struct Warnings {
    written: Written,
    _guard: tracing::subscriber::DefaultGuard,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Warnings {
    pub(crate) fn of_this_test() -> Self {
        let written = Written::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .with_writer(written.clone())
            .finish();
        Self {
            written,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    /// The storage's own so far, which are then forgotten.
    pub(crate) fn taken(&self) -> Vec<String> {
        let written = std::mem::take(&mut *self.written.0.lock().unwrap());
        let text = String::from_utf8(written).unwrap();
        text.lines()
            .filter(|line| line.contains(" pf_storage"))
            .map(str::to_owned)
            .collect()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Written {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
