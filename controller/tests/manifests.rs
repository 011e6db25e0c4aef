//! What is deployed fits the code, and has no more rights than it needs.

#![allow(clippy::unwrap_used, clippy::panic)]

use flyball_controller::{
    cli::{check, doctor::rights},
    observe::{
        cluster::{DEFAULT_KINDS, ScaleKind},
        routes::table::TABLE,
    },
};
use flyball_crds::{
    APPROVED_BY_ANNOTATION, FREEZE_NAME, GROUP, REQUEST_ANNOTATION, REQUESTED_BY_ANNOTATION, RUNTIME_PREFIX,
    RUNTIME_STAMP_PREFIX, Request, STAMP_ANNOTATION, definitions,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| serde::Deserialize::deserialize(document).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
        .collect()
}

/// The one object of this kind and name in a file of `deploy/manifests`.
fn object(file: &str, kind: &str) -> Value {
    let found: Vec<Value> = documents(&folder("deploy/manifests").join(file))
        .into_iter()
        .filter(|it| it["kind"] == kind)
        .collect();
    assert_eq!(found.len(), 1, "one {kind} in {file}");
    found.into_iter().next().unwrap()
}

fn strings(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// The rules of a role, as `group/resource: verbs`, with the names they are held to.
fn rules_of(role: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in strings(&rule["apiGroups"]) {
            for resource in strings(&rule["resources"]) {
                let names = strings(&rule["resourceNames"]).join(" ");
                let held = if names.is_empty() {
                    String::new()
                } else {
                    format!(" of {names}")
                };
                all.insert(format!(
                    "{group}/{resource}: {}{held}",
                    strings(&rule["verbs"]).join(" ")
                ));
            }
        }
    }
    all
}

/// All rules of the controller's two roles.
fn rules() -> BTreeSet<String> {
    let of = |kind: &str| {
        let rules = rules_of(&object("rbac.yaml", kind));
        rules
            .into_iter()
            .map(|rule| format!("{kind} {rule}"))
            .collect::<Vec<_>>()
    };
    ["ClusterRole", "Role"].into_iter().flat_map(of).collect()
}

#[test]
fn the_controllers_rights_are_these() {
    let expect = [
        "ClusterRole /limitranges: list",
        "ClusterRole /namespaces: get list watch",
        "ClusterRole /nodes: list watch",
        "ClusterRole /pods/eviction: create",
        "ClusterRole /pods/resize: patch",
        "ClusterRole /pods: get list watch patch",
        "ClusterRole /resourcequotas: list",
        "ClusterRole apiextensions.k8s.io/customresourcedefinitions: get of feedbackpolicies.flyball.dev metricsources.flyball.dev changes.flyball.dev",
        "ClusterRole apps/deployments/scale: get update",
        "ClusterRole apps/deployments: get list watch patch",
        "ClusterRole apps/replicasets: list watch",
        "ClusterRole apps/statefulsets/scale: get update",
        "ClusterRole apps/statefulsets: get list watch patch",
        "ClusterRole autoscaling/horizontalpodautoscalers: list watch",
        "ClusterRole discovery.k8s.io/endpointslices: list",
        "ClusterRole events.k8s.io/events: create",
        "ClusterRole flyball.dev/changes/status: update",
        "ClusterRole flyball.dev/changes: get list watch create delete",
        "ClusterRole flyball.dev/feedbackpolicies/status: update patch",
        "ClusterRole flyball.dev/feedbackpolicies: get list watch",
        "ClusterRole flyball.dev/metricsources/status: update patch",
        "ClusterRole flyball.dev/metricsources: get list watch",
        "ClusterRole gateway.networking.k8s.io/grpcroutes: get list watch patch",
        "ClusterRole gateway.networking.k8s.io/httproutes: get list watch patch",
        "ClusterRole keda.sh/scaledobjects: list watch",
        "ClusterRole metrics.k8s.io/pods: list",
        "ClusterRole monitoring.coreos.com/prometheusrules: get list watch",
        "ClusterRole policy/poddisruptionbudgets: list",
        "Role /configmaps: get list watch of flyball-freeze",
        "Role /secrets: get list watch",
        "Role coordination.k8s.io/leases: create",
        "Role coordination.k8s.io/leases: get update of flyball",
    ];
    assert_eq!(rules(), expect.map(str::to_owned).into());
}

/// As RBAC reads a rule: one that names objects gives nothing on others, and nothing on all.
fn gives(rule: &Value, right: &rights::Right) -> bool {
    let names = strings(&rule["resourceNames"]);
    strings(&rule["apiGroups"]).contains(&right.group.as_str())
        && strings(&rule["resources"]).contains(&right.resource.as_str())
        && strings(&rule["verbs"]).contains(&right.verb)
        && (names.is_empty() || right.name.as_deref().is_some_and(|name| names.contains(&name)))
}

