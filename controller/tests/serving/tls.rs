//! The certificate, from files that change.

use crate::build::{Authority, Mounted};
use flyball_controller::{
    metrics::Metrics,
    server::tls::{Certificate, LOOK},
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

#[test]
fn what_is_wrong_at_the_start_is_named_with_the_way_out() {
    let authority = Authority::new();
    let (one, other) = (authority.issue(), authority.issue());
    let mounted = Mounted::new("start", &one);
    let said = |certificate: &str, key: &str| {
        mounted.swap(certificate, key);
        Certificate::new(mounted.path("tls.crt"), mounted.path("tls.key"))
            .err()
            .map(|error| error.to_string())
    };
    let (crt, key) = (mounted.path("tls.crt"), mounted.path("tls.key"));
    let (crt, key) = (crt.display(), key.display());
    assert_eq!(said(&one.certificate, &one.key), None);
    let no_certificate = format!(
        "{crt}: no certificate in PEM; it holds the server's own certificate first and then those of its authorities, as tls.crt of a Secret of the type kubernetes.io/tls"
    );
    let no_key = format!(
        "{key}: not a private key in PEM; it holds one key without a pass phrase, as tls.key of a Secret of the type kubernetes.io/tls"
    );
    let cut = &one.key[..one.key.len() / 2];
    for certificate in ["", "geheim", &one.key, cut, "-----BEGIN CERTIFICATE-----\ngeheim\n"] {
        assert_eq!(
            said(certificate, &one.key).as_ref(),
            Some(&no_certificate),
            "{certificate}"
        );
    }
    for wrong in ["", "geheim", &one.certificate, cut] {
        assert_eq!(said(&one.certificate, wrong).as_ref(), Some(&no_key), "{wrong}");
    }
    let mixed = said(&one.certificate, &other.key).unwrap();
    assert!(
        mixed.starts_with(&format!("{crt} and {key} can't be used together: "))
            && mixed.ends_with("; issue both as one pair"),
        "{mixed}"
    );
    let missing = Certificate::new(PathBuf::from("/nowhere/tls.crt"), mounted.path("tls.key")).unwrap_err();
    let missing = missing.to_string();
    assert!(
        missing.starts_with("/nowhere/tls.crt: ")
            && missing.ends_with(
                "; mount the Secret with the certificate there, or leave out --tls-cert-file and --tls-private-key-file to serve plain HTTP"
            ),
        "{missing}"
    );
}

#[test]
fn a_look_finds_what_is_new_and_keeps_what_it_has_where_it_is_wrong() {
    let authority = Authority::new();
    let (one, other) = (authority.issue(), authority.issue());
    let mounted = Mounted::new("look", &one);
    let certificate = mounted.certificate();
    let look = || certificate.look().map_err(|error| error.to_string());
    assert_eq!(look(), Ok(false));
    mounted.swap(&other.certificate, &other.key);
    assert_eq!(look(), Ok(true));
    assert_eq!(look(), Ok(false));
    // Half of a pair, as where files are written one after the other: wrong until the second is there, too.
    mounted.swap(&one.certificate, &other.key);
    assert!(look().unwrap_err().contains("can't be used together"));
    assert!(look().is_err());
    mounted.swap(&one.certificate, &one.key);
    assert_eq!(look(), Ok(true));
}

/// A private key is not part of what a log may hold by `{:?}`.
#[test]
fn the_key_is_not_shown() {
    let issued = Authority::new().issue();
    let mounted = Mounted::new("shown", &issued);
    let text = format!("{:?}", mounted.certificate());
    let line = issued.key.lines().nth(1).unwrap();
    assert!(!text.contains(line), "{text}");
}

#[tokio::test(start_paused = true)]
async fn each_look_that_fails_is_counted_and_a_new_certificate_too() {
    let authority = Authority::new();
    let one = authority.issue();
    let mounted = Mounted::new("counted", &one);
    let (metrics, stop) = (Arc::new(Metrics::new()), CancellationToken::new());
    let following = tokio::spawn(mounted.certificate().follow(Arc::clone(&metrics), stop.clone()));
    let counted = |taken: u64, failed: u64| {
        let text = metrics.encode();
        for (result, count) in [("taken", taken), ("failed", failed)] {
            let line = format!("flyball_certificate_reloads_total{{result=\"{result}\"}} {count}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    };
    // Between two looks, of which the first is at once.
    sleep(LOOK / 2).await;
    counted(0, 0);
    mounted.swap(&one.certificate, "geheim");
    sleep(LOOK * 2).await;
    counted(0, 2);
    let other = authority.issue();
    mounted.swap(&other.certificate, &other.key);
    sleep(LOOK).await;
    counted(1, 2);
    sleep(LOOK * 3).await;
    counted(1, 2);
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(1), following)
        .await
        .unwrap()
        .unwrap();
}
