//! An action, and what stands beside its lever.

use super::{
    Errors,
    names::{Names, is_label},
    replicas::{self, Beside},
    verification,
    veto::{self, Asked},
};
use crate::promql::shorten;
use flyball_core::{policy::ReplicasAction, time::Span};
use flyball_crds::Action;

pub(super) fn read(
    path: &str,
    written: &Action,
    names: &Names,
    max_age: Option<Span>,
    asked: &mut Asked,
    errors: &mut Errors,
) -> Option<ReplicasAction> {
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
    let beside = verification
        .zip(vetoes)
        .map(|(verification, (inhibit, hold_down_while))| Beside {
            verification,
            inhibit,
            hold_down_while,
        });
    let path = format!("{path}.replicas");
    let Some(lever) = &written.replicas else {
        errors.add(
            path,
            "is missing; an action takes exactly one lever, today that is replicas",
        );
        return None;
    };
    replicas::read(&path, written, lever, beside, names, errors)
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
