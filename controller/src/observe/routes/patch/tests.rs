use super::{
    super::fixtures::{self, Fixture, backends, http_route, weights},
    *,
};
use flyball_core::policy::{RouteList, RuleRef};
use proptest::prelude::*;
use serde_json::json;

fn patch(object: &Value, list: &RouteList, managed: &[Backend], to: &Weights) -> Result<Patch, RouteError> {
    let object = fixtures::object(object);
    let located = locate(&object, list, managed)?;
    weights_patch(&object, &located, "u-1", "41", to)
}

fn of(fixture: &Fixture, to: &Weights) -> Result<Patch, RouteError> {
    patch(&fixture.object, &fixture.list(), &fixture.backends(), to)
}

fn applied(object: &Value, patch: &Patch) -> Result<Value, json_patch::PatchError> {
    let mut object = object.clone();
    json_patch::patch(&mut object, patch).map(|()| object)
}

/// The object with the weights set by hand where the fixture says they are.
fn by_hand(fixture: &Fixture, to: &[u32]) -> Value {
    let mut object = fixture.object.clone();
    for (place, weight) in fixture.places.iter().zip(to) {
        let (parent, key) = place.rsplit_once('/').expect("a place");
        let parent = object
            .pointer_mut(parent)
            .and_then(Value::as_object_mut)
            .expect("an entry");
        let key = key.replace("~1", "/");
        let value = if key == "weight" {
            json!(weight)
        } else {
            json!(weight.to_string())
        };
        parent.insert(key, value);
    }
    object
}

fn check(fixture: &Fixture, to: [u32; 2]) {
    let names = fixture.managed.iter().map(|(name, _)| *name);
    let patch = of(fixture, &weights(names.zip(to))).expect("a patch");
    let after = applied(&fixture.object, &patch).expect("it applies");
    assert_eq!(after.to_string(), by_hand(fixture, &to).to_string());
}

#[test]
fn nothing_but_the_weights_is_touched() {
    for fixture in fixtures::all() {
        match fixture.fixed_total {
            Some(total) => check(&fixture, [total - 3, 3]),
            None => check(&fixture, [7, 999_993]),
        }
    }
}

#[test]
fn a_patch_says_what_it_rests_on() {
    let expect = json!([
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "41"},
        {"op": "test", "path": "/metadata/uid", "value": "u-1"},
        {"op": "test", "path": "/spec/rules/1/name", "value": "main"},
        {"op": "test", "path": "/spec/rules/1/backendRefs/1/name", "value": "b"},
        {"op": "test", "path": "/spec/rules/1/backendRefs/1/group", "value": ""},
        {"op": "test", "path": "/spec/rules/1/backendRefs/1/kind", "value": "Service"},
        {"op": "test", "path": "/spec/rules/1/backendRefs/1/namespace", "value": "far"},
        {"op": "test", "path": "/spec/rules/1/backendRefs/1/port", "value": 8080},
        {"op": "test", "path": "/spec/rules/1/backendRefs/2/name", "value": "a"},
        {"op": "test", "path": "/spec/rules/1/backendRefs/2/group", "value": ""},
        {"op": "test", "path": "/spec/rules/1/backendRefs/2/kind", "value": "Service"},
        {"op": "test", "path": "/spec/rules/1/backendRefs/2/port", "value": 80},
        {"op": "replace", "path": "/spec/rules/1/backendRefs/1/weight", "value": 20},
        {"op": "add", "path": "/spec/rules/1/backendRefs/2/weight", "value": 2},
    ]);
    let [route, ..]: [Fixture; 8] = fixtures::all().try_into().unwrap_or_else(|_| panic!("eight"));
    let patch = of(&route, &weights([("a", 2), ("b", 20)])).expect("a patch");
    assert_eq!(serde_json::to_value(&patch).expect("JSON"), expect);
    let [.., istio, _, canary]: [Fixture; 8] = fixtures::all().try_into().unwrap_or_else(|_| panic!("eight"));
    let expect = json!([
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "41"},
        {"op": "test", "path": "/metadata/uid", "value": "u-1"},
        {"op": "test", "path": "/spec/http/1/match", "value": [{"uri": {"prefix": "/"}}]},
        {"op": "test", "path": "/spec/http/1/route/0/destination/host", "value": "shop"},
        {"op": "test", "path": "/spec/http/1/route/0/destination/subset", "value": "v1"},
        {"op": "test", "path": "/spec/http/1/route/0/destination/port/number", "value": 80},
        {"op": "test", "path": "/spec/http/1/route/1/destination/host", "value": "shop"},
        {"op": "test", "path": "/spec/http/1/route/1/destination/subset", "value": "v2"},
        {"op": "test", "path": "/spec/http/1/route/1/destination/port/number", "value": 80},
        {"op": "replace", "path": "/spec/http/1/route/0/weight", "value": 90},
        {"op": "add", "path": "/spec/http/1/route/1/weight", "value": 10},
    ]);
    let patch = of(&istio, &weights([("shop/v1", 90), ("shop/v2", 10)])).expect("a patch");
    assert_eq!(serde_json::to_value(&patch).expect("JSON"), expect);
    let annotation = |key: &str| format!("/metadata/annotations/nginx.ingress.kubernetes.io~1{key}");
    let expect = json!([
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "41"},
        {"op": "test", "path": "/metadata/uid", "value": "u-1"},
        {"op": "test", "path": annotation("canary"), "value": "true"},
        {"op": "test", "path": annotation("canary-weight-total"), "value": "200"},
        {"op": "test", "path": annotation("canary-weight"), "value": "30"},
        {"op": "replace", "path": annotation("canary-weight"), "value": "50"},
    ]);
    let patch = of(&canary, &weights([("new", 50), ("old", 150)])).expect("a patch");
    assert_eq!(serde_json::to_value(&patch).expect("JSON"), expect);
}

