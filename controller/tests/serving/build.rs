//! What the tests are built from: authorities, folders like a mounted Secret's, and an API server of reviews.

use flyball_controller::{
    lease::Leadership,
    metrics::Metrics,
    server::{Health, Policies, Told, access::Access, bind, serve, tls::Certificate},
};
use http::{Request, Response};
use kube::{Client, client::Body};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// An authority that issues certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// For loopback.
    pub fn issue(&self) -> Issued {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        Issued {
            certificate: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// A client that trusts nobody else. Each request has a connection of its own.
    pub fn client(&self) -> reqwest::Client {
        let authority = reqwest::Certificate::from_pem(self.0.pem().as_bytes()).unwrap();
        client(Some(authority))
    }
}

/// A client that trusts this authority, or none.
pub fn client(authority: Option<reqwest::Certificate>) -> reqwest::Client {
    flyball_controller::observe::source::install_crypto_provider();
    reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .tls_certs_only(authority)
        .build()
        .unwrap()
}

/// A folder as the kubelet writes one for a Secret: its files are links into `..data`, a link that is swapped at once.
pub struct Mounted {
    folder: PathBuf,
    generation: Mutex<u32>,
}

impl Mounted {
    pub fn new(name: &str, issued: &Issued) -> Self {
        let folder = std::env::temp_dir().join(format!("flyball-serving-{name}-{}", std::process::id()));
        // Of a run that was cut short.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let mounted = Self {
            folder,
            generation: Mutex::new(0),
        };
        mounted.swap(&issued.certificate, &issued.key);
        for file in ["tls.crt", "tls.key"] {
            symlink(format!("..data/{file}"), mounted.folder.join(file)).unwrap();
        }
        mounted
    }

    pub fn swap(&self, certificate: &str, key: &str) {
        let mut generation = self.generation.lock().unwrap();
        *generation += 1;
        let data = format!("..{generation}");
        fs::create_dir_all(self.folder.join(&data)).unwrap();
        fs::write(self.folder.join(&data).join("tls.crt"), certificate).unwrap();
        fs::write(self.folder.join(&data).join("tls.key"), key).unwrap();
        let next = self.folder.join("..data_tmp");
        symlink(&data, &next).unwrap();
        fs::rename(next, self.folder.join("..data")).unwrap();
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    pub fn certificate(&self) -> Arc<Certificate> {
        Certificate::new(self.path("tls.crt"), self.path("tls.key")).unwrap()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A running server.
pub struct Served {
    pub address: SocketAddr,
    stop: CancellationToken,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Served {
    pub async fn start(certificate: Option<Arc<Certificate>>, access: Option<Access>) -> Self {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let (_, leadership) = watch::channel(Leadership::Standby);
        let told = Told {
            metrics: Arc::new(Metrics::new()),
            health: Arc::new(Health::default()),
            policies: Arc::new(Policies::default()),
            leadership,
            identity: "us".to_owned(),
            logs: None,
            webhook: None,
            access: access.map(Arc::new),
        };
        tokio::spawn(serve(listener, certificate, told, stop.clone()));
        Self { address, stop }
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }
}

/// How the API server takes a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Answers,
    /// Each request is answered with this status.
    Fails(u16),
    /// What it answers is no review.
    Babbles,
    Hangs,
}

/// An API server that does nothing but reviews, and keeps what it was asked.
#[derive(Clone)]
pub struct Reviews(Arc<Mutex<Inside>>);

struct Inside {
    mood: Mood,
    /// The status of a review of a token, by token.
    tokens: BTreeMap<String, Value>,
    /// The status of a review of a right, by user.
    rights: BTreeMap<String, Value>,
    asked: Vec<(String, Value)>,
}

pub fn user(name: &str) -> Value {
    json!({"authenticated": true, "user": {"username": name}})
}

impl Reviews {
    pub fn new(tokens: &[(&str, Value)], rights: &[(&str, Value)]) -> Self {
        let owned = |all: &[(&str, Value)]| {
            all.iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect()
        };
        Self(Arc::new(Mutex::new(Inside {
            mood: Mood::Answers,
            tokens: owned(tokens),
            rights: owned(rights),
            asked: Vec::new(),
        })))
    }

    /// One that knows a reader by the token `good`.
    pub fn of_a_reader() -> Self {
        Self::new(&[("good", user("reader"))], &[("reader", json!({"allowed": true}))])
    }

    pub fn mood(&self, mood: Mood) {
        self.0.lock().unwrap().mood = mood;
    }

    /// Whether this user may from now on.
    pub fn may(&self, user: &str, allowed: bool) {
        let status = json!({"allowed": allowed});
        self.0.lock().unwrap().rights.insert(user.to_owned(), status);
    }

    /// What was asked since the last time, as paths and bodies.
    pub fn asked(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.0.lock().unwrap().asked)
    }

    /// How many reviews of tokens there were since the last time.
    pub fn tokens(&self) -> usize {
        self.asked()
            .iter()
            .filter(|(path, _)| path.ends_with("/tokenreviews"))
            .count()
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let (parts, body) = request.into_parts();
        let body: Value = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap();
        assert_eq!(parts.method, "POST");
        let (mood, status) = {
            let mut inside = self.0.lock().unwrap();
            let text = |path: &str| {
                body.pointer(path)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            let status = match parts.uri.path() {
                "/apis/authentication.k8s.io/v1/tokenreviews" => inside
                    .tokens
                    .get(&text("/spec/token"))
                    .cloned()
                    .unwrap_or_else(|| json!({"error": "invalid bearer token"})),
                "/apis/authorization.k8s.io/v1/subjectaccessreviews" => inside
                    .rights
                    .get(&text("/spec/user"))
                    .cloned()
                    .unwrap_or_else(|| json!({"allowed": false})),
                other => panic!("{other} is no review"),
            };
            inside.asked.push((parts.uri.path().to_owned(), body.clone()));
            (inside.mood, status)
        };
        let mut review = body;
        review["status"] = status;
        let (code, text) = match mood {
            Mood::Answers => (201, review.to_string()),
            Mood::Fails(code) => {
                let status =
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "code": code});
                (code, status.to_string())
            }
            Mood::Babbles => (201, "no review".to_owned()),
            Mood::Hangs => std::future::pending().await,
        };
        Ok(Response::builder()
            .status(code)
            .header("content-type", "application/json")
            .body(Body::from(text.into_bytes()))
            .unwrap())
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        let reviews = self.clone();
        let service = tower::service_fn(move |request| reviews.clone().answer(request));
        Client::new(service, "default")
    }

    pub fn access(&self) -> (Access, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        (Access::new(self.client(), Arc::clone(&metrics)), metrics)
    }
}
