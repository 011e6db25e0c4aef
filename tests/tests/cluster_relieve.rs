//! Pods that are given memory, or evicted, before the kernel kills what is in them: real processes in real pods, the real
//! kubelet, quotas and disruption budgets.

#![allow(clippy::unwrap_used)]

use flyball_crds::{Change, ChangeField, Phase};
use flyball_tests::{
    bed::{Bed, bed, eventually, eventually_within},
    laws::is_open,
    leak::Leak,
    world::{Answer, World, condition, message_of, objects, phase_of},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// The same as metrics have it.
const MIB_AS_TOLD: f64 = 1_048_576.0;
/// How long a scenario waits for what must come. It is no measure of speed.
const PATIENCE: Duration = Duration::from_secs(120);

/// A policy that relieves the pods that `Full` names.
fn policy(source: &str, expr: &str, relieve: &Value) -> Value {
    json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy", "metadata": {"name": "relief"},
        "spec": {
            "mode": "Enforce",
            "sourceRef": {"name": source},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "interval": "1s",
            "maxAge": "15s",
            "rules": [{"alert": "Full", "expr": expr}],
            "actions": [{"name": "room", "when": ["Full"], "relieve": relieve}],
        },
    })
}

/// The Changes of pods, in order.
async fn relieved(world: &World) -> Vec<Change> {
    let mut changes = world.changes().await;
    changes.retain(|change| change.spec.field == ChangeField::Pod);
    changes.sort_by_key(|change| change.spec.proposed_at.0);
    changes
}

/// How often the container was started again, and how it ended the last time.
fn restarts(pod: &Pod) -> (i32, Option<String>) {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.clone());
    let status = statuses.unwrap().remove(0);
    let last = status.last_state.and_then(|state| state.terminated);
    (status.restart_count, last.and_then(|last| last.reason))
}

fn limit(pod: &Pod) -> (Value, Value) {
    let whole = serde_json::to_value(pod).unwrap();
    let resources = &whole["spec"]["containers"][0]["resources"];
    (
        resources["limits"]["memory"].clone(),
        resources["requests"]["memory"].clone(),
    )
}

/// The process comes to hold more than it might have had at first, so that without relief the kernel would have ended it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_leaks_is_given_memory_before_the_kernel_kills_it() {
    let Some(bed) = bed().await else { return };
    let leak = Leak::start(&bed, "relief", "96Mi").await;
    let expr = "flyball_agent_working_set_bytes / flyball_agent_container_limit_bytes > 0.8";
    let relieve = json!({"resize": {"percent": 50, "max": "200Mi", "every": "10s", "within": "1m"}});
    leak.world.apply(&policy(&leak.world.namespace, expr, &relieve)).await;
    let before = leak.pod().await;
    let (name, class) = (before.name_any(), before.status.clone().unwrap().qos_class);
    assert_eq!(limit(&before), (json!("96Mi"), json!("96Mi")));
    let _controller = leak.world.controller("one");
    leak.turn("cache=0").await;
    leak.turn("leak=3Mi").await;
    leak.until("more than it might have", async || {
        let held = leak.metric("flyball_agent_working_set_bytes").await;
        (held > 100.0 * MIB_AS_TOLD).then_some(())
    })
    .await;
    leak.turn("leak=0").await;
    let first = leak
        .until("the first Change is committed", async || {
            let first = relieved(&leak.world).await.into_iter().next()?;
            (phase_of(&first) == Phase::Committed).then_some(first)
        })
        .await;
    let moved = first.spec.pod.clone().unwrap();
    assert_eq!(moved.container, "main");
    // Half as much again, of the request too, since it was the limit.
    assert_eq!(moved.before, format!("limit={0} request={0}", 96 * MIB));
    assert_eq!(moved.after, format!("limit={0} request={0}", 144 * MIB));
    assert_eq!(first.spec.shift, format!("{name}: memory of main 96 MiB -> 144 MiB"));
    let after = leak.pod().await;
    assert_eq!((after.name_any(), restarts(&after)), (name.clone(), (0, None)));
    assert_eq!(after.status.clone().unwrap().qos_class, class);
    let given = limit(&after);
    assert!(given.0 == given.1 && given.0 != "96Mi", "{given:?}");
    // The kernel has it, and the agent heard of it.
    let kernel = leak.world.memory_limit(&name, "main").await.unwrap();
    assert!(kernel >= 144 * MIB, "{kernel}");
    leak.until("the agent knows its limit", async || {
        let known = leak.metric("flyball_agent_container_limit_bytes").await;
        (known >= 144.0 * MIB_AS_TOLD).then_some(())
    })
    .await;

    // Up to max and not above, which is said.
    leak.turn("leak=3Mi").await;
    leak.until("it has what it may have", async || {
        (limit(&leak.pod().await).0 == "200Mi").then_some(())
    })
    .await;
    leak.until("that no more is given is said", async || {
        let policy = leak.world.policies().get("relief").await.unwrap();
        let (status, _, message) = condition(&policy, "Relieved")?;
        (status == "False" && message.contains("the limit of main is 200 MiB, and resize.max is 200 MiB")).then_some(())
    })
    .await;
    leak.turn("leak=0").await;
    leak.world.laws().await;
}

