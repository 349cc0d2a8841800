//! Just enough of HTTP/1.1 to pass a request on and to count the bytes of its answer: bodies of known length, and answers in
//! chunks, which go on as one body of known length.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

/// A server's answer, as a whole.
pub(super) struct Answer {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn whole(&self) -> Vec<u8> {
        [self.head.as_bytes(), &self.body].concat()
    }
}

/// Passes a request on and at most so many bytes of its answer's body back, which it counts; says whether that was all of it.
pub(super) async fn relay(
    client: &mut BufReader<TcpStream>,
    upstream: &str,
    request: &str,
    body: &[u8],
    body_bytes_max: u64,
    counted: &AtomicU64,
) -> io::Result<bool> {
    let mut server = ask(upstream, request, body).await?;
    let head = read_head(&mut server).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let has_body = has_body(request, &head);
    if has_body && is_chunked(&head) {
        let answer = read_chunked(&mut server, &head).await?;
        let sent = answer
            .body
            .len()
            .min(usize::try_from(body_bytes_max).unwrap_or(usize::MAX));
        client.get_mut().write_all(answer.head.as_bytes()).await?;
        client.get_mut().write_all(&answer.body[..sent]).await?;
        counted.fetch_add(sent as u64, Ordering::Relaxed);
        client.get_mut().flush().await?;
        return Ok(sent == answer.body.len());
    }
    let length = if has_body { content_length(&head)? } else { 0 };
    client.get_mut().write_all(head.as_bytes()).await?;
    let sent = length.min(body_bytes_max);
    let mut body = (&mut server).take(sent);
    loop {
        let piece = body.fill_buf().await?;
        if piece.is_empty() {
            break;
        }
        let bytes = piece.len();
        client.get_mut().write_all(piece).await?;
        body.consume(bytes);
        counted.fetch_add(bytes as u64, Ordering::Relaxed);
    }
    client.get_mut().flush().await?;
    Ok(sent == length)
}

/// Passes a request on and waits for its whole answer.
pub(super) async fn fetch(upstream: &str, request: &str, body: &[u8]) -> io::Result<Answer> {
    let mut server = ask(upstream, request, body).await?;
    let head = read_head(&mut server).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let has_body = has_body(request, &head);
    if has_body && is_chunked(&head) {
        return read_chunked(&mut server, &head).await;
    }
    let length = if has_body { content_length(&head)? } else { 0 };
    let mut body = Vec::new();
    (&mut server).take(length).read_to_end(&mut body).await?;
    Ok(Answer { head, body })
}

/// Whether a body follows on an answer's head ("Message Body Length" in RFC 9112).
fn has_body(request: &str, head: &str) -> bool {
    let status = head.split(' ').nth(1).unwrap_or_default();
    !request.starts_with("HEAD ") && !matches!(status, "204" | "304")
}

/// The head of another body.
pub(super) fn with_length(head: &str, length: usize) -> String {
    let others = head.trim_end().lines().filter(|line| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("content-length:") && !line.starts_with("transfer-encoding:")
    });
    let others: Vec<&str> = others.collect();
    format!("{}\r\ncontent-length: {length}\r\n\r\n", others.join("\r\n"))
}

async fn ask(upstream: &str, request: &str, body: &[u8]) -> io::Result<BufReader<TcpStream>> {
    let mut server = BufReader::new(TcpStream::connect(upstream).await?);
    server.get_mut().set_nodelay(true)?;
    server.get_mut().write_all(&[request.as_bytes(), body].concat()).await?;
    Ok(server)
}

/// The body of a request, which may have none.
pub(super) async fn read_body(client: &mut BufReader<TcpStream>, head: &str) -> io::Result<Vec<u8>> {
    let length = content_length(head).unwrap_or(0);
    let mut body = Vec::new();
    client.take(length).read_to_end(&mut body).await?;
    Ok(body)
}

/// Up to and with the empty line, or none at the end of the connection.
pub(super) async fn read_head(connection: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if connection.read_line(&mut head).await? == 0 {
            return if head.is_empty() {
                Ok(None)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
    }
    Ok(Some(head))
}

fn content_length(head: &str) -> io::Result<u64> {
    let head = head.to_ascii_lowercase();
    let value = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    value
        .and_then(|value| value.trim().parse().ok())
        .ok_or_else(|| io::Error::other("there is no content length"))
}

fn is_chunked(head: &str) -> bool {
    let head = head.to_ascii_lowercase();
    let value = head.lines().find_map(|line| line.strip_prefix("transfer-encoding:"));
    value.is_some_and(|value| value.trim() == "chunked")
}

/// "Chunked Transfer Coding" in RFC 9112, without trailers, which no server of ours sends.
async fn read_chunked(server: &mut (impl AsyncBufRead + Unpin), head: &str) -> io::Result<Answer> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        server.read_line(&mut line).await?;
        let size = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
        let start = body.len();
        body.resize(start + size, 0);
        server.read_exact(&mut body[start..]).await?;
        // The end of the chunk's line.
        server.read_exact(&mut [0; 2]).await?;
        if size == 0 {
            break;
        }
    }
    Ok(Answer {
        head: with_length(head, body.len()),
        body,
    })
}
