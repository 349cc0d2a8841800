//! An HTTP proxy before a real server that breaks what it is told to: cuts, stalls, resets, answers of its own, answers
//! that come late or never, single entries of calls on several.
//!
//! One fault is spent on each request, in order, or chosen by what the request is.

mod entries;
mod messages;

use std::{
    collections::VecDeque,
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

use self::messages::{fetch, read_body, read_head, relay};

/// What becomes of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it is passed on, and its answer back.
    Pass,
    /// The answer's head and so many bytes of its body come, then the connection is closed in good order.
    CutBody {
        /// Bytes of the body that come.
        after_bytes: u64,
    },
    /// The answer's head and so many bytes of its body come, then the connection is reset.
    ResetBody {
        /// Bytes of the body that come.
        after_bytes: u64,
    },
    /// The answer's head and so many bytes of its body come, then nothing more, and the connection stays open.
    StallBody {
        /// Bytes of the body that come.
        after_bytes: u64,
    },
    /// The connection is reset instead of an answer.
    Reset,
    /// No answer comes, and the connection stays open.
    Stall,
    /// This text is the answer, from its status line on; the server hears nothing of the request.
    Answer(String),
    /// The server does what it is asked, and the connection is reset instead of its answer.
    LoseAnswer,
    /// The server is asked twice, one after the other, and the second answer is the answer.
    Twice,
    /// The server does what it is asked, and its answer comes so much later.
    Late(Duration),
    /// Of a call of SQS on several messages, these entries fail, and the others are passed on.
    FailEntries(FailedEntries),
}

/// Which entries of a call fail, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedEntries {
    /// Their places in the call; places that it does not have are passed over.
    pub places: Vec<usize>,
    /// The code that the answer gives for each of them.
    pub code: String,
    /// Whether the answer blames the caller.
    pub sender_fault: bool,
    /// Whether the server does them all the same.
    pub applied: bool,
}

/// What a fault is chosen by.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Request line and headers, in lower case.
    pub head: &'a str,
    /// The body.
    pub body: &'a [u8],
}

impl Request<'_> {
    /// The action of SQS' JSON protocol, in lower case, as `sendmessagebatch`.
    pub fn sqs_action(&self) -> Option<&str> {
        let target = self.head.lines().find_map(|line| line.strip_prefix("x-amz-target:"));
        Some(target?.trim().trim_start_matches("amazonsqs."))
    }
}

