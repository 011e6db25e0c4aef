//! The Helm chart: what is made of it, and what it is made of. Nothing here needs a cluster.
//!
//! The chart is the one truth of what is installed. deploy/manifests is what it renders for those without Helm, and the chart's own
//! files are copies: `UPDATE=1` writes both anew.

#![allow(clippy::unwrap_used, clippy::panic)]

use flyball_crds::{EventReceiver, MetricSource};
use flyball_tests::bed::skipped;
use kube::CustomResourceExt;
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn chart() -> PathBuf {
    root().join("deploy/helm/flyball")
}

/// A program that `make test-chart` builds; `None` where it was not started by that.
fn tool(name: &str) -> Option<PathBuf> {
    match env::var_os("FLYBALL_CHART_TOOLS") {
        Some(folder) => Some(PathBuf::from(folder).join(name)),
        None => skipped(&format!("no {name} (make test-chart)")),
    }
}

/// What a command prints, or why it failed.
fn run(command: &mut Command) -> Result<String, String> {
    let done = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if done.status.success() {
        Ok(text(&done.stdout))
    } else {
        Err(format!("{}{}", text(&done.stdout), text(&done.stderr)))
    }
}

fn template(helm: &Path, namespace: &str, settings: &[&str]) -> Result<String, String> {
    let mut command = Command::new(helm);
    command
        .args(["template", "flyball", "--namespace", namespace])
        .arg(chart());
    for setting in settings {
        command.args(["--set-json", setting]);
    }
    run(&mut command)
}

/// Holds a file to what it must be, or writes it so.
fn holds(path: &Path, expect: &str, wrong: &mut Vec<String>) {
    let found = fs::read_to_string(path).unwrap_or_default();
    if found == expect {
        return;
    }
    if env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, expect).unwrap();
    } else {
        wrong.push(path.strip_prefix(root()).unwrap().display().to_string());
    }
}

#[test]
fn the_charts_files_are_copies_of_their_originals() {
    let mut wrong = Vec::new();
    for (from, to, extension) in [
        ("crds/generated", "files/crds", "yaml"),
        ("deploy/observability/rules", "files/rules", "yaml"),
        ("deploy/observability/dashboards", "files/dashboards", "json"),
    ] {
        let (from, to) = (root().join(from), chart().join(to));
        let names = |folder: &Path| -> Vec<PathBuf> {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let files = entries
                .map(|entry| entry.path())
                .filter(|path| path.extension() == Some(extension.as_ref()));
            files.map(|path| path.file_name().unwrap().into()).collect()
        };
        for name in names(&from) {
            let text = fs::read_to_string(from.join(&name)).unwrap();
            holds(&to.join(name), &text, &mut wrong);
        }
        let strange = names(&to).into_iter().filter(|name| !from.join(name).exists());
        wrong.extend(strange.map(|name| format!("{} has no original", name.display())));
    }
    assert!(wrong.is_empty(), "run `make generate`: {wrong:?}");
}

/// The files of deploy/manifests by the templates that they come from.
const MANIFESTS: [(&str, &str); 12] = [
    ("admission/authors", "authors"),
    ("admission/changes", "changes"),
    ("admission/pods", "pods"),
    ("admission/routes", "routes"),
    ("admission/workloads", "admission"),
    ("deployment", "deployment"),
    ("lease", "lease"),
    ("networkpolicy", "networkpolicy"),
    ("rbac", "rbac"),
    ("roles", "roles"),
    ("service", "service"),
    ("serviceaccount", "serviceaccount"),
];

#[test]
fn the_manifests_are_what_the_chart_renders() {
    let Some(helm) = tool("helm") else { return };
    let settings = [
        "plainLabels=true",
        "crds.enabled=false",
        "helmTests.enabled=false",
        "drain.enabled=false",
        "image.tag=\"dev\"",
    ];
    let rendered = template(&helm, "flyball-system", &settings).unwrap();
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    for document in rendered.split("---\n").filter(|document| !document.trim().is_empty()) {
        let (source, text) = document
            .strip_prefix("# Source: flyball/templates/")
            .unwrap()
            .split_once('\n')
            .unwrap();
        let source = source.trim_end_matches(".yaml");
        let (_, name) = MANIFESTS
            .iter()
            .find(|(from, _)| *from == source)
            .unwrap_or_else(|| panic!("{source} is new: add it"));
        let file = files.entry(name).or_insert_with(|| {
            format!("# Rendered from deploy/helm/flyball/templates/{source}.yaml: edit that, then `make generate`.\n")
        });
        if file.lines().count() > 1 {
            file.push_str("---\n");
        }
        file.push_str(text.trim_end());
        file.push('\n');
    }
    assert_eq!(files.len(), MANIFESTS.len(), "{:?}", files.keys());
    let mut wrong = Vec::new();
    for (name, text) in files {
        holds(&root().join(format!("deploy/manifests/{name}.yaml")), &text, &mut wrong);
    }
    assert!(wrong.is_empty(), "run `make generate`: {wrong:?}");
}

