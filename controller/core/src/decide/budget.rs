//! The price of a shared budget. It is all that is written; each agent computes its own headroom from it, once a
//! second, so no pod waits for the controller (dual decomposition).

use super::runtime::{GogcBounds, Lambda, Member, Outcome, Profile, divide};
use crate::{
    bytes::Bytes,
    policy::{BudgetScope, HeadroomBudget, Knob, KnobValue, Knobs},
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
    bounds: (u64, u64),
    fleet: &BTreeMap<String, Profile>,
    current: &Knobs,
) -> Result<(Knobs, Vec<String>), String> {
    let (least, most) = bounds;
    let knobs = |law: Knob, value: KnobValue| {
        let knobs = [
            (law, value),
            (Knob::GogcMin, KnobValue::Number(least)),
            (Knob::GogcMax, KnobValue::Number(most)),
        ];
        Knobs::new(knobs).map_err(|error| error.to_string())
    };
    if budget.scope == BudgetScope::Node {
        // What is tried and verified is the headroom; within it the prices of the nodes follow their processes.
        let knobs = knobs(Knob::NodeHeadroom, KnobValue::Number(budget.headroom.get()))?;
        let said = format!("{} of headroom on each node, by a price of its own", budget.headroom);
        return Ok((knobs, vec![said]));
    }
    let fleet: Vec<(&str, &Profile)> = fleet.iter().map(|(pod, profile)| (pod.as_str(), profile)).collect();
    let (wanted, mut arithmetic) = wanted(budget.headroom, bounds, &fleet)?;
    let priced = |lambda: Finite| knobs(Knob::Lambda, KnobValue::Decimal(lambda));
    let Some(KnobValue::Decimal(before)) = current.get(Knob::Lambda) else {
        return Ok((priced(rounded(wanted.get())?)?, arithmetic));
    };
    let same_bounds = current.number(Knob::GogcMin) == Some(least) && current.number(Knob::GogcMax) == Some(most);
    let stepped = stepped(wanted, before.get());
    if same_bounds && stepped.is_none() {
        return Err(format!(
            "the price {:e} keeps the budget within 10 % of headroom",
            before.get()
        ));
    }
    let lambda = stepped.unwrap_or_else(|| before.get());
    arithmetic.push(format!(
        "from {:e} by at most 1.5 times the headroom: {lambda:e}",
        before.get()
    ));
    Ok((priced(rounded(lambda)?)?, arithmetic))
}

/// The price of each node on which the processes of a namespace share headroom, where `before` is the present one. A
/// node without one: nothing is moved there, and why.
pub fn node_prices(
    headroom: Bytes,
    bounds: (u64, u64),
    fleet: &BTreeMap<String, Profile>,
    nodes: &BTreeMap<String, String>,
    before: &BTreeMap<String, Finite>,
) -> BTreeMap<String, Result<Finite, String>> {
    let mut by_node: BTreeMap<&str, Vec<(&str, &Profile)>> = BTreeMap::new();
    for (pod, profile) in fleet {
        if let Some(node) = nodes.get(pod) {
            by_node.entry(node).or_default().push((pod, profile));
        }
    }
    let priced = by_node.into_iter().map(|(node, fleet)| {
        let price = wanted(headroom, bounds, &fleet).and_then(|(wanted, _)| match before.get(node) {
            None => rounded(wanted.get()),
            Some(before) => stepped(wanted, before.get()).map_or(Ok(*before), rounded),
        });
        (node.to_owned(), price)
    });
    priced.collect()
}

/// The price at which these processes together keep to the headroom, with the arithmetic.
fn wanted(
    headroom: Bytes,
    (least, most): (u64, u64),
    fleet: &[(&str, &Profile)],
) -> Result<(Lambda, Vec<String>), String> {
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
    let division = divide(&members, headroom);
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
    Ok((wanted, arithmetic))
}

/// The next price on the way from `before`; `None`: it stays.
fn stepped(wanted: Lambda, before: f64) -> Option<f64> {
    let ratio = wanted.get() / before;
    let near = (1.0 / DEAD_BAND..=DEAD_BAND).contains(&ratio);
    (!near).then(|| wanted.get().clamp(before / STEP, before * STEP))
}

/// The prices at which each just reaches a bound.
fn edge(members: &[Member], bound: impl Fn(&Member) -> f64) -> impl Iterator<Item = f64> {
    let paying = members.iter().filter(|member| member.cost() > 0.0);
    paying.map(move |member| member.cost() / bound(member).powi(2))
}

/// Three digits say all that a measurement does.
fn rounded(price: f64) -> Result<Finite, String> {
    let rounded = format!("{price:.2e}").parse().unwrap_or(price);
    Finite::new(rounded).ok_or_else(|| "the price is no number".to_owned())
}
