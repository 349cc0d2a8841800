//! Where keys come from when nobody names one.
//!
//! The environment belongs to the process, so that each case is a process: this test binary again, running one test
//! that does the reading and is nothing without the variables that say what to read.

use std::{
    io::Write as _,
    process::{Command, Output},
};

use pf_e2e::S3;
use pf_storage::{ObjectUri, Options, Storage};

const URI: &str = "PF_TEST_URI";
const ENDPOINT: &str = "PF_TEST_ENDPOINT";

/// Runs [`reads_what_the_environment_says`] with these variables and no others of AWS'.
fn reading(uri: &ObjectUri, variables: &[(&str, &str)]) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "credentials::reads_what_the_environment_says", "--nocapture"])
        .env_clear()
        .env(URI, uri.to_string())
        .env(ENDPOINT, S3::shared().endpoint())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

#[tokio::test]
async fn reads_what_the_environment_says() {
    let (Ok(uri), Ok(endpoint)) = (std::env::var(URI), std::env::var(ENDPOINT)) else {
        return;
    };
    let storage = Storage::new(Options {
        endpoint: Some(endpoint),
        ..Options::default()
    });
    let told = match storage.read_range(&uri.parse().unwrap(), None, 0..5).await {
        Ok(bytes) => format!("read {bytes:?}"),
        Err(error) => error.to_string(),
    };
    writeln!(std::io::stdout(), "{told}").unwrap();
}

fn object() -> ObjectUri {
    let bucket = S3::shared().make_bucket("storage");
    S3::shared().put(&bucket, "object", b"bytes");
    ObjectUri::S3 {
        bucket,
        key: "object".to_owned(),
    }
}

#[test]
fn keys_and_region_come_from_variables() {
    let output = reading(&object(), &S3::shared().environment());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("read b\"bytes\""), "{text}");
}

#[test]
fn keys_and_region_come_from_a_profile() {
    let folder = tempfile::TempDir::new().unwrap();
    let config = folder.path().join("config");
    let secret = S3::shared().secret_access_key();
    let (id, region) = (S3::ACCESS_KEY_ID, S3::REGION);
    let profile =
        format!("[profile tests]\nregion = {region}\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    std::fs::write(&config, profile).unwrap();
    let config = config.to_str().unwrap();
    let output = reading(&object(), &[("AWS_CONFIG_FILE", config), ("AWS_PROFILE", "tests")]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("read b\"bytes\""), "{text}");
}

#[test]
fn no_keys_at_all_are_denied_with_advice() {
    let output = reading(&object(), &[("HOME", "/nonexistent")]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("cannot read") && text.contains("--anonymous"), "{text}");
    assert!(text.contains("region us-east-1"), "{text}");
}