#[test]
fn helm_finds_nothing_to_say_of_it() {
    let Some(helm) = tool("helm") else { return };
    for values in [None, Some("values-ha.yaml")] {
        let mut command = Command::new(&helm);
        command.args(["lint", "--strict"]).arg(chart());
        if let Some(values) = values {
            command.arg("--values").arg(chart().join(values));
        }
        run(&mut command).unwrap();
    }
}

#[test]
fn its_readme_is_what_its_values_say() {
    let Some(docs) = tool("helm-docs") else { return };
    let mut command = Command::new(docs);
    command.args([
        "--chart-search-root",
        "deploy/helm",
        "--dry-run",
        "--log-level",
        "error",
    ]);
    let text = run(command.current_dir(root())).unwrap();
    // Its own strict mode takes no comment for one.
    let silent: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("| ") && line.ends_with("|  |"))
        .collect();
    assert!(silent.is_empty(), "values without a comment: {silent:?}");
    let mut wrong = Vec::new();
    holds(&chart().join("README.md"), &text, &mut wrong);
    assert!(wrong.is_empty(), "run `make generate`: {wrong:?}");
}

#[test]
fn its_own_tests_pass() {
    let Some(unittest) = tool("helm-unittest") else { return };
    let said = run(Command::new(unittest)
        .args(["--strict", "--file", "tests/*_test.yaml"])
        .arg(chart()))
    .unwrap();
    // One that finds no suites passes, too.
    assert!(!said.contains("Tests:       0"), "{said}");
    println!("{said}");
}

/// What is rendered, object by object.
fn objects(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|object| !object.is_null())
        .collect()
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// What whoever runs as a service account of the release may write, as `verb resource.group`.
fn writes(objects: &[Value]) -> BTreeSet<String> {
    let bound: BTreeSet<(&str, &str)> = objects
        .iter()
        .filter(|object| {
            object["kind"]
                .as_str()
                .is_some_and(|kind| kind.ends_with("RoleBinding"))
        })
        .map(|binding| (&binding["roleRef"]["kind"], &binding["roleRef"]["name"]))
        .filter_map(|(kind, name)| Some((kind.as_str()?, name.as_str()?)))
        .collect();
    assert!(!bound.is_empty());
    let roles = objects.iter().filter(|object| {
        let named = (object["kind"].as_str(), object["metadata"]["name"].as_str());
        matches!(named, (Some(kind), Some(name)) if bound.contains(&(kind, name)))
    });
    let mut found = BTreeSet::new();
    for rule in roles.flat_map(|role| role["rules"].as_array().unwrap()) {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]).filter(|verb| !["get", "list", "watch"].contains(verb)) {
                    found.insert(format!("{verb} {resource}.{group}").trim_end_matches('.').to_owned());
                }
            }
        }
    }
    found
}

/// Its own objects: policies and sources are told what came of them, the journal is kept, the lease held, Events sent.
const OWN: [&str; 10] = [
    "create changes.flyball.dev",
    "create events.events.k8s.io",
    "create leases.coordination.k8s.io",
    "delete changes.flyball.dev",
    "patch feedbackpolicies/status.flyball.dev",
    "patch metricsources/status.flyball.dev",
    "update changes/status.flyball.dev",
    "update feedbackpolicies/status.flyball.dev",
    "update leases.coordination.k8s.io",
    "update metricsources/status.flyball.dev",
];

/// The red button, while the pod that drains runs.
const BUTTON: [&str; 3] = ["create configmaps", "patch configmaps", "delete configmaps"];

const WORKLOADS: [&str; 3] = [
    "patch deployments.apps",
    "patch statefulsets.apps",
    "patch rollouts.argoproj.io",
];
const SCALES: [&str; 3] = [
    "update deployments/scale.apps",
    "update statefulsets/scale.apps",
    "update rollouts/scale.argoproj.io",
];
const ROUTES: [&str; 7] = [
    "patch grpcroutes.gateway.networking.k8s.io",
    "patch httpproxies.projectcontour.io",
    "patch httproutes.gateway.networking.k8s.io",
    "patch httproutes.policy.linkerd.io",
    "patch ingresses.networking.k8s.io",
    "patch traefikservices.traefik.io",
    "patch virtualservices.networking.istio.io",
];

