//! The metrics law, computed by hand from HPA's rules. What HPA itself comes to is said where it
//! differs.

mod per_pod;
mod rollout;
mod several;
mod total;
mod usage;

use super::check;
use crate::{
    build::Observed,
    fleet::{Fleet, cpu},
};
use flyball_core::policy::ReplicasAction;

/// Decides at 3600 s on these pods; `-` is to stay.
fn on(fleet: &Fleet, current: i64, action: &ReplicasAction, expect: &str, parts: &[&str]) {
    check(
        action,
        &fleet.observed(3600, cpu()),
        &fleet.facts(current),
        expect,
        parts,
    );
}

/// The same with other numbers than the pods'.
fn with(observed: &Observed, fleet: &Fleet, current: i64, action: &ReplicasAction, expect: &str, parts: &[&str]) {
    check(action, observed, &fleet.facts(current), expect, parts);
}
