use super::*;

fn addresses(allow: &[&str], deny: &[&str]) -> Addresses {
    let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a network")).collect();
    Addresses::new(networks(allow), networks(deny))
}

fn refusal(addresses: &Addresses, address: &str) -> Option<Refusal> {
    addresses.check(address.parse().expect("an address")).err()
}

/// Addresses that are never asked.
const NEVER: [&str; 19] = [
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::169.254.169.254",
    "2002:a9fe:a9fe::1",
    "169.254.170.2",
    "fe80::1",
    "fd00:ec2::254",
    "100.100.100.200",
    "64:ff9b::100.100.100.200",
    "168.63.129.16",
    "0.0.0.0",
    "::ffff:0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "2002:ffff:ffff::1",
];

#[test]
fn clouds_and_nodes_are_not_asked_and_clusters_are() {
    let default = Addresses::default();
    for asked in [
        "10.96.0.10",
        "172.16.1.1",
        "192.168.1.1",
        "127.0.0.1",
        "::1",
        "fd12:3456::1",
        "8.8.8.8",
        "64:ff9b::10.0.0.1",
        "2002:a00:1::1",
    ] {
        assert_eq!(refusal(&default, asked), None, "{asked}");
    }
    for address in NEVER {
        assert_eq!(refusal(&default, address), Some(Refusal::Never), "{address}");
    }
}

#[test]
fn no_list_allows_what_is_never_asked() {
    let all = addresses(
        &["0.0.0.0/0", "::/0", "169.254.169.254", "fe80::/10", "fd00:ec2::254"],
        &[],
    );
    for address in NEVER {
        assert_eq!(refusal(&all, address), Some(Refusal::Never), "{address}");
    }
}

#[test]
fn only_what_is_allowed_and_not_denied_is_asked() {
    let listed = addresses(
        &["10.0.0.0/8", "192.0.2.7", "fd00::/8"],
        &["10.9.0.0/16", "fd00:9::/32"],
    );
    let denied = |network: &str| Some(Refusal::Denied(network.parse().expect("a network")));
    for (address, expect) in [
        ("10.0.0.0", None),
        ("10.255.255.255", None),
        ("11.0.0.0", Some(Refusal::NotAllowed)),
        ("9.255.255.255", Some(Refusal::NotAllowed)),
        ("192.0.2.7", None),
        ("192.0.2.6", Some(Refusal::NotAllowed)),
        ("192.0.2.8", Some(Refusal::NotAllowed)),
        ("10.9.0.0", denied("10.9.0.0/16")),
        ("10.9.255.255", denied("10.9.0.0/16")),
        ("10.10.0.0", None),
        ("fd12::1", None),
        ("fd00:9::1", denied("fd00:9::/32")),
        ("2001:db8::1", Some(Refusal::NotAllowed)),
        ("127.0.0.1", Some(Refusal::NotAllowed)),
        ("::1", Some(Refusal::NotAllowed)),
        // In other words.
        ("::ffff:10.1.2.3", None),
        ("::ffff:10.9.2.3", denied("10.9.0.0/16")),
        ("64:ff9b::10.1.2.3", None),
        ("64:ff9b::10.9.2.3", denied("10.9.0.0/16")),
        ("64:ff9b::11.1.2.3", Some(Refusal::NotAllowed)),
        ("64:ff9b:1::10.9.2.3", denied("10.9.0.0/16")),
        ("2002:a01:203::1", None),
        ("2002:a09:203::1", denied("10.9.0.0/16")),
        ("::10.9.2.3", denied("10.9.0.0/16")),
    ] {
        assert_eq!(refusal(&listed, address), expect, "{address}");
    }
    // Who allows all of IPv6 allows no private address of IPv4 by that, nor who denies it any.
    let six = addresses(&["::/0"], &[]);
    assert_eq!(refusal(&six, "2001:db8::1"), None);
    for address in ["10.0.0.1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::1"] {
        assert_eq!(refusal(&six, address), Some(Refusal::NotAllowed), "{address}");
    }
    let four = addresses(&[], &["::/0"]);
    assert_eq!(refusal(&four, "10.0.0.1"), None);
    for address in ["fd00::1", "64:ff9b::10.0.0.1", "2002:a00:1::1"] {
        assert_eq!(refusal(&four, address), denied("::/0"), "{address}");
    }
}

