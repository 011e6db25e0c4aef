//! Whether the traffic is divided as the weights say.
//!
//! That a route was accepted proves nothing: only the proxy's counters tell where requests went.

use crate::{
    decide::{ReadError, by_backend},
    policy::{ShareDeadline, Traffic, Weights},
    signal::Reading,
    time::Timestamp,
};

/// The quantile of the normal distribution for which a share that is as intended lies within the tolerance but
/// for one time in a thousand, two-sided.
const Z: f64 = 3.29;
/// The number of requests of which one in a thousand times none is seen: e^-6.9 = 0.001.
const SURELY_SEEN: f64 = 6.9;
/// What a share may be off whatever the number of requests: rates are extrapolated from scrapes.
const LEAST_TOLERANCE: f64 = 0.005;

/// A change of weights whose effect is judged.
#[derive(Clone, Copy, Debug)]
pub struct ShareChange<'a> {
    /// The weights before.
    pub before: &'a Weights,
    /// The weights that were written.
    pub intended: &'a Weights,
    /// The other backends of the route, whose requests don't count.
    pub others: &'a [String],
    /// When the write was accepted.
    pub applied_at: Timestamp,
}

/// What is known of the shares that a change led to.
#[derive(Clone, Debug, PartialEq)]
pub enum ShareJudgement {
    /// It is too early.
    Wait {
        /// When the settle time, or else the deadline, is over.
        until: Timestamp,
        /// What is known so far.
        why: String,
    },
    /// Every share is as intended.
    Realised {
        /// The backend whose share is furthest off, as a part of its tolerance.
        worst: String,
        /// Its share among the managed ones, from 0 to 1.
        share: f64,
        /// How far it may be from the intended one.
        tolerance: f64,
    },
    /// The deadline is over, and a share is not as intended.
    Not {
        /// The backend whose share is furthest off, as a part of its tolerance.
        worst: String,
        /// The share that it was to have, from 0 to 1.
        intended: f64,
        /// The share that it has.
        share: f64,
        /// How far it may be from the intended one.
        tolerance: f64,
        /// How many requests were counted.
        requests: f64,
        /// The same in one sentence.
        why: String,
    },
    /// The deadline is over and there is no answer that can be trusted.
    Inconclusive {
        /// Why not, and what would help.
        why: String,
    },
}

/// Judges at `now` how requests are divided; `reading` is that of [`Traffic::requests`].
///
/// The share of a backend is its rate as a part of those of all managed ones. Of n requests (the rates times
/// the window), a share p lies within z * sqrt(p * (1 - p) / n) of the intended one, z = 3.29 (two-sided
/// 0.1 %, normal approximation); the tolerance is never under 0.5/n + 0.005.
///
/// - Until `applied_at + settle`, and with a reading from before that: nothing but waiting.
/// - [`ShareJudgement::Realised`] as soon as all shares are within their tolerance.
/// - With too few requests to tell the shares from those before, or without fresh data: wait, and at the
///   deadline [`ShareJudgement::Inconclusive`].
/// - However few they are: a backend that had no share and has requests now tells that the new weights count, and
///   so does one that lost its share and had none of at least 6.9 requests. Else the first hundredth of a return
///   could never be verified.
/// - A managed backend without a series had no requests, if others have one.
pub fn judge_share(
    deadline: &ShareDeadline,
    traffic: &Traffic,
    change: &ShareChange<'_>,
    reading: &Reading,
    now: Timestamp,
) -> ShareJudgement {
    let settled = change.applied_at + deadline.settle;
    if now < settled {
        let why = format!(
            "what is measured before settle {} is from before the change",
            deadline.settle
        );
        return ShareJudgement::Wait { until: settled, why };
    }
    let until = change.applied_at + deadline.within.max(deadline.settle);
    let counted = match counted(deadline, traffic, change, reading, now) {
        Ok(counted) => counted,
        Err(why) if now < until => return ShareJudgement::Wait { until, why },
        Err(why) => return ShareJudgement::Inconclusive { why },
    };
    let Counted { requests, worst } = counted;
    let Off {
        backend,
        intended,
        share,
        tolerance,
    } = worst;
    if (share - intended).abs() <= tolerance {
        return ShareJudgement::Realised {
            worst: backend,
            share,
            tolerance,
        };
    }
    let why = format!(
        "{backend} has {share:.3} of {requests:.0} requests instead of {intended:.3}, and may be off by {tolerance:.3}"
    );
    if now < until {
        return ShareJudgement::Wait { until, why };
    }
    ShareJudgement::Not {
        worst: backend,
        intended,
        share,
        tolerance,
        requests,
        why,
    }
}

