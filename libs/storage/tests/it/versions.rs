//! Objects without entity tags: what else tells that they changed, and breaks that are told of.

use std::{fs::File, time::SystemTime};

use futures::TryStreamExt as _;
use pf_e2e::{Fault, FaultProxy, S3};
use pf_storage::{Error, ObjectUri};

use crate::{
    warnings::Warnings,
    worlds::{Bucket, options},
};

const SIZE_BYTES: usize = 400_000;

/// An object that is put on the server's disk behind its back, so that it has no entity tag, behind a proxy.
struct Untagged {
    proxy: FaultProxy,
    bucket: Bucket,
    uri: ObjectUri,
}

impl Untagged {
    fn new() -> Self {
        let proxy = FaultProxy::new(&S3::shared().endpoint());
        let bucket = Bucket::through(options(&proxy.endpoint()));
        let uri = bucket.uri("object");
        let object = Self { proxy, bucket, uri };
        object.write(SIZE_BYTES, 100);
        object
    }

    /// Writes it anew, dated so many seconds after 1970.
    fn write(&self, size_bytes: usize, seconds: u64) {
        let path = S3::shared().folder(&self.bucket.name).join("object");
        std::fs::write(&path, vec![b'x'; size_bytes]).unwrap();
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }

    /// Reads it over a connection that breaks half-way, with `change` made when the first piece is there.
    async fn read(&self, change: impl FnOnce()) -> Result<usize, Error> {
        self.proxy.then([Fault::CutBody { after_bytes: 200_000 }]);
        let mut stream = self.bucket.storage.read(&self.uri, Some(""), 0..SIZE_BYTES as u64);
        let first = stream.try_next().await?.unwrap();
        change();
        let rest: Vec<_> = stream.try_collect().await?;
        Ok(first.len() + rest.concat().len())
    }
}

#[tokio::test]
async fn an_object_without_an_entity_tag_is_resumed_while_its_size_and_time_stay() {
    let object = Untagged::new();
    let warnings = Warnings::of_this_test();
    assert_eq!(object.read(|| {}).await.unwrap(), SIZE_BYTES);
    assert_eq!(object.proxy.requests().len(), 2);
    let warnings = warnings.taken();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("the first attempt to read beyond byte ") && warnings[0].contains(&object.uri.to_string()),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn an_object_without_an_entity_tag_that_changes_while_it_is_read_is_told_as_changed() {
    for (size_bytes, seconds) in [
        (SIZE_BYTES, 101),
        (SIZE_BYTES + 1, 100),
        (SIZE_BYTES - 1, 100),
        // Ends before the byte that was reached.
        (10, 100),
    ] {
        let object = Untagged::new();
        let outcome = object.read(|| object.write(size_bytes, seconds)).await;
        assert!(
            matches!(outcome, Err(Error::Changed { .. })),
            "{size_bytes} {seconds}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_read_with_many_breaks_warns_once() {
    let object = Untagged::new();
    let cut = Fault::CutBody { after_bytes: 80_000 };
    object.proxy.then([Fault::slow_down(), cut.clone(), Fault::Reset, cut]);
    let warnings = Warnings::of_this_test();
    let bytes = object
        .bucket
        .storage
        .read_range(&object.uri, None, 0..SIZE_BYTES as u64)
        .await
        .unwrap();
    assert_eq!(bytes.len(), SIZE_BYTES);
    let warnings = warnings.taken();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("SlowDown"), "{warnings:?}");
}
