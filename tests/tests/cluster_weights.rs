//! The weights lever on the real API server: what is written, what is left alone, what the traffic decides, and
//! what becomes of a change that others interfere with.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "cluster_weights/input.rs"]
mod input;
#[path = "cluster_weights/kinds.rs"]
mod kinds;
#[path = "cluster_weights/laws.rs"]
mod laws;
#[path = "cluster_weights/others.rs"]
mod others;
#[path = "cluster_weights/several.rs"]
mod several;

use flyball_crds::{BackendWeight, Change, FeedbackPolicy};
use flyball_tests::{
    bed::{Bed, bed},
    gateway::Gateway,
    world::{World, condition, routes},
};
use std::collections::BTreeMap;

/// The weights that every scenario begins with, which are the base of its policy.
const BASE: [(&str, i64); 3] = [("a", 500), ("b", 250), ("c", 250)];
/// What a firing rule that names `b` makes of them: 15 points less for b, shared out by base.
const SHIFTED: [(&str, i64); 3] = [("a", 600), ("b", 100), ("c", 300)];

/// The bed with the definitions of the Gateway API.
async fn bed_with_routes() -> Option<Bed> {
    let bed = bed().await?;
    Gateway::up(&bed).await?;
    Some(bed)
}

/// A world with the route `web` at its base, and traffic that follows it.
async fn world(bed: &Bed, name: &str) -> (World, routes::Split) {
    let world = World::new(bed, name).await;
    world.create(&routes::route("web", &BASE)).await;
    let split = routes::Split::start(&world, "web").await;
    (world, split)
}

fn recorded(weights: &[BackendWeight]) -> BTreeMap<String, i64> {
    let each = weights.iter().map(|entry| (entry.backend.clone(), entry.weight.into()));
    each.collect()
}

/// The weights before, of the first list, and after.
fn moved(change: &Change) -> (BTreeMap<String, i64>, BTreeMap<String, i64>) {
    let weights = change.spec.weights.as_ref().expect("weights");
    (recorded(&weights.lists[0].before), recorded(&weights.after))
}

fn named(weights: &[(&str, i64)]) -> BTreeMap<String, i64> {
    weights
        .iter()
        .map(|(name, weight)| ((*name).to_owned(), *weight))
        .collect()
}

/// Waits until the policy `web` is not ready, for this reason, and says why.
async fn troubled(world: &World, reason: &str) -> String {
    let found = |policy: &FeedbackPolicy| {
        let (status, why, message) = condition(policy, "Ready")?;
        (status == "False" && why == reason).then_some(message)
    };
    world.policy("web", reason, found).await
}
