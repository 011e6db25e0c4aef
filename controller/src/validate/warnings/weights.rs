//! What is rarely meant where weights are moved.

use super::{expression, shape, warn};
use crate::{
    observe::routes::{Form, Row},
    promql::shorten,
    validate::FieldError,
};
use flyball_core::policy::{Backend, Policy, Verification, WeightLaw, WeightsAction};
use flyball_crds::{FeedbackPolicySpec, WeightsLever};

/// With smaller sums one unit of a weight is more than the percent with which a backend comes back.
const LEAST_SUM: u64 = 100;

/// `path` is that of the action, and `lever` what was written of `action`.
pub(super) fn of(
    path: &str,
    spec: &FeedbackPolicySpec,
    lever: &WeightsLever,
    action: &WeightsAction,
    policy: &Policy,
    found: &mut Vec<FieldError>,
) {
    let weights = format!("{path}.weights");
    base(&weights, action, found);
    traffic(&weights, lever, policy, found);
    if let WeightLaw::Step(law) = &action.law {
        labels(path, spec, &law.label, action, policy, found);
    }
    ejection(&weights, lever, action, found);
    limits(&weights, lever, action, found);
    verification(path, action, policy, found);
}

/// What is only to be known: what was never tried with real traffic.
pub(super) fn notes(path: &str, action: &WeightsAction, found: &mut Vec<FieldError>) {
    for (index, list) in action.routes.iter().enumerate() {
        let Some(row) = Row::of(&list.api_version, &list.kind).filter(|row| !row.data_plane) else {
            continue;
        };
        let place = match index {
            0 => "spec.targetRef.kind".to_owned(),
            _ => format!("{path}.weights.also[{}].kind", index - 1),
        };
        warn(
            &place,
            format!(
                "weights of {} {} were held against the kind's definition, not yet against real traffic; watch it in mode Recommend, and its first Changes",
                row.group, row.kind
            ),
            found,
        );
    }
}

/// Whether the base can be divided finely enough, and be known again.
fn base(path: &str, action: &WeightsAction, found: &mut Vec<FieldError>) {
    let total = action.base().total();
    let fixed = action.routes.iter().find_map(|list| {
        let row = Row::of(&list.api_version, &list.kind)?;
        match &row.form {
            Form::List(form) => form.sum.map(|sum| (row.kind, u64::from(sum))),
            Form::CanaryAnnotations => None,
        }
    });
    match fixed {
        Some((kind, sum)) if total != sum => warn(
            &format!("{path}.backends"),
            format!(
                "add up to {total}, and the weights of a {kind} to {sum}: beside backends that are not managed that is fine, else a reset to the base is never known as one; write parts of {sum}"
            ),
            found,
        ),
        None if total < LEAST_SUM => {
            let larger: Vec<String> = action.backends.iter().map(|backend| larger(backend, total)).collect();
            warn(
                &format!("{path}.backends"),
                format!(
                    "add up to {total}: beside backends that are not managed this sum stays, so one step is {} % of the traffic, more than the floor and the first part of a return; write here and in the route for example {}",
                    number(100, total),
                    larger.join(", ")
                ),
                found,
            );
        }
        _ => {}
    }
    if matches!(action.law, WeightLaw::Capacity(_) | WeightLaw::Aimd(_)) {
        for (index, backend) in action.backends.iter().enumerate() {
            if backend.base.get() == 0 {
                let floor = number(u64::from(percent(action.limits.floor.get())), 1);
                warn(
                    &format!("{path}.backends[{index}].weight"),
                    format!(
                        "is 0, and this law gives each backend at least floorPercent, which is {floor}; write a weight, or take the backend out of the list"
                    ),
                    found,
                );
            }
        }
    }
}

/// The same weights, large enough.
fn larger(backend: &Backend, total: u64) -> String {
    let factor = 1000_u64.div_ceil(total.max(1));
    format!("{} {}", shorten(&backend.name), u64::from(backend.base.get()) * factor)
}

