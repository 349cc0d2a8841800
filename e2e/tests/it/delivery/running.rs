//! A worker that runs while a test looks at its metrics port, and is then stopped or killed.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread::sleep,
    time::{Duration, Instant},
};

/// No test waits longer for something that is to happen.
const WAIT_MAX: Duration = Duration::from_mins(30);

/// How long it is before it is looked again.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A worker under way. Dropped, it is killed.
pub(crate) struct Running {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Running {
    /// Starts the worker; what it says goes into a file of this name in the folder.
    pub(crate) fn start(mut worker: Command, folder: &Path, name: &str) -> Self {
        let address = pf_e2e::free_address();
        let log = folder.join(name);
        worker.args(["--metrics-addr", &address.to_string()]);
        worker.stderr(File::create(&log).unwrap());
        Self {
            child: worker.spawn().unwrap(),
            address,
            log,
        }
    }

    /// Where it serves its metrics.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it serves to Prometheus; nothing while it does not serve yet, or no more.
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics(pf_e2e::ask(self.address, "/metrics").unwrap_or_default())
    }

    /// Waits until its metrics are as wanted, and returns them.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, is_wanted: impl Fn(&Metrics) -> bool) -> Metrics {
        let metrics = self.wait_for_or_end(is_wanted);
        metrics.unwrap_or_else(|| panic!("it ended before: {}", self.said()))
    }

    /// The same; nothing if it ends before.
    #[track_caller]
    pub(crate) fn wait_for_or_end(&mut self, is_wanted: impl Fn(&Metrics) -> bool) -> Option<Metrics> {
        let started = Instant::now();
        loop {
            let metrics = self.metrics();
            if is_wanted(&metrics) {
                return Some(metrics);
            }
            if self.child.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(started.elapsed() < WAIT_MAX, "{}: {}", metrics.0, self.said());
            sleep(LOOK_EVERY);
        }
    }

    /// Waits until so many items are settled for good, as far as it knows.
    #[track_caller]
    pub(crate) fn wait_until_settled(&mut self, items: u64) -> Metrics {
        self.wait_for(|metrics| {
            let settled = ["pf_items_completed_total", "pf_items_failed_total"];
            settled.map(|name| metrics.sum(name)).iter().sum::<u64>() >= items && metrics.sum("pf_leases_held") == 0
        })
    }

    /// Asks it to stop, waits for its end, and returns its exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(asked.unwrap().success());
        self.child.wait().unwrap().code()
    }

    /// Waits for its end, and returns its exit code.
    pub(crate) fn end(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Kills it without a word.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it has said.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Metrics in Prometheus' text format.
pub(crate) struct Metrics(pub(crate) String);

impl Metrics {
    /// The sum over all series of a metric, whatever their labels.
    pub(crate) fn sum(&self, name: &str) -> u64 {
        let series = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = match rest.strip_prefix('{') {
                Some(labels) => labels.split_once("} ")?.1,
                None => rest.strip_prefix(' ')?,
            };
            Some(number(value))
        });
        series.sum()
    }

    /// One series, as `name{label="value"}`.
    #[track_caller]
    pub(crate) fn of(&self, series: &str) -> u64 {
        let mut lines = self.0.lines();
        let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("there is no {series} in {}", self.0));
        number(value)
    }
}

/// All that tests look at are whole numbers.
fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}
