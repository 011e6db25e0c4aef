//! The API server, the definitions, the lease and the rights.

use super::{forbidden, made};
use crate::build::{ago, now};
use flyball_controller::{
    cli::{
        doctor::{
            cluster::{self, Lease, clocks, definition, version},
            finding::{Finding, Mark},
            rights::{self, Installation, Lever, Right},
            schema::{Difference, differences, in_one_line},
        },
        fetch::{Controller, controller},
    },
    observe::cluster::ScaleKind,
};
use flyball_core::time::Span;
use k8s_openapi::{
    api::{apps::v1::Deployment, coordination::v1::Lease as LeaseObject},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::version::Info,
};
use rstest::rstest;
use serde_json::{Value, json};

#[rstest]
#[case("1", "33", Mark::Ok)]
#[case("1", "36+", Mark::Ok)]
#[case("1", "32", Mark::Fail)]
#[case("", "", Mark::Warn)]
fn the_api_server_is_new_enough(#[case] major: &str, #[case] minor: &str, #[case] expect: Mark) {
    let info = Info {
        major: major.to_owned(),
        minor: minor.to_owned(),
        ..Info::default()
    };
    let found = version(&info, "https://127.0.0.1:6443/");
    assert_eq!(found.mark, expect);
    assert_eq!(found.way_out.is_empty(), expect == Mark::Ok);
}

#[rstest]
#[case(Some(0), Mark::Ok, "agree")]
#[case(Some(-4_000), Mark::Ok, "agree")]
#[case(Some(90_000), Mark::Warn, "1m30s ahead of")]
#[case(Some(-90_000), Mark::Warn, "1m30s behind")]
#[case(None, Mark::Skip, "did not tell")]
fn clocks_are_compared(#[case] ahead: Option<i64>, #[case] expect: Mark, #[case] said: &str) {
    let found = clocks(ahead);
    assert_eq!(found.mark, expect);
    assert!(found.said.contains(said), "{found:?}");
}

/// One of our definitions as an API server holds it, changed by `change`.
fn installed(change: impl FnOnce(&mut Value)) -> (CustomResourceDefinition, CustomResourceDefinition) {
    let ours = flyball_crds::definitions().swap_remove(1);
    let mut theirs = serde_json::to_value(&ours).expect("JSON");
    theirs["status"] = json!({
        "acceptedNames": {"kind": "FeedbackPolicy", "plural": "feedbackpolicies"}, "storedVersions": ["v1alpha1"],
        "conditions": [{"type": "Established", "status": "True", "lastTransitionTime": ago(0), "reason": "x", "message": "x"}],
    });
    change(&mut theirs);
    (ours, made(theirs))
}

const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";

fn at<'a>(object: &'a mut Value, path: &str) -> &'a mut Value {
    object.pointer_mut(&format!("{SPEC}{path}")).expect("a field")
}

#[test]
fn definitions_are_compared() {
    let judge = |change: &dyn Fn(&mut Value)| {
        let (ours, theirs) = installed(change);
        let found = definition(&ours, &Ok(Some(theirs)));
        (found.mark, found.said)
    };
    let own = env!("CARGO_PKG_VERSION");
    let is = |mark, said: String| (mark, said);
    assert_eq!(
        judge(&|_| ()),
        is(
            Mark::Ok,
            format!("installed, established, equal to that of flyball {own}")
        )
    );
    assert_eq!(
        judge(&|crd| *at(crd, "/properties/mode/description") = json!("Other words.")),
        is(
            Mark::Ok,
            format!("installed, established, equal to that of flyball {own}")
        )
    );
    // As the API server gives a double back.
    let zero = "/properties/actions/items/properties/replicas/properties/zero/properties/activation/default";
    assert_eq!(
        judge(&|crd| *at(crd, zero) = json!(0)),
        is(
            Mark::Ok,
            format!("installed, established, equal to that of flyball {own}")
        )
    );
    assert_eq!(
        judge(&|crd| drop(
            at(crd, "/properties")
                .as_object_mut()
                .and_then(|fields| fields.remove("yieldFor"))
        )),
        is(
            Mark::Fail,
            format!("is not that of flyball {own}: spec.yieldFor is missing there")
        )
    );
    assert_eq!(
        judge(&|crd| at(crd, "/properties")["tomorrow"] = json!({"type": "string"})),
        is(
            Mark::Warn,
            format!("is newer than that of flyball {own}: spec.tomorrow is known only there")
        )
    );
    assert_eq!(
        judge(&|crd| *at(
            crd,
            "/properties/actions/items/properties/replicas/properties/max/maximum"
        ) = json!(7)),
        is(
            Mark::Fail,
            format!("is not that of flyball {own}: the maximum of spec.actions[].replicas.max differs")
        )
    );
    assert_eq!(
        judge(&|crd| crd["spec"]["versions"][0]["name"] = json!("v1")),
        is(
            Mark::Fail,
            format!("is not that of flyball {own}: version v1alpha1 is missing there")
        )
    );
    let (mark, said) = judge(&|crd| crd["status"]["conditions"][0]["status"] = json!("False"));
    assert_eq!(
        (mark, said.as_str()),
        (Mark::Fail, "is installed and not established: x")
    );
}