/// A quotient for people: whole, or with one digit behind the point.
fn number(of: u64, by: u64) -> String {
    let tenths = of * 10 / by.max(1);
    if tenths.is_multiple_of(10) {
        (tenths / 10).to_string()
    } else {
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A part from 0 to 1.
fn percent(part: f64) -> u32 {
    (part * 100.0).round() as u32
}

/// Queries of one's own.
fn traffic(path: &str, lever: &WeightsLever, policy: &Policy, found: &mut Vec<FieldError>) {
    let own = [
        ("requests", &lever.traffic.requests, true),
        ("errors", &lever.traffic.errors, true),
        ("unserved", &lever.traffic.unserved, false),
    ];
    for (field, text, by_backend) in own {
        let Some(shape) = text.as_deref().and_then(shape) else {
            continue;
        };
        let path = format!("{path}.traffic.{field}");
        expression(&path, &shape, policy, found);
        if by_backend && !shape.kept.has("backend") {
            warn(
                &path,
                "drops the label backend, by which its numbers are told apart; write for example sum by (backend) (...)",
                found,
            );
        }
    }
}

/// Whether an alert can name a backend at all.
fn labels(
    path: &str,
    spec: &FeedbackPolicySpec,
    label: &str,
    action: &WeightsAction,
    policy: &Policy,
    found: &mut Vec<FieldError>,
) {
    for (index, name) in action.when.iter().enumerate() {
        let Some(rule) = policy.rules.get(name) else { continue };
        let drops = shape(&rule.condition.query().text).is_some_and(|shape| !shape.kept.has(label));
        if !drops || rule.labels.contains_key(label) {
            continue;
        }
        let own = spec.rules.iter().position(|written| written.alert == *name);
        let place = own.map_or_else(
            || format!("{path}.when[{index}]"),
            |rule| format!("spec.rules[{rule}].expr"),
        );
        warn(
            &place,
            format!(
                "drops the label {}, by which an alert of {} names the backend, so nothing ever moves; keep it with by ({label}), or name another in step.label",
                shorten(label),
                shorten(name)
            ),
            found,
        );
    }
}

fn ejection(path: &str, lever: &WeightsLever, action: &WeightsAction, found: &mut Vec<FieldError>) {
    let at_once = |path: &str, found: &mut Vec<FieldError>| {
        let message = "is zero, so a backend that comes back gets its whole share at once; write for example 5m";
        warn(path, message, found);
    };
    if let WeightLaw::Failover(law) = &action.law {
        if law.return_over.is_zero() {
            at_once(&format!("{path}.failover.returnOver"), found);
        }
        if lever.ejection.as_ref().is_some_and(|ejection| !ejection.disabled) {
            let message =
                "is not used by failover, which leaves a backend by its own thresholds; set those, and remove this";
            warn(&format!("{path}.ejection"), message, found);
        }
        return;
    }
    let Some(ejection) = &action.ejection else { return };
    if ejection.return_over.is_zero() {
        at_once(&format!("{path}.ejection.returnOver"), found);
    }
    let (panic, backends) = (
        u64::from(percent(ejection.panic_above.get())),
        action.backends.len() as u64,
    );
    // One that looks bad is more than the threshold already.
    if 100 > panic * backends {
        let least = 100_u64.div_ceil(backends.max(1));
        warn(
            &format!("{path}.ejection.panicAbovePercent"),
            format!(
                "{panic} is less than one of {backends} backends, so none is ever taken out; write at least {least}, or ejection.disabled: true"
            ),
            found,
        );
    }
}

/// Limits that the law does not look at.
fn limits(path: &str, lever: &WeightsLever, action: &WeightsAction, found: &mut Vec<FieldError>) {
    let Some(limits) = &lever.limits else { return };
    let law = match &action.law {
        WeightLaw::Capacity(_) | WeightLaw::Aimd(_) => return,
        WeightLaw::Step(_) => "step",
        WeightLaw::Failover(_) => "failover",
    };
    let written = [
        ("floorPercent", limits.floor_percent),
        ("stepPercent", limits.step_percent),
        ("deadBandPercent", limits.dead_band_percent),
    ];
    for (field, _) in written.into_iter().filter(|(_, value)| value.is_some()) {
        warn(
            &format!("{path}.limits.{field}"),
            format!("is used by capacity and aimd only, not by {law}; remove it"),
            found,
        );
    }
}

fn verification(path: &str, action: &WeightsAction, policy: &Policy, found: &mut Vec<FieldError>) {
    let Some(verification) = &action.verification else {
        warn(
            &format!("{path}.verify"),
            "is missing, so the effect of a change can't be judged; add it before setting mode to Enforce",
            found,
        );
        return;
    };
    let Verification { settle, within, .. } = verification;
    let least = (*settle + policy.interval + policy.interval).max(action.share.within);
    if *within < *settle + policy.interval + policy.interval {
        warn(
            &format!("{path}.verify.within"),
            format!("leaves fewer than two evaluations after settle; write at least {least}"),
            found,
        );
    } else if *within < action.share.within {
        warn(
            &format!("{path}.verify.within"),
            format!(
                "{within} is over before the traffic is judged at the latest, which is after {} (share.within); write at least {least}",
                action.share.within
            ),
            found,
        );
    }
}
