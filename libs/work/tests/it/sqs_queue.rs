//! The SQS queue keeps the contract, against two real servers by different hands.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use pf_e2e::{LocalStack, Sqs, sqs::Queue};
use pf_work::{
    WorkSink, WorkSource,
    contract::{self, Bench, Leases},
    queue::Error,
    sqs::{AccessKey, Identity, Options, Role, SqsQueue},
};

/// The shortest lease in which two calls are done on a machine that has much else to do.
const MOMENT: Duration = Duration::from_secs(3);

const RECEIVES_MAX: u32 = 2;

struct OnServer {
    queue: SqsQueue,
    at: Queue,
}

pub(crate) fn options(url: &str) -> Options {
    Options {
        region: Some(Sqs::REGION.to_owned()),
        identity: Identity::Key(AccessKey {
            id: Sqs::ACCESS_KEY_ID.to_owned(),
            secret: Sqs::SECRET_ACCESS_KEY.to_owned(),
            session_token: None,
        }),
        worker: "worker-7".to_owned(),
        ..Options::new(url)
    }
}

async fn connect(url: &str) -> Result<SqsQueue, Error> {
    SqsQueue::connect(options(url), Role::Source).await
}

async fn bench(server: &Sqs, leases: Leases) -> OnServer {
    let visibility_seconds = match leases {
        Leases::Hold => 600,
        Leases::RunOut => MOMENT.as_secs() as u32,
    };
    let at = server.make_queue("contract", visibility_seconds, RECEIVES_MAX);
    let queue = connect(&at.url).await.expect("the queue can be used");
    assert_eq!(queue.visibility(), Duration::from_secs(visibility_seconds.into()));
    OnServer { queue, at }
}

#[async_trait]
impl Bench for OnServer {
    fn sink(&self) -> &dyn WorkSink {
        &self.queue
    }

    fn source(&self) -> &dyn WorkSource {
        &self.queue
    }

    fn moment(&self) -> Duration {
        MOMENT
    }

    fn receives_max(&self) -> u32 {
        RECEIVES_MAX
    }

    /// The server's clock can't be moved: it is waited for.
    async fn pass(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    async fn dead_letters(&self) -> BTreeSet<u64> {
        let read = SqsQueue::read_dead_letters(options(&self.at.dead_letter_url), 100).await;
        let letters = read.expect("the dead-letter queue can be read").letters;
        letters
            .into_iter()
            .map(|letter| letter.item.expect("an item").seq)
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sqs_queue_holds_the_contract() {
    contract::holds_at_once(async |leases| bench(Sqs::shared(), leases).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sqs_queue_holds_the_contract_on_localstack() {
    let on = |leases| bench(LocalStack::shared().sqs(), leases);
    // Without `a_lease_of_long_ago_settles_nothing`: here an old receipt is as good as the new one while its message is leased.
    // Without `an_item_that_is_never_settled_ends_as_a_dead_letter`: its redrive comes later than that clause looks.
    futures::join!(
        async { contract::every_offered_item_is_leased(&on(Leases::Hold).await).await },
        async { contract::a_completed_item_is_never_leased_again(&on(Leases::RunOut).await).await },
        async { contract::a_lease_that_runs_out_gives_the_item_to_the_next(&on(Leases::RunOut).await).await },
        async { contract::an_extended_lease_outlives_its_first_deadline(&on(Leases::RunOut).await).await },
        async { contract::a_released_item_comes_back_after_its_delay(&on(Leases::Hold).await).await },
        async { contract::an_item_that_is_given_back_again_and_again_is_never_given_up(&on(Leases::Hold).await).await },
        async { contract::a_dead_letter_is_kept_and_never_leased_again(&on(Leases::RunOut).await).await },
        async { contract::a_lost_lease_fails_alone(&on(Leases::Hold).await).await },
    );
}
