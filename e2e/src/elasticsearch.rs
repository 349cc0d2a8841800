//! A real Elasticsearch server: one for each test process without security, one with, and private ones with settings of
//! their own.
//!
//! It is the distribution that Elastic publishes for tests: without ingest processors, scripts and lifecycles, and
//! `GET /` answers 405.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use anyhow::Result;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::{
    certificates::{CLIENT_NAME, Certificates},
    guarded::{Guarded, HERE, Hello, ourselves},
    random_secret,
    search::{self, SearchApi},
};

/// How long the server may take to answer; it takes ten seconds on an idle machine.
const START_MAX: Duration = Duration::from_mins(3);

/// Security over TLS, with every way to sign in that the server has: the licence for a trial allows tokens and realms of
/// certificates.
const SECURITY: &str = "\
xpack.security.enabled: true
xpack.license.self_generated.type: trial
xpack.security.http.ssl.enabled: true
xpack.security.http.ssl.key: server.key
xpack.security.http.ssl.certificate: server.pem
xpack.security.http.ssl.certificate_authorities: ca.pem
xpack.security.http.ssl.client_authentication: optional
xpack.security.authc.realms.pki.certificates.order: 1
";

/// A running server.
#[derive(Debug)]
pub struct Elasticsearch {
    server: Guarded,
    api: SearchApi,
    security: Option<Security>,
}

/// How a server is to differ from one without security and with the defaults of Elasticsearch.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    lines: Vec<String>,
    secured: bool,
    is_9: bool,
    ip: Option<IpAddr>,
}

#[derive(Debug)]
struct Security {
    certificates: Certificates,
    password: String,
}

impl Settings {
    /// Adds a setting, as `("thread_pool.write.queue_size", "1")`.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.lines.push(format!("{name}: {value}\n"));
        self
    }

    /// Switches TLS and security on.
    #[must_use]
    pub fn secured(mut self) -> Self {
        self.secured = true;
        self
    }

    /// Makes it a server of the 9 line of versions; 8 is the usual one.
    #[must_use]
    pub fn line_9(mut self) -> Self {
        self.is_9 = true;
        self
    }

    /// Lets it listen at another address of this machine's than the one that nobody else can reach.
    #[must_use]
    pub fn at(mut self, ip: IpAddr) -> Self {
        self.ip = Some(ip);
        self
    }
}

impl Elasticsearch {
    /// The user that may do everything, where security is on.
    pub const USER: &str = "elastic";

