//! A lane's part in a bulk, with a sink that takes bodies at once.

use std::{hint::black_box, sync::Arc};

use pf_work::WorkItem;
use pf_worker::{
    batch::Batch,
    indexer::bulk::{Addressing, Bulk, BulkEncoder, IdMode, Operation, Origin},
};

/// What a lane's batches have by default.
pub(crate) const BATCH_BYTES_MAX: usize = 1 << 20;
/// What a bulk has by default.
pub(crate) const BULK_BYTES: usize = 4 << 20;

/// Bodies of one object's batches.
pub(crate) struct Assembly {
    encoder: BulkEncoder,
    origin: Origin,
    pub(crate) bulk: Bulk,
}

impl Assembly {
    pub(crate) fn new(addressing: Addressing) -> Self {
        let item = r#"{"v":1,"job":"b","seq":0,"uri":"s3://b/k","etag":"1","size_bytes":1,"enqueued_at":"2024-01-01T00:00:00Z"}"#;
        Self {
            encoder: BulkEncoder::new(Arc::new(addressing)),
            origin: Origin::new(&WorkItem::from_json(item).unwrap()),
            bulk: Bulk::with_capacity(BULK_BYTES + BATCH_BYTES_MAX),
        }
    }

    pub(crate) fn all(&mut self, batches: &[Batch]) {
        for batch in batches {
            self.add(batch);
        }
        self.bulk.clear();
    }

    pub(crate) fn add(&mut self, batch: &Batch) {
        let mut rejects = Vec::new();
        self.encoder
            .append(&mut self.bulk, &self.origin, 0, batch, &mut rejects)
            .unwrap();
        assert!(rejects.is_empty());
        if self.bulk.body.len() >= BULK_BYTES {
            black_box(&self.bulk.body);
            self.bulk.clear();
        }
    }
}

/// Where documents go and what they are called.
pub(crate) fn addressing(index: &str, id: IdMode) -> Addressing {
    Addressing {
        operation: Operation::Create,
        id,
        index: index.parse().unwrap(),
        routing: None,
        timestamp: "timestamp".parse().unwrap(),
        left_out: Vec::new(),
        document_bytes_max: 100 << 20,
    }
}
