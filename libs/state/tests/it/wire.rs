//! The documents as they lie in the state directory, as goldens: whoever changes one sees it here.

use std::sync::Arc;

use bytes::Bytes;
use expect_test::{Expect, expect};
use pf_state::{Error, RecordDeadLetter, Stage, place::Memory};
use pf_work::{Checkpoint, checkpoint::Position};

use super::{
    dead_letters::letter,
    jobs::{JOB, QUEUE, addition, completed, counts, dead, in_memory, plan},
};

/// Checks the only document whose name begins with `prefix`, with random numbers as `R`.
fn check(memory: &Memory, prefix: &str, expected: &Expect) {
    let documents = memory.documents();
    let mut found = documents.iter().filter(|(name, _)| name.starts_with(prefix));
    let (name, bytes) = found.next().unwrap();
    assert!(found.next().is_none(), "one document begins with {prefix}");
    let bytes = if name.contains(".zst") {
        zstd::decode_all(&bytes[..]).unwrap()
    } else {
        bytes.to_vec()
    };
    let text = format!("{name}\n{}", String::from_utf8(bytes).unwrap());
    expected.assert_eq(&without_random_numbers(&text));
}

/// Sixteen or 32 hexadecimal digits in a row, between others, are random; and it is later each time.
fn without_random_numbers(text: &str) -> String {
    let mut shown = String::new();
    let since = text.find("\"since\": \"").map(|at| at + "\"since\": \"".len());
    let until = since.and_then(|at| Some(at + text[at..].find('"')?));
    let text = match since.zip(until) {
        Some((since, until)) => format!("{}T{}", &text[..since], &text[until..]),
        None => text.to_owned(),
    };
    let mut rest = text.as_str();
    while let Some(start) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let digits = rest[start..]
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(rest.len() - start);
        shown.push_str(&rest[..start]);
        shown.push_str(if matches!(digits, 16 | 32) {
            "R"
        } else {
            &rest[start..start + digits]
        });
        rest = &rest[start + digits..];
    }
    shown + rest
}

