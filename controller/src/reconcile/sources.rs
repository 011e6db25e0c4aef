//! Whether each MetricSource can be asked, said in its own condition.

use super::Context;
use crate::{
    apply::Authority,
    metrics::{Metrics, Verb},
    observe::source::Source,
    record::status::{condition, stalled},
    text::same_words,
};
use flyball_core::time::Timestamp;
use flyball_crds::{ConditionType, FIELD_MANAGER, MetricSource, MetricSourceStatus, Reason};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use std::collections::BTreeSet;
use tracing::warn;

/// Asks every source whether it answers, and writes its status if that says something new. Returns the names of
/// the sources there are.
pub async fn look(ctx: &Context, authority: &Authority) -> BTreeSet<String> {
    let sources = ctx.cluster.sources.state();
    let present = sources.iter().map(|source| source.name_any()).collect();
    ctx.sources.keep(&present);
    let policies = ctx.cluster.policies.state();
    let asking = policies
        .iter()
        .filter_map(|policy| Some((policy.spec.source_ref.name.clone(), policy.namespace()?)))
        .collect();
    ctx.sources.keep_namespaces(&asking);
    ctx.recorder.metrics.keep_namespaces(&asking);
    futures::future::join_all(sources.iter().map(|source| look_at(ctx, source, authority))).await;
    present
}

/// Asks a source whether it answers. An open circuit breaker is what is told as long as it is open, whatever
/// the latest failure was: it is why policies get no answer, and the condition does not move with each try.
pub async fn view(source: &Source, metrics: &Metrics, now: Timestamp) -> (Reason, String) {
    let ready = source.ready(now).await;
    metrics.circuit(source.name(), source.stage());
    match (ready, source.outage()) {
        (Ok(()), _) => (Reason::Accepted, "its server answers".to_owned()),
        (Err(_), Some(outage)) => (Reason::CircuitOpen, outage.to_string()),
        (Err(error), None) => (Reason::SourceUnavailable, error.to_string()),
    }
}

async fn look_at(ctx: &Context, object: &MetricSource, authority: &Authority) {
    let (reason, message) = match ctx.sources.build(&ctx.cluster, object) {
        Err(problem) => (problem.reason(), problem.to_string()),
        Ok(source) => view(&source, &ctx.recorder.metrics, (ctx.now)()).await,
    };
    // One that was read from a file is no object, and has nobody to tell; policies say it of themselves.
    if object.uid().is_none() {
        return;
    }
    let before = object.status.clone().unwrap_or_default().conditions;
    let generation = object.metadata.generation;
    let ready = (reason == Reason::Accepted, reason, message);
    let stalled = stalled(&before, &ready, generation, (ctx.now)());
    let condition = condition(
        &before,
        ConditionType::Ready,
        ready,
        same_words,
        generation,
        (ctx.now)(),
    );
    if before.contains(&condition) {
        return;
    }
    let written = MetricSourceStatus {
        observed_generation: generation,
        conditions: [Some(condition), stalled].into_iter().flatten().collect(),
    };
    let api: Api<MetricSource> = Api::all(ctx.clients.write.clone());
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(serde_json::json!({"status": written}));
    let name = object.name_any();
    if let Err(error) = authority
        .within(Verb::Patch, api.patch_status(&name, &parameters, &patch))
        .await
    {
        warn!(source = name, %error, "the status of a MetricSource was not written");
    }
}