/// Two pods that do nothing, of which the first is full.
struct Pair {
    world: World,
    full: String,
    other: String,
}

impl Pair {
    async fn set(bed: &Bed, name: &str, relieve: &Value) -> Self {
        let world = World::new(bed, name).await;
        let mut web = objects::workload("Deployment", "web", 2);
        let spec = &mut web["spec"]["template"]["spec"];
        // On the node, unlike most.
        spec["nodeSelector"] = json!({});
        let container = &mut spec["containers"][0];
        container["resources"] = json!({"limits": {"memory": "32Mi", "cpu": "50m"}});
        world.create(&web).await;
        let ready = async || -> Option<Vec<String>> {
            let names = serving(&world).await;
            (names.len() == 2).then_some(names)
        };
        let names = eventually_within(PATIENCE, "both pods are ready", ready).await;
        let [full, other] = names.try_into().unwrap();
        world.prometheus.set(
            "full",
            Answer::Containers(vec![(full.clone(), 0.5), (other.clone(), 0.5)]),
        );
        world.apply(&policy(&world.namespace, "full > 0.9", relieve)).await;
        Self { world, full, other }
    }

    /// Prometheus says so of the first; a pod of somebody else is nobody's business here.
    fn fill(&self, ratio: f64) {
        let found = [(&self.full, ratio), (&self.other, 0.5), (&"stranger".to_owned(), 0.99)];
        let found = found.into_iter().map(|(pod, ratio)| (pod.clone(), ratio)).collect();
        self.world.prometheus.set("full", Answer::Containers(found));
    }

    /// What is said of relief, once it has these words.
    async fn says(&self, words: &str) {
        self.world
            .policy("relief", words, |policy| {
                let (_, _, message) = condition(policy, "Relieved")?;
                message.contains(words).then_some(())
            })
            .await;
    }
}

/// The pods that are ready and stay, by name.
async fn serving(world: &World) -> Vec<String> {
    let api: Api<Pod> = Api::namespaced(world.bed.client.clone(), &world.namespace);
    let pods = api.list(&ListParams::default().labels("app=web")).await.unwrap().items;
    let serves = |pod: &&Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.clone());
        let mut all = conditions.unwrap_or_default().into_iter();
        pod.metadata.deletion_timestamp.is_none() && all.any(|it| it.type_ == "Ready" && it.status == "True")
    };
    let mut names: Vec<String> = pods.iter().filter(serves).map(ResourceExt::name_any).collect();
    names.sort();
    names
}

