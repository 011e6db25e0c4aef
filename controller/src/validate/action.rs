//! An action, and what stands beside its lever.

use super::{
    Errors,
    names::{Names, is_label},
    replicas::{self, Beside},
    verification,
    veto::{self, Asked},
    weights,
};
use crate::promql::shorten;
use flyball_core::{
    policy::{ReplicasAction, Signal, WeightsAction},
    time::Span,
};
use flyball_crds::{Action, TargetRef};
use std::collections::BTreeMap;

/// An action with its lever.
pub(super) enum Lever {
    Replicas(Box<ReplicasAction>),
    Weights(Box<WeightsAction>),
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
    match (&written.replicas, &written.weights) {
        (Some(lever), None) => {
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
        (None, Some(lever)) => {
            for (field, vetoes) in [
                ("inhibit", &written.inhibit),
                ("holdDownWhile", &written.hold_down_while),
            ] {
                if !vetoes.is_empty() {
                    errors.add(
                        format!("{path}.{field}"),
                        "goes with replicas; weights go up and down at once, remove it",
                    );
                }
            }
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
        (None, None) => {
            errors.add(
                format!("{path}.replicas"),
                "is missing; an action takes exactly one lever, replicas or weights",
            );
            None
        }
        (Some(_), Some(_)) => {
            errors.add(
                format!("{path}.weights"),
                "and replicas can't both be given; an action takes exactly one lever, make a policy of each",
            );
            None
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
