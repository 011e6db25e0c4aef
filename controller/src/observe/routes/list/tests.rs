use super::{
    super::{
        fixtures::{self, Fixture, backends, canary, http_route, object, virtual_service, weights},
        table::{CANARY, CANARY_WEIGHT, CANARY_WEIGHT_TOTAL, TABLE},
    },
    *,
};
use serde_json::json;

fn found(object: &Value, rule: RuleRef, managed: &[&str]) -> Result<Located, RouteError> {
    let list = fixtures::list(object, rule);
    locate(&fixtures::object(object), &list, &backends(managed.iter().copied()))
}

#[test]
fn a_list_of_every_kind_is_read() {
    for fixture in fixtures::all() {
        let Fixture {
            managed,
            unmanaged,
            others,
            fixed_total,
            ..
        } = &fixture;
        let found = locate(&fixture.object(), &fixture.list(), &fixture.backends()).expect("a list");
        let kind = found.row.name();
        assert_eq!(found.weights(), weights(managed.iter().copied()), "{kind}");
        assert_eq!(found.unmanaged(), *unmanaged, "{kind}");
        assert_eq!(found.others(), *others, "{kind}");
        assert_eq!(found.fixed_total(), *fixed_total, "{kind}");
    }
}

#[test]
fn every_row_has_an_object_to_be_held_against() {
    let row = |fixture: &Fixture| Row::of(&fixture.list().api_version, &fixture.list().kind);
    let seen: Vec<_> = fixtures::all().iter().filter_map(row).collect();
    assert!(TABLE.iter().all(|row| seen.contains(&row)));
}

#[test]
fn a_fixed_sum_gives_way_to_what_others_have() {
    let mut istio = virtual_service();
    istio["spec"]["http"][1]["route"][0]["weight"] = 60.into();
    let third = json!({"destination": {"host": "old"}, "weight": 40});
    let route = istio["spec"]["http"][1]["route"].as_array_mut().expect("a list");
    route.push(third);
    let found = found(&istio, RuleRef::Index(1), &["shop/v1", "shop/v2"]).expect("a list");
    assert_eq!((found.unmanaged(), found.fixed_total()), (40, None));
}

/// What is wrong with the object: `change` is applied to it, and the error holds each of `expect`.
fn check(mut object: Value, change: impl Fn(&mut Value), rule: RuleRef, managed: &[&str], expect: &[&str]) {
    change(&mut object);
    let error = found(&object, rule, managed).expect_err("an error").to_string();
    for part in expect {
        assert!(error.contains(part), "{error}\nlacks {part}");
    }
}

fn named(name: &str) -> RuleRef {
    RuleRef::Name(name.to_owned())
}

#[test]
fn the_rule_must_be_the_one_that_is_meant() {
    let same = |_: &mut Value| ();
    let ab = ["a", "b"];
    check(
        http_route(),
        same,
        named("mian"),
        &ab,
        &[
            "HTTPRoute shop",
            "spec.rules",
            "\"mian\"",
            "\"static\", \"main\"",
            "correct the name",
        ],
    );
    check(
        http_route(),
        |route| route["spec"]["rules"][0]["name"] = "main".into(),
        named("main"),
        &ab,
        &[
            "HTTPRoute shop",
            "more than one rule named \"main\"",
            "spec.rules",
            "name of its own",
        ],
    );
    check(
        http_route(),
        same,
        RuleRef::Index(2),
        &ab,
        &[
            "HTTPRoute shop",
            "no rule 2 in spec.rules",
            "holds 2",
            "correct the index",
        ],
    );
    check(
        http_route(),
        same,
        RuleRef::Only,
        &ab,
        &["HTTPRoute shop", "2 rules", "\"static\", \"main\"", "name or index"],
    );
    check(
        virtual_service(),
        same,
        RuleRef::Only,
        &ab,
        &["\"api\", rule 1 without a name"],
    );
    let proxy = fixtures::all()
        .into_iter()
        .find(|fixture| fixture.list().kind == "HTTPProxy")
        .expect("one");
    check(
        proxy.object,
        same,
        named("main"),
        &ab,
        &["HTTPProxy shop", "\"main\"", "spec.routes", "by its index"],
    );
    let service = fixtures::all()
        .into_iter()
        .find(|fixture| fixture.list().kind == "TraefikService")
        .expect("one");
    check(
        service.object,
        same,
        RuleRef::Index(0),
        &ab,
        &["TraefikService shop", "rule 0", "leave the rule away"],
    );
    check(
        canary(),
        same,
        named("x"),
        &["new", "old"],
        &["Ingress shop-canary", "leave the rule away"],
    );
    check(
        http_route(),
        |route| route["spec"]["rules"] = json!([]),
        RuleRef::Only,
        &ab,
        &["no list in spec.rules"],
    );
    check(
        http_route(),
        |route| route["spec"] = json!({}),
        named("main"),
        &ab,
        &["no list in spec.rules"],
    );
    check(
        http_route(),
        |route| route["kind"] = "TCPRoute".into(),
        named("main"),
        &ab,
        &["TCPRoute", "take one of", "gateway.networking.k8s.io/v1/HTTPRoute"],
    );
}