#[test]
fn a_definition_that_is_missing_or_hidden_is_told_apart() {
    let ours = flyball_crds::definitions().swap_remove(0);
    let missing = definition(&ours, &Ok(None));
    assert_eq!((missing.mark, missing.said.as_str()), (Mark::Fail, "is not installed"));
    assert!(
        missing
            .way_out
            .contains("flyball crds | kubectl apply --server-side -f -")
    );
    assert_eq!(definition(&ours, &Err(forbidden())).mark, Mark::Skip);
}

#[test]
fn many_differences_are_one_line() {
    let (ours, mut theirs) = installed(|_| ());
    assert_eq!(differences(&ours, &theirs), []);
    theirs.spec.versions[0].served = false;
    let found = differences(&ours, &theirs);
    assert_eq!(found, [Difference::Other("version v1alpha1 is not served".to_owned())]);
    let many: Vec<Difference> = (0..5).map(|n| Difference::Missing(format!("spec.f{n}"))).collect();
    assert_eq!(
        in_one_line(&many),
        "spec.f0 is missing there, spec.f1 is missing there, and 3 more differences"
    );
}

fn lease(holder: &str, seconds: i64) -> LeaseObject {
    made(json!({"spec": {"holderIdentity": holder, "renewTime": ago(seconds), "leaseDurationSeconds": 15}}))
}

#[test]
fn a_lease_tells_of_the_controller() {
    let leads = |renewed| Controller::Leads {
        holder: "a".to_owned(),
        renewed: Span::from_secs(renewed),
    };
    assert_eq!(controller(Some(&lease("a", 3)), now()), leads(3));
    assert_eq!(controller(Some(&lease("a", 15)), now()), leads(15));
    assert_eq!(
        controller(Some(&lease("a", -5)), now()),
        leads(0),
        "its clock may be ahead of ours"
    );
    let silent = Controller::Silent {
        holder: "a".to_owned(),
        renewed: Span::from_secs(16),
    };
    assert_eq!(controller(Some(&lease("a", 16)), now()), silent);
    assert_eq!(controller(Some(&lease("", 3)), now()), Controller::Vacant);
    assert_eq!(controller(None, now()), Controller::Missing);
}

#[rstest]
#[case(Controller::Leads { holder: "a".to_owned(), renewed: Span::from_secs(2) }, false, Mark::Ok, "held by a, renewed 2s ago")]
#[case(Controller::Silent { holder: "a".to_owned(), renewed: Span::from_secs(200) }, false, Mark::Fail, "not renewed for 3m20s")]
#[case(Controller::Silent { holder: "a".to_owned(), renewed: Span::from_secs(200) }, true, Mark::Warn, "whose clock is 3m20s behind")]
#[case(Controller::Vacant, false, Mark::Fail, "held by nobody")]
#[case(Controller::Missing, false, Mark::Fail, "there is no lease flyball-system/flyball")]
fn the_lease_is_judged(#[case] seen: Controller, #[case] moved: bool, #[case] expect: Mark, #[case] said: &str) {
    let found = cluster::lease(
        &Lease {
            controller: Ok(seen),
            moved,
        },
        "flyball-system/flyball",
    );
    assert_eq!(found.mark, expect);
    assert!(found.said.contains(said), "{found:?}");
    assert_eq!(found.way_out.is_empty(), expect == Mark::Ok);
}

fn kinds() -> Vec<ScaleKind> {
    vec!["apps/v1/Deployment".parse().expect("a kind")]
}

