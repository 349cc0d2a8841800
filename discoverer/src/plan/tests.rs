//! What is said of flags that are wrong, and what is made of those that are right.

use clap::Parser;
use proptest::prelude::*;

use super::*;

fn plan(flags: &[&str]) -> Result<Plan> {
    let flags = ["pf-discoverer"].iter().chain(flags);
    Plan::new(Args::try_parse_from(flags).unwrap())
}

fn complaint(flags: &[&str]) -> String {
    format!("{:#}", plan(flags).unwrap_err())
}

#[test]
fn sizes_are_read_as_people_write_them() {
    for (text, expected) in [
        ("0", 0),
        ("512", 512),
        ("10MB", 10_000_000),
        ("1GiB", 1 << 30),
        ("1.5 KiB", 1536),
        ("2kb", 2000),
        ("0.5TB", 500_000_000_000),
    ] {
        assert_eq!(bytes(text).unwrap(), expected, "{text}");
    }
    for text in ["", "MB", "10 parsecs", "-1", "1.", ".5", "1..2", "99999999999TB", "1e3"] {
        assert!(bytes(text).is_err(), "{text}");
    }
}

#[test]
fn times_are_rfc_3339_or_dates() {
    assert_eq!(time("2024-02-29").unwrap().to_string(), "2024-02-29T00:00:00Z");
    assert_eq!(
        time("2024-01-01T05:00:00+02:00").unwrap().to_string(),
        "2024-01-01T03:00:00Z"
    );
    for (text, hours) in [("90m", 1.5), ("36h", 36.0), ("2d", 48.0), ("1w", 168.0), ("0d", 0.0)] {
        let ago = Timestamp::now().duration_since(time(text).unwrap()).as_secs_f64() / 3600.0;
        assert!((ago - hours).abs() < 0.01, "{text}: {ago} h ago");
    }
    for text in ["d", "-2d", "+2d", "2 d", "1.5h", "2y", "99999999999d", "4294967295w"] {
        assert!(time(text).is_err(), "{text}");
    }
    for text in ["", "yesterday", "2023-02-29", "2024-01-01T05:00:00", "2024-13-01"] {
        assert!(time(text).is_err(), "{text}");
    }
}

#[test]
fn bad_usage_is_told_with_its_flag() {
    for (flags, problem) in [
        (&[][..], "--uri: either this or --bucket"),
        (&["--prefix", "p"], "--prefix: needs --bucket"),
        (
            &["--uri", "s3://b/", "--bucket", "b"],
            "--bucket: can't be used with --uri",
        ),
        (
            &["--uri", "s3://b/", "--prefix", "p"],
            "--prefix: can't be used with --uri",
        ),
        (&["--bucket", ""], "--bucket: `` must be a bucket's name"),
        (&["--bucket", "b", "--job", ""], "--job: "),
        (&["--bucket", "b", "--region", ""], "--region: "),
        (&["--bucket", "b", "--s3-endpoint", "http://"], "--s3-endpoint: "),
        (&["--bucket", "b", "--timezone", "UTC"], "--timezone: needs"),
        (&["--bucket", "b", "--partitioning", "${a"], "--partitioning: `${a`: "),
        (
            &["--bucket", "b", "--destination", "sqs"],
            "--sqs-queue-url: --destination sqs needs it",
        ),
        (
            &["--bucket", "b", "--sqs-queue-url", "http://h/q"],
            "--sqs-queue-url: needs --destination sqs",
        ),
        (
            &["--bucket", "b", "--sqs-endpoint", "http://h"],
            "--sqs-endpoint: needs --destination sqs",
        ),
        (
            &["--bucket", "b", "--destination", "sqs", "--sqs-queue-url", "jobs"],
            "--sqs-queue-url: `jobs` has no scheme",
        ),
        (
            &[
                "--bucket",
                "b",
                "--destination",
                "sqs",
                "--sqs-queue-url",
                "http://h/q.fifo",
            ],
            "--sqs-queue-url: `http://h/q.fifo` is a FIFO queue",
        ),
        (
            &[
                "--bucket",
                "b",
                "--destination",
                "sqs",
                "--sqs-queue-url",
                "http://h/q",
                "--sqs-endpoint",
                "h",
            ],
            "--sqs-endpoint: `h` must begin with",
        ),
        (
            &["--bucket", "b", "--s3-endpoint", "http://me:secret@h"],
            "--s3-endpoint: an address must not hold credentials",
        ),
        (
            &["--bucket", "b", "--partitioning", "/${a}/"],
            "--partitioning: `/${a}/`: begins with `/`",
        ),
        (
            &["--bucket", "b", "--partitioning", "${_time:/%Y}"],
            "--partitioning: `${_time:/%Y}`: begins with `/`",
        ),
        (
            &["--bucket", "b", "--partitioning", "${a}", "--filter", "a"],
            "--filter: `a`: ",
        ),
    ] {
        assert!(complaint(flags).starts_with(problem), "{}", complaint(flags));
    }
    assert!(complaint(&["--uri", "http://x/"]).contains("must begin with s3://"));
    assert!(complaint(&["--bucket", "s3://x"]).contains("--uri"));
    assert!(complaint(&["--bucket", "b", "--min-size", "x"]).starts_with("--min-size: "));
    assert!(complaint(&["--bucket", "b", "--min-size", "2", "--max-size", "1"]).contains("nothing could match"));
    assert!(complaint(&["--bucket", "b", "--modified-after", "x"]).starts_with("--modified-after: "));
    // Gone on with tomorrow, it would be another choice of objects.
    let kept = ["--bucket", "b", "--state", "s3://c/", "--modified-after", "2d"];
    assert!(complaint(&kept).starts_with("--modified-after: `2d` is another time"));
    assert!(complaint(&["--bucket", "b", "--pattern", "a{b"]).starts_with("--pattern: "));
    assert!(complaint(&["--bucket", "b", "--split-bytes", "1kB"]).contains("64 KiB"));
    assert!(complaint(&["--bucket", "b", "--filter", "a=1"]).contains("`a=1` needs --partitioning"));
    assert!(complaint(&["--bucket", "b", "--partitioning", "${a}", "--filter", "b=1"]).starts_with("--filter: `b`"));
    assert!(complaint(&["--bucket", "b", "--partitioning", "a", "--timezone", "No/Where"]).contains("No/Where"));
    assert!(complaint(&["--bucket", "b", "--s3-endpoint", "localhost"]).contains("http://"));
    assert!(complaint(&["--bucket", "b", "--format", "parquet", "--compression", "gzip"]).contains("inside"));
}

#[test]
fn the_job_is_named_after_the_prefix() {
    let job = |flags: &[&str]| plan(flags).unwrap().job;
    assert_eq!(job(&["--bucket", "b"]), "local");
    assert_eq!(job(&["--bucket", "b", "--prefix", "logs/2024/"]), "2024");
    assert_eq!(job(&["--uri", "file:///var/logs/", "--job", "ns/mine"]), "ns/mine");
}

proptest! {
    #[test]
    fn no_text_makes_the_parsers_panic(text in any::<String>()) {
        bytes(&text).ok();
        time(&text).ok();
    }

    #[test]
    fn whole_sizes_keep_their_number(number in 0_u64..1 << 40) {
        prop_assert_eq!(bytes(&number.to_string()).unwrap(), number);
        prop_assert_eq!(bytes(&format!("{number}KiB")).unwrap(), number << 10);
    }
}