    /// The server of this test process without security, started by its first use.
    ///
    /// # Panics
    /// When Elasticsearch is not installed or does not start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Elasticsearch> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&Settings::default()))
    }

    /// The same of the 9 line of versions.
    ///
    /// # Panics
    /// When Elasticsearch 9 is not installed or does not start.
    pub fn shared_9() -> &'static Self {
        static SHARED: OnceLock<Elasticsearch> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&Settings::default().line_9()))
    }

    /// The server of this test process with TLS and security, started by its first use.
    ///
    /// # Panics
    /// When Elasticsearch is not installed or does not start.
    pub fn secured() -> &'static Self {
        static SECURED: OnceLock<Elasticsearch> = OnceLock::new();
        SECURED.get_or_init(|| Self::start(&Settings::default().secured()))
    }

    /// The same of the 9 line of versions.
    ///
    /// # Panics
    /// When Elasticsearch 9 is not installed or does not start.
    pub fn secured_9() -> &'static Self {
        static SECURED: OnceLock<Elasticsearch> = OnceLock::new();
        SECURED.get_or_init(|| Self::start(&Settings::default().line_9().secured()))
    }

    /// A private server, which ends when it is dropped.
    ///
    /// # Panics
    /// When Elasticsearch is not installed or does not start.
    pub fn start(settings: &Settings) -> Self {
        Self::try_start(settings).expect("Elasticsearch must start")
    }

    /// Its address, as `http://127.0.0.1:port`, or `https://` with security.
    pub fn endpoint(&self) -> String {
        let scheme = if self.security.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.server.address)
    }

    /// What tests ask of it, as one who may do everything.
    pub fn api(&self) -> &SearchApi {
        &self.api
    }

    /// Ends the server at once, as a crash does. What it had acknowledged is kept for [`start_again`](Self::start_again).
    pub fn stop(&self) {
        self.server.stop().expect("the server's guard must hear");
    }

    /// Starts the server again that was stopped: the same address, settings and data.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&self) {
        let hello = |address| hello(&self.api, address, self.security.as_ref());
        let started = self.server.start_again(START_MAX, hello);
        started.expect("Elasticsearch must start again");
    }

    /// The password of [`USER`](Self::USER), another one for each server.
    ///
    /// # Panics
    /// When the server has no security.
    pub fn password(&self) -> &str {
        &self.security().password
    }

    /// The file of the authority that signed the server's certificate, as PEM.
    pub fn ca_file(&self) -> PathBuf {
        config(&self.server.root).join("ca.pem")
    }

    /// The files of a client's certificate and of its key, as PEM. Who shows it may do everything.
    pub fn client_certificate_files(&self) -> (PathBuf, PathBuf) {
        let config = config(&self.server.root);
        (config.join("client.pem"), config.join("client.key"))
    }

    /// Makes an API key that may do everything, in the form that stands in a header after `ApiKey`.
    pub fn api_key(&self) -> String {
        self.make_api_key(&json!({}))
    }

    /// Makes an API key that has only these privileges on the cluster and on the indices that a pattern names.
    pub fn limited_api_key(&self, cluster: &[&str], indices: &str, privileges: &[&str]) -> String {
        let rights = json!({"cluster": cluster, "indices": [{"names": [indices], "privileges": privileges}]});
        self.make_api_key(&json!({"limited": rights}))
    }

    /// Makes a bearer token that may do everything, for twenty minutes.
    pub fn bearer_token(&self) -> String {
        let request = json!({"grant_type": "client_credentials"});
        let answer = self.api.must("POST", "/_security/oauth2/token", &request);
        text(&answer, "access_token")
    }

    /// The same server, as somebody sees it who signs in otherwise, as `ApiKey …`, or not at all.
    ///
    /// # Panics
    /// When the server has no security.
    pub fn signed_in(&self, authorization: Option<&str>) -> SearchApi {
        let tls = self.security().certificates.tls(false).expect("it worked before");
        SearchApi::new(self.server.address, Some(tls), authorization.map(str::to_owned))
    }

    /// The same server, as somebody sees it who shows the client's certificate and nothing else.
    ///
    /// # Panics
    /// When the server has no security.
    pub fn signed_in_by_certificate(&self) -> SearchApi {
        let tls = self.security().certificates.tls(true).expect("it worked before");
        SearchApi::new(self.server.address, Some(tls), None)
    }

    fn security(&self) -> &Security {
        self.security
            .as_ref()
            .expect("this server was started without security")
    }

    fn make_api_key(&self, roles: &Value) -> String {
        let request = json!({"name": "test", "role_descriptors": roles});
        let answer = self.api.must("POST", "/_security/api_key", &request);
        text(&answer, "encoded")
    }

    fn try_start(settings: &Settings) -> Result<Self> {
        let program = crate::tool(if settings.is_9 {
            "elasticsearch-9"
        } else {
            "elasticsearch"
        });
        let ip = settings.ip.unwrap_or(HERE);
        let security = settings.secured.then(|| Security::make(ip)).transpose()?;
        let command = |root: &Path, address: SocketAddr| {
            let config = config(root);
            std::fs::create_dir(&config)?;
            let mut lines = search::configuration(root, address);
            let mut server = Command::new(&program);
            server.arg(root);
            if let Some(security) = &security {
                security.certificates.write(&config)?;
                std::fs::write(
                    config.join("role_mapping.yml"),
                    format!("superuser: [\"CN={CLIENT_NAME}\"]\n"),
                )?;
                server.env("ELASTIC_PASSWORD", &security.password);
                lines.push_str(SECURITY);
            } else {
                lines.push_str("xpack.security.enabled: false\n");
            }
            lines.push_str(&settings.lines.concat());
            std::fs::write(config.join("elasticsearch.yml"), lines)?;
            Ok(server)
        };
        let api = |address| -> Result<SearchApi> {
            let Some(security) = &security else {
                return Ok(SearchApi::new(address, None, None));
            };
            let credentials = BASE64_STANDARD.encode(format!("{}:{}", Self::USER, security.password));
            let tls = security.certificates.tls(false)?;
            Ok(SearchApi::new(address, Some(tls), Some(format!("Basic {credentials}"))))
        };
        let server = Guarded::start_at(ip, "elasticsearch", START_MAX, command, |address| {
            hello(&api(address)?, address, security.as_ref())
        })?;
        Ok(Self {
            api: api(server.address)?,
            server,
            security,
        })
    }
}

impl Security {
    fn make(ip: IpAddr) -> Result<Self> {
        Ok(Self {
            certificates: Certificates::make(ip)?,
            password: random_secret()?,
        })
    }
}

/// The folder of the server's settings.
fn config(root: &Path) -> PathBuf {
    root.join("config")
}

fn hello(api: &SearchApi, address: SocketAddr, security: Option<&Security>) -> Result<Hello> {
    let hello = api.hello(&ourselves(address))?;
    if let (Hello::Ours, Some(security)) = (&hello, security) {
        // Everybody but the user `elastic` needs the index of users and keys, which comes some seconds after.
        SearchApi::new(address, Some(security.certificates.tls(true)?), None).is_let_in()?;
    }
    Ok(hello)
}

fn text(answer: &Value, name: &str) -> String {
    let text = answer[name].as_str();
    text.unwrap_or_else(|| panic!("there is no {name} in {answer}"))
        .to_owned()
}
