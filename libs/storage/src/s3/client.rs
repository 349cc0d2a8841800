//! The SDK's client, set up by our options: who signs, where to, how long to wait, how often to try.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use aws_config::{
    BehaviorVersion, Region, environment::EnvironmentVariableRegionProvider, meta::region::RegionProviderChain,
    profile::ProfileFileRegionProvider,
};
use aws_sdk_s3::{
    Client,
    config::{
        Builder, Config, ConfigBag, Credentials, Intercept, ResponseChecksumValidation, RuntimeComponents,
        StalledStreamProtectionConfig,
        interceptors::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef, InterceptorContext},
        retry::{ClassifyRetry, RetryAction, RetryConfig, RetryPartition, TokenBucket},
        timeout::TimeoutConfig,
    },
    error::BoxError,
};

use super::obstacle::{self, Obstacle, chain};
use crate::{ObjectUri, Options, store::AccessKey, trouble::Trouble};

/// Where neither option nor environment says a region.
const REGION_DEFAULT: &str = "us-east-1";

/// The budget of retries of one handle, in the SDK's tokens: a retry costs 5, or 10 after a time-out, and comes back
/// when a retried call succeeds. Some hundred calls in a row may be retried; then trouble is told at once instead of
/// being multiplied by the number of attempts.
const RETRY_TOKENS_MAX: usize = 500;

/// How often a host's name is looked up that nobody knows: a name server may have been asked just before it learnt it.
const UNKNOWN_HOST_ATTEMPTS_MAX: u32 = 3;

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
                .operation_timeout(patience.call_max)
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

/// Watches the attempts of one call: counts them for the message of its failure, warns of the first that failed, and
/// forbids further ones that can't help.
#[derive(Debug, Clone)]
pub(super) struct Attempts(Arc<Watched>);

#[derive(Debug)]
struct Watched {
    action: &'static str,
    uri: ObjectUri,
    /// As in "at AWS' own endpoint".
    place: String,
    trouble: Trouble,
    count: AtomicU32,
    /// Why the last attempt failed.
    why: Mutex<String>,
}

impl Attempts {
    pub(super) fn new(action: &'static str, uri: &ObjectUri, options: &Options, trouble: &Trouble) -> Self {
        let place = match &options.endpoint {
            Some(endpoint) => format!("at {endpoint}"),
            None => "at AWS' own endpoint".to_owned(),
        };
        Self(Arc::new(Watched {
            action,
            uri: uri.clone(),
            place,
            trouble: trouble.clone(),
            count: AtomicU32::new(0),
            why: Mutex::default(),
        }))
    }

    /// What makes a call's attempts watched.
    pub(super) fn watching(&self) -> Builder {
        Config::builder()
            .interceptor(self.clone())
            .retry_classifier(self.clone())
    }

    pub(super) fn count(&self) -> u32 {
        self.0.count.load(Ordering::Relaxed)
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
        let watched = &*self.0;
        let attempts_before = watched.count.fetch_add(1, Ordering::Relaxed);
        if attempts_before > 0 {
            let why = watched.why.lock().expect("no holder of this lock panics");
            watched
                .trouble
                .tried_again(watched.action, &watched.uri, &watched.place, &*why);
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(Err(error)) = context.output_or_error() {
            *self.0.why.lock().expect("no holder of this lock panics") = chain(error);
        }
        Ok(())
    }
}

impl ClassifyRetry for Attempts {
    fn name(&self) -> &'static str {
        "Attempts"
    }

    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(Err(error)) = context.output_or_error() else {
            return RetryAction::NoActionIndicated;
        };
        // Of calls of ours only conditional writes are answered so: one of the same key was on its way.
        if context
            .response()
            .is_some_and(|response| response.status().as_u16() == 409)
        {
            return RetryAction::transient_error();
        }
        match obstacle::of(error) {
            Some(Obstacle::UnknownHost) if self.count() < UNKNOWN_HOST_ATTEMPTS_MAX => RetryAction::NoActionIndicated,
            Some(_) => RetryAction::RetryForbidden,
            None => RetryAction::NoActionIndicated,
        }
    }
}
