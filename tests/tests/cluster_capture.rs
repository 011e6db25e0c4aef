//! Evidence from real processes in real pods, opened by the tools that it is for.

#![allow(clippy::unwrap_used)]

use flyball_crds::{CaptureFile, CaptureKind, CaptureMoment, CapturedStatus, Change, FeedbackPolicy, Phase};
use flyball_tests::{
    bed::{Bed, bed, eventually_within, skipped},
    runtimes::Runtime,
    world::{Answer, World, message_of, phase_of},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// How long a scenario waits for what must come. It is no measure of speed.
const PATIENCE: Duration = Duration::from_secs(120);
const PORT: u16 = 8080;
/// Where the Java agent serves.
const AGENT: u16 = 9465;

fn deployment(replicas: i32, container: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
            },
        },
    })
}

/// A Go service that is busy, and serves its profiles under the name `pprof`.
fn heap(replicas: i32) -> Value {
    let container = json!({
        "name": "main", "image": "flyball.dev/heap:dev", "imagePullPolicy": "Never",
        "args": ["-listen", format!(":{PORT}")],
        "env": [
            {"name": "HEAP_LIVE", "value": "16Mi"}, {"name": "HEAP_CHURN", "value": "16Mi"},
            {"name": "HEAP_PPROF", "value": "on"},
        ],
        "ports": [{"name": "pprof", "containerPort": PORT}],
        "resources": {"limits": {"memory": "256Mi"}},
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": PORT}, "periodSeconds": 1},
    });
    deployment(replicas, &container)
}

/// A policy that takes evidence while `Hot` fires, and does nothing else.
fn policy(world: &World, take: &[&str], more: &Value) -> Value {
    let mut capture = json!({"from": {"portName": "pprof"}, "take": take, "seconds": 1, "every": "1h"});
    for (key, value) in more.as_object().unwrap() {
        capture[key] = value.clone();
    }
    json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy", "metadata": {"name": "watch"},
        "spec": {
            "sourceRef": {"name": world.namespace},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "interval": "1s",
            "maxAge": "10s",
            "rules": [{"alert": "Hot", "expr": "heat > 0.8"}],
            "actions": [{"name": "evidence", "when": ["Hot"], "capture": capture}],
        },
    })
}

struct Stage {
    world: World,
    folder: PathBuf,
}

impl Stage {
    /// The workload with all of its pods ready.
    async fn set(bed: &Bed, name: &str, workload: &Value) -> Self {
        let world = World::new(bed, name).await;
        world.prometheus.value("heat", 0.1);
        world.create(workload).await;
        let folder = world.folder().join("evidence");
        let stage = Self { world, folder };
        let wanted = usize::try_from(workload["spec"]["replicas"].as_i64().unwrap()).unwrap();
        stage
            .until("all pods are ready", async || {
                (stage.ready().await.len() == wanted).then_some(())
            })
            .await;
        stage
    }

    async fn until<T>(&self, what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
        eventually_within(PATIENCE, what, ask).await
    }

    /// The names of the pods that are ready, in order.
    async fn ready(&self) -> Vec<String> {
        let api: Api<Pod> = Api::namespaced(self.world.bed.client.clone(), &self.world.namespace);
        let list = api.list(&ListParams::default().labels("app=web")).await.unwrap();
        let ready = |pod: &&Pod| {
            let conditions = pod.status.as_ref().and_then(|status| status.conditions.clone());
            let mut all = conditions.unwrap_or_default().into_iter();
            all.any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        let mut names: Vec<String> = list.items.iter().filter(ready).map(ResourceExt::name_any).collect();
        names.sort();
        names
    }

    fn controller(&self, identity: &str) -> flyball_tests::world::Controller {
        let folder = self.folder.display().to_string();
        self.world.controller_with(identity, &["--evidence-dir", &folder])
    }

    /// What the policy tells of what it took, once there are so many pieces; the newest first.
    async fn pieces(&self, number: usize) -> Vec<CapturedStatus> {
        self.until(&format!("{number} pieces"), async || {
            let policy = self.policy().await;
            let files = told(&policy)?.files.clone();
            (files.len() >= number).then_some(files)
        })
        .await
    }

    async fn policy(&self) -> FeedbackPolicy {
        self.world.policies().get("watch").await.unwrap()
    }

    /// All files that are there.
    fn files(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    walk(&entry.path(), found);
                } else {
                    found.push(entry.path());
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.folder, &mut found);
        found.sort();
        found
    }

