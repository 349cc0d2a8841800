//! The servers themselves: that each is what tests take it for.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

use pf_e2e::{Elasticsearch, Fault, FaultProxy, Kubernetes, OpenSearch, SearchApi, elasticsearch::Settings};
use serde_json::{Value, json};

/// So many small bulks are tried until one is refused in part; it was the first one so far.
const BULKS_MAX: u32 = 100;

/// A bulk that creates documents `0..count` with the number as `n`.
fn creates(count: u64) -> String {
    (0..count)
        .map(|n| format!("{{\"create\":{{\"_id\":\"{n}\"}}}}\n{{\"@timestamp\":{n},\"n\":{n}}}\n"))
        .collect()
}

fn check(api: &SearchApi) {
    let index = api.new_name("documents");
    api.create_index(&index, &json!({"mappings": {"properties": {"n": {"type": "long"}}}}));
    assert_eq!(api.bulk(&index, &creates(100))["errors"], false);
    let again = api.bulk(&index, &creates(1));
    assert_eq!(again["items"][0]["create"]["status"], 409, "{again}");
    let bad = api.bulk(&index, "{\"create\":{}}\n{\"n\":\"many\"}\n");
    assert_eq!(bad["items"][0]["create"]["status"], 400, "{bad}");

    api.refresh(&index);
    assert_eq!(api.count(&index), 100);
    let below_ten = json!({"range": {"n": {"lt": 10}}});
    assert_eq!(api.count_where(&index, &below_ten), 10);
    assert_eq!(api.sum(&index, "n", &below_ten).to_string(), "45");
    assert_eq!(api.document(&index, "7"), Some(json!({"@timestamp": 7, "n": 7})));
    assert_eq!(api.document(&index, "100"), None);

    api.delete_index(&index);
    assert_eq!(api.request("POST", &format!("/{index}/_count"), "").0, 404);
}

fn check_data_stream(api: &SearchApi) {
    let name = api.new_name("stream");
    let template = json!({"index_patterns": [name], "data_stream": {}, "priority": 500});
    api.put_index_template(&name, &template);
    assert_eq!(api.bulk(&name, &creates(10))["errors"], false);
    api.refresh(&name);
    assert_eq!(api.count(&name), 10);
    assert_eq!(api.document(&name, "3").unwrap()["n"], 3);
}

#[test]
fn elasticsearch_takes_a_bulk_and_counts_it() {
    check(Elasticsearch::shared().api());
    check_data_stream(Elasticsearch::shared().api());
}

#[test]
fn opensearch_takes_a_bulk_and_counts_it() {
    check(OpenSearch::shared().api());
    check_data_stream(OpenSearch::shared().api());
}

#[test]
fn answers_of_both_come_through_the_fault_proxy_and_can_be_cut() {
    for (api, endpoint) in [
        (Elasticsearch::shared().api(), Elasticsearch::shared().endpoint()),
        (OpenSearch::shared().api(), OpenSearch::shared().endpoint()),
    ] {
        let index = api.new_name("proxied");
        api.bulk(&index, &creates(100));
        api.refresh(&index);
        let proxy = FaultProxy::new(&endpoint);
        // Elasticsearch answers searches in chunks.
        let found = get(&proxy, &format!("/{index}/_search?size=100"));
        let found: Value = serde_json::from_slice(&found).unwrap();
        assert_eq!(found["hits"]["hits"].as_array().unwrap().len(), 100);
        proxy.then([Fault::CutBody { after_bytes: 10 }]);
        assert_eq!(get(&proxy, &format!("/{index}/_search?size=100")).len(), 10);
    }
}

/// The body of an answer, as much as comes before the connection closes.
fn get(proxy: &FaultProxy, path: &str) -> Vec<u8> {
    let endpoint = proxy.endpoint();
    let address = endpoint.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
    connection.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    answer.split_off(head + 4)
}

