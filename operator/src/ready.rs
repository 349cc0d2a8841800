//! `ready`: asks an operator whether it is ready, for `helm test`: the image has no other program that could ask.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::args::Ready;

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Between two questions.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// An answer is a few lines; who says more is no operator.
const ANSWER_BYTES_MAX: u64 = 4096;

/// Asks until the answer is yes, or the patience ends: then the error is the last answer.
pub async fn ready(args: &Ready) -> anyhow::Result<()> {
    let deadline = Instant::now() + args.patience.0;
    loop {
        let answer = match timeout(ANSWER_MAX, ask(&args.address)).await {
            Ok(answer) => answer,
            Err(_) => Err(anyhow::anyhow!("no answer in {} s", ANSWER_MAX.as_secs())),
        };
        match answer {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= deadline => {
                return Err(error).with_context(|| format!("the operator at {} is not ready", args.address));
            }
            Err(error) => tracing::info!(error = format!("{error:#}"), "not ready yet"),
        }
        sleep(ASK_EVERY).await;
    }
}

async fn ask(address: &str) -> anyhow::Result<()> {
    let mut connection = TcpStream::connect(address).await.context("cannot connect")?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.context("cannot ask")?;
    let mut answer = String::new();
    let mut bounded = connection.take(ANSWER_BYTES_MAX);
    bounded
        .read_to_string(&mut answer)
        .await
        .context("cannot read the answer")?;
    let line = answer.lines().next().unwrap_or_default();
    ensure!(line.starts_with("HTTP/1.1 "), "it does not speak HTTP");
    match line.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => bail!("it answers {line}"),
    }
}
