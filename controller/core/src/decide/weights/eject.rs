//! A backend is taken out at once, stays out for longer each time, and comes back slowly.
//!
//! Out and panic are Envoy's outlier ejection and panic threshold, the return is its slow start with
//! aggression 1, from 1 %.

use super::{BackendHistory, Draft, Held, Move, Pass, Told, WeightHistory, Wish, read::Served, shape};
use crate::{
    policy::{Ejection, WeightLaw},
    time::{Span, Timestamp},
};

/// The part of its share with which a backend begins to come back.
pub(super) const FIRST_PART: f64 = 0.01;

/// How a backend stands in this pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Standing {
    /// In service.
    Serving,
    /// Out: no traffic.
    Out,
    /// Out, and it may begin to come back.
    Due,
    /// Coming back, with this part of its share; 0 while it goes no further.
    Returning(f64),
}

impl Standing {
    /// Whether the law gives it a share.
    pub(super) fn is_in(self) -> bool {
        self != Self::Out
    }

    pub(super) fn is_serving(self) -> bool {
        self == Self::Serving
    }
}

/// Brings what is remembered up to what the routes and the endpoints tell.
pub(super) fn note(pass: &Pass<'_>, history: &mut WeightHistory) {
    let Pass { action, facts, now, .. } = *pass;
    history.observed_since = history.observed_since.min(now);
    history.moved_at = history.moved_at.map(|moved_at| moved_at.min(now));
    history
        .backends
        .retain(|name, _| pass.names().any(|managed| managed == name));
    let failover = matches!(action.law, WeightLaw::Failover(_));
    for (index, backend) in action.backends.iter().enumerate() {
        let memory = history.backends.entry(backend.name.clone()).or_default();
        no_later(memory, now);
        if !failover && action.ejection.is_none() {
            (
                memory.out_since,
                memory.returning_since,
                memory.returned_at,
                memory.ejections,
            ) = (None, None, None, 0);
        }
        if let Some(out_since) = memory.out_since {
            if pass.weight(index) == 0 {
                memory.returning_since = None;
            } else if history.moved_at.is_some_and(|moved_at| moved_at >= out_since) {
                // We took it out, and somebody gave it weight again.
                (memory.out_since, memory.returning_since) = (None, Some(now));
            } else {
                // It was never carried out.
                memory.out_since = None;
                memory.ejections = memory.ejections.saturating_sub(1);
            }
        }
        if let Some(ejection) = &action.ejection {
            forget(memory, ejection, now);
        }
        let ready = facts.ready.get(&backend.name);
        memory.ready_since = match ready {
            Some(true) if memory.out_since.is_some() => memory.ready_since.or(Some(now)),
            Some(false) => None,
            _ => memory.ready_since.filter(|_| memory.out_since.is_some()),
        };
    }
}

/// A clock that stepped back leaves times in the future; they count as now.
fn no_later(memory: &mut BackendHistory, now: Timestamp) {
    for time in [
        &mut memory.known_at,
        &mut memory.appeared_at,
        &mut memory.bad_since,
        &mut memory.bad_at,
        &mut memory.ready_since,
        &mut memory.out_since,
        &mut memory.returning_since,
        &mut memory.returned_at,
        &mut memory.named_at,
    ] {
        *time = time.map(|time| time.min(now));
    }
    for measured in [&mut memory.well, &mut memory.worse].into_iter().flatten() {
        measured.at = measured.at.min(now);
    }
}

/// How often it was out is forgotten as long after the return as the return took.
fn forget(memory: &mut BackendHistory, ejection: &Ejection, now: Timestamp) {
    if memory.ejections == 0 || memory.out_since.is_some() || memory.returning_since.is_some() {
        memory.returned_at = None;
        return;
    }
    let returned_at = *memory.returned_at.get_or_insert(now);
    if now.since(returned_at) >= ejection.return_over {
        (memory.ejections, memory.returned_at) = (0, None);
    }
}

