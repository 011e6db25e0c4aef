//! Each policy: its form, its source, its target, who else moves that, and what is under way.

pub mod gitops;
mod owners;
pub mod routes;
mod rules;

pub use owners::others;
pub use rules::rules;

use super::{
    finding::{Finding, Mark, Section},
    readings, runtime, settle, sources, traffic,
    world::{self, World},
};
use crate::{
    cli::{
        fetch::{Connection, ReadError},
        moves,
        screen::{plain, when},
    },
    clock::from_micro_time,
    observe::{self, Found, find, is_open, source::Source, sources::allows},
    prometheus_rule::PrometheusRule,
    validate,
};
use flyball_core::{
    check::Target,
    policy::RuntimeAction,
    time::{Span, Timestamp},
};
use flyball_crds::{Change, ConditionType, FeedbackPolicy, MetricSource, TargetRef};
use kube::{ResourceExt, api::DynamicObject};
use std::collections::{BTreeMap, BTreeSet};

/// The oldest sample of a namespace's processes that counts.
const FLEET_AGE: Span = Span::from_secs(300);
/// How late a Change may be closed: a few passes.
const LATE: Span = Span::from_secs(120);

/// The command that opens a policy in an editor.
fn edit(policy: &FeedbackPolicy) -> String {
    format!(
        "kubectl edit feedbackpolicy {} -n {}",
        policy.name_any(),
        policy.namespace().unwrap_or_default()
    )
}

fn named(target: &TargetRef) -> String {
    format!("{}/{}", plain(&target.kind), plain(&target.name))
}

/// Judges the spec, together with the PrometheusRule that it refers to where that was read.
pub fn form(policy: &FeedbackPolicy, object: Option<&PrometheusRule>) -> Vec<Finding> {
    let (errors, warnings) = rules::judged(policy, object);
    if errors.is_empty() && warnings.is_empty() {
        return vec![Finding::ok("spec", "valid")];
    }
    let judged = |mark, errors: &[validate::FieldError]| {
        let mut findings: Vec<Finding> = Vec::new();
        for error in errors {
            let found = Finding::message(mark, plain(&error.path), &error.message);
            match findings.last_mut() {
                // Several troubles of one field with one way out are one line.
                Some(last) if (&last.subject, &last.way_out) == (&found.subject, &found.way_out) => {
                    last.said = format!("{}; {}", last.said, found.said);
                }
                _ => findings.push(found),
            }
        }
        for finding in findings.iter_mut().filter(|finding| finding.way_out.is_empty()) {
            finding.way_out = format!("correct it: {}", edit(policy));
        }
        findings
    };
    [judged(Mark::Fail, &errors), judged(Mark::Warn, &warnings)].concat()
}

/// Judges what the controller says of it; what `others` have found already is not said twice.
pub fn status(policy: &FeedbackPolicy, others: &[Finding]) -> Finding {
    let status = policy.status.clone().unwrap_or_default();
    let Some(observed) = status.observed_generation else {
        let way_out = "see above whether the controller runs, and looks at this namespace";
        return Finding::new(Mark::Fail, "controller", "has not looked at it yet", way_out);
    };
    if policy
        .metadata
        .generation
        .is_some_and(|generation| generation != observed)
    {
        let said = format!("has looked at generation {observed}, not yet at the last edit");
        return Finding::new(Mark::Warn, "controller", said, "see above whether the controller runs");
    }
    let ready = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == ConditionType::Ready.as_str());
    let Some(ready) = ready.filter(|ready| ready.status != "True") else {
        return Finding::ok("controller", plain(&status.doing));
    };
    let reason = plain(&ready.reason);
    if others.iter().any(|other| other.mark == Mark::Fail) {
        return Finding::new(
            Mark::Fail,
            "controller",
            format!("the policy is not ready: {reason}, see above"),
            "",
        );
    }
    let found = Finding::message(
        Mark::Fail,
        "controller",
        &format!("{reason}: {}", plain(&ready.message)),
    );
    let explain = format!(
        "see what it decided: flyball explain {} -n {}",
        policy.name_any(),
        policy.namespace().unwrap_or_default()
    );
    if found.way_out.is_empty() {
        Finding {
            way_out: explain,
            ..found
        }
    } else {
        found
    }
}

