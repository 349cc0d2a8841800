//! A lane that reads simulated objects: what `worker/src/lane.rs` does, with objects whose reading fails, hangs or ends the worker.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use pf_state::Stage;
use pf_telemetry::Shutdown;
use pf_work::settle::{Flaw, Outcome as Happened};
use pf_worker::{
    delivery::{Keeper, Leased, Letters, Weather, leasing::Taken},
    indexer::{bulk::Origin, sending::Sending},
};
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc::Receiver},
    time::sleep,
};

use super::{
    faults::Link,
    objects::{Nature, Object, Read},
    outages::{Outages, What},
};

/// A lane that reads simulated objects.
#[derive(Clone)]
pub(super) struct Lane {
    pub(super) objects: Arc<Vec<Object>>,
    pub(super) letters: Letters,
    pub(super) shutdown: Shutdown,
    pub(super) link: Link,
    pub(super) outages: Outages,
    pub(super) weather: Arc<Weather>,
    pub(super) storms: Arc<AtomicU64>,
    pub(super) alone: Arc<AtomicU64>,
    pub(super) keeper: Arc<Keeper>,
    pub(super) slowest_read: Duration,
    pub(super) read_failures_permille: u32,
}

impl Lane {
    pub(super) async fn run(self, work: Arc<AsyncMutex<Receiver<Taken>>>, mut sending: Sending) {
        loop {
            let next = match work.try_lock() {
                Ok(mut work) => work.try_recv().ok(),
                Err(_) => None,
            };
            let next = if next.is_some() {
                next
            } else {
                sending.flush().await;
                work.lock().await.recv().await
            };
            let Some(Taken { leased, checkpoint }) = next else {
                break;
            };
            if self.weather.is_stormy() {
                self.storms.fetch_add(1, Ordering::Relaxed);
                sending.flush().await;
                tokio::select! {
                    () = self.weather.turn() => {}
                    () = self.shutdown.draining() => {}
                }
            }
            if self.shutdown.is_draining() {
                drop(leased);
                continue;
            }
            if let Some(stopped) = leased.tracked().stopped() {
                leased.end(stopped);
                continue;
            }
            if leased.is_suspect() {
                assert_eq!(self.keeper.held_count(), 1, "what may end its worker is read alone");
                self.alone.fetch_add(1, Ordering::Relaxed);
            }
            let object = &self.objects[leased.tracked().item().seq as usize];
            let from = match checkpoint.map(|checkpoint| checkpoint.position) {
                Some(pf_work::checkpoint::Position::Byte { offset }) => object.line_at(offset),
                _ => 0,
            };
            let outcome = self.read(object, from, &leased, &mut sending).await;
            leased.end(outcome);
        }
        sending.finish().await;
    }

    async fn read(&self, object: &Object, mut from: usize, leased: &Leased, sending: &mut Sending) -> Happened {
        let origin = Origin::new(leased.tracked().item());
        loop {
            sleep(Duration::from_millis(
                self.link.roll(self.slowest_read.as_millis() as u32 + 1).into(),
            ))
            .await;
            self.link.alive().await;
            if object.nature == Nature::Killer {
                self.link.kill();
                self.link.alive().await;
            }
            let is_out_of_reach =
                self.outages.is_out_of_reach(What::Storage).await || object.nature == Nature::Unreadable;
            if is_out_of_reach || self.link.roll(1000) < self.read_failures_permille {
                return Happened::Unavailable {
                    reason: "simulated".to_owned(),
                };
            }
            let count = 1 + self.link.roll(8) as usize;
            let Some(read) = object.read(from, count) else {
                return match object.broken_at {
                    Some(_) => Happened::Broken {
                        flaw: Flaw::Corrupt,
                        reason: "corrupt: simulated".to_owned(),
                    },
                    None => Happened::Finished,
                };
            };
            let Read {
                batch,
                rejects,
                counts,
                position,
            } = read;
            from += counts.records_in as usize;
            let hold = leased.step(counts, Some(position));
            if !rejects.is_empty() {
                self.letters.keep(hold.another(), Stage::Decode, rejects).await;
            }
            sending.write(&origin, &batch, hold).await.unwrap();
            if let Some(outcome) = leased.tracked().stopped() {
                return outcome;
            }
            if self.shutdown.is_draining() {
                return Happened::Interrupted;
            }
        }
    }
}