#[tokio::test]
async fn the_manifest() {
    let (memory, state) = in_memory();
    let mut writer = state.write_manifest(&plan()).await.unwrap();
    writer.add(addition(0..2)).await.unwrap();
    writer.seal().await.unwrap();
    state.set_offered(QUEUE, 2).await.unwrap();
    check(
        &memory,
        "plan.json",
        &expect![[r#"
            plan.json
            {
              "v": 1,
              "job": "ns/job",
              "owner": "ns/job",
              "life": "R",
              "since": "T",
              "plan": {
                "--uri": "s3://logs/"
              }
            }"#]],
    );
    check(
        &memory,
        "manifest/00000000000000000000",
        &expect![[r#"
        manifest/00000000000000000000.ndjson.zst
        {"v":1,"kind":"manifest","entries":2,"job":"ns/job","writer":"R","first_seq":0,"objects":2,"bytes":20,"cursors":{"":"s3://logs/000001.ndjson"}}
        {"v":1,"job":"ns/job","seq":0,"uri":"s3://logs/000000.ndjson","etag":"\"e\"","size_bytes":10,"format":"ndjson","compression":"none","enqueued_at":"1970-01-01T00:00:00Z"}
        {"v":1,"job":"ns/job","seq":1,"uri":"s3://logs/000001.ndjson","etag":"\"e\"","size_bytes":10,"format":"ndjson","compression":"none","enqueued_at":"1970-01-01T00:00:00Z"}
    "#]],
    );
    check(
        &memory,
        "manifest/00000000000000000002",
        &expect![[r#"
        manifest/00000000000000000002.ndjson.zst
        {"v":1,"kind":"seal","entries":0,"job":"ns/job","writer":"R","first_seq":2,"objects":2,"bytes":20,"parts":1}
    "#]],
    );
    check(
        &memory,
        "offered/",
        &expect![[r#"
        offered/00000000000000000002-R.json
        {"v":1,"job":"ns/job","queue":"https://queue","offered":2}"#]],
    );
}

#[tokio::test]
async fn the_ledger() {
    let (memory, state) = in_memory();
    state
        .write_ledger("ns/pod-1")
        .record(&[completed(0), dead(70_000, "truncated")])
        .await
        .unwrap();
    check(
        &memory,
        "ledger/",
        &expect![[r#"
            ledger/ns%2Fpod-1-R-000000.g000001.ndjson.zst
            {"v":1,"kind":"ledger","entries":2,"job":"ns/job","worker":"ns/pod-1","completed":"AQAAAAAAAAAAAAAAOjAAAAEAAAAAAAAAEAAAAAAA","dead":"AQAAAAAAAAAAAAAAOjAAAAEAAAABAAAAEAAAAHAR","unbalanced":"AAAAAAAAAAA=","rejecting":"AQAAAAAAAAAAAAAAOjAAAAEAAAAAAAAAEAAAAAAA","counts":{"records_in":103,"records_out":102,"records_filtered":0,"records_dropped":0,"records_redirected":0,"records_rejected":1,"records_duplicate":0,"records_updated":0,"records_conflicting":0,"span_bytes":0,"wire_bytes":20,"decompressed_bytes":0,"output_bytes":0}}
            {"seq":0,"outcome":"completed","counts":{"records_in":100,"records_out":99,"records_filtered":0,"records_dropped":0,"records_redirected":0,"records_rejected":1,"records_duplicate":0,"records_updated":0,"records_conflicting":0,"span_bytes":0,"wire_bytes":10,"decompressed_bytes":0,"output_bytes":0}}
            {"seq":70000,"outcome":"dead_letter","reason":"truncated","counts":{"records_in":3,"records_out":3,"records_filtered":0,"records_dropped":0,"records_redirected":0,"records_rejected":0,"records_duplicate":0,"records_updated":0,"records_conflicting":0,"span_bytes":0,"wire_bytes":10,"decompressed_bytes":0,"output_bytes":0}}
        "#]],
    );
}

#[tokio::test]
async fn dead_letters_and_checkpoints() {
    let (memory, state) = in_memory();
    let cut_off = RecordDeadLetter {
        stage: Stage::Index,
        etag: None,
        record_bytes: Some(100),
        ..letter(1, 2, b"\xff\"")
    };
    state
        .write_dead_letters("pod")
        .store(&[letter(0, 1, "{\"a\": é".as_bytes()), cut_off])
        .await
        .unwrap();
    check(
        &memory,
        "dead-letters/",
        &expect![[r#"
            dead-letters/pod-R-000000.g000001.ndjson.zst
            {"v":1,"kind":"dead-letters","entries":2,"job":"ns/job","worker":"pod"}
            {"seq":0,"uri":"s3://logs/0","etag":"\"e\"","ordinal":1,"stage":"decode","reason":"not a JSON object","raw":"{\"a\": é"}
            {"seq":1,"uri":"s3://logs/1","ordinal":2,"stage":"index","reason":"not a JSON object","raw_base64":"/yI=","record_bytes":100}
        "#]],
    );
    let checkpoint = Checkpoint {
        v: 1,
        job: JOB.to_owned(),
        seq: 3,
        life: None,
        uri: "s3://b/k".to_owned(),
        range: None,
        crashes: 0,
        etag: "\"e\"".to_owned(),
        position: Position::Byte { offset: 7 },
        counts: counts(2, 1),
    };
    state.checkpoints().put(&checkpoint).await.unwrap();
    check(
        &memory,
        "checkpoints/",
        &expect![[r#"
            checkpoints/00000000000000000003.json
            {"v":1,"job":"ns/job","seq":3,"uri":"s3://b/k","crashes":0,"etag":"\"e\"","position":{"kind":"byte","offset":7},"counts":{"records_in":2,"records_out":1,"records_filtered":0,"records_dropped":0,"records_redirected":0,"records_rejected":1,"records_duplicate":0,"records_updated":0,"records_conflicting":0,"span_bytes":0,"wire_bytes":10,"decompressed_bytes":0,"output_bytes":0}}"#]],
    );
}

/// Puts the document of `name` anew, its text changed.
async fn change(memory: &Arc<Memory>, name: &str, change: impl Fn(String) -> String) {
    use pf_state::Place as _;
    let bytes = memory.get(name).await.unwrap().unwrap();
    let text = String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap();
    let bytes = zstd::encode_all(change(text).as_bytes(), 0).unwrap();
    memory.put(name, Bytes::from(bytes)).await.unwrap();
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let (memory, state) = in_memory();
    state
        .write_ledger("pod")
        .record(&[completed(0), dead(1, "x")])
        .await
        .unwrap();
    let expected = state.ledger().await.unwrap();
    let name = memory.documents().into_keys().next().unwrap();
    change(&memory, &name, |text| text.replace('{', "{\"new\":[{}],")).await;
    assert_eq!(state.ledger().await.unwrap(), expected);
}

#[tokio::test]
async fn another_version_is_refused_for_its_version() {
    let (memory, state) = in_memory();
    state.write_ledger("pod").record(&[completed(0)]).await.unwrap();
    let name = memory.documents().into_keys().next().unwrap();
    change(&memory, &name, |_| "{\"v\":2,\"all\":\"different\"}\n".to_owned()).await;
    let error = state.ledger().await.unwrap_err();
    assert!(matches!(error, Error::UnsupportedVersion { found: 2, .. }), "{error}");
    assert_eq!(
        error.to_string(),
        format!("memory:{name} in the state directory has version 2, this build reads version 1")
    );
}
