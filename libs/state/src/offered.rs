//! Up to where items were offered, and to which queue, so that a restart does not offer all of them again. What was offered to
//! another queue may be gone with it.
//!
//! Each mark has a name of its own and the highest counts: a put that comes late can't turn it back.

use serde::{Deserialize, Serialize};

use crate::{
    Result, StateDir,
    part::{VERSION, document},
};

const FOLDER: &str = "offered/";

#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    v: u32,
    job: String,
    /// Books of before have none: what they say is of no queue that is known.
    #[serde(default)]
    queue: String,
    offered: u64,
}

impl StateDir {
    /// Notes that items below `seq` are in the queue at this URL, so that a restart does not offer them to it again.
    pub async fn set_offered(&self, queue: &str, seq: u64) -> Result<()> {
        let before = self.names(FOLDER).await?;
        let mark = Mark {
            v: VERSION,
            job: self.job().to_owned(),
            queue: queue.to_owned(),
            offered: seq,
        };
        let bytes = serde_json::to_vec(&mark).expect("strings and numbers are always JSON");
        let name = format!("{FOLDER}{seq:020}-{:016x}.json", fastrand::u64(..));
        self.place().create(&name, bytes.into()).await?;
        // The last one stays beside the new one, for whoever lists them just now.
        for old in before.iter().rev().skip(1).filter(|old| **old < name) {
            if let Err(error) = self.place().delete(old).await {
                // The highest counts, whatever else is there.
                tracing::debug!("{} stays: {error}", self.place().address(old));
            }
        }
        Ok(())
    }

    /// Items below this number were offered to the queue at this URL; some behind it may have been too.
    pub async fn offered(&self, queue: &str) -> Result<u64> {
        for name in self.names(FOLDER).await?.iter().rev() {
            let address = self.place().address(name);
            // Whoever marks more takes older marks away.
            let Some(bytes) = self.place().get(name).await? else {
                continue;
            };
            let mark: Mark = document(&address, &bytes)?;
            if mark.queue == queue {
                return Ok(mark.offered);
            }
        }
        Ok(0)
    }
}
