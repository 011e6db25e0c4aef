//! Conditions that forbid changes of one direction.

use super::{Errors, names};
use crate::promql::{self, shorten};
use flyball_core::{
    policy::{Query, Veto},
    time::Span,
};
use flyball_crds as crds;
use std::collections::BTreeMap;

/// The conditions of all actions so far. Their readings are kept by name, so one name is one question.
#[derive(Default)]
pub(super) struct Asked {
    /// What each name asks, and where that was first written.
    by_name: BTreeMap<String, (Query, Span, String)>,
}

/// The two lists of an action, those that forbid increases and those that forbid decreases.
pub(super) fn read(
    path: &str,
    action: &crds::Action,
    max_age: Option<Span>,
    asked: &mut Asked,
    errors: &mut Errors,
) -> Option<(Vec<Veto>, Vec<Veto>)> {
    let lists = [("inhibit", &action.inhibit), ("holdDownWhile", &action.hold_down_while)];
    let places: Vec<(String, &crds::Veto)> = lists
        .iter()
        .flat_map(|(field, list)| {
            let numbered = list.iter().enumerate();
            numbered.map(move |(index, veto)| (format!("{path}.{field}[{index}]"), veto))
        })
        .collect();
    for (field, list) in lists {
        errors.at_most(&format!("{path}.{field}"), list.len(), 8);
    }
    let all_names = places.iter().map(|(_, veto)| veto.name.as_str());
    let name = |index| {
        places
            .get(index)
            .map(|(path, _)| format!("{path}.name"))
            .unwrap_or_default()
    };
    names::unique(name, "conditions", all_names, errors);
    let read: Vec<Option<Veto>> = places
        .iter()
        .map(|(place, veto)| one(path, place, veto, max_age, asked, errors))
        .collect();
    let mut inhibit = read.into_iter().collect::<Option<Vec<_>>>()?;
    let hold_down_while = inhibit.split_off(action.inhibit.len().min(inhibit.len()));
    Some((inhibit, hold_down_while))
}

fn one(
    action: &str,
    path: &str,
    written: &crds::Veto,
    max_age: Option<Span>,
    asked: &mut Asked,
    errors: &mut Errors,
) -> Option<Veto> {
    names::plain(format!("{path}.name"), &written.name, "database-saturated", errors);
    let condition = errors.expression(format!("{path}.expr"), promql::comparison(&written.expr));
    let max_age = match &written.max_age {
        Some(own) => errors.positive(&format!("{path}.maxAge"), Some(own), Span::ZERO),
        None => max_age,
    };
    let veto = Veto {
        name: written.name.clone(),
        condition: condition?,
        max_age: max_age?,
    };
    let (query, age, place) = asked
        .by_name
        .entry(veto.name.clone())
        .or_insert_with(|| (veto.condition.left.clone(), veto.max_age, path.to_owned()));
    // Two of one action were found before.
    let elsewhere = !place.starts_with(&format!("{action}."));
    if elsewhere && (&veto.condition.left, veto.max_age) != (&*query, *age) {
        let name = shorten(&veto.name);
        errors.add(
            format!("{path}.name"),
            format!("{name} asks for something else in {place}; rename one of them"),
        );
        return None;
    }
    Some(veto)
}
