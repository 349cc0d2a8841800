//! `e2e/images/pack` and the Dockerfile: what is in the image, and that both speak of the same one.

use std::{fs, path::Path, process::Command};

use super::programs::{program, workspace};

fn pack(archive: &Path, arguments: &[&str]) {
    let output = Command::new(workspace().join("e2e/images/pack"))
        .arg(archive)
        .arg(program("pf-discoverer"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn listed(archive: &Path) -> String {
    let output = Command::new("tar")
        .args(["--list", "--verbose", "--file"])
        .arg(archive)
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_image_holds_what_its_programs_need_and_is_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second, layer] = ["first", "second", "layer"].map(|name| folder.path().join(name));
    for archive in [&first, &second] {
        pack(archive, &["--name", "paraflow:test"]);
    }
    assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap());
    let listing = listed(&first);
    assert!(
        listing.contains("manifest.json") && listing.contains("/layer.tar"),
        "{listing}"
    );

    pack(&layer, &["--layer"]);
    let listing = listed(&layer);
    let mode_of = |path: &str| {
        let line = listing.lines().find(|line| line.ends_with(&format!(" {path}")));
        line.unwrap_or_else(|| panic!("no {path} in {listing}"))[..10].to_owned()
    };
    assert_eq!(mode_of("usr/local/bin/pf-discoverer"), "-rwxr-xr-x");
    assert_eq!(mode_of("etc/passwd"), "-rw-r--r--");
    assert_eq!(mode_of("etc/ssl/certs/ca-certificates.crt"), "-rw-r--r--");
    assert_eq!(mode_of("tmp/"), "drwxrwxrwt");
    assert!(
        listing.contains("/libc.so.6") && listing.contains("/ld-linux"),
        "{listing}"
    );
}

#[test]
fn the_dockerfile_builds_with_the_toolchain_of_the_workspace_and_runs_as_pods_do() {
    let file = fs::read_to_string(workspace().join("Dockerfile")).unwrap();
    let manifest = fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let version = manifest
        .split("rust-version = \"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    assert!(file.contains(&format!("FROM rust:{version}-")), "{version}: {file}");
    assert!(
        file.contains("--profile release-max") && manifest.contains("[profile.release-max]"),
        "{file}"
    );
    let pods = fs::read_to_string(workspace().join("charts/pf-operator/templates/_names.tpl")).unwrap();
    assert!(
        file.contains("USER 65532:65532") && pods.contains("runAsUser: 65532"),
        "{file}"
    );
}
