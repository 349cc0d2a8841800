//! What all documents of one work item have in common.

use std::{collections::BTreeMap, sync::Arc};

use pf_work::WorkItem;

use super::identity::IdPrefix;

/// Where documents come from: made once for each item.
#[derive(Debug, Clone)]
pub struct Origin {
    pub(super) id_prefix: IdPrefix,
    /// The values that the partitioning expression captured, for index names that have them.
    pub(super) partition: Arc<BTreeMap<String, String>>,
}

impl Origin {
    /// The origin of the item's records.
    pub fn new(item: &WorkItem) -> Self {
        Self {
            id_prefix: IdPrefix::new(item),
            partition: Arc::new(item.partition.clone()),
        }
    }
}
