//! How many workers a job has: a pure function of what was seen, and the reason in a sentence.
//!
//! SQS' counters are approximate in both directions and lag by up to a minute, so nothing here believes one reading. What is
//! unknown is never taken for zero. The way up is quick, because waiting work costs time; the way down is slow, because a
//! worker that is stopped hands back what another one then reads again. Nothing here reads a clock or a server: times are
//! durations since some moment that the caller chose and keeps.

mod decide;
mod history;

#[cfg(test)]
mod simulation;

pub use self::{
    decide::{LAG, decide},
    history::{History, Sample},
};

use std::{fmt, time::Duration};

/// How long a queue of tests must have looked empty.
#[cfg(test)]
const IDLE_TEST: Duration = Duration::from_mins(2);

/// How much is in a queue, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Work items that can be leased.
    pub visible: u64,
    /// Work items that are leased.
    pub in_flight: u64,
    /// Work items that can be leased later.
    pub delayed: u64,
}

impl Depth {
    /// All work items that are not settled.
    pub fn backlog(self) -> u64 {
        self.visible + self.in_flight + self.delayed
    }
}

/// What a decision is made of, besides what was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Inputs {
    /// What the queue said; absent: it could not be asked.
    pub depth: Option<Depth>,
    /// How many worker pods are wished for now.
    pub replicas: u32,
    /// How many of them hold work; absent: nobody knows, and as many are taken for busy as there are leases.
    pub busy: Option<u32>,
    /// Whether more work items may come that nobody has counted yet.
    pub discovering: bool,
    /// Whether more workers would not help: the sink takes no more, or workers end as soon as they start.
    pub saturated: bool,
    /// Bytes, as stored, that are still to be read; absent: nobody knows yet how much there is.
    pub bytes_left: Option<u64>,
    /// Bytes that a worker which has work read in a second, lately; absent: nobody knows.
    pub bytes_per_worker: Option<u64>,
}

/// What the job asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// The fewest worker pods while there is work.
    pub min: u32,
    /// The most.
    pub max: u32,
    /// How many work items justify one worker pod; not 0.
    pub items_per_worker: u32,
    /// How long fewer worker pods must be enough before their number goes down.
    pub scale_down_after: Duration,
    /// When all is to be done; absent: there is no hurry. Told on the same clock as readings.
    pub due: Option<Duration>,
    /// Who says how many there are.
    pub mode: Mode,
}

/// Who says how many workers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The scaler.
    Managed,
    /// The job: this many.
    Fixed(u32),
    /// Somebody else, through the job's scale sub-resource; absent: they have not spoken yet.
    External(Option<u32>),
}

impl Default for Wishes {
    /// What the schema has as defaults.
    fn default() -> Self {
        Self {
            min: 0,
            max: 10,
            items_per_worker: 20,
            scale_down_after: Duration::from_mins(2),
            due: None,
            mode: Mode::Managed,
        }
    }
}

/// How many worker pods there are to be, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The number.
    pub replicas: u32,
    /// The reason.
    pub reason: Reason,
}

/// Why there are to be as many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The job says how many.
    Fixed,
    /// Somebody else said how many.
    External,
    /// The queue could not be asked.
    Unknown,
    /// As many as the backlog justifies.
    Backlog {
        /// Work items that are not settled.
        items: u64,
        /// Work items for each worker pod.
        per_worker: u32,
    },
    /// As many as it takes to be done in time.
    Deadline {
        /// How long that is.
        left: Duration,
        /// What has to be read in a second, in bytes.
        bytes_per_second: u64,
    },
    /// The most that the job allows, and that is too few to be done in time.
    TooFew {
        /// How many it would take; absent: it is too late for any number.
        wanted: Option<u32>,
    },
    /// Nobody knows yet how fast a worker is.
    Measuring,
    /// The most that the job allows; the backlog would justify more.
    AtMost {
        /// How many it would justify.
        wanted: u32,
    },
    /// The fewest that the job allows while there is work.
    AtLeast,
    /// On the way up, in bounded steps.
    Growing {
        /// Where to.
        wanted: u32,
    },
    /// Growth would not help.
    Saturated {
        /// How many the backlog would justify.
        wanted: u32,
    },
    /// Fewer would be enough, but not for long enough yet.
    Settling {
        /// How many would be enough.
        wanted: u32,
    },
    /// On the way down, in bounded steps.
    Shrinking {
        /// Where to.
        wanted: u32,
    },
    /// Fewer would be enough, but these hold work.
    Busy {
        /// How many hold work.
        busy: u32,
    },
    /// The queue looks empty, but it has not done so for long enough.
    LooksEmpty,
    /// There is nothing to be done, and nobody who would have to go.
    Idle,
}

