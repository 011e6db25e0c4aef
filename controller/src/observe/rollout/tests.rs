//! Rollouts and what looks like one, as the API server writes their objects.

use super::*;
use crate::observe::target::strip;
use kube::api::GroupVersionKind;

/// What is expected of an object, as it is and stripped.
fn check(case: &str, kind: (&str, &str), object: &Value, templates: Option<&[Value]>, expect: Option<&str>) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(kind.0, "v1", kind.1));
    let mut object: DynamicObject = serde_json::from_value(object.clone()).expect("an object");
    let templates: Option<Vec<u64>> = templates.map(|all| all.iter().map(template_hash).collect());
    let whole = of(&resource, &object, templates.as_deref());
    assert_eq!(whole.as_deref(), expect, "{case}");
    strip(&mut object);
    assert_eq!(
        of(&resource, &object, templates.as_deref()),
        whole,
        "{case}: stripping loses nothing that is read"
    );
}

/// A template; `copied` as its ReplicaSet has it.
fn pods(image: &str, copied: bool) -> Value {
    let mut template = json!({
        "metadata": {"creationTimestamp": null, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": image, "resources": {"requests": {"cpu": "100m"}}}],
                 "restartPolicy": "Always", "terminationGracePeriodSeconds": 30},
    });
    if copied {
        template["metadata"]["labels"]["pod-template-hash"] = json!("6d4b75cb6d");
        // The API server leaves it out where an older one wrote null.
        template["metadata"]
            .as_object_mut()
            .expect("an object")
            .remove("creationTimestamp");
    }
    template
}

/// A Deployment with a status: generations written and seen, then replicas, updated, ready, available.
fn deployment(generations: (i64, i64), numbers: (i64, i64, i64, i64), progressing: (&str, &str)) -> Value {
    let (replicas, updated, ready, available) = numbers;
    let mut status = json!({"observedGeneration": generations.1, "conditions": [
        {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
        {"type": "Progressing", "status": progressing.0, "reason": progressing.1,
         "lastUpdateTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"},
    ]});
    let fields = [
        ("replicas", replicas),
        ("updatedReplicas", updated),
        ("readyReplicas", ready),
        ("availableReplicas", available),
    ];
    for (field, number) in fields {
        // The API server leaves zeros out.
        if number > 0 {
            status[field] = json!(number);
        }
    }
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "web", "uid": "u-1", "generation": generations.0,
            "annotations": {"deployment.kubernetes.io/revision": "2"},
        },
        "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "web"}}, "template": pods("web:2", false)},
        "status": status,
    })
}

const DEPLOYMENT: (&str, &str) = ("apps", "Deployment");
const DONE: (&str, &str) = ("True", "NewReplicaSetAvailable");
const UNDER_WAY: (&str, &str) = ("True", "ReplicaSetUpdated");

#[test]
fn scaling_a_deployment_is_no_rollout() {
    let ours = [pods("web:2", true)];
    let check = |case, object: Value| {
        check(case, DEPLOYMENT, &object, Some(&ours), None);
        check(case, DEPLOYMENT, &object, None, None);
    };
    check("at rest", deployment((3, 3), (4, 4, 4, 4), DONE));
    check("scaled and not yet seen", deployment((4, 3), (2, 2, 2, 2), DONE));
    check("scaled up, two not ready", deployment((4, 4), (4, 4, 2, 2), DONE));
    check("scaled down", deployment((4, 4), (1, 1, 1, 1), DONE));
    check("from zero, not yet seen", deployment((4, 3), (0, 0, 0, 0), DONE));
    check("from zero, none ready", deployment((4, 4), (4, 4, 0, 0), DONE));
    let mut fresh = deployment((1, 0), (0, 0, 0, 0), DONE);
    fresh["status"] = json!({});
    check("just created", fresh);
    let mut first = deployment((1, 1), (4, 4, 0, 0), UNDER_WAY);
    first["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("1");
    check("the first revision, none ready", first);
}

#[test]
fn a_new_template_of_a_deployment_is_a_rollout() {
    let (old, new) = (pods("web:1", true), pods("web:2", true));
    let check = |case, object: Value, sets: &[&Value], expect: &str| {
        let sets: Vec<Value> = sets.iter().map(|&set| set.clone()).collect();
        check(case, DEPLOYMENT, &object, Some(&sets), Some(expect));
    };
    check(
        "written and not yet seen",
        deployment((4, 3), (4, 4, 4, 4), DONE),
        &[&old],
        "the template was changed, and its controller has not taken it up",
    );
    check(
        "no new pod yet",
        deployment((4, 4), (4, 0, 4, 4), UNDER_WAY),
        &[&old, &new],
        "0 of 4 pods have the new template",
    );
    check(
        "half way, with a surge",
        deployment((4, 4), (5, 3, 4, 4), UNDER_WAY),
        &[&old, &new],
        "3 of 5 pods have the new template",
    );
    check(
        "stuck with both revisions",
        deployment((4, 4), (5, 2, 3, 3), ("False", "ProgressDeadlineExceeded")),
        &[&old, &new],
        "2 of 5 pods have the new template",
    );
    check(
        "recreated, not yet available",
        deployment((4, 4), (4, 4, 1, 1), UNDER_WAY),
        &[&new],
        "1 of 4 pods of the new template are available",
    );
    check(
        "scaled in the middle",
        deployment((5, 4), (6, 3, 4, 4), UNDER_WAY),
        &[&old, &new],
        "3 of 6 pods have the new template",
    );
}

#[test]
fn what_can_not_be_told_is_no_rollout() {
    let old = [pods("web:1", true)];
    let lagging = deployment((4, 3), (4, 4, 4, 4), DONE);
    check("ReplicaSets are not known", DEPLOYMENT, &lagging, None, None);
    check(
        "another kind",
        ("example.org", "Deployment"),
        &lagging,
        Some(&old),
        None,
    );
    check("no ReplicaSet seen yet", DEPLOYMENT, &lagging, Some(&[]), None);
    let missed = deployment((4, 4), (4, 4, 1, 1), ("False", "ProgressDeadlineExceeded"));
    check("given up with one revision", DEPLOYMENT, &missed, Some(&old), None);
}

/// A StatefulSet with 4 replicas: update revision, updated, ready, partition.
fn stateful_set(update: &str, updated: i64, ready: i64, strategy: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "db", "uid": "u-2", "generation": 3},
        "spec": {"replicas": 4, "updateStrategy": strategy},
        "status": {"observedGeneration": 3, "replicas": 4, "readyReplicas": ready, "availableReplicas": ready,
                   "currentReplicas": 4 - updated, "updatedReplicas": updated,
                   "currentRevision": "db-1", "updateRevision": update, "collisionCount": 0},
    })
}

