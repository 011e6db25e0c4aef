//! Taking a field over: what is written in which order, what refuses it, and what becomes of it when it
//! is cut short.

use crate::{
    api::{Fault, Server},
    build::{behind, condition, deployment, hpa, lease, merged, policy, scaled_object},
};
use flyball_controller::cli::{
    import::Autoscaler,
    kept::{Kept, LARGEST},
    takeover::{Wanted, take},
    write::ActError,
};
use rstest::rstest;
use serde_json::{Value, json};
use std::{sync::Mutex, time::Duration};

const POLICY: &str = "feedbackpolicies/checkout";
const HPA: &str = "horizontalpodautoscalers/web";
const BEHIND: &str = "horizontalpodautoscalers/keda-hpa-worker";
const SCALED: &str = "scaledobjects/worker";

/// The policy beside an autoscaler: it recommends what that one wants.
fn recommending(more: Value) -> Value {
    let conflict = condition(
        "Ready",
        "False",
        "OwnershipConflict",
        "targetRef: Deployment checkout: HorizontalPodAutoscaler web sets its replicas; leave the field to one of the two",
    );
    let object = policy(json!({
        "spec": {"mode": "Recommend"},
        "status": {
            "change": null, "conditions": [conflict],
            "actions": [{"name": "more-replicas", "lastDecision": {"current": 3, "desired": 3, "reason": "Slow is quiet"}}],
        },
    }));
    merged(object, more)
}

fn wanted() -> Wanted {
    Wanted {
        namespace: "shop".to_owned(),
        policy: "checkout".to_owned(),
        from: None,
        controllers: "flyball-system".to_owned(),
        lease: "flyball".to_owned(),
        limit: Duration::from_secs(60),
        poll: Duration::from_millis(10),
    }
}

async fn taken(server: &Server, wanted: &Wanted) -> Result<String, ActError> {
    let said = Mutex::new(String::new());
    let tell = |line: &str| {
        said.lock().unwrap().push_str(line);
        Ok(())
    };
    take(&server.connection, wanted, |_| Ok(true), tell).await?;
    Ok(said.into_inner().unwrap())
}

async fn beside_hpa(test: &str) -> Server {
    Server::with(
        test,
        [
            recommending(json!({})),
            hpa(json!({})),
            deployment("checkout", 3, json!({})),
            lease("flyball-1", 1),
        ],
    )
    .await
}

/// KEDA as it behaves: it takes its autoscaler away from a paused object, and lets a deletion go on.
async fn beside_keda(test: &str) -> Server {
    let objects = [
        recommending(json!({})),
        scaled_object(json!({})),
        behind(json!({})),
        deployment("checkout", 3, json!({})),
        lease("flyball-1", 1),
    ];
    let server = Server::with(test, objects).await;
    server.react(|write, objects| match write {
        "PATCH scaledobjects/worker" => objects.remove(BEHIND),
        "DELETE scaledobjects/worker" => objects.remove(SCALED),
        _ => {}
    });
    server
}

fn kept(server: &Server) -> Value {
    let policy = server.get(POLICY).unwrap();
    let text = policy["metadata"]["annotations"]["flyball.dev/taken-from"]
        .as_str()
        .unwrap_or("null");
    serde_json::from_str(text).unwrap()
}

/// What counts in the end.
fn end(server: &Server) -> (Value, Value, bool, i64) {
    let spec = server.get(POLICY).unwrap()["spec"].clone();
    let others = [HPA, BEHIND, SCALED].iter().any(|other| server.get(other).is_some());
    let replicas = server.get("deployments/checkout").unwrap()["spec"]["replicas"]
        .as_i64()
        .unwrap();
    (json!([spec["mode"], spec["suspend"]]), kept(server), others, replicas)
}

