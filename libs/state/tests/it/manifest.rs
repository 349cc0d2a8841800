//! The manifest: written once, read whole, gone on with after a stop.

use pf_state::{Error, Seal};

use super::jobs::{QUEUE, addition, in_memory, item, items_of, plan};

#[tokio::test]
async fn what_was_added_is_read_in_order_and_the_seal_has_the_sums() {
    let (_, state) = in_memory();
    let mut writer = state.write_manifest(&plan()).await.unwrap();
    for seqs in [0..10, 10..11, 11..40] {
        writer.add(addition(seqs)).await.unwrap();
    }
    assert_eq!(state.seal().await.unwrap(), None, "nothing is sealed by itself");
    let seal = writer.seal().await.unwrap();
    assert_eq!(
        seal,
        Seal {
            items: 40,
            parts: 3,
            objects: 40,
            bytes: 400,
            archived: 0,
            superseding: 0,
        }
    );
    assert_eq!(state.seal().await.unwrap(), Some(seal));
    let (items, is_sealed) = items_of(&state).await.unwrap();
    assert!(is_sealed);
    assert_eq!(items, (0..40).map(item).collect::<Vec<_>>());
}

#[tokio::test]
async fn reading_may_begin_at_any_item() {
    let (_, state) = in_memory();
    let mut writer = state.write_manifest(&plan()).await.unwrap();
    for part in 0..30 {
        writer.add(addition(part * 7..part * 7 + 7)).await.unwrap();
    }
    writer.seal().await.unwrap();
    for from in [0, 1, 6, 7, 8, 100, 208, 209, 210, 5000] {
        let mut reader = state.read_manifest(from).await.unwrap();
        let mut seqs = Vec::new();
        while let Some(items) = reader.next().await.unwrap() {
            seqs.extend(items.iter().map(|item| item.seq));
        }
        assert_eq!(seqs, (from..210).collect::<Vec<_>>(), "from {from}");
        assert_eq!(reader.seal().map(|seal| seal.items), Some(210), "from {from}");
    }
}

#[tokio::test]
async fn a_restarted_writer_goes_on_where_the_manifest_ends() {
    let (_, state) = in_memory();
    let mut first = state.write_manifest(&plan()).await.unwrap();
    first.add(addition(0..5)).await.unwrap();
    drop(first);
    let mut second = state.write_manifest(&plan()).await.unwrap();
    assert_eq!(second.next_seq(), 5);
    assert_eq!(second.cursors()[""], item(4).uri);
    second.add(addition(5..8)).await.unwrap();
    let seal = second.seal().await.unwrap();
    let third = state.write_manifest(&plan()).await.unwrap();
    assert!(third.is_sealed());
    assert_eq!(third.reached(), seal);
    assert_eq!(items_of(&state).await.unwrap().0.len(), 8);
}

#[tokio::test]
async fn of_two_writers_one_is_told() {
    let (_, state) = in_memory();
    let mut one = state.write_manifest(&plan()).await.unwrap();
    let mut other = state.write_manifest(&plan()).await.unwrap();
    one.add(addition(0..5)).await.unwrap();
    let error = other.add(addition(0..4)).await.unwrap_err();
    assert!(matches!(error, Error::Contested { .. }), "{error}");
    let error = other.seal().await.unwrap_err();
    assert!(matches!(error, Error::Contested { .. }), "{error}");
    assert_eq!(items_of(&state).await.unwrap().0.len(), 5);
}

#[tokio::test]
async fn a_seal_and_an_addition_exclude_each_other() {
    let (_, state) = in_memory();
    let mut one = state.write_manifest(&plan()).await.unwrap();
    let mut other = state.write_manifest(&plan()).await.unwrap();
    one.seal().await.unwrap();
    let error = other.add(addition(0..1)).await.unwrap_err();
    assert!(matches!(error, Error::Contested { .. }), "{error}");
}

#[tokio::test]
async fn another_plan_is_refused_with_the_flags_that_differ() {
    let (_, state) = in_memory();
    state.write_manifest(&plan()).await.unwrap();
    let mut other = plan();
    other.insert("--uri".to_owned(), "s3://elsewhere/".to_owned());
    other.insert("--pattern".to_owned(), "*.gz".to_owned());
    let error = state.write_manifest(&other).await.unwrap_err();
    assert!(
        error.to_string().starts_with(
            "the job ns/job was begun with other flags (--pattern was not given, now `*.gz`; --uri was `s3://logs/`, now \
             `s3://elsewhere/`): use those, or another --job or --state; its books were begun by `ns/job` at "
        ),
        "{error}"
    );
}

#[tokio::test]
async fn an_empty_job_is_sealed_too() {
    let (_, state) = in_memory();
    let seal = state.write_manifest(&plan()).await.unwrap().seal().await.unwrap();
    assert_eq!(seal.items, 0);
    assert_eq!(state.seal().await.unwrap(), Some(seal));
    assert_eq!(items_of(&state).await.unwrap(), (vec![], true));
}

