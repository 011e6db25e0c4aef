//! What the cluster says of itself: watches and queries, into one channel.

use super::{prometheus::Prometheus, setting::Part, world::Sighting};
use flyball_crds::{Change, FeedbackPolicy};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher},
};
use std::{fmt::Debug, time::Duration};
use tokio::{
    sync::mpsc::UnboundedSender,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// How often the demo asks Prometheus.
const ROUND: Duration = Duration::from_secs(1);

/// The channel's message.
pub type Seen = (Part, Sighting);

/// Starts the watches and queries of one chapter. They end with the set.
pub fn start(
    tasks: &mut JoinSet<()>,
    client: &Client,
    prometheus: Prometheus,
    part: Part,
    out: &UnboundedSender<Seen>,
) {
    let namespace = part.namespace();
    let policies: Api<FeedbackPolicy> = Api::namespaced(client.clone(), namespace);
    tasks.spawn(follow(policies, part, out.clone(), |policy| {
        Some(Sighting::Policy(Box::new(policy)))
    }));
    let changes: Api<Change> = Api::namespaced(client.clone(), namespace);
    tasks.spawn(follow(changes, part, out.clone(), |change| {
        Some(Sighting::Change(Box::new(change)))
    }));
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    tasks.spawn(follow(deployments, part, out.clone(), move |deployment| {
        replicas(part, &deployment)
    }));
    let out = out.clone();
    tasks.spawn(async move {
        let mut ticks = interval(ROUND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            let measured = prometheus.measure().await;
            if out.send((part, Sighting::Measured(measured))).is_err() {
                return;
            }
        }
    });
}

fn replicas(part: Part, deployment: &Deployment) -> Option<Sighting> {
    if deployment.metadata.name.as_deref() != Some(part.name()) {
        return None;
    }
    let spec = deployment.spec.as_ref()?.replicas.unwrap_or(1);
    let ready = deployment
        .status
        .as_ref()
        .and_then(|status| status.ready_replicas)
        .unwrap_or(0);
    Some(Sighting::Deployment(spec, ready))
}

async fn follow<K, F>(api: Api<K>, part: Part, out: UnboundedSender<Seen>, sighting: F)
where
    K: kube::Resource + Clone + Debug + serde::de::DeserializeOwned + Send + 'static,
    F: Fn(K) -> Option<Sighting>,
{
    let stream = watcher(api, watcher::Config::default())
        .default_backoff()
        .applied_objects();
    let mut stream = std::pin::pin!(stream.into_stream());
    while let Some(event) = stream.next().await {
        // The watch has its own back-off and starts again.
        let Ok(object) = event else { continue };
        if let Some(sighting) = sighting(object)
            && out.send((part, sighting)).is_err()
        {
            return;
        }
    }
}