impl Fault {
    /// An S3 error of the proxy's own.
    pub fn error(status: u16, code: &str, message: &str, headers: &[(&str, &str)]) -> Self {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <Error><Code>{code}</Code><Message>{message}</Message></Error>"
        );
        let headers: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let headers = headers.concat();
        Self::Answer(format!(
            "HTTP/1.1 {status} Fault\r\ncontent-type: application/xml\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    /// An SQS error of the proxy's own.
    pub fn sqs_error(status: u16, code: &str, message: &str) -> Self {
        let body = format!(r#"{{"__type":"com.amazonaws.sqs#Fault","message":"{message}"}}"#);
        Self::Answer(format!(
            "HTTP/1.1 {status} Fault\r\ncontent-type: application/x-amz-json-1.0\r\n\
             x-amzn-query-error: {code};Sender\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    /// What S3 answers when it is asked too much.
    pub fn slow_down() -> Self {
        Self::error(503, "SlowDown", "Please reduce your request rate.", &[])
    }
}

/// A running proxy; dropping it closes its connections.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    state: Arc<State>,
    runtime: Option<Runtime>,
}

type Choose = dyn Fn(&Request<'_>) -> Fault + Send + Sync;

struct State {
    upstream: String,
    faults: Mutex<VecDeque<Fault>>,
    afterwards: Mutex<Arc<Choose>>,
    requests: Mutex<Vec<String>>,
    body_bytes: AtomicU64,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("upstream", &self.upstream)
            .finish_non_exhaustive()
    }
}

impl FaultProxy {
    /// A proxy before the server at `endpoint`, as `http://127.0.0.1:port`, that passes everything on.
    pub fn new(endpoint: &str) -> Self {
        let upstream = endpoint.strip_prefix("http://").expect("an http:// address").to_owned();
        let state = Arc::new(State {
            upstream,
            faults: Mutex::default(),
            afterwards: Mutex::new(Arc::new(|_: &Request<'_>| Fault::Pass)),
            requests: Mutex::default(),
            body_bytes: AtomicU64::new(0),
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        listener.set_nonblocking(true).expect("sockets can be non-blocking");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread can be started");
        runtime.spawn(accept(listener, Arc::clone(&state)));
        Self {
            address,
            state,
            runtime: Some(runtime),
        }
    }

    /// Its own address, as `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Spends these faults on the next requests, one on each.
    pub fn then(&self, faults: impl IntoIterator<Item = Fault>) -> &Self {
        lock(&self.state.faults).extend(faults);
        self
    }

    /// Spends this fault on every request after those.
    pub fn afterwards(&self, fault: Fault) -> &Self {
        self.choose(move |_| fault.clone())
    }

    /// Chooses the fault of every request after those.
    pub fn choose(&self, choose: impl Fn(&Request<'_>) -> Fault + Send + Sync + 'static) -> &Self {
        *lock(&self.state.afterwards) = Arc::new(choose);
        self
    }

    /// The heads of the requests so far, each with its request line and headers in lower case.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.state.requests).clone()
    }

    /// Bytes of answers' bodies that were passed back as they came, also to who did not wait for the end.
    pub fn body_bytes(&self) -> u64 {
        self.state.body_bytes.load(Ordering::Relaxed)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for its end is not allowed where tests run on a runtime of their own.
            runtime.shutdown_background();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}

async fn accept(listener: std::net::TcpListener, state: Arc<State>) {
    let listener = TcpListener::from_std(listener).expect("the listener is non-blocking");
    while let Ok((client, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            // A connection that breaks is what this is about; the client's side tells.
            let _ = serve(BufReader::new(client), &state).await;
        });
    }
}

async fn serve(mut client: BufReader<TcpStream>, state: &State) -> io::Result<()> {
    client.get_ref().set_nodelay(true)?;
    while let Some(head) = read_head(&mut client).await? {
        let body = read_body(&mut client, &head).await?;
        let fault = fault_for(state, &head, &body);
        let (body_bytes_max, reset) = match &fault {
            Fault::Pass => (u64::MAX, false),
            Fault::CutBody { after_bytes } | Fault::StallBody { after_bytes } => (*after_bytes, false),
            Fault::ResetBody { after_bytes } => (*after_bytes, true),
            Fault::Reset => return reset_connection(&client),
            Fault::Stall => return hold_open(client).await,
            Fault::Answer(answer) => {
                client.get_mut().write_all(answer.as_bytes()).await?;
                continue;
            }
            Fault::LoseAnswer => {
                fetch(&state.upstream, &head, &body).await?;
                return reset_connection(&client);
            }
            Fault::Twice => {
                fetch(&state.upstream, &head, &body).await?;
                let answer = fetch(&state.upstream, &head, &body).await?;
                client.get_mut().write_all(&answer.whole()).await?;
                continue;
            }
            Fault::Late(delay) => {
                let answer = fetch(&state.upstream, &head, &body).await?;
                tokio::time::sleep(*delay).await;
                client.get_mut().write_all(&answer.whole()).await?;
                continue;
            }
            Fault::FailEntries(failed) => {
                let answer = entries::fail(&state.upstream, &head, &body, failed).await?;
                client.get_mut().write_all(&answer.whole()).await?;
                continue;
            }
        };
        let whole = relay(
            &mut client,
            &state.upstream,
            &head,
            &body,
            body_bytes_max,
            &state.body_bytes,
        )
        .await?;
        match (whole, reset, fault) {
            (true, ..) => {}
            (false, true, _) => return reset_connection(&client),
            (false, false, Fault::StallBody { .. }) => return hold_open(client).await,
            (false, false, _) => return client.get_mut().shutdown().await,
        }
    }
    Ok(())
}

fn fault_for(state: &State, head: &str, body: &[u8]) -> Fault {
    let head = head.to_ascii_lowercase();
    let queued = lock(&state.faults).pop_front();
    let fault = queued.unwrap_or_else(|| {
        // Not called under the lock: who chooses may look at the proxy.
        let choose = Arc::clone(&lock(&state.afterwards));
        choose(&Request { head: &head, body })
    });
    lock(&state.requests).push(head);
    fault
}

fn reset_connection(client: &BufReader<TcpStream>) -> io::Result<()> {
    // Closing without lingering sends RST instead of FIN.
    client.get_ref().set_zero_linger()
}

/// Until the other side gives up.
async fn hold_open(mut client: BufReader<TcpStream>) -> io::Result<()> {
    tokio::io::copy(&mut client, &mut tokio::io::sink()).await?;
    Ok(())
}
