//! The two proxies of deploy/observability/tenants.yaml, run as that file says, and people who come to them.

use flyball_tests::{
    bed::{Bed, skipped},
    demo::access::Access,
    docs,
    helm::Release,
    processes::{Folder, Running, free_port},
};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams, ValidationDirective},
    config::{KubeConfigOptions, Kubeconfig},
};
use rcgen::{CertificateParams, KeyPair};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    env, fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

/// What a token for the door is for, by the file.
pub const AUDIENCE: &str = "tenant-metrics";
/// Where a request says which namespace it is about, by the file.
pub const NAMESPACE: &str = "X-Namespace";

/// The programs. `None`: they are not here, and the test has to pass without them; under `CI=true` that is a failure.
pub struct Programs {
    rbac: PathBuf,
    labels: PathBuf,
}

impl Programs {
    pub fn found() -> Option<Self> {
        let found = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.exists());
        match (found("FLYBALL_RBAC_PROXY"), found("FLYBALL_LABEL_PROXY")) {
            (Some(rbac), Some(labels)) => Some(Self { rbac, labels }),
            _ => skipped("no FLYBALL_RBAC_PROXY and FLYBALL_LABEL_PROXY (make test-cluster)"),
        }
    }
}

/// The way to Prometheus for the people of a namespace.
pub struct Door {
    url: String,
    client: reqwest::Client,
    _running: [Running; 2],
}

/// The file's objects, in this namespace.
fn objects(namespace: &str) -> Vec<Value> {
    let path = docs::root().join("deploy/observability/tenants.yaml");
    let text = fs::read_to_string(path).unwrap();
    let read = |document| Value::deserialize(document).unwrap();
    let mut all: Vec<Value> = serde_yaml::Deserializer::from_str(&text).map(read).collect();
    for object in &mut all {
        if object["kind"] == "ClusterRoleBinding" {
            object["metadata"]["name"] = json!(format!("{namespace}-tenant-metrics"));
            object["subjects"][0]["namespace"] = json!(namespace);
        } else {
            object["metadata"]["namespace"] = json!(namespace);
        }
    }
    all
}

fn the<'a>(all: &'a [Value], kind: &str) -> &'a Value {
    all.iter().find(|object| object["kind"] == kind).unwrap()
}

/// The arguments of a container, with each of these put in once.
fn arguments(deployment: &Value, container: &str, replaced: &[(&str, String)]) -> Vec<String> {
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    let found = containers.iter().find(|it| it["name"] == container).unwrap();
    let mut arguments: Vec<String> = Vec::deserialize(&found["args"]).unwrap();
    for (from, to) in replaced {
        let place = arguments.iter_mut().find(|argument| argument.contains(from));
        let place = place.unwrap_or_else(|| panic!("{container} has no argument with {from} any more"));
        *place = place.replace(from, to);
    }
    arguments
}

/// Makes an object, or only sees that it would be accepted.
async fn apply(bed: &Bed, object: &Value, dry_run: bool) {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("/apiVersion")
        .rsplit_once('/')
        .unwrap_or_else(|| ("", text("/apiVersion")));
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("/kind")));
    let api: Api<DynamicObject> = match text("/metadata/namespace") {
        "" => Api::all_with(bed.client.clone(), &kind),
        namespace => Api::namespaced_with(bed.client.clone(), namespace, &kind),
    };
    let parameters = PatchParams {
        dry_run,
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::apply("kubectl").force()
    };
    let made = api
        .patch(text("/metadata/name"), &parameters, &Patch::Apply(object))
        .await;
    made.unwrap_or_else(|error| panic!("{} of tenants.yaml: {error}", text("/kind")));
}

/// A certificate and its key for 127.0.0.1, written where the proxy looks for them.
fn certificate(folder: &Path) -> String {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    fs::write(folder.join("tls.crt"), &pem).unwrap();
    fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
    pem
}