#[test]
fn rights_are_judged_by_what_can_not_be_done() {
    let answers = |given: fn(&Right) -> Result<bool, String>| {
        let rights = rights::of_the_controller("flyball-system", None, &kinds(), true, "flyball");
        let answers: Vec<_> = rights
            .into_iter()
            .map(|right| {
                let given = given(&right);
                (right, given)
            })
            .collect();
        rights::judge("flyball", Mark::Fail, &answers, "give it")
    };
    let said = |findings: Vec<Finding>| {
        findings
            .into_iter()
            .map(|found| (found.mark, found.said))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        said(answers(|_| Ok(true))),
        [(Mark::Ok, "may do all that is needed (27 rights)".to_owned())]
    );
    assert_eq!(
        said(answers(|right| Ok(right.group != "coordination.k8s.io" && !right.resource.ends_with("/scale")))),
        [
            (Mark::Fail, "may not get, update leases of coordination.k8s.io named flyball in namespace flyball-system: it never leads, so it decides nothing".to_owned()),
            (Mark::Fail, "may not create leases of coordination.k8s.io in namespace flyball-system: a lease that is missing stays so, and nobody leads".to_owned()),
            (Mark::Fail, "may not update deployments/scale of apps in all namespaces: it can't move the targets of this kind".to_owned()),
        ]
    );
    assert_eq!(
        said(answers(|_| Err("no".to_owned()))),
        [(Mark::Skip, "it is not known what flyball may do: no".to_owned())],
        "one line, not one for each right"
    );
}

/// A role may name the lease for reading and writing, but not for creating it.
#[test]
fn the_lease_is_asked_for_by_its_name() {
    let asked = |rights: Vec<Right>| {
        let leases = rights.into_iter().filter(|right| right.resource == "leases");
        leases
            .map(|right| {
                let asked = right.attributes();
                (asked.verb.unwrap_or_default(), asked.name)
            })
            .collect::<Vec<_>>()
    };
    let named = |verb: &str| (verb.to_owned(), Some("governor".to_owned()));
    assert_eq!(
        asked(rights::of_the_controller("a", None, &kinds(), true, "governor")),
        [named("get"), named("update"), ("create".to_owned(), None)]
    );
    assert_eq!(
        asked(rights::of_the_report(None, "a", (&kinds(), &[]), "governor")),
        [named("get")]
    );
}

#[test]
fn what_the_controller_looks_at_is_asked_for_where_it_looks() {
    let listed = |scope| -> Vec<String> {
        let view = rights::of_the_controllers_view(scope, &kinds()).into_iter();
        view.map(|right| format!("{} {}/{}", right.verb, right.group, right.resource))
            .collect()
    };
    let within = [
        "list /pods",
        "watch /pods",
        "list apps/replicasets",
        "watch apps/replicasets",
        "list metrics.k8s.io/pods",
        "get /pods",
        "get apps/deployments",
        "list monitoring.coreos.com/prometheusrules",
        "watch monitoring.coreos.com/prometheusrules",
        "list /resourcequotas",
        "list /limitranges",
        "list policy/poddisruptionbudgets",
    ];
    let of_one = [&within[..], &["get /namespaces"]].concat();
    assert_eq!(listed(Some("shop")), of_one, "nodes are not of a namespace");
    let namespaces = ["get /namespaces", "list /namespaces", "watch /namespaces"];
    assert_eq!(
        listed(None),
        [&within[..], &namespaces, &["list /nodes", "watch /nodes"]].concat()
    );
}

#[test]
fn the_routes_that_are_moved_are_asked_for() {
    let route = ScaleKind {
        api_version: "gateway.networking.k8s.io/v1".to_owned(),
        kind: "HTTPRoute".to_owned(),
    };
    let listed = |rights: Vec<Right>| -> Vec<String> {
        let rights = rights.into_iter();
        rights
            .map(|right| format!("{} {}/{} {:?}", right.verb, right.group, right.resource, right.place))
            .collect()
    };
    let routes = "gateway.networking.k8s.io/httproutes";
    assert_eq!(
        listed(rights::of_the_controllers_routes(
            Some("shop"),
            std::slice::from_ref(&route)
        )),
        [
            format!("get {routes} In(\"shop\")"),
            format!("list {routes} In(\"shop\")"),
            format!("watch {routes} In(\"shop\")"),
            format!("patch {routes} In(\"shop\")"),
            "list discovery.k8s.io/endpointslices In(\"shop\")".to_owned(),
        ]
    );
    assert_eq!(
        rights::of_the_controllers_routes(None, &[]),
        [],
        "nothing where nothing is moved"
    );
    let report = listed(rights::of_the_report(
        None,
        "a",
        (&[], std::slice::from_ref(&route)),
        "flyball",
    ));
    assert!(report.contains(&format!("get {routes} All")), "{report:?}");
}

