//! The front door: one job's folder in a state directory.

use std::{fmt::Write as _, sync::Arc};

use futures::{StreamExt as _, stream::BoxStream};
use pf_storage::{ObjectUri, Storage};
use serde::de::DeserializeOwned;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::{
    Error, Place, Result, growing,
    part::{Part, damaged},
    place::{Memory, Objects},
};

/// Documents that are fetched ahead of their reader.
const FETCHES_MAX: usize = 8;

/// One job's documents. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StateDir {
    place: Arc<dyn Place>,
    job: String,
}

impl StateDir {
    /// The folder of `job` below `root`, an S3 prefix or a folder of this machine, with or without its last slash. Nothing
    /// is contacted before the first call, and nothing has to be made first.
    pub fn new(storage: Storage, root: &ObjectUri, job: &str) -> Self {
        Self::at(Arc::new(Objects::new(storage, Self::folder(root, job))), job)
    }

    /// Where the documents of `job` are, below `root`.
    pub fn folder(root: &ObjectUri, job: &str) -> ObjectUri {
        let key = root.key();
        let slash = if key.is_empty() || key.ends_with('/') { "" } else { "/" };
        root.with_key(format!("{key}{slash}{}/", file_name(job)))
    }

    /// A job's documents in memory.
    pub fn in_memory(memory: Arc<Memory>, job: &str) -> Self {
        Self::at(memory, job)
    }

    /// A job's documents in a place that is its own.
    pub fn at(place: Arc<dyn Place>, job: &str) -> Self {
        Self {
            place,
            job: job.to_owned(),
        }
    }

    /// The job.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// Where the job's documents are, for messages.
    pub fn address(&self) -> String {
        self.place.address("")
    }

    pub(crate) fn place(&self) -> &dyn Place {
        &*self.place
    }

    pub(crate) fn place_shared(&self) -> Arc<dyn Place> {
        Arc::clone(&self.place)
    }

    /// Every name that begins with `prefix`.
    pub(crate) async fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let page = self.place.list(prefix, names.last().map(String::as_str)).await?;
            for name in page.names {
                match names.last() {
                    Some(last) if *last >= name => {
                        return Err(Error::OutOfOrder {
                            place: self.address(),
                            name: last.clone(),
                            behind: name,
                        });
                    }
                    _ => names.push(name),
                }
            }
            if page.is_last {
                return Ok(names);
            }
        }
    }

    /// The parts of these names in their order, each given to `read` on a thread where that may take its time. Of a part that
    /// grew and took the place of its forerunner meanwhile, the newer one is read.
    pub(crate) fn parts<About, T, Read>(&self, names: Vec<String>, read: Read) -> BoxStream<'static, Result<T>>
    where
        About: DeserializeOwned + 'static,
        T: Send + 'static,
        Read: Fn(Part<About>) -> Result<T> + Clone + Send + Sync + 'static,
    {
        let place = self.place_shared();
        futures::stream::iter(names)
            .map(move |name| {
                let (place, read) = (Arc::clone(&place), read.clone());
                async move {
                    let (name, bytes) = match place.get(&name).await? {
                        Some(bytes) => (name, bytes),
                        None => growing::successor(&*place, &name)
                            .await?
                            .ok_or_else(|| damaged(&place.address(&name), "it was taken away while it was read"))?,
                    };
                    let address = place.address(&name);
                    computed(move || Part::open(address, bytes).and_then(read)).await
                }
            })
            .buffered(FETCHES_MAX)
            .boxed()
    }
}

/// Runs what may take milliseconds on a thread where that holds up nobody. A runtime of one thread is a simulation's, whose
/// clock stands still meanwhile, and which is to do the same things in the same order each time.
pub(crate) async fn computed<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// `text` as one part of a path: everything but letters, digits and `-._` is percent-encoded, and so are dots that would
/// make it a special name. Different texts never become the same name.
pub(crate) fn file_name(text: &str) -> String {
    let is_special = text.bytes().all(|byte| byte == b'.');
    let mut name = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'.' if is_special => name.push_str("%2E"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => name.push(byte.into()),
            _ => write!(name, "%{byte:02X}").expect("writing to a string does not fail"),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_job_is_one_folder_whatever_its_name() {
        for (job, folder) in [
            ("2024", "2024"),
            ("logs/nginx", "logs%2Fnginx"),
            ("..", "%2E%2E"),
            ("a..b", "a..b"),
            ("é %", "%C3%A9%20%25"),
        ] {
            assert_eq!(file_name(job), folder);
        }
    }

    #[test]
    fn the_root_may_end_in_a_slash_or_not() {
        let address = |root: &str| {
            let root: ObjectUri = root.parse().unwrap();
            StateDir::new(Storage::new(pf_storage::Options::default()), &root, "a/b").address()
        };
        assert_eq!(address("s3://bucket"), "s3://bucket/a%2Fb/");
        assert_eq!(address("s3://bucket/state"), "s3://bucket/state/a%2Fb/");
        assert_eq!(address("file:///var/state/"), "file:///var/state/a%2Fb/");
    }

    proptest! {
        #[test]
        fn different_jobs_have_different_folders(one in any::<String>(), other in any::<String>()) {
            prop_assert_eq!(file_name(&one) == file_name(&other), one == other);
        }
    }
}
