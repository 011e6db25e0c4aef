//! KEDA's ScaledObject: what PromQL can express is taken over, the rest is said.

use super::{
    behavior,
    draft::Draft,
    keda::{
        self, FORCE_ACTIVATION, Fallback, Modifiers, PAUSED, PAUSED_IN, PAUSED_OUT, PAUSED_REPLICAS, ScaledObject, Spec,
    },
    triggers::{self, Activity, Became},
};
use flyball_core::policy::Formula;
use flyball_crds::{Duration, Fallback as OurFallback, MetricTarget, Pause, PauseFor, TargetRef, Zero};
use kube::core::ObjectMeta;
use std::collections::BTreeSet;

const POLLING: i32 = 30;
const COOLDOWN: i32 = 300;
const MAX: i32 = 100;
/// How often a policy is evaluated unless it says otherwise.
const INTERVAL: i32 = 15;

/// The policy that does the same.
pub fn draft(object: &ScaledObject, source: Option<&str>) -> Draft {
    let ScaledObject { metadata, spec } = object;
    let scaled = &spec.scale_target_ref;
    let target = TargetRef {
        api_version: scaled.api_version.clone().unwrap_or_else(|| "apps/v1".to_owned()),
        kind: scaled.kind.clone().unwrap_or_else(|| "Deployment".to_owned()),
        name: scaled.name.clone(),
    };
    let name = metadata.name.clone().unwrap_or_default();
    let mut draft = Draft::new("ScaledObject", &name, metadata.namespace.as_deref(), target, source);
    // Schedules and the fallback lie below max, so the bounds come first.
    draft.bounds(
        spec.min_replica_count.unwrap_or(0).max(0),
        spec.max_replica_count.unwrap_or(MAX),
    );
    if let Some(seconds) = spec.polling_interval.filter(|seconds| (1..INTERVAL).contains(seconds)) {
        draft.spec.interval = Some(Duration::new(format!("{seconds}s")));
    }
    paused(&mut draft, metadata);
    let advanced = spec.advanced.clone().unwrap_or_default();
    let config = advanced.horizontal_pod_autoscaler_config.unwrap_or_default();
    behavior::apply(&mut draft, config.behavior.as_ref());
    let modifiers = advanced
        .scaling_modifiers
        .filter(|modifiers| !modifiers.formula.is_empty());
    let became: Vec<Became> = spec
        .triggers
        .iter()
        .enumerate()
        .map(|(index, trigger)| triggers::translate(&mut draft, index, trigger, modifiers.is_some()))
        .collect();
    if let Some(modifiers) = &modifiers {
        formula(&mut draft, modifiers);
    }
    only_schedules(&mut draft, &became);
    zero(&mut draft, spec, &became, modifiers.as_ref());
    if let Some(fallback) = &spec.fallback {
        fallback_of(&mut draft, fallback, spec.polling_interval.unwrap_or(POLLING).max(1));
    }
    if advanced.restore_to_original_replica_count {
        draft.note(
            "",
            "restoreToOriginalReplicaCount has no equivalent: Flyball leaves the replicas as they are when a policy goes",
        );
    }
    draft.finish()
}

/// A pause is kept: nobody should wake up to a workload that moves again.
fn paused(draft: &mut Draft, metadata: &ObjectMeta) {
    let annotations = metadata.annotations.clone().unwrap_or_default();
    let set = |key: &str| annotations.get(key).is_some_and(|value| keda::says_yes(value));
    let replicas = annotations.get(PAUSED_REPLICAS);
    let both = set(PAUSED) || replicas.is_some();
    let down = both || PAUSED_IN.iter().any(|key| set(key));
    let up = both || set(PAUSED_OUT);
    let pause = |reason: &str| {
        Some(PauseFor {
            until: None,
            reason: reason.to_owned(),
        })
    };
    if up || down {
        let reason = "it was paused in KEDA when it was imported";
        draft.spec.pause = Some(Pause {
            up: up.then(|| pause(reason)).flatten(),
            down: down.then(|| pause(reason)).flatten(),
        });
        draft.note(
            "spec.pause",
            "it is paused in KEDA, so it is paused here; go on with flyball unpause",
        );
    }
    if let Some(replicas) = replicas {
        draft.note(
            "spec.pause",
            format!("KEDA holds {replicas} replicas ({PAUSED_REPLICAS}); Flyball holds the number that it finds"),
        );
    }
    if set(FORCE_ACTIVATION) {
        draft.note(
            Draft::lever("zero"),
            format!("{FORCE_ACTIVATION} has no equivalent; keep min at 1 for as long"),
        );
    }
}

