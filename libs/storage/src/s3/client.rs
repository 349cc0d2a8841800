//! The SDK's client, set up by our options: who signs, where to, how long to wait, how often to try.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use aws_config::{
    BehaviorVersion, Region, environment::EnvironmentVariableRegionProvider, meta::region::RegionProviderChain,
    profile::ProfileFileRegionProvider,
};
use aws_sdk_s3::{
    Client,
    config::{
        Builder, ConfigBag, Credentials, Intercept, ResponseChecksumValidation, RuntimeComponents,
        StalledStreamProtectionConfig,
        interceptors::BeforeTransmitInterceptorContextRef,
        retry::{RetryConfig, RetryPartition, TokenBucket},
        timeout::TimeoutConfig,
    },
    error::BoxError,
};

use crate::{Options, store::AccessKey};

/// Where neither option nor environment says a region.
const REGION_DEFAULT: &str = "us-east-1";

/// The budget of retries of one handle, in the SDK's tokens: a retry costs 5, or 10 after a time-out, and comes back
/// when a retried call succeeds. Some hundred calls in a row may be retried; then trouble is told at once instead of
/// being multiplied by the number of attempts.
const RETRY_TOKENS_MAX: usize = 500;

/// A client. Credentials are looked for when the first request is signed, and again before they expire.
pub(super) async fn connect(options: &Options) -> Client {
    let region = RegionProviderChain::first_try(options.region.clone().map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(REGION_DEFAULT);
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).region(region);
    if options.anonymous {
        loader = loader.no_credentials();
    } else if let Some(AccessKey { id, secret }) = &options.access_key {
        loader = loader.credentials_provider(Credentials::new(id, secret, None, None, "Options"));
    }
    if let Some(endpoint) = &options.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    let shared = loader.load().await;
    let patience = &options.patience;
    let mut builder = Builder::from(&shared)
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(patience.attempts_max)
                .with_initial_backoff(patience.backoff_min)
                .with_max_backoff(patience.backoff_max),
        )
        .retry_partition(
            RetryPartition::custom("paraflow")
                .token_bucket(TokenBucket::new(RETRY_TOKENS_MAX))
                .build(),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(patience.connect_max)
                .operation_attempt_timeout(patience.answer_max)
                .build(),
        )
        // `read` watches for stalls itself: only it knows whether the consumer or the server is the one that is slow.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // Answers to ranged reads carry no checksum, so that asking for one would only cost a header.
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        // Buckets as host names need wildcard DNS, which servers other than AWS' seldom have. The endpoint may also
        // come from AWS_ENDPOINT_URL.
        .force_path_style(shared.endpoint_url().is_some());
    if options.anonymous {
        builder = builder.allow_no_auth();
    }
    Client::from_conf(builder.build())
}

/// Counts the attempts of one call, for the message of its failure.
#[derive(Debug, Clone, Default)]
pub(super) struct Attempts(Arc<AtomicU32>);

impl Attempts {
    pub(super) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "Attempts"
    }

    fn read_before_attempt(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