#[tokio::test]
async fn from_an_autoscaler_of_kubernetes() {
    let server = beside_hpa("take-hpa").await;
    let said = taken(&server, &wanted()).await.unwrap();
    assert_eq!(
        server.writes(),
        [
            "PATCH feedbackpolicies/checkout",
            "DELETE horizontalpodautoscalers/web",
            "PATCH feedbackpolicies/checkout"
        ]
    );
    assert_eq!(
        kept(&server),
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web", "namespace": "shop", "labels": {"team": "shop"}, "annotations": {"note": "ours"}},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
                "minReplicas": 2, "maxReplicas": 20,
            },
        }),
        "without what the API server adds"
    );
    let (state, _, others, replicas) = end(&server);
    assert_eq!((state, others, replicas), (json!(["Enforce", null]), false, 3));
    for line in [
        "HorizontalPodAutoscaler web is deleted",
        "To give it back: flyball release checkout -n shop",
    ] {
        assert!(said.contains(line), "{said}");
    }
    assert!(!said.contains("warning"), "{said}");
    // Each is held to what was read.
    let bodies = server.bodies();
    assert_eq!(
        bodies[1]["preconditions"],
        json!({"uid": "uid-2", "resourceVersion": "2"})
    );
    assert!(
        bodies[0]["metadata"]["resourceVersion"].is_string() && bodies[2]["metadata"]["resourceVersion"].is_string()
    );

    let again = taken(&server, &wanted()).await.unwrap();
    assert!(again.contains("has the field already"), "{again}");
    assert_eq!(server.writes(), [""; 0]);
}

#[tokio::test]
async fn from_keda() {
    let server = beside_keda("take-keda").await;
    taken(&server, &wanted()).await.unwrap();
    assert_eq!(
        server.writes(),
        [
            "PATCH feedbackpolicies/checkout",
            "PATCH scaledobjects/worker",
            "DELETE scaledobjects/worker",
            "PATCH feedbackpolicies/checkout"
        ],
        "kept, paused, deleted, and only then enforced"
    );
    let (state, kept, others, replicas) = end(&server);
    assert_eq!((state, others, replicas), (json!(["Enforce", null]), false, 3));
    assert_eq!(
        (&kept["kind"], &kept["metadata"]["annotations"]),
        (&json!("ScaledObject"), &Value::Null),
        "our pause is not its own"
    );
}

#[tokio::test]
async fn a_suspended_policy_is_woken() {
    let server = Server::with(
        "take-suspended",
        [
            recommending(json!({"spec": {"mode": "Enforce", "suspend": true}})),
            hpa(json!({})),
            deployment("checkout", 3, json!({})),
            lease("flyball-1", 1),
        ],
    )
    .await;
    taken(&server, &wanted()).await.unwrap();
    assert_eq!(end(&server).0, json!(["Enforce", null]));
}

/// Cut short at any write, whether that was carried out or not, and run again.
#[rstest]
#[case::hpa(false, 3)]
#[case::keda(true, 4)]
#[tokio::test]
async fn one_that_was_cut_short_is_finished_by_another(#[case] keda: bool, #[case] writes: usize) {
    let server = async |test: String| {
        if keda {
            beside_keda(&test).await
        } else {
            beside_hpa(&test).await
        }
    };
    let undisturbed = server(format!("take-whole-{keda}")).await;
    taken(&undisturbed, &wanted()).await.unwrap();
    let expect = end(&undisturbed);
    for nth in 1..=writes {
        for fault in [Fault::Refused, Fault::Lost, Fault::Conflict] {
            let server = server(format!("take-{keda}-{nth}-{fault:?}")).await;
            server.plan(nth, fault);
            let first = taken(&server, &wanted()).await;
            assert_eq!(
                first.is_ok(),
                fault == Fault::Conflict,
                "write {nth}, {fault:?}: {first:?}"
            );
            // Wherever it stopped, there is a way back: the other one, or its manifest.
            assert!(end(&server).2 || kept(&server) != Value::Null, "write {nth}, {fault:?}");
            server.heal();
            taken(&server, &wanted()).await.unwrap();
            assert_eq!(end(&server), expect, "write {nth}, {fault:?}");
        }
    }
}

