//! The program from outside: what it writes, says and returns, on a folder and on a real S3 server.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod it {
    mod books;
    mod cut_records;
    mod flat;
    mod job_state;
    mod kept;
    mod left_out;
    mod metrics_port;
    mod partitions;
    mod program;
    mod queue;
    mod splitting;
}
