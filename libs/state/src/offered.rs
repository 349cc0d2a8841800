//! Up to where items were offered, so that a restart does not offer all of them again.
//!
//! Each mark has a name of its own and the highest counts: a put that comes late can't turn it back.

use serde::{Deserialize, Serialize};

use crate::{
    Result, StateDir,
    part::{VERSION, damaged, document},
};

const FOLDER: &str = "offered/";

#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    v: u32,
    job: String,
    offered: u64,
}

impl StateDir {
    /// Notes that items below `seq` are in the queue, so that a restart does not offer them again.
    pub async fn set_offered(&self, seq: u64) -> Result<()> {
        let before = self.names(FOLDER).await?;
        let mark = Mark {
            v: VERSION,
            job: self.job().to_owned(),
            offered: seq,
        };
        let bytes = serde_json::to_vec(&mark).expect("strings and numbers are always JSON");
        let name = format!("{FOLDER}{seq:020}.json");
        // That it is there already says the same.
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

    /// Items below this number were offered; some behind it may have been too.
    pub async fn offered(&self) -> Result<u64> {
        let Some(last) = self.names(FOLDER).await?.pop() else {
            return Ok(0);
        };
        let address = self.place().address(&last);
        let bytes = self.place().get(&last).await?;
        let bytes = bytes.ok_or_else(|| damaged(&address, "it went away while it was read"))?;
        let mark: Mark = document(&address, &bytes)?;
        Ok(mark.offered)
    }
}
