//! What tests ask of a search server, Elasticsearch or OpenSearch, without our rooms: the few calls that fill an index,
//! count it and look into it.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use rustls::ClientConfig;
use serde_json::{Value, json};

use crate::{
    guarded::{Hello, ourselves},
    http::{Client, Request},
};

/// How long a server is asked again that answers 429: little memory is full at times, and is given back.
const ROOM_WITHIN: Duration = Duration::from_mins(1);

/// A server, as somebody sees it who signs in in one way.
#[derive(Debug)]
pub struct SearchApi {
    client: Client,
    authorization: Option<String>,
}

impl SearchApi {
    /// `authorization` is what stands in the header of that name.
    pub(crate) fn new(address: SocketAddr, tls: Option<Arc<ClientConfig>>, authorization: Option<String>) -> Self {
        Self {
            client: Client::new(address, tls),
            authorization,
        }
    }

    /// Sends any request with a body of JSON or, for bulks, NDJSON; an empty one is none. Returns the answer's status, and
    /// its body: JSON, or a text where it is something else.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn request(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        self.try_request(method, path, body)
            .unwrap_or_else(|error| panic!("cannot {method} {path} at {}: {error:#}", self.client.address))
    }

    /// The answer to a request that must succeed. A server that has no room at the moment is asked again, for a
    /// minute.
    ///
    /// # Panics
    /// When it does not.
    pub fn must(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let what = format!("{method} {path} finds room");
        let (status, answer) = crate::until(&what, ROOM_WITHIN, || {
            Some(self.request(method, path, &body)).filter(|(status, _)| *status != 429)
        });
        assert!((200..300).contains(&status), "{method} {path}: {status}: {answer}");
        answer
    }

    /// Sends a bulk to an index or data stream, and returns what the server says of it, good or bad for its items.
    pub fn bulk(&self, index: &str, lines: &str) -> Value {
        let (status, answer) = self.request("POST", &format!("/{index}/_bulk"), lines);
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Makes visible to searches what was indexed so far.
    pub fn refresh(&self, index: &str) {
        self.must("POST", &format!("/{index}/_refresh"), &Value::Null);
    }

    /// How many documents an index, alias or data stream has, as of its last refresh.
    pub fn count(&self, index: &str) -> u64 {
        self.count_where(index, &json!({"match_all": {}}))
    }

    /// How many of them a query finds.
    pub fn count_where(&self, index: &str, query: &Value) -> u64 {
        let answer = self.must("POST", &format!("/{index}/_count"), &json!({"query": query}));
        answer["count"].as_u64().expect("a count is a number")
    }

    /// The sum of a numeric field over the documents that a query finds, as of the last refresh.
    pub fn sum(&self, index: &str, field: &str, query: &Value) -> f64 {
        let request = json!({"size": 0, "query": query, "aggs": {"sum": {"sum": {"field": field}}}});
        let answer = self.must("POST", &format!("/{index}/_search"), &request);
        answer["aggregations"]["sum"]["value"]
            .as_f64()
            .expect("a sum is a number")
    }

    /// The source of the document with this `_id`, as of the last refresh. It is searched for, so that it is found behind
    /// aliases and in data streams too.
    ///
    /// # Panics
    /// When several have it.
    pub fn document(&self, index: &str, id: &str) -> Option<Value> {
        let request = json!({"query": {"ids": {"values": [id]}}});
        let mut answer = self.must("POST", &format!("/{index}/_search"), &request);
        let hits = answer["hits"]["hits"].as_array_mut().expect("hits are a list");
        assert!(hits.len() < 2, "{index} has {id} more than once: {hits:?}");
        hits.pop().map(|mut hit| hit["_source"].take())
    }

    /// Puts an index template.
    pub fn put_index_template(&self, name: &str, template: &Value) {
        self.must("PUT", &format!("/_index_template/{name}"), template);
    }

    /// Makes an index with these settings and mappings.
    pub fn create_index(&self, name: &str, definition: &Value) {
        self.must("PUT", &format!("/{name}"), definition);
    }

    /// Removes an index.
    pub fn delete_index(&self, name: &str) {
        self.must("DELETE", &format!("/{name}"), &Value::Null);
    }

    /// A name that begins with `name`, and that no other test of this process gets.
    pub fn new_name(&self, name: &str) -> String {
        static NAMES: AtomicU32 = AtomicU32::new(0);
        format!("{name}-{}", NAMES.fetch_add(1, Ordering::Relaxed))
    }

    /// Asks whether who signs in like this is let in.
    pub(crate) fn is_let_in(&self) -> Result<()> {
        let (status, answer) = self.try_request("GET", "/_security/_authenticate", "")?;
        ensure!(status == 200, "it answers {status}: {answer}");
        Ok(())
    }

    fn try_request(&self, method: &str, path: &str, body: &str) -> Result<(u16, Value)> {
        let mut headers = Vec::new();
        if let Some(authorization) = &self.authorization {
            headers.push(("authorization", authorization.as_str()));
        }
        if !body.is_empty() {
            headers.push(("content-type", "application/json"));
        }
        let answer = self.client.send(&Request {
            method,
            path,
            headers: &headers,
            body: body.as_bytes(),
        })?;
        let body = serde_json::from_str(&answer.body).unwrap_or(Value::String(answer.body));
        Ok((answer.status, body))
    }

    /// Asks whether this is the server of that cluster, and fails while not all that it has can be searched.
    pub(crate) fn hello(&self, cluster: &str) -> Result<Hello> {
        let (status, health) = self.try_request("GET", "/_cluster/health?wait_for_status=yellow&timeout=1s", "")?;
        ensure!(status == 200, "its health is {status}: {health}");
        Ok(if health["cluster_name"] == cluster {
            Hello::Ours
        } else {
            Hello::Anothers(health.to_string())
        })
    }
}

/// The settings that both kinds of server share, as YAML: one node, one port, all that it keeps below its folder.
pub(crate) fn configuration(root: &Path, address: SocketAddr) -> String {
    let (host, port, root) = (address.ip(), address.port(), root.display());
    format!(
        "cluster.name: {}\n\
         discovery.type: single-node\n\
         http.host: {host}\n\
         http.port: {port}\n\
         transport.port: 0\n\
         path.data: {root}/data\n\
         path.logs: {root}/logs\n\
         # However full the disk of the machine is.\n\
         cluster.routing.allocation.disk.threshold_enabled: false\n",
        ourselves(address)
    )
}
