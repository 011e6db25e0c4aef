//! What PodDisruptionBudgets demand on the way down.
//!
//! The API server asks no budget when a workload is scaled down. But one that demands a number of pods
//! says how few are too few, and below it every drain would wait for ever. One that allows a number or a
//! share to be unavailable follows the number of replicas, and demands nothing of it.

use flyball_core::{check::Headroom, policy::Replicas};
use k8s_openapi::{api::policy::v1::PodDisruptionBudget, apimachinery::pkg::util::intstr::IntOrString};
use kube::{
    ResourceExt,
    core::{Selector, SelectorExt},
};
use std::collections::BTreeMap;

/// The fewest replicas that a budget demands of pods with these labels; `None` where it demands none.
/// `ready` is the number of the target's ready pods, where it is known.
pub fn floor(budget: &PodDisruptionBudget, labels: &BTreeMap<String, String>, ready: Option<u32>) -> Option<Headroom> {
    let spec = budget.spec.as_ref()?;
    let Some(IntOrString::Int(demanded)) = spec.min_available else {
        return None;
    };
    let selector = spec.selector.clone()?;
    let by = format!("PodDisruptionBudget {}", budget.name_any());
    match Selector::try_from(selector) {
        Ok(selector) if !selector.matches(labels) => return None,
        Ok(_) => {}
        Err(error) => {
            return Some(Headroom {
                by,
                limit: Err(format!("its selector can't be read: {error}")),
                arithmetic: String::new(),
            });
        }
    }
    // Pods of other workloads may satisfy it too, as far as its controller has counted them.
    let status = budget
        .status
        .as_ref()
        .filter(|status| status.observed_generation == budget.metadata.generation);
    let others = match (status, ready) {
        (Some(status), Some(ready)) => i64::from(status.current_healthy)
            .saturating_sub(i64::from(ready))
            .max(0),
        _ => 0,
    };
    let fewest = i64::from(demanded).saturating_sub(others).max(0);
    let arithmetic = if others > 0 {
        format!("minAvailable {demanded} - {others} healthy pods of others = {fewest}")
    } else {
        format!("minAvailable {demanded}")
    };
    Some(Headroom {
        by,
        limit: Ok(Replicas::nearest(fewest)),
        arithmetic,
    })
}