#[test]
fn the_list_must_hold_each_managed_backend_once_with_a_weight() {
    let refs = "spec.rules[1].backendRefs";
    let entry = |key: &'static str, value: Value| {
        move |route: &mut Value| route["spec"]["rules"][1]["backendRefs"][0][key] = value.clone()
    };
    let main = || named("main");
    check(
        http_route(),
        |_| (),
        main(),
        &["a", "c"],
        &["HTTPRoute shop", refs, "\"c\"", "other, b, a", "take it off the action"],
    );
    // The same name with another port is still the same name.
    check(
        http_route(),
        entry("name", json!("a")),
        main(),
        &["a", "b"],
        &["\"a\" more than once", refs, "merge"],
    );
    check(
        http_route(),
        entry("name", json!("")),
        main(),
        &["a", "b"],
        &["no name in spec.rules[1].backendRefs[0].name"],
    );
    for bad in [json!(1.5), json!(-1), json!(1_000_001), json!("3"), json!(1e30)] {
        let value = bad.to_string();
        let expect = [
            "HTTPRoute shop",
            "spec.rules[1].backendRefs[0].weight",
            value.as_str(),
            "0 to 1000000",
        ];
        check(http_route(), entry("weight", bad), main(), &["a", "b"], &expect);
    }
    check(
        http_route(),
        |route| {
            route["spec"]["rules"][1]
                .as_object_mut()
                .expect("a rule")
                .remove("backendRefs");
        },
        main(),
        &["a", "b"],
        &["no list in spec.rules[1].backendRefs"],
    );
    let many = |count: usize| {
        move |route: &mut Value| {
            route["spec"]["rules"][1]["backendRefs"] =
                json!((0..count).map(|n| json!({"name": format!("s{n}")})).collect::<Vec<_>>());
        }
    };
    check(
        http_route(),
        many(17),
        main(),
        &["s0", "s1"],
        &["17 entries in spec.rules[1].backendRefs", "at most 16"],
    );
    let mut route = http_route();
    many(16)(&mut route);
    assert!(found(&route, main(), &["s0", "s15"]).is_ok());
    check(
        http_route(),
        |route| route["spec"]["rules"] = json!(vec![json!({"name": "main"}); 17]),
        main(),
        &["a", "b"],
        &["17 entries in spec.rules", "at most 16"],
    );
}

#[test]
fn a_duplicate_that_nobody_manages_is_none_of_ours() {
    let mut route = http_route();
    let refs = route["spec"]["rules"][1]["backendRefs"].as_array_mut().expect("a list");
    refs.push(json!({"name": "other", "port": 81, "weight": 7}));
    let found = found(&route, named("main"), &["a", "b"]).expect("a list");
    assert_eq!((found.unmanaged(), found.others()), (17, vec!["other".to_owned()]));
}

#[test]
fn a_canary_must_be_one() {
    let annotate = |key: &'static str, value: Value| {
        move |ingress: &mut Value| ingress["metadata"]["annotations"][key] = value.clone()
    };
    let pair = ["new", "old"];
    let check = |change: &dyn Fn(&mut Value), managed: &[&str], expect: &[&str]| {
        check(canary(), change, RuleRef::Only, managed, expect);
    };
    check(
        &annotate(CANARY, json!("false")),
        &pair,
        &["Ingress shop-canary", CANARY, "\"false\"", "set it to \"true\""],
    );
    check(
        &|ingress| ingress["metadata"]["annotations"] = json!({}),
        &pair,
        &["missing", "set it to \"true\""],
    );
    for bad in ["x", "-1", "201", "1.5", ""] {
        check(
            &annotate(CANARY_WEIGHT, json!(bad)),
            &pair,
            &["canary-weight]", &format!("{bad:?}"), "0 to 200"],
        );
    }
    for bad in ["x", "0", "1000001"] {
        check(
            &annotate(CANARY_WEIGHT_TOTAL, json!(bad)),
            &pair,
            &["canary-weight-total]", &format!("{bad:?}"), "1 to 1000000"],
        );
    }
    check(&|_| (), &["new", "old", "third"], &["new, old, third", "exactly two"]);
    check(&|_| (), &["old", "older"], &["old, older", "name \"new\""]);
    check(&|_| (), &["new", "new"], &["new, new"]);
    let service = "/spec/rules/0/http/paths/1/backend/service/name";
    check(
        &|ingress| *ingress.pointer_mut(service).expect("a name") = json!("newer"),
        &pair,
        &["leads to new, newer", "exactly one Service"],
    );
    check(&|ingress| ingress["spec"] = json!({}), &pair, &["leads to nothing"]);
}

#[test]
fn a_canary_has_the_defaults_of_ingress_nginx() {
    let check = |weight: Option<&str>, total: Option<&str>, expect: (u32, u32)| {
        let mut ingress = canary();
        let annotations = ingress["metadata"]["annotations"].as_object_mut().expect("annotations");
        for (key, value) in [(CANARY_WEIGHT, weight), (CANARY_WEIGHT_TOTAL, total)] {
            annotations.remove(key);
            annotations.extend(value.map(|value| (key.to_owned(), json!(value))));
        }
        let found = found(&ingress, RuleRef::Only, &["old", "new"]).expect("a list");
        let (new, total) = expect;
        assert_eq!(found.weights(), weights([("new", new), ("old", total - new)]));
        assert_eq!((found.fixed_total(), found.unmanaged()), (Some(total), 0));
    };
    check(None, None, (0, 100));
    check(Some("100"), None, (100, 100));
    check(Some("7"), Some("50"), (7, 100));
    check(Some("7"), Some("1000"), (7, 1000));
    let by_default = json!({"spec": {"defaultBackend": {"service": {"name": "new"}}}});
    let mut ingress = canary();
    ingress["spec"] = by_default["spec"].clone();
    assert!(
        locate(
            &object(&ingress),
            &fixtures::list(&ingress, RuleRef::Only),
            &backends(["new", "old"])
        )
        .is_ok()
    );
}
