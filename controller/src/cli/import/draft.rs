//! A policy under construction, with what is to be said of it.

use crate::cli::screen::{columns, plain, quoted, wrap};
use flyball_crds::{
    Action, FeedbackPolicySpec, Metric, MetricTarget, Metrics, Mode, Replicas, ResourceOf, Signal, SourceRef,
    TargetRef, Tolerance,
};
use kube::api::DynamicObject;
use serde::Serialize;

/// The MetricSource that is named where nobody says which.
const SOURCE: &str = "prometheus";
/// The longest name of a signal or a metric.
const LONGEST: usize = 63;
/// The most replicas that a policy may name.
pub const MOST: i32 = 10_000;
/// At how many columns comments are broken.
const WIDTH: usize = 110;

/// What has no equivalent, or needs a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Which field of the policy it is about; empty: the policy as a whole.
    pub path: String,
    /// What it is, and what to do.
    pub text: String,
}

/// A policy with its notes.
#[derive(Clone, Debug)]
pub struct Draft {
    /// From what it was made, such as `HorizontalPodAutoscaler shop/web`.
    pub from: String,
    /// Its name.
    pub name: String,
    /// Its namespace, where that is known.
    pub namespace: Option<String>,
    /// Its spec, without its action.
    pub spec: FeedbackPolicySpec,
    /// The lever of its action.
    pub replicas: Replicas,
    /// The metrics so far.
    pub metrics: Vec<Metric>,
    /// How far from the target nothing is done.
    pub tolerance: Option<Tolerance>,
    /// What is to be looked at.
    pub notes: Vec<Note>,
    /// Where values are from, by field.
    pub whence: Vec<Note>,
    /// What was done to make it, such as `Imported`.
    pub heading: &'static str,
    /// Whether an autoscaler is there from which it takes over.
    pub takes_over: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: &'static str,
    metadata: Metadata<'a>,
    spec: &'a FeedbackPolicySpec,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
}

impl Draft {
    /// A policy in mode Recommend without any metric yet.
    pub fn new(kind: &str, name: &str, namespace: Option<&str>, target: TargetRef, source: Option<&str>) -> Self {
        let place = namespace.map_or_else(String::new, |namespace| format!("{namespace}/"));
        let mut draft = Self {
            from: format!("{kind} {place}{name}"),
            name: name.to_owned(),
            namespace: namespace.map(ToOwned::to_owned),
            spec: FeedbackPolicySpec {
                mode: Mode::Recommend,
                source_ref: SourceRef {
                    name: source.unwrap_or(SOURCE).to_owned(),
                },
                target_ref: target,
                ..FeedbackPolicySpec::default()
            },
            replicas: Replicas::default(),
            metrics: Vec::new(),
            tolerance: None,
            notes: Vec::new(),
            whence: Vec::new(),
            heading: "Imported",
            takes_over: true,
        };
        if source.is_none() {
            draft.note(
                "spec.sourceRef.name",
                format!("{SOURCE} is a guess; name the MetricSource to ask, see kubectl get metricsources"),
            );
        }
        let kind = &draft.spec.target_ref;
        if !["Deployment", "StatefulSet"].contains(&kind.kind.as_str()) {
            let text = format!(
                "the installation must allow this kind: --scale-kind={}/{}, with the rights for it",
                kind.api_version, kind.kind
            );
            draft.note("spec.targetRef.kind", text);
        }
        draft
    }

    /// Says something of a field.
    pub fn note(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.notes.push(Note {
            path: path.into(),
            text: text.into(),
        });
    }

    /// Says where the value of a field is from.
    pub fn whence(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.whence.push(Note {
            path: path.into(),
            text: text.into(),
        });
    }

    /// The field of the lever.
    pub fn lever(field: &str) -> String {
        format!("spec.actions[0].replicas.{field}")
    }

    /// Bounds within those that a policy may have.
    pub fn bounds(&mut self, min: i32, max: i32) {
        self.replicas.max = max.clamp(1, MOST);
        self.replicas.min = min.clamp(0, self.replicas.max);
        for (field, asked, taken) in [("min", min, self.replicas.min), ("max", max, self.replicas.max)] {
            if asked != taken {
                self.note(
                    Self::lever(field),
                    format!("{asked} is not possible here; it is {taken} now"),
                );
            }
        }
    }

    /// Adds a signal, under a name that no other has. Returns the name.
    pub fn signal(&mut self, name: &str, expr: &str, per_pod: bool) -> String {
        let taken = |name: &str| self.spec.signals.iter().any(|signal| signal.name == name);
        let name = unused(&word(name), taken);
        if let Err(error) = crate::promql::query(expr) {
            let path = format!("spec.signals[{}].expr", self.spec.signals.len());
            self.note(path, format!("Flyball can't ask this: {error}"));
        }
        self.spec.signals.push(Signal {
            name: name.clone(),
            expr: expr.to_owned(),
            per_pod,
            ..Signal::default()
        });
        name
    }

    /// The path of the last signal's field.
    pub fn last_signal(&self, field: &str) -> String {
        format!("spec.signals[{}].{field}", self.spec.signals.len().saturating_sub(1))
    }

