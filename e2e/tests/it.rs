//! Tests of the whole: the built programs against real files and servers, and the rules that hold between rooms.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]
#![allow(clippy::format_collect, reason = "test data is made once")]

mod it {
    mod as_written;
    mod bad_input;
    mod cluster;
    mod compose;
    mod datasets;
    mod delivery;
    mod docs;
    mod formats;
    mod images;
    mod jobs;
    mod localstack;
    mod nothing_lost;
    mod oracle;
    mod pipes;
    mod pods;
    mod programs;
    mod rooms;
    mod s3;
    mod servers;
}
