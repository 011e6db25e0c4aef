//! The API server, with what this repository installs on it.

use flyball_controller::{observe::source::install_crypto_provider, record::events::target_reference};
use flyball_crds::TargetRef;
use flyball_tests::bed::served;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ObjectReference};
use kube::{
    Api, Client, Config, Error, ResourceExt,
    api::{DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams, ValidationDirective},
    config::{KubeConfigOptions, Kubeconfig},
    core::GroupVersionKind,
    discovery,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep},
};

/// The user that the controller is.
pub const ACCOUNT: &str = "system:serviceaccount:flyball-system:flyball";

/// The API server as an administrator and as the controller see it, and a namespace to work in.
pub struct Server {
    pub admin: Client,
    pub controller: Client,
    pub namespace: String,
}

/// The ConfigMap that says which run has installed everything.
const NOTE: &str = "flyball-tests-installed";

static INSTALLED: OnceCell<()> = OnceCell::const_new();

impl Server {
    /// `None`: there is none, and the test passes without it. In CI that is a failure.
    pub async fn connect() -> Option<Self> {
        if env::var_os("FLYBALL_TESTBED_KUBECONFIG").is_none() {
            assert!(
                env::var("CI").as_deref() != Ok("true"),
                "no test bed (make testbed): a skipped test is a failure in CI"
            );
            eprintln!("skipped: no test bed (make testbed)");
            return None;
        }
        install_crypto_provider();
        let mut config = config().await;
        let admin = Client::try_from(config.clone()).unwrap();
        config.auth_info.impersonate = Some(ACCOUNT.to_owned());
        let controller = Client::try_from(config).unwrap();
        INSTALLED.get_or_init(|| install_once(&admin)).await;
        let random = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
        let namespace = format!("admission-{}", &random[..8]);
        let metadata = ObjectMeta {
            name: Some(namespace.clone()),
            ..ObjectMeta::default()
        };
        let object = Namespace {
            metadata,
            ..Namespace::default()
        };
        Api::<Namespace>::all(admin.clone())
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
        Some(Self {
            admin,
            controller,
            namespace,
        })
    }

    /// Takes the namespace away; its contents go when the cluster gets to it.
    pub async fn done(self) {
        let namespaces: Api<Namespace> = Api::all(self.admin.clone());
        namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await
            .unwrap();
    }
}

/// How to reach the API server as an administrator.
pub async fn config() -> Config {
    let path = env::var_os("FLYBALL_TESTBED_KUBECONFIG").unwrap();
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    config.default_retry = false;
    config
}

/// nextest gives each test a process of its own: what one of them has installed is noted with the id of the run, and
/// the others of the run leave it. It is a dozen objects, and there are more than a hundred tests.
async fn install_once(admin: &Client) {
    let Ok(run) = env::var("NEXTEST_RUN_ID") else {
        return install(admin).await;
    };
    let notes: Api<ConfigMap> = Api::namespaced(admin.clone(), "default");
    let last = notes.get_opt(NOTE).await.unwrap().and_then(|note| note.data);
    if last.is_some_and(|data| data.get("run") == Some(&run)) {
        return;
    }
    install(admin).await;
    let note = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NOTE}, "data": {"run": run}});
    let parameters = PatchParams::apply("flyball-tests").force();
    notes.patch(NOTE, &parameters, &Patch::Apply(note)).await.unwrap();
}

async fn install(admin: &Client) {
    for folder in ["crds/generated", "deploy/manifests"] {
        for object in documents(folder) {
            // The pods of a Deployment would only wait for an image that is not there.
            let dry_run = ["Deployment", "PodDisruptionBudget"].contains(&object["kind"].as_str().unwrap());
            apply(admin, &object, dry_run)
                .await
                .unwrap_or_else(|error| panic!("{error}: {object}"));
        }
    }
    for definition in flyball_crds::definitions() {
        served(admin, &definition.name_any()).await;
    }
}

/// All objects in a folder of this repository, kustomizations excepted.
pub fn documents(folder: &str) -> Vec<Value> {
    let mut files: Vec<PathBuf> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    // Namespaces before what is in them.
    files.sort_by_key(|path| (!path.ends_with("namespace.yaml"), path.clone()));
    let mut all = vec![];
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        all.extend(serde_yaml::Deserializer::from_str(&text).map(|it| Value::deserialize(it).unwrap()));
    }
    all.retain(|object| object["kind"] != "Kustomization");
    all
}

/// Applies an object as it is, and strictly: an unknown field is an error.
pub async fn apply(client: &Client, object: &Value, dry_run: bool) -> kube::Result<DynamicObject> {
    let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
    let types = object.types.clone().unwrap();
    let (resource, _) = discovery::pinned_kind(client, &GroupVersionKind::try_from(&types).unwrap()).await?;
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let mut parameters = PatchParams::apply("flyball-tests").force();
    parameters.dry_run = dry_run;
    parameters.field_validation = Some(ValidationDirective::Strict);
    api.patch(&object.name_any(), &parameters, &Patch::Apply(&object)).await
}

/// What the API server says: its message, or that it accepted.
pub fn said<T>(answer: kube::Result<T>) -> Result<(), String> {
    match answer {
        Ok(_) => Ok(()),
        Err(Error::Api(status)) => Err(status.message),
        Err(error) => panic!("no answer: {error}"),
    }
}

/// Asks again and again until there is an answer.
pub async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        sleep(Duration::from_millis(200)).await;
    }
}

/// A reference to a Deployment.
pub fn deployment_reference(namespace: &str, name: &str, uid: Option<String>) -> ObjectReference {
    let target = TargetRef {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        name: name.to_owned(),
    };
    target_reference(namespace, &target, uid)
}