    /// Adds a metric over a signal.
    pub fn metric(&mut self, signal: &str, target: MetricTarget) {
        let name = self.metric_name(signal);
        self.metrics.push(Metric {
            name,
            signal: Some(signal.to_owned()),
            target,
            ..Metric::default()
        });
    }

    /// Adds a metric over a formula.
    pub fn formula(&mut self, formula: &str, target: MetricTarget) {
        let name = self.metric_name("formula");
        self.metrics.push(Metric {
            name,
            formula: Some(formula.to_owned()),
            target,
            ..Metric::default()
        });
    }

    /// Adds a metric over the usage of a resource.
    pub fn resource(&mut self, name: &str, of: ResourceOf, target: MetricTarget) {
        let name = self.metric_name(name);
        self.metrics.push(Metric {
            name,
            resource: Some(of),
            target,
            ..Metric::default()
        });
    }

    fn metric_name(&self, name: &str) -> String {
        unused(name, |name| self.metrics.iter().any(|metric| metric.name == name))
    }

    /// Puts the action together, and says what it lacks.
    #[must_use]
    pub fn finish(mut self) -> Self {
        if self.replicas.step.is_some() {
            // A step answers to alerts and needs no metric.
        } else if self.metrics.is_empty() {
            let text = "nothing of what drives the replicas could be translated; add at least one metric, for example \
                        {list: [{name: load, signal: load, target: {averageValue: 100}}]} over a signal load";
            self.note(Self::lever("metrics"), text);
        } else {
            self.replicas.metrics = Some(Metrics {
                list: std::mem::take(&mut self.metrics),
                tolerance: self.tolerance.take(),
            });
        }
        self.note(
            "spec.actions[0].verify",
            "is missing: say what must hold after a change before you set mode Enforce, for example \
             {settle: 6m, within: 10m, expr: 'LATENCY <= 0.5', demand: {signal: requests}}",
        );
        self.spec.actions = vec![Action {
            name: "replicas".to_owned(),
            replicas: Some(std::mem::take(&mut self.replicas)),
            ..Action::default()
        }];
        self
    }

    /// The policy as YAML below its notes.
    pub fn print(&self) -> String {
        let mut text = String::new();
        let mut comment = |first: &str, rest: &str, line: &str| {
            let mut before = first;
            for line in wrap(line, Some(WIDTH.saturating_sub(columns(first)))) {
                text.push_str(format!("# {before}{line}").trim_end());
                text.push('\n');
                before = rest;
            }
        };
        comment(
            "",
            "",
            &format!(
                "{} from {}. In mode Recommend it writes nothing.",
                self.heading,
                plain(&self.from)
            ),
        );
        comment("", "", "");
        for (title, notes) in [("Where values are from:", &self.whence), ("To look at:", &self.notes)] {
            if notes.is_empty() {
                continue;
            }
            comment("", "", title);
            for note in notes {
                let about = if note.path.is_empty() {
                    String::new()
                } else {
                    format!("{}: ", note.path)
                };
                comment("- ", "  ", &plain(&format!("{about}{}", note.text)));
            }
            comment("", "", "");
        }
        let place = self
            .namespace
            .as_ref()
            .map_or_else(String::new, |namespace| format!(" -n {}", quoted(namespace)));
        let name = quoted(&self.name);
        let last = if self.takes_over {
            format!("flyball takeover {name}{place}")
        } else {
            "mode: Enforce".to_owned()
        };
        comment(
            "",
            "",
            &format!(
                "Then: flyball check policy.yaml; kubectl apply -f policy.yaml; flyball explain {name}{place}; and when its \
                 recommendations are right: {last}"
            ),
        );
        let yaml = serde_yaml::to_string(&self.document()).unwrap_or_default();
        text.push_str(yaml.trim_start_matches("---\n").trim_end());
        text.push('\n');
        text
    }

    /// The policy as an object of the API.
    pub fn object(&self) -> serde_json::Result<DynamicObject> {
        serde_json::from_value(serde_json::to_value(self.document())?)
    }

    fn document(&self) -> Document<'_> {
        Document {
            api_version: format!("{}/{}", flyball_crds::GROUP, flyball_crds::VERSION),
            kind: "FeedbackPolicy",
            metadata: Metadata {
                name: &self.name,
                namespace: self.namespace.as_deref(),
            },
            spec: &self.spec,
        }
    }
}

/// A name that formulas can use: letters, digits and underscores.
fn word(name: &str) -> String {
    let mut word: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' })
        .take(LONGEST)
        .collect();
    if word.is_empty() || word.starts_with(|c: char| c.is_ascii_digit()) {
        word.insert(0, '_');
        word.truncate(LONGEST);
    }
    word
}

/// The name, or the name with the next number that is free.
fn unused(name: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(name) {
        return name.to_owned();
    }
    let numbered = |number: u32| {
        let end = format!("_{number}");
        let start: String = name.chars().take(LONGEST - end.len()).collect();
        start + &end
    };
    // A policy has no more names than that.
    (2..10_000).map(numbered).find(|name| !taken(name)).unwrap_or_default()
}