fn formula(draft: &mut Draft, modifiers: &Modifiers) {
    let path = Draft::lever("metrics");
    let known: BTreeSet<String> = draft.spec.signals.iter().map(|signal| signal.name.clone()).collect();
    // Both know the same arithmetic; the words for conditions differ.
    let text = modifiers.formula.trim();
    let target = keda::text(&modifiers.target).and_then(|text| text.parse().ok());
    let target = target.filter(|target: &f64| *target > 0.0 && target.is_finite());
    let text_of = |target| triggers::target(modifiers.metric_type.as_deref(), target);
    let read = Formula::parse(text, &known).map_err(|error| error.to_string());
    match (read, target.map(text_of)) {
        (Ok(_), Some(target)) => draft.formula(text, target),
        (Ok(_), None) => draft.note(
            path,
            format!("the target of the formula {text:?} can't be read; add a metric with formula and target"),
        ),
        (Err(error), target) => {
            let target = target.map_or_else(String::new, |target| {
                let (kind, number) = match target {
                    MetricTarget { value: Some(value), .. } => ("value", value),
                    target => ("averageValue", target.average_value.unwrap_or_default()),
                };
                format!(", with target: {{{kind}: {number}}}")
            });
            draft.note(
                path,
                format!(
                    "the formula {text:?} {error}. Write it in CEL over the signals as a metric with formula{target}"
                ),
            );
        }
    }
}

/// Schedules raise what something else asks for; where there is nothing else, nothing asks for
/// anything.
fn only_schedules(draft: &mut Draft, became: &[Became]) {
    let scheduled = became.iter().any(|it| matches!(it, Became::Schedule));
    if !scheduled || became.iter().any(|it| !matches!(it, Became::Schedule)) {
        return;
    }
    let signal = draft.signal("nothing", "vector(0)", false);
    let path = draft.last_signal("expr");
    draft.note(
        path,
        "only schedules drive this workload; this asks for nothing beside them, so that they alone count",
    );
    draft.metric(&signal, triggers::target(None, 1.0));
}

/// Going to zero: KEDA does where no trigger is active.
fn zero(draft: &mut Draft, spec: &Spec, became: &[Became], modifiers: Option<&Modifiers>) {
    if let Some(idle) = spec.idle_replica_count.filter(|_| draft.replicas.min > 0) {
        let text = format!(
            "idleReplicaCount {idle} is not taken over: it would go from {min} to {idle} while nothing is active. Write min: 0 with zero to let it go; it then comes back to 1 first, and not to {min}",
            min = draft.replicas.min
        );
        draft.note(Draft::lever("zero"), text);
    }
    if draft.replicas.min > 0 {
        return;
    }
    let keep = |draft: &mut Draft, why: &str| {
        draft.replicas.min = 1;
        draft.note(Draft::lever("min"), format!("is 0 there and 1 here: {why}"));
    };
    if became.iter().any(|it| matches!(it, Became::Nothing)) {
        keep(
            draft,
            "a trigger that is left out may be active; once each has its signal, write min: 0 with zero",
        );
        return;
    }
    let active: Vec<&Activity> = became
        .iter()
        .filter_map(|it| match it {
            Became::Signal(activity) => Some(activity),
            _ => None,
        })
        .collect();
    let nothing = || {
        draft
            .spec
            .signals
            .iter()
            .find(|signal| signal.expr == "vector(0)")
            .map(|signal| signal.name.clone())
    };
    let (signal, activation) = match (modifiers, active.as_slice()) {
        (Some(modifiers), _) => match of_formula(draft, modifiers, &active) {
            Some(found) => found,
            None => {
                return keep(
                    draft,
                    "whether the workload is active depends on a formula that is no plain PromQL",
                );
            }
        },
        (None, []) => match nothing() {
            Some(signal) => (signal, 0.0),
            None => {
                return keep(
                    draft,
                    "cpu and memory are not there without pods, so nothing could call it back",
                );
            }
        },
        (None, [one]) => (one.signal.clone(), one.activation),
        (None, several) => {
            let each = several
                .iter()
                .map(|it| format!("(sum({}) > bool {})", it.expr, it.activation));
            let expr = each.collect::<Vec<_>>().join(" + ");
            let signal = draft.signal("active", &expr, false);
            let path = draft.last_signal("expr");
            draft.note(
                path,
                "how many triggers are active; where one of them has no data, this has none either",
            );
            (signal, 0.0)
        }
    };
    let cooldown = spec.cooldown_period.unwrap_or(COOLDOWN).max(1);
    draft.replicas.zero = Some(Zero {
        signal,
        activation,
        cooldown: Some(Duration::new(format!("{cooldown}s"))),
    });
}