#[test]
fn the_doctor_asks_for_no_right_that_is_not_given() {
    let kinds: Vec<_> = DEFAULT_KINDS.iter().map(|kind| kind.parse().unwrap()).collect();
    let lease = object("lease.yaml", "Lease")["metadata"]["name"].clone();
    let given = ["ClusterRole", "Role"].map(|kind| object("rbac.yaml", kind)["rules"].as_array().unwrap().clone());
    let given = given.concat();
    // The others are added where they are wanted: docs/weights.md has their names.
    let shipped = TABLE.iter().filter(|row| row.group == "gateway.networking.k8s.io");
    let routes: Vec<ScaleKind> = shipped.map(|row| row.name().parse().unwrap()).collect();
    let asked = [
        rights::of_the_controller("flyball-system", None, &kinds, true, lease.as_str().unwrap()),
        rights::of_the_controllers_routes(None, &routes),
    ];
    for right in asked.concat() {
        assert!(given.iter().any(|rule| gives(rule, &right)), "{right:?}");
    }
}

#[test]
fn nobody_is_given_a_wildcard() {
    for file in ["rbac.yaml", "roles.yaml"] {
        let text = fs::read_to_string(folder("deploy/manifests").join(file)).unwrap();
        assert!(
            !text.contains("'*'") && !text.contains("\"*\"") && !text.contains("[*"),
            "{file}"
        );
    }
}

/// What each role of people may do beyond reading.
#[test]
fn people_are_given_these_rights() {
    let reads = |rule: &String| {
        let verbs = rule.split(": ").nth(1).unwrap().split(" of ").next().unwrap();
        verbs.split(' ').all(|verb| ["get", "list", "watch"].contains(&verb))
    };
    let written: Vec<(String, Vec<String>)> = documents(&folder("deploy/manifests/roles.yaml"))
        .iter()
        .map(|role| {
            let name = format!(
                "{} {}",
                role["kind"].as_str().unwrap(),
                role["metadata"]["name"].as_str().unwrap()
            );
            (name, rules_of(role).into_iter().filter(|rule| !reads(rule)).collect())
        })
        .collect();
    let expect: [(&str, &[&str]); 6] = [
        ("ClusterRole flyball-view", &[]),
        (
            "ClusterRole flyball-edit",
            &["flyball.dev/feedbackpolicies: create update patch delete"],
        ),
        (
            "ClusterRole flyball-operator",
            &[
                "autoscaling/horizontalpodautoscalers: get list create delete",
                "flyball.dev/changes: get list watch patch",
                "flyball.dev/feedbackpolicies: get list watch patch",
                "keda.sh/scaledobjects: get list create patch delete",
            ],
        ),
        // The one exception, bound to nobody.
        (
            "ClusterRole flyball-recover",
            &[
                "apps/deployments: get patch",
                "apps/statefulsets: get patch",
                "flyball.dev/changes/status: update",
            ],
        ),
        (
            "Role flyball-recover",
            &["coordination.k8s.io/leases: get update of flyball"],
        ),
        (
            "Role flyball-freeze",
            &[
                "/configmaps: create",
                "/configmaps: get list watch delete of flyball-freeze",
            ],
        ),
    ];
    let expect = expect.map(|(name, rules)| {
        let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
        (name.to_owned(), rules)
    });
    assert_eq!(written, expect);
}

#[test]
fn nobody_who_reads_or_edits_is_given_a_journal() {
    for role in documents(&folder("deploy/manifests/roles.yaml")) {
        let labels = role["metadata"]["labels"].as_object().unwrap();
        let aggregated = labels.keys().any(|key| key.contains("/aggregate-to-"));
        let named = role["metadata"]["name"].as_str().unwrap();
        assert_eq!(aggregated, ["flyball-view", "flyball-edit"].contains(&named), "{named}");
    }
}

