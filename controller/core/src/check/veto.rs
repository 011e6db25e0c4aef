//! Conditions that forbid changes of one direction while they hold.

use super::Finding;
use crate::{
    decide::{Direction, Inputs},
    decimal::plain,
    policy::{Comparison, ReplicasAction, Veto},
};

/// What is known of a veto.
enum Held {
    Yes(String),
    No,
    Unknown(String),
}

/// An increase takes nothing away, so only what is known to hold forbids it, and what is not known is
/// said. A decrease is forbidden by what holds and by what is not known (law 9).
pub(super) fn veto(direction: Direction, action: &ReplicasAction, inputs: &Inputs<'_>) -> Finding {
    let (field, vetoes) = match direction {
        Direction::Up => ("inhibit", &action.inhibit),
        Direction::Down => ("holdDownWhile", &action.hold_down_while),
    };
    let (mut holding, mut unknown) = (Vec::new(), Vec::new());
    for veto in vetoes {
        match held(veto, inputs) {
            Held::Yes(what) => holding.push(format!("{field} {} holds: {what}", veto.name)),
            Held::Unknown(why) => unknown.push(format!("{field} {} is not known: {why}", veto.name)),
            Held::No => {}
        }
    }
    if direction == Direction::Down {
        holding.append(&mut unknown);
    }
    if !holding.is_empty() {
        return Finding::Refuse(format!(
            "{}; wait until it is over, or take it out of {field}",
            holding.join("; ")
        ));
    }
    Finding::Pass(match (vetoes.len(), unknown.is_empty()) {
        (0, _) => format!("{field} is empty"),
        (_, true) => format!("nothing in {field} holds"),
        (_, false) => format!("{}, which forbids no increase", unknown.join("; ")),
    })
}

/// Any one series for which it holds is enough.
fn held(veto: &Veto, inputs: &Inputs<'_>) -> Held {
    let Comparison {
        left,
        comparator,
        right,
    } = &veto.condition;
    let Some(reading) = inputs.vetoes.get(&veto.name) else {
        return Held::Unknown("it was not read".to_owned());
    };
    if !reading.is_fresh() {
        return Held::Unknown(format!("{} ({})", reading.quality(), reading.detail()));
    }
    let found = reading
        .samples()
        .iter()
        .find(|sample| comparator.holds(sample.value, right.get()));
    found.map_or(Held::No, |sample| {
        let (is, right) = (plain(sample.value), plain(right.get()));
        Held::Yes(format!("{} is {is}, {comparator} {right}", left.text))
    })
}
