//! The few signed requests that fill a test's bucket: HTTP/1.1 over blocking sockets, AWS Signature Version 4.
//!
//! Small on purpose, and a second opinion on the SDK's signatures.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Mutex,
};

use anyhow::{Context as _, Result, ensure};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// Sends signed requests to one server.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) address: SocketAddr,
    pub(super) secret: String,
    access_key_id: &'static str,
    region: &'static str,
    /// Connections that wait for their next request.
    idle: Mutex<Vec<BufReader<TcpStream>>>,
}

/// A server's answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Client {
    pub(super) fn new(address: SocketAddr, access_key_id: &'static str, region: &'static str, secret: String) -> Self {
        Self {
            address,
            secret,
            access_key_id,
            region,
            idle: Mutex::default(),
        }
    }

    /// Sends one request; `path` and `query` are percent-encoded, and the query is in canonical form.
    pub(super) fn send(&self, method: &str, path: &str, query: &str, body: &[u8]) -> Result<Answer> {
        let question = if query.is_empty() { "" } else { "?" };
        let mut request = format!("{method} {path}{question}{query} HTTP/1.1\r\n");
        for (name, value) in self.signed_headers(method, path, query, body) {
            write!(request, "{name}: {value}\r\n")?;
        }
        write!(request, "content-length: {}\r\n\r\n", body.len())?;
        let mut request = request.into_bytes();
        request.extend_from_slice(body);
        let kept = self.idle.lock().expect("no holder of this lock panics").pop();
        if let Some(connection) = kept
            && let Ok(answer) = self.exchange(connection, &request)
        {
            return Ok(answer);
        }
        // None was kept, or the server closed it meanwhile.
        let connection = TcpStream::connect(self.address)?;
        connection.set_nodelay(true)?;
        self.exchange(BufReader::new(connection), &request)
    }

    fn exchange(&self, mut connection: BufReader<TcpStream>, request: &[u8]) -> Result<Answer> {
        connection.get_mut().write_all(request)?;
        let answer = read_answer(&mut connection)?;
        if answer.header("connection") != Some("close") {
            self.idle
                .lock()
                .expect("no holder of this lock panics")
                .push(connection);
        }
        Ok(answer)
    }

    /// "Signature Version 4 signing process" in the reference of AWS IAM.
    fn signed_headers(&self, method: &str, path: &str, query: &str, body: &[u8]) -> Vec<(&'static str, String)> {
        const NAMES: &str = "host;x-amz-content-sha256;x-amz-date";
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let day = &time[..8];
        let body_hash = hex(&Sha256::digest(body));
        let host = self.address.to_string();
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
            ("host", host),
            ("x-amz-content-sha256", body_hash),
            ("x-amz-date", time),
            ("authorization", authorization),
        ]
    }
}

fn read_answer(connection: &mut BufReader<TcpStream>) -> Result<Answer> {
    let mut line = String::new();
    connection.read_line(&mut line)?;
    let status = line.split(' ').nth(1).context("no status line")?.parse()?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        ensure!(
            connection.read_line(&mut line)? > 0,
            "the connection closed within the headers"
        );
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer {
        status,
        headers,
        body: String::new(),
    };
    let length = answer.header("content-length").map_or(Ok(0), str::parse)?;
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    answer.body = String::from_utf8_lossy(&body).into_owned();
    Ok(answer)
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

pub(super) fn hex(bytes: &[u8]) -> String {
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
