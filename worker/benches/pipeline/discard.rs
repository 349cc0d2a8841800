//! A cluster that takes every document and keeps none, so that what a run costs is the worker's own.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// How much of a body is read at once.
const READ_BYTES: usize = 1 << 18;
/// What is asked besides bulks is answered as to somebody who may write and not look.
const MAY_NOT_LOOK: &str = r#"{"error":{"type":"security_exception","reason":"may not look"},"status":403}"#;
const HELLO: &str = r#"{"version":{"number":"8.19.0","build_flavor":"default"},"tagline":"You Know, for Search"}"#;

/// A listening server, for as long as the process lives.
pub(crate) struct Discard {
    pub(crate) endpoint: String,
    documents: Arc<AtomicU64>,
    body_bytes: Arc<AtomicU64>,
}

impl Discard {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            documents: Arc::default(),
            body_bytes: Arc::default(),
        };
        let (documents, body_bytes) = (Arc::clone(&server.documents), Arc::clone(&server.body_bytes));
        thread::spawn(move || {
            for connection in listener.incoming().map(Result::unwrap) {
                let (documents, body_bytes) = (Arc::clone(&documents), Arc::clone(&body_bytes));
                thread::spawn(move || serve(connection, &documents, &body_bytes));
            }
        });
        server
    }

    /// How many documents came since this was last asked, and the bytes of the bodies that they came in.
    pub(crate) fn take_counts(&self) -> (u64, u64) {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        (take(&self.documents), take(&self.body_bytes))
    }
}

/// Until the other side closes the connection.
fn serve(connection: TcpStream, documents: &AtomicU64, body_bytes: &AtomicU64) {
    connection.set_nodelay(true).unwrap();
    let mut connection = BufReader::with_capacity(READ_BYTES, connection);
    let mut buffer = vec![0; READ_BYTES];
    while let Some((request_line, mut rest)) = read_head(&mut connection) {
        let mut lines = 0;
        body_bytes.fetch_add(rest as u64, Ordering::Relaxed);
        while rest > 0 {
            let part = rest.min(buffer.len());
            let read = connection.read(&mut buffer[..part]).unwrap();
            assert!(read > 0, "the body ends early");
            lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
            rest -= read;
        }
        let answer = if request_line.contains("/_bulk") {
            // An action and a document are a line each.
            let items = lines / 2;
            documents.fetch_add(items, Ordering::Relaxed);
            let items = vec![r#"{"create":{"status":201}}"#; items as usize].join(",");
            head(200, &format!(r#"{{"errors":false,"items":[{items}]}}"#))
        } else if request_line.starts_with("GET / ") {
            head(200, HELLO)
        } else {
            head(403, MAY_NOT_LOOK)
        };
        if connection.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn head(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} Fine\r\ncontent-type: application/json\r\nx-elastic-product: Elasticsearch\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The request line, and how long the body is; `None` at the end of the connection.
fn read_head(connection: &mut BufReader<TcpStream>) -> Option<(String, usize)> {
    let mut request_line = String::new();
    if connection.read_line(&mut request_line).ok()? == 0 {
        return None;
    }
    let mut length = 0;
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            return Some((request_line, length));
        }
        assert!(!line.starts_with("transfer-encoding"), "bodies have a length");
        if let Some(text) = line.strip_prefix("content-length:") {
            length = text.trim().parse().unwrap();
        }
    }
}
