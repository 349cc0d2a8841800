//! Checkpoints: how far an item was read, left by a worker that gives it back for whoever leases it next.

use pf_work::Checkpoint;

use crate::{
    Result, StateDir,
    part::{VERSION, damaged, document},
};

// One version stands for both: a checkpoint is a document of the state directory, and its form is libs/work's.
const _: () = assert!(pf_work::item::VERSION == VERSION);

/// The checkpoints of a job.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    state: StateDir,
}

impl StateDir {
    /// The job's checkpoints.
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints { state: self.clone() }
    }
}

impl Checkpoints {
    /// Puts a checkpoint in place of an older one. It is stored when this returns.
    ///
    /// A worker that lost its lease may come late and put an earlier place than somebody else did: then records are read
    /// once more than needed, and none is lost.
    pub async fn put(&self, checkpoint: &Checkpoint) -> Result<()> {
        let bytes = serde_json::to_vec(checkpoint).expect("strings and numbers are always JSON");
        let place = self.state.place();
        Ok(place.put(&name(checkpoint.seq), bytes.into()).await?)
    }

    /// The checkpoint of an item, if there is one of this version of its object.
    pub async fn get(&self, seq: u64, etag: &str) -> Result<Option<Checkpoint>> {
        let name = name(seq);
        let Some(bytes) = self.state.place().get(&name).await? else {
            return Ok(None);
        };
        let address = self.state.place().address(&name);
        let checkpoint: Checkpoint = document(&address, &bytes)?;
        if checkpoint.seq != seq || checkpoint.job != self.state.job() {
            let Checkpoint { seq, job, .. } = checkpoint;
            return Err(damaged(&address, format!("it is of item {seq} of the job {job}")));
        }
        Ok(Some(checkpoint).filter(|checkpoint| checkpoint.etag == etag))
    }

    /// Takes away the checkpoint of an item that is settled, if there is one.
    pub async fn delete(&self, seq: u64) -> Result<()> {
        Ok(self.state.place().delete(&name(seq)).await?)
    }
}

fn name(seq: u64) -> String {
    format!("checkpoints/{seq:020}.json")
}