/// How each backend stands. Where nothing is known of the traffic, what comes back goes no further.
pub(super) fn standings(pass: &Pass<'_>, told: &Told, history: &WeightHistory) -> Vec<Standing> {
    let watched = told.traffic().is_ok();
    let of = |(index, name): (usize, &str)| {
        let (Some(memory), Some(ejection)) = (history.backends.get(name), &pass.action.ejection) else {
            return Standing::Serving;
        };
        let may_come = watched && pass.facts.ready.get(name) != Some(&false);
        let due = if may_come { Standing::Due } else { Standing::Out };
        match (memory.out_since, memory.returning_since) {
            (Some(since), _) if pass.now.since(since) >= ejection.stays_out(memory.ejections) => due,
            (Some(_), _) => Standing::Out,
            // Its return was proposed and not carried out, or ended by somebody.
            (None, Some(_)) if pass.weight(index) == 0 => due,
            (None, Some(_)) if !watched => Standing::Returning(0.0),
            (None, Some(since)) => Standing::Returning(part(pass.now.since(since), ejection.return_over)),
            (None, None) => Standing::Serving,
        }
    };
    let standings: Vec<Standing> = pass.names().enumerate().map(of).collect();
    if standings.iter().any(|standing| standing.is_serving()) {
        return standings;
    }
    // Nobody is left who could serve the rest meanwhile.
    let all = |standing: &Standing| match standing {
        Standing::Returning(_) => Standing::Serving,
        other => *other,
    };
    standings.iter().map(all).collect()
}

/// The part of its share that a backend has after so long on its way back.
#[allow(clippy::cast_precision_loss)] // Milliseconds of at most a year.
pub(super) fn part(elapsed: Span, over: Span) -> f64 {
    if elapsed >= over {
        return 1.0;
    }
    (elapsed.as_millis() as f64 / over.as_millis() as f64).max(FIRST_PART)
}

/// Whether the requests that a reading tells of are from after the return began: before, they are those for
/// which it was taken out.
pub(super) fn is_judged(pass: &Pass<'_>, memory: Option<&BackendHistory>) -> bool {
    let window = pass.action.traffic.window;
    memory
        .and_then(|memory| memory.returning_since)
        .is_none_or(|since| pass.now.since(since) >= window)
}

/// How many requests are behind a rate over a window.
#[allow(clippy::cast_precision_loss)] // Milliseconds of at most a year.
pub(super) fn requests_in(rate: f64, window: Span) -> f64 {
    rate * (window.as_millis() as f64 / 1000.0)
}

