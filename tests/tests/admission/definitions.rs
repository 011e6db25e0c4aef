//! Each rule of the definitions: what it accepts, and with which words it refuses.

use super::server::{Server, apply, documents, said};
use flyball_crds::{Change, FeedbackPolicy, MetricSource};
use kube::{
    Api, Resource, ResourceExt,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Where something is set, and to what; null: it is taken away.
type Set = (&'static str, fn() -> Value);
/// A name, what is set, and what is said; none: accepted.
type Case = (&'static str, &'static [Set], Option<&'static str>);

fn policy() -> Value {
    json!({
        "apiVersion": "flyball.dev/v1alpha1",
        "kind": "FeedbackPolicy",
        "metadata": {"name": "checkout"},
        "spec": {
            "mode": "Enforce",
            "sourceRef": {"name": "prometheus"},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
            "rules": [{"alert": "High", "expr": "x > 1", "for": "2m"}, {"alert": "Low", "expr": "x < 1"}],
            "signals": [{"name": "rps", "expr": "sum(x)"}, {"name": "errors", "expr": "sum(y)"}],
            "actions": [
                {
                    "name": "step",
                    "when": ["High"],
                    "replicas": {"min": 2, "max": 20, "step": {"percent": 50, "down": {"pods": 1, "after": "30m"}}},
                    "verify": {"settle": "6m", "within": "10m", "expr": "x <= 1"},
                },
                {
                    "name": "ratio",
                    "replicas": {"min": 2, "max": 20, "ratio": {"signal": "rps", "target": 100.0}},
                    "verify": {"settle": "6m", "within": "10m", "expr": "x <= 1"},
                },
            ],
        },
    })
}

const POLICIES: &[Case] = &[
    ("everything", &[], None),
    (
        "Recommend is the default, and asks for no verify",
        &[("/spec/mode", || json!(null)), ("/spec/actions/0/verify", || json!(null))],
        None,
    ),
    (
        "no rules, signals or actions",
        &[("/spec/rules", || json!(null)), ("/spec/signals", || json!(null)), ("/spec/actions", || json!(null))],
        None,
    ),
    (
        "Enforce without verify",
        &[("/spec/actions/1/verify", || json!(null))],
        Some("mode Enforce needs verify in every action: nothing is committed without a verification"),
    ),
    (
        "another mode",
        &[("/spec/mode", || json!("YOLO"))],
        Some(r#"spec.mode: Unsupported value: "YOLO": supported values: "Observe", "Recommend", "Enforce""#),
    ),
    (
        "a step without a rule",
        &[("/spec/actions/0/when", || json!([]))],
        Some("an action with replicas.step needs at least one rule in when"),
    ),
    ("a ratio without a rule", &[("/spec/actions/1/when", || json!([]))], None),
    (
        "no lever",
        &[("/spec/actions/0/replicas", || json!(null))],
        Some("an action takes exactly one lever; today that is replicas"),
    ),
    (
        "two rules of one name",
        &[("/spec/rules/1/alert", || json!("High"))],
        Some("the names in rules[].alert must be unique"),
    ),
    (
        "two signals of one name",
        &[("/spec/signals/1/name", || json!("rps"))],
        Some("the names in signals[].name must be unique"),
    ),
    (
        "two actions of one name",
        &[("/spec/actions/1/name", || json!("step"))],
        Some("the names in actions[].name must be unique"),
    ),
    ("min and max alike", &[("/spec/actions/0/replicas/min", || json!(20))], None),
    (
        "min above max",
        &[("/spec/actions/0/replicas/min", || json!(21))],
        Some("replicas.min must not be above replicas.max"),
    ),
    (
        "min 0",
        &[("/spec/actions/0/replicas/min", || json!(0))],
        Some("spec.actions[0].replicas.min in body should be greater than or equal to 1"),
    ),
    (
        "a negative min",
        &[("/spec/actions/0/replicas/min", || json!(-1))],
        Some("spec.actions[0].replicas.min in body should be greater than or equal to 1"),
    ),
    (
        "max above 10,000",
        &[("/spec/actions/0/replicas/max", || json!(10_001))],
        Some("spec.actions[0].replicas.max in body should be less than or equal to 10000"),
    ),
    (
        "no max",
        &[("/spec/actions/0/replicas/max", || json!(null))],
        Some("spec.actions[0].replicas.max: Required value"),
    ),
    (
        "step and ratio",
        &[("/spec/actions/0/replicas/ratio", || json!({"signal": "rps", "target": 1.0}))],
        Some("replicas takes exactly one of step and ratio"),
    ),
    (
        "neither step nor ratio",
        &[("/spec/actions/0/replicas/step", || json!(null))],
        Some("replicas takes exactly one of step and ratio"),
    ),
    (
        "pods and percent",
        &[("/spec/actions/0/replicas/step/pods", || json!(1))],
        Some("step takes exactly one of pods and percent"),
    ),
    (
        "neither pods nor percent",
        &[("/spec/actions/0/replicas/step/percent", || json!(null))],
        Some("step takes exactly one of pods and percent"),
    ),
    (
        "percent 0",
        &[("/spec/actions/0/replicas/step/percent", || json!(0))],
        Some("percent in body should be greater than or equal to 1"),
    ),
    (
        "down by pods and percent",
        &[("/spec/actions/0/replicas/step/down/percent", || json!(10))],
        Some("step.down takes exactly one of pods and percent"),
    ),
    (
        "down by neither",
        &[("/spec/actions/0/replicas/step/down/pods", || json!(null))],
        Some("step.down takes exactly one of pods and percent"),
    ),
    (
        "down by all",
        &[("/spec/actions/0/replicas/step/down", || json!({"percent": 100, "after": "30m"}))],
        Some("percent in body should be less than or equal to 99"),
    ),
    ("no way down", &[("/spec/actions/0/replicas/step/down", || json!(null))], None),
    (
        "a target of 0",
        &[("/spec/actions/1/replicas/ratio/target", || json!(0))],
        Some("spec.actions[1].replicas.ratio.target in body should be greater than 0"),
    ),
    ("a target just above 0", &[("/spec/actions/1/replicas/ratio/target", || json!(0.001))], None),
    (
        "a tolerance above 1",
        &[("/spec/actions/1/replicas/ratio/tolerance", || json!({"up": 1.5}))],
        Some("tolerance.up in body should be less than or equal to 1"),
    ),
    (
        "an empty expression",
        &[("/spec/rules/0/expr", || json!(""))],
        Some("spec.rules[0].expr in body should be at least 1 chars long"),
    ),
    ("a long expression", &[("/spec/rules/0/expr", || json!("x".repeat(4096)))], None),
    (
        "an expression that is too long",
        &[("/spec/rules/0/expr", || json!("x".repeat(4097)))],
        Some("spec.rules[0].expr: Too long: may not be more than 4096"),
    ),
    ("32 rules", &[("/spec/rules", || rules(32))], None),
    ("33 rules", &[("/spec/rules", || rules(33))], Some("spec.rules: Too many: 33: must have at most 32 items")),
    (
        "33 signals",
        &[("/spec/signals", || signals(33))],
        Some("spec.signals: Too many: 33: must have at most 32 items"),
    ),
    ("9 actions", &[("/spec/actions", || actions(9))], Some("spec.actions: Too many: 9: must have at most 8 items")),
    ("a day", &[("/spec/rules/0/for", || json!("1d12h"))], None),
    ("a time without a unit", &[("/spec/rules/0/for", || json!("2"))], Some("spec.rules[0].for in body should match")),
    ("a negative time", &[("/spec/rules/0/for", || json!("-2m"))], Some("spec.rules[0].for in body should match")),
    ("a time with a space", &[("/spec/rules/0/for", || json!("2 m"))], Some("spec.rules[0].for in body should match")),
    (
        "no time",
        &[("/spec/actions/0/verify/settle", || json!(null))],
        Some("spec.actions[0].verify.settle: Required value"),
    ),
    ("no source", &[("/spec/sourceRef", || json!(null))], Some("spec.sourceRef: Required value")),
    (
        "a period of 31 minutes",
        &[("/spec/actions/0/replicas/behavior", || {
            json!({"scaleUp": {"policies": [
                {"type": "Pods", "value": 1, "periodSeconds": 1860}
            ]}})
        })],
        Some("periodSeconds in body should be less than or equal to 1800"),
    ),
];

fn rules(count: usize) -> Value {
    let rule =
        |n| if n == 0 { json!({"alert": "High", "expr": "x"}) } else { json!({"alert": format!("r{n}"), "expr": "x"}) };
    (0..count).map(rule).collect()
}

fn signals(count: usize) -> Value {
    (0..count).map(|n| json!({"name": format!("s{n}"), "expr": "x"})).collect()
}

fn actions(count: usize) -> Value {
    let one = |n| {
        json!({
            "name": format!("a{n}"),
            "when": ["High"],
            "replicas": {"min": 1, "max": 2, "step": {"pods": 1}},
            "verify": {"settle": "1m", "within": "2m", "expr": "x > 1"},
        })
    };
    (0..count).map(one).collect()
}

fn source() -> Value {
    json!({
        "apiVersion": "flyball.dev/v1alpha1",
        "kind": "MetricSource",
        "metadata": {"name": "admission-test"},
        "spec": {
            "url": "https://mimir.example/prometheus",
            "auth": {"bearer": {"name": "mimir", "key": "token"}},
            "headers": [{"name": "X-Scope-OrgID", "value": "shop"}],
            "allowedNamespaces": {"from": "Names", "names": ["shop"]},
        },
    })
}

const URL: &str = "url must begin with http:// or https:// and carry no user, password, query or fragment; put credentials into spec.auth";
const HEADER: &str = "a header's name consists of letters, digits and dashes, and is none of Authorization, Cookie, Host, Proxy-Authorization; put credentials into spec.auth";

const SOURCES: &[Case] = &[
    ("everything", &[], None),
    (
        "a URL alone",
        &[
            ("/spec/auth", || json!(null)),
            ("/spec/headers", || json!(null)),
            ("/spec/allowedNamespaces", || json!(null)),
        ],
        None,
    ),
    ("http and a port", &[("/spec/url", || json!("http://prometheus.monitoring:9090"))], None),
    ("a file", &[("/spec/url", || json!("file:///etc/passwd"))], Some(URL)),
    ("a user", &[("/spec/url", || json!("https://user:pass@mimir.example"))], Some(URL)),
    ("a query", &[("/spec/url", || json!("https://mimir.example/?a=b"))], Some(URL)),
    ("a fragment", &[("/spec/url", || json!("https://mimir.example/#a"))], Some(URL)),
    ("a space", &[("/spec/url", || json!("https://mimir.example/ a"))], Some(URL)),
    ("a newline", &[("/spec/url", || json!("https://mimir.example/\nHost: x"))], Some(URL)),
    (
        "a URL that is too long",
        &[("/spec/url", || json!(format!("https://{}", "x".repeat(2048))))],
        Some("spec.url: Too long: may not be more than 2048"),
    ),
    (
        "two kinds of credentials",
        &[("/spec/auth/basic", || json!({"username": "u", "password": {"name": "n", "key": "k"}}))],
        Some("auth takes exactly one of bearer and basic"),
    ),
    (
        "no kind of credentials",
        &[("/spec/auth/bearer", || json!(null))],
        Some("auth takes exactly one of bearer and basic"),
    ),
    ("a header of credentials", &[("/spec/headers/0/name", || json!("AUTHORIZATION"))], Some(HEADER)),
    ("a cookie", &[("/spec/headers/0/name", || json!("Cookie"))], Some(HEADER)),
    ("another host", &[("/spec/headers/0/name", || json!("host"))], Some(HEADER)),
    ("two headers in one", &[("/spec/headers/0/name", || json!("a\r\nb"))], Some(HEADER)),
    (
        "names that are missing",
        &[("/spec/allowedNamespaces/names", || json!([]))],
        Some("allowedNamespaces.names must not be empty when from is Names"),
    ),
    ("all namespaces", &[("/spec/allowedNamespaces", || json!({"from": "All"}))], None),
    (
        "65 mebibytes",
        &[("/spec/maxResponseMebibytes", || json!(65))],
        Some("spec.maxResponseMebibytes in body should be less than or equal to 64"),
    ),
];

fn changed(mut object: Value, changes: &[Set]) -> Value {
    for (path, value) in changes {
        let (parent, key) = path.rsplit_once('/').unwrap();
        let fields = object.pointer_mut(parent).unwrap_or_else(|| panic!("{parent}")).as_object_mut().unwrap();
        match value() {
            Value::Null => assert!(fields.remove(key).is_some(), "{path} is not there"),
            value => drop(fields.insert(key.to_owned(), value)),
        }
    }
    object
}

/// Runs a table against the API server, in dry runs.
async fn check<K>(api: &Api<K>, base: fn() -> Value, cases: &[Case])
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    // Untyped, because a typed object could not even hold what is to be refused.
    let mut wrong = vec![];
    for (name, changes, expect) in cases {
        let object = changed(base(), changes);
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let request = kube::core::Request::new(api.resource_url())
            .create(&dry_run, serde_json::to_vec(&object).unwrap())
            .unwrap();
        let found = said(api.clone().into_client().request::<DynamicObject>(request).await);
        let fits = match (&found, expect) {
            (Ok(()), None) => true,
            (Err(message), Some(expect)) => message.contains(expect),
            _ => false,
        };
        if !fits {
            wrong.push(format!("{name}: expected {expect:?}, found {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn policies_are_accepted_and_refused_with_these_words() {
    let Some(server) = Server::connect().await else { return };
    let api: Api<FeedbackPolicy> = Api::namespaced(server.admin.clone(), &server.namespace);
    check(&api, policy, POLICIES).await;
    server.done().await;
}

#[tokio::test]
async fn sources_are_accepted_and_refused_with_these_words() {
    let Some(server) = Server::connect().await else { return };
    let api: Api<MetricSource> = Api::all(server.admin.clone());
    check(&api, source, SOURCES).await;
    server.done().await;
}

#[tokio::test]
async fn the_intent_of_a_change_never_changes() {
    let Some(server) = Server::connect().await else { return };
    let change: Change = serde_json::from_value(json!({
        "apiVersion": "flyball.dev/v1alpha1",
        "kind": "Change",
        "metadata": {"name": "checkout-1"},
        "spec": {
            "policy": {"name": "checkout", "uid": "u", "generation": 1},
            "action": "step",
            "mode": "Enforce",
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout", "uid": "v"},
            "field": "replicas",
            "direction": "Up",
            "sequence": 1,
            "before": 2,
            "after": 3,
            "verified": 2,
            "proposedAt": "2026-11-24T00:00:00.000000Z",
            "reason": "High fires",
            "evidence": {},
        },
    }))
    .unwrap();
    let api: Api<Change> = Api::namespaced(server.admin.clone(), &server.namespace);
    api.create(&PostParams::default(), &change).await.unwrap();
    let patch = async |patch: Value| said(api.patch("checkout-1", &PatchParams::default(), &Patch::Merge(patch)).await);
    let refusal = patch(json!({"spec": {"after": 4}})).await.unwrap_err();
    assert!(refusal.contains("the spec of a Change is its journal's intent and never changes"), "{refusal}");
    assert_eq!(patch(json!({"metadata": {"labels": {"a": "b"}}})).await, Ok(()));
    // The status is progress, and moves.
    let mut stored = api.get("checkout-1").await.unwrap();
    assert_eq!(stored.status, None, "a creation drops it");
    stored.status = Some(flyball_crds::ChangeStatus::default());
    api.replace_status("checkout-1", &PostParams::default(), &stored).await.unwrap();
    server.done().await;
}

#[tokio::test]
async fn the_examples_are_accepted_and_a_field_that_does_not_exist_is_not() {
    let Some(server) = Server::connect().await else { return };
    for mut example in documents("deploy/examples") {
        if example["metadata"]["namespace"] == "shop" {
            example["metadata"]["namespace"] = json!(server.namespace);
        }
        apply(&server.admin, &example, true).await.unwrap_or_else(|error| panic!("{error}: {example}"));
        if example["kind"] == "FeedbackPolicy" {
            example["spec"]["treshold"] = json!(1);
            let refusal = said(apply(&server.admin, &example, true).await.map(|it| it.name_any())).unwrap_err();
            assert!(refusal.contains("treshold"), "{refusal}");
        }
    }
    server.done().await;
}
