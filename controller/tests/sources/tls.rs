//! TLS: who is trusted, and how we show ourselves.

use crate::build::{AT, Hands, key, secrets, source, spec};
use flyball_controller::observe::source::{Source, SourceError, install_crypto_provider};
use flyball_crds::{Auth, KeyPair, MetricSourceSpec, OAuth2, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair as Key};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// An authority that issues certificates.
pub struct Authority(CertifiedIssuer<'static, Key>);

/// A certificate and its key, PEM.
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, Key::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn issue(&self) -> Issued {
        let key = Key::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        Issued {
            certificate: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

/// A server that answers each request with `body`, and counts those that reach it.
pub struct Server {
    pub address: String,
    pub asked: Arc<AtomicUsize>,
}

impl Server {
    /// With `clients`, only those that this authority knows are let in.
    pub async fn start(own: &Issued, clients: Option<&Authority>, body: &'static str) -> Self {
        install_crypto_provider();
        let certificate = CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
        let config = match clients {
            None => ServerConfig::builder().with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.0.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
                ServerConfig::builder().with_client_cert_verifier(verifier)
            }
        };
        let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate], key).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap().to_string(),
            asked: Arc::default(),
        };
        let asked = server.asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, asked) = (acceptor.clone(), asked.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let mut request = Vec::new();
                    let mut buffer = [0; 4096];
                    // Each request ends with the form's last field, or is a small packet.
                    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                        request.extend_from_slice(&buffer[..n]);
                        let text = String::from_utf8_lossy(&request);
                        let done = text.contains("\r\n\r\n") && !text.ends_with("\r\n\r\n");
                        if !done {
                            continue;
                        }
                        request.clear();
                        asked.fetch_add(1, Ordering::SeqCst);
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                            body.len()
                        );
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        server
    }
}

pub const ONE: &str = r#"{"status":"success","data":{"resultType":"scalar","result":[1700000000.125,"1"]}}"#;
const TOKEN: &str = r#"{"access_token":"abc","token_type":"Bearer","expires_in":60}"#;

fn with(address: &str, tls: Option<Tls>) -> MetricSourceSpec {
    MetricSourceSpec {
        tls,
        ..spec(&format!("https://{address}"))
    }
}

fn trusting(name: &str) -> Tls {
    Tls {
        ca: Some(key(name)),
        ..Tls::default()
    }
}

fn pair(certificate: &str, private: &str) -> KeyPair {
    KeyPair {
        certificate: key(certificate),
        key: key(private),
    }
}

#[tokio::test]
async fn only_the_named_authority_is_trusted() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = Server::start(&ours.issue(), None, ONE).await;
    let both = format!("{}{}", theirs.pem(), ours.pem());
    let secrets = secrets(&[("ours", &ours.pem()), ("theirs", &theirs.pem()), ("both", &both)]);
    for (tls, trusts) in [
        (Some(trusting("ours")), true),
        (Some(trusting("both")), true),
        (Some(trusting("theirs")), false),
        (None, false),
    ] {
        let spec = with(&server.address, tls);
        let answer = source(&spec, &secrets, &Hands::new()).instant("x", AT).await;
        assert_eq!(answer.is_ok(), trusts, "{spec:?}: {answer:?}");
        if let Err(error) = answer {
            let message = error.to_string();
            assert!(
                message.contains("certificate") && message.contains("check spec.url and spec.tls"),
                "{message}"
            );
        }
    }
}

#[tokio::test]
async fn we_show_ourselves_with_one_key_or_with_two() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = Server::start(&ours.issue(), Some(&ours), ONE).await;
    let (known, unknown) = (ours.issue(), theirs.issue());
    let secrets = secrets(&[
        ("ca", &ours.pem()),
        ("tls.crt", &known.certificate),
        ("tls.key", &known.key),
        ("both", &format!("{}{}", known.certificate, known.key)),
        // Without the line break at the end, as some write it.
        ("cut", known.certificate.trim_end()),
        ("unknown.crt", &unknown.certificate),
        ("unknown.key", &unknown.key),
    ]);
    let identity = |name| Tls {
        identity: Some(key(name)),
        ..trusting("ca")
    };
    let two = |certificate, private| Tls {
        key_pair: Some(pair(certificate, private)),
        ..trusting("ca")
    };
    for (tls, welcome) in [
        (identity("both"), true),
        (two("tls.crt", "tls.key"), true),
        (two("cut", "tls.key"), true),
        (two("unknown.crt", "unknown.key"), false),
        (trusting("ca"), false),
    ] {
        let spec = with(&server.address, Some(tls));
        let answer = source(&spec, &secrets, &Hands::new()).instant("x", AT).await;
        assert_eq!(answer.is_ok(), welcome, "{spec:?}: {answer:?}");
    }
}