#[test]
fn what_its_controller_may_write_is_what_the_values_say_and_nothing_else() {
    let Some(helm) = tool("helm") else { return };
    let check = |setting: &str, expect: &[&[&str]]| {
        // All that there is to give; the setting takes away from it.
        let all = [
            "rbac.scaleTargets=[{\"group\":\"argoproj.io\",\"version\":\"v1alpha1\",\"kind\":\"Rollout\",\"resource\":\"rollouts\"}]",
            "rbac.providers={\"gatewayAPI\":true,\"traefik\":true,\"istio\":true,\"contour\":true,\"linkerd\":true,\"ingressNginx\":true}",
            setting,
        ];
        let found = writes(&objects(&template(&helm, "flyball-system", &all).unwrap()));
        let expect: BTreeSet<String> = OWN
            .iter()
            .chain(expect.iter().copied().flatten())
            .map(|&it| it.to_owned())
            .collect();
        assert_eq!(found, expect, "{setting}");
    };
    let levers = |replicas: bool, weights: bool, runtime: bool, relief: bool| {
        format!(
            "rbac.levers={{\"replicas\":{replicas},\"weights\":{weights},\"runtime\":{runtime},\"relief\":{relief}}}"
        )
    };
    let relief = ["patch pods", "patch pods/resize", "create pods/eviction"];
    check("observeOnly=true", &[]);
    check("observeOnly=false", &[&BUTTON, &WORKLOADS, &SCALES, &ROUTES, &relief]);
    check("drain.enabled=false", &[&WORKLOADS, &SCALES, &ROUTES, &relief]);
    check(&levers(false, false, false, false), &[&BUTTON]);
    check(&levers(true, false, false, false), &[&BUTTON, &WORKLOADS, &SCALES]);
    check(&levers(false, true, false, false), &[&BUTTON, &ROUTES]);
    // Knobs are an annotation of the workload, and lines in its pods.
    check(
        &levers(false, false, true, false),
        &[&BUTTON, &WORKLOADS, &["patch pods"]],
    );
    check(&levers(false, false, false, true), &[&BUTTON, &relief]);
}

#[test]
fn with_namespaces_it_makes_nothing_of_the_cluster() {
    let Some(helm) = tool("helm") else { return };
    let long = "a".repeat(60);
    let settings = [
        &format!("watchNamespaces=[\"shop\",\"{long}b\",\"{long}c\"]"),
        "sources={\"prometheus\":{\"url\":\"http://prometheus:9090\"}}",
        "crds.enabled=false",
        "admissionPolicies.enabled=false",
        "rbac.aggregateRoles=false",
    ];
    let all = objects(&template(&helm, "flyball-system", &settings).unwrap());
    // What has no namespace is the cluster's.
    let whole: Vec<&Value> = all
        .iter()
        .filter(|one| one["metadata"]["namespace"].is_null())
        .collect();
    assert!(whole.is_empty(), "{whole:?}");
    // One for each, also where names begin alike and are too long for two of them.
    let names: BTreeSet<&str> = all
        .iter()
        .filter(|one| one["kind"] == "Deployment")
        .filter_map(|one| one["metadata"]["name"].as_str())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.iter().all(|name| name.len() <= 63), "{names:?}");
}

