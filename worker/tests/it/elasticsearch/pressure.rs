//! Too much, too large, too late, and nobody there.

use std::{sync::OnceLock, thread, time::Duration};

use pf_e2e::{FaultProxy, elasticsearch::Settings, fault_proxy::Fault};
use serde_json::json;

use super::*;

/// A server that has room for very little: one thread, one request that waits, and bodies of 64 KB.
fn tight() -> &'static Server {
    static TIGHT: OnceLock<Server> = OnceLock::new();
    TIGHT.get_or_init(|| {
        Server::start(
            &Settings::default()
                .set("node.processors", "1")
                .set("thread_pool.write.queue_size", "1")
                .set("http.max_content_length", "64kb"),
        )
    })
}

/// Delivers many bulks at the same time.
fn send_at_once(sink: &mut Sink, bulks: u32, documents: u32) {
    let bulks: Vec<Bulk> = (0..bulks)
        .map(|number| sink.bulk(&number.to_string(), &numbered(0..documents), false).0)
        .collect();
    let sink = &*sink;
    thread::scope(|scope| {
        for bulk in &bulks {
            scope.spawn(move || assert_eq!(sink.deliver(bulk), all_taken()));
        }
    });
}

#[test]
fn documents_that_are_refused_for_lack_of_room_are_sent_again_until_all_are_there() {
    let server = tight();
    let api = server.api();
    let index = api.new_name("busy");
    // Many shards, so that a request is refused in part.
    api.create_index(
        &index,
        &json!({"settings": {"number_of_shards": 8, "number_of_replicas": 0}}),
    );
    let mut sink = Sink::must_connect(&format!("--es-url {} --es-index {index}", server.endpoint()));
    send_at_once(&mut sink, 24, 400);
    api.refresh(&index);
    assert_eq!(api.count(&index), 24 * 400);
    assert!(sink.metric("pf_bulk_documents_total{retried}") > 0);
    assert!(sink.metric("pf_bulk_retries_total") > 0);
    assert!(sink.metric("pf_bulk_documents_total{taken}") + sink.metric("pf_bulk_documents_total{duplicate}") == 9600);
}

#[test]
fn requests_that_are_refused_whole_are_sent_again() {
    let server = Server::start(&Settings::default().set("indexing_pressure.memory.limit", "60kb"));
    let api = server.api();
    let index = api.new_name("full");
    let mut sink = Sink::must_connect(&format!("--es-url {} --es-index {index}", server.endpoint()));
    send_at_once(&mut sink, 24, 400);
    api.refresh(&index);
    assert_eq!(api.count(&index), 24 * 400);
    assert!(sink.metric("pf_bulk_refused_total") > 0);
}

