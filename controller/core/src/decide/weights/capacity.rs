//! Share by capacity: weight = qps / (utilisation + errors/qps * penalty), as in gRPC's client-side weighted
//! round robin (gRFC A58).
//!
//! It estimates what a backend could serve, which hardly depends on the weight that it has. So one step lands
//! near the fixed point, and the delay of the rates can't make it ring, as a law by latency does.

use super::{Held, Pass, Pin, Standing, Told, WeightHistory, Wish, normalised, read::Served};
use crate::policy::CapacityLaw;

/// What this pass measured of a backend: its capacity in requests per second and how it was calculated, or why
/// it is not known.
pub(super) type Measured = Result<(f64, String), String>;

/// Measures, and remembers: the smoothed capacity, when it was known last, and when for the first time.
pub(super) fn note(pass: &Pass<'_>, law: &CapacityLaw, told: &Told, history: &mut WeightHistory) -> Vec<Measured> {
    let expiry = pass.action.limits.expiry;
    let mut measured = Vec::new();
    for name in pass.names() {
        let capacity = measure(name, law, told);
        if let Ok((capacity, _)) = &capacity {
            let memory = history.backends.entry(name.to_owned()).or_default();
            // What was measured too long ago says nothing of now.
            let smoothed = memory.capacity.filter(|_| {
                memory
                    .known_at
                    .is_some_and(|known_at| pass.now.since(known_at) <= expiry)
            });
            let new = law.smoothing.get();
            memory.capacity = Some(smoothed.map_or(*capacity, |smoothed| new * capacity + (1.0 - new) * smoothed));
            known(memory, pass);
        }
        measured.push(capacity);
    }
    measured
}

/// Remembers that all signals of a backend are known now.
pub(super) fn known(memory: &mut super::BackendHistory, pass: &Pass<'_>) {
    if memory.known_at.is_none() {
        memory.appeared_at = Some(pass.now);
    }
    memory.known_at = Some(pass.now);
}

fn measure(name: &str, law: &CapacityLaw, told: &Told) -> Measured {
    let served = told.served(name)?;
    let utilisation = told.signal(name)?;
    let Served { requests, .. } = served;
    if requests <= 0.0 {
        return Err("it has no requests".to_owned());
    }
    if utilisation <= 0.0 {
        return Err(format!("signal {} is {utilisation}", law.utilisation));
    }
    let (part, penalty) = (served.part(), law.penalty);
    let capacity = requests / (utilisation + part * penalty.get());
    if !capacity.is_finite() || capacity <= 0.0 {
        return Err(format!("its capacity would be {capacity}"));
    }
    let line = format!("{requests:.1} rps / ({utilisation:.2} + {part:.2} * {penalty}) = {capacity:.1}");
    Ok((capacity, line))
}

