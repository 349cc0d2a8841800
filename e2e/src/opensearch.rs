//! A real OpenSearch server, one for each test process, without security.

use std::{net::SocketAddr, path::Path, process::Command, sync::OnceLock, time::Duration};

use anyhow::Result;

use crate::{
    guarded::{Guarded, ourselves},
    search::{self, SearchApi},
};

/// How long the server may take to answer; it takes five seconds on an idle machine.
const START_MAX: Duration = Duration::from_mins(3);

/// A running server.
#[derive(Debug)]
pub struct OpenSearch {
    server: Guarded,
    api: SearchApi,
}

impl OpenSearch {
    /// The server of this test process, started by its first use.
    ///
    /// # Panics
    /// When OpenSearch is not installed or does not start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<OpenSearch> = OnceLock::new();
        SHARED.get_or_init(|| Self::start("opensearch"))
    }

    /// The same of the 2 line of versions; 3 is the usual one.
    ///
    /// # Panics
    /// When OpenSearch 2 is not installed or does not start.
    pub fn shared_2() -> &'static Self {
        static SHARED: OnceLock<OpenSearch> = OnceLock::new();
        SHARED.get_or_init(|| Self::start("opensearch-2"))
    }

    /// Its address, as `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// What tests ask of it.
    pub fn api(&self) -> &SearchApi {
        &self.api
    }

    fn start(tool: &str) -> Self {
        Self::try_start(tool).expect("OpenSearch must start")
    }

    fn try_start(tool: &str) -> Result<Self> {
        let program = crate::tool(tool);
        let command = |root: &Path, address: SocketAddr| {
            let config = root.join("config");
            std::fs::create_dir(&config)?;
            let mut settings = search::configuration(root, address);
            settings.push_str("node.roles: [cluster_manager, data, ingest]\n");
            std::fs::write(config.join("opensearch.yml"), settings)?;
            let mut server = Command::new(&program);
            server.arg(root);
            Ok(server)
        };
        let api = |address| SearchApi::new(address, None, None);
        let hello = |address| api(address).hello(&ourselves(address));
        let server = Guarded::start("opensearch", START_MAX, command, hello)?;
        Ok(Self {
            api: api(server.address),
            server,
        })
    }
}
