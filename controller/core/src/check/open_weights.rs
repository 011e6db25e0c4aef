//! At most one open Change for one list of weights (law 3), and what takes its place.

use super::{
    OpenWeights, Supersedable,
    weights::{more, rates},
};
use crate::{
    decide::{LEAST_FAILED, Move, RouteFacts, WeightProposal},
    policy::{Weights, WeightsAction},
};

/// The finding, and the Change that is superseded.
///
/// An ejection supersedes what is being verified. So does a move of the law, once the traffic follows the weights, that
/// takes more of the same backend, or that takes most from one whose requests fail: the law says that what was
/// done does not suffice, on data from after its write (the hold is checked beside this), and requests are lost
/// until a deadline says so too. Everything else waits.
pub(super) fn supersede(
    proposal: &WeightProposal,
    new: &Weights,
    open: &OpenWeights,
    action: &WeightsAction,
    facts: &RouteFacts,
) -> (Result<String, String>, Option<String>) {
    let why = proposal.why;
    match open {
        OpenWeights::None => (Ok("no Change is open".to_owned()), None),
        OpenWeights::Ours {
            name,
            to,
            supersedable: Supersedable::AtOnce | Supersedable::Further,
            ..
        } if why == Move::Ejection => (
            Ok(format!("supersedes Change {name}, which went to {to}")),
            Some(name.clone()),
        ),
        OpenWeights::Ours {
            name,
            from,
            to,
            supersedable: Supersedable::Further,
        } if why == Move::Law && goes_further(from, to, new) => (
            Ok(format!("goes further than Change {name} to {to}, and supersedes it")),
            Some(name.clone()),
        ),
        OpenWeights::Ours {
            name,
            to,
            supersedable: Supersedable::Further,
            ..
        } if matches!(why, Move::Law | Move::Return) && relieves(to, new, action, facts) => (
            Ok(format!(
                "takes from a backend whose requests fail, and supersedes Change {name} to {to}"
            )),
            Some(name.clone()),
        ),
        OpenWeights::Ours { name, to, .. } => (
            Err(format!("Change {name} to {to} is open; wait until it is closed")),
            None,
        ),
        OpenWeights::Others(who) => (
            Err(format!(
                "{who} is open for the same route; wait until it is closed, and let only one policy move it"
            )),
            None,
        ),
        OpenWeights::Unknown(why) => (Err(format!("whether another Change is open is not known: {why}")), None),
    }
}

/// A share that moves by less than this may only be written in other numbers.
const ROUNDING: f64 = 0.0005;

/// By how much the share of a backend falls.
fn loss(from: &Weights, to: &Weights, backend: &str) -> f64 {
    from.share(backend).unwrap_or(0.0) - to.share(backend).unwrap_or(0.0)
}

/// The backend that loses most.
fn loser<'w>(from: &'w Weights, to: &Weights) -> Option<&'w str> {
    let losses = from.iter().map(|(backend, _)| (backend, loss(from, to, backend)));
    let most = losses.max_by(|a, b| a.1.total_cmp(&b.1))?;
    (most.1 > ROUNDING).then_some(most.0)
}

/// Whether a move from `to` to `new` goes on where one from `from` to `to` went: the backend from which that one took
/// most loses again, and the one that loses most now had lost by it, too.
fn goes_further(from: &Weights, to: &Weights, new: &Weights) -> bool {
    let (before, now) = (loser(from, to), loser(to, new));
    before.is_some_and(|backend| loss(to, new, backend) > ROUNDING)
        && now.is_some_and(|backend| loss(from, to, backend) > ROUNDING)
}

/// Whether the backend that loses most is one whose requests fail, and none that gains is.
fn relieves(from: &Weights, to: &Weights, action: &WeightsAction, facts: &RouteFacts) -> bool {
    let fails = |backend: &str| fails_often(action, facts, backend);
    loser(from, to).is_some_and(fails) && !to.iter().any(|(backend, _)| more(from, to, backend) && fails(backend))
}

/// Whether more requests of a backend than the dead band fail, and so many that it is no chance, on fresh data.
fn fails_often(action: &WeightsAction, facts: &RouteFacts, backend: &str) -> bool {
    let Some((requests, errors)) = rates(facts, backend) else {
        return false;
    };
    #[allow(clippy::cast_precision_loss)] // Milliseconds of at most a year.
    let window = action.traffic.window.as_millis() as f64 / 1000.0;
    errors > action.limits.dead_band.get() * requests && errors * window >= LEAST_FAILED
}
