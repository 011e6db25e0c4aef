//! What the replicas lever has besides its loop, each on the real API server: hand-overs, the red button,
//! people's requests, rollouts, headroom, zero, coverage, and what holds a change back or raises it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "cluster_replicas/coverage.rs"]
mod coverage;
#[path = "cluster_replicas/freeze.rs"]
mod freeze;
#[path = "cluster_replicas/headroom.rs"]
mod headroom;
#[path = "cluster_replicas/held.rs"]
mod held;
#[path = "cluster_replicas/raised.rs"]
mod raised;
#[path = "cluster_replicas/requests.rs"]
mod requests;
#[path = "cluster_replicas/rollout.rs"]
mod rollout;
#[path = "cluster_replicas/takeover.rs"]
mod takeover;
#[path = "cluster_replicas/webhook.rs"]
mod webhook;
#[path = "cluster_replicas/zero.rs"]
mod zero;

use flyball_crds::{Change, CheckVerdict, FeedbackPolicy};
use flyball_tests::world::{World, phase_of};

/// What one check said of a Change.
fn check_of(change: &Change, name: &str) -> (CheckVerdict, String) {
    let found = change.spec.evidence.checks.iter().find(|check| check.name == name);
    let check = found.unwrap_or_else(|| panic!("no check {name}: {:?}", change.spec.evidence.checks));
    (check.verdict, check.message.clone())
}

/// Waits until a policy says what it does and why, in these words.
async fn says(world: &World, policy: &str, doing: &str, why: &str) -> String {
    let found = |policy: &FeedbackPolicy| {
        let status = policy.status.clone()?;
        (status.doing.starts_with(doing) && status.why.contains(why)).then_some(status.why)
    };
    world
        .policy(policy, &format!("{doing:?} because of {why:?}"), found)
        .await
}

/// Waits until every policy of the world was passed over a few times more.
async fn passes(world: &World) {
    let asked = world.prometheus.asked();
    flyball_tests::bed::eventually("further passes", async || {
        (world.prometheus.asked() > asked + 13).then_some(())
    })
    .await;
}

/// The Changes that hold or held the field.
async fn written(world: &World) -> Vec<(i32, i32)> {
    let changes = world.changes().await.into_iter();
    let own = changes.filter(|change| change.spec.sequence > 0);
    own.map(|change| (change.spec.before, change.spec.after)).collect()
}

/// The open Changes, with where they are.
async fn open(world: &World) -> Vec<String> {
    let changes = world.changes().await.into_iter();
    let open = changes.filter(|change| change.spec.sequence > 0 && phase_of(change).is_open());
    open.map(|change| {
        format!(
            "{:?} {} -> {}",
            phase_of(&change),
            change.spec.before,
            change.spec.after
        )
    })
    .collect()
}