#[tokio::test]
async fn what_was_offered_is_remembered() {
    let (_, state) = in_memory();
    assert_eq!(state.offered(QUEUE).await.unwrap(), 0);
    state.set_offered(QUEUE, 10).await.unwrap();
    state.set_offered(QUEUE, 25).await.unwrap();
    assert_eq!(state.offered(QUEUE).await.unwrap(), 25);
    // Of another queue nothing is known, and what it is offered takes nothing from the first.
    assert_eq!(state.offered("https://other").await.unwrap(), 0);
    state.set_offered("https://other", 25).await.unwrap();
    assert_eq!(state.offered("https://other").await.unwrap(), 25);
    assert_eq!(state.offered(QUEUE).await.unwrap(), 25);
}

#[tokio::test]
async fn a_sealed_manifest_goes_on_with_a_further_listing_behind_its_seal() {
    let (_, state) = in_memory();
    let mut writer = state.write_manifest(&plan()).await.unwrap();
    writer.add(addition(0..5)).await.unwrap();
    writer.seal().await.unwrap();
    for (listing, end) in [(2, 7), (3, 12)] {
        let mut writer = state.write_manifest(&plan()).await.unwrap();
        assert!(writer.is_sealed());
        writer.list_again();
        assert_eq!(
            (writer.listing(), writer.cursors().len()),
            (listing, 0),
            "all is listed"
        );
        writer.add(addition(writer.next_seq()..end)).await.unwrap();
        assert_eq!(state.seal().await.unwrap(), None, "a listing that has not ended");
        assert!(!items_of(&state).await.unwrap().1);
        // Stopped, and gone on with.
        let mut writer = state.write_manifest(&plan()).await.unwrap();
        assert_eq!(
            (writer.listing(), writer.is_sealed(), writer.next_seq()),
            (listing, false, end)
        );
        assert_eq!(writer.cursors()[""], item(end - 1).uri);
        let seal = writer.seal().await.unwrap();
        assert_eq!((seal.items, seal.parts, seal.objects), (end, listing, end));
        assert_eq!(state.seal().await.unwrap(), Some(seal));
    }
    let (items, is_sealed) = items_of(&state).await.unwrap();
    assert_eq!((items, is_sealed), ((0..12).map(item).collect::<Vec<_>>(), true));
    for from in [0, 3, 4, 5, 6, 7, 11, 12, 50] {
        let mut reader = state.read_manifest(from).await.unwrap();
        let mut seqs = Vec::new();
        while let Some(items) = reader.next().await.unwrap() {
            seqs.extend(items.iter().map(|item| item.seq));
        }
        assert_eq!(seqs, (from..12).collect::<Vec<_>>(), "from {from}");
        assert!(reader.seal().is_some(), "from {from}");
    }
}

#[tokio::test]
async fn of_two_that_list_again_one_is_told() {
    let (_, state) = in_memory();
    state.write_manifest(&plan()).await.unwrap().seal().await.unwrap();
    let mut writers = [
        state.write_manifest(&plan()).await.unwrap(),
        state.write_manifest(&plan()).await.unwrap(),
    ];
    writers.iter_mut().for_each(pf_state::ManifestWriter::list_again);
    writers[0].add(addition(0..2)).await.unwrap();
    let error = writers[1].add(addition(0..1)).await.unwrap_err();
    assert!(matches!(error, Error::Contested { .. }), "{error}");
}

#[tokio::test]
async fn the_seal_knows_of_what_is_archived_over_all_runs_of_the_last_listing() {
    let (_, state) = in_memory();
    let mut first = state.write_manifest(&plan()).await.unwrap();
    first.leave_out_archived(2);
    first.add(addition(0..5)).await.unwrap();
    // Seen, and forgotten with the process: the next one lists it again.
    first.leave_out_archived(1);
    let mut second = state.write_manifest(&plan()).await.unwrap();
    assert_eq!(second.reached().archived, 2);
    second.add(addition(5..10)).await.unwrap();
    second.leave_out_archived(4);
    assert_eq!(second.seal().await.unwrap().archived, 6);
    let read = async || {
        let mut reader = state.read_manifest(0).await.unwrap();
        while reader.next().await.unwrap().is_some() {}
        (reader.seal().unwrap().archived, reader.reached().archived)
    };
    assert_eq!(read().await, (6, 6));
    // Some were restored since; those that were not are seen once more.
    let mut again = state.write_manifest(&plan()).await.unwrap();
    assert_eq!(again.reached().archived, 6);
    again.list_again();
    again.leave_out_archived(3);
    again.add(addition(10..12)).await.unwrap();
    again.leave_out_archived(1);
    assert_eq!(again.seal().await.unwrap().archived, 4);
    assert_eq!(read().await, (4, 4));
    assert_eq!(state.seal().await.unwrap().unwrap().archived, 4);
    // A listing that finds no object anew, and others that are archived, says so; one that finds all as it was leaves no trace.
    for (archived, listing) in [(9, 3), (9, 3), (0, 4)] {
        let mut again = state.write_manifest(&plan()).await.unwrap();
        again.list_again();
        again.leave_out_archived(archived);
        assert_eq!(again.seal().await.unwrap().archived, archived);
        assert_eq!(again.listing(), listing);
        assert_eq!(read().await, (archived, archived));
        assert_eq!(state.seal().await.unwrap().unwrap().archived, archived);
    }
    assert_eq!(items_of(&state).await.unwrap().0.len(), 12);
}
