//! The test bed's real cluster, as the scenarios find it.

#![allow(clippy::expect_used, clippy::panic, clippy::missing_panics_doc)] // What is missing here ends a test, and says so.

use flyball_crds::definitions;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, Config, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

/// How long a scenario waits for what must come before it gives up. It is no measure of speed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The cluster, and the programs that run against it.
#[derive(Clone)]
pub struct Bed {
    /// How to reach the API server as an administrator.
    pub config: Config,
    /// A client of an administrator.
    pub client: Client,
    /// The kubeconfig of an administrator.
    pub kubeconfig: PathBuf,
    /// The controller's binary.
    pub flyball: PathBuf,
    /// The one that is started where a controller was killed: of another version under `make test-upgrade`, else the same.
    pub successor: PathBuf,
    /// The test bed's binary, if it is known.
    pub testbed: Option<PathBuf>,
    /// A Prometheus that a scenario may start and stop, if there is one. Under `CI=true` there is.
    pub prometheus: Option<PathBuf>,
    /// The demo program, which sends load from this machine, if there is one. Under `CI=true` there is.
    pub demo: Option<PathBuf>,
}

/// The exit code by which the test bed says that this machine can't.
const UNFIT: i32 = 77;

impl Bed {
    /// Runs a command of the test bed, and returns what it writes to standard output. `None`: this machine can't do that,
    /// and the test has to pass without it; under `CI=true` that is a failure.
    pub async fn testbed(&self, words: &[&str]) -> Option<String> {
        let Some(testbed) = &self.testbed else {
            return skipped("no FLYBALL_TESTBED (make test-cluster)");
        };
        let out = Command::new(testbed).args(words).stdin(Stdio::null()).output().await;
        let out = out.expect("the test bed's binary runs");
        let said = String::from_utf8_lossy(&out.stderr);
        if out.status.code() == Some(UNFIT) {
            return skipped(said.trim());
        }
        assert!(out.status.success(), "testbed {}: {said}", words.join(" "));
        Some(String::from_utf8_lossy(&out.stdout).into_owned())
    }
}

/// Says why a test can't be made here, or fails under `CI=true`.
pub fn skipped<T>(why: &str) -> Option<T> {
    assert!(
        env::var("CI").as_deref() != Ok("true"),
        "{why}: a skipped test is a failure in CI"
    );
    eprintln!("skipped: {why}");
    None
}

/// The bed, with the definitions installed. `None`: there is none, and the test has to pass without
/// it; under `CI=true` that is a failure.
pub async fn bed() -> Option<Bed> {
    let Some(kubeconfig) = env::var_os("FLYBALL_TESTBED_KUBECONFIG").map(PathBuf::from) else {
        return skipped("no test bed (make testbed)");
    };
    flyball_controller::observe::source::install_crypto_provider();
    let read = Kubeconfig::read_from(&kubeconfig).expect("the test bed's kubeconfig can be read");
    let mut config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
        .await
        .expect("a configuration");
    // A scenario must see each answer as it is.
    config.default_retry = false;
    let client = Client::try_from(config.clone()).expect("a client");
    install(&client).await;
    let testbed = env::var_os("FLYBALL_TESTBED").map(PathBuf::from);
    let prometheus = env::var_os("FLYBALL_PROMETHEUS").map(PathBuf::from);
    assert!(
        prometheus.is_some() || env::var("CI").as_deref() != Ok("true"),
        "no FLYBALL_PROMETHEUS (make test-cluster): a skipped test is a failure in CI"
    );
    let demo = env::var_os("FLYBALL_DEMO").map(PathBuf::from);
    assert!(
        demo.is_some() || env::var("CI").as_deref() != Ok("true"),
        "no FLYBALL_DEMO (make test-cluster): a skipped test is a failure in CI"
    );
    let flyball = flyball();
    Some(Bed {
        config,
        client,
        kubeconfig,
        successor: env::var_os("FLYBALL_SUCCESSOR").map_or_else(|| flyball.clone(), PathBuf::from),
        flyball,
        testbed,
        prometheus,
        demo,
    })
}

/// The controller's binary: `FLYBALL_BIN`, else beside this test's own.
fn flyball() -> PathBuf {
    let beside = || {
        let own = env::current_exe().expect("a test has a path");
        own.parent()
            .and_then(Path::parent)
            .expect("a test lies in target/debug/deps")
            .join("flyball")
    };
    let found = env::var_os("FLYBALL_BIN").map_or_else(beside, PathBuf::from);
    assert!(found.exists(), "{} is missing: run `make build`", found.display());
    found
}

async fn install(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in definitions() {
        let name = definition.name_any();
        api.patch(
            &name,
            &PatchParams::apply("flyball-tests").force(),
            &Patch::Apply(&definition),
        )
        .await
        .unwrap_or_else(|error| panic!("{name} is not installed: {error}"));
        served(client, &name).await;
    }
}

/// Waits until the objects of a definition can be listed. A definition is Established some time before that: meanwhile lists
/// are refused, because the storage is being initialised.
pub async fn served(client: &Client, definition: &str) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    eventually(&format!("{definition} is served"), async || {
        let found = api.get(definition).await.ok()?;
        let conditions = found.status?.conditions?;
        conditions
            .iter()
            .find(|it| it.type_ == "Established" && it.status == "True")?;
        let spec = found.spec;
        let version = spec.versions.into_iter().find(|version| version.served)?.name;
        let kind = GroupVersionKind::gvk(&spec.group, &version, &spec.names.kind);
        let kind = ApiResource::from_gvk_with_plural(&kind, &spec.names.plural);
        let objects: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
        objects.list(&ListParams::default().limit(1)).await.ok().map(drop)
    })
    .await;
}

/// Asks again and again until there is an answer. Gives up, with `what` in the message, after
/// [`PATIENCE`].
pub async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, ask).await
}

/// The same with another patience.
pub async fn eventually_within<T>(patience: Duration, what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// A part of a name that no other test has, now or in another run.
pub fn unique() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/uuid").expect("Linux has random names");
    text.chars().take(8).collect()
}
