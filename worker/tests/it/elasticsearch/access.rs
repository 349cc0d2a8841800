//! Signing in, and trust.

use std::{fs, path::Path};

use pf_e2e::search::SearchApi;
use serde_json::json;
use tempfile::TempDir;

use super::*;

/// A folder for secrets.
struct Secrets(TempDir);

impl Secrets {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// A file with this in it, and with the newline that editors leave.
    fn file(&self, name: &str, content: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, format!("{content}\n")).expect("the folder is ours");
        path.display().to_string()
    }
}

/// Servers of both lines of versions.
fn each() -> [&'static Server; 2] {
    [Server::secured(), Server::secured_9()]
}

fn flags(server: &Server, index: &str) -> String {
    format!(
        "--es-url {} --es-index {index} --es-ca-file {}",
        server.endpoint(),
        server.ca_file().display()
    )
}

fn delivers(flags: &str, api: &SearchApi, index: &str) {
    let mut sink = Sink::must_connect(flags);
    assert_eq!(sink.send(flags, &numbered(0..10)), all_taken());
    api.refresh(index);
    assert_eq!(api.count(index), 10);
    api.delete_index(index);
}

#[test]
fn every_way_to_sign_in_is_let_in() {
    each().into_iter().for_each(every_way_is_let_in_by);
}

fn every_way_is_let_in_by(server: &Server) {
    let (api, secrets) = (server.api(), Secrets::new());
    let index = api.new_name("signed-in");
    let flags = flags(server, &index);
    let key = server.api_key();
    let decoded = decoded(&key);
    let (certificate, private_key) = server.client_certificate_files();
    for sign_in in [
        format!(
            "--es-username {} --es-password-file {}",
            Server::USER,
            secrets.file("password", server.password())
        ),
        format!("--es-api-key-file {}", secrets.file("key", &key)),
        format!("--es-api-key-file {}", secrets.file("key-pair", &decoded)),
        format!("--es-bearer-file {}", secrets.file("token", &server.bearer_token())),
        format!(
            "--es-client-cert-file {} --es-client-key-file {}",
            certificate.display(),
            private_key.display()
        ),
    ] {
        delivers(&format!("{flags} {sign_in}"), api, &index);
    }
}

/// An encoded API key as `id:key`.
fn decoded(key: &str) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let pair = BASE64_STANDARD.decode(key).expect("keys are base64");
    String::from_utf8(pair).expect("keys are text")
}

#[test]
fn who_is_nobody_or_somebody_else_is_told_what_to_do_and_never_the_secret() {
    let (server, secrets) = (Server::secured(), Secrets::new());
    let flags = flags(server, "a");
    let refused = Sink::refused(&flags);
    assert!(refused.contains("--es-api-key-file"), "{refused}");
    let secret = "cGxhbnRlZDpnZWhlaW0=";
    for sign_in in [
        format!("--es-api-key-file {}", secrets.file("key", secret)),
        format!("--es-bearer-file {}", secrets.file("token", secret)),
        format!(
            "--es-username {} --es-password-file {}",
            Server::USER,
            secrets.file("password", secret)
        ),
    ] {
        let refused = Sink::refused(&format!("{flags} {sign_in}"));
        assert!(refused.contains("not signed in"), "{refused}");
        assert!(!refused.contains(secret), "{refused}");
    }
    let without_authority = format!("--es-url {} --es-index a", server.endpoint());
    let refused = Sink::refused(&without_authority);
    assert!(refused.contains("--es-ca-file"), "{refused}");
    let missing = Sink::refused(&format!("{flags} --es-bearer-file /nowhere/token"));
    assert!(missing.contains("/nowhere/token for --es-bearer-file"), "{missing}");
    let empty = Sink::refused(&format!("{flags} --es-bearer-file {}", secrets.file("empty", "")));
    assert!(empty.contains("is empty"), "{empty}");
    let no_pem = Sink::refused(&format!(
        "--es-url {} --es-index a --es-ca-file {}",
        server.endpoint(),
        secrets.file("ca", "no pem")
    ));
    assert!(no_pem.contains("has no certificates in PEM"), "{no_pem}");
}

#[test]
fn a_key_without_the_right_to_write_is_found_out_at_the_start_and_one_with_just_that_is_enough() {
    each().into_iter().for_each(the_right_to_write_is_enough_for);
}

fn the_right_to_write_is_enough_for(server: &Server) {
    let secrets = Secrets::new();
    let api = server.api();
    let index = api.new_name("limited");
    let flags = flags(server, &index);
    let with = |indices: &str, privileges: &[&str]| {
        let key = server.limited_api_key(&[], indices, privileges);
        format!("{flags} --es-api-key-file {}", secrets.file("key", &key))
    };
    let refused = Sink::refused(&with(&index, &["read"]));
    assert!(refused.contains("`create_doc`"), "{refused}");
    let refused = Sink::refused(&with(&index, &["create_doc", "view_index_metadata"]));
    assert!(refused.contains("`auto_configure`"), "{refused}");
    // Whether the index is there can't be seen by everybody who may write to it: the first delivery says it then.
    let mut blind = Sink::must_connect(&with(&index, &["create_doc"]));
    let delivered = blind.send("a", &numbered(0..3));
    assert!(
        matches!(&delivered.end, End::Refused { reason } if reason.contains("security_exception")),
        "{delivered:?}"
    );
    delivers(&with(&index, &["create_doc", "auto_configure"]), api, &index);
    api.create_index(&index, &json!({}));
    delivers(&with(&index, &["create_doc"]), api, &index);
}

#[test]
fn a_secret_that_rotates_is_read_again() {
    let (server, secrets) = (Server::secured(), Secrets::new());
    let api = server.api();
    let index = api.new_name("rotated");
    let first = server.api_key();
    let file = secrets.file("key", &first);
    let mut sink = Sink::must_connect(&format!("{} --es-api-key-file {file}", flags(server, &index)));
    assert_eq!(sink.send("a", &numbered(0..10)), all_taken());
    invalidate(api, &first);
    // Written some time after the old one became worthless, as the kubelet does it.
    let (path, second) = (file.clone(), server.api_key());
    let rotation = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_secs(2));
        fs::write(Path::new(&path), second).expect("the folder is ours");
    });
    assert_eq!(sink.send("b", &numbered(0..10)), all_taken());
    rotation.join().expect("it only writes a file");
    api.refresh(&index);
    assert_eq!(api.count(&index), 20);
    assert!(!format!("{:?}", sink.elasticsearch).contains(&first));
}

fn invalidate(api: &SearchApi, key: &str) {
    let id = decoded(key).split(':').next().expect("a key has an id").to_owned();
    api.must("DELETE", "/_security/api_key", &json!({"ids": [id]}));
}
