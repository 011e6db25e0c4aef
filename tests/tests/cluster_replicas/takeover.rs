//! The field goes from a real HorizontalPodAutoscaler to a policy and back, and the replicas never dip.

use super::says;
use flyball_crds::{Change, FeedbackPolicy, Mode, Phase, STAMP_ANNOTATION, TAKEN_FROM_ANNOTATION};
use flyball_tests::{
    bed::{Bed, bed, eventually},
    hpa::{MetricsApi, Series, Values},
    world::{Controller, World, condition, message_of, objects, phase_of},
};
use kube::{
    ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

/// A world in which a real autoscaler and a policy read the same queue.
struct Both {
    world: World,
    metrics: MetricsApi,
}

impl Both {
    /// The Deployment `web` with three replicas for a queue of 30, scaled by the autoscaler `web`.
    async fn new(bed: &Bed) -> Self {
        let both = Self {
            world: World::new(bed, "takeover").await,
            metrics: MetricsApi::start(bed).await,
        };
        both.queue("30", 30.0).await;
        both.world.web(3).await;
        both.world.create(&autoscaler()).await;
        // It scales: until it has read the metric once, there is nothing to take over.
        both.desired(3).await;
        both
    }

    /// Sets what is waiting, for both.
    async fn queue(&self, text: &str, value: f64) {
        self.external("queue", text, value).await;
    }

    async fn external(&self, metric: &str, text: &str, value: f64) {
        let mut values = Values::default();
        values.external.insert(metric.to_owned(), vec![Series::of(text)]);
        self.metrics.add(&self.world.namespace, &values).await;
        self.world.prometheus.value(metric, value);
    }

    async fn hpa(&self) -> Option<DynamicObject> {
        let autoscalers = self.world.any("autoscaling/v2", "HorizontalPodAutoscaler");
        autoscalers.get_opt("web").await.unwrap()
    }

    /// Waits until the autoscaler wants so many.
    async fn desired(&self, replicas: i64) {
        eventually(&format!("the autoscaler wants {replicas}"), async || {
            let status = self.hpa().await?.data["status"].clone();
            let read = status["currentMetrics"].as_array().is_some_and(|list| !list.is_empty());
            (read && status["desiredReplicas"] == json!(replicas)).then_some(())
        })
        .await;
    }

    /// Lets the policy of the same arithmetic decide, and take the field over.
    async fn taken_over(&self) -> Controller {
        let policy = objects::policy_by_queue("web", &self.world.namespace);
        self.world
            .apply(&objects::with(policy, "/spec/mode", json!("Recommend")))
            .await;
        let controller = self.world.controller("one");
        let beside = |policy: &FeedbackPolicy| {
            let (ready, reason, _) = condition(policy, "Ready")?;
            let decision = policy.status.as_ref()?.actions.first()?.last_decision.clone()?;
            (ready == "False" && reason == "OwnershipConflict" && decision.desired == 3).then_some(())
        };
        self.world.policy("web", "it decides beside the other", beside).await;
        let said = self.world.flyball(&["takeover", "web", "--yes"]).await.done();
        assert!(said.contains("HorizontalPodAutoscaler web is deleted"), "{said}");
        assert!(said.contains("has the field"), "{said}");
        assert!(self.hpa().await.is_none(), "the autoscaler is still there");
        let policy = self.world.policies().get("web").await.unwrap();
        assert_eq!(policy.spec.mode, Mode::Enforce);
        assert!(policy.annotations().contains_key(TAKEN_FROM_ANNOTATION));
        controller
    }

    /// Asks for more, and waits until the policy has written it.
    async fn more(&self) -> Change {
        self.queue("50", 50.0).await;
        let change = self.world.phase(1, Phase::Verifying).await;
        assert_eq!((change.spec.before, change.spec.after), (3, 5));
        change
    }

    /// The field is the autoscaler's again, as it was, and it scales.
    async fn given_back(&self) {
        let hpa = self.hpa().await.expect("the autoscaler is back");
        let spec = autoscaler()["spec"].clone();
        for field in ["minReplicas", "maxReplicas", "scaleTargetRef", "metrics"] {
            assert_eq!(hpa.data["spec"][field], spec[field], "{field}");
        }
        let policy = self.world.policies().get("web").await.unwrap();
        assert!(policy.spec.suspend && !policy.annotations().contains_key(TAKEN_FROM_ANNOTATION));
        self.queue("70", 70.0).await;
        self.desired(7).await;
        eventually("it scales again", async || {
            (self.world.replicas("Deployment", "web").await == 7).then_some(())
        })
        .await;
    }
}

fn autoscaler() -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 1, "maxReplicas": 8,
            "metrics": [external("queue")],
            // It would take away at once what it finds too much.
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
        },
    })
}