#[test]
fn no_right_is_asked_for_on_any_scale() {
    let all = [
        rights::of_the_controller("a", Some("b"), &kinds(), true, "flyball"),
        rights::of_the_report(Some("b"), "a", (&kinds(), &[]), "flyball"),
        rights::of_the_controllers_view(Some("b"), &kinds()),
    ]
    .concat();
    assert!(
        all.iter()
            .all(|right| !right.resource.contains('*') && !right.group.contains('*') && right.verb != "*")
    );
    assert!(
        !all.iter().any(|right| right.place == rights::Place::All),
        "an installation for one namespace needs no others"
    );
}

#[test]
fn the_installation_is_read_from_its_deployment() {
    let deployment: Deployment = made(json!({"spec": {
        "selector": {}, "template": {"spec": {"serviceAccountName": "valve", "containers": [{"name": "c", "args": [
            "run", "--scale-kind=apps/v1/Deployment", "--scale-kind", "example.com/v1/Fleet", "--watch-namespace", "shop",
            "--lease-name=governor",
        ]}]}},
    }}));
    let found = Installation::of(&deployment);
    assert_eq!(
        (found.account.as_deref(), found.scope.as_deref(), found.lease()),
        (Some("valve"), Some("shop"), "governor")
    );
    assert_eq!(Installation::default().lease(), "flyball");
    let kinds: Vec<String> = found.kinds.iter().map(|kind| kind.kind.clone()).collect();
    assert_eq!(kinds, ["Deployment", "Fleet"]);
}

/// What an installation does without on purpose is not missing.
#[test]
fn what_only_observes_needs_no_right_to_write_a_target_and_sources_of_a_file_are_not_read() {
    let written = |args: &[&str]| -> Deployment {
        made(json!({"spec": {
            "selector": {}, "template": {"spec": {"containers": [{"name": "c", "args": args}]}},
        }}))
    };
    let route: ScaleKind = "gateway.networking.k8s.io/v1/HTTPRoute".parse().expect("a kind");
    let without = |args: &[&str], without: &[Lever]| -> Vec<String> {
        let installation = Installation {
            kinds: kinds(),
            without: without.to_vec(),
            ..Installation::of(&written(args))
        };
        let all = [
            rights::of_the_controller("a", None, &kinds(), true, "flyball"),
            rights::of_the_controllers_routes(None, std::slice::from_ref(&route)),
            rights::of_the_controllers_agents(None, true),
        ];
        let left = all.concat().into_iter().filter(|right| !installation.needs(right));
        left.map(|right| format!("{} {}", right.verb, right.resource)).collect()
    };
    let missed = |args: &[&str]| without(args, &[]);
    assert_eq!(missed(&["run"]), [""; 0], "all is needed");
    assert_eq!(
        missed(&["run", "--observe-only"]),
        [
            "patch deployments",
            "update deployments/scale",
            "patch httproutes",
            "patch pods"
        ]
    );
    assert_eq!(
        missed(&["run", "--sources-file=/etc/flyball/sources/sources.yaml"]),
        [
            "list metricsources",
            "watch metricsources",
            "patch metricsources/status"
        ]
    );
    // Levers that are left out, as the chart's rbac.levers does.
    let left = |levers: &[Lever]| without(&["run"], levers);
    assert_eq!(left(&[Lever::Replicas]), ["update deployments/scale"]);
    assert_eq!(left(&[Lever::Weights]), ["patch httproutes"]);
    assert_eq!(left(&[Lever::Runtime]), ["patch pods"]);
    assert_eq!(
        left(&[Lever::Replicas, Lever::Runtime]),
        ["patch deployments", "update deployments/scale", "patch pods"]
    );
}

/// Also where nothing else may be written: a review is an answer that is asked for by POST.
#[test]
fn who_may_read_the_metrics_is_asked_by_whom_it_is_told_to() {
    let needed = |args: &[&str]| -> Vec<String> {
        let installation = Installation::of(&made(json!({"spec": {
            "selector": {}, "template": {"spec": {"containers": [{"name": "c", "args": args}]}},
        }})));
        let all = rights::of_the_controllers_reviews().into_iter();
        let needed = all.filter(|right| installation.needs(right));
        needed
            .map(|right| format!("{} {}.{}", right.verb, right.resource, right.group))
            .collect()
    };
    assert_eq!(needed(&["run"]), [""; 0]);
    let both = [
        "create tokenreviews.authentication.k8s.io",
        "create subjectaccessreviews.authorization.k8s.io",
    ];
    assert_eq!(needed(&["run", "--metrics-authorization"]), both);
    assert_eq!(needed(&["run", "--observe-only", "--metrics-authorization"]), both);
}
