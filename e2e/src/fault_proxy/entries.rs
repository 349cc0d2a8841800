//! Single entries of SQS' calls on several messages that fail.

use std::io;

use serde_json::{Value, json};

use super::{
    FailedEntries,
    messages::{Answer, fetch, with_length},
};

/// Passes on what does not fail, and makes one answer of the server's and of the failures.
pub(super) async fn fail(upstream: &str, head: &str, body: &[u8], failed: &FailedEntries) -> io::Result<Answer> {
    let mut request: Value = serde_json::from_slice(body)?;
    let Value::Array(entries) = request["Entries"].take() else {
        return fetch(upstream, head, body).await;
    };
    let hit: Vec<String> = failed
        .places
        .iter()
        .filter_map(|&place| Some(entries.get(place)?["Id"].as_str()?.to_owned()))
        .collect();
    let is_hit = |entry: &Value| hit.iter().any(|id| entry["Id"] == id.as_str());
    let passed: Vec<Value> = entries
        .into_iter()
        .filter(|entry| failed.applied || !is_hit(entry))
        .collect();
    let mut answer = if passed.is_empty() {
        json!({})
    } else {
        request["Entries"] = Value::Array(passed);
        let body = request.to_string().into_bytes();
        let answer = fetch(upstream, &with_length(head, body.len()), &body).await?;
        if !answer.head.starts_with("HTTP/1.1 200") {
            return Ok(answer);
        }
        serde_json::from_slice(&answer.body)?
    };
    for name in ["Successful", "Failed"] {
        if let Value::Array(entries) = &mut answer[name] {
            entries.retain(|entry| !is_hit(entry));
        } else {
            answer[name] = json!([]);
        }
    }
    let more = hit.iter().map(|id| {
        json!({"Id": id, "Code": failed.code, "Message": "The proxy says so.", "SenderFault": failed.sender_fault})
    });
    if let Value::Array(entries) = &mut answer["Failed"] {
        entries.extend(more);
    }
    let body = answer.to_string().into_bytes();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 0\r\n\r\n";
    Ok(Answer {
        head: with_length(head, body.len()),
        body,
    })
}
