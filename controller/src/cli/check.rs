//! `flyball check FILE...`: is this policy right? Answered from the files alone.
//!
//! What the API server and the controller would say is said here, each with its line and the line
//! itself, so that a review or a pipeline finds it before a cluster does. Only the cluster knows
//! whether targets, sources and metrics exist; `flyball doctor` asks it. A PrometheusRule that a policy
//! refers to is read where it is in one of the files, and so are the receivers that it names.

mod beside;
mod report;
mod schema;
mod sources;
pub(super) mod yaml;

pub use report::{Finding, Report, Reported, Severity};
pub use sources::{FileError, receivers, sources};
pub use yaml::YamlError;

use beside::{Beside, Said};

use super::output::{Output, written};
use crate::{
    promql::shorten,
    validate::{self, FieldError},
};
use flyball_crds::{
    EventReceiver, EventReceiverSpec, FeedbackPolicy, FeedbackPolicySpec, GROUP, MetricSource, MetricSourceSpec,
    VERSION,
};
use kube::CustomResourceExt;
use schema::Mistake;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};
use yaml::{Entry, Kind, Node};

/// The largest file that is read, in bytes: what an API server takes for one object.
pub const MAX_BYTES: u64 = 1 << 20;

/// The arguments of `flyball check`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// Files of YAML or JSON with policies and sources; `-` reads standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Lines for people, or an object with all findings.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Why the check could not be done. What is wrong with a file is a [`Finding`] instead.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The report could not be written.
    #[error("the report could not be written: {0}")]
    Write(#[from] io::Error),
}

/// What was checked and found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// How many policies were checked.
    pub policies: usize,
    /// How many sources were checked.
    pub sources: usize,
    /// How many receivers of events were checked.
    pub receivers: usize,
    /// How many errors were found.
    pub errors: usize,
    /// How many warnings were found.
    pub warnings: usize,
}

impl Summary {
    /// The exit code: 0 without errors, 1 with.
    pub const fn exit_code(self) -> u8 {
        if self.errors == 0 { 0 } else { 1 }
    }
}

/// Checks all files, writes what it finds to `out`, and ends with a line that counts it.
pub fn run(files: &[PathBuf], out: &mut impl Write) -> Result<Summary, CheckError> {
    let (checked, summary) = examined(files);
    for Checked { name, text } in &checked {
        match text {
            Ok((text, findings)) => {
                for finding in findings {
                    report::write(name, text, finding, out)?;
                }
            }
            Err(reason) => writeln!(out, "{name}: {reason}")?,
        }
    }
    if summary == Summary::default() {
        writeln!(
            out,
            "There is no FeedbackPolicy, no MetricSource and no EventReceiver in these files; name the files that hold one."
        )?;
    }
    let Summary {
        policies,
        sources,
        receivers,
        errors,
        warnings,
    } = summary;
    let count = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    let mut checked = vec![count(policies, "policy", "policies")];
    checked.extend((sources > 0).then(|| count(sources, "source", "sources")));
    checked.extend((receivers > 0).then(|| count(receivers, "receiver", "receivers")));
    let checked = checked.join(" and ");
    writeln!(
        out,
        "{checked} checked, {}, {}",
        count(errors, "error", "errors"),
        count(warnings, "warning", "warnings")
    )?;
    Ok(summary)
}

/// As [`run`], as an object for programs.
pub fn run_for_programs(files: &[PathBuf], output: Output, out: &mut impl Write) -> Result<Summary, CheckError> {
    let (checked, summary) = examined(files);
    let mut findings = Vec::new();
    for Checked { name, text } in &checked {
        match text {
            Ok((text, found)) => findings.extend(found.iter().map(|finding| Reported::of(name, text, finding))),
            Err(reason) => findings.push(Reported::of_file(name, reason)),
        }
    }
    out.write_all(written(&Report { findings, summary }, output, true).as_bytes())?;
    Ok(summary)
}

/// A file with what was found in it, or why it could not be read.
struct Checked {
    /// Its name, escaped.
    name: String,
    text: Result<(String, Vec<Finding>), String>,
}

