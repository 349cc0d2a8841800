//! The network policy of the job's pods, where the job asks for one: nobody speaks to them but to read metrics, and they speak
//! to what the job names.

use std::collections::BTreeSet;

use http::Uri;
use k8s_openapi::{
    api::networking::v1::{
        IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
        NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{
    super::names::{self, Place, Role},
    METRICS_PORT, metadata,
};
use crate::{crd::IngestJob, plan::Plan};

/// AWS' own addresses, and those of servers that a job names without a port.
const HTTPS: u16 = 443;
const HTTP: u16 = 80;
const DNS: u16 = 53;

/// Where pods on AWS get credentials: the instance's metadata, and the agent of EKS Pod Identity ("Instance metadata" in the
/// guide of EC2, "Pod Identity" in that of EKS).
const IDENTITIES: [&str; 4] = [
    "169.254.169.254/32",
    "169.254.170.23/32",
    "fd00:ec2::254/128",
    "fd00:ec2::23/128",
];

/// Flags whose values are addresses of servers.
const ADDRESSES: [&str; 5] = [
    "--s3-endpoint=",
    "--sqs-endpoint=",
    "--sqs-queue-url=",
    "--sqs-dead-letter-queue-url=",
    "--es-url=",
];

pub(super) fn policy(job: &IngestJob, plan: &Plan, place: Place) -> Option<NetworkPolicy> {
    let wished = job.spec.network_policy.as_ref()?;
    let mut metadata = metadata(job, Role::Worker, place);
    metadata.name = Some(names::account(job));
    metadata.labels = Some(names::job_labels(job));
    let port = |protocol: &str, port: u16| NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(port.into())),
        end_port: None,
    };
    let servers = ports(plan).into_iter().chain(wished.more_ports.iter().copied());
    let servers: BTreeSet<u16> = servers.collect();
    let identities = IDENTITIES.map(|cidr| NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: cidr.to_owned(),
            except: None,
        }),
        ..NetworkPolicyPeer::default()
    });
    Some(NetworkPolicy {
        metadata,
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(names::of_job(job)),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: None,
                ports: Some(vec![port("TCP", METRICS_PORT)]),
            }]),
            egress: Some(vec![
                NetworkPolicyEgressRule {
                    to: None,
                    ports: Some(vec![port("UDP", DNS), port("TCP", DNS)]),
                },
                NetworkPolicyEgressRule {
                    to: None,
                    ports: Some(servers.into_iter().map(|server| port("TCP", server)).collect()),
                },
                NetworkPolicyEgressRule {
                    to: Some(identities.to_vec()),
                    ports: Some(vec![port("TCP", HTTP)]),
                },
            ]),
        }),
    })
}

/// The ports of all servers that the command lines name, and AWS'.
fn ports(plan: &Plan) -> BTreeSet<u16> {
    let arguments = plan.discoverer.iter().chain(&plan.worker);
    let addresses = arguments.filter_map(|argument| ADDRESSES.iter().find_map(|flag| argument.strip_prefix(flag)));
    let mut ports: BTreeSet<u16> = addresses
        .flat_map(|addresses| addresses.split(','))
        .filter_map(|address| {
            let uri: Uri = address.parse().ok()?;
            let usual = if uri.scheme_str() == Some("http") { HTTP } else { HTTPS };
            Some(uri.port_u16().unwrap_or(usual))
        })
        .collect();
    ports.insert(HTTPS);
    ports
}
