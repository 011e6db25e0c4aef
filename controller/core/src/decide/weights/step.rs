//! A firing rule moves weight away from the backend that its alert names, and back after a quiet.

use super::{Held, Pass, Pin, Standing, WeightHistory, Wish};
use crate::{
    decide::replicas::{evidence, not_quiet, state},
    evaluate::{Alert, RuleState},
    policy::{Condition, WeightStep},
    signal::Quality,
};
use std::collections::BTreeSet;

/// What the firing alerts name.
#[derive(Default)]
struct Named {
    /// Backends that are not out.
    backends: BTreeSet<usize>,
    /// Whether one names a backend that is out.
    out: bool,
    /// What is said of alerts that name none.
    strangers: BTreeSet<String>,
    /// The rules.
    rules: BTreeSet<String>,
}

/// What the law wants of those that are not out.
pub(super) fn wish(
    pass: &Pass<'_>,
    law: &WeightStep,
    standings: &[Standing],
    history: &mut WeightHistory,
) -> Result<Wish, Held> {
    // An alert of a query that was not answered, or on data that is not fresh, moves nothing, and neither does
    // its silence.
    let unanswered: Vec<String> = pass
        .action
        .when
        .iter()
        .filter_map(|name| unanswered(pass, name))
        .collect();
    let named = named(pass, law, standings);
    for index in &named.backends {
        let memory = history.backends.entry(pass.name(*index).to_owned()).or_default();
        memory.named_at = Some(pass.now);
    }
    if !named.backends.is_empty() {
        return moved(pass, law, standings, &named, unanswered.is_empty(), history);
    }
    if let Some(why) = unanswered.first() {
        return Err(Held::from(format!("{why}; nothing is moved")));
    }
    let why = if let Some(stranger) = named.strangers.first() {
        Some(format!("{stranger}; nothing is moved"))
    } else if named.out {
        Some("the alerts name only backends that are out".to_owned())
    } else {
        not_quiet(
            &pass.action.when,
            law.after,
            pass.inputs,
            history.observed_since,
            pass.now,
        )
    };
    match why {
        None => {
            for memory in history.backends.values_mut() {
                memory.named_at = None;
            }
            let shares = pass.base_shares(|index| is_in(standings, index));
            let quiet = format!("{} quiet for {}: back to base", pass.action.when.join(", "), law.after);
            Ok(by(shares, quiet, Vec::new()))
        }
        // What comes back from an ejection needs no quiet.
        Some(why)
            if standings
                .iter()
                .any(|s| matches!(s, Standing::Due | Standing::Returning(_))) =>
        {
            Ok(by(kept(pass, standings), why, Vec::new()))
        }
        Some(why) => Err(Held::from(why)),
    }
}

fn by(shares: Vec<f64>, reason: String, arithmetic: Vec<String>) -> Wish {
    Wish {
        goals: shares.clone(),
        pins: vec![Pin::Free; shares.len()],
        shares,
        limited: false,
        capped: false,
        reason,
        arithmetic,
        alerts: Vec::new(),
    }
}

fn is_in(standings: &[Standing], index: usize) -> bool {
    standings.get(index).is_some_and(|standing| standing.is_in())
}

/// Those in service among each other as they are; those that come back with their share of the base.
pub(super) fn kept(pass: &Pass<'_>, standings: &[Standing]) -> Vec<f64> {
    let is_serving = |index: usize| standings.get(index).is_some_and(|standing| standing.is_serving());
    let base = pass.base_shares(|index| is_in(standings, index));
    let sum = |of: &dyn Fn(usize) -> f64| (0..pass.count()).filter(|i| is_serving(*i)).map(of).sum::<f64>();
    let (room, have) = (sum(&|index| base[index]), sum(&|index| pass.share(index)));
    let of = |index: usize| {
        if is_serving(index) && have > 0.0 {
            pass.share(index) * room / have
        } else {
            base[index]
        }
    };
    (0..pass.count()).map(of).collect()
}