/// Judges the source that it names.
pub fn source(policy: &FeedbackPolicy, sources: &Result<BTreeMap<String, MetricSource>, ReadError>) -> Finding {
    let name = &policy.spec.source_ref.name;
    let namespace = policy.namespace().unwrap_or_default();
    let sources = match sources {
        Ok(sources) => sources,
        Err(error) => return Finding::unread("source", error),
    };
    match sources.get(name) {
        None => Finding::new(
            Mark::Fail,
            "source",
            format!("there is no MetricSource {}", plain(name)),
            format!("create it, or name one of: {}", known(sources)),
        ),
        Some(found) if !allows(found, &namespace) => Finding::new(
            Mark::Fail,
            "source",
            format!("MetricSource {name} does not allow namespace {namespace}"),
            "let its owner add the namespace to spec.allowedNamespaces.names",
        ),
        Some(_) => Finding::ok("source", format!("MetricSource {name}")),
    }
}

fn known(sources: &BTreeMap<String, MetricSource>) -> String {
    if sources.is_empty() {
        "none there is".to_owned()
    } else {
        sources.keys().cloned().collect::<Vec<_>>().join(", ")
    }
}

/// Judges the target. `found` is what the controller's own search says of it.
pub fn target(policy: &FeedbackPolicy, found: &Found, read: Option<&ReadError>) -> Finding {
    let target = &policy.spec.target_ref;
    let name = named(target);
    if let Some(error) = read {
        return Finding::unread("target", error);
    }
    let fail = |said: String, way_out: String| Finding::new(Mark::Fail, "target", said, way_out);
    match &found.target {
        Target::Present { paused: Some(why) } => Finding::new(
            Mark::Warn,
            "target",
            format!("{name} is paused: {}", plain(why)),
            "resume it to let it be moved",
        ),
        Target::Present { paused: None } => match found.snapshot.as_ref() {
            Some(snapshot) if snapshot.bad_stamp.is_some() => fail(
                format!(
                    "{name} has a stamp that can't be read: {}",
                    plain(snapshot.bad_stamp.as_deref().unwrap_or_default())
                ),
                format!("remove the annotation {}", flyball_crds::STAMP_ANNOTATION),
            ),
            Some(snapshot) => {
                let plural = if snapshot.target.value.get() == 1 { "" } else { "s" };
                Finding::ok(
                    "target",
                    format!("{name} has {} replica{plural}", snapshot.target.value),
                )
            }
            None => Finding::ok("target", name),
        },
        Target::Missing => fail(
            format!(
                "{name} does not exist in namespace {}",
                policy.namespace().unwrap_or_default()
            ),
            format!("create it, or correct spec.targetRef: {}", edit(policy)),
        ),
        Target::NoScale(kind) => fail(
            format!("{} has no scale subresource", plain(kind)),
            "name a kind that has one, such as a Deployment".to_owned(),
        ),
        Target::NotAllowed(kind) => fail(
            format!("{} is not among the kinds that this installation moves", plain(kind)),
            "let its operator add the kind: --scale-kind GROUP/VERSION/KIND".to_owned(),
        ),
        Target::NotServed(kind) => fail(
            format!("the API server does not serve {}", plain(kind)),
            "install its definition; the controller looks for it every minute".to_owned(),
        ),
    }
}

/// Judges the open Changes: one that is past its deadline is carried by nobody.
pub fn open(changes: &[&Change], now: Timestamp) -> Vec<Finding> {
    let judged = changes.iter().filter(|change| is_open(change)).map(|change| {
        let status = change.status.clone().unwrap_or_default();
        let applied = status.applied_at.as_ref().map(from_micro_time);
        let within = change
            .spec
            .verification
            .as_ref()
            .and_then(|verification| verification.within.0.parse::<Span>().ok());
        let begun = from_micro_time(&change.spec.proposed_at);
        let due = applied.unwrap_or(begun) + within.filter(|_| applied.is_some()).unwrap_or(Span::ZERO);
        let said = format!(
            "{} is {:?}: {}",
            change.name_any(),
            status.phase,
            moves::of_change(change)
        );
        if now > due + LATE {
            let said = format!("{said}; it should have been closed {}", when(due, now));
            Finding::new(
                Mark::Fail,
                "open Change",
                said,
                "see above whether the controller runs, and its logs",
            )
        } else {
            Finding::ok("open Change", said)
        }
    });
    judged.collect()
}