/// Its own controller writes its status meanwhile, and somebody edits it.
#[tokio::test]
async fn what_is_kept_is_what_was_deleted() {
    let server = beside_hpa("take-edited").await;
    let mut edits = 0;
    server.react(move |write, objects| {
        if write == "PATCH feedbackpolicies/checkout" && edits < 2 {
            edits += 1;
            objects.change(HPA, &json!({"spec": {"maxReplicas": 20 + edits}}));
        }
    });
    taken(&server, &wanted()).await.unwrap();
    assert_eq!(kept(&server)["spec"]["maxReplicas"], json!(22));
    assert_eq!(server.writes().len(), 5, "kept anew for each edit");
}

#[tokio::test]
async fn keda_that_does_not_let_go_stops_it() {
    let server = beside_keda("take-stuck").await;
    server.react(|_, _| ());
    let impatient = Wanted {
        limit: Duration::ZERO,
        ..wanted()
    };
    let error = taken(&server, &impatient).await.unwrap_err().to_string();
    assert!(
        error.contains("KEDA has not taken away HorizontalPodAutoscaler keda-hpa-worker"),
        "{error}"
    );
    assert!(
        error.ends_with("kubectl annotate scaledobject.keda.sh worker -n shop autoscaling.keda.sh/paused- flyball.dev/paused-for-takeover-"),
        "{error}"
    );
    assert!(
        server.get(SCALED).is_some() && server.get(BEHIND).is_some(),
        "nothing is lost"
    );

    // Its finalizer stays.
    server.react(|write, objects| {
        if write == "DELETE scaledobjects/worker" {
            objects.change(POLICY, &json!({}));
        }
    });
    server.objects(|objects| objects.remove(BEHIND));
    let error = taken(&server, &impatient).await.unwrap_err().to_string();
    assert!(error.contains("a finalizer holds it"), "{error}");
    assert_eq!(
        server.get(POLICY).unwrap()["spec"]["mode"],
        "Recommend",
        "nobody else may write before it is gone"
    );
}

#[rstest]
#[case::observe(json!({"spec": {"mode": "Observe"}}), "its mode is Observe")]
#[case::enforce(json!({"spec": {"mode": "Enforce"}}), "it is in mode Enforce already, beside the other one")]
#[case::no_verify(json!({"spec": {"actions": [{"name": "a", "when": ["HighRequestLatency"], "replicas": {"min": 2, "max": 20, "step": {"pods": 1}}}]}}), "it could not be enforced: spec.actions[0].verify")]
#[case::not_seen(json!({"metadata": {"generation": 4}}), "no controller has looked at its last edit yet")]
#[case::not_ready(json!({"status": {"conditions": [condition("Ready", "False", "SourceUnavailable", "no answer")]}}), "it is not ready: no answer; see what to do: flyball explain checkout -n shop")]
#[case::another_owner(
    json!({"status": {"conditions": [condition("Ready", "False", "OwnershipConflict", "targetRef: field manager argocd sets its replicas")]}}),
    "it is not ready: targetRef: field manager argocd"
)]
#[case::too_small(
    json!({"spec": {"actions": [{
        "name": "more-replicas", "when": ["HighRequestLatency"], "replicas": {"min": 1, "max": 2, "step": {"percent": 50}},
        "verify": {"settle": "6m", "within": "10m", "expr": "sum(x) <= 0.5"},
    }]}}),
    "has 3 replicas and the policy allows 2, so it would take some away"
)]
#[case::no_target(json!({"spec": {"targetRef": {"name": "cart"}}}), "nothing to take over")]
#[tokio::test]
async fn a_policy_that_would_not_scale_it_is_refused(#[case] more: Value, #[case] expect: &str) {
    let test = format!("take-refused-{}", expect.len());
    let objects = [
        recommending(more),
        hpa(json!({})),
        deployment("checkout", 3, json!({})),
        lease("flyball-1", 1),
    ];
    let server = Server::with(&test, objects).await;
    let error = taken(&server, &wanted()).await.unwrap_err().to_string();
    assert!(error.contains(expect), "{error}");
    assert_eq!(server.writes(), [""; 0]);
}

