//! Both schemes hold the contract, S3's on two servers by different hands.

use pf_storage::contract;

use crate::worlds::{Bucket, Folder};

macro_rules! hold {
    ($world:expr; $($clause:ident)*) => {
        $(#[tokio::test]
        async fn $clause() {
            contract::$clause(&$world).await;
        })*
    };
}

macro_rules! both_hold {
    ($($clause:ident)*) => {
        mod file {
            use super::*;
            hold! { Folder::new(); $($clause)* }
        }

        mod s3 {
            use super::*;
            hold! { Bucket::new(); $($clause)* }
        }
    };
}

both_hold! {
    lists_in_the_order_of_the_keys_bytes
    reads_what_it_lists
    a_prefix_may_end_anywhere
    start_after_shows_only_keys_behind_it
    by_folder_rolls_up_what_lies_deeper
    pages_join_to_the_whole_listing
    a_range_comes_whole_in_pieces_of_a_bounded_size
    an_empty_range_has_no_pieces
    a_range_beyond_the_object_is_an_error
    another_version_is_told_as_changed
    what_is_missing_is_told_as_missing
    what_is_put_is_read_and_listed
    overwriting_replaces_all_of_an_object
    a_reader_never_sees_half_of_a_write
    what_exists_is_not_created_again
    of_many_that_create_an_object_one_wins
    deleting_what_is_missing_is_no_error
}

/// By another hand. Without the clauses whose listings go on behind a key: LocalStack compares encoded keys with plain ones
/// there, so that a listing of keys with a blank never ends.
mod localstack {
    use super::*;

    hold! {
        Bucket::on_localstack();
        lists_in_the_order_of_the_keys_bytes
        reads_what_it_lists
        a_prefix_may_end_anywhere
        a_range_comes_whole_in_pieces_of_a_bounded_size
        an_empty_range_has_no_pieces
        a_range_beyond_the_object_is_an_error
        another_version_is_told_as_changed
        what_is_missing_is_told_as_missing
        what_is_put_is_read_and_listed
        overwriting_replaces_all_of_an_object
        a_reader_never_sees_half_of_a_write
        what_exists_is_not_created_again
        of_many_that_create_an_object_one_wins
        deleting_what_is_missing_is_no_error
    }
}
