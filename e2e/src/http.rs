//! What the requests of tests need of HTTP/1.1, over blocking sockets, with TLS where a server wants it.
//!
//! Small on purpose, and a second opinion on the clients that our rooms speak through: one address, bodies of known length,
//! answers read whole.

use std::{
    fmt,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};

/// How long a server may be silent. Nothing that tests ask for takes a tenth of it; who never answers must not hang them.
const SILENCE_MAX: Duration = Duration::from_mins(2);

/// Sends requests to one server.
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    /// Connections that wait for their next request.
    idle: Mutex<Vec<BufReader<Box<dyn Connection>>>>,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    /// Percent-encoded, with the query.
    pub(crate) path: &'a str,
    /// Besides `host` and `content-length`.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
}

/// A server's answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A plain connection or one with TLS.
trait Connection: Read + Write + Send {}

impl<T: Read + Write + Send> Connection for T {}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// With TLS as configured, or without.
    pub(crate) fn new(address: SocketAddr, tls: Option<Arc<ClientConfig>>) -> Self {
        Self {
            address,
            tls,
            idle: Mutex::default(),
        }
    }

    /// Sends one request and reads its answer.
    pub(crate) fn send(&self, request: &Request<'_>) -> Result<Answer> {
        let Request {
            method,
            path,
            headers,
            body,
        } = request;
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address).into_bytes();
        for (name, value) in *headers {
            write!(text, "{name}: {value}\r\n")?;
        }
        write!(text, "content-length: {}\r\n\r\n", body.len())?;
        text.extend_from_slice(body);
        let kept = self.idle.lock().expect("no holder of this lock panics").pop();
        if let Some(connection) = kept
            && let Ok(answer) = self.exchange(connection, method, &text)
        {
            return Ok(answer);
        }
        // None was kept, or the server closed it meanwhile.
        self.exchange(BufReader::new(self.connect()?), method, &text)
    }

    fn connect(&self) -> Result<Box<dyn Connection>> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        Ok(match &self.tls {
            None => Box::new(stream),
            Some(config) => {
                let name = ServerName::from(self.address.ip());
                Box::new(StreamOwned::new(
                    ClientConnection::new(Arc::clone(config), name)?,
                    stream,
                ))
            }
        })
    }

    fn exchange(&self, mut connection: BufReader<Box<dyn Connection>>, method: &str, request: &[u8]) -> Result<Answer> {
        connection.get_mut().write_all(request)?;
        connection.get_mut().flush()?;
        let answer = read_answer(&mut connection, method != "HEAD")?;
        if answer.header("connection") != Some("close") {
            self.idle
                .lock()
                .expect("no holder of this lock panics")
                .push(connection);
        }
        Ok(answer)
    }
}

fn read_answer(connection: &mut impl BufRead, has_body: bool) -> Result<Answer> {
    let line = read_line(connection)?;
    let status = line.split(' ').nth(1).context("no status line")?.parse()?;
    let mut headers = Vec::new();
    while let Some((name, value)) = read_line(connection)?.split_once(':') {
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer {
        status,
        headers,
        body: String::new(),
    };
    let mut body = Vec::new();
    if !has_body {
    } else if answer.header("transfer-encoding") == Some("chunked") {
        read_chunks(connection, &mut body)?;
    } else {
        let length = answer.header("content-length").map_or(Ok(0), str::parse)?;
        read_exactly(connection, length, &mut body)?;
    }
    answer.body = String::from_utf8_lossy(&body).into_owned();
    Ok(answer)
}

/// "Chunked Transfer Coding" in RFC 9112, without trailers, which no server of ours sends.
fn read_chunks(connection: &mut impl BufRead, body: &mut Vec<u8>) -> Result<()> {
    loop {
        let size = u64::from_str_radix(&read_line(connection)?, 16).context("a chunk has no size")?;
        read_exactly(connection, size, body)?;
        ensure!(read_line(connection)?.is_empty(), "a chunk goes on past its end");
        if size == 0 {
            return Ok(());
        }
    }
}

fn read_exactly(connection: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> Result<()> {
    let read = connection.take(length).read_to_end(body)?;
    ensure!(read as u64 == length, "the connection closed within the body");
    Ok(())
}

/// One line of an answer's head, without its end.
fn read_line(connection: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    ensure!(
        connection.read_line(&mut line)? > 0,
        "the connection closed within the answer"
    );
    Ok(line.trim_end().to_owned())
}