/// Each annotation that people write on a Change, and the account that is not held to them.
#[test]
fn changes_take_three_annotations() {
    let policy = object("changes.yaml", "ValidatingAdmissionPolicy");
    let own = [APPROVED_BY_ANNOTATION, REQUEST_ANNOTATION, REQUESTED_BY_ANNOTATION];
    assert_eq!(
        policy["spec"]["variables"][0],
        json!({"name": "own", "expression": format!("['{}', '{}', '{}']", own[0], own[1], own[2])})
    );
    let text = policy.to_string();
    for request in [Request::Abort, Request::RollBack] {
        assert!(
            text.contains(&format!("'{}'", request.as_str())),
            "{}",
            request.as_str()
        );
    }
    let controllers = object("admission.yaml", "ValidatingAdmissionPolicy");
    let account = controllers["spec"]["matchConditions"][0]["expression"]
        .as_str()
        .unwrap();
    assert_eq!(
        policy["spec"]["matchConditions"][0]["expression"],
        json!(format!("!({account})"))
    );
    let binding = object("changes.yaml", "ValidatingAdmissionPolicyBinding");
    assert_eq!(
        binding["spec"],
        json!({"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]})
    );
}

/// The one ConfigMap that the controller may watch is the button, under the name that the code gives it.
#[test]
fn the_red_button_has_one_name() {
    for file in ["rbac.yaml", "roles.yaml"] {
        let documents = documents(&folder("deploy/manifests").join(file));
        let given = documents
            .iter()
            .filter(|role| role["kind"] == "Role")
            .flat_map(rules_of);
        let named: Vec<String> = given
            .filter(|rule| rule.contains("/configmaps:") && rule.contains(" of "))
            .collect();
        assert!(
            !named.is_empty() && named.iter().all(|rule| rule.ends_with(&format!(" of {FREEZE_NAME}"))),
            "{named:?}"
        );
    }
}

#[test]
fn the_admission_policy_means_this_account_this_stamp_and_these_kinds() {
    let account = object("serviceaccount.yaml", "ServiceAccount");
    let user = format!(
        "system:serviceaccount:{}:{}",
        account["metadata"]["namespace"].as_str().unwrap(),
        account["metadata"]["name"].as_str().unwrap(),
    );
    let policy = object("admission.yaml", "ValidatingAdmissionPolicy");
    assert_eq!(policy["spec"]["failurePolicy"], "Fail");
    assert_eq!(
        policy["spec"]["matchConditions"][0]["expression"],
        json!(format!("request.userInfo.username == '{user}'"))
    );
    assert_eq!(
        policy["spec"]["variables"][0],
        json!({"name": "stamp", "expression": format!("'{STAMP_ANNOTATION}'")})
    );
    let held = &policy["spec"]["matchConstraints"]["resourceRules"][0];
    assert_eq!(strings(&held["operations"]), ["CREATE", "UPDATE", "DELETE"]);
    for kind in DEFAULT_KINDS {
        let plural = format!("{}s", kind.rsplit('/').next().unwrap().to_lowercase());
        for resource in [plural.clone(), format!("{plural}/scale"), format!("{plural}/status")] {
            assert!(strings(&held["resources"]).contains(&resource.as_str()), "{resource}");
        }
    }
    let binding = object("admission.yaml", "ValidatingAdmissionPolicyBinding");
    assert_eq!(
        binding["spec"],
        json!({"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]})
    );
    for binding in documents(&folder("deploy/manifests/rbac.yaml")) {
        for subject in binding["subjects"].as_array().into_iter().flatten() {
            assert_eq!(subject["name"], account["metadata"]["name"]);
            assert_eq!(subject["namespace"], account["metadata"]["namespace"]);
        }
    }
}

#[test]
fn the_admission_policy_of_pods_means_this_account_and_the_lines_of_agents() {
    let writes = object("admission.yaml", "ValidatingAdmissionPolicy");
    let policy = object("pods.yaml", "ValidatingAdmissionPolicy");
    assert_eq!(policy["spec"]["failurePolicy"], "Fail");
    assert_eq!(policy["spec"]["matchConditions"], writes["spec"]["matchConditions"]);
    let held = &policy["spec"]["matchConstraints"]["resourceRules"][0];
    assert_eq!(strings(&held["operations"]), ["CREATE", "UPDATE", "DELETE", "CONNECT"]);
    assert_eq!(strings(&held["resources"]), ["pods", "pods/*"]);
    let quoted = |prefix: &str| format!("'{prefix}'");
    assert!(policy.to_string().contains(&quoted(RUNTIME_PREFIX)));
    for prefix in [RUNTIME_PREFIX, RUNTIME_STAMP_PREFIX] {
        assert!(writes.to_string().contains(&quoted(prefix)), "{prefix}");
    }
    let binding = object("pods.yaml", "ValidatingAdmissionPolicyBinding");
    assert_eq!(
        binding["spec"],
        json!({"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]})
    );
}

#[test]
fn the_admission_policy_of_routes_means_this_account_this_stamp_and_the_kinds_that_may_be_patched() {
    let writes = object("admission.yaml", "ValidatingAdmissionPolicy");
    let policy = object("routes.yaml", "ValidatingAdmissionPolicy");
    assert_eq!(policy["spec"]["failurePolicy"], "Fail");
    for pointer in ["/matchConditions", "/variables/0"] {
        assert_eq!(
            policy["spec"].pointer(pointer),
            writes["spec"].pointer(pointer),
            "{pointer}"
        );
    }
    let held = strings(&policy["spec"]["matchConstraints"]["resourceRules"][0]["resources"]);
    let role = object("rbac.yaml", "ClusterRole");
    let patched = role["rules"].as_array().unwrap().iter().filter(|rule| {
        strings(&rule["apiGroups"]) == ["gateway.networking.k8s.io"] && strings(&rule["verbs"]).contains(&"patch")
    });
    for resource in patched.flat_map(|rule| strings(&rule["resources"])) {
        assert!(
            held.contains(&resource),
            "{resource} may be patched, and nothing holds that to weights"
        );
    }
    let binding = object("routes.yaml", "ValidatingAdmissionPolicyBinding");
    assert_eq!(
        binding["spec"],
        json!({"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]})
    );
}

#[test]
fn the_pod_has_no_more_than_it_needs() {
    let spec = &object("deployment.yaml", "Deployment")["spec"]["template"]["spec"];
    assert_eq!(spec["securityContext"]["runAsNonRoot"], json!(true));
    assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &spec["containers"][0];
    assert_eq!(
        container["securityContext"],
        json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        })
    );
    assert!(container["resources"]["limits"]["memory"].is_string());
    assert!(spec["volumes"].is_null(), "nothing is mounted");
    let labels = &object("namespace.yaml", "Namespace")["metadata"]["labels"];
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
}

#[test]
fn the_parts_fit_together() {
    let deployment = object("deployment.yaml", "Deployment");
    let template = &deployment["spec"]["template"];
    let labels = &template["metadata"]["labels"];
    let container = &template["spec"]["containers"][0];
    for selector in [
        &deployment["spec"]["selector"]["matchLabels"],
        &object("service.yaml", "Service")["spec"]["selector"],
        &object("deployment.yaml", "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ] {
        for (key, value) in selector.as_object().unwrap() {
            assert_eq!(&labels[key], value);
        }
    }
    let port = &container["ports"][0];
    assert_eq!(
        object("service.yaml", "Service")["spec"]["ports"][0]["targetPort"],
        port["name"]
    );
    assert!(strings(&container["args"]).contains(&format!("--listen=0.0.0.0:{}", port["containerPort"]).as_str()));
    for (probe, path) in [
        ("livenessProbe", "/healthz"),
        ("readinessProbe", "/readyz"),
        ("startupProbe", "/healthz"),
    ] {
        assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": port["name"]}));
    }
    assert_eq!(
        template["spec"]["serviceAccountName"],
        object("serviceaccount.yaml", "ServiceAccount")["metadata"]["name"]
    );
    let lease = object("lease.yaml", "Lease");
    assert_eq!(
        (&lease["metadata"]["name"], &lease["spec"]),
        (&json!("flyball"), &Value::Null),
        "held by nobody"
    );
}

#[test]
fn the_kustomizations_name_every_file() {
    for (base, generated) in [("deploy/manifests", "."), ("crds", "generated")] {
        let named = documents(&folder(base).join("kustomization.yaml"))[0]["resources"].clone();
        let named: BTreeSet<_> = strings(&named).into_iter().map(ToOwned::to_owned).collect();
        let files: BTreeSet<_> = fs::read_dir(folder(base).join(generated))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "kustomization.yaml")
            .map(|name| {
                if generated == "." {
                    name
                } else {
                    format!("{generated}/{name}")
                }
            })
            .collect();
        assert!(named.is_superset(&files), "{base}: {:?}", files.difference(&named));
        for name in named.difference(&files) {
            assert_eq!(name, "../../crds", "{base}");
        }
    }
    let resources: BTreeSet<_> = definitions().into_iter().filter_map(|it| it.metadata.name).collect();
    assert!(resources.iter().all(|name| name.ends_with(GROUP)));
    assert_eq!(resources.len(), fs::read_dir(folder("crds/generated")).unwrap().count());
}

#[test]
fn the_examples_are_right() {
    let mut files: Vec<PathBuf> = fs::read_dir(folder("deploy/examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut report = vec![];
    let summary = check::run(&files, &mut report).unwrap();
    let report = String::from_utf8(report).unwrap();
    assert_eq!(
        (summary.policies, summary.sources, summary.receivers, summary.errors),
        (21, 7, 2, 0),
        "{report}"
    );
    // Only the documentation's own rule, which has no matchers, is warned of.
    for line in report.lines().filter(|line| line.contains(": warning: ")) {
        assert!(
            line.contains("high-request-latency.yaml") && line.contains("has no matcher"),
            "{line}"
        );
    }
}
