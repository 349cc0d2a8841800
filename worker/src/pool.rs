//! The lanes of a worker: threads of their own, because what they do is work and not waiting.

use std::sync::{Mutex, TryLockError};

use anyhow::Context as _;
use tokio::{
    runtime::Handle,
    sync::mpsc::{Receiver, error::TryRecvError},
};

use crate::lane::{Lane, Shared, Work};

/// Stack of a lane's thread: nested records and schemas are walked by recursion, up to their limits.
const STACK_BYTES: usize = 8 << 20;

/// Runs `threads` lanes until no more work comes. Blocks; `runtime` does the waiting.
pub fn run(threads: usize, shared: &Shared, runtime: &Handle, work: Receiver<Work>) -> anyhow::Result<()> {
    let work = Mutex::new(work);
    let lanes = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(STACK_BYTES)
        .thread_name(|number| format!("lane-{number}"))
        .build()
        .context("cannot start the lanes' threads")?;
    lanes.in_place_scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|_| {
                let mut lane = Lane::new(shared, runtime.clone());
                while let Some(work) = next(&work, &mut lane) {
                    lane.process(work);
                }
                lane.finish();
            });
        }
    });
    Ok(())
}

/// The next item. Before a lane waits for one, it sends what it has gathered, for somebody may wait for that.
fn next(work: &Mutex<Receiver<Work>>, lane: &mut Lane<'_>) -> Option<Work> {
    match work.try_lock() {
        Ok(mut work) => match work.try_recv() {
            Ok(work) => return Some(work),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => {}
        },
        // Whoever has the lock waits for work: there is none.
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Poisoned(_)) => return None,
    }
    lane.flush();
    work.lock().expect("no lane panics while it waits").blocking_recv()
}