#[test]
fn a_network_is_written_as_it_is_meant() {
    let said = |text: &str| match text.parse::<Network>() {
        Ok(network) => network.to_string(),
        Err(error) => error.to_string(),
    };
    for (text, expect) in [
        ("10.0.0.0/8", "10.0.0.0/8"),
        (" fd00::/8 ", "fd00::/8"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:db8::7", "2001:db8::7/128"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("10.1.2.3/8", "10.1.2.3/8 has bits beyond its prefix; write 10.0.0.0/8"),
        (
            "::ffff:10.0.0.0/104",
            "::ffff:10.0.0.0/104 holds IPv4 addresses in the form of IPv6; write the network of IPv4 that they lead to",
        ),
        (
            "64:ff9b::/96",
            "64:ff9b::/96 holds IPv4 addresses in the form of IPv6; write the network of IPv4 that they lead to",
        ),
        (
            "2002::/16",
            "2002::/16 holds IPv4 addresses in the form of IPv6; write the network of IPv4 that they lead to",
        ),
        (
            "10.0.0.0/33",
            "\"10.0.0.0/33\" is no network; write for example 10.0.0.0/8, fd00::/8 or 192.0.2.7",
        ),
        (
            "prometheus",
            "\"prometheus\" is no network; write for example 10.0.0.0/8, fd00::/8 or 192.0.2.7",
        ),
        (
            "",
            "\"\" is no network; write for example 10.0.0.0/8, fd00::/8 or 192.0.2.7",
        ),
    ] {
        assert_eq!(said(text), expect, "{text}");
    }
}

#[test]
fn a_url_hides_no_address() {
    let check = |addresses: &Addresses, url: &str, expect: bool| {
        let found = addresses.check_url(&Url::parse(url).expect("a URL"));
        assert_eq!(found.is_ok(), expect, "{url}");
    };
    let default = Addresses::default();
    check(&default, "http://prometheus.monitoring:9090", true);
    check(&default, "http://169.254.169.254/latest", false);
    // The same in other words.
    check(&default, "http://2852039166/", false);
    check(&default, "http://0xa9.0xfe.0xa9.0xfe/", false);
    check(&default, "http://[::ffff:a9fe:a9fe]/", false);
    check(&default, "http://[64:ff9b::a9fe:a9fe]/", false);
    check(&default, "http://[fd00:ec2::254]/", false);
    check(&default, "http://0/", false);
    let listed = addresses(&["10.0.0.0/8"], &[]);
    check(&listed, "http://10.1.2.3:9090", true);
    check(&listed, "http://0x0a.1.2.3:9090", true);
    check(&listed, "http://[::ffff:10.1.2.3]:9090", true);
    check(&listed, "http://127.0.0.1:9090", false);
    check(&listed, "http://[::1]:9090", false);
    check(&listed, "http://prometheus.monitoring:9090", true);
}

#[tokio::test]
async fn a_name_is_looked_at_by_what_it_resolves_to() {
    let resolved = async |addresses: &Addresses| {
        let name: Name = "localhost".parse().expect("a name");
        match addresses.resolver().resolve(name).await {
            Ok(found) => Ok(found.map(|address| address.ip()).collect::<Vec<_>>()),
            Err(error) => Err(error.to_string()),
        }
    };
    let all = resolved(&Addresses::default()).await.expect("addresses");
    assert!(all.iter().all(IpAddr::is_loopback) && !all.is_empty(), "{all:?}");
    let four = resolved(&addresses(&["127.0.0.0/8"], &[])).await.expect("addresses");
    assert!(four.iter().all(IpAddr::is_ipv4) && !four.is_empty(), "{four:?}");
    let error = resolved(&addresses(&["10.0.0.0/8"], &[])).await.expect_err("none");
    assert!(
        error.starts_with("address ") && error.contains(" of localhost is not in --allow-addresses"),
        "{error}"
    );
}