#[rstest]
#[case::no_controller(None, vec![], "no controller runs: nobody holds flyball-system/flyball, so nobody would scale")]
#[case::stopped(Some(lease("", 1)), vec![], "no controller runs: nobody holds")]
#[case::frozen(
    Some(lease("flyball-1", 1)),
    vec![json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "flyball-freeze", "namespace": "flyball-system"}, "data": {"by": "bob", "at": "T"}})],
    "the installation is frozen, by bob at T"
)]
#[case::paused(
    Some(lease("flyball-1", 1)),
    vec![deployment("checkout", 3, json!({"metadata": {"annotations": {"flyball.dev/paused": "true"}}}))],
    "is paused: it carries the annotation flyball.dev/paused"
)]
#[case::gitops(
    Some(lease("flyball-1", 1)),
    vec![deployment("checkout", 3, json!({"metadata": {"managedFields": [
        {"manager": "argocd-controller", "operation": "Apply", "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
    ]}}))],
    "argocd-controller sets spec.replicas of Deployment checkout and would set it again"
)]
#[case::at_zero(Some(lease("flyball-1", 1)), vec![deployment("checkout", 0, json!({}))], "stands at 0 replicas")]
#[case::owned(
    Some(lease("flyball-1", 1)),
    vec![hpa(json!({"metadata": {"ownerReferences": [{"apiVersion": "a/v1", "kind": "App", "name": "shop", "uid": "a", "controller": true}]}}))],
    "belongs to App shop, which would make it again"
)]
#[case::two(
    Some(lease("flyball-1", 1)),
    vec![hpa(json!({"metadata": {"name": "second"}}))],
    "has several autoscalers"
)]
#[tokio::test]
async fn what_is_around_it_may_refuse_it(#[case] lease: Option<Value>, #[case] more: Vec<Value>, #[case] expect: &str) {
    let test = format!("take-around-{}-{}", expect.len(), lease.is_some());
    let objects = [
        recommending(json!({})),
        hpa(json!({})),
        deployment("checkout", 3, json!({})),
    ];
    let server = Server::with(&test, objects.into_iter().chain(lease).chain(more)).await;
    let error = taken(&server, &wanted()).await.unwrap_err().to_string();
    assert!(error.contains(expect), "{error}");
    assert_eq!(server.writes(), [""; 0]);
}

#[tokio::test]
async fn keda_that_would_put_back_old_replicas_is_refused_with_the_way_out() {
    let server = beside_keda("take-restore").await;
    server.objects(|objects| {
        objects.change(
            SCALED,
            &json!({"spec": {"advanced": {"restoreToOriginalReplicaCount": true}}}),
        );
    });
    let error = taken(&server, &wanted()).await.unwrap_err().to_string();
    assert!(
        error.ends_with(
            "kubectl patch scaledobject.keda.sh worker -n shop --type merge -p \
             '{\"spec\":{\"advanced\":{\"restoreToOriginalReplicaCount\":false}}}'"
        ),
        "{error}"
    );
    assert_eq!(server.writes(), [""; 0]);
}

#[rstest]
#[case(
    "delete horizontalpodautoscalers",
    "you may not delete horizontalpodautoscalers of autoscaling in namespace shop"
)]
#[case(
    "patch feedbackpolicies",
    "you may not patch feedbackpolicies of flyball.dev in namespace shop"
)]
#[tokio::test]
async fn a_missing_right_is_told_before_anything_is_done(#[case] right: &str, #[case] expect: &str) {
    let server = beside_hpa(&format!("take-right-{}", right.len())).await;
    server.deny(right);
    let error = taken(&server, &wanted()).await.unwrap_err().to_string();
    assert!(error.contains(expect) && error.contains("flyball-operator"), "{error}");
    assert_eq!(server.writes(), [""; 0]);
}

