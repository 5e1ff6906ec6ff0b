//! The compose files say nothing that compose does not know, name only what is there, and configure a server that starts.
//!
//! Docker itself is not needed: the types here are what compose's specification has of the words we use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::process::command;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Compose {
    /// An extension, which only holds an anchor.
    #[serde(rename = "x-poll")]
    _anchor: Option<Value>,
    services: BTreeMap<String, Service>,
    #[serde(rename = "networks", default)]
    _networks: BTreeMap<String, Option<Value>>,
    #[serde(default)]
    volumes: BTreeMap<String, Option<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    image: Option<String>,
    build: Option<Build>,
    #[serde(rename = "command")]
    _command: Option<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    depends_on: Option<DependsOn>,
    #[serde(rename = "healthcheck")]
    _healthcheck: Option<Healthcheck>,
    #[serde(default)]
    ports: Vec<String>,
    #[serde(default)]
    volumes: Vec<String>,
    #[serde(rename = "read_only")]
    _read_only: Option<bool>,
    #[serde(rename = "cap_drop")]
    _cap_drop: Option<Vec<String>>,
    #[serde(rename = "security_opt")]
    _security_opt: Option<Vec<String>>,
    restart: Option<String>,
    stop_grace_period: Option<String>,
    ulimits: Option<BTreeMap<String, u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Build {
    context: String,
    dockerfile: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum DependsOn {
    Names(Vec<String>),
    Conditions(BTreeMap<String, Condition>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    condition: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Healthcheck {
    #[serde(rename = "test")]
    _test: String,
    #[serde(rename = "interval")]
    _interval: String,
    #[serde(rename = "retries")]
    _retries: u32,
}

impl Service {
    fn needs(&self) -> Vec<&String> {
        match &self.depends_on {
            None => Vec::new(),
            Some(DependsOn::Names(names)) => names.iter().collect(),
            Some(DependsOn::Conditions(conditions)) => {
                let known = ["service_healthy", "service_started", "service_completed_successfully"];
                assert!(conditions.values().all(|on| known.contains(&on.condition.as_str())));
                conditions.keys().collect()
            }
        }
    }
}

/// Checks what every service says, and gives the environments of those that are ours.
fn check(text: &str) -> Vec<BTreeMap<String, String>> {
    let compose: Compose = serde_saphyr::from_str(text).unwrap();
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let mut used = BTreeSet::new();
    let mut ours = Vec::new();
    for (name, service) in &compose.services {
        assert!(service.image.is_some() != service.build.is_some(), "{name}: an image or a build");
        assert!(service.needs().iter().all(|other| compose.services.contains_key(*other)), "{name}");
        assert!(service.restart.as_deref().is_none_or(|when| when == "on-failure"), "{name}");
        for volume in &service.volumes {
            let source = volume.split(':').next().unwrap();
            if source.starts_with('.') {
                assert!(deploy.join(source).is_file(), "{name}: {source}");
            } else {
                assert!(compose.volumes.contains_key(source), "{name}: {source}");
                used.insert(source);
            }
        }
        for port in service.ports.iter().flat_map(|port| port.rsplit(':').take(2)) {
            assert!(port.parse::<u16>().is_ok(), "{name}: {port}");
        }
        if let Some(build) = &service.build {
            assert!(deploy.join(&build.context).join(&build.dockerfile).is_file(), "{name}");
            assert_eq!(service.ulimits.as_ref().unwrap()["nofile"], 1_048_576, "{name}");
            assert_eq!(service.stop_grace_period.as_deref(), Some("30s"), "{name}");
            ours.push(service.environment.clone());
        }
    }
    assert!(compose.volumes.keys().all(|volume| used.contains(volume.as_str())));
    ours
}

/// What compose puts in place of `${NAME:?why}`.
fn substituted(value: &str) -> &str {
    match value.strip_prefix("${") {
        Some(rest) if rest.contains(":?") => "a-long-random-text",
        Some(_) => panic!("{value}: a secret has no default"),
        None => value,
    }
}

fn is_a_configuration(environment: &BTreeMap<String, String>) {
    let mut command = command();
    command.arg("--check").env_remove("POLL_STORE");
    for (name, value) in environment {
        command.env(name, substituted(value));
    }
    let output = command.output().unwrap();
    // A name that no setting has would be a warning in front of it.
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "configuration ok\n", "{environment:?}");
    assert!(output.stderr.is_empty() && output.status.success());
    for name in ["POLL_LISTEN", "POLL_STORE", "POLL_PUBLISH_TOKEN", "POLL_SUBSCRIBE_TOKEN"] {
        assert!(environment.contains_key(name), "{name}");
    }
}

#[test]
fn one_node_is_configured_and_keeps_its_store_in_a_volume() {
    let nodes = check(include_str!("../../../deploy/compose.yml"));
    assert_eq!(nodes.len(), 1);
    is_a_configuration(&nodes[0]);
    assert!(nodes[0]["POLL_STORE"].starts_with("disk:/var/lib/poll/"));
}

#[cfg(feature = "redis")]
#[test]
fn three_nodes_are_configured_alike() {
    let nodes = check(include_str!("../../../deploy/compose-cluster.yml"));
    assert_eq!(nodes.len(), 3);
    assert!(nodes.iter().all(|node| *node == nodes[0]));
    is_a_configuration(&nodes[0]);
}

#[test]
fn a_word_that_compose_does_not_know_is_found() {
    let text = include_str!("../../../deploy/compose.yml").replace("stop_grace_period", "stop_grace");
    assert!(serde_saphyr::from_str::<Compose>(&text).is_err());
}
