//! The quick start is followed to the letter: its blocks are the script. And what the pages show is accepted by the API server.
//!
//! What a reader has already is made first: a Deployment with a service's metrics, and a Prometheus. That the same rule works on a real
//! load is what `cluster_loop` and `make demo` show; here every command is run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flyball_crds::{Change, Phase};
use flyball_tests::{
    bed::{Bed, bed, eventually, skipped},
    docs::{
        self, Page,
        script::{Step, script},
        written,
    },
    world::{World, objects, phase_of},
};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, ValidationDirective},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::{
    collections::BTreeSet,
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// Commands that are not run, by what they begin with, and why.
const SKIPPED: [(&str, &str); 4] = [
    ("cargo build", "the program is built before the tests"),
    ("export PATH=", "each command here has the path to both programs"),
    (
        "helm ",
        "the chart has scenarios of its own, and the manifests install the same",
    ),
    (
        "kubectl delete -k",
        "it takes the definitions away, which all scenarios of the cluster share",
    ),
];

/// The command that goes on, in a terminal of its own.
const LASTING: &str = "flyball run ";

/// What is replaced, with why. The first of each is on the page, or this list is stale.
fn replacements(world: &World) -> [(&'static str, String); 11] {
    let source = format!("{}-quick", world.namespace);
    [
        // A namespace and a source of its own, beside the other scenarios.
        ("shop", world.namespace.clone()),
        ("name: prometheus", format!("name: {source}")),
        ("metricsource prometheus", format!("metricsource {source}")),
        // The scenario's Prometheus, whose answers are set.
        ("http://prometheus.monitoring:9090", world.prometheus.url.clone()),
        // A bed that stays may have what an earlier version installed.
        (
            "apply --server-side",
            "apply --server-side --force-conflicts".to_owned(),
        ),
        ("127.0.0.1:8080", "127.0.0.1:0".to_owned()),
        // Nobody waits for ten minutes here.
        ("mode: Recommend\n", "mode: Recommend\n  interval: 1s\n".to_owned()),
        ("for: 2m", "for: 0s".to_owned()),
        ("[5m]", "[1s]".to_owned()),
        ("settle: 6m", "settle: 2s".to_owned()),
        ("within: 10m", "within: 40s".to_owned()),
    ]
}

/// How long a command may take; `kubectl wait` waits for as long as the page says, and no longer than this.
const LIMIT: Duration = Duration::from_secs(90);

const LATENCY: &str = "http_request_duration_seconds_sum";

/// Copies the files of a folder, and none within.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// A reader at a terminal.
struct Reader {
    world: World,
    folder: PathBuf,
    path: String,
    controller: Option<Child>,
}

impl Reader {
    async fn new(bed: &Bed, programs: &[PathBuf]) -> Self {
        let world = World::new(bed, "quick").await;
        let folder = world.folder().join("reader");
        fs::create_dir_all(&folder).unwrap();
        // The page's commands begin in the repository. The Deployment begins without a pod: a second controller, of all
        // namespaces, would take up what the other scenarios have.
        for part in ["deploy/manifests", "crds", "crds/generated"] {
            copy(&docs::root().join(part), &folder.join(part));
        }
        let deployment = folder.join("deploy/manifests/deployment.yaml");
        let text = fs::read_to_string(&deployment).unwrap();
        assert!(text.contains("  replicas: 2\n"), "{text}");
        fs::write(&deployment, text.replace("  replicas: 2\n", "  replicas: 0\n")).unwrap();
        let inherited = env::var("PATH").unwrap_or_default();
        let path = programs.iter().map(|it| it.display().to_string()).chain([inherited]);
        let path = path.collect::<Vec<_>>().join(":");
        Self {
            world,
            folder,
            path,
            controller: None,
        }
    }

    fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("bash");
        command
            .args(["-c", line])
            .current_dir(&self.folder)
            .env("PATH", &self.path)
            .env("KUBECONFIG", &self.world.bed.kubeconfig)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a line, and returns what it wrote. It must succeed; `doctor` may find something.
    async fn run(&self, line: &str) -> String {
        let out = timeout(LIMIT, self.shell(line).output()).await;
        let out = out.unwrap_or_else(|_| panic!("{line}: it does not end")).unwrap();
        let said = [out.stdout, out.stderr]
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .concat();
        let found = line.starts_with("flyball doctor") && out.status.code() == Some(1);
        assert!(out.status.success() || found, "{line}: {}\n{said}", out.status);
        said
    }

    fn begin(&mut self, line: &str) {
        // World prints the logs of a scenario that fails.
        let log = File::create(self.world.folder().join("run.log")).unwrap();
        let mut command = self.shell(&format!("exec {line}"));
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn();
        self.controller = Some(child.unwrap());
    }

    /// As Ctrl-C does: it gives its lease back.
    async fn end(&mut self) {
        let mut child = self.controller.take().expect("the page starts a controller");
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        kill_process(pid.expect("it runs"), Signal::INT).unwrap();
        let status = timeout(LIMIT, child.wait())
            .await
            .expect("it ends when it is asked to")
            .unwrap();
        assert!(status.success(), "{status}");
    }

    async fn change(&self, what: &str, is: impl Fn(&Change) -> bool) -> Change {
        eventually(what, async || self.world.changes().await.into_iter().find(|it| is(it))).await
    }

    /// What a reader waits for before they go on.
    async fn look(&self, line: &str) {
        let recommended = |it: &Change| phase_of(it) == Phase::Recommended;
        if line.starts_with("flyball get") {
            let found = self.change("the step is recommended", recommended).await;
            assert_eq!((found.spec.before, found.spec.after), (2, 3));
        } else if line.contains(" wait changes") {
            let written = |it: &Change| matches!(phase_of(it), Phase::Applying | Phase::Verifying | Phase::Committed);
            self.change("the Change is made", written).await;
            self.world.prometheus.value(LATENCY, 0.3);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_quick_start_works() {
    let Some(bed) = bed().await else { return };
    let Some(testbed) = bed.testbed.clone() else {
        return skipped("no FLYBALL_TESTBED (make test-cluster)").unwrap_or_default();
    };
    let programs = [bed.flyball.clone(), testbed].map(|program| program.parent().unwrap().to_owned());
    let mut reader = Reader::new(&bed, &programs).await;
    // What another run may have left.
    let clean = "kubectl -n flyball-system delete deployment flyball --ignore-not-found";
    reader.run(clean).await;
    reader
        .world
        .create(&objects::workload("Deployment", "checkout", 2))
        .await;
    reader.world.prometheus.value("http_requests_total", 100.0);
    reader.world.prometheus.value(LATENCY, 0.9);

    let page = Page::read(&docs::root(), "docs/quick-start.md");
    let replaced = replacements(&reader.world);
    let (mut used, mut left_out) = (BTreeSet::new(), BTreeSet::new());
    let mut put_in = |text: &str| {
        replaced.iter().fold(text.to_owned(), |text, (from, to)| {
            if text.contains(from) {
                used.insert(*from);
            }
            text.replace(from, to)
        })
    };
    let mut said = String::new();
    for step in script(&page) {
        match step {
            Step::Save { name, text } => fs::write(reader.folder.join(name), put_in(&text)).unwrap(),
            Step::Run(line) => {
                if let Some((begin, _)) = SKIPPED.iter().find(|(begin, _)| line.starts_with(begin)) {
                    left_out.insert(*begin);
                    continue;
                }
                let line = put_in(&line);
                if line.starts_with(LASTING) {
                    reader.begin(&line);
                    continue;
                }
                reader.look(&line).await;
                said = reader.run(&line).await;
                if line.starts_with("flyball check") {
                    assert!(said.contains("1 policy checked, 0 errors"), "{said}");
                }
                if line.starts_with("flyball explain") && reader.world.replicas("Deployment", "checkout").await == 3 {
                    assert!(said.contains("Committed"), "{said}");
                }
            }
        }
    }
    assert!(said.contains("deleted"), "the page ends with taking it away: {said}");
    assert_eq!(reader.world.replicas("Deployment", "checkout").await, 3);
    assert_eq!(used.len(), replaced.len(), "not on the page any more: {used:?}");
    assert_eq!(left_out.len(), SKIPPED.len(), "not on the page any more: {left_out:?}");
    reader.end().await;
    reader.run(clean).await;
    reader.world.laws().await;
}

/// The rules of the definitions, too, which only the API server evaluates.
#[tokio::test]
async fn what_the_pages_show_is_accepted() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "pages").await;
    for written::Written { place, mut value } in written::ours() {
        let kind = value["kind"].as_str().unwrap().to_owned();
        if kind == "EventReceiver" {
            // In a file of the installation: the API server knows none.
            continue;
        }
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("flyball.dev", "v1alpha1", &kind));
        let api: Api<DynamicObject> = if kind == "MetricSource" {
            Api::all_with(bed.client.clone(), &resource)
        } else {
            value["metadata"]["namespace"] = json!(world.namespace);
            Api::namespaced_with(bed.client.clone(), &world.namespace, &resource)
        };
        let dry = PatchParams {
            dry_run: true,
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::apply("kubectl").force()
        };
        let name = value["metadata"]["name"].as_str().unwrap().to_owned();
        if let Err(error) = api.patch(&name, &dry, &Patch::Apply(value)).await {
            panic!("{place}: {error}");
        }
    }
}
