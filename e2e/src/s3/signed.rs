//! The few signed requests that fill a test's bucket, by AWS Signature Version 4.
//!
//! A second opinion on the SDK's signatures.

use std::{fmt::Write as _, net::SocketAddr};

use anyhow::Result;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::http::{self, Answer};

/// Sends signed requests to one server.
#[derive(Debug)]
pub(super) struct Client {
    http: http::Client,
    pub(super) secret: String,
    access_key_id: &'static str,
    pub(super) region: &'static str,
}

impl Client {
    pub(super) fn new(address: SocketAddr, access_key_id: &'static str, region: &'static str, secret: String) -> Self {
        Self {
            http: http::Client::new(address, None),
            secret,
            access_key_id,
            region,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.http.address
    }

    /// Sends one request; `path` and `query` are percent-encoded, and the query is in canonical form.
    pub(super) fn send(&self, method: &str, path: &str, query: &str, body: &[u8]) -> Result<Answer> {
        let question = if query.is_empty() { "" } else { "?" };
        let signed = self.signed_headers(method, path, query, body);
        let headers: Vec<(&str, &str)> = signed.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.http.send(&http::Request {
            method,
            path: &format!("{path}{question}{query}"),
            headers: &headers,
            body,
        })
    }

    /// "Signature Version 4 signing process" in the reference of AWS IAM.
    fn signed_headers(&self, method: &str, path: &str, query: &str, body: &[u8]) -> Vec<(&'static str, String)> {
        const NAMES: &str = "host;x-amz-content-sha256;x-amz-date";
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let day = &time[..8];
        let body_hash = hex(&Sha256::digest(body));
        let host = self.http.address;
        let canonical = format!(
            "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{body_hash}\nx-amz-date:{time}\n\n{NAMES}\n{body_hash}"
        );
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let secret = format!("AWS4{}", self.secret);
        let key = [day, self.region, "s3", "aws4_request"]
            .iter()
            .fold(secret.into_bytes(), |key, part| mac(&key, part));
        let signature = hex(&mac(&key, &to_sign));
        let id = self.access_key_id;
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={id}/{scope},SignedHeaders={NAMES},Signature={signature}");
        vec![
            ("x-amz-content-sha256", body_hash),
            ("x-amz-date", time),
            ("authorization", authorization),
        ]
    }
}

/// The percent-encoded path of an object.
pub(super) fn path(bucket: &str, key: &str) -> String {
    let mut path = format!("/{bucket}/");
    for &byte in key.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            path.push(char::from(byte));
        } else {
            write!(path, "%{byte:02X}").expect("writing to a string can't fail");
        }
    }
    path
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string can't fail");
        text
    })
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
