//! Tests of the whole: the built programs against real files and servers, and the rules that hold between rooms.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod it {
    mod rooms;
}