#[test]
fn stateful_sets_tell_by_revision() {
    let check = |case, object: &Value, expect| check(case, ("apps", "StatefulSet"), object, None, expect);
    let rolling = |partition: i64| json!({"type": "RollingUpdate", "rollingUpdate": {"partition": partition}});
    check("at rest", &stateful_set("db-1", 4, 4, &rolling(0)), None);
    check("scaled up", &stateful_set("db-1", 4, 1, &rolling(0)), None);
    check(
        "half way",
        &stateful_set("db-2", 1, 3, &rolling(0)),
        Some("1 of 4 pods have revision db-2"),
    );
    check(
        "the last pod starts",
        &stateful_set("db-2", 4, 3, &rolling(0)),
        Some("all pods have revision db-2, 3 of 4 are ready"),
    );
    check("all done", &stateful_set("db-2", 4, 4, &rolling(0)), None);
    check(
        "down to the partition",
        &stateful_set("db-2", 0, 4, &rolling(3)),
        Some("0 of 1 pods have revision db-2"),
    );
    check(
        "resting at the partition",
        &stateful_set("db-2", 1, 4, &rolling(3)),
        None,
    );
    check(
        "by hand",
        &stateful_set("db-2", 1, 4, &json!({"type": "OnDelete"})),
        None,
    );
}

/// An Argo Rollout: the pod hash of the spec, updated replicas, phase, whether it was aborted.
fn rollout(current: &str, updated: i64, phase: &str, aborted: bool) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "web", "uid": "u-3", "generation": 9},
        "spec": {"replicas": 4, "strategy": {"canary": {}}},
        "status": {"observedGeneration": "9", "HPAReplicas": 4, "replicas": 4, "updatedReplicas": updated,
                   "readyReplicas": 4, "availableReplicas": 4, "currentPodHash": current, "stableRS": "aaa",
                   "phase": phase, "abort": aborted, "selector": "app=web"},
    })
}

#[test]
fn argo_rollouts_tell_by_hash() {
    let check = |case, object: &Value, expect| check(case, ("argoproj.io", "Rollout"), object, None, expect);
    check("at rest", &rollout("aaa", 4, "Healthy", false), None);
    check("scaling", &rollout("aaa", 4, "Progressing", false), None);
    check(
        "a canary that waits",
        &rollout("bbb", 1, "Paused", false),
        Some("phase Paused: 1 of 4 pods have the new template"),
    );
    check(
        "aborted, its pods still there",
        &rollout("bbb", 1, "Degraded", true),
        Some("phase Degraded: 1 of 4 pods have the new template"),
    );
    check("aborted", &rollout("bbb", 0, "Degraded", true), None);
    let mut first = rollout("bbb", 4, "Progressing", false);
    first["status"]["stableRS"] = json!("");
    check("the first of all", &first, None);
}

#[test]
fn how_far_a_rollout_has_come_that_was_begun() {
    let done = ("True", "NewReplicaSetAvailable");
    let rolls = ("True", "ReplicaSetUpdated");
    let check = |case: &str, mut object: Value, expect: Rolled| {
        object["spec"]["replicas"] = json!(3);
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
        let mut object: DynamicObject = serde_json::from_value(object).expect("an object");
        assert_eq!(rolled(&resource, &object), expect, "{case}");
        strip(&mut object);
        assert_eq!(rolled(&resource, &object), expect, "{case}: stripped");
    };
    let said = |updated: i64, available: i64, replicas: i64| {
        format!("{updated} of 3 pods have the new template, {available} of {replicas} are available")
    };
    check("all of it", deployment((2, 2), (3, 3, 3, 3), done), Rolled::Done);
    check(
        "not seen yet",
        deployment((3, 2), (3, 3, 3, 3), done),
        Rolled::Under("the workload's controller has not taken the template up".to_owned()),
    );
    check(
        "some new",
        deployment((2, 2), (4, 1, 3, 3), rolls),
        Rolled::Under(said(1, 3, 4)),
    );
    check(
        "old ones left",
        deployment((2, 2), (4, 3, 4, 4), rolls),
        Rolled::Under(said(3, 4, 4)),
    );
    check(
        "not available",
        deployment((2, 2), (3, 3, 3, 2), rolls),
        Rolled::Under(said(3, 2, 3)),
    );
    let stuck = ("False", "ProgressDeadlineExceeded");
    let why = format!("ProgressDeadlineExceeded: {}", said(1, 3, 4));
    check("given up", deployment((2, 2), (4, 1, 3, 3), stuck), Rolled::Stuck(why));
    // A deadline that was missed and is met after all.
    check("late", deployment((2, 2), (3, 3, 3, 3), stuck), Rolled::Done);
}
