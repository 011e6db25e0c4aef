//! Where nothing is asked: addresses at which clouds and nodes serve themselves, and those that the installation does not allow.
//!
//! A cloud gives the credentials of a node to whoever asks a link-local address from it (`169.254.169.254`, `fd00:ec2::254`). Whoever
//! writes a MetricSource, or answers for a name in it, must not have the controller ask there, whatever the installation allows. Addresses
//! inside of a cluster are private ones, so those are not refused unless the installation says which are allowed. Names are looked at
//! when they are resolved for a connection, each time, since their answers change: what was looked at is what is connected to.

use ipnet::IpNet;
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::Arc,
};
use tokio::net::lookup_host;

/// Where some clouds serve credentials beside the link-local address: by IPv6, and behind their own names.
const METADATA: [IpAddr; 3] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];

/// Why an address is not asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody may have it asked.
    #[error(
        "is link-local, multicast, unspecified or a cloud's metadata, where no Prometheus is; name the server itself"
    )]
    Never,
    /// The installation allows others.
    #[error(
        "is not in --allow-addresses of the installation; name another server, or add its network there (controller.allowAddresses of the chart)"
    )]
    NotAllowed,
    /// The installation forbids it.
    #[error(
        "is in {0} of --deny-addresses of the installation; name another server, or change that (controller.denyAddresses of the chart)"
    )]
    Denied(Network),
}

/// An address that is not asked, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("address {address}{} {refusal}", of(.host.as_ref()))]
pub struct Refused {
    /// The address.
    pub address: IpAddr,
    /// The name that it was found by, if it was not written itself.
    pub host: Option<String>,
    /// Why.
    pub refusal: Refusal,
}

fn of(host: Option<&String>) -> String {
    host.map(|host| format!(" of {host}")).unwrap_or_default()
}

/// A network, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// It is none.
    #[error("{0:?} is no network; write for example 10.0.0.0/8, fd00::/8 or 192.0.2.7")]
    Form(String),
    /// It has bits beyond its prefix, so another one may be meant.
    #[error("{0} has bits beyond its prefix; write {1}")]
    Bits(IpNet, IpNet),
    /// It is one through which IPv4 addresses are reached, and what counts is those.
    #[error("{0} holds IPv4 addresses in the form of IPv6; write the network of IPv4 that they lead to")]
    Embedded(IpNet),
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let text = text.trim();
        let network: IpNet = match text.parse::<IpAddr>() {
            Ok(address) => address.into(),
            Err(_) => text
                .parse()
                .map_err(|_| NetworkError::Form(text.chars().take(64).collect()))?,
        };
        if network.trunc() != network {
            return Err(NetworkError::Bits(network, network.trunc()));
        }
        // A wider one holds others as well, and says nothing of these.
        if embedded(network.network()).is_some() && embedded(network.broadcast()).is_some() {
            return Err(NetworkError::Embedded(network));
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which addresses are asked. The default: all but those that never are.
#[derive(Clone, Debug, Default)]
pub struct Addresses(Arc<Lists>);

#[derive(Debug, Default)]
struct Lists {
    /// None: all.
    allow: Vec<Network>,
    deny: Vec<Network>,
}

impl Addresses {
    /// Those in `allow`, or all where it is empty, without those in `deny`.
    pub fn new(allow: Vec<Network>, deny: Vec<Network>) -> Self {
        Self(Arc::new(Lists { allow, deny }))
    }

    /// Refuses an address at which nothing is asked.
    pub fn check(&self, address: IpAddr) -> Result<(), Refusal> {
        let address = address.to_canonical();
        let reached = embedded(address).map_or(address, IpAddr::V4);
        if [address, reached].into_iter().any(never) {
            return Err(Refusal::Never);
        }
        let holds = |network: &&Network| network.0.contains(&address) || network.0.contains(&reached);
        if let Some(network) = self.0.deny.iter().find(holds) {
            return Err(Refusal::Denied(*network));
        }
        // By what is reached alone: who allows all of IPv6 has not allowed the private addresses of IPv4 behind a translator.
        if !self.0.allow.is_empty() && !self.0.allow.iter().any(|network| network.0.contains(&reached)) {
            return Err(Refusal::NotAllowed);
        }
        Ok(())
    }

    /// Refuses a URL that has such an address in place of a name.
    pub fn check_url(&self, url: &Url) -> Result<(), Refused> {
        // However an address was written, a URL that was parsed has it in its usual form, one of version 6 in brackets.
        let host = url.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let Ok(address) = bare.parse() else {
            return Ok(());
        };
        self.check(address).map_err(|refusal| Refused {
            address,
            host: None,
            refusal,
        })
    }

    /// Resolves names for a client, and leaves out what is not asked.
    pub fn resolver(&self) -> Resolver {
        Resolver(self.clone())
    }
}

/// The refusal behind an error of a request, if that is what it is.
pub fn refused(error: &reqwest::Error) -> Option<Refused> {
    let mut inner: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = inner {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return Some(refused.clone());
        }
        inner = error.source();
    }
    None
}

fn never(address: IpAddr) -> bool {
    let wrong = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_multicast() || v4.is_unspecified() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified(),
    };
    wrong || METADATA.contains(&address)
}

/// The IPv4 address that one of IPv6 leads to: mapped (`::ffff:0:0/96`) or compatible (`::/96`, RFC 4291), through NAT64
/// (`64:ff9b::/96`, RFC 6052, and `64:ff9b:1::/48`, RFC 8215, of which the usual form is read), or by 6to4 (`2002::/16`, RFC 3056).
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else {
        return None;
    };
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        // The unspecified address and the loopback are themselves.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => v4(high, low),
        _ => None,
    }
}

/// Resolves names, and leaves out addresses that are not asked.
#[derive(Clone, Debug)]
pub struct Resolver(Addresses);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = self.0.clone();
        Box::pin(async move {
            let host = name.as_str();
            let found: Vec<SocketAddr> = lookup_host((host, 0)).await?.collect();
            let (mut allowed, mut wrong) = (Vec::new(), None);
            for found in found {
                match addresses.check(found.ip()) {
                    Ok(()) => allowed.push(found),
                    Err(refusal) => {
                        wrong = Some(Refused {
                            address: found.ip(),
                            host: Some(host.to_owned()),
                            refusal,
                        });
                    }
                }
            }
            match wrong {
                Some(refused) if allowed.is_empty() => Err(refused.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests;