#[test]
fn secured_elasticsearch_knows_who_may_do_what() {
    let server = Elasticsearch::secured();
    let status = |api: &SearchApi| api.request("GET", "/_security/_authenticate", "").0;
    assert_eq!(status(&server.signed_in(None)), 401);
    assert_eq!(status(&server.signed_in(Some("ApiKey bm90OmE="))), 401);
    let (status, who) = server
        .signed_in_by_certificate()
        .request("GET", "/_security/_authenticate", "");
    assert_eq!((status, &who["username"]), (200, &json!("paraflow-client")), "{who}");
    let with_key = server.signed_in(Some(&format!("ApiKey {}", server.api_key())));
    check(&with_key);
    check(&server.signed_in(Some(&format!("Bearer {}", server.bearer_token()))));

    let key = server.limited_api_key(&[], "mine-*", &["create_doc", "auto_configure"]);
    let limited = server.signed_in(Some(&format!("ApiKey {key}")));
    assert_eq!(limited.bulk("mine-1", &creates(1))["items"][0]["create"]["status"], 201);
    assert_eq!(
        limited.bulk("yours-1", &creates(1))["items"][0]["create"]["status"],
        403
    );
    assert_eq!(limited.request("POST", "/mine-1/_count", "").0, 403);
}

#[test]
fn elasticsearch_with_little_room_refuses_whole_bulks_and_single_documents() {
    let settings = Settings::default()
        .set("indexing_pressure.memory.limit", "200kb")
        .set("thread_pool.write.size", "1")
        .set("thread_pool.write.queue_size", "1");
    let server = Elasticsearch::start(&settings);
    let api = server.api();
    let text = "x".repeat(300_000);
    let large = format!("{{\"create\":{{}}}}\n{{\"text\":\"{text}\"}}\n");
    let (status, answer) = api.request("POST", "/large/_bulk", &large);
    assert_eq!(status, 429, "{answer}");

    // A bulk over eight shards is eight tasks of a pool that has room for two.
    api.create_index(
        "small",
        &json!({"settings": {"number_of_shards": 8, "number_of_replicas": 0}}),
    );
    let refused_in = |answer: &Value| {
        let items = answer["items"].as_array();
        items.is_some_and(|items| items.iter().any(|item| item["create"]["status"] == 429))
    };
    let bulks =
        || (0..BULKS_MAX).map(|_| api.request("POST", "/small/_bulk", &"{\"create\":{}}\n{\"n\":1}\n".repeat(200)));
    assert!(bulks().any(|(status, answer)| status == 200 && refused_in(&answer)));
}

#[test]
fn restarted_elasticsearch_has_its_documents() {
    let server = Elasticsearch::start(&Settings::default());
    let endpoint = server.endpoint();
    server.api().bulk("kept", &creates(100));
    server.stop();
    let address = endpoint.strip_prefix("http://").unwrap();
    TcpStream::connect(address).unwrap_err();
    server.start_again();
    assert_eq!(server.endpoint(), endpoint);
    server.api().refresh("kept");
    assert_eq!(server.api().count("kept"), 100);
}

#[test]
fn kubernetes_makes_pods_of_a_deployment_and_runs_none() {
    let cluster = Kubernetes::shared();
    let namespace = cluster.make_namespace("servers");
    let kubectl = |arguments: &[&str]| {
        let arguments = ["--namespace", &namespace].into_iter().chain(arguments.iter().copied());
        String::from_utf8(cluster.kubectl(arguments).stdout).unwrap()
    };
    let made = kubectl(&["create", "deployment", "web", "--image", "web:1", "--replicas", "2"]);
    assert!(made.contains("created"), "{made}");
    let deadline = Instant::now() + Duration::from_secs(30);
    while kubectl(&["get", "pods", "--no-headers"]).lines().count() < 2 {
        assert!(Instant::now() < deadline, "{}", kubectl(&["get", "all"]));
        thread::sleep(Duration::from_millis(100));
    }
    assert!(kubectl(&["get", "pods"]).contains("Pending"));
}
