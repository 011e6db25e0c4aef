//! Whether people may write policies that do what they themselves may not.

use super::{
    policies::policy,
    server::{Server, config, eventually},
};
use kube::{
    Api, Client, Error,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

/// Somebody with these rights in a namespace beside the one to write policies.
async fn somebody(server: &Server, name: &str, rules: Value) -> Client {
    let mut all = json!([
        {"apiGroups": ["flyball.dev"], "resources": ["feedbackpolicies"], "verbs": ["create", "get", "update", "patch", "delete"]},
    ]);
    all.as_array_mut().unwrap().extend(rules.as_array().unwrap().clone());
    let group = "rbac.authorization.k8s.io";
    for object in [
        json!({"apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": {"name": name}, "rules": all}),
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": name}],
        }),
    ] {
        let kind = GroupVersionKind::gvk(group, "v1", object["kind"].as_str().unwrap());
        let api: Api<DynamicObject> =
            Api::namespaced_with(server.admin.clone(), &server.namespace, &ApiResource::from_gvk(&kind));
        api.create(&PostParams::default(), &serde_json::from_value(object).unwrap())
            .await
            .unwrap();
    }
    let mut config = config().await;
    config.auth_info.impersonate = Some(name.to_owned());
    Client::try_from(config).unwrap()
}

fn policies(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("flyball.dev", "v1alpha1", "FeedbackPolicy");
    let kind = ApiResource::from_gvk_with_plural(&kind, "feedbackpolicies");
    Api::namespaced_with(client.clone(), namespace, &kind)
}

/// What is said to a policy that is tried: nothing, or why it is refused. Not stored.
async fn said(api: &Api<DynamicObject>, policy: &Value) -> Option<String> {
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    match api
        .create(&parameters, &serde_json::from_value(policy.clone()).unwrap())
        .await
    {
        Ok(_) => None,
        Err(Error::Api(status)) => Some(status.message.clone()),
        Err(error) => panic!("{error}"),
    }
}

fn with(path: &str, value: Value) -> Value {
    let mut policy = policy();
    *policy.pointer_mut(path).unwrap() = value;
    policy
}

fn answer(answer: &Value) -> Value {
    let mut action = json!({"name": "answer", "when": ["High"]});
    for (key, value) in answer.as_object().unwrap() {
        action[key] = value.clone();
    }
    with("/spec/actions", json!([action]))
}

const ROUTE: fn() -> Value = || {
    let mut policy = with(
        "/spec/actions",
        json!([{
            "name": "away", "when": ["High"],
            "weights": {
                "rule": "main",
                "backends": [{"name": "a", "weight": 1}, {"name": "b", "weight": 1}],
                "step": {"points": 25, "after": "10m"},
                "traffic": {"proxy": "Traefik"},
            },
            "verify": {"settle": "6m", "within": "10m", "expr": "x <= 1"},
        }]),
    );
    policy["spec"]["targetRef"] =
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "checkout"});
    policy
};

#[tokio::test]
async fn whoever_writes_a_policy_may_do_by_hand_what_it_does() {
    let Some(server) = Server::connect().await else { return };
    let nobody = policies(&somebody(&server, "nobody", json!([])).await, &server.namespace);
    let mode = |mode: &str| with("/spec/mode", json!(mode));
    let check = async |api: &Api<DynamicObject>, policy: Value, expect: Option<&str>| {
        let found = eventually("an answer of the policy", async || {
            let found = said(api, &policy).await;
            let right = match (expect, &found) {
                (None, None) => true,
                (Some(words), Some(found)) => found.contains(words),
                _ => false,
            };
            // For whoever reads why it waited in vain.
            println!("{expect:?}: {found:?}");
            right.then_some(found)
        });
        found.await;
    };
    check(
        &nobody,
        policy(),
        Some("you may not update the scale of deployments checkout yourself"),
    )
    .await;
    check(&nobody, mode("Recommend"), None).await;
    check(&nobody, mode("Observe"), None).await;
    check(&nobody, ROUTE(), Some("you may not patch httproutes checkout yourself")).await;
    let resize = answer(&json!({"relieve": {"resize": {"max": "1Gi"}}}));
    check(&nobody, resize.clone(), Some("you may not patch pods/resize yourself")).await;
    let evict = answer(&json!({"relieve": {"evict": {}}}));
    check(
        &nobody,
        evict.clone(),
        Some("you may not create pods/eviction yourself"),
    )
    .await;
    let annotate = answer(&json!({"annotate": {"annotation": {"name": "cache", "value": "half"}}}));
    check(&nobody, annotate.clone(), Some("you may not patch pods yourself")).await;
    let mut capture = answer(&json!({"capture": {"from": {"portName": "pprof"}, "take": ["GoHeap"], "every": "1h"}}));
    check(
        &nobody,
        capture.clone(),
        Some("you may not create pods/portforward yourself"),
    )
    .await;
    // Evidence is taken in Recommend, too.
    capture["spec"]["mode"] = json!("Recommend");
    check(
        &nobody,
        capture.clone(),
        Some("you may not create pods/portforward yourself"),
    )
    .await;
    check(&nobody, answer(&json!({"notify": {}})), None).await;
    let mut strange = policy();
    strange["spec"]["targetRef"] = json!({"apiVersion": "example.org/v1", "kind": "Machine", "name": "checkout"});
    check(&nobody, strange.clone(), Some("example.org/Machine is not known here")).await;

    // Each right by itself, for this name alone where it has one.
    let rights = json!([
        {"apiGroups": ["apps"], "resources": ["deployments/scale"], "resourceNames": ["checkout"], "verbs": ["update"]},
        {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["httproutes"], "resourceNames": ["checkout"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["pods", "pods/resize"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["pods/eviction", "pods/portforward"], "verbs": ["create"]},
    ]);
    let operator = policies(&somebody(&server, "operator", rights).await, &server.namespace);
    for allowed in [policy(), ROUTE(), resize, evict, annotate, capture] {
        check(&operator, allowed, None).await;
    }
    let other = with("/spec/targetRef/name", json!("payments"));
    check(
        &operator,
        other,
        Some("you may not update the scale of deployments payments yourself"),
    )
    .await;
    let mut also = ROUTE();
    also["spec"]["actions"][0]["weights"]["also"] = json!([
        {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "internal", "rule": "main"},
    ]);
    check(&operator, also, Some("weights.also names more routes")).await;
    check(&operator, strange, Some("is not known here")).await;

    // What stands is not asked about again by whoever only labels it.
    let admin = policies(&server.admin, &server.namespace);
    admin
        .create(&PostParams::default(), &serde_json::from_value(policy()).unwrap())
        .await
        .unwrap();
    let label = Patch::Merge(json!({"metadata": {"labels": {"team": "shop"}}}));
    nobody.patch("checkout", &PatchParams::default(), &label).await.unwrap();
    let edited = Patch::Merge(json!({"spec": {"interval": "1m"}}));
    let refused = nobody.patch("checkout", &PatchParams::default(), &edited).await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("you may not update the scale")
    );
    server.done().await;
}
