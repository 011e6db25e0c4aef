//! The explanation as an object, for programs: what the page says, without its sentences about sentences.

use super::{Facts, next};
use crate::{
    cli::{fetch::Controller, get::tree::phase_of},
    clock::micro_time,
};
use flyball_core::time::Span;
use flyball_crds::{ActionStatus, Mode, Phase, RuleStatus, TargetRef};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use kube::ResourceExt;
use serde::Serialize;

/// What is known of a policy, and what to do next.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation<'a> {
    /// The policy's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its mode.
    pub mode: Mode,
    /// Whether it is suspended.
    pub suspended: bool,
    /// What it drives.
    pub target: &'a TargetRef,
    /// The MetricSource that it asks.
    pub source: &'a str,
    /// Its generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// The generation that the rest is about; absent: no controller has looked at it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The controller.
    pub controller: Leader,
    /// What the policy is doing.
    pub doing: &'a str,
    /// Why.
    pub why: &'a str,
    /// As in its status.
    pub conditions: &'a [Condition],
    /// As in its status.
    pub rules: &'a [RuleStatus],
    /// As in its status: signals, the last decision and its checks, latches.
    pub actions: &'a [ActionStatus],
    /// The Changes that are open; where there is none the newest one, and the newest that was written.
    pub changes: Vec<Shown<'a>>,
    /// What to do, the most pressing first.
    pub next: Vec<next::Step>,
    /// Now, by the API server's clock.
    pub at: MicroTime,
}

/// The controller, by its lease.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leader {
    /// The lease, as `namespace/name`.
    pub lease: String,
    /// `Leads`, `Silent`, `Vacant`, `Missing` or `Unknown`.
    pub state: &'static str,
    /// Who holds the lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// How long ago it was renewed, in whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewed_seconds_ago: Option<u64>,
    /// Why the lease could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A Change in short; `flyball get -o json` has all of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown<'a> {
    /// Its name.
    pub name: String,
    /// Its phase; absent: a record that is still being written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// When it was proposed.
    pub proposed_at: &'a MicroTime,
    /// When it was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<&'a MicroTime>,
    /// Why it was proposed.
    pub reason: &'a str,
    /// What came of it so far.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub message: &'a str,
}

/// Puts it together.
pub fn explanation(facts: &Facts) -> Explanation<'_> {
    let (policy, status) = (&facts.policy, facts.policy.status.as_ref());
    let changes = facts.shown().into_iter().map(|change| Shown {
        name: change.name_any(),
        phase: phase_of(change),
        proposed_at: &change.spec.proposed_at,
        closed_at: change.status.as_ref().and_then(|status| status.closed_at.as_ref()),
        reason: &change.spec.reason,
        message: change.status.as_ref().map_or("", |status| &status.message),
    });
    Explanation {
        namespace: policy.namespace().unwrap_or_default(),
        name: policy.name_any(),
        mode: policy.spec.mode,
        suspended: policy.spec.suspend,
        target: &policy.spec.target_ref,
        source: &policy.spec.source_ref.name,
        generation: policy.metadata.generation,
        observed_generation: status.and_then(|status| status.observed_generation),
        controller: leader(&facts.controller, &facts.lease),
        doing: status.map_or("", |status| &status.doing),
        why: status.map_or("", |status| &status.why),
        conditions: status.map_or(&[], |status| &status.conditions),
        rules: status.map_or(&[], |status| &status.rules),
        actions: status.map_or(&[], |status| &status.actions),
        changes: changes.collect(),
        next: next::next(facts),
        at: micro_time(facts.now),
    }
}

fn leader(controller: &Controller, lease: &str) -> Leader {
    let seconds = |span: &Span| span.as_millis() / 1000;
    let (state, holder, renewed, error) = match controller {
        Controller::Leads { holder, renewed } => ("Leads", Some(holder.clone()), Some(seconds(renewed)), None),
        Controller::Silent { holder, renewed } => ("Silent", Some(holder.clone()), Some(seconds(renewed)), None),
        Controller::Vacant => ("Vacant", None, None, None),
        Controller::Missing => ("Missing", None, None, None),
        Controller::Unknown(error) => ("Unknown", None, None, Some(error.clone())),
    };
    Leader {
        lease: lease.to_owned(),
        state,
        holder,
        renewed_seconds_ago: renewed,
        error,
    }
}