/// What somebody changes after the patch was made, except for the version, which only the API server compares.
#[test]
fn a_patch_does_not_apply_to_another_object() {
    let fixtures = fixtures::all();
    let check = |fixture: &Fixture, place: &str, value: Value| {
        let names = fixture.managed.iter().map(|(name, _)| *name);
        let total = fixture.fixed_total.unwrap_or(100);
        let patch = of(fixture, &weights(names.zip([total - 40, 40]))).expect("a patch");
        let mut object = fixture.object.clone();
        *object.pointer_mut(place).expect("a place") = value;
        assert!(applied(&object, &patch).is_err(), "{place}");
    };
    for fixture in &fixtures {
        check(fixture, "/metadata/uid", json!("u-2"));
    }
    check(&fixtures[0], "/spec/rules/1/name", json!("third"));
    check(&fixtures[0], "/spec/rules/1/backendRefs/1/name", json!("c"));
    check(&fixtures[0], "/spec/rules/1/backendRefs/1/namespace", json!("near"));
    check(&fixtures[0], "/spec/rules/1/backendRefs/2/port", json!(81));
    check(
        &fixtures[2],
        "/spec/rules/0/matches/0/method/service",
        json!("shop.Other"),
    );
    check(&fixtures[3], "/spec/rules/1/backendRefs/0/name", json!("c"));
    check(&fixtures[4], "/spec/weighted/services/1/kind", json!("Service"));
    check(&fixtures[5], "/spec/http/1/match/0/uri", json!({"exact": "/"}));
    check(&fixtures[5], "/spec/http/1/route/1/destination/subset", json!("v3"));
    check(&fixtures[6], "/spec/routes/0/conditions", json!([]));
    check(&fixtures[6], "/spec/routes/0/services/1/protocol", json!("h2"));
    check(
        &fixtures[7],
        "/metadata/annotations/nginx.ingress.kubernetes.io~1canary-weight",
        json!("31"),
    );
    check(
        &fixtures[7],
        "/metadata/annotations/nginx.ingress.kubernetes.io~1canary-weight-total",
        json!("300"),
    );
}

#[test]
fn places_are_those_of_the_object_at_hand() {
    let route = http_route();
    let list = fixtures::list(&route, RuleRef::Name("main".to_owned()));
    let located = locate(&fixtures::object(&route), &list, &backends(["a", "b"])).expect("a list");
    let mut moved = route.clone();
    for path in ["/spec/rules", "/spec/rules/0/backendRefs"] {
        moved
            .pointer_mut(path)
            .and_then(Value::as_array_mut)
            .expect("a list")
            .reverse();
    }
    let to = weights([("a", 30), ("b", 40)]);
    let patch = weights_patch(&fixtures::object(&moved), &located, "u-1", "41", &to).expect("a patch");
    let mut expect = moved.clone();
    expect["spec"]["rules"][0]["backendRefs"][0]["weight"] = 30.into();
    expect["spec"]["rules"][0]["backendRefs"][1]["weight"] = 40.into();
    assert_eq!(applied(&moved, &patch).expect("it applies"), expect);
}

