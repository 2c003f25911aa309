//! What a node prints when it starts: where it is, and how to write a first document.

use std::net::SocketAddr;

use quire_ca::Authority;
use quire_gateway::Backend as _;

use crate::config::Config;
use crate::node::{FIRST_CHANNEL, Node};
use crate::terminal::say;

/// The scheme of addresses of gRPC.
pub(super) fn grpc_scheme(config: &Config) -> &'static str {
    if config.tls.is_some() {
        "grpcs"
    } else {
        "grpc"
    }
}

fn scheme(config: &Config) -> &'static str {
    if config.tls.is_some() {
        "https"
    } else {
        "http"
    }
}

/// What the clients of the CA want to know.
pub(super) fn greet_ca(
    authority: &Authority,
    addresses: &[SocketAddr],
    config: &Config,
    secret: Option<&str>,
) {
    let name = authority.name();
    for address in addresses {
        say(format_args!(
            "CA {name} is listening on {}://{address}",
            scheme(config)
        ));
    }
    if let Some(secret) = secret {
        let admin = &config.ca_admin.name;
        say(format_args!(
            "  secret of {admin} at the CA, shown this once: {secret}"
        ));
    }
}

/// What somebody who just started the node wants to know.
pub(super) fn greet(
    node: &Node,
    addresses: &[SocketAddr],
    operations: &[SocketAddr],
    config: &Config,
) {
    let (Some(address), Some(metrics)) = (addresses.first(), operations.first()) else {
        return;
    };
    let data = config.data.canonicalize();
    let data = data.unwrap_or_else(|_| config.data.clone());
    let scheme = scheme(config);
    let version = env!("CARGO_PKG_VERSION");
    say(format_args!(
        "Quire {version} is listening on {scheme}://{address}"
    ));
    for also in addresses.iter().skip(1) {
        say(format_args!("  and on          {scheme}://{also}"));
    }
    say(format_args!("  data directory  {}", data.display()));
    say(format_args!(
        "  organisation    {}",
        node.organization().msp_id()
    ));
    if config.counts {
        say(format_args!(
            "  metrics         {scheme}://{metrics}/metrics"
        ));
    }
    say(format_args!(
        "  channels        {}",
        node.channels().join(", ")
    ));
    for closed in node.closed_channels() {
        say(format_args!(
            "  NOT OPEN        {}: {}",
            closed.component, closed.reason
        ));
    }
    if config.orders_only {
        say(format_args!(
            "  role            orderer: Broadcast and Deliver, and no state"
        ));
        return;
    }
    let callers = match (config.limits.local_only, node.tokens().are_required()) {
        (false, _) => "anybody who reaches this address, without a token",
        (true, true) => "those who show a token",
        (true, false) => "programs of this machine, until `quire token create` makes a token",
    };
    say(format_args!("  callers         {callers}"));
    if config.limits.local_only && node.tokens().are_required() {
        return;
    }
    say(format_args!("Write a document, and read it back:"));
    say(format_args!(
        "  curl -X PUT {scheme}://{address}/v1/channels/{FIRST_CHANNEL}/state/orders/1001 \
         -H 'Content-Type: application/json' -d '{{\"total\": 12.50}}'"
    ));
    say(format_args!(
        "  curl {scheme}://{address}/v1/channels/{FIRST_CHANNEL}/state/orders/1001"
    ));
}
