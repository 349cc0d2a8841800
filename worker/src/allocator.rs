//! The process's allocator, and how soon it gives memory back.
#![allow(unsafe_code)] // an option of a C library

use std::ffi::{c_int, c_long};

// Lanes allocate and free large buffers all the time; see docs/performance.md for what the allocator is worth.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 3's `mimalloc.h`; the crate has no name for it.
const PURGE_DELAY: c_int = 15;
/// How long freed memory is kept for the next who needs some. mimalloc's own 1000 ms (ten times that for large pieces) let a
/// lane that reads Parquet stand at 118 MB instead of 90; with 0 ms lines take 1.3 times as long.
const PURGE_DELAY_MS: c_long = 10;

/// Says how soon memory is given back; the environment's `MIMALLOC_PURGE_DELAY` goes before. To be called before there is
/// a second thread.
pub(crate) fn give_back_soon() {
    // SAFETY: It sets a number that is read later, and no other thread reads it meanwhile.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MS) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The option's place in a list that a newer version may change.
    #[test]
    fn the_option_that_is_set_is_the_one_that_has_this_default() {
        // SAFETY: It reads a number.
        let default = unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(default, 1000);
    }
}