/// Takes out those whose requests fail; `Ok(None)` where none does. `Err`: too many look bad, so nothing moves.
pub(super) fn eject(pass: &Pass<'_>, told: &Told, history: &mut WeightHistory) -> Result<Option<Draft>, Held> {
    let Some(ejection) = &pass.action.ejection else {
        return Ok(None);
    };
    let bad: Vec<(usize, Bad)> = (0..pass.count())
        .filter_map(|index| is_bad(pass, told, history, ejection, index).map(|bad| (index, bad)))
        .collect();
    if bad.is_empty() {
        return Ok(None);
    }
    let is_bad = |index: usize| bad.iter().any(|(other, _)| *other == index);
    let out = (0..pass.count())
        .filter(|index| pass.weight(*index) == 0 && is_away(history.backends.get(pass.name(*index))))
        .count();
    let lines: Vec<String> = bad.iter().map(|(index, bad)| line(pass, *index, *bad)).collect();
    if let Some(reason) = panic(pass, ejection, bad.len(), out) {
        return Err(Held {
            reason,
            arithmetic: lines,
        });
    }
    let kept: Vec<f64> = (0..pass.count())
        .map(|index| {
            if is_bad(index) {
                0.0
            } else {
                f64::from(pass.weight(index))
            }
        })
        .collect();
    let names: Vec<&str> = bad.iter().map(|(index, _)| pass.name(*index)).collect();
    let names = names.join(", ");
    let Some(shares) = super::normalised(&kept) else {
        return Err(Held {
            reason: format!("{names} looks bad, and no other backend has weight: nobody is taken out"),
            arithmetic: lines,
        });
    };
    let to = shape::plain(&shares, shape::total(pass)).ok_or_else(|| Held {
        reason: format!(
            "{names} looks bad, but without it the weights can't keep their sum of {}; give the backends smaller weights in the route",
            shape::total(pass)
        ),
        arithmetic: lines.clone(),
    })?;
    let mut reasons = Vec::new();
    for (index, bad) in &bad {
        let memory = history.backends.entry(pass.name(*index).to_owned()).or_default();
        memory.ejections = memory.ejections.saturating_add(1);
        // A return is forgotten once the weights show that this was carried out.
        memory.out_since = Some(pass.now);
        let (name, time) = (pass.name(*index), ejection.stays_out(memory.ejections));
        reasons.push(match bad {
            Bad::Fails(served) => format!(
                "{name} fails {:.3} of its requests, more than {}: out for {time}",
                served.part(),
                ejection.errors_above,
            ),
            Bad::Absent(unserved) => format!(
                "{name} has no ready endpoint, and {unserved:.1} requests a second reach no backend: out for {time}"
            ),
        });
    }
    Ok(Some(Draft {
        to,
        why: Move::Ejection,
        reason: reasons.join("; "),
        arithmetic: lines,
        alerts: Vec::new(),
    }))
}

/// Why a backend is to be taken out.
#[derive(Clone, Copy, Debug)]
enum Bad {
    /// Its requests fail.
    Fails(Served),
    /// It has no ready endpoint, while the proxy itself fails so many requests a second.
    Absent(f64),
}

/// Why a backend is bad, if that is known. What a proxy answers for a backend without endpoints is in no backend's
/// count, so both are asked: whether requests fail that reach nobody, and who has no endpoint.
fn is_bad(pass: &Pass<'_>, told: &Told, history: &WeightHistory, ejection: &Ejection, index: usize) -> Option<Bad> {
    let name = pass.name(index);
    if pass.weight(index) > 0
        && pass.facts.ready.get(name) == Some(&false)
        && let Some(unserved) = pass.facts.unserved.as_ref().and_then(|reading| reading.number().ok())
        && unserved.get() > 0.0
    {
        return Some(Bad::Absent(unserved.get()));
    }
    if pass.weight(index) == 0 || !is_judged(pass, history.backends.get(name)) {
        return None;
    }
    let served = told.served(name).ok()?;
    let enough = requests_in(served.requests, pass.action.traffic.window) >= f64::from(ejection.least_requests);
    (enough && served.part() > ejection.errors_above.get()).then_some(Bad::Fails(served))
}

fn is_away(memory: Option<&BackendHistory>) -> bool {
    memory.is_some_and(|memory| memory.out_since.is_some() || memory.returning_since.is_some())
}

/// Why nobody is taken out, if too many look bad: then it is probably not they who are broken, and the few
/// that are left could not serve everything.
fn panic(pass: &Pass<'_>, ejection: &Ejection, bad: usize, out: usize) -> Option<String> {
    let all = pass.count();
    let limit = ejection.panic_above;
    let count = |n: usize| shape::real(i64::try_from(n).unwrap_or(i64::MAX));
    (count(bad + out) > limit.get() * count(all) + 1e-9).then(|| {
        let also = if out == 0 {
            String::new()
        } else {
            format!(" and {out} are out")
        };
        format!("{bad} of {all} look bad{also}, more than the panic threshold {limit}: nobody is taken out")
    })
}