impl fmt::Display for Decision {
    /// One sentence without a full stop, for `status.scaling` and events.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.replicas;
        let workers = if n == 1 { "worker" } else { "workers" };
        match self.reason {
            Reason::Fixed => write!(f, "{n} {workers}, as spec.workers.replicas says"),
            Reason::External => write!(
                f,
                "{n} {workers}, as was set through the scale sub-resource (spec.workers.scaling.mode is External)"
            ),
            Reason::Deadline { left, bytes_per_second } => write!(
                f,
                "{n} {workers} to read {}/s and be done in {}",
                Bytes(bytes_per_second),
                Minutes(left)
            ),
            Reason::TooFew { wanted: Some(wanted) } => write!(
                f,
                "{n} {workers}, the most that spec.workers.max allows; to be done in time it would take {wanted}"
            ),
            Reason::TooFew { wanted: None } => write!(
                f,
                "{n} {workers}, the most that spec.workers.max allows; the time by which all was to be done has come"
            ),
            Reason::Measuring => write!(f, "{n} {workers} until it is known how fast one is"),
            Reason::Unknown => write!(f, "{n} {workers} as before: the queue could not be asked for its depth"),
            Reason::Backlog { items, per_worker } => {
                write!(f, "{n} {workers} for {items} work items, up to {per_worker} each")
            }
            Reason::AtMost { wanted } => {
                write!(
                    f,
                    "{n} {workers}, the most that spec.workers.max allows; the backlog would justify {wanted}"
                )
            }
            Reason::AtLeast => write!(
                f,
                "{n} {workers}, the fewest that spec.workers.min allows while there is work"
            ),
            Reason::Growing { wanted } => write!(f, "{n} {workers} on the way to {wanted}, in bounded steps"),
            Reason::Saturated { wanted } => {
                write!(
                    f,
                    "{n} {workers} as before: more than these would not help, though the backlog would justify {wanted}"
                )
            }
            Reason::Settling { wanted } => write!(
                f,
                "{n} {workers}; {wanted} would be enough, but not for long enough yet"
            ),
            Reason::Shrinking { wanted } => write!(f, "{n} {workers} on the way down to {wanted}, in bounded steps"),
            Reason::Busy { busy } => write!(f, "{n} {workers}: fewer would be enough, but {busy} hold work"),
            Reason::LooksEmpty => write!(f, "{n} {workers}; the queue looks empty, but not for long enough yet"),
            Reason::Idle => write!(f, "{n} {workers}: there is nothing to be done"),
        }
    }
}

/// A number of bytes, for a person.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ ..10_000 => write!(f, "{bytes} B"),
            bytes @ 10_000..10_000_000 => write!(f, "{} kB", bytes / 1_000),
            bytes => write!(f, "{} MB", bytes / 1_000_000),
        }
    }
}

/// A time that is not told to the second, so that it is not another one at each look.
struct Minutes(Duration);

impl fmt::Display for Minutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.0.as_secs().div_ceil(60);
        match minutes {
            ..120 => write!(f, "{minutes} min"),
            _ => write!(f, "{} h", minutes.div_ceil(60)),
        }
    }
}
