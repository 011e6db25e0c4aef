//! An action, and what stands beside its lever.

use super::{
    Errors, answers,
    names::{Names, is_label},
    replicas::{self, Beside},
    runtime, verification,
    veto::{self, Asked},
    weights,
};
use crate::promql::shorten;
use flyball_core::{
    policy::{Answer, ReplicasAction, RuntimeAction, Signal, WeightsAction},
    time::Span,
};
use flyball_crds::{Action, TargetRef};
use std::collections::BTreeMap;

/// An action with its lever, or an answer.
pub(super) enum Lever {
    Replicas(Box<ReplicasAction>),
    Weights(Box<WeightsAction>),
    Runtime(Box<RuntimeAction>),
    Answer(Box<Answer>),
}

pub(super) fn read(
    path: &str,
    written: &Action,
    target: &TargetRef,
    (names, signals): (&Names, &BTreeMap<String, Signal>),
    max_age: Option<Span>,
    asked: &mut Asked,
    errors: &mut Errors,
) -> Option<Lever> {
    if !is_label(&written.name) {
        errors.add(
            format!("{path}.name"),
            format!("{} is not a name of lower-case letters, digits and dashes, at most 63; write for example more-replicas", shorten(&written.name)),
        );
    }
    when(&format!("{path}.when"), &written.when, names, errors);
    let verification = match &written.verify {
        Some(verify) => verification::read(&format!("{path}.verify"), verify, names, max_age, errors).map(Some),
        None => Some(None),
    };
    let vetoes = veto::read(path, written, max_age, asked, errors);
    let moves_replicas = written.replicas.is_some();
    if !moves_replicas && (written.weights.is_some() || written.runtime.is_some()) {
        no_vetoes(path, written, errors);
    }
    let levers = moves_replicas || written.weights.is_some() || written.runtime.is_some();
    if answers::is_answer(written) && !levers {
        return answers::read(path, written, errors).map(|answer| Lever::Answer(Box::new(answer)));
    }
    match (&written.replicas, &written.weights, &written.runtime) {
        _ if answers::is_answer(written) => {
            errors.add(path, "has a lever and an answer; make an action of each");
            None
        }
        (Some(lever), None, None) => {
            let beside = verification
                .zip(vetoes)
                .map(|(verification, (inhibit, hold_down_while))| Beside {
                    verification,
                    inhibit,
                    hold_down_while,
                });
            let path = format!("{path}.replicas");
            replicas::read(&path, written, lever, beside, names, errors).map(|action| Lever::Replicas(Box::new(action)))
        }
        (None, Some(lever), None) => {
            let around = weights::Around {
                target,
                names,
                signals,
                max_age,
                verification: verification.ok_or(()),
            };
            let path = format!("{path}.weights");
            weights::read(&path, written, lever, around, errors).map(|action| Lever::Weights(Box::new(action)))
        }
        (None, None, Some(lever)) => {
            let path = format!("{path}.runtime");
            let read = runtime::read(&path, written, lever, max_age, verification.ok_or(()), errors);
            read.map(|action| Lever::Runtime(Box::new(action)))
        }
        (None, None, None) => {
            errors.add(
                format!("{path}.replicas"),
                "is missing; an action takes exactly one lever (replicas, weights or runtime) or one answer (notify, annotate or capture)",
            );
            None
        }
        _ => {
            errors.add(
                path,
                "has several levers; an action takes exactly one of replicas, weights and runtime, make a policy of each",
            );
            None
        }
    }
}

/// Only replicas have a direction that could be forbidden.
fn no_vetoes(path: &str, written: &Action, errors: &mut Errors) {
    for (field, vetoes) in [
        ("inhibit", &written.inhibit),
        ("holdDownWhile", &written.hold_down_while),
    ] {
        if !vetoes.is_empty() {
            errors.add(
                format!("{path}.{field}"),
                "goes with replicas; other levers have no up and down, remove it",
            );
        }
    }
}

/// Checks references to rules.
pub(super) fn when(path: &str, when: &[String], names: &Names, errors: &mut Errors) {
    errors.at_most(path, when.len(), 32);
    for (index, name) in when.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if when[..index].contains(name) {
            errors.add(path, format!("{} is listed twice; remove one", shorten(name)));
        } else {
            names.rule(&path, name, errors);
        }
    }
}