fn external(metric: &str) -> Value {
    let target = json!({"type": "AverageValue", "averageValue": "10"});
    json!({"type": "External", "external": {"metric": {"name": metric}, "target": target}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_field_goes_to_the_policy_and_back_without_a_dip() {
    let Some(bed) = bed().await else { return };
    let both = Both::new(&bed).await;
    let world = &both.world;
    let _controller = both.taken_over().await;
    both.more().await;
    // Back in the middle of a verification: the controller closes what is open, and the number stays.
    let said = world.flyball(&["release", "web"]).await.done();
    assert!(
        said.contains("released to HorizontalPodAutoscaler web, at 5 replicas"),
        "{said}"
    );
    let change = world.closed(1).await;
    assert_eq!(phase_of(&change), Phase::Inconclusive, "{}", message_of(&change));
    both.given_back().await;
    assert_eq!(world.numbers("web").await, [3, 5, 7], "the demand only rose");
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_field_goes_back_where_no_controller_runs() {
    let Some(bed) = bed().await else { return };
    let both = Both::new(&bed).await;
    let world = &both.world;
    let controller = both.taken_over().await;
    let open = both.more().await;
    controller.end().await;
    let said = world.flyball(&["release", "web"]).await.done();
    assert!(said.contains("was closed from here"), "{said}");
    let change = world.closed(1).await;
    assert_eq!(phase_of(&change), Phase::Inconclusive, "{}", message_of(&change));
    // Behind a stamp of a new attempt, so that nothing of the old controller can land.
    let attempt = |change: &Change| change.status.as_ref().map_or(0, |status| status.attempt);
    assert!(attempt(&change) > attempt(&open), "{change:?}");
    let target = world.any("apps/v1", "Deployment").get("web").await.unwrap();
    assert_eq!(
        target.annotations().get(STAMP_ANNOTATION).map(String::as_str),
        Some(format!("sequence=1,attempt={}", attempt(&change)).as_str())
    );
    both.given_back().await;
    assert_eq!(world.numbers("web").await, [3, 5, 7], "the demand only rose");
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_fields_go_back_after_a_crash_with_or_without_an_autoscaler() {
    let Some(bed) = bed().await else { return };
    let both = Both::new(&bed).await;
    let world = &both.world;
    world.create(&objects::workload("Deployment", "api", 2)).await;
    let alone = objects::with(
        objects::policy("api", &world.namespace),
        "/spec/targetRef/name",
        json!("api"),
    );
    world.apply(&alone).await;
    let watching = objects::with(alone.clone(), "/metadata/name", json!("watching"));
    let watching = objects::with(watching, "/spec/targetRef/name", json!("nothing"));
    world
        .apply(&objects::with(watching, "/spec/mode", json!("Recommend")))
        .await;
    let controller = both.taken_over().await;
    both.more().await;
    says(world, "api", "Steady at 2", "").await;
    // It keeps its lease for as long as nobody can know that it is dead.
    controller.kill();
    let said = world.flyball(&["release", "--all"]).await.done();
    let line = |name: &str| {
        let begin = format!("{}/{name}: ", world.namespace);
        let found = said.lines().find(|line| line.starts_with(&begin));
        found.unwrap_or_else(|| panic!("nothing of {name}: {said}")).to_owned()
    };
    assert!(
        line("web").contains("released to HorizontalPodAutoscaler web"),
        "{said}"
    );
    assert!(
        line("api").contains("released; nothing scales it now, at 2 replicas"),
        "{said}"
    );
    assert!(line("watching").contains("does not hold the field"), "{said}");
    both.given_back().await;
    assert_eq!(world.numbers("web").await, [3, 5, 7], "the demand only rose");
    assert_eq!(world.numbers("api").await, [2]);
    // Once more there is nothing to do, and it says so.
    let said = world.flyball(&["release", "web"]).await.done();
    assert!(said.contains("scales it already"), "{said}");
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_autoscaler_that_allows_less_is_not_made_again_unasked() {
    let Some(bed) = bed().await else { return };
    let both = Both::new(&bed).await;
    let world = &both.world;
    let less = json!({"spec": {"maxReplicas": 4}});
    let autoscalers = world.any("autoscaling/v2", "HorizontalPodAutoscaler");
    let parameters = PatchParams::default();
    autoscalers
        .patch("web", &parameters, &Patch::Merge(less))
        .await
        .unwrap();
    let _controller = both.taken_over().await;
    both.more().await;
    let said = world.flyball(&["release", "web"]).await;
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.out
            .contains("allows at most 4 replicas and there are 5, so it would take 1 away at once"),
        "{said:?}"
    );
    // Nobody scales meanwhile, and the way back is still there.
    assert!(both.hpa().await.is_none());
    let policy = world.policies().get("web").await.unwrap();
    assert!(policy.spec.suspend && policy.annotations().contains_key(TAKEN_FROM_ANNOTATION));
    assert_eq!(world.numbers("web").await, [3, 5]);
    // The policy can have it back, too.
    world.flyball(&["resume", "web"]).await.done();
    says(world, "web", "Steady at 5", "").await;
    // Who is asked and agrees gets what was said.
    let said = world.flyball(&["release", "web", "--allow-dip"]).await.done();
    assert!(said.contains("released to HorizontalPodAutoscaler web"), "{said}");
    eventually("it takes one away", async || {
        (world.replicas("Deployment", "web").await == 4).then_some(())
    })
    .await;
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_cut_short_or_done_by_hand_is_finished() {
    let Some(bed) = bed().await else { return };
    let both = Both::new(&bed).await;
    let world = &both.world;
    let _controller = both.taken_over().await;
    // As if the takeover had ended before its last step.
    let policies = world.policies();
    let parameters = PatchParams::default();
    let before = json!({"spec": {"mode": "Recommend"}});
    policies.patch("web", &parameters, &Patch::Merge(before)).await.unwrap();
    let observed = |policy: &FeedbackPolicy| {
        let status = policy.status.as_ref()?;
        (status.observed_generation == policy.metadata.generation).then_some(())
    };
    world.policy("web", "the edit was seen", observed).await;
    let said = world.flyball(&["takeover", "web", "--yes"]).await.done();
    assert!(
        said.contains("is gone already") && said.contains("has the field"),
        "{said}"
    );
    let said = world.flyball(&["takeover", "web", "--yes"]).await.done();
    assert!(said.contains("has the field already"), "{said}");
    both.more().await;
    // Somebody has made the autoscaler again: the policy stops by itself, and the release adds nothing.
    world.create(&autoscaler()).await;
    let beside = |policy: &FeedbackPolicy| {
        let (_, reason, _) = condition(policy, "Ready")?;
        (reason == "OwnershipConflict").then_some(())
    };
    world.policy("web", "it sees the other", beside).await;
    let said = world.flyball(&["release", "web"]).await.done();
    assert!(
        said.contains("released: HorizontalPodAutoscaler web scales it already"),
        "{said}"
    );
    both.given_back().await;
    assert_eq!(world.numbers("web").await, [3, 5, 7], "the demand only rose");
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_imported_autoscaler_is_accepted_and_decides_the_same() {
    let Some(bed) = bed().await else { return };
    let both = Both::new(&bed).await;
    let world = &both.world;
    let more = json!({"spec": {"metrics": [external("queue"), external("jobs")]}});
    world
        .any("autoscaling/v2", "HorizontalPodAutoscaler")
        .patch("web", &PatchParams::default(), &Patch::Merge(more))
        .await
        .unwrap();
    both.external("jobs", "20", 20.0).await;
    let printed = world
        .flyball(&["import", "hpa", "web", "--source", &world.namespace])
        .await
        .done();
    let policy: Value = serde_yaml::from_str(&printed).unwrap();
    world.apply(&policy).await;
    // It is evaluated every 15 s if nothing is said.
    world
        .policies()
        .patch(
            "web",
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"interval": "1s"}})),
        )
        .await
        .unwrap();
    let _controller = world.controller("one");
    let decides = async |replicas: i32| {
        let same = |policy: &FeedbackPolicy| {
            let decision = policy.status.as_ref()?.actions.first()?.last_decision.clone()?;
            (decision.desired == replicas).then_some(())
        };
        world.policy("web", &format!("it wants {replicas}"), same).await;
    };
    // 30 / 10 = 3, more than 20 / 10.
    both.desired(3).await;
    decides(3).await;
    // 42.5 / 10 = 4.25, so 5.
    both.queue("42500m", 42.5).await;
    both.desired(5).await;
    decides(5).await;
    // 61 / 10 = 6.1, so 7 by the other.
    both.external("jobs", "61", 61.0).await;
    both.desired(7).await;
    decides(7).await;
    // And down: 42.5 and 32.
    both.external("jobs", "32", 32.0).await;
    both.desired(5).await;
    decides(5).await;
    assert!(super::written(world).await.is_empty(), "it only recommends");
    world.laws().await;
}