#[test]
fn what_its_listing_shows_is_what_it_installs() {
    let Some(helm) = tool("helm") else { return };
    let about: Value = serde_yaml::from_str(&fs::read_to_string(chart().join("Chart.yaml")).unwrap()).unwrap();
    let listed = |name: &str| -> Value {
        let text = about["annotations"][format!("artifacthub.io/{name}")].as_str().unwrap();
        serde_yaml::from_str(text).unwrap()
    };
    let all = objects(&template(&helm, "flyball-system", &[]).unwrap());
    let of = |kind: &'static str| all.iter().filter(move |one| one["kind"] == kind);
    let names = |list: &Value, field: &str| -> BTreeSet<String> {
        let each = list.as_array().unwrap().iter();
        each.map(|one| one[field].as_str().unwrap().to_owned()).collect()
    };
    let installed: BTreeSet<String> = of("CustomResourceDefinition")
        .map(|one| one["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names(&listed("crds"), "name"), installed);
    let images: BTreeSet<String> = of("Deployment")
        .map(|one| {
            one["spec"]["template"]["spec"]["containers"][0]["image"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(names(&listed("images"), "image"), images);
    for example in listed("crdsExamples").as_array().unwrap() {
        let spec = example["spec"].clone();
        match example["kind"].as_str().unwrap() {
            "MetricSource" => drop(serde_json::from_value::<flyball_crds::MetricSourceSpec>(spec).unwrap()),
            "FeedbackPolicy" => drop(serde_json::from_value::<flyball_crds::FeedbackPolicySpec>(spec).unwrap()),
            other => panic!("{other} is no example"),
        }
    }
}

/// A schema of a definition as one of values: nothing that it does not name, and without what only an API server reads.
fn strict(schema: &Value) -> Value {
    let Some(from) = schema.as_object() else {
        return schema.clone();
    };
    let mut to = serde_json::Map::new();
    for (key, value) in from {
        match key.as_str() {
            "properties" => {
                let each = value.as_object().into_iter().flatten();
                let each = each.map(|(name, one)| (name.clone(), strict(one))).collect();
                to.insert(key.clone(), Value::Object(each));
                to.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            "items" | "additionalProperties" => drop(to.insert(key.clone(), strict(value))),
            "type" if from.get("nullable") == Some(&Value::Bool(true)) => {
                to.insert(key.clone(), serde_json::json!([value, "null"]));
            }
            "enum" | "maxItems" | "maxLength" | "maxProperties" | "maximum" | "minLength" | "minimum" | "pattern"
            | "required" | "type" => drop(to.insert(key.clone(), value.clone())),
            "default" | "description" | "format" | "nullable" | "x-kubernetes-validations" => {}
            other => panic!("{other}: say what becomes of it"),
        }
    }
    Value::Object(to)
}

#[test]
fn its_sources_and_receivers_are_held_to_the_definitions() {
    let path = chart().join("values.schema.json");
    let mut values: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    for (name, definition) in [("sources", MetricSource::crd()), ("receivers", EventReceiver::crd())] {
        let definition = serde_json::to_value(definition).unwrap();
        let spec = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        values["properties"][name]["additionalProperties"] = strict(spec);
    }
    let mut wrong = Vec::new();
    let text = serde_json::to_string_pretty(&values).unwrap() + "\n";
    holds(&path, &text, &mut wrong);
    assert!(wrong.is_empty(), "run `make generate`: {wrong:?}");
}

/// Every kind of installation is valid for each version of Kubernetes that is supported.
#[test]
fn what_it_renders_is_valid_for_each_version_of_kubernetes() {
    let (Some(helm), Some(validate)) = (tool("helm"), tool("kubernetes-validate")) else {
        return;
    };
    let folder = env::temp_dir().join(format!("flyball-chart-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let namespaced = [
        "watchNamespaces=[\"shop\",\"bank\"]",
        "sources={\"prometheus\":{\"url\":\"http://prometheus:9090\"}}",
        "receivers={\"shop-team\":{\"url\":\"https://broker/shop\"}}",
    ];
    let file = folder.join("all.yaml");
    let mut all = String::new();
    // What is handed on as it is written, once with all of it.
    let handed_on = [
        "networkPolicy={\"enabled\":true,\"ingressFrom\":[{\"namespaceSelector\":{}}],\"egressTo\":[{\"to\":[{\"ipBlock\":{\"cidr\":\"10.0.0.1/32\"}}]}]}",
        "dashboards={\"enabled\":true,\"annotations\":{\"folder\":\"flyball\"}}",
        "controller={\"extraEnv\":[{\"name\":\"A\",\"value\":\"b\"}],\"webhook\":{\"tokenSecret\":\"hook\"}}",
        "extraVolumes=[{\"name\":\"evidence\",\"emptyDir\":{}}]",
        "extraVolumeMounts=[{\"name\":\"evidence\",\"mountPath\":\"/evidence\"}]",
        "extraObjects=[{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"{{ .Release.Name }}-extra\"}}]",
        "imagePullSecrets=[\"registry\"]",
        "tolerations=[{\"operator\":\"Exists\"}]",
        "podAnnotations={\"a\":\"b\"}",
        "commonLabels={\"team\":\"shop\"}",
        "serviceAccount={\"annotations\":{\"a\":\"b\"}}",
        "podDisruptionBudget={\"maxUnavailable\":\"50%\"}",
        "tls={\"secretName\":\"shown\"}",
        "metrics={\"authorization\":true,\"readers\":[{\"name\":\"prometheus\",\"namespace\":\"monitoring\"}]}",
    ];
    for settings in [&handed_on[..], &["observeOnly=true"], &namespaced] {
        all.push_str("---\n");
        all.push_str(&template(&helm, "flyball-system", &[settings, &["crds.enabled=false"]].concat()).unwrap());
    }
    fs::write(&file, all).unwrap();
    for version in ["1.33", "1.34", "1.35", "1.36", "1.37"] {
        let mut command = Command::new(&validate);
        command
            .args(["--strict", "--kubernetes-version", version, "--quiet"])
            .arg(&file);
        run(&mut command).unwrap_or_else(|error| panic!("{version}: {error}"));
    }
    fs::remove_dir_all(&folder).unwrap();
}
