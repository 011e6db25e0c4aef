//! LimitRanges that admit no such pod at all.

use super::prospect::{Amounts, Prospect, Side, of_container};
use crate::observe::quantity::{milli, plain};
use flyball_core::{check::Headroom, policy::Replicas};
use k8s_openapi::{
    api::core::v1::{LimitRange, LimitRangeItem},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::ResourceExt;
use std::collections::BTreeMap;

/// What forbids such pods; `None` where they are admitted. Those that are there stay.
pub fn room(range: &LimitRange, prospect: &Prospect, there: u32) -> Option<Headroom> {
    let mut items = range.spec.iter().flat_map(|spec| &spec.limits);
    let why = items.find_map(|item| broken(item, prospect))?;
    Some(Headroom {
        by: format!("LimitRange {}", range.name_any()),
        limit: Ok(Replicas::nearest(i64::from(there))),
        arithmetic: format!("{why}: no pod is admitted beside the {there} there are"),
    })
}

fn broken(item: &LimitRangeItem, prospect: &Prospect) -> Option<String> {
    match item.type_.as_str() {
        "Container" => prospect.containers().find_map(|container| {
            let of = |side, name: &str| of_container(container, side, name);
            Some(format!("container {}: {}", container.name, first(item, &of)?))
        }),
        "Pod" => {
            let (requests, limits) = (prospect.whole(Side::Requests), prospect.whole(Side::Limits));
            let of = |side, name: &str| {
                let amounts: &Amounts = match side {
                    Side::Requests => &requests,
                    Side::Limits => &limits,
                };
                amounts.get(name).copied()
            };
            Some(format!("the pod: {}", first(item, &of)?))
        }
        _ => None,
    }
}

/// The first bound that is broken, as the LimitRanger judges: a maximum needs a limit, a minimum needs a
/// request, a ratio needs both.
fn first(item: &LimitRangeItem, of: &impl Fn(Side, &str) -> Option<i64>) -> Option<String> {
    let bounds = |list: &'_ Option<BTreeMap<String, Quantity>>| -> Vec<(String, i64)> {
        let read = |(name, quantity): (&String, &Quantity)| Some((name.clone(), milli(&quantity.0)?));
        list.iter().flatten().filter_map(read).collect()
    };
    let sides = [Side::Limits, Side::Requests];
    for (name, max) in bounds(&item.max) {
        if of(Side::Limits, &name).is_none() {
            return Some(format!("it has no limit of {name}, and max is {}", plain(&name, max)));
        }
        for side in sides {
            if let Some(amount) = of(side, &name).filter(|amount| *amount > max) {
                return Some(compared(side, &name, amount, "more than max", max));
            }
        }
    }
    for (name, min) in bounds(&item.min) {
        if of(Side::Requests, &name).is_none() {
            return Some(format!("it has no request of {name}, and min is {}", plain(&name, min)));
        }
        for side in sides {
            if let Some(amount) = of(side, &name).filter(|amount| *amount < min) {
                return Some(compared(side, &name, amount, "less than min", min));
            }
        }
    }
    for (name, ratio) in bounds(&item.max_limit_request_ratio) {
        let (limit, request) = (
            of(Side::Limits, &name).unwrap_or(0),
            of(Side::Requests, &name).unwrap_or(0),
        );
        let exceeds = i128::from(limit) * 1000 > i128::from(request) * i128::from(ratio);
        if limit == 0 || request == 0 || exceeds {
            let (limit, request) = (plain(&name, limit), plain(&name, request));
            let ratio = plain("ratio", ratio);
            return Some(format!(
                "limit {limit} of {name} to request {request} is more than the ratio {ratio}"
            ));
        }
    }
    None
}

fn compared(side: Side, name: &str, amount: i64, how: &str, bound: i64) -> String {
    let (amount, bound) = (plain(name, amount), plain(name, bound));
    format!("its {} of {name}, {amount}, is {how} {bound}", side.word())
}
