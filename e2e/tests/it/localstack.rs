//! A bucket that feeds a queue by itself, on LocalStack: what is put into it is worked on.

use pf_e2e::{LocalStack, S3};

use super::programs::{command, run_of};

/// Keys that notifications have in another form than listings: blanks, signs, letters beyond ASCII.
const KEYS: [&str; 4] = ["plain.json", "a blank & a + plus.json", "100%.json", "größe/日.json"];

#[test]
fn an_object_that_is_put_is_told_of_and_its_records_come_out() {
    let server = LocalStack::shared();
    let bucket = server.s3().make_bucket("notified");
    let queue = server.sqs().make_queue("notified", 60, 3);
    server.notify(&bucket, &queue.url);
    for (number, key) in KEYS.into_iter().enumerate() {
        server
            .s3()
            .put(&bucket, key, format!("{{\"n\":{number}}}\n").as_bytes());
    }
    let endpoint = server.endpoint();
    let mut worker = command("pf-worker", &["--input", "sqs", "--exit-when-idle", "3s"]);
    worker.args(["--sqs-queue-url", &queue.url, "--s3-endpoint", &endpoint]);
    worker.args(["--region", S3::REGION, "--destination", "stdout"]);
    worker.envs(server.s3().environment());
    let outcome = run_of(worker).success();

    let mut lines: Vec<&str> = outcome.text().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, [r#"{"n":0}"#, r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#]);
    for url in [&queue.url, &queue.dead_letter_url] {
        let depth = server.sqs().depth(url);
        assert_eq!((depth.visible, depth.in_flight, depth.delayed), (0, 0, 0), "{url}");
    }
}