fn examined(files: &[PathBuf]) -> (Vec<Checked>, Summary) {
    let (mut summary, mut beside) = (Summary::default(), Beside::default());
    let loaded: Vec<_> = files.iter().map(|file| (file, load(file))).collect();
    for text in loaded.iter().filter_map(|(_, text)| text.as_ref().ok()) {
        beside.read(text);
    }
    let checked = loaded.into_iter().map(|(file, text)| {
        let name = file.to_string_lossy().escape_debug().to_string();
        let text = text.map(|text| {
            let findings = check(&text, &beside, &mut summary);
            (text, findings)
        });
        if text.is_err() {
            summary.errors += 1;
        }
        Checked { name, text }
    });
    let checked = checked.collect();
    (checked, summary)
}

/// The text of a file, or why it can't be checked and the way out.
pub(super) fn load(file: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes)
    } else if file.is_dir() {
        return Err("is a directory; name its files, for example with *.yaml behind it".to_owned());
    } else {
        File::open(file).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| format!("can't be read: {error}; correct the path"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("is larger than {MAX_BYTES} bytes; split it into several files"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error
            .as_bytes()
            .get(..error.utf8_error().valid_up_to())
            .unwrap_or_default();
        let line = String::from_utf8_lossy(valid).matches('\n').count() + 1;
        format!("is not UTF-8 in line {line}; save it in that encoding")
    })?;
    Ok(text
        .strip_prefix('\u{feff}')
        .map_or_else(|| text.clone(), str::to_owned))
}

fn check(text: &str, beside: &Beside, summary: &mut Summary) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (documents, failure) = yaml::documents(text);
    for node in &documents {
        document(text, node, beside, &mut findings, summary);
    }
    findings.extend(failure.map(|(error, at)| Finding::error(&(at..at), "", error.to_string())));
    findings.sort_by_key(|finding| finding.at.start);
    for finding in &findings {
        match finding.severity {
            Severity::Error => summary.errors += 1,
            Severity::Warning => summary.warnings += 1,
            Severity::Note => {}
        }
    }
    findings
}

/// Checks one document, if its kind is one of ours.
fn document(text: &str, node: &Node, beside: &Beside, findings: &mut Vec<Finding>, summary: &mut Summary) {
    if node.plain() == Some(yaml::Plain::Null) {
        return;
    }
    let Kind::Map(entries) = &node.kind else {
        findings.push(Finding::error(
            &node.range,
            "",
            "this is not an object; begin with apiVersion and kind",
        ));
        return;
    };
    let Some(kind) = node.get("kind").and_then(Node::text) else {
        findings.push(Finding::error(
            &node.range,
            "kind",
            "is missing; add for example kind: FeedbackPolicy",
        ));
        return;
    };
    let schema = match kind {
        "FeedbackPolicy" => {
            summary.policies += 1;
            FeedbackPolicy::crd()
        }
        "MetricSource" => {
            summary.sources += 1;
            MetricSource::crd()
        }
        "EventReceiver" => {
            summary.receivers += 1;
            EventReceiver::crd()
        }
        _ => {
            findings.push(other(node, kind));
            return;
        }
    };
    head(node, entries, findings);
    let Some(spec) = node.get("spec") else {
        findings.push(Finding::error(&node.range, "spec", "is missing; add it"));
        return;
    };
    let mut mistakes = Vec::new();
    let schema = serde_json::to_value(schema).unwrap_or_default();
    let schema = schema
        .pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec")
        .unwrap_or(&Value::Null);
    let value = schema::read(spec, schema, "spec", &mut mistakes).unwrap_or_default();
    let said = match kind {
        "FeedbackPolicy" => judge(value, &mistakes, |spec: &FeedbackPolicySpec| beside.judge(node, spec)),
        "MetricSource" => judge(value, &mistakes, |spec: &MetricSourceSpec| Said {
            errors: validate::metric_source(spec).err().unwrap_or_default(),
            ..Said::default()
        }),
        _ => judge(value, &mistakes, |spec: &EventReceiverSpec| Said {
            errors: validate::event_receiver(spec).err().unwrap_or_default(),
            ..Said::default()
        }),
    };
    // Where the schema has found a mistake, validation would only say the same in other words.
    let new = |error: &FieldError| !mistakes.iter().any(|mistake| mistake.path == error.path);
    let place = |error: &FieldError| report::locate(text, node, &error.path, error.position);
    let errors = said
        .errors
        .into_iter()
        .filter(new)
        .map(|error| Finding::error(&place(&error), &error.path, error.message));
    findings.extend(errors);
    let mild = |severity, all: Vec<FieldError>| {
        all.into_iter().map(move |one| Finding {
            severity,
            at: place(&one),
            path: one.path,
            message: one.message,
        })
    };
    findings.extend(mild(Severity::Warning, said.warnings));
    findings.extend(mild(Severity::Note, said.notes));
    findings.extend(
        mistakes
            .into_iter()
            .map(|mistake| Finding::error(&mistake.at, &mistake.path, mistake.message)),
    );
}