/// Looks at all policies.
pub async fn examine(connection: &Connection, world: &World, sources: &sources::Found, now: Timestamp) -> Vec<Section> {
    let mut sections = Vec::new();
    for policy in &world.policies {
        sections.push(examine_one(connection, world, sources, policy, now).await);
    }
    sections.extend(headroom(world, sources, now).await);
    let kept: Vec<&Change> = world
        .changes
        .iter()
        .filter(|change| {
            is_open(change)
                && !world
                    .policies
                    .iter()
                    .any(|policy| policy.uid().as_ref() == Some(&change.spec.policy.uid))
        })
        .collect();
    let mut findings = world.trouble.clone();
    findings.extend(open(&kept, now));
    if world.policies.is_empty() && findings.is_empty() {
        findings.push(Finding::new(
            Mark::Skip,
            "policies",
            "there is none here",
            "check one before its use: flyball check policy.yaml",
        ));
    }
    if !findings.is_empty() {
        sections.insert(
            0,
            Section {
                title: "Policies".to_owned(),
                findings,
            },
        );
    }
    sections
}

async fn examine_one(
    connection: &Connection,
    world: &World,
    sources: &sources::Found,
    policy: &FeedbackPolicy,
    now: Timestamp,
) -> Section {
    let namespace = policy.namespace().unwrap_or_default();
    let reference = &policy.spec.target_ref;
    let found = find(&world.cluster, &namespace, reference);
    let read = world.targets.get(&world::key(&namespace, reference));
    let rivals: Vec<String> = world
        .policies
        .iter()
        .filter(|other| {
            other.uid() != policy.uid()
                && other.namespace() == policy.namespace()
                && other.spec.target_ref == *reference
        })
        .map(ResourceExt::name_any)
        .collect();
    let vertical = world
        .vertical
        .iter()
        .any(|(place, target)| *place == namespace && target.kind == reference.kind && target.name == reference.name);
    let changes: Vec<&Change> = world
        .changes
        .iter()
        .filter(|change| Some(&change.spec.policy.uid) == policy.uid().as_ref())
        .collect();

    let referred = policy.spec.prometheus_rule_ref.as_ref();
    let rule = referred.and_then(|referred| world.rules.get(&(namespace.clone(), referred.name.clone())));
    let object = rules::object(rule);
    let mut findings = form(policy, object);
    findings.extend(rules::rules(policy, rule));
    findings.push(source(policy, &sources.sources));
    let valid = match object {
        Some(object) => validate::policy_with(&policy.spec, object).map(|resolved| resolved.policy),
        None => validate::policy(&policy.spec),
    };
    let valid = valid.map(|valid| valid.within(&namespace));
    // Of a policy that is not valid the target is judged as that of replicas, unless it says otherwise.
    let of_weights = policy.spec.actions.iter().any(|action| action.weights.is_some());
    let action = valid.as_ref().ok().and_then(|valid| valid.weights.first());
    let mut weights = None;
    if let Some(action) = action {
        let (judged, found) = routes::examine(policy, action, world);
        findings.extend(judged);
        weights = found;
    } else if let Some(action) = valid.as_ref().ok().and_then(|valid| valid.runtime.first()) {
        let judged = target(policy, &found, read.and_then(|read| read.as_ref().err()));
        let object = read.and_then(|read| read.as_ref().ok()?.as_ref());
        if let Some(variables) = action.variables() {
            findings.push(judged);
            findings.push(runtime::template(object, &action.container, variables));
        } else {
            findings.push(runtime::workload(judged, &found, object, &action.container));
            let counts = observe::owners::counts_memory(&world.cluster, &namespace, reference);
            findings.extend(runtime::memory(counts.as_deref()));
        }
    } else if !of_weights {
        findings.push(target(policy, &found, read.and_then(|read| read.as_ref().err())));
        if found.snapshot.is_some() {
            findings.extend(others(
                policy,
                &observe::owners::of(&world.cluster, policy, found.snapshot.as_ref()),
                &rivals,
                vertical,
            ));
        }
    }
    findings.push(status(policy, &findings));
    findings.extend(open(&changes, now));
    if let Ok(valid) = valid {
        let object = read.and_then(|read| read.as_ref().ok()?.as_ref());
        findings.extend(settling(connection, &valid, &found, object, &namespace).await);
        let source = sources.answering.get(&policy.spec.source_ref.name);
        if let (Some(source), Some(action)) = (source, valid.weights.first()) {
            let mut levers = policy.spec.actions.iter().filter_map(|action| action.weights.as_ref());
            let proxy = levers.next().and_then(|lever| lever.traffic.proxy);
            findings.extend(traffic::examine(source, action, proxy, &namespace, weights.as_ref(), now).await);
        }
        // Start-up options need no agent.
        if let Some(action) = valid.runtime.first().filter(|action| action.variables().is_none()) {
            findings.extend(agents(connection, policy, action, &found, source.map(|source| &**source), now).await);
        }
        findings.extend(match source {
            Some(source) => readings::examine(source, &valid, now).await,
            None => vec![Finding::new(
                Mark::Skip,
                "expressions",
                format!(
                    "not asked, as MetricSource {} can't be asked from here",
                    plain(&policy.spec.source_ref.name)
                ),
                "see Sources above",
            )],
        });
    }
    let title = format!(
        "Policy {namespace}/{}: {:?}, {}",
        policy.name_any(),
        policy.spec.mode,
        named(reference)
    );
    Section { title, findings }
}

