//! Tries at the start what a worker must be allowed to do, by calls that change nothing.
//!
//! A handle that is made up, and a batch with no message in it, are refused by everybody: with a lack of permission where there
//! is one, for AWS looks at that first, and with another answer where there is none.

use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry};

use super::{Inner, fault};
use crate::queue::Error;

/// A handle that no server gave.
const HANDLE: &str = "paraflow-looks-whether-it-may";

impl Inner {
    /// [`Error::Refused`] says what a worker may not do and must. What it may not do and can do without is a warning.
    pub(super) async fn try_permissions(&self) -> Result<(), Error> {
        let (extend, delete, letter, send) = tokio::join!(
            self.try_to_extend(),
            self.try_to_delete(),
            self.try_to_send(self.dead_letter_url.as_deref()),
            self.try_to_send(Some(&self.options.url)),
        );
        if let Some(refused) = extend.or(delete).or(letter) {
            return Err(refused);
        }
        if let Some(Error::Refused { reason }) = send {
            self.give_up_sending(&reason);
        }
        Ok(())
    }

    async fn try_to_extend(&self) -> Option<Error> {
        let entry = ChangeMessageVisibilityBatchRequestEntry::builder();
        let entry = entry.id("0").receipt_handle(HANDLE).visibility_timeout(0).build();
        let call = self.client.change_message_visibility_batch();
        let action = "change the visibility of messages";
        match call.queue_url(&self.options.url).entries(entry.ok()?).send().await {
            Ok(answer) => {
                let mut failed = answer.failed.iter();
                let denied = failed.find(|entry| fault::is_denial(&entry.code))?;
                Some(fault::of_entry(action, &self.options.url, denied))
            }
            Err(error) => fault::is_denied(&error).then(|| self.fault(action, &error)),
        }
    }

    async fn try_to_delete(&self) -> Option<Error> {
        let entry = DeleteMessageBatchRequestEntry::builder();
        let entry = entry.id("0").receipt_handle(HANDLE).build();
        let call = self.client.delete_message_batch().queue_url(&self.options.url);
        let action = "delete messages";
        match call.entries(entry.ok()?).send().await {
            Ok(answer) => {
                let mut failed = answer.failed.iter();
                let denied = failed.find(|entry| fault::is_denial(&entry.code))?;
                Some(fault::of_entry(action, &self.options.url, denied))
            }
            Err(error) => fault::is_denied(&error).then(|| self.fault(action, &error)),
        }
    }

    async fn try_to_send(&self, url: Option<&str>) -> Option<Error> {
        let url = url?;
        let call = self.client.send_message_batch().queue_url(url);
        let error = call.set_entries(Some(Vec::new())).send().await.err()?;
        fault::is_denied(&error).then(|| fault::of_call("send messages", url, &error))
    }
}