fn line(pass: &Pass<'_>, index: usize, bad: Bad) -> String {
    let name = pass.name(index);
    let Served { requests, errors } = match bad {
        Bad::Fails(served) => served,
        Bad::Absent(unserved) => return format!("{name}: no ready endpoint; {unserved:.1} rps reach no backend"),
    };
    let part = Served { requests, errors }.part();
    format!("{name}: {errors:.1} failed of {requests:.1} rps = {part:.3}")
}

/// The standings, where one that has got its whole share is in service again.
pub(super) fn arrived(
    pass: &Pass<'_>,
    wish: &Wish,
    standings: &[Standing],
    history: &mut WeightHistory,
) -> Vec<Standing> {
    let dead_band = if wish.limited {
        pass.action.limits.dead_band.get()
    } else {
        0.0
    };
    let unit = 1.0 / shape::real(shape::total(pass).max(1));
    let mut of = |(index, standing): (usize, &Standing)| {
        let share = wish.shares.get(index).copied().unwrap_or(0.0);
        let whole = pass.share(index) >= (share * (1.0 - dead_band)).min(share - unit);
        match standing {
            Standing::Returning(part) if *part >= 1.0 && whole => {
                if let Some(memory) = history.backends.get_mut(pass.name(index)) {
                    (memory.returning_since, memory.returned_at) = (None, Some(pass.now));
                }
                Standing::Serving
            }
            other => *other,
        }
    };
    standings.iter().enumerate().map(&mut of).collect()
}

/// Shares in which those that come back have their part, and those in service the rest. One that comes back
/// loses nothing by that: it may have more than its part from somebody's hand.
pub(super) fn ramped(pass: &Pass<'_>, shares: &[f64], standings: &[Standing]) -> Vec<f64> {
    let back = |(index, share): (usize, &f64)| {
        let part = match standings.get(index) {
            Some(Standing::Due) => FIRST_PART,
            Some(Standing::Returning(part)) if *part > 0.0 => *part,
            Some(Standing::Returning(_)) => return pass.share(index),
            _ => return 0.0,
        };
        (share * part).max(pass.share(index)).min(*share)
    };
    let returning: Vec<f64> = shares.iter().enumerate().map(back).collect();
    let is_serving = |index: usize| standings.get(index).is_some_and(|standing| standing.is_serving());
    let serving: f64 = shares
        .iter()
        .enumerate()
        .filter(|(index, _)| is_serving(*index))
        .map(|(_, share)| share)
        .sum();
    let having: f64 = (0..pass.count())
        .filter(|index| is_serving(*index))
        .map(|index| pass.share(index))
        .sum();
    let rest = 1.0 - returning.iter().sum::<f64>();
    let of = |(index, share): (usize, &f64)| {
        if !is_serving(index) {
            returning.get(index).copied().unwrap_or(0.0)
        } else if serving > 0.0 {
            share * rest / serving
        } else if having > 0.0 {
            // The law gives those in service nothing, such as with a base of 0: meanwhile they keep what they have.
            pass.share(index) * rest / having
        } else {
            0.0
        }
    };
    shares.iter().enumerate().map(of).collect()
}

/// Remembers that those begin to come back to which the draft gives their first weight.
pub(super) fn begin(pass: &Pass<'_>, standings: &[Standing], draft: &Draft, history: &mut WeightHistory) {
    for (index, standing) in standings.iter().enumerate() {
        let weight = draft.to.get(index).copied().unwrap_or(0);
        if *standing == Standing::Due && weight > 0 {
            let memory = history.backends.entry(pass.name(index).to_owned()).or_default();
            (memory.out_since, memory.returning_since) = (None, Some(pass.now));
            memory.ready_since = None;
        }
    }
}

/// The sentence of a return.
pub(super) fn comes_back(pass: &Pass<'_>, index: usize, standing: Standing) -> String {
    let part = match standing {
        Standing::Returning(part) => part,
        _ => FIRST_PART,
    };
    format!(
        "{} comes back, with {:.0} % of its share",
        pass.name(index),
        part * 100.0
    )
}
