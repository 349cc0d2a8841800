//! What is found before any work is taken.

use std::time::Instant;

use pf_e2e::{FaultProxy, fault_proxy::Fault};
use serde_json::json;

use super::*;

#[test]
fn a_cluster_that_is_not_there_is_out_of_reach_within_a_bound() {
    let free = pf_e2e::free_address();
    let started = Instant::now();
    let Err(StartError::Unreachable(reason)) = Sink::connect(&format!("--es-url http://{free} --es-index a")) else {
        panic!("nobody listens there")
    };
    assert!(reason.contains(&free.to_string()), "{reason}");
    assert!(reason.to_lowercase().contains("refused"), "{reason}");
    assert!(started.elapsed().as_secs() < 60);
}

#[test]
fn something_else_than_elasticsearch_is_not_written_to() {
    let proxy = FaultProxy::new(&Server::shared().endpoint());
    let page = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>";
    proxy.afterwards(Fault::Answer(page.to_owned()));
    let refused = Sink::refused(&format!("--es-url {} --es-index a", proxy.endpoint()));
    assert!(refused.contains("neither Elasticsearch nor OpenSearch"), "{refused}");
}

#[test]
fn an_index_that_does_not_exist_and_may_not_be_made_is_said_so_and_one_that_exists_is_fine() {
    each(|endpoint, api| {
        let (index, other) = (api.new_name("made"), api.new_name("forbidden"));
        api.create_index(&index, &json!({}));
        let setting = |value: &str| {
            api.must(
                "PUT",
                "/_cluster/settings",
                &json!({"persistent": {"action.auto_create_index": value}}),
            );
        };
        setting("-forbidden*,+*");
        let refused = Sink::refused(&format!("--es-url {endpoint} --es-index {other}"));
        assert!(
            refused.contains("does not exist") && refused.contains("auto_create_index"),
            "{refused}"
        );
        Sink::must_connect(&format!("--es-url {endpoint} --es-index {index}"));
        // What can't be known at the start is said at the first delivery.
        let mut sink = Sink::must_connect(&format!("--es-url {endpoint} --es-index {other}-{{region}}"));
        let delivered = sink.send("a", &numbered(0..2));
        assert!(
            matches!(&delivered.end, End::Refused { reason } if reason.contains("index_not_found")),
            "{delivered:?}"
        );
        setting("true");
    });
}

#[test]
fn a_data_stream_needs_a_template_and_must_be_no_index() {
    each(|endpoint, api| {
        let index = api.new_name("plain");
        let refused = Sink::refused(&format!("--es-url {endpoint} --es-data-stream {index}"));
        assert!(refused.contains("template"), "{refused}");
        api.create_index(&index, &json!({}));
        let refused = Sink::refused(&format!("--es-url {endpoint} --es-data-stream {index}"));
        assert!(refused.contains("--es-index"), "{refused}");
    });
}

#[test]
fn a_pipeline_must_exist() {
    each(|endpoint, _| {
        let refused = Sink::refused(&format!("--es-url {endpoint} --es-index a --es-pipeline nothing"));
        assert!(
            refused.contains("`nothing` of --es-pipeline does not exist"),
            "{refused}"
        );
    });
}

#[test]
fn an_alias_without_a_write_index_is_said_so() {
    each(|endpoint, api| {
        let alias = api.new_name("alias");
        let index = |number: u32, is_write_index: bool| {
            let aliases = if is_write_index {
                json!({&alias: {"is_write_index": true}})
            } else {
                json!({&alias: {}})
            };
            api.create_index(&format!("{alias}-{number}"), &json!({"aliases": aliases}));
        };
        index(1, false);
        let flags = format!("--es-url {endpoint} --es-index {alias}");
        // One index behind an alias is written to.
        let mut sink = Sink::must_connect(&flags);
        index(2, false);
        let refused = Sink::refused(&flags);
        assert!(refused.contains("alias without a write index"), "{refused}");
        // The same in the middle of work: nothing is given up.
        let delivered = sink.send("a", &numbered(0..3));
        assert!(
            matches!(&delivered.end, End::Refused { reason } if reason.contains("is_write_index")),
            "{delivered:?}"
        );
        assert!(
            delivered
                .exceptions
                .iter()
                .all(|(_, verdict)| *verdict == Verdict::Pending)
        );
        index(3, true);
        let mut sink = Sink::must_connect(&flags);
        assert_eq!(sink.send("a", &numbered(0..3)), all_taken());
    });
}

#[test]
fn a_redirect_is_said_with_its_target_and_not_followed() {
    let server = Server::shared();
    let proxy = FaultProxy::new(&server.endpoint());
    let redirect = |target: &str| {
        format!(
            "HTTP/1.1 301 Moved Permanently\r\nlocation: {target}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
    };
    for (target, shown) in [
        (format!("{}/", server.endpoint()), server.endpoint()),
        (format!("http://{}/", pf_e2e::free_address()), "http://".to_owned()),
    ] {
        proxy.afterwards(Fault::Answer(redirect(&target)));
        let flags = format!("--es-url {} --es-index a", proxy.endpoint());
        let Err(StartError::Refused(reason) | StartError::Unreachable(reason)) = Sink::connect(&flags) else {
            panic!("connected")
        };
        assert!(
            reason.contains("answers with a redirect to") && reason.contains(&shown),
            "{reason}"
        );
    }
}
