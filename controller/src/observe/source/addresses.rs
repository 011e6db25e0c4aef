//! Where nothing is ever asked: addresses at which clouds and nodes serve themselves, not Prometheus and not whoever takes events.
//!
//! A cloud gives the credentials of a node to whoever asks a link-local address from it (`169.254.169.254`, `fd00:ec2::254`). Whoever
//! writes a MetricSource, or answers for a name in it, must not have the controller ask there. Addresses inside of a cluster are
//! private ones, so those are not refused. Names are looked at when they are resolved, each time, since their answers change.

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::lookup_host;

/// Where some clouds serve credentials beside the link-local address: by IPv6, and behind their own names.
const METADATA: [IpAddr; 3] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];

/// Why an address is never asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is link-local, multicast, unspecified or a cloud's metadata, where nothing is asked")]
pub struct Forbidden(IpAddr);

/// Refuses an address at which nothing is asked.
pub fn check(address: IpAddr) -> Result<(), Forbidden> {
    let canonical = address.to_canonical();
    let wrong = match canonical {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_multicast() || v4.is_unspecified() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified(),
    };
    if wrong || METADATA.contains(&canonical) {
        return Err(Forbidden(address));
    }
    Ok(())
}

/// Refuses a URL that has such an address in place of a name.
pub fn check_url(url: &Url) -> Result<(), Forbidden> {
    // However an address was written, a URL that was parsed has it in its usual form, one of version 6 in brackets.
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse().map_or(Ok(()), check)
}

/// Resolves names, and leaves out addresses that are never asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = lookup_host((name.as_str(), 0)).await?.collect();
            let (mut allowed, mut wrong) = (Vec::new(), None);
            for address in found {
                match check(address.ip()) {
                    Ok(()) => allowed.push(address),
                    Err(forbidden) => wrong = Some(forbidden),
                }
            }
            match wrong {
                Some(forbidden) if allowed.is_empty() => Err(forbidden.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clouds_and_nodes_are_not_asked_and_clusters_are() {
        let check = |address: &str, expect: bool| {
            let found = check(address.parse().expect("an address"));
            assert_eq!(found.is_ok(), expect, "{address}");
        };
        for private in [
            "10.96.0.10",
            "172.16.1.1",
            "192.168.1.1",
            "127.0.0.1",
            "::1",
            "fd12:3456::1",
            "8.8.8.8",
        ] {
            check(private, true);
        }
        for wrong in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "169.254.170.2",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "168.63.129.16",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
        ] {
            check(wrong, false);
        }
    }

    #[test]
    fn a_url_hides_no_address() {
        let check = |url: &str, expect: bool| {
            let found = check_url(&Url::parse(url).expect("a URL"));
            assert_eq!(found.is_ok(), expect, "{url}");
        };
        check("http://prometheus.monitoring:9090", true);
        check("http://169.254.169.254/latest", false);
        // The same in other words.
        check("http://2852039166/", false);
        check("http://0xa9.0xfe.0xa9.0xfe/", false);
        check("http://[::ffff:a9fe:a9fe]/", false);
        check("http://[fd00:ec2::254]/", false);
        check("http://0/", false);
    }
}