/// The pods of a policy that moves knobs, and what their agents tell.
async fn agents(
    connection: &Connection,
    policy: &FeedbackPolicy,
    action: &RuntimeAction,
    found: &Found,
    source: Option<&Source>,
    now: Timestamp,
) -> Vec<Finding> {
    let namespace = policy.namespace().unwrap_or_default();
    let pods = match &found.resource {
        Some(resource) => settle::pods(connection, &namespace, &policy.spec.target_ref.name, resource).await,
        None => return Vec::new(),
    };
    let pods = pods.map(|pods| runtime::AgentPod::all(&pods, &action.container));
    let lever = policy.spec.actions.iter().find_map(|action| action.runtime.as_ref());
    let told = match (source, lever) {
        (Some(source), Some(lever)) => Some(runtime::told(source, action, lever, &namespace, now).await),
        _ => None,
    };
    runtime::judge(policy, action, pods.as_deref(), told.as_ref(), now)
}

/// What dividing headroom would save, for each namespace in which knobs are moved.
async fn headroom(world: &World, sources: &sources::Found, now: Timestamp) -> Vec<Section> {
    let mut sections = Vec::new();
    let mut seen = BTreeSet::new();
    let moves_knobs = |policy: &&FeedbackPolicy| policy.spec.actions.iter().any(|action| action.runtime.is_some());
    for policy in world.policies.iter().filter(moves_knobs) {
        let namespace = policy.namespace().unwrap_or_default();
        let Some(source) = sources.answering.get(&policy.spec.source_ref.name) else {
            continue;
        };
        if seen.insert(namespace.clone()) {
            let fleet = runtime::fleet(source, &namespace, FLEET_AGE, now).await;
            sections.push(Section {
                title: format!("Garbage collection in namespace {namespace}"),
                findings: vec![runtime::opportunity(&fleet)],
            });
        }
    }
    sections
}

async fn settling(
    connection: &Connection,
    policy: &flyball_core::policy::Policy,
    found: &Found,
    object: Option<&DynamicObject>,
    namespace: &str,
) -> Vec<Finding> {
    let readiness = match (object, &found.resource) {
        (Some(object), Some(resource)) => {
            settle::read(connection, namespace, &object.name_any(), resource, object).await
        }
        _ => settle::Readiness::Unknown,
    };
    settle::judge(policy, &readiness)
}
