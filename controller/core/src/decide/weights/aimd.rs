//! Additive increase, multiplicative decrease, on a signal of each backend.

use super::{Held, Pass, Pin, Standing, Told, WeightHistory, Wish, capacity, capacity::Measured, normalised, step};
use crate::policy::AimdLaw;

/// How a backend meets its objective.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Objective {
    Met,
    Broken,
    Unknown,
}

/// Remembers whose signal is known.
pub(super) fn note(pass: &Pass<'_>, told: &Told, history: &mut WeightHistory) -> Vec<Measured> {
    for name in pass.names() {
        if told.signal(name).is_ok() {
            capacity::known(history.backends.entry(name.to_owned()).or_default(), pass);
        }
    }
    Vec::new()
}

/// What the law wants of those that are not out. The weight that one loses goes first to those below their
/// base, by at most `points` each, then to all that meet the objective. Without any, those above their base
/// give back what those below it get.
pub(super) fn wish(pass: &Pass<'_>, law: &AimdLaw, told: &Told, standings: &[Standing]) -> Result<Wish, Held> {
    let values: Vec<Result<f64, String>> = pass.names().map(|name| told.signal(name)).collect();
    let is_serving = |index: usize| standings.get(index).is_some_and(|standing| standing.is_serving());
    let serving: Vec<usize> = (0..pass.count()).filter(|index| is_serving(*index)).collect();
    let objective = |index: usize| match values.get(index) {
        Some(Ok(value)) if *value > law.above.get() => Objective::Broken,
        Some(Ok(_)) => Objective::Met,
        _ => Objective::Unknown,
    };
    let count = |of: Objective| serving.iter().filter(|index| objective(**index) == of).count();
    let lines: Vec<String> = pass
        .names()
        .zip(&values)
        .map(|(name, value)| line(name, law, value))
        .collect();
    let held = |reason: String| Held {
        reason,
        arithmetic: lines.clone(),
    };
    let back = standings
        .iter()
        .any(|standing| matches!(standing, Standing::Due | Standing::Returning(_)));
    if serving.len() < 2 && !back {
        return Err(held(
            "only one backend is in service: there is nothing to divide".to_owned(),
        ));
    }
    let known = serving.len() - count(Objective::Unknown);
    if known < serving.len().min(2) {
        return Err(held(format!(
            "signal {} of {known} of {} backends in service is known; at least 2 must be",
            law.signal,
            serving.len()
        )));
    }
    let (broken, met) = (count(Objective::Broken), count(Objective::Met));
    if met == 0 && !back {
        return Err(held(format!(
            "signal {} is above {} for every backend: there is nowhere to move to",
            law.signal, law.above
        )));
    }
    // Those in service, among each other.
    let base = pass.base_shares(is_serving);
    let is: Vec<f64> = (0..pass.count())
        .map(|index| if is_serving(index) { pass.share(index) } else { 0.0 })
        .collect();
    let is = normalised(&is).unwrap_or_else(|| base.clone());
    let moved = if met == 0 {
        (is.clone(), is.clone())
    } else {
        moved(law, &is, &base, &objective)
    };
    // Those that come back have their share of the base beside them.
    let whole = step::kept(pass, standings);
    let room: f64 = serving.iter().map(|index| whole[*index]).sum();
    let beside = |inner: &[f64]| -> Vec<f64> {
        let of = |index: usize| {
            if is_serving(index) {
                inner[index] * room
            } else {
                whole[index]
            }
        };
        (0..pass.count()).map(of).collect()
    };
    let pin = |index: usize| {
        if objective(index) == Objective::Unknown {
            Pin::Still
        } else {
            Pin::Free
        }
    };
    Ok(Wish {
        shares: beside(&moved.0),
        goals: beside(&moved.1),
        pins: (0..pass.count()).map(pin).collect(),
        limited: true,
        capped: true,
        reason: if broken > 0 {
            format!(
                "signal {} is above {} for {broken} of {} backends",
                law.signal,
                law.above,
                serving.len()
            )
        } else {
            format!(
                "signal {} is above {} for none: back towards base",
                law.signal, law.above
            )
        },
        arithmetic: lines,
        alerts: Vec::new(),
    })
}

fn line(name: &str, law: &AimdLaw, value: &Result<f64, String>) -> String {
    match value {
        Ok(value) if *value > law.above.get() => {
            format!("{name}: {value} > {}, weight * {}", law.above, law.factor)
        }
        Ok(value) => format!(
            "{name}: {value} <= {}, + up to {} points up to its base",
            law.above, law.points
        ),
        Err(why) => format!("{name}: not known ({why}), not moved"),
    }
}

/// The shares after one step, and those it is heading for: at a decrease the same, else the base.
fn moved(law: &AimdLaw, is: &[f64], base: &[f64], objective: &dyn Fn(usize) -> Objective) -> (Vec<f64>, Vec<f64>) {
    let points = f64::from(law.points) / 100.0;
    let met = |index: usize| objective(index) == Objective::Met;
    let of = |f: &dyn Fn(usize) -> f64| (0..is.len()).map(f).collect::<Vec<f64>>();
    let cut = of(&|i| {
        if objective(i) == Objective::Broken {
            is[i] * (1.0 - law.factor.get())
        } else {
            0.0
        }
    });
    let gap = of(&|i| if met(i) { (base[i] - is[i]).max(0.0) } else { 0.0 });
    let excess = of(&|i| if met(i) { (is[i] - base[i]).max(0.0) } else { 0.0 });
    let gain = of(&|i| gap[i].min(points));
    let [freed, gains, surplus]: [f64; 3] = [cut.iter().sum(), gain.iter().sum(), excess.iter().sum()];
    // Whoever meets the objective takes what is left over, in proportion of what it has.
    let takers = normalised(&of(&|i| if met(i) { is[i].max(base[i]) } else { 0.0 })).unwrap_or_else(|| of(&|_| 0.0));
    let left = (freed - gains).max(0.0);
    let given = (gains - freed).clamp(0.0, surplus);
    let paid = if gains > 0.0 {
        (freed.min(gains) + given) / gains
    } else {
        0.0
    };
    let from_surplus = if surplus > 0.0 { given / surplus } else { 0.0 };
    let shares = of(&|i| is[i] - cut[i] + gain[i] * paid + takers[i] * left - excess[i] * from_surplus);
    let goals = of(&|i| {
        if freed > 0.0 {
            shares[i]
        } else if met(i) && surplus > 0.0 {
            base[i]
        } else {
            is[i]
        }
    });
    (shares, goals)
}