/// What the law wants of those that are not out.
pub(super) fn wish(
    pass: &Pass<'_>,
    measured: &[Measured],
    standings: &[Standing],
    history: &WeightHistory,
) -> Result<Wish, Held> {
    let smoothed = |index: usize| {
        history
            .backends
            .get(pass.name(index))
            .and_then(|memory| memory.capacity)
    };
    let is_known = |index: usize| measured.get(index).is_some_and(Result::is_ok);
    let of = |what: fn(Standing) -> bool| {
        let indexes = standings
            .iter()
            .enumerate()
            .filter(move |(_, standing)| what(**standing));
        indexes.map(|(index, _)| index).collect::<Vec<_>>()
    };
    let (members, serving) = (of(Standing::is_in), of(Standing::is_serving));
    let lines = |shares: Option<&[f64]>| -> Vec<String> {
        let of = |index: usize| line(pass, index, measured.get(index), smoothed(index), shares, standings);
        (0..pass.count()).map(of).collect()
    };
    let held = |reason: String| Held {
        reason,
        arithmetic: lines(None),
    };
    if members.len() < 2 {
        return Err(held(
            "only one backend is in service: there is nothing to divide".to_owned(),
        ));
    }
    for index in serving.iter().copied().filter(|index| !is_known(*index)) {
        expired(pass, index, measured.get(index), history).map_err(held)?;
    }
    let known = serving.iter().filter(|index| is_known(**index)).count();
    // Beside one that comes back, the only one in service is enough.
    if known < serving.len().min(2) {
        return Err(held(format!(
            "the capacity of {known} of {} backends in service is known; at least 2 must be",
            serving.len()
        )));
    }
    let capacities: Vec<f64> = members.iter().filter_map(|index| smoothed(*index)).collect();
    let count = super::shape::real(i64::try_from(capacities.len()).unwrap_or(1).max(1));
    let mean = capacities.iter().sum::<f64>() / count;
    let parts: Vec<f64> = (0..pass.count())
        .map(|index| {
            if members.contains(&index) {
                smoothed(index).unwrap_or(mean)
            } else {
                0.0
            }
        })
        .collect();
    let Some(shares) = normalised(&parts) else {
        return Err(held("no capacity is known".to_owned()));
    };
    let pin = |index: usize| if is_known(index) { Pin::Free } else { Pin::NotLess };
    Ok(Wish {
        reason: reason(pass, &shares),
        arithmetic: lines(Some(&shares)),
        goals: shares.clone(),
        shares,
        pins: (0..pass.count()).map(pin).collect(),
        limited: true,
        alerts: Vec::new(),
    })
}

/// `Err` where a backend that has traffic has been unknown for too long. One without weight can't be known.
fn expired(pass: &Pass<'_>, index: usize, measured: Option<&Measured>, history: &WeightHistory) -> Result<(), String> {
    let name = pass.name(index);
    let expiry = pass.action.limits.expiry;
    let known_at = history.backends.get(name).and_then(|memory| memory.known_at);
    let Some(unknown) = known_at.map(|known_at| pass.now.since(known_at)) else {
        return Ok(());
    };
    if pass.weight(index) == 0 || unknown <= expiry {
        return Ok(());
    }
    let why = measured
        .and_then(|measured| measured.as_ref().err())
        .map_or("", String::as_str);
    Err(format!(
        "the capacity of {name} has not been known for {unknown}, expiry is {expiry}: {why}"
    ))
}

fn line(
    pass: &Pass<'_>,
    index: usize,
    measured: Option<&Measured>,
    smoothed: Option<f64>,
    shares: Option<&[f64]>,
    standings: &[Standing],
) -> String {
    let what = match measured {
        Some(Ok((_, line))) => line.clone(),
        Some(Err(why)) => format!("not known ({why})"),
        None => "not known".to_owned(),
    };
    let smoothed = smoothed.map_or_else(
        || ", the mean of the others counts".to_owned(),
        |smoothed| format!(", smoothed {smoothed:.1}"),
    );
    let share = match (standings.get(index), shares.and_then(|shares| shares.get(index))) {
        (Some(Standing::Out), _) => ", out".to_owned(),
        (_, Some(share)) => format!(", share {share:.3}"),
        (_, None) => String::new(),
    };
    format!("{}: {what}{smoothed}{share}", pass.name(index))
}

/// The move that is largest, as a part of what there is.
fn reason(pass: &Pass<'_>, shares: &[f64]) -> String {
    let distance = |(index, share): &(usize, &f64)| {
        let is = pass.share(*index);
        if is > 0.0 {
            (*share - is).abs() / is
        } else {
            f64::INFINITY
        }
    };
    let most = shares
        .iter()
        .enumerate()
        .filter(|(index, share)| **share > 0.0 || pass.weight(*index) > 0)
        .max_by(|a, b| distance(a).total_cmp(&distance(b)));
    most.map_or_else(String::new, |(index, share)| {
        format!(
            "by measured capacity {} is to have a share of {share:.3} and has {:.3}",
            pass.name(index),
            pass.share(index)
        )
    })
}
