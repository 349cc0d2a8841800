//! The one progress line that long work shows on a terminal. In a pipe there is none.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _},
    sync::{LazyLock, Mutex},
    time::Duration,
};

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

/// How often the line is drawn at most.
pub const REDRAW_EVERY: Duration = Duration::from_millis(200);

/// The line on screen, so that whoever writes to the terminal can ask for it to be taken away meanwhile.
static ON_SCREEN: LazyLock<Mutex<Option<ProgressBar>>> = LazyLock::new(|| Mutex::new(None));

/// Runs `write` while no progress line is on the screen.
pub fn suspend<R>(write: impl FnOnce() -> R) -> R {
    let bar = ON_SCREEN.lock().map(|bar| bar.clone()).unwrap_or_default();
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// What the line tells, all counted from the start of the work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Decompressed bytes read.
    pub bytes: u64,
    /// Records read.
    pub records: u64,
    /// Objects done.
    pub objects_done: u64,
    /// Objects known of so far.
    pub objects_total: u64,
    /// Whether `objects_total` can still grow.
    pub total_is_final: bool,
}

/// A progress line on standard error; removed when dropped.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
}

impl Progress {
    /// A line if standard error is a terminal, else one that never shows. The clock starts now.
    pub fn on_terminal() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner:.cyan} {msg}").expect("the template is a constant");
            bar.set_style(style);
            bar
        });
        if let Ok(mut on_screen) = ON_SCREEN.lock() {
            on_screen.clone_from(&bar);
        }
        Self {
            bar,
            started: Instant::now(),
        }
    }

    /// Whether anybody sees it.
    pub fn is_shown(&self) -> bool {
        self.bar.is_some()
    }

    /// Draws the line anew.
    pub fn show(&self, now: Snapshot) {
        if let Some(bar) = &self.bar {
            bar.set_message(line(now, self.started.elapsed()));
            bar.tick();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if let Ok(mut on_screen) = ON_SCREEN.lock() {
            *on_screen = None;
        }
    }
}

/// The text of the line.
fn line(now: Snapshot, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let mut text = format!(
        "{}/s  {} records/s  {}/{} objects",
        HumanBytes((now.bytes as f64 / seconds) as u64),
        HumanCount((now.records as f64 / seconds) as u64),
        HumanCount(now.objects_done),
        HumanCount(now.objects_total),
    );
    if !now.total_is_final {
        text.push('+');
    } else if now.objects_done > 0 && now.objects_done < now.objects_total {
        let left = (now.objects_total - now.objects_done) as f64 / now.objects_done as f64 * seconds;
        write!(text, "  {} left", HumanDuration(Duration::from_secs_f64(left))).expect("writing to a string");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_rates_and_what_is_left_once_the_total_is_known() {
        let half = Snapshot {
            bytes: 20 << 20,
            records: 50_000,
            objects_done: 5,
            objects_total: 10,
            total_is_final: true,
        };
        assert_eq!(
            line(half, Duration::from_secs(10)),
            "2.00 MiB/s  5,000 records/s  5/10 objects  10 seconds left"
        );
        let open = Snapshot {
            total_is_final: false,
            ..half
        };
        assert_eq!(
            line(open, Duration::from_secs(10)),
            "2.00 MiB/s  5,000 records/s  5/10 objects+"
        );
    }

    #[test]
    fn nothing_done_yet_promises_no_end() {
        let fresh = Snapshot {
            objects_total: 3,
            total_is_final: true,
            ..Snapshot::default()
        };
        assert_eq!(line(fresh, Duration::ZERO), "0 B/s  0 records/s  0/3 objects");
    }
}
