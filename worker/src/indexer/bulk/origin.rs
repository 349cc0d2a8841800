//! What all documents of one work item have in common.

use std::{collections::BTreeMap, sync::Arc};

use pf_work::WorkItem;

use super::identity::IdPrefix;
use crate::{indexer::partition::PartitionFields, plan::Records};

/// Where documents come from: made once for each item.
#[derive(Debug, Clone)]
pub struct Origin {
    pub(super) id_prefix: IdPrefix,
    /// The values that the partitioning expression captured, for index names that have them.
    pub(super) partition: Arc<BTreeMap<String, String>>,
    /// The fields that documents get of them.
    pub(crate) fields: Option<Arc<PartitionFields>>,
}

impl Origin {
    /// The origin of the item's records, of which nothing becomes a field.
    pub fn new(item: &WorkItem) -> Self {
        Self {
            fields: None,
            id_prefix: IdPrefix::new(item),
            partition: Arc::new(item.partition.clone()),
        }
    }

    /// The origin of the item's records, which get the fields that `records` says.
    pub fn with_fields(item: &WorkItem, records: &Records) -> Self {
        Self {
            fields: PartitionFields::of(item, records).map(Arc::new),
            ..Self::new(item)
        }
    }
}