/// Why the alerts of a rule, or their absence, say nothing now.
fn unanswered(pass: &Pass<'_>, name: &str) -> Option<String> {
    let Some(state) = state(pass.inputs, name) else {
        return Some(format!("{name} was not evaluated"));
    };
    if let Some(error) = &state.error {
        return Some(error.to_string());
    }
    let Some(reading) = pass.inputs.readings.get(name) else {
        return Some(format!("{name} was not read"));
    };
    let is_opaque = matches!(
        pass.inputs.definitions.get(name).map(|rule| &rule.condition),
        Some(Condition::Opaque(_))
    );
    match reading.quality() {
        // A NaN is that of one series, and an alert has its own.
        Quality::Fresh | Quality::NotFinite => None,
        // An expression without a number at its top answers nothing while all is well.
        Quality::Missing if is_opaque && !state.is_firing() => None,
        quality => Some(format!("{name} has no fresh data: {quality} ({})", reading.detail())),
    }
}

/// What the alerts name that fire on fresh data.
fn named(pass: &Pass<'_>, law: &WeightStep, standings: &[Standing]) -> Named {
    let mut named = Named::default();
    let answered = pass.action.when.iter().filter(|name| unanswered(pass, name).is_none());
    for (rule, state) in answered.filter_map(|name| state(pass.inputs, name).map(|state| (name, state))) {
        for alert in RuleState::firing(state).filter(|alert| alert.value.is_finite()) {
            let Some(value) = alert.labels.get(&law.label) else {
                named
                    .strangers
                    .insert(format!("an alert of {rule} has no label {}", law.label));
                continue;
            };
            let Some(index) = pass.names().position(|name| name == value) else {
                named.strangers.insert(format!(
                    "an alert of {rule} names {value:?} in its label {}, which the action does not manage",
                    law.label
                ));
                continue;
            };
            if is_in(standings, index) {
                named.backends.insert(index);
                named.rules.insert(rule.clone());
            } else {
                named.out = true;
            }
        }
    }
    named
}

/// The base, with the points moved away from those that are named. One that was named lately stays so until it
/// has not been for `after`, or what another alert does would bring it back early.
fn moved(
    pass: &Pass<'_>,
    law: &WeightStep,
    standings: &[Standing],
    now_named: &Named,
    answered: bool,
    history: &WeightHistory,
) -> Result<Wish, Held> {
    let lately = |index: usize| {
        let named_at = history
            .backends
            .get(pass.name(index))
            .and_then(|memory| memory.named_at);
        named_at.is_some_and(|named_at| !answered || pass.now.since(named_at) < law.after)
    };
    let members: Vec<usize> = (0..pass.count()).filter(|index| is_in(standings, *index)).collect();
    let is_named = |index: usize| now_named.backends.contains(&index) || lately(index);
    let rules = now_named.rules.iter().cloned().collect::<Vec<_>>();
    let rules = rules.join(", ");
    let names: Vec<&str> = members
        .iter()
        .filter(|i| is_named(**i))
        .map(|i| pass.name(*i))
        .collect();
    if names.len() == members.len() {
        return Err(Held::from(format!(
            "{rules} fires for every backend in service: there is nowhere to move to"
        )));
    }
    let base = pass.base_shares(|index| is_in(standings, index));
    let rest = pass.base_shares(|index| is_in(standings, index) && !is_named(index));
    let points = f64::from(law.points) / 100.0;
    let taken = |index: usize| {
        if members.contains(&index) && is_named(index) {
            points.min(base[index])
        } else {
            0.0
        }
    };
    let all: f64 = members.iter().map(|index| taken(*index)).sum();
    let mut arithmetic: Vec<String> = members
        .iter()
        .map(|index| {
            let (name, base, rest) = (pass.name(*index), base[*index], rest[*index]);
            if is_named(*index) {
                let lately = if now_named.backends.contains(index) {
                    ""
                } else {
                    ", named lately"
                };
                format!(
                    "{name}: {base:.3} - {:.3} = {:.3}{lately}",
                    taken(*index),
                    base - taken(*index)
                )
            } else {
                format!("{name}: {base:.3} + {rest:.3} * {all:.3} = {:.3}", base + rest * all)
            }
        })
        .collect();
    arithmetic.extend(now_named.strangers.iter().cloned());
    let shares = (0..pass.count()).map(|index| base[index] - taken(index) + rest[index] * all);
    let reason = format!("{rules} fires for {}", names.join(", "));
    Ok(Wish {
        alerts: alerts(pass, now_named),
        ..by(shares.collect(), reason, arithmetic)
    })
}

fn alerts(pass: &Pass<'_>, named: &Named) -> Vec<Alert> {
    let rules: Vec<&String> = named.rules.iter().collect();
    evidence(&rules, pass.inputs)
}