#[rstest]
#[case::undecided(json!({"status": {"actions": []}}), json!({}), "has not decided anything yet")]
#[case::another_number(json!({}), json!({"status": {"desiredReplicas": 8}}), "last decision was 3 replicas, and HorizontalPodAutoscaler web wants 8")]
#[case::less_above(json!({}), json!({"spec": {"maxReplicas": 40}}), "goes up to 40 replicas, and the policy only to 20")]
#[case::less_below(json!({}), json!({"spec": {"minReplicas": 3}}), "keeps 3 replicas, and the policy only 2")]
#[case::argo(json!({}), json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "x"}}}), "is kept by Argo CD")]
#[case::helm(json!({}), json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}}), "is kept by Helm")]
#[tokio::test]
async fn what_may_surprise_is_said_before_it_is_asked(
    #[case] of_policy: Value,
    #[case] of_other: Value,
    #[case] expect: &str,
) {
    let test = format!("take-warned-{}", expect.len());
    let objects = [
        recommending(of_policy),
        hpa(of_other),
        deployment("checkout", 3, json!({})),
        lease("flyball-1", 1),
    ];
    let server = Server::with(&test, objects).await;
    let said = Mutex::new(String::new());
    let tell = |line: &str| {
        said.lock().unwrap().push_str(line);
        Ok(())
    };
    let refused = take(&server.connection, &wanted(), |_| Ok(false), tell)
        .await
        .unwrap_err();
    assert_eq!(refused.to_string(), "nothing was done");
    let said = said.into_inner().unwrap();
    assert!(said.contains("warning: ") && said.contains(expect), "{said}");
    assert_eq!(server.writes(), [""; 0]);
}

#[tokio::test]
async fn another_name_than_the_one_that_is_there_is_refused() {
    let server = beside_hpa("take-named").await;
    let named = |from| Wanted {
        from: Some(from),
        ..wanted()
    };
    for from in [
        (Autoscaler::Hpa, "other".to_owned()),
        (Autoscaler::ScaledObject, "web".to_owned()),
    ] {
        let error = taken(&server, &named(from)).await.unwrap_err().to_string();
        assert!(
            error.contains("does not scale Deployment checkout, but HorizontalPodAutoscaler web does"),
            "{error}"
        );
    }
    taken(&server, &named((Autoscaler::Hpa, "web".to_owned())))
        .await
        .unwrap();
}

#[test]
fn a_manifest_has_a_size() {
    let large = hpa(json!({"metadata": {"annotations": {"note": "x".repeat(LARGEST)}}}));
    let large = serde_json::from_value(large).unwrap();
    let error = Kept::of(Autoscaler::Hpa, &large).text().unwrap_err().to_string();
    assert!(
        error.starts_with("HorizontalPodAutoscaler web has ") && error.contains("at most 65536 are kept"),
        "{error}"
    );
}

#[rstest]
#[case("{", "holds no autoscaler")]
#[case(
    "{\"kind\": \"Secret\", \"apiVersion\": \"v1\", \"metadata\": {\"name\": \"a\"}}",
    "the kind \"Secret\" is not known"
)]
#[case(
    "{\"kind\": \"HorizontalPodAutoscaler\", \"apiVersion\": \"autoscaling/v2\", \"metadata\": {\"name\": \"../a\"}}",
    "it has no name"
)]
#[tokio::test]
async fn an_annotation_that_somebody_else_wrote_is_not_used(#[case] text: &str, #[case] expect: &str) {
    let object = policy(json!({"metadata": {"annotations": {"flyball.dev/taken-from": text}}}));
    let error = Kept::read(&serde_json::from_value(object).unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains(expect), "{error}");
}
