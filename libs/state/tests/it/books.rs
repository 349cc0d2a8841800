//! Whose the books are, and that no other life's numbers are taken for one's own.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pf_state::{
    Claim, Delivery, Error, Outcome, Place, Settled, StateDir,
    place::{Memory, Names},
};
use pf_storage::Result;

use super::{
    dead_letters::letter,
    jobs::{JOB, addition, completed, counts, in_memory, plan},
};

async fn claim(state: &StateDir, owner: &str, resume: bool) -> pf_state::Result<pf_state::Books> {
    let plan = &plan();
    state.claim(Claim { owner, resume, plan }).await
}

/// A settlement of this life.
fn of(life: &str, settled: Settled) -> Settled {
    Settled {
        by: Delivery {
            life: Some(life.to_owned()),
            ..settled.by
        },
        ..settled
    }
}

#[tokio::test]
async fn another_owner_is_refused_with_who_has_the_books_and_how_far_they_came() {
    let (_, state) = in_memory();
    let first = claim(&state, "shop/logs 11", false).await.unwrap();
    assert_eq!(
        claim(&state, "shop/logs 11", false).await.unwrap(),
        first,
        "its own restart"
    );
    let mut writer = state.open_manifest().await.unwrap();
    writer.add(addition(0..3)).await.unwrap();
    writer.seal().await.unwrap();
    state.write_ledger("pod").record(&[completed(1)]).await.unwrap();
    let error = claim(&state, "shop/logs 22", false).await.unwrap_err();
    assert!(
        matches!(error, Error::OtherOwner { .. }) && error.is_refusal(),
        "{error}"
    );
    let told = error.to_string();
    for part in [
        "`shop/logs 11`",
        "listed to the end, 1 of 3 items settled",
        "--state",
        "--job",
        "--resume",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[tokio::test]
async fn books_that_are_taken_over_begin_another_life_and_the_owner_before_is_refused() {
    let (_, state) = in_memory();
    let first = claim(&state, "a", false).await.unwrap();
    let second = claim(&state, "b", true).await.unwrap();
    assert_eq!(second.taken_from(), Some("a"));
    assert_ne!(first.life().unwrap().id, second.life().unwrap().id);
    assert_eq!(
        claim(&state, "b", false).await.unwrap(),
        second,
        "a restart is no other owner"
    );
    assert!(matches!(claim(&state, "a", false).await, Err(Error::OtherOwner { owner, .. }) if owner == "b"));
    let mut other = plan();
    other.insert("--pattern".to_owned(), "*.gz".to_owned());
    let (owner, resume) = ("c", true);
    let refused = state
        .claim(Claim {
            owner,
            resume,
            plan: &other,
        })
        .await;
    assert!(
        matches!(refused, Err(Error::OtherPlan { .. })),
        "another plan is never taken over"
    );
    assert_eq!(state.books().await.unwrap(), second);
}

#[tokio::test]
async fn what_an_earlier_owner_settled_is_told_apart_and_what_nobody_knows_does_not_count() {
    let (_, state) = in_memory();
    let first = claim(&state, "a", false).await.unwrap().life().unwrap().id.clone();
    let second = claim(&state, "b", true).await.unwrap().life().unwrap().id.clone();
    let ledger = state.write_ledger("pod");
    let all = [
        of(&first, completed(0)),
        of(&second, completed(1)),
        of("unknown", completed(2)),
        completed(3),
    ];
    ledger.record(&all).await.unwrap();
    let read = state.ledger().await.unwrap();
    assert_eq!(
        read.completed.iter().collect::<Vec<_>>(),
        [0, 1, 3],
        "an older worker names no life"
    );
    assert_eq!((read.items_before, read.foreign), (1, 1));
    assert_eq!(
        (read.counts_before.records_in, read.counts.records_in),
        (100, 100 + 101 + 103)
    );

    let mut foreign = letter(1, 0, b"{");
    foreign.by.life = Some("unknown".to_owned());
    state.write_dead_letters("pod").store(&[foreign]).await.unwrap();
    assert_eq!(state.read_dead_letters().await.unwrap().next().await.unwrap(), None);
}

#[tokio::test]
async fn a_letter_stands_only_for_the_settlement_that_stands() {
    let (_, state) = in_memory();
    let by = |id: &str, began_at| Delivery {
        id: Some(id.to_owned()),
        began_at,
        ..Delivery::default()
    };
    let written = |seq, ordinal, id| {
        let mut letter = letter(seq, ordinal, b"{");
        letter.by = by(id, None);
        letter
    };
    let settled = |seq, rejected, by| Settled {
        seq,
        outcome: Outcome::Completed,
        counts: counts(100, rejected),
        object_rows: None,
        by,
    };
    // 0: the second delivery took everything. 1: it took one of two. 2: it went on from a checkpoint. 3: nobody settled it.
    let letters = [
        written(0, 5, "one"),
        written(1, 5, "one"),
        written(1, 6, "one"),
        written(1, 6, "two"),
        written(2, 5, "one"),
        written(2, 6, "one"),
        written(3, 5, "one"),
    ];
    state.write_dead_letters("pod").store(&letters).await.unwrap();
    state
        .write_ledger("pod")
        .record(&[settled(0, 1, by("one", None))])
        .await
        .unwrap();
    let second = [
        settled(0, 0, by("two", None)),
        settled(1, 1, by("two", None)),
        settled(2, 1, by("two", Some(6))),
    ];
    state.write_ledger("pod").record(&second).await.unwrap();
    let mut reader = state.read_dead_letters().await.unwrap();
    let mut found = Vec::new();
    while let Some(letters) = reader.next().await.unwrap() {
        found.extend(letters.iter().map(|letter| (letter.seq, letter.ordinal)));
    }
    assert_eq!(found, [(1, 6), (2, 5), (3, 5)]);
    assert_eq!(reader.superseded(), 4);
}

/// A place that is wrong in one way.
#[derive(Debug)]
struct Wrong {
    memory: Memory,
    overwrites: bool,
    is_unordered: bool,
}

#[async_trait]
impl Place for Wrong {
    fn address(&self, name: &str) -> String {
        format!("wrong:{name}")
    }

    async fn get(&self, name: &str) -> Result<Option<Bytes>> {
        self.memory.get(name).await
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        self.memory.put(name, bytes).await
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<bool> {
        if self.overwrites {
            self.memory.put(name, bytes).await?;
            return Ok(true);
        }
        self.memory.create(name, bytes).await
    }

    async fn delete(&self, name: &str) -> Result<()> {
        self.memory.delete(name).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Names> {
        let mut page = self.memory.list(prefix, after).await?;
        if self.is_unordered && page.names.len() > 2 {
            page.names.swap(0, 1);
        }
        Ok(page)
    }
}

#[tokio::test]
async fn a_place_that_overwrites_what_it_is_to_create_is_refused_before_anything_is_written() {
    let place = Arc::new(Wrong {
        memory: Memory::new(),
        overwrites: true,
        is_unordered: false,
    });
    let state = StateDir::at(Arc::clone(&place) as Arc<dyn Place>, JOB);
    let error = claim(&state, "a", false).await.unwrap_err();
    assert!(matches!(error, Error::NoConditionalWrites { .. }), "{error}");
    assert!(error.to_string().contains("wrong:"), "{error}");
    assert!(!place.memory.documents().contains_key("plan.json"));
}

#[tokio::test]
async fn a_place_that_lists_out_of_order_is_refused_with_the_names() {
    let place = Arc::new(Wrong {
        memory: Memory::new(),
        overwrites: false,
        is_unordered: true,
    });
    let state = StateDir::at(place, JOB);
    for worker in ["a", "b", "c"] {
        state.write_ledger(worker).record(&[completed(0)]).await.unwrap();
    }
    let error = state.ledger().await.unwrap_err();
    assert!(matches!(error, Error::OutOfOrder { .. }), "{error}");
    assert!(error.to_string().contains("ledger/a-"), "{error}");
}
