//! The price of a shared budget. It is all that is written; each agent computes its own headroom from it, once a
//! second, so no pod waits for the controller (dual decomposition).

use super::runtime::{GogcBounds, Lambda, Member, Outcome, Profile, divide};
use crate::{
    policy::{HeadroomBudget, Knob, KnobValue, Knobs},
    signal::Finite,
};
use std::collections::BTreeMap;

/// A headroom that differs by less is no other: a dead band of 10 %. Headroom goes by the root of the price.
const DEAD_BAND: f64 = 1.1 * 1.1;
/// The most by which a headroom moves at once, 1.5 times.
const STEP: f64 = 1.5 * 1.5;
/// Of so many processes one may be unknown.
const UNKNOWN_PART: usize = 4;

/// The knobs of the price, with the arithmetic. `Err`: nothing is moved, and why.
pub(super) fn price(
    budget: &HeadroomBudget,
    (least, most): (u64, u64),
    fleet: &BTreeMap<String, Profile>,
    current: &Knobs,
) -> Result<(Knobs, Vec<String>), String> {
    let percent = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let bounds = GogcBounds::new(percent(least), percent(most)).map_err(|error| error.to_string())?;
    let mut members = Vec::new();
    let mut unknown = Vec::new();
    for (pod, profile) in fleet {
        match Member::of(profile, bounds) {
            Ok(member) => members.push(member),
            Err(why) => unknown.push(format!("{pod}: {why}")),
        }
    }
    if members.is_empty() || unknown.len() * UNKNOWN_PART > fleet.len() {
        let why = unknown
            .first()
            .map_or("no agent of the namespace answers", String::as_str);
        return Err(format!(
            "{} of {} processes are not known, so no price is set: {why}",
            unknown.len(),
            fleet.len()
        ));
    }
    let division = divide(&members, budget.headroom);
    let mut arithmetic = division.arithmetic;
    if let Some(first) = unknown.first() {
        arithmetic.push(format!("left out: {first}"));
    }
    let wanted = match division.answer.outcome {
        Outcome::Spent { lambda } => lambda.get(),
        // Prices beyond which nobody moves any more.
        Outcome::Short { .. } => edge(&members, |member| member.min().real()).fold(0.0, f64::max),
        Outcome::Ample { .. } => edge(&members, |member| member.max().real()).fold(f64::INFINITY, f64::min),
    };
    let wanted = Lambda::new(wanted.min(Lambda::MAX))
        .ok_or_else(|| "no process allocates anything, so there is nothing to divide".to_owned())?;
    let knobs = |lambda: f64| {
        let lambda = Finite::new(rounded(lambda)).map(KnobValue::Decimal);
        let lambda = lambda.ok_or_else(|| "the price is no number".to_owned())?;
        let knobs = [
            (Knob::Lambda, lambda),
            (Knob::GogcMin, KnobValue::Number(least)),
            (Knob::GogcMax, KnobValue::Number(most)),
        ];
        Knobs::new(knobs).map_err(|error| error.to_string())
    };
    let Some(KnobValue::Decimal(before)) = current.get(Knob::Lambda) else {
        return Ok((knobs(wanted.get())?, arithmetic));
    };
    let before = before.get();
    let same_bounds = current.number(Knob::GogcMin) == Some(least) && current.number(Knob::GogcMax) == Some(most);
    let ratio = wanted.get() / before;
    if same_bounds && (1.0 / DEAD_BAND..=DEAD_BAND).contains(&ratio) {
        return Err(format!("the price {before:e} keeps the budget within 10 % of headroom"));
    }
    let stepped = wanted.get().clamp(before / STEP, before * STEP);
    arithmetic.push(format!(
        "from {before:e} by at most 1.5 times the headroom: {stepped:e}"
    ));
    Ok((knobs(stepped)?, arithmetic))
}

/// The prices at which each just reaches a bound.
fn edge(members: &[Member], bound: impl Fn(&Member) -> f64) -> impl Iterator<Item = f64> {
    let paying = members.iter().filter(|member| member.cost() > 0.0);
    paying.map(move |member| member.cost() / bound(member).powi(2))
}

/// Three digits say all that a measurement does.
fn rounded(price: f64) -> f64 {
    format!("{price:.2e}").parse().unwrap_or(price)
}
