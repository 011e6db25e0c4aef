//! The two laws: from rules and signals to a number of replicas.

use super::{EVIDENCE_CAP, Facts, Inputs, NoNumber, Wish, metrics};
use crate::{
    evaluate::{Alert, RuleState},
    policy::{Comparator, Condition, Law, Replicas, ReplicasAction, Step},
    time::{Span, Timestamp},
};

/// What the action's law asks for. `Err` says why it can't say.
pub(super) fn wish(
    action: &ReplicasAction,
    inputs: &Inputs<'_>,
    facts: &Facts,
    now: Timestamp,
) -> Result<Wish, NoNumber> {
    match &action.law {
        Law::Step(step) => Ok(step_wish(action, step, inputs, facts, now)),
        Law::Metrics(law) => metrics::wish(action, law, inputs, facts, now),
    }
}

/// A firing rule adds, a long quiet takes away. A rule that fires only because its query failed since
/// does neither: its alerts are those of the last answer, and steps on the strength of that alone
/// would go on to the maximum for as long as the outage lasts.
fn step_wish(action: &ReplicasAction, step: &Step, inputs: &Inputs<'_>, facts: &Facts, now: Timestamp) -> Wish {
    let current = facts.current;
    let stay = |reason: String| Wish {
        desired: current,
        reason,
        arithmetic: Vec::new(),
        alerts: Vec::new(),
        may_decrease: true,
        measured: true,
    };
    let firing: Vec<&String> = action
        .when
        .iter()
        .filter(|name| state(inputs, name).is_some_and(RuleState::is_firing))
        .collect();
    let (unanswered, answered): (Vec<&String>, Vec<&String>) = firing
        .into_iter()
        .partition(|name| state(inputs, name).is_some_and(|state| state.error.is_some()));
    if !answered.is_empty() {
        let added = step.up.added_to(current);
        let desired = Replicas::nearest(i64::from(current.get()) + added);
        return Wish {
            desired,
            reason: format!("{} fires", join(&answered)),
            arithmetic: vec![format!("{current} + {} = {current} + {added} = {desired}", step.up)],
            alerts: evidence(&answered, inputs),
            may_decrease: true,
            measured: true,
        };
    }
    if !unanswered.is_empty() {
        return stay(format!(
            "{} fired when its query was last answered; no step until it is again",
            join(&unanswered)
        ));
    }
    let Some(down) = &step.down else {
        return stay("no rule fires".to_owned());
    };
    if let Some(reason) = not_quiet(&action.when, down.after, inputs, facts.history.observing_since, now) {
        return stay(reason);
    }
    let wanting: Vec<&String> = down
        .when
        .iter()
        .filter(|name| state(inputs, name).is_some_and(|s| s.is_firing() && s.error.is_none()))
        .collect();
    if wanting.is_empty() && !down.when.is_empty() {
        return stay(format!(
            "quiet for {}, but of down.when none fires: {}",
            down.after,
            down.when.join(", ")
        ));
    }
    let taken = down.by.taken_from(current);
    let desired = Replicas::nearest(i64::from(current.get()) - taken);
    let quiet = format!("{} quiet for {}", action.when.join(", "), down.after);
    Wish {
        desired,
        reason: if wanting.is_empty() {
            quiet
        } else {
            format!("{quiet}, and {} fires", join(&wanting))
        },
        arithmetic: vec![format!("{current} - {} = {current} - {taken} = {desired}", down.by)],
        alerts: evidence(&wanting, inputs),
        may_decrease: true,
        measured: true,
    }
}

/// Why the rules are not known to have been quiet for long enough.
pub(super) fn not_quiet(
    when: &[String],
    after: Span,
    inputs: &Inputs<'_>,
    observing_since: Timestamp,
    now: Timestamp,
) -> Option<String> {
    if when.is_empty() {
        return Some("when names no rule, so quiet can't be known".to_owned());
    }
    for name in when {
        let Some(since) = state(inputs, name).and_then(|state| state.quiet_since) else {
            return Some(format!("{name} {}", why_not_quiet(inputs, name)));
        };
        let quiet = now.since(since);
        if quiet < after {
            return Some(format!("{name} is quiet for {quiet} of {after}"));
        }
    }
    let observed = now.since(observing_since);
    (observed < after).then(|| format!("quiet, but observed only for {observed} of {after}"))
}

/// Why it is not known that nothing is wrong.
fn why_not_quiet(inputs: &Inputs<'_>, name: &str) -> String {
    let Some(state) = state(inputs, name) else {
        return "was not evaluated".to_owned();
    };
    if let Some(error) = &state.error {
        return format!("was not evaluated: {error}");
    }
    if state.is_pending() {
        return "is pending".to_owned();
    }
    if matches!(
        inputs.definitions.get(name).map(|rule| &rule.condition),
        Some(Condition::Opaque(_))
    ) {
        return "compares with no number at its top, so its silence proves nothing".to_owned();
    }
    match inputs.readings.get(name) {
        Some(reading) if !reading.is_fresh() => {
            format!("has no fresh data: {} ({})", reading.quality(), reading.detail())
        }
        _ => "is not known to be quiet".to_owned(),
    }
}

pub(super) fn state<'a>(inputs: &Inputs<'a>, name: &str) -> Option<&'a RuleState> {
    inputs.rules.get(name)
}

fn join(names: &[&String]) -> String {
    names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The worst firing alerts. Values of different rules can't be compared, so each gives its worst in
/// turn.
pub(super) fn evidence(names: &[&String], inputs: &Inputs<'_>) -> Vec<Alert> {
    let worst = |name: &&String| {
        let comparator = match inputs.definitions.get(*name).map(|rule| &rule.condition) {
            Some(Condition::Threshold(comparison)) => comparison.comparator,
            _ => Comparator::Greater,
        };
        let state = state(inputs, name)?;
        let firing = state.firing().count();
        Some(state.worst(firing.min(EVIDENCE_CAP), comparator))
    };
    let lists: Vec<Vec<&Alert>> = names.iter().filter_map(worst).collect();
    let in_turn = (0..EVIDENCE_CAP).flat_map(|nth| lists.iter().filter_map(move |list| list.get(nth)));
    in_turn.take(EVIDENCE_CAP).map(|alert| (*alert).clone()).collect()
}