    /// So many further passes.
    async fn passes(&self, number: usize) {
        let asked = self.world.prometheus.asked();
        self.until("further passes", async || {
            (self.world.prometheus.asked() > asked + number).then_some(())
        })
        .await;
    }
}

fn told(policy: &FeedbackPolicy) -> Option<&flyball_crds::CaptureStatus> {
    let mut actions = policy.status.as_ref()?.actions.iter();
    actions.find_map(|action| action.capture.as_deref())
}

/// What a tool says of a file; `None`: it is not on this machine, which is said.
fn run(tool: &str, words: &[&str]) -> Option<String> {
    match Command::new(tool).args(words).output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{tool} {words:?}: {text}{error}");
            Some(text)
        }
        Err(error) => skipped(&format!("{tool}: {error}")),
    }
}

/// A piece is as large as it says, and Go's own tool opens it.
fn opens(file: &CaptureFile) {
    let bytes = fs::read(&file.location).unwrap();
    assert_eq!(i64::try_from(bytes.len()).unwrap(), file.bytes, "{file:?}");
    if file.kind == CaptureKind::GoTrace {
        assert!(bytes.starts_with(b"go 1."), "{file:?}");
        assert_eq!(file.open, format!("go tool trace {}", file.location));
        let events = run("go", &["tool", "trace", "-d=parsed", &file.location]);
        assert!(events.is_none_or(|text| text.contains("StateTransition")), "{file:?}");
        return;
    }
    assert!(bytes.starts_with(&[0x1f, 0x8b]), "{file:?}");
    assert_eq!(file.open, format!("go tool pprof -http=: {}", file.location));
    let expect = match file.kind {
        CaptureKind::GoCPU => "Type: cpu",
        CaptureKind::GoHeap => "Type: inuse_space",
        _ => "Type: goroutine",
    };
    let top = run("go", &["tool", "pprof", "-top", &file.location]);
    assert!(top.is_none_or(|text| text.contains(expect)), "{file:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_fires_leads_to_profiles_of_its_pod_once() {
    let Some(bed) = bed().await else { return };
    let stage = Stage::set(&bed, "profiles", &heap(3)).await;
    let take = ["GoCPU", "GoHeap", "GoGoroutine", "GoTrace"];
    stage.world.apply(&policy(&stage.world, &take, &json!({}))).await;
    let controller = stage.controller("one");
    stage.passes(3).await;
    assert_eq!(stage.files(), Vec::<PathBuf>::new(), "nothing fires");

    // The worst of the target's own pods is the last; somebody else's is worse.
    let pods = stage.ready().await;
    let values = vec![
        (pods[0].clone(), 0.85),
        (pods[1].clone(), 0.5),
        (pods[2].clone(), 0.95),
        ("other-1".to_owned(), 0.99),
    ];
    stage.world.prometheus.set("heat", Answer::Pods(values));
    let pieces = stage.pieces(4).await;
    let mut places: Vec<PathBuf> = pieces.iter().map(|piece| piece.file.location.clone().into()).collect();
    places.sort();
    assert_eq!(stage.files(), places);
    for piece in &pieces {
        assert_eq!(
            (&piece.file.pod, piece.file.when, &piece.change),
            (&pods[2], CaptureMoment::Alert, &None)
        );
        opens(&piece.file);
    }
    let prefix = stage
        .folder
        .canonicalize()
        .unwrap()
        .join(&stage.world.namespace)
        .join("watch");
    assert!(places.iter().all(|place| place.starts_with(&prefix)), "{places:?}");
    let explained = stage.world.flyball(&["explain", "watch"]).await.done();
    assert!(explained.contains(&pieces[0].file.open), "{explained}");

    // It goes on firing, and the next process knows what its predecessor took.
    stage.passes(5).await;
    controller.kill();
    drop(controller);
    let _controller = stage.controller("two");
    stage.passes(10).await;
    assert_eq!(
        stage.files(),
        places,
        "nothing is taken more often than the policy says"
    );
    stage.world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_controller_was_taking_is_tried_again_by_the_next() {
    let Some(bed) = bed().await else { return };
    let stage = Stage::set(&bed, "killed", &heap(1)).await;
    let long = json!({"seconds": 20});
    stage.world.apply(&policy(&stage.world, &["GoCPU"], &long)).await;
    let controller = stage.controller("one");
    stage.world.prometheus.value("heat", 0.9);
    let begun = stage
        .until("it is being taken", async || {
            let policy = stage.policy().await;
            told(&policy)?.alert_at.clone()
        })
        .await;
    controller.kill();
    drop(controller);
    // Nothing is there of what was broken off, but perhaps a file without its name.
    let _controller = stage.controller("two");
    let pieces = stage.pieces(1).await;
    assert_eq!(pieces.len(), 1);
    let at = pieces[0].file.at.clone().unwrap();
    assert!(at.0.duration_since(begun.0).as_secs() >= 60, "{at:?} after {begun:?}");
    opens(&pieces[0].file);
}

/// A Change is made by the rule that also takes evidence: it is pending first, so there is something from before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_has_a_pair_from_before_and_after() {
    let Some(bed) = bed().await else { return };
    let stage = Stage::set(&bed, "pair", &heap(1)).await;
    let mut object = policy(&stage.world, &["GoHeap", "GoCPU"], &json!({"atChanges": true}));
    object["spec"]["mode"] = json!("Enforce");
    object["spec"]["rules"][0]["for"] = json!("8s");
    object["spec"]["signals"] = json!([{"name": "demand", "expr": "sum(demand)"}]);
    object["spec"]["actions"].as_array_mut().unwrap().push(json!({
        "name": "more", "when": ["Hot"], "replicas": {"min": 1, "max": 2, "step": {"pods": 1}},
        "verify": {"settle": "1s", "within": "60s", "expr": "heat <= 0.5", "demand": {"signal": "demand"}},
    }));
    stage.world.apply(&object).await;
    let _controller = stage.controller("one");
    stage.world.prometheus.value("heat", 0.9);
    stage.world.phase(1, Phase::Verifying).await;
    stage.world.prometheus.value("heat", 0.4);
    let change = stage.world.closed(1).await;
    assert_eq!(phase_of(&change), Phase::Committed, "{}", message_of(&change));
    let change = stage
        .until("the Change names both", async || {
            let all = stage.world.changes().await;
            let change = all.into_iter().find(|change| change.spec.sequence == 1)?;
            (captures(&change).len() >= 4).then_some(change)
        })
        .await;
    let files = captures(&change);
    let mut by: BTreeMap<String, Vec<&CaptureFile>> = BTreeMap::new();
    for file in &files {
        opens(file);
        by.entry(format!("{:?} {:?}", file.kind, file.when))
            .or_default()
            .push(file);
    }
    let names: Vec<&str> = by.keys().map(String::as_str).collect();
    assert_eq!(names, ["GoCPU After", "GoCPU Before", "GoHeap After", "GoHeap Before"]);
    let proposed = &change.spec.proposed_at;
    let closed = change.status.as_ref().unwrap().closed_at.clone().unwrap();
    let pod = files[0].pod.clone();
    for file in &files {
        assert_eq!(file.pod, pod, "two of one process can be compared");
        let at = file.at.clone().unwrap();
        match file.when {
            CaptureMoment::Before => assert!(at.0 <= proposed.0, "{file:?}"),
            CaptureMoment::After => assert!(at.0 >= closed.0, "{file:?}"),
            CaptureMoment::Alert => panic!("{file:?}"),
        }
    }
    let (before, after) = (&by["GoHeap Before"][0].location, &by["GoHeap After"][0].location);
    let compared = run("go", &["tool", "pprof", "-top", "-diff_base", before, after]);
    assert!(compared.is_none_or(|text| text.contains("Type: inuse_space")));
    let explained = stage.world.flyball(&["explain", "watch"]).await.done();
    let command = format!("go tool pprof -http=: -diff_base {before} {after}");
    assert!(explained.contains(&command), "{explained}");
    stage.world.laws().await;
}

fn captures(change: &Change) -> Vec<CaptureFile> {
    change.status.as_ref().unwrap().captures.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_taken_is_said_and_holds_nothing_up() {
    let Some(bed) = bed().await else { return };
    let stage = Stage::set(&bed, "nowhere", &heap(1)).await;
    let says = async |words: &str| {
        stage
            .until(words, async || {
                let policy = stage.policy().await;
                told(&policy)?.message.contains(words).then_some(())
            })
            .await;
    };
    stage.world.prometheus.value("heat", 0.9);
    let wrong = json!({"from": {"portName": "metrics"}});
    stage.world.apply(&policy(&stage.world, &["GoHeap"], &wrong)).await;
    let controller = stage.world.controller("one");
    says("keeps no evidence").await;
    controller.kill();
    drop(controller);
    let _controller = stage.controller("two");
    says("no container of it has a TCP port named metrics").await;
    let wrong = json!({"from": {"port": PORT, "path": "/nothing"}});
    stage.world.apply(&policy(&stage.world, &["GoTrace"], &wrong)).await;
    says("/nothing/trace answers 404").await;
    stage.passes(5).await;
    assert_eq!(stage.files(), Vec::<PathBuf>::new());
}

async fn java(version: &str) {
    let Some(bed) = bed().await else { return };
    let Some(runtime) = Runtime::find(&bed, version).await else {
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut object = deployment(
        1,
        &json!({
            "name": "main", "imagePullPolicy": "Never",
            "env": [
                {"name": "JAVA_TOOL_OPTIONS", "value": "-javaagent:/flyball/agents/java/build/flyball-agent.jar"},
                {"name": "FLYBALL_METRICS_ADDRESS", "value": format!(":{AGENT}")},
                {"name": "FLYBALL_EVIDENCE", "value": "on"},
            ],
            "resources": {"limits": {"memory": "512Mi"}},
            "volumeMounts": [{"name": "agents", "mountPath": "/flyball/agents", "readOnly": true}],
            "readinessProbe": {"tcpSocket": {"port": AGENT}, "periodSeconds": 1},
        }),
    );
    let pod = &mut object["spec"]["template"]["spec"];
    pod["volumes"] = json!([{"name": "agents", "hostPath": {"path": root.join("agents")}}]);
    runtime.run(
        pod,
        "main",
        &["-Xmx128m", "-jar", "/flyball/agents/java/build/flyball-demo.jar"],
    );
    let stage = Stage::set(&bed, version, &object).await;
    let from = json!({"from": {"port": AGENT}, "seconds": 2});
    let take = ["JavaFlightRecording", "JavaThreadDump"];
    stage.world.apply(&policy(&stage.world, &take, &from)).await;
    let _controller = stage.controller("one");
    stage.world.prometheus.value("heat", 0.9);
    let pieces = stage.pieces(2).await;
    for piece in pieces {
        let bytes = fs::read(&piece.file.location).unwrap();
        assert_eq!(i64::try_from(bytes.len()).unwrap(), piece.file.bytes);
        if piece.file.kind == CaptureKind::JavaThreadDump {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.starts_with('"') && text.contains("\"flyball-metrics\""), "{text}");
            continue;
        }
        assert!(bytes.starts_with(b"FLR\0"), "{piece:?}");
        assert_eq!(piece.file.open, format!("jfr summary {}", piece.file.location));
        let jdk = Command::new(root.join("agents/java/jdk"))
            .arg(version.trim_start_matches("java"))
            .output();
        let home = String::from_utf8(jdk.unwrap().stdout).unwrap();
        let summary = run(&format!("{}/bin/jfr", home.trim()), &["summary", &piece.file.location]);
        assert!(summary.is_none_or(|text| text.contains("jdk.CPULoad")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn java_17() {
    java("java17").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn java_25() {
    java("java25").await;
}