#[test]
fn a_body_that_is_too_large_is_halved_and_a_document_that_is_too_large_alone_is_rejected() {
    let server = tight();
    let api = server.api();
    let index = api.new_name("large");
    for compression in ["none", "gzip"] {
        let flags = format!(
            "--es-url {} --es-index {index} --es-compression {compression}",
            server.endpoint()
        );
        let mut sink = Sink::must_connect(&flags);
        let mut records = numbered(0..5000);
        records[2500] = format!(r#"{{"n":1,"x":"{}"}}"#, "x".repeat(100_000));
        let delivered = sink.send(compression, &records);
        let reasons = reasons(&delivered);
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        assert_eq!(reasons[0].0, 2500);
        assert!(
            reasons[0].1.starts_with("larger than the cluster takes"),
            "{}",
            reasons[0].1
        );
    }
    api.refresh(&index);
    assert_eq!(api.count(&index), 2 * 4999);
}

#[test]
fn a_server_that_is_down_for_a_while_is_waited_for_and_nothing_is_lost_or_doubled() {
    let server = Server::start(&Settings::default());
    let index = "down";
    let mut sink = Sink::must_connect(&format!("--es-url {} --es-index {index}", server.endpoint()));
    assert_eq!(sink.send("before", &numbered(0..100)), all_taken());
    let bulks: Vec<Bulk> = (0..4)
        .map(|number| sink.bulk(&number.to_string(), &numbered(0..1000), false).0)
        .collect();
    thread::scope(|scope| {
        for bulk in &bulks {
            let sink = &sink;
            scope.spawn(move || {
                let delivered = sink.deliver(bulk);
                assert_eq!(delivered.end, End::Done, "{delivered:?}");
            });
        }
        server.stop();
        thread::sleep(Duration::from_secs(3));
        server.start_again();
    });
    server.api().refresh(index);
    assert_eq!(server.api().count(index), 4100);
}

#[test]
fn patience_ends_and_what_was_not_taken_is_pending() {
    let server = Server::shared();
    let proxy = FaultProxy::new(&server.endpoint());
    let index = server.api().new_name("impatient");
    let flags = format!("--es-url {} --es-index {index} --es-patience 2s", proxy.endpoint());
    let mut sink = Sink::must_connect(&flags);
    proxy.afterwards(Fault::Reset);
    let delivered = sink.send("a", &numbered(0..3));
    assert!(matches!(delivered.end, End::Unavailable { .. }), "{delivered:?}");
    assert_eq!(delivered.exceptions, [0, 1, 2].map(|place| (place, Verdict::Pending)));
}

#[test]
fn an_answer_that_is_lost_or_late_or_cut_leads_to_duplicates_and_not_to_doubles() {
    let server = Server::shared();
    let proxy = FaultProxy::new(&server.endpoint());
    let index = server.api().new_name("lost");
    let flags = format!("--es-url {} --es-index {index} --es-timeout 2s", proxy.endpoint());
    let mut sink = Sink::must_connect(&flags);
    let faults = [
        Fault::LoseAnswer,
        Fault::Late(Duration::from_secs(4)),
        Fault::CutBody { after_bytes: 30 },
        Fault::ResetBody { after_bytes: 30 },
        Fault::StallBody { after_bytes: 30 },
        Fault::Twice,
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        proxy.then([fault.clone()]);
        let delivered = sink.send(&number.to_string(), &numbered(0..10));
        assert_eq!(delivered.end, End::Done, "{fault:?}");
        let duplicates = delivered
            .exceptions
            .iter()
            .filter(|(_, verdict)| *verdict == Verdict::Duplicate);
        assert_eq!(duplicates.count(), 10, "{fault:?}: {delivered:?}");
    }
    server.api().refresh(&index);
    assert_eq!(server.api().count(&index), 60);
}

#[test]
fn a_server_that_asks_for_time_gets_it() {
    let server = Server::shared();
    let proxy = FaultProxy::new(&server.endpoint());
    let index = server.api().new_name("asked");
    let mut sink = Sink::must_connect(&format!("--es-url {} --es-index {index}", proxy.endpoint()));
    let busy = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n";
    proxy.then([Fault::Answer(busy.to_owned())]);
    let started = std::time::Instant::now();
    assert_eq!(sink.send("a", &numbered(0..3)), all_taken());
    assert!(started.elapsed() >= Duration::from_secs(2));
    assert_eq!(sink.metric("pf_bulk_refused_total"), 1);
}

#[test]
fn a_node_that_is_not_there_costs_nothing_but_a_try() {
    let server = Server::shared();
    let nobody = pf_e2e::free_address();
    let proxy = FaultProxy::new(&server.endpoint());
    let index = server.api().new_name("failover");
    let flags = format!(
        "--es-url http://{nobody},{},{} --es-index {index}",
        proxy.endpoint(),
        server.endpoint()
    );
    let mut sink = Sink::must_connect(&flags);
    proxy.afterwards(Fault::Answer(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_owned(),
    ));
    let started = std::time::Instant::now();
    for number in 0..10 {
        assert_eq!(sink.send(&number.to_string(), &numbered(0..10)), all_taken());
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    server.api().refresh(&index);
    assert_eq!(server.api().count(&index), 100);
}

#[test]
fn a_node_that_nobody_is_behind_any_more_gets_one_bulk_and_is_asked_for_after_that() {
    let server = Server::shared();
    let proxy = FaultProxy::new(&server.endpoint());
    let index = server.api().new_name("vanished");
    let flags = format!(
        "--es-url {},{} --es-index {index} --es-timeout 2s",
        proxy.endpoint(),
        server.endpoint()
    );
    let mut sink = Sink::must_connect(&flags);
    let bulks = |requests: &[String]| requests.iter().filter(|request| request.contains("_bulk")).count();
    let mut item = 0;
    let mut send = |sink: &mut Sink| {
        item += 1;
        assert_eq!(sink.send(&item.to_string(), &numbered(0..10)), all_taken());
    };
    let before = proxy.requests().len();
    proxy.afterwards(Fault::Stall);
    pf_e2e::until("it is asked for three times", Duration::from_mins(1), || {
        send(&mut sink);
        let since = &proxy.requests()[before..];
        assert!(bulks(since) <= 1, "{since:#?}");
        (since.len() >= 4).then_some(())
    });
    // It is back, and takes its share.
    let before = proxy.requests().len();
    proxy.afterwards(Fault::Pass);
    pf_e2e::until("it has bulks again", Duration::from_mins(2), || {
        send(&mut sink);
        (bulks(&proxy.requests()[before..]) >= 3).then_some(())
    });
    server.api().refresh(&index);
    assert_eq!(server.api().count(&index), item * 10);
}
