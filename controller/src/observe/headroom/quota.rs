//! Room that ResourceQuotas leave.

use super::prospect::{Amounts, Prospect, Side};
use crate::observe::quantity::{milli, plain};
use flyball_core::{check::Headroom, policy::Replicas};
use k8s_openapi::{api::core::v1::ResourceQuota, apimachinery::pkg::api::resource::Quantity};
use kube::ResourceExt;
use std::collections::BTreeMap;

/// What one resource of a quota limits.
enum Counted {
    /// Pods.
    Pods,
    /// A side of a resource of theirs.
    Of(Side, String),
}

/// How many replicas a quota leaves room for; `None` where it limits nothing of such pods. `there` is the
/// number of the target's pods that it counts already.
pub fn room(quota: &ResourceQuota, prospect: &Prospect, there: u32) -> Option<Headroom> {
    let by = format!("ResourceQuota {}", quota.name_any());
    match applies(quota, prospect) {
        Ok(true) => {}
        Ok(false) => return None,
        Err(why) => {
            return Some(Headroom {
                by,
                limit: Err(why),
                arithmetic: String::new(),
            });
        }
    }
    let spec = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    let status = quota.status.as_ref();
    let hard = status.and_then(|status| status.hard.as_ref()).or(spec)?;
    let used = status.and_then(|status| status.used.as_ref());
    let whole = |side| prospect.whole(side);
    let (requests, limits) = (whole(Side::Requests), whole(Side::Limits));
    let rooms = hard.iter().filter_map(|(name, hard)| {
        let counted = counted(name)?;
        let need = match &counted {
            Counted::Pods => 1000,
            Counted::Of(side, resource) => {
                if let Some(silent) = silent(prospect, *side, resource) {
                    let what = side.word();
                    let text = format!(
                        "{name} is limited, and container {silent} has no {what} of {resource}: no pod is admitted"
                    );
                    return Some((i64::from(there), text));
                }
                amount(&requests, &limits, *side, resource)
            }
        };
        each(name, hard, used, need, there)
    });
    let (limit, arithmetic) = rooms.min_by_key(|(limit, _)| *limit)?;
    Some(Headroom {
        by,
        limit: Ok(Replicas::nearest(limit)),
        arithmetic,
    })
}

fn each(
    name: &str,
    hard: &Quantity,
    used: Option<&BTreeMap<String, Quantity>>,
    need: i64,
    there: u32,
) -> Option<(i64, String)> {
    // What a pod takes nothing of limits nothing.
    let hard = milli(&hard.0).filter(|_| need > 0)?;
    let used = used.and_then(|used| milli(&used.get(name)?.0)).unwrap_or(0);
    // More may be used than there is, when the quota was lowered; nothing is taken away for that.
    let more = hard.saturating_sub(used).max(0) / need;
    let write = |milli| plain(name, milli);
    let text = format!(
        "{name}: ({} - {} used) / {} = room for {more} more than the {there} pods there are",
        write(hard),
        write(used),
        write(need)
    );
    Some((i64::from(there).saturating_add(more), text))
}

/// Which of the amounts of a pod a quota's resource counts; `None` where it counts something else.
fn counted(name: &str) -> Option<Counted> {
    let of = |side, resource: &str| Some(Counted::Of(side, resource.to_owned()));
    match name {
        "pods" | "count/pods" => Some(Counted::Pods),
        "cpu" | "memory" | "ephemeral-storage" => of(Side::Requests, name),
        // Of claims, not of pods.
        "requests.storage" => None,
        _ if name.starts_with("hugepages-") => of(Side::Requests, name),
        _ => match name.split_once('.')? {
            ("requests", resource) => of(Side::Requests, resource),
            ("limits", resource) => of(Side::Limits, resource),
            _ => None,
        },
    }
}

/// A container without the amount that a quota needs: of cores and memory it must be written.
fn silent<'p>(prospect: &'p Prospect, side: Side, resource: &str) -> Option<&'p str> {
    matches!(resource, "cpu" | "memory")
        .then(|| prospect.silent(side, resource))
        .flatten()
}

fn amount(requests: &Amounts, limits: &Amounts, side: Side, resource: &str) -> i64 {
    let amounts = match side {
        Side::Requests => requests,
        Side::Limits => limits,
    };
    amounts.get(resource).copied().unwrap_or(0)
}

/// Whether a quota counts such pods at all, by its scopes. `Err`: a scope that is not judged here.
fn applies(quota: &ResourceQuota, prospect: &Prospect) -> Result<bool, String> {
    let Some(spec) = &quota.spec else { return Ok(false) };
    let plain = spec
        .scopes
        .iter()
        .flatten()
        .map(|scope| (scope.as_str(), "Exists", &[][..]));
    let selected = spec
        .scope_selector
        .iter()
        .flat_map(|selector| selector.match_expressions.iter().flatten())
        .map(|each| {
            let values = each.values.as_deref().unwrap_or_default();
            (each.scope_name.as_str(), each.operator.as_str(), values)
        });
    for (scope, operator, values) in plain.chain(selected) {
        if !within(scope, operator, values, prospect)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn within(scope: &str, operator: &str, values: &[String], prospect: &Prospect) -> Result<bool, String> {
    let terminating = prospect.spec.active_deadline_seconds.is_some();
    Ok(match scope {
        "BestEffort" => prospect.best_effort(),
        "NotBestEffort" => !prospect.best_effort(),
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        "PriorityClass" => {
            let class = prospect
                .spec
                .priority_class_name
                .as_ref()
                .filter(|name| !name.is_empty());
            let named = class.is_some_and(|class| values.contains(class));
            match operator {
                "In" => named,
                "NotIn" => !named,
                "Exists" => class.is_some(),
                "DoesNotExist" => class.is_none(),
                _ => {
                    return Err(format!(
                        "the operator {operator} of its scope PriorityClass is not known here"
                    ));
                }
            }
        }
        "CrossNamespacePodAffinity" if !has_affinity(prospect) => false,
        _ => return Err(format!("its scope {scope} is not judged here")),
    })
}

fn has_affinity(prospect: &Prospect) -> bool {
    let affinity = prospect.spec.affinity.as_ref();
    affinity.is_some_and(|affinity| affinity.pod_affinity.is_some() || affinity.pod_anti_affinity.is_some())
}
