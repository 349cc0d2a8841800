//! As whom queues are asked, on LocalStack: it takes every key for that of an account, and lets roles be taken on.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use pf_e2e::{Fault, FaultProxy, LocalStack, Sqs, fault_proxy::Request, sqs::Queue};
use pf_operator::{
    controller::facts,
    crd::{IngestJob, QueueStatus},
    job_file::JobFile,
    queue::{Own, Queues},
    scaler::Depth,
};
use pf_work::sqs::AccessKey;

const ROLE: &str = "arn:aws:iam::123456789012:role/queues";

fn key(id: &str) -> AccessKey {
    AccessKey {
        id: id.to_owned(),
        secret: "geheim".to_owned(),
        session_token: None,
    }
}

fn queues(sts_endpoint: Option<String>) -> Queues {
    Queues::new(Own {
        key: Some(key("own-key")),
        sts_endpoint,
    })
}

/// A job of the namespace `ingest` whose queue is this one, or its own, asked at `endpoint`.
fn job(endpoint: &str, url: Option<&str>, credentials: &str) -> IngestJob {
    let url = url.map_or(String::new(), |url| format!("url: '{url}', "));
    let region = Sqs::REGION;
    let text = format!(
        "apiVersion: paraflow.dev/v1alpha1\nkind: IngestJob\nmetadata: {{name: logs, namespace: ingest}}\nspec:\n  \
         source: {{s3: {{bucket: logs}}}}\n  sink: {{stats: {{}}}}\n  \
         queue: {{sqs: {{{url}endpoint: '{endpoint}', region: {region}{credentials}}}}}\n"
    );
    JobFile::parse(text, "job.yaml".to_owned(), PathBuf::new()).unwrap().job
}

const SECRET: &str = ", credentials: {secret: {name: aws}}";

fn with_role() -> String {
    format!(", credentials: {{roleArn: '{ROLE}'}}")
}

/// A proxy before LocalStack, and a queue behind it.
async fn behind_proxy(name: &'static str) -> (FaultProxy, Queue) {
    tokio::task::spawn_blocking(move || {
        let server = LocalStack::shared();
        (
            FaultProxy::new(&server.endpoint()),
            server.sqs().make_queue(name, 600, 3),
        )
    })
    .await
    .unwrap()
}