/// A document of another kind is skipped, unless the kind was probably meant to be one of ours.
fn other(node: &Node, kind: &str) -> Finding {
    let group = node
        .get("apiVersion")
        .and_then(Node::text)
        .and_then(|version| version.split('/').next());
    let nearest = schema::nearest(kind, ["FeedbackPolicy", "MetricSource", "EventReceiver"].into_iter());
    if group == Some(GROUP) && kind != "Change" {
        let at = node.get("kind").map_or(&node.range, |kind| &kind.range);
        let hint = nearest.map_or_else(
            || "; write FeedbackPolicy, MetricSource or EventReceiver".to_owned(),
            |_| schema::did_you_mean(nearest),
        );
        return Finding::error(at, "kind", format!("{} is not a kind of {GROUP}{hint}", shorten(kind)));
    }
    let name = node
        .get("metadata")
        .and_then(|metadata| metadata.get("name"))
        .and_then(Node::text);
    // One that a policy refers to is checked with that.
    let done = if beside::is_one(node) { "read" } else { "skipped" };
    let message = format!("{done} {} {}", shorten(kind), shorten(name.unwrap_or_default()));
    Finding {
        severity: Severity::Note,
        at: node.range.clone(),
        path: String::new(),
        message,
    }
}

/// Checks what stands around the spec.
fn head(node: &Node, entries: &[Entry], findings: &mut Vec<Finding>) {
    let version = format!("{GROUP}/{VERSION}");
    match node.get("apiVersion") {
        Some(written) if written.text() == Some(&version) => {}
        Some(written) => {
            findings.push(Finding::error(
                &written.range,
                "apiVersion",
                format!("is another version; write {version}"),
            ));
        }
        None => findings.push(Finding::error(
            &node.range,
            "apiVersion",
            format!("is missing; add apiVersion: {version}"),
        )),
    }
    let fields = ["apiVersion", "kind", "metadata", "spec", "status"];
    for Entry { key, range, .. } in entries.iter().filter(|entry| !fields.contains(&entry.key.as_str())) {
        let nearest = schema::nearest(key, fields.into_iter());
        let hint = nearest.map_or_else(
            || "; move it below spec, or remove it".to_owned(),
            |_| schema::did_you_mean(nearest),
        );
        findings.push(Finding::error(
            range,
            &key.escape_debug().to_string(),
            format!("unknown field{hint}"),
        ));
    }
    match node.get("metadata").and_then(|metadata| metadata.get("name")) {
        Some(name) if name.text().is_some_and(validate::is_subdomain) => {}
        Some(name) => {
            let message = "is not a name; write lower-case letters, digits and dashes";
            findings.push(Finding::error(&name.range, "metadata.name", message));
        }
        None => findings.push(Finding::error(&node.range, "metadata.name", "is missing; add it")),
    }
}

/// What validation says of a spec, if it could be read at all.
fn judge<T: DeserializeOwned>(value: Value, mistakes: &[Mistake], validate: impl Fn(&T) -> Said) -> Said {
    match serde_json::from_value(value) {
        Ok(spec) => validate(&spec),
        // The schema and the types say the same, so a mistake explains it.
        Err(_) if !mistakes.is_empty() => Said::default(),
        Err(error) => {
            let message = format!("can't be read: {error}; compare it with kubectl explain");
            Said {
                errors: vec![FieldError {
                    path: "spec".to_owned(),
                    message,
                    position: None,
                }],
                ..Said::default()
            }
        }
    }
}