fn budget(available: i32) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"minAvailable": available, "selector": {"matchLabels": {"app": "web"}}},
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_is_evicted_as_far_as_its_budget_allows_and_no_other_pod_is_touched() {
    let Some(bed) = bed().await else { return };
    let pair = Pair::set(&bed, "evict", &json!({"evict": {"every": "1m", "within": "1m"}})).await;
    let world = &pair.world;
    world.create(&budget(2)).await;
    // Until its controller has looked at it, a budget allows nothing, and says so in other words.
    let budgets = world.any("policy/v1", "PodDisruptionBudget");
    let seen = async || {
        let budget = budgets.get("web").await.ok()?;
        (budget.data["status"]["currentHealthy"] == 2).then_some(())
    };
    eventually_within(PATIENCE, "the budget is known", seen).await;
    let _controller = world.controller("one");
    pair.says("no pod needs relief").await;
    pair.fill(0.99);
    pair.says("disruption budget").await;
    assert!(
        relieved(world).await.is_empty(),
        "what is refused by a trial is no Change"
    );
    assert_eq!(serving(world).await.len(), 2);
    // With room in the budget it goes.
    world.apply(&budget(1)).await;
    let change = eventually_within(PATIENCE, "the eviction is committed", async || {
        let change = relieved(world).await.into_iter().next()?;
        (phase_of(&change) == Phase::Committed).then_some(change)
    })
    .await;
    assert_eq!(change.spec.shift, format!("{}: evicted", pair.full));
    assert!(
        message_of(&change).contains("2 are ready as before"),
        "{}",
        message_of(&change)
    );
    let names = serving(world).await;
    assert!(
        names.len() == 2 && names.contains(&pair.other) && !names.contains(&pair.full),
        "{names:?}"
    );
    assert_eq!(relieved(world).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_is_resized_once_in_a_while_and_evicted_where_a_quota_gives_no_more() {
    let Some(bed) = bed().await else { return };
    let resize = json!({"percent": 50, "max": "256Mi", "every": "10s", "within": "10s"});
    let relieve = json!({"resize": resize, "evict": {"every": "1m", "within": "1m"}});
    let pair = Pair::set(&bed, "quota", &relieve).await;
    let world = &pair.world;
    // Two pods of 32 MiB, one of which may have half as much again, once.
    world
        .create(&json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "web"},
            "spec": {"hard": {"limits.memory": "84Mi"}},
        }))
        .await;
    let quotas = world.any("v1", "ResourceQuota");
    let counted = async || {
        let quota = quotas.get("web").await.ok()?;
        (quota.data["status"]["used"]["limits.memory"] == "64Mi").then_some(())
    };
    eventually_within(PATIENCE, "the quota is counted", counted).await;
    let _controller = world.controller("one");
    pair.says("no pod needs relief").await;
    pair.fill(0.99);
    // The alert goes on, so the memory did not help; it stays all the same.
    let first = eventually_within(PATIENCE, "the resize did not help", async || {
        let first = relieved(world).await.into_iter().next()?;
        (phase_of(&first) == Phase::Ineffective).then_some(first)
    })
    .await;
    assert_eq!(
        first.spec.shift,
        format!("{}: memory of main 32 MiB -> 48 MiB", pair.full)
    );
    assert!(
        message_of(&first).contains("Full still names the pod"),
        "{}",
        message_of(&first)
    );
    // The next one would be 72 MiB: the quota has 52 for it, so the pod goes.
    let second = eventually_within(PATIENCE, "the pod is evicted", async || {
        let second = relieved(world).await.into_iter().nth(1)?;
        (phase_of(&second) == Phase::Committed).then_some(second)
    })
    .await;
    assert_eq!(second.spec.shift, format!("{}: evicted", pair.full));
    let pods: Api<Pod> = Api::namespaced(bed.client.clone(), &world.namespace);
    let other = pods.get(&pair.other).await.unwrap();
    assert_eq!(limit(&other).0, "32Mi", "the other pod has what it had");
}

/// Nothing but Enforce touches a pod, and a kill switch holds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_enforced_or_is_paused_is_said_and_not_done() {
    let Some(bed) = bed().await else { return };
    let relieve = json!({"resize": {"percent": 50, "max": "256Mi"}});
    let pair = Pair::set(&bed, "unenforced", &relieve).await;
    let world = &pair.world;
    pair.fill(0.99);
    let recommend = objects::with(
        policy(&world.namespace, "full > 0.9", &relieve),
        "/spec/mode",
        json!("Recommend"),
    );
    world.apply(&recommend).await;
    let _controller = world.controller("one");
    pair.says("the mode is not Enforce, so nothing is done").await;
    let pods = world.any("v1", "Pod");
    let pause = |value: Value| {
        let patch = json!({"metadata": {"annotations": {"flyball.dev/paused": value}}});
        let pods = pods.clone();
        let full = pair.full.clone();
        async move {
            let patch = kube::api::Patch::Merge(patch);
            pods.patch(&full, &kube::api::PatchParams::default(), &patch)
                .await
                .unwrap();
        }
    };
    pause(json!("true")).await;
    world.apply(&policy(&world.namespace, "full > 0.9", &relieve)).await;
    pair.says("the pod is paused").await;
    assert!(relieved(world).await.is_empty());
    pause(Value::Null).await;
    eventually_within(PATIENCE, "it is resized", async || {
        (relieved(world).await.len() == 1).then_some(())
    })
    .await;
    // A policy that is deleted leaves nothing open.
    world
        .policies()
        .delete("relief", &DeleteParams::default())
        .await
        .unwrap();
    eventually("its Change is closed", async || {
        let changes = relieved(world).await;
        changes.iter().all(|change| !is_open(change)).then_some(())
    })
    .await;
}
