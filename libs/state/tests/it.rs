//! The state directory from outside: in memory where it can be made to fail, in a folder, and on a real S3 server.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod it {
    mod books;
    mod checkpoints;
    mod crashes;
    mod damage;
    mod dead_letters;
    mod faults;
    mod jobs;
    mod late;
    mod ledger;
    mod manifest;
    mod places;
    mod wire;
}
