//! The compose file for people with Docker, which these tests can't run: that it is well formed, and the same servers.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The versions that `e2e/servers/install` pins, by server.
fn pinned() -> BTreeMap<String, String> {
    let script = read("servers/install");
    let pins = script.lines().filter_map(|line| {
        let (name, version) = line.strip_prefix("readonly ")?.split_once("_VERSION=")?;
        Some((name.to_lowercase(), version.to_owned()))
    });
    pins.collect()
}

/// What a person with Docker does without: a whole cluster is no service, nor is what judges charts, traces and examples; and of
/// each kind of server one line of versions is enough.
const NOT_COMPOSED: [&str; 7] = [
    "kubernetes",
    "helm",
    "prometheus",
    "collector",
    "lua",
    "elasticsearch_9",
    "opensearch_2",
];

fn services() -> BTreeMap<String, Value> {
    let file: Value = serde_yaml::from_str(&read("compose.yaml")).unwrap();
    serde_json::from_value(file["services"].clone()).unwrap()
}

#[test]
fn compose_has_the_servers_of_the_tests_at_their_versions() {
    let images = services().into_values().map(|service| {
        let image = service["image"].as_str().unwrap().to_owned();
        let (path, tag) = image.rsplit_once(':').unwrap();
        let name = path.rsplit('/').next().unwrap().to_owned();
        (name, tag.trim_start_matches('v').to_owned())
    });
    let mut pinned = pinned();
    pinned.retain(|name, _| !NOT_COMPOSED.contains(&name.as_str()));
    assert_eq!(images.collect::<BTreeMap<_, _>>(), pinned);
}

#[test]
fn kubernetes_is_built_from_the_modules_of_its_version() {
    let (modules, pinned) = (read("servers/kubernetes/go.mod"), pinned());
    for (name, module) in [("kubernetes", "k8s.io/kubernetes"), ("helm", "helm.sh/helm/v3")] {
        let wanted = format!("{module} v{}", pinned[name]);
        assert!(modules.contains(&wanted), "go.mod must have {wanted}");
    }
}

#[test]
fn the_collector_is_built_from_the_modules_of_its_version() {
    let (modules, pinned) = (read("servers/collector/go.mod"), pinned());
    let wanted = format!("go.opentelemetry.io/collector/otelcol v{}", pinned["collector"]);
    assert!(modules.contains(&wanted), "go.mod must have {wanted}");
}

#[test]
fn localstack_is_installed_from_a_lock_of_its_version_with_checksums() {
    let lock = read("servers/localstack/requirements.txt");
    let wanted = format!("localstack-core=={} ", pinned()["localstack"]);
    assert!(lock.contains(&wanted), "requirements.txt must have {wanted}");
    let pins = lock.lines().filter(|line| line.contains("==")).count();
    let hashed = lock
        .split("==")
        .skip(1)
        .filter(|pin| pin.contains("--hash=sha256:"))
        .count();
    assert_eq!(pins, hashed);
}

#[test]
fn compose_opens_on_this_machine_alone_the_ports_that_its_head_tells() {
    let text = read("compose.yaml");
    let told = text.lines().filter_map(|line| {
        let (_, address) = line.strip_prefix('#')?.split_once("http://")?;
        address.split_whitespace().next()
    });
    let services = services();
    let mut opened: Vec<_> = services
        .values()
        .flat_map(|service| service["ports"].as_array().unwrap())
        .map(|port| port.as_str().unwrap().rsplit_once(':').unwrap().0)
        .collect();
    let mut told: Vec<_> = told.collect();
    told.sort_unstable();
    opened.sort_unstable();
    assert_eq!(told, opened);
}
