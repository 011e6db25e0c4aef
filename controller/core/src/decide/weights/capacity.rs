//! Share by capacity: weight = qps / (utilisation + errors/qps * penalty), as in gRPC's client-side weighted
//! round robin (gRFC A58).
//!
//! It estimates what a backend could serve, which hardly depends on the weight that it has. So one step lands
//! near the fixed point, and the delay of the rates can't make it ring, as a law by latency does.

use super::{
    Held, Pass, Pin, Standing, Told, WeightHistory, Wish, normalised,
    onset::{self, Onset},
    read::Served,
};
use crate::{
    policy::CapacityLaw,
    signal::Finite,
    time::{Span, Timestamp},
};

/// What was measured of a backend in one pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// When.
    pub at: Timestamp,
    /// Requests per second.
    pub requests: f64,
    /// Failed requests per second.
    pub errors: f64,
    /// The signal that the law reads.
    pub utilisation: f64,
}

impl Measurement {
    /// The part of the requests that failed. It was made with some requests.
    pub(super) fn part(&self) -> f64 {
        self.errors / self.requests
    }

    fn capacity(&self, penalty: Finite) -> f64 {
        self.requests / (self.utilisation + self.part() * penalty.get())
    }
}

/// What a backend could serve.
pub(super) struct Capacity {
    /// In requests per second.
    value: f64,
    /// How it was calculated.
    line: String,
    /// What it was calculated from.
    of: Measurement,
    /// How long it has failed or been busier, where the window does not tell yet how much it serves since.
    early: Option<Span>,
}

/// What this pass knows of a backend's capacity, or why it is not known.
pub(super) type Measured = Result<Capacity, String>;

/// Measures, and remembers: the smoothed capacity, when it was known last, and when for the first time.
pub(super) fn note(pass: &Pass<'_>, law: &CapacityLaw, told: &Told, history: &mut WeightHistory) -> Vec<Measured> {
    let expiry = pass.action.limits.expiry;
    let mut measured = Vec::new();
    for name in pass.names() {
        let capacity = measure(pass, name, law, told).map(|plain| {
            let memory = history.backends.entry(name.to_owned()).or_default();
            let onset = onset::note(pass, &plain, memory);
            let capacity = calculated(law, plain, onset);
            // What was measured too long ago says nothing of now.
            let smoothed = memory.capacity.filter(|_| {
                memory
                    .known_at
                    .is_some_and(|known_at| pass.now.since(known_at) <= expiry)
            });
            // Smoothing is against noise, and failed requests are none: they are counted.
            let falls = |smoothed: &f64| capacity.value < *smoothed;
            let smoothed = smoothed.filter(|smoothed| !(fails_often(pass, &capacity.of) && falls(smoothed)));
            let new = law.smoothing.get();
            memory.capacity =
                Some(smoothed.map_or(capacity.value, |smoothed| new * capacity.value + (1.0 - new) * smoothed));
            known(memory, pass);
            capacity
        });
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

fn measure(pass: &Pass<'_>, name: &str, law: &CapacityLaw, told: &Told) -> Result<Measurement, String> {
    let Served { requests, errors } = told.served(name)?;
    let utilisation = told.signal(name)?;
    if requests <= 0.0 {
        return Err("it has no requests".to_owned());
    }
    if utilisation <= 0.0 {
        return Err(format!("signal {} is {utilisation}", law.utilisation));
    }
    let measurement = Measurement {
        at: pass.now,
        requests,
        errors,
        utilisation,
    };
    let capacity = measurement.capacity(law.penalty);
    if !capacity.is_finite() || capacity <= 0.0 {
        return Err(format!("its capacity would be {capacity}"));
    }
    Ok(measurement)
}

/// The capacity of what was measured, or of what it was since the backend began to fail, where that is less.
fn calculated(law: &CapacityLaw, plain: Measurement, onset: Onset) -> Capacity {
    let since = match onset {
        Onset::Told { since, is } if is.capacity(law.penalty) < plain.capacity(law.penalty) => Some((since, is)),
        _ => None,
    };
    let of = since.map_or(plain, |(_, is)| is);
    let (value, penalty) = (of.capacity(law.penalty), law.penalty);
    let (requests, utilisation, part) = (of.requests, of.utilisation, of.part());
    let since = since.map_or_else(String::new, |(since, _)| format!(" since it began to fail {since} ago"));
    Capacity {
        value,
        line: format!("{requests:.1} rps / ({utilisation:.2} + {part:.2} * {penalty}) = {value:.1}{since}"),
        of,
        early: match onset {
            Onset::Early { since } => Some(since),
            Onset::None | Onset::Told { .. } => None,
        },
    }
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
    if let Some((name, since)) = serving.iter().find_map(|index| {
        let since = measured.get(*index)?.as_ref().ok()?.early?;
        Some((pass.name(*index), since))
    }) {
        return Err(held(format!(
            "{name} fails or is busier since {since} ago, and the window tells of before that, too: what it serves now is not known yet"
        )));
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
    let capped = !sheds(pass, measured, &members, &shares, capacities.iter().sum());
    Ok(Wish {
        reason: reason(pass, &shares),
        arithmetic: lines(Some(&shares)),
        goals: shares.clone(),
        shares,
        pins: (0..pass.count()).map(pin).collect(),
        limited: true,
        capped,
        alerts: Vec::new(),
    })
}

/// Whether more requests fail than the dead band, which is what counts for a share too.
fn fails_often(pass: &Pass<'_>, of: &Measurement) -> bool {
    onset::fails(pass, of) && of.part() > pass.action.limits.dead_band.get()
}

/// Whether a backend that loses fails more of its requests than the dead band, while none that gains does and all
/// together can serve what is asked of them. That is no estimate that might be wrong by much: the proxy counts what
/// is lost until the weights are right.
fn sheds(pass: &Pass<'_>, measured: &[Measured], members: &[usize], shares: &[f64], capacity: f64) -> bool {
    let of = |index: usize| measured.get(index)?.as_ref().ok().map(|capacity| capacity.of);
    let Some(all) = members.iter().map(|index| of(*index)).collect::<Option<Vec<_>>>() else {
        return false;
    };
    let mut fail = members.iter().zip(&all).filter(|(_, of)| fails_often(pass, of));
    let loses = |index: usize| shares.get(index).is_some_and(|share| *share < pass.share(index));
    let asked: f64 = all.iter().map(|of| of.requests).sum();
    capacity >= asked && fail.clone().next().is_some() && fail.all(|(index, _)| loses(*index))
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
        Some(Ok(capacity)) => capacity.line.clone(),
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