/// A formula of plain arithmetic is PromQL once its names are queries.
fn of_formula(draft: &mut Draft, modifiers: &Modifiers, active: &[&Activity]) -> Option<(String, f64)> {
    let expr = in_promql(modifiers.formula.trim(), |name| {
        let it = active.iter().find(|it| it.signal == name)?;
        Some(format!("sum({})", it.expr))
    })?;
    crate::promql::query(&expr).ok()?;
    let activation = triggers::activation(draft, keda::text(&modifiers.activation_target).as_deref());
    Some((draft.signal("active", &expr, false), activation))
}

/// The formula with its names replaced, if it is nothing but names, numbers, brackets and `+ - * /`.
fn in_promql(formula: &str, query: impl Fn(&str) -> Option<String>) -> Option<String> {
    let (mut out, mut rest) = (String::new(), formula);
    while let Some(first) = rest.chars().next() {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c| !inner(c)).unwrap_or(rest.len());
            let (name, more) = rest.split_at(end);
            if more.trim_start().starts_with('(') {
                return None;
            }
            out.push_str(&query(name)?);
            rest = more;
        } else if first.is_ascii_digit() || matches!(first, '+' | '-' | '*' | '/' | '(' | ')' | '.' | ' ') {
            out.push(first);
            rest = rest.get(first.len_utf8()..)?;
        } else {
            return None;
        }
    }
    // A power is no multiplication.
    (!formula.contains("**")).then_some(out)
}

fn fallback_of(draft: &mut Draft, written: &Fallback, polling: i32) {
    let path = Draft::lever("fallback");
    let behavior = written.behavior.as_deref().unwrap_or("static");
    if behavior == "currentReplicas" {
        draft.note(path, "is not needed: without data the number stays as it is");
        return;
    }
    if written.replicas < 1 {
        draft.note(
            path,
            format!("{} replicas would take all away; it is left out", written.replicas),
        );
        return;
    }
    match behavior {
        "currentReplicasIfHigher" => {}
        "currentReplicasIfLower" => {
            draft.note(
                path,
                "behavior currentReplicasIfLower takes replicas away while nothing is known; it is left out",
            );
            return;
        }
        _ => draft.note(
            path.clone(),
            "here it only raises: a higher number stays while nothing is known",
        ),
    }
    let replicas = written.replicas.min(draft.replicas.max);
    if replicas != written.replicas {
        draft.note(
            format!("{path}.replicas"),
            format!("{} is above max; it is {replicas} now", written.replicas),
        );
    }
    let after = written.failure_threshold.max(1).saturating_mul(polling);
    draft.note(
        format!("{path}.after"),
        format!(
            "{} failures, {polling}s apart; KEDA counts failures, Flyball counts time",
            written.failure_threshold
        ),
    );
    draft.replicas.fallback = Some(OurFallback {
        after: Duration::new(format!("{after}s")),
        replicas,
    });
}