/// How many requests this key has signed.
fn signed_by(proxy: &FaultProxy, id: &str) -> usize {
    let signature = format!("credential={id}/");
    proxy.requests().iter().filter(|head| head.contains(&signature)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_depth_is_what_the_server_has_of_each_kind() {
    let (_, queue) = behind_proxy("depth").await;
    let sqs = LocalStack::shared().sqs();
    tokio::task::block_in_place(|| {
        (0..7).for_each(|n| sqs.send(&queue.url, &n.to_string()));
        (0..3).for_each(|n| sqs.send_later(&queue.url, &n.to_string(), std::time::Duration::from_mins(10)));
    });
    let taken = tokio::task::block_in_place(|| sqs.receive(&queue.url, std::time::Duration::ZERO).len()) as u64;
    let job = job(&sqs.endpoint(), Some(&queue.url), "");
    let depth = queues(None).depth(&job, None, &queue.url).await.unwrap();
    let expected = Depth {
        visible: 7 - taken,
        in_flight: taken,
        delayed: 3,
    };
    assert!(taken > 0);
    assert_eq!((depth, depth.backlog()), (expected, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_is_the_operator_or_the_key_of_the_job_and_keys_are_never_mixed_up() {
    let (proxy, queue) = behind_proxy("who").await;
    let (own, with_secret) = (
        job(&proxy.endpoint(), Some(&queue.url), ""),
        job(&proxy.endpoint(), Some(&queue.url), SECRET),
    );
    let queues = queues(None);
    let (one, other) = (key("111111111111"), key("222222222222"));
    for (job, key) in [(&own, None), (&with_secret, Some(&one)), (&with_secret, Some(&other))] {
        queues.depth(job, key, &queue.url).await.unwrap();
    }
    // To connect is one request, and so is to ask.
    for id in ["own-key", "111111111111", "222222222222"] {
        assert_eq!(signed_by(&proxy, id), 2, "{id}");
    }
    queues.depth(&with_secret, Some(&one), &queue.url).await.unwrap();
    assert_eq!(signed_by(&proxy, "111111111111"), 3, "a connection is kept");

    let without = queues.depth(&with_secret, None, &queue.url).await.unwrap_err();
    assert!(
        matches!(&without, facts::Queue::Refused { why } if why.contains("the Secret aws has no key")),
        "{without:?}"
    );
    assert_eq!(proxy.requests().len(), 7, "nobody else's key is used instead");
    assert!(!format!("{queues:?} {without:?}").contains("geheim"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_a_key_is_sent_with_it() {
    let (proxy, queue) = behind_proxy("token").await;
    let job = job(&proxy.endpoint(), Some(&queue.url), SECRET);
    let key = AccessKey {
        session_token: Some("the-token".to_owned()),
        ..key("111111111111")
    };
    queues(None).depth(&job, Some(&key), &queue.url).await.unwrap();
    assert!(
        proxy
            .requests()
            .iter()
            .all(|head| head.contains("x-amz-security-token: the-token"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_taken_on_under_the_name_of_the_job_and_its_queue_is_in_the_account_of_the_role() {
    let (proxy, _) = behind_proxy("role").await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    proxy.choose(move |request: &Request<'_>| {
        if request.head.contains("/sts/") {
            seen.lock()
                .unwrap()
                .push(String::from_utf8_lossy(request.body).into_owned());
        }
        Fault::Pass
    });
    let job = job(&proxy.endpoint(), None, &with_role());
    let queues = queues(Some(proxy.endpoint()));
    let made = ready(&queues, &job).await;
    assert!(made.url.contains("/123456789012/"), "{}", made.url);
    assert_eq!(queues.depth(&job, None, &made.url).await.unwrap(), Depth::default());
    queues.remove(&job, None, &made).await.unwrap();

    let asked = asked.lock().unwrap().clone();
    for part in ["ExternalId=ingest%2Flogs", "RoleSessionName=pf-operator.ingest.logs"] {
        assert!(asked[0].contains(part), "{}", asked[0]);
    }
    let own = signed_by(&proxy, "own-key");
    assert_eq!(
        own,
        asked.len(),
        "all that the operator signs itself is that it takes on the role"
    );
    assert!(proxy.requests().len() > own);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_be_taken_on_is_told_with_its_external_id_and_one_that_cannot_now_is_no_refusal() {
    let (proxy, _) = behind_proxy("role-denied").await;
    let job = job(&LocalStack::shared().endpoint(), None, &with_role());
    let denied = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                  <Code>AccessDenied</Code><Message>User: own is not authorized to perform: sts:AssumeRole</Message>\
                  </Error><RequestId>1</RequestId></ErrorResponse>";
    let answer = |status: u16, body: &str| {
        Fault::Answer(format!(
            "HTTP/1.1 {status} Fault\r\ncontent-type: text/xml\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    proxy.afterwards(answer(403, denied));
    let queues = queues(Some(proxy.endpoint()));
    let facts::Queue::Refused { why } = queues.make(&job, None).await else {
        panic!("nobody may take on the role");
    };
    for part in [
        "not authorized to perform: sts:AssumeRole",
        ROLE,
        "external ID ingest/logs",
    ] {
        assert!(why.contains(part), "{why}");
    }
    proxy.afterwards(answer(503, &denied.replace("AccessDenied", "ServiceUnavailable")));
    let made = queues.make(&job, None).await;
    assert!(matches!(made, facts::Queue::Unavailable { .. }), "{made:?}");
    proxy.afterwards(Fault::Pass);
    ready(&queues, &job).await;
}

/// Makes a job's queue as its role. LocalStack's first session takes longer than the operator waits for one.
async fn ready(queues: &Queues, job: &IngestJob) -> QueueStatus {
    for _ in 0..20 {
        match queues.make(job, None).await {
            facts::Queue::Ready(made) => return made,
            facts::Queue::Unavailable { .. } => {}
            refused => panic!("{refused:?}"),
        }
    }
    panic!("no session comes")
}
