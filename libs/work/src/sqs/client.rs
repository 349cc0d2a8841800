//! The SDK's client, set up by our options: who signs, where to, how long to wait, how often to try.
//!
//! Credentials and region are found as `libs/storage` finds them for S3, so that one environment serves both.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, Region, environment::EnvironmentVariableRegionProvider, meta::region::RegionProviderChain,
    profile::ProfileFileRegionProvider,
};
use aws_sdk_sqs::{
    Client,
    config::{
        Builder,
        retry::{RetryConfig, RetryPartition, TokenBucket},
        timeout::TimeoutConfig,
    },
};

use super::{Options, Patience, address::Address};

/// Where neither URL, option nor environment says a region.
const REGION_DEFAULT: &str = "us-east-1";

/// The budget of retries of one client, in the SDK's tokens: a retry costs 5, or 10 after a time-out, and comes back when
/// a retried call succeeds. Some hundred calls in a row may be retried; then trouble is told at once instead of being
/// multiplied by the number of attempts.
const RETRY_TOKENS_MAX: usize = 500;

/// A client. To find out who signs takes much room: it is on the heap, not in each future that may connect.
pub(super) async fn connect(options: &Options, address: &Address) -> Client {
    Box::pin(set_up(options, address)).await
}

/// Credentials are looked for when the first request is signed, and again before they expire.
async fn set_up(options: &Options, address: &Address) -> Client {
    let region = address.region.clone().or_else(|| options.region.clone());
    let region = RegionProviderChain::first_try(region.map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(REGION_DEFAULT)
        .region()
        .await;
    let patience = &options.patience;
    let base = || {
        let loader = aws_config::defaults(BehaviorVersion::latest());
        let loader = loader.timeout_config(timeouts(patience, Duration::ZERO));
        match &region {
            Some(region) => loader.region(region.clone()),
            None => loader,
        }
    };
    let mut loader = options.identity.sign(base).await;
    if let Some(endpoint) = options.endpoint.as_ref().or(address.endpoint.as_ref()) {
        loader = loader.endpoint_url(endpoint);
    }
    let shared = loader.load().await;
    let builder = Builder::from(&shared)
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(patience.attempts_max)
                .with_initial_backoff(patience.backoff_min)
                .with_max_backoff(patience.backoff_max),
        )
        .retry_partition(
            RetryPartition::custom("paraflow-sqs")
                .token_bucket(TokenBucket::new(RETRY_TOKENS_MAX))
                .build(),
        )
        .timeout_config(timeouts(patience, Duration::ZERO));
    Client::from_conf(builder.build())
}

/// The time-outs of a call whose answer the server may hold back for `wait`.
pub(super) fn timeouts(patience: &Patience, wait: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(patience.connect_max)
        .operation_attempt_timeout(patience.answer_max + wait)
        .build()
}