impl Door {
    /// Opens it in the release's namespace, which takes none but restricted pods.
    pub async fn open(bed: &Bed, programs: &Programs, release: &Release, upstream: &str, folder: &Folder) -> Self {
        let all = objects(&release.namespace);
        for object in &all {
            // Nothing here could pull its images.
            apply(
                bed,
                object,
                matches!(object["kind"].as_str(), Some("Deployment" | "Service")),
            )
            .await;
        }
        let deployment = the(&all, "Deployment");
        let pod = &deployment["spec"]["template"];
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "spec": pod["spec"],
            "metadata": {"name": "tenant-metrics", "namespace": release.namespace, "labels": pod["metadata"]["labels"]},
        });
        apply(bed, &pod, true).await;

        let config = the(&all, "ConfigMap")["data"]["config.yaml"].as_str().unwrap();
        fs::write(folder.path().join("config.yaml"), config).unwrap();
        let pem = certificate(folder.path());
        let kubeconfig = folder.path().join("tenant-metrics.kubeconfig");
        let access = Access::open(Some(&bed.kubeconfig)).await.unwrap();
        let written = access.write_for(&release.namespace, "tenant-metrics", &kubeconfig);
        written.await.unwrap();

        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (outer, inner) = (free_port(local), free_port(local));
        let at = |name: &str| folder.path().join(name).display().to_string();
        let upstream = [
            ("127.0.0.1:8080", format!("127.0.0.1:{inner}")),
            ("http://prometheus.monitoring:9090", upstream.to_owned()),
        ];
        let labels = arguments(deployment, "labels", &upstream);
        let mut rbac = arguments(
            deployment,
            "rbac",
            &[
                (":8443", format!("127.0.0.1:{outer}")),
                ("/etc/tenant-metrics/tls/tls.crt", at("tls.crt")),
                ("/etc/tenant-metrics/tls/tls.key", at("tls.key")),
                ("127.0.0.1:8080", format!("127.0.0.1:{inner}")),
                ("/etc/tenant-metrics/config/config.yaml", at("config.yaml")),
            ],
        );
        // In a pod it finds this by itself.
        rbac.push(format!("--kubeconfig={}", kubeconfig.display()));
        let running = [
            Running::start(&programs.labels, &labels, folder.path(), "Listening insecurely on"),
            Running::start(&programs.rbac, &rbac, folder.path(), "Listening securely on"),
        ];
        let trusted = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).build();
        Self {
            url: format!("https://127.0.0.1:{outer}"),
            client: client.unwrap(),
            _running: running,
        }
    }

    /// What a request is answered: the code, and the text.
    pub async fn ask(
        &self,
        token: Option<&str>,
        namespaces: &[&str],
        path: &str,
        parameters: &[(&str, &str)],
    ) -> (u16, String) {
        let url = reqwest::Url::parse_with_params(&format!("{}{path}", self.url), parameters).unwrap();
        self.send(self.client.get(url), token, namespaces).await
    }

    /// The same with the parameters in the body of a POST, as Grafana asks unless it is told otherwise.
    pub async fn post(&self, token: &str, namespace: &str, path: &str, parameters: &[(&str, &str)]) -> (u16, String) {
        let encoded = reqwest::Url::parse_with_params("http://body/", parameters).unwrap();
        let request = self
            .client
            .request(Method::POST, format!("{}{path}", self.url))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(encoded.query().unwrap().to_owned());
        self.send(request, Some(token), &[namespace]).await
    }

    async fn send(&self, request: reqwest::RequestBuilder, token: Option<&str>, namespaces: &[&str]) -> (u16, String) {
        let request = namespaces
            .iter()
            .fold(request, |request, namespace| request.header(NAMESPACE, *namespace));
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await.unwrap();
        let code = answer.status().as_u16();
        let text = String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap();
        (code, text)
    }
}

/// Somebody with a role in one namespace: a client of the API server, and a token for the door.
pub struct Person {
    pub client: Client,
    pub token: String,
    /// The one that the client has, which is for the API server.
    pub token_of_client: String,
}

impl Person {
    pub async fn with(bed: &Bed, name: &str, role: &str, namespace: &str, folder: &Folder) -> Self {
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace},
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        });
        apply(bed, &account, false).await;
        apply(bed, &binding, false).await;
        let kubeconfig = folder.path().join(format!("{name}.kubeconfig"));
        let access = Access::open(Some(&bed.kubeconfig)).await.unwrap();
        access.write_for(namespace, name, &kubeconfig).await.unwrap();
        let read = Kubeconfig::read_from(&kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(read, &options);
        let written: Value = serde_yaml::from_str(&fs::read_to_string(&kubeconfig).unwrap()).unwrap();
        let token_of_client = written["users"][0]["user"]["token"].as_str().unwrap().to_owned();

        let accounts: Api<ServiceAccount> = Api::namespaced(bed.client.clone(), namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![AUDIENCE.to_owned()],
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let parameters = PostParams::default();
        let given = accounts.create_token_request(name, &parameters, &request);
        Self {
            client: Client::try_from(config.await.unwrap()).unwrap(),
            token: given.await.unwrap().status.unwrap().token,
            token_of_client,
        }
    }
}
