//! TLS with an authority of one's own, mutual TLS and basic auth, as the real servers do them.

use crate::server::{Folder, Kind, Server, configured};
use flyball_controller::{
    clock,
    observe::{
        credentials::Secrets,
        source::{Source, SourceError},
    },
};
use flyball_crds::{Auth, Basic, KeyPair, MetricSourceSpec, SecretKey, Tls};
use flyball_tests::authority::Authority;

/// bcrypt of [`PASSWORD`], at the least cost.
const HASH: &str = "$2a$04$42yvg8w4zcw/kooJXnPGbu/dXnWBHO.60MznYJjf5t7bqx1OpN2Oq";
const PASSWORD: &str = "secret & more";

const LOOPBACK: [&str; 1] = ["127.0.0.1"];

/// Writes a certificate of the server and what it trusts itself.
fn write(authority: &Authority, folder: &Folder) {
    let issued = authority.issue(&LOOPBACK);
    folder.write("server.crt", &issued.certificate);
    folder.write("server.key", &issued.key);
    folder.write("clients.crt", &authority.pem());
}

fn key(name: &str) -> SecretKey {
    SecretKey {
        name: "server".into(),
        key: name.into(),
    }
}

/// A Prometheus that wants a certificate and a password.
fn prometheus(authority: &Authority) -> Option<Server> {
    let folder = configured("global: {scrape_interval: 1s}\n");
    write(authority, &folder);
    let web = format!(
        "tls_server_config: {{cert_file: server.crt, key_file: server.key, client_auth_type: RequireAndVerifyClientCert, \
         client_ca_file: clients.crt}}\nbasic_auth_users: {{flyball: \"{HASH}\"}}\n"
    );
    let web = folder.write("web.yml", &web);
    Server::start(
        Kind::Prometheus,
        folder,
        &[format!("--web.config.file={}", web.display())],
    )
}

/// A VictoriaMetrics that shows a certificate and wants a password.
fn victoria_metrics(authority: &Authority) -> Option<Server> {
    let folder = configured("");
    write(authority, &folder);
    let at = |name: &str| folder.path().join(name).display().to_string();
    let more = [
        "-tls".to_owned(),
        format!("-tlsCertFile={}", at("server.crt")),
        format!("-tlsKeyFile={}", at("server.key")),
        "-httpAuth.username=flyball".to_owned(),
        format!("-httpAuth.password={PASSWORD}"),
    ];
    Server::start(Kind::VictoriaMetrics, folder, &more)
}

/// How a source asks: with which authority, as whom by TLS, and with which password.
#[derive(Clone, Debug)]
struct Ask {
    trust: Option<&'static str>,
    show: Option<(&'static str, &'static str)>,
    password: Option<&'static str>,
}

fn secrets(authority: &Authority) -> Secrets {
    let other = Authority::new();
    let (known, unknown) = (authority.issue(&LOOPBACK), other.issue(&LOOPBACK));
    [
        ("ca", authority.pem()),
        ("other", other.pem()),
        ("tls.crt", known.certificate),
        ("tls.key", known.key),
        ("unknown.crt", unknown.certificate),
        ("unknown.key", unknown.key),
        ("right", format!("{PASSWORD}\n")),
        ("wrong", "guess".to_owned()),
    ]
    .into_iter()
    .map(|(name, content)| (key(name), content.into_bytes()))
    .collect()
}

async fn ask(server: &Server, secrets: &Secrets, how: &Ask) -> Result<(), SourceError> {
    let spec = MetricSourceSpec {
        url: format!("https://{}", server.address),
        tls: Some(Tls {
            ca: how.trust.map(key),
            key_pair: how.show.map(|(certificate, private)| KeyPair {
                certificate: key(certificate),
                key: key(private),
            }),
            ..Tls::default()
        }),
        auth: how.password.map(|password| Auth {
            basic: Some(Basic {
                username: "flyball".into(),
                password: key(password),
            }),
            ..Auth::default()
        }),
        ..MetricSourceSpec::default()
    };
    Source::new("backend", &spec, secrets)
        .unwrap()
        .ready(clock::now())
        .await
}

const RIGHT: Ask = Ask {
    trust: Some("ca"),
    show: Some(("tls.crt", "tls.key")),
    password: Some("right"),
};

#[tokio::test]
async fn prometheus_lets_in_whom_it_knows() {
    let authority = Authority::new();
    let Some(server) = prometheus(&authority) else { return };
    let secrets = secrets(&authority);
    assert_eq!(ask(&server, &secrets, &RIGHT).await, Ok(()));
    for password in [Some("wrong"), None] {
        let refused = ask(&server, &secrets, &Ask { password, ..RIGHT }).await;
        assert_eq!(refused, Err(SourceError::Unauthorized(401)), "{password:?}");
    }
    for show in [Some(("unknown.crt", "unknown.key")), None] {
        let refused = ask(&server, &secrets, &Ask { show, ..RIGHT }).await;
        let refused = refused.unwrap_err();
        assert!(refused.is_outage(), "{show:?}: {refused}");
        assert!(refused.to_string().contains("spec.tls"), "{show:?}: {refused}");
    }
    for trust in [Some("other"), None] {
        let refused = ask(&server, &secrets, &Ask { trust, ..RIGHT }).await;
        assert!(
            matches!(refused, Err(SourceError::Connect { .. })),
            "{trust:?}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn victoria_metrics_lets_in_whom_it_knows() {
    let authority = Authority::new();
    let Some(server) = victoria_metrics(&authority) else {
        return;
    };
    let secrets = secrets(&authority);
    let right = Ask { show: None, ..RIGHT };
    assert_eq!(ask(&server, &secrets, &right).await, Ok(()));
    let wrong = Ask {
        password: Some("wrong"),
        ..right.clone()
    };
    assert_eq!(
        ask(&server, &secrets, &wrong).await,
        Err(SourceError::Unauthorized(401))
    );
    let other = Ask {
        trust: Some("other"),
        ..right
    };
    assert!(matches!(
        ask(&server, &secrets, &other).await,
        Err(SourceError::Connect { .. })
    ));
}

/// Prometheus reads its certificates anew with each connection; so does the source, from a changed Secret.
#[tokio::test]
async fn a_new_authority_is_taken_over_on_both_sides() {
    let (old, new) = (Authority::new(), Authority::new());
    let Some(server) = prometheus(&old) else { return };
    let (before, after) = (secrets(&old), secrets(&new));
    assert_eq!(ask(&server, &before, &RIGHT).await, Ok(()));
    assert!(ask(&server, &after, &RIGHT).await.is_err());
    write(&new, &server.folder);
    assert_eq!(ask(&server, &after, &RIGHT).await, Ok(()));
    assert!(ask(&server, &before, &RIGHT).await.is_err());
}