#[test]
fn what_is_wrong_with_a_pair_is_named() {
    let authority = Authority::new();
    let (one, other) = (authority.issue(), authority.issue());
    let secrets = secrets(&[
        ("tls.crt", &one.certificate),
        ("tls.key", &one.key),
        ("other.key", &other.key),
        ("geheim", "geheim"),
    ]);
    let named = |tls: Tls| {
        let spec = with("prometheus:9090", Some(tls));
        match Source::new("test", &spec, &secrets) {
            Ok(_) => panic!("{spec:?} was accepted"),
            Err(error) => error.to_string(),
        }
    };
    let two = |certificate, private| Tls {
        key_pair: Some(pair(certificate, private)),
        ..Tls::default()
    };
    for (tls, part) in [
        (
            two("geheim", "tls.key"),
            "spec.tls.keyPair.certificate: the key \"geheim\" of the Secret \"prometheus\" is not a list of certificates",
        ),
        (
            two("tls.key", "tls.key"),
            "spec.tls.keyPair.certificate: the key \"tls.key\" of the Secret \"prometheus\" is not a list of certificates",
        ),
        (
            two("tls.crt", "geheim"),
            "spec.tls.keyPair.key: the key \"geheim\" of the Secret \"prometheus\" is not a private key",
        ),
        (
            two("tls.crt", "tls.crt"),
            "spec.tls.keyPair.key: the key \"tls.crt\" of the Secret \"prometheus\" is not a private key",
        ),
        (
            two("nowhere", "tls.key"),
            "spec.tls.keyPair.certificate: the Secret \"prometheus\" has no key \"nowhere\"",
        ),
        (
            two("tls.crt", "nowhere"),
            "spec.tls.keyPair.key: the Secret \"prometheus\" has no key \"nowhere\"",
        ),
        (
            two("tls.crt", "other.key"),
            "spec.tls.keyPair: the certificate and its key can't be used",
        ),
        (
            Tls {
                identity: Some(key("tls.crt")),
                ..two("tls.crt", "tls.key")
            },
            "spec.tls: at most one of identity and keyPair is allowed",
        ),
    ] {
        let message = named(tls);
        assert!(
            message.starts_with(part) && !message.contains("PRIVATE"),
            "{message:?} is not {part:?}"
        );
    }
}

/// A token endpoint is asked with the source's settings, unless it has its own.
#[tokio::test]
async fn a_token_endpoint_has_the_sources_tls_or_its_own() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let api = Server::start(&ours.issue(), Some(&ours), ONE).await;
    let known = ours.issue();
    let guest = theirs.issue();
    let secrets = secrets(&[
        ("secret", "geheim"),
        ("ours", &ours.pem()),
        ("theirs", &theirs.pem()),
        ("tls.crt", &known.certificate),
        ("tls.key", &known.key),
        ("guest.crt", &guest.certificate),
        ("guest.key", &guest.key),
    ]);
    let own = Tls {
        key_pair: Some(pair("tls.crt", "tls.key")),
        ..trusting("ours")
    };
    let guests = Tls {
        key_pair: Some(pair("guest.crt", "guest.key")),
        ..trusting("theirs")
    };
    let asked = async |login: &Server, tls: Option<Tls>| {
        let oauth2 = OAuth2 {
            token_url: format!("https://{}/token", login.address),
            client_id: "flyball".into(),
            client_secret: key("secret"),
            tls,
            ..OAuth2::default()
        };
        let spec = MetricSourceSpec {
            auth: Some(Auth {
                oauth2: Some(oauth2),
                ..Auth::default()
            }),
            ..with(&api.address, Some(own.clone()))
        };
        source(&spec, &secrets, &Hands::new()).instant("x", AT).await.map(drop)
    };
    let same = Server::start(&ours.issue(), Some(&ours), TOKEN).await;
    assert_eq!(asked(&same, None).await, Ok(()));
    // With settings of its own none of the source's are used: not its authority, and not its certificate.
    assert!(matches!(
        asked(&same, Some(Tls::default())).await,
        Err(SourceError::Token(_))
    ));
    assert!(matches!(
        asked(&same, Some(trusting("ours"))).await,
        Err(SourceError::Token(_))
    ));
    let other = Server::start(&theirs.issue(), Some(&theirs), TOKEN).await;
    assert!(matches!(asked(&other, None).await, Err(SourceError::Token(_))));
    assert_eq!(asked(&other, Some(guests)).await, Ok(()));
    assert_eq!(other.asked.load(Ordering::SeqCst), 1);
}

#[test]
fn the_token_endpoints_own_settings_are_named_in_errors() {
    let oauth2 = OAuth2 {
        token_url: "https://login/token".into(),
        client_id: "flyball".into(),
        client_secret: key("secret"),
        tls: Some(trusting("nowhere")),
        ..OAuth2::default()
    };
    let spec = MetricSourceSpec {
        auth: Some(Auth {
            oauth2: Some(oauth2),
            ..Auth::default()
        }),
        ..spec("https://mimir")
    };
    let message = Source::new("test", &spec, &secrets(&[("secret", "geheim")]))
        .err()
        .unwrap()
        .to_string();
    assert!(
        message.starts_with("spec.auth.oauth2.tls.ca: the Secret \"prometheus\" has no key"),
        "{message}"
    );
}