/// How far the share of a backend is from the intended one.
struct Off {
    backend: String,
    intended: f64,
    share: f64,
    tolerance: f64,
}

impl Off {
    /// How far it is off, as a part of its tolerance.
    fn part(&self) -> f64 {
        (self.share - self.intended).abs() / self.tolerance
    }
}

struct Counted {
    requests: f64,
    worst: Off,
}

/// How far a share of `p` (from 0 to 1) may be off, of so many requests: see [`judge_share`].
pub fn tolerance(p: f64, requests: f64) -> f64 {
    (Z * (p * (1.0 - p) / requests).sqrt()).max(0.5 / requests + LEAST_TOLERANCE)
}

/// Whether a backend appeared or vanished, which no tolerance hides: a list of weights is taken over as a whole.
fn tells_apart(rates: &[(&str, f64)], change: &ShareChange<'_>, requests: f64) -> bool {
    rates.iter().any(|(backend, rate)| {
        let share = |weights: &Weights| weights.share(backend).unwrap_or(0.0);
        let (before, intended) = (share(change.before), share(change.intended));
        let appeared = before <= 0.0 && intended > 0.0 && *rate > 0.0;
        let vanished = intended <= 0.0 && before * requests >= SURELY_SEEN && *rate <= 0.0;
        appeared || vanished
    })
}

/// The worst share, or why there is none to be judged.
#[allow(clippy::cast_precision_loss)] // Milliseconds of at most a year.
fn counted(
    deadline: &ShareDeadline,
    traffic: &Traffic,
    change: &ShareChange<'_>,
    reading: &Reading,
    now: Timestamp,
) -> Result<Counted, String> {
    let rates = rates(deadline, traffic, change, reading, now)?;
    let sum: f64 = rates.iter().map(|(_, rate)| rate).sum();
    let requests = sum * (traffic.window.as_millis() as f64 / 1000.0);
    if !(requests > 0.0 && requests.is_finite()) {
        return Err(format!(
            "no requests in {}, so there is nothing to divide",
            traffic.window
        ));
    }
    let intended = |backend: &str| change.intended.share(backend).unwrap_or(0.0);
    let moved = |backend: &str| (intended(backend) - change.before.share(backend).unwrap_or(0.0)).abs();
    let most = rates
        .iter()
        .map(|(backend, _)| *backend)
        .max_by(|a, b| moved(a).total_cmp(&moved(b)));
    if let Some(backend) = most.filter(|backend| moved(backend) > 0.0) {
        let tolerance = tolerance(intended(backend), requests);
        if moved(backend) <= tolerance && !tells_apart(&rates, change, requests) {
            return Err(format!(
                "only {requests:.0} requests in {}: the share of {backend} was to move by {:.3} and may be off by {tolerance:.3}; widen within or the window, or move by more at a time",
                traffic.window,
                moved(backend)
            ));
        }
    }
    let off = |(backend, rate): &(&str, f64)| {
        let intended = intended(backend);
        Off {
            backend: (*backend).to_owned(),
            intended,
            share: rate / sum,
            tolerance: tolerance(intended, requests),
        }
    };
    // Of two backends one has too much by what the other lacks: then the first is named.
    let further = |most: Off, off: Off| if off.part() > most.part() + 1e-9 { off } else { most };
    let worst = rates.iter().map(off).reduce(further);
    let worst = worst.ok_or_else(|| "no backend is managed".to_owned())?;
    Ok(Counted { requests, worst })
}

/// The rate of each managed backend.
fn rates<'a>(
    deadline: &ShareDeadline,
    traffic: &Traffic,
    change: &ShareChange<'a>,
    reading: &Reading,
    now: Timestamp,
) -> Result<Vec<(&'a str, f64)>, String> {
    let settled = change.applied_at + deadline.settle;
    if reading.at < settled {
        return Err(format!(
            "traffic.requests was read before settle {} was over",
            deadline.settle
        ));
    }
    super::fresh(reading, traffic.max_age, now).map_err(|why| format!("traffic.requests is not known: {why}"))?;
    let managed = change.intended.iter().map(|(backend, _)| backend);
    let told = by_backend("traffic.requests", Some(reading), managed, change.others);
    let told = told.map_err(|error: ReadError| error.to_string())?;
    let rate = |(backend, _)| {
        let rate = if told.has(backend) { told.of(backend)? } else { 0.0 };
        if rate < 0.0 {
            return Err(format!("traffic.requests is {rate} for {backend}, less than nothing"));
        }
        Ok((backend, rate))
    };
    change.intended.iter().map(rate).collect()
}
