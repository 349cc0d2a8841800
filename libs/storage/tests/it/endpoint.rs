//! Endpoints that are not an S3 server's, and what a caller hears of them and how soon.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use pf_e2e::{Fault, FaultProxy, S3};
use pf_storage::{Error, ListRequest, Options, Storage};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer},
};

use crate::{
    warnings::Warnings,
    worlds::{options, said},
};

/// A server on loopback that does as it is told with each connection, and counts them. Its thread ends with the
/// process.
struct Server {
    address: String,
    connections: Arc<AtomicUsize>,
}

impl Server {
    fn new(serve: impl Fn(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                counted.fetch_add(1, Ordering::Relaxed);
                serve(connection.unwrap());
            }
        });
        Self { address, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// The errors of a listing and of a read through `options`.
async fn errors(options: Options) -> [Error; 2] {
    let storage = Storage::new(options);
    let request = ListRequest {
        prefix: "s3://bucket/".parse().unwrap(),
        start_after: None,
        by_folder: false,
        continuation: None,
        page_size: 1000,
    };
    let list = storage.list(&request).await.unwrap_err();
    let uri = "s3://bucket/key".parse().unwrap();
    let read = storage.read_range(&uri, Some("\"v1\""), 0..10).await.unwrap_err();
    [list, read]
}

/// Both calls are denied, with these words and the endpoint among theirs.
async fn are_denied(endpoint: &str, words: &[&str]) {
    for error in errors(options(endpoint)).await {
        assert!(matches!(error, Error::Denied { .. }), "{endpoint}: {error:?}");
        let said = said(&error);
        for word in words.iter().chain(&["--s3-endpoint", endpoint]) {
            assert!(said.contains(word), "`{word}` is missing: {said}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_the_endpoints_fault_at_once() {
    let certificate = CertificateDer::from(include_bytes!("untrusted/certificate.der").as_slice());
    let key = PrivateKeyDer::try_from(include_bytes!("untrusted/key.der").as_slice()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let server = Server::new(move |connection| {
        let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
        // Ends with the client's alert.
        let _ = StreamOwned::new(tls, connection).read(&mut [0; 1000]);
    });
    for error in errors(options(&format!("https://{}", server.address))).await {
        assert!(matches!(error, Error::Denied { .. }), "{error:?}");
        let said = said(&error);
        assert!(
            said.contains("is not trusted") && said.contains("SSL_CERT_FILE") && said.contains(&server.address),
            "{said}"
        );
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn tls_to_a_port_without_it_is_the_endpoints_fault_at_once() {
    let server = Server::new(|mut connection| {
        let _ = connection.read(&mut [0; 1000]);
        let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    });
    are_denied(
        &format!("https://{}", server.address),
        &["does not speak TLS", "http://"],
    )
    .await;
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn no_tls_to_a_port_of_tls_is_the_endpoints_fault_at_once() {
    let server = Server::new(|mut connection| {
        let _ = connection.read(&mut [0; 1000]);
        // A fatal alert: unexpected message.
        let _ = connection.write_all(&[21, 3, 3, 0, 2, 2, 10]);
    });
    are_denied(
        &format!("http://{}", server.address),
        &["does not speak HTTP", "https://"],
    )
    .await;
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_host_that_nobody_knows_is_looked_up_a_few_times_only() {
    // No name server is asked for a name that is none.
    let warnings = Warnings::of_this_test();
    are_denied("http://no..host:9000", &["host is not known", "eu-south-2"]).await;
    assert_eq!(warnings.taken().len(), 2);
}

#[tokio::test]
async fn an_address_without_a_scheme_or_of_nothing_is_the_endpoints_fault() {
    for endpoint in [
        "127.0.0.1:9000",
        "localhost:9000",
        "http//127.0.0.1",
        "my server",
        "ftp://127.0.0.1",
    ] {
        are_denied(endpoint, &[]).await;
    }
}

#[tokio::test]
async fn answers_of_other_servers_are_the_endpoints_fault() {
    let page = |status: &str, headers: &str, body: &str| {
        let length = body.len();
        Fault::Answer(format!(
            "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}"
        ))
    };
    for (answer, word) in [
        (page("404 Not Found", "", "<html>no such page"), "404"),
        (page("405 Method Not Allowed", "", "{}"), "405"),
        (
            page(
                "400 Bad Request",
                "",
                "Client sent an HTTP request to an HTTPS server.\n",
            ),
            "400",
        ),
        (
            page("301 Moved Permanently", "location: https://elsewhere.example/\r\n", ""),
            "https://elsewhere.example/",
        ),
    ] {
        let proxy = FaultProxy::new(&S3::shared().endpoint());
        proxy.afterwards(answer);
        are_denied(&proxy.endpoint(), &[word]).await;
        assert_eq!(proxy.requests().len(), 2, "{word}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_when_a_call_has_taken_long_enough() {
    let proxy = FaultProxy::new(&S3::shared().endpoint());
    proxy.afterwards(Fault::Stall);
    let mut options = options(&proxy.endpoint());
    options.patience.attempts_max = 1_000_000;
    options.patience.answer_max = Duration::from_millis(50);
    options.patience.call_max = Duration::from_millis(400);
    let warnings = Warnings::of_this_test();
    for error in errors(options).await {
        let Error::Unavailable { attempts: 2.., .. } = &error else {
            panic!("{error:?}");
        };
    }
    let warnings = warnings.taken();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    for (warning, (action, uri)) in warnings
        .iter()
        .zip([("list", "s3://bucket/"), ("read", "s3://bucket/key")])
    {
        let place = format!(
            "the first attempt to {action} at {} failed and is made again: ",
            proxy.endpoint()
        );
        assert!(warning.contains(&place), "{warning}");
        assert!(warning.contains(&format!("uri={uri}")), "{warning}");
        assert!(
            warning.contains("timeout") || warning.contains("timed out"),
            "{warning}"
        );
    }
}