#[test]
fn a_rule_known_by_its_place_must_still_be_there() {
    let check = |change: &dyn Fn(&mut Value), moved: bool| {
        let [_, beta, ..]: [Fixture; 8] = fixtures::all().try_into().unwrap_or_else(|_| panic!("eight"));
        let mut before = beta.object;
        for rule in before["spec"]["rules"].as_array_mut().expect("rules") {
            rule.as_object_mut().expect("a rule").remove("name");
        }
        let list = fixtures::list(&before, RuleRef::Index(1));
        let located = locate(&fixtures::object(&before), &list, &backends(["a", "b"])).expect("a list");
        let mut now = before.clone();
        change(&mut now);
        let to = weights([("a", 30), ("b", 40)]);
        let patch = weights_patch(&fixtures::object(&now), &located, "u-1", "41", &to);
        assert_eq!(matches!(patch, Err(RouteError::Moved { .. })), moved, "{patch:?}");
        assert_ne!(patch.is_ok(), moved);
    };
    check(&|_| (), false);
    check(&|route| route["spec"]["rules"][0] = json!({}), false);
    check(&|route| route["spec"]["rules"][1]["name"] = "main".into(), true);
    check(&|route| route["spec"]["rules"][1]["matches"] = json!([]), true);
}

#[test]
fn weights_that_do_not_fit_are_not_written() {
    let fixtures = fixtures::all();
    let check = |index: usize, to: &[(&str, u32)], expect: &[&str]| {
        let error = of(&fixtures[index], &weights(to.iter().copied()))
            .expect_err("an error")
            .to_string();
        for part in expect {
            assert!(error.contains(part), "{error}\nlacks {part}");
        }
    };
    check(
        0,
        &[("a", 1)],
        &["HTTPRoute shop", "spec.rules[1]", "weights a 1", "it has a 1, b 20"],
    );
    check(0, &[("a", 1), ("b", 1), ("c", 1)], &["it has a 1, b 20"]);
    check(0, &[("a", 0), ("b", 0)], &["give one of them a weight"]);
    check(
        7,
        &[("new", 50), ("old", 50)],
        &["Ingress shop-canary", "add up to 100", "make it 200"],
    );
    // What was found is written back when it is taken back, whatever its sum.
    assert!(of(&fixtures[5], &weights([("shop/v1", 1), ("shop/v2", 1)])).is_ok());
}

proptest! {
    #[test]
    fn any_weights_are_written_as_they_are(first in 0..=1_000_000_u32, second in 1..=1_000_000_u32) {
        for fixture in fixtures::all() {
            match fixture.fixed_total {
                Some(total) => check(&fixture, [first % (total + 1), total - first % (total + 1)]),
                None => check(&fixture, [first, second]),
            }
        }
    }

    /// Entries in any order, with any of the fields that may be left out, among any number of others.
    #[test]
    fn a_list_in_any_order_is_written(
        order in Just((0..6_usize).collect::<Vec<_>>()).prop_shuffle(),
        present in any::<[bool; 6]>(),
        to in any::<[u16; 2]>(),
    ) {
        prop_assume!(to != [0, 0]);
        let entry = |n: &usize| {
            let mut entry = json!({"name": format!("s{n}"), "port": 80, "weight": n});
            if !present[*n] {
                entry.as_object_mut().expect("an entry").remove("weight");
            }
            entry
        };
        let mut route = http_route();
        route["spec"]["rules"][1]["backendRefs"] = order.iter().map(entry).collect();
        let list = fixtures::list(&route, RuleRef::Name("main".to_owned()));
        let to = to.map(u32::from);
        let patch = patch(&route, &list, &backends(["s2", "s5"]), &weights([("s2", to[0]), ("s5", to[1])]));
        let after = applied(&route, &patch.expect("a patch")).expect("it applies");
        let mut expect = route.clone();
        for (at, n) in order.iter().enumerate() {
            if let Some(weight) = [(2, to[0]), (5, to[1])].iter().find(|(which, _)| which == n) {
                expect["spec"]["rules"][1]["backendRefs"][at]["weight"] = weight.1.into();
            }
        }
        prop_assert_eq!(after, expect);
    }
}
