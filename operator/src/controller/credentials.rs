//! The key that a job's queue is asked with, where the job names a Secret for it. The Secret is read at each step, by name: so
//! another content is used at once, and nothing of it is kept but in the hands of who asks.

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, Client};
use pf_work::sqs::AccessKey;

use super::{
    build::{QUEUE_KEY, queue_secret},
    names,
};
use crate::{
    crd::IngestJob,
    validate::{Complaint, FieldPath},
};

/// Characters of AWS' keys and tokens at most (`AccessKey` in the IAM API reference; tokens have no fixed length).
const CHARACTERS_MAX: usize = 8192;

/// Reads the key; [`None`] where the job names none. The complaint says what is wrong with the Secret, and nothing of what is
/// in it.
pub(super) async fn queue_key(
    client: &Client,
    job: &IngestJob,
    namespace: &str,
) -> Result<Result<Option<AccessKey>, Complaint>, kube::Error> {
    let Some(name) = queue_secret(job) else {
        return Ok(Ok(None));
    };
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    let complain = |message| Complaint::new(FieldPath::parse("spec.queue.sqs.credentials.secret"), message);
    Ok(match secrets.get_opt(name).await? {
        Some(secret) => read(name, &secret).map(Some).map_err(complain),
        None => Err(complain(format!(
            "there is no Secret {name} in the namespace {namespace}"
        ))),
    })
}

fn read(name: &str, secret: &Secret) -> Result<AccessKey, String> {
    let entry = |(key, _, is_optional): (&str, &str, bool)| {
        let found = secret.data.as_ref().and_then(|data| data.get(key));
        match found {
            Some(ByteString(bytes)) => text(bytes).map(Some).ok_or_else(|| {
                format!(
                    "the key {key} of the Secret {name} must be letters, digits and signs, without blanks or line ends"
                )
            }),
            None if is_optional => Ok(None),
            None => Err(format!("the Secret {name} has no key {key}")),
        }
    };
    let [id, secret, session_token] = QUEUE_KEY;
    Ok(AccessKey {
        id: entry(id)?.unwrap_or_default(),
        secret: entry(secret)?.unwrap_or_default(),
        session_token: entry(session_token)?,
    })
}

/// What can be a key: a line end, which many a tool leaves behind, would make another one of it.
fn text(bytes: &[u8]) -> Option<String> {
    let is_key = !bytes.is_empty() && bytes.len() <= CHARACTERS_MAX && bytes.iter().all(u8::is_ascii_graphic);
    is_key.then(|| String::from_utf8_lossy(bytes).into_owned())
}

/// A hash of what pods read, with the key that they sign with in it.
pub(super) fn hash_with(contents_hash: String, key: Option<&AccessKey>) -> String {
    let Some(AccessKey {
        id,
        secret,
        session_token,
    }) = key
    else {
        return contents_hash;
    };
    let token = session_token.as_deref().unwrap_or_default();
    names::hash([&contents_hash, id, secret, token].map(str::as_bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn secret(entries: &[(&str, &str)]) -> Secret {
        let entries = entries
            .iter()
            .map(|(key, text)| ((*key).to_owned(), ByteString(text.as_bytes().to_vec())));
        Secret {
            data: Some(entries.collect::<BTreeMap<_, _>>()),
            ..Secret::default()
        }
    }

    #[test]
    fn a_key_is_read_with_its_token_or_without() {
        let key = read(
            "aws",
            &secret(&[("accessKeyId", "AKIA1"), ("secretAccessKey", "geheim+/1")]),
        )
        .unwrap();
        assert_eq!(
            (key.id.as_str(), key.secret.as_str(), key.session_token),
            ("AKIA1", "geheim+/1", None)
        );
        let entries = [("accessKeyId", "A"), ("secretAccessKey", "B"), ("sessionToken", "C")];
        assert_eq!(
            read("aws", &secret(&entries)).unwrap().session_token.as_deref(),
            Some("C")
        );
    }

    #[test]
    fn what_is_no_key_is_told_without_being_shown() {
        for (entries, expected) in [
            (
                vec![("secretAccessKey", "geheim")],
                "the Secret aws has no key accessKeyId",
            ),
            (
                vec![("accessKeyId", "AKIA1")],
                "the Secret aws has no key secretAccessKey",
            ),
            (
                vec![("accessKeyId", "AKIA1"), ("secretAccessKey", "geheim\n")],
                "the key secretAccessKey of the Secret aws",
            ),
            (
                vec![("accessKeyId", ""), ("secretAccessKey", "geheim")],
                "the key accessKeyId of the Secret aws",
            ),
        ] {
            let told = read("aws", &secret(&entries)).unwrap_err();
            assert!(told.starts_with(expected) && !told.contains("geheim"), "{told}");
        }
    }

    #[test]
    fn another_key_makes_another_hash_and_none_keeps_it() {
        let key = |secret: &str| AccessKey {
            id: "A".to_owned(),
            secret: secret.to_owned(),
            session_token: None,
        };
        let hash = |key: Option<&AccessKey>| hash_with("before".to_owned(), key);
        assert_eq!(hash(None), "before");
        assert_eq!(hash(Some(&key("B"))), hash(Some(&key("B"))));
        assert_ne!(hash(Some(&key("B"))), hash(Some(&key("C"))));
    }
}
