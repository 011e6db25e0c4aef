//! The Helm chart: what is made of it, and what it is made of. Nothing here needs a cluster.
//!
//! The chart is the one truth of what is installed. deploy/manifests is what it renders for those without Helm, and the chart's own
//! files are copies: `UPDATE=1` writes both anew.

#![allow(clippy::unwrap_used)]

use flyball_tests::bed::skipped;
use std::{
    collections::BTreeMap,
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
const MANIFESTS: [(&str, &str); 11] = [
    ("admission/authors", "authors"),
    ("admission/changes", "changes"),
    ("admission/pods", "pods"),
    ("admission/routes", "routes"),
    ("admission/workloads", "admission"),
    ("deployment", "deployment"),
    ("lease", "lease"),
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
    ];
    let file = folder.join("all.yaml");
    let mut all = String::new();
    for settings in [&["networkPolicy.enabled=true"][..], &["observeOnly=true"], &namespaced] {
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
