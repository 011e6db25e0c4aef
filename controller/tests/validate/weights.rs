//! The weights lever: its defaults, every mistake with its path, and what is rarely meant.

use super::{refused, replaced, spec, texts};
use flyball_controller::validate;
use flyball_core::{
    policy::{OnIneffective, OnReset, RuleRef, WeightLaw, WeightsAction},
    time::Span,
};
use flyball_crds::FeedbackPolicySpec;
use rstest::rstest;
use serde_json::{Value, json};

const LEVER: &str = "/actions/0/weights";

/// A careful policy that moves the weights of an HTTPRoute by this law.
fn by(law: &str, of: &Value) -> Value {
    json!({
        "mode": "Enforce",
        "sourceRef": {"name": "prometheus"},
        "targetRef": {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "web"},
        "rules": [{"alert": "Slow", "expr": "max by (backend) (seconds{job=\"c\"}) > 0.5"}],
        "signals": [
            {"name": "busy", "expr": "max by (backend) (busy{job=\"c\"})", "perBackend": true},
            {"name": "requests", "expr": "sum(rate(x{job=\"c\"}[5m]))"},
        ],
        "actions": [{
            "name": "shift",
            "when": if law == "step" { json!(["Slow"]) } else { json!([]) },
            "weights": {
                "backends": [{"name": "web-a", "weight": 500}, {"name": "web-b", "weight": 500}],
                law: of,
                "traffic": {"proxy": "Traefik"},
            },
            "verify": {"settle": "2m", "within": "5m", "expr": "sum(rate(failed{job=\"c\"}[1m])) <= 1"},
        }],
    })
}

fn capacity() -> Value {
    by("capacity", &json!({"utilisation": "busy"}))
}

fn step() -> Value {
    by("step", &json!({"points": 25}))
}

fn failover() -> Value {
    by("failover", &json!({}))
}

fn aimd() -> Value {
    by("aimd", &json!({"signal": "busy", "above": 0.5}))
}

fn action(policy: &FeedbackPolicySpec) -> WeightsAction {
    validate::policy(policy).unwrap().weights.remove(0)
}

/// The value at this place of the lever is a mistake, and said at this place of the lever.
fn check(whole: Value, at: &str, value: Value, said: &str) {
    refused(
        &replaced(whole, &format!("{LEVER}{at}"), value),
        &format!("spec.actions[0].weights{said}"),
    );
}

#[test]
fn a_lever_is_read_with_its_defaults() {
    let found = action(&spec(capacity()));
    let [list] = found.routes.as_slice() else {
        panic!("one list")
    };
    assert_eq!(
        (list.kind.as_str(), list.name.as_str(), &list.rule),
        ("HTTPRoute", "web", &RuleRef::Only)
    );
    let seconds = Span::from_secs;
    let limits = &found.limits;
    assert_eq!((limits.hold, limits.expiry), (seconds(60), seconds(180)));
    let parts = [limits.floor, limits.most_step, limits.dead_band].map(|part| part.to_string());
    assert_eq!(parts, ["0.02", "0.2", "0.05"]);
    let ejection = found.ejection.as_ref().unwrap();
    assert_eq!(
        (ejection.errors_above.to_string().as_str(), ejection.least_requests),
        ("0.5", 20)
    );
    assert_eq!(
        (
            ejection.base,
            ejection.longest,
            ejection.return_over,
            ejection.panic_above.to_string()
        ),
        (seconds(30), seconds(300), seconds(300), "0.5".to_owned())
    );
    assert_eq!((found.share.settle, found.share.within), (seconds(65), seconds(185)));
    assert_eq!((found.on_reset, found.approval), (OnReset::Stop, false));
    let WeightLaw::Capacity(law) = &found.law else {
        panic!("capacity")
    };
    assert_eq!(
        (law.penalty.to_string(), law.smoothing.to_string()),
        ("1".to_owned(), "0.5".to_owned())
    );

    let WeightLaw::Step(law) = action(&spec(step())).law else {
        panic!("a step")
    };
    assert_eq!(
        (law.points, law.label.as_str(), law.after),
        (25, "backend", seconds(300))
    );
    let found = action(&spec(failover()));
    assert_eq!(found.ejection, None, "failover leaves a backend by its own thresholds");
    let WeightLaw::Failover(law) = found.law else {
        panic!("failover")
    };
    assert_eq!(
        (law.bad_above.to_string(), law.good_below.to_string()),
        ("0.1".to_owned(), "0.01".to_owned())
    );
    assert_eq!(
        (law.leave_after, law.return_after, law.return_over),
        (seconds(30), seconds(300), seconds(300))
    );
    let WeightLaw::Aimd(law) = action(&spec(aimd())).law else {
        panic!("aimd")
    };
    assert_eq!((law.factor.to_string(), law.points), ("0.7".to_owned(), 2));

    let off = replaced(
        capacity(),
        &format!("{LEVER}/ejection"),
        json!({"disabled": true, "base": "0s"}),
    );
    assert_eq!(action(&off).ejection, None);
    let reapply = replaced(capacity(), &format!("{LEVER}/onReset"), json!("Reapply"));
    assert_eq!(action(&reapply).on_reset, OnReset::Reapply { per_hour: 3 });
}

/// The default of hold is the longest range of what the law reads, or the window.
#[rstest]
#[case("/actions/0/weights/traffic/window", json!("5m"), 300)]
#[case("/signals/0/expr", json!("max by (backend) (rate(busy{job=\"c\"}[10m]))"), 600)]
#[case("/signals/1/expr", json!("sum(rate(x{job=\"c\"}[10m]))"), 60)]
fn hold_is_as_long_as_the_law_looks_back(#[case] pointer: &str, #[case] value: Value, #[case] seconds: u64) {
    let found = action(&replaced(capacity(), pointer, value));
    assert_eq!(found.limits.hold, Span::from_secs(seconds));
}

fn also(more: &Value) -> Value {
    let mut route = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute", "name": "api"});
    route.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!([route])
}

#[rstest]
#[case::known_kind("/also", also(&json!({"kind": "TCPRoute"})), ".also[0].kind: \"gateway.networking.k8s.io/v1\" \"TCPRoute\" has no list of weights that Flyball knows; it knows gateway.networking.k8s.io/v1/HTTPRoute, ")]
#[case::known_version("/also", also(&json!({"apiVersion": "gateway.networking.k8s.io/v1alpha2"})), ".also[0].kind: ")]
#[case::a_name("/also", also(&json!({"name": "../x"})), ".also[0].name: \"../x\" is not the name of an object")]
#[case::twice("/also", also(&json!({"kind": "HTTPRoute", "name": "web"})), ".also[0]: \"HTTPRoute\" \"web\" is listed twice; one list of a route is moved by one policy")]
#[case::too_many("/also", (0..8).map(|n| also(&json!({"name": format!("api-{n}")}))[0].clone()).collect(), ".also: 8 entries, at most 7 are allowed")]
#[case::both_rules("/also", also(&json!({"rule": "a", "ruleIndex": 1})), ".also[0].ruleIndex: and rule can't both be given; keep the name")]
#[case::rule_index("/also", also(&json!({"ruleIndex": 16})), ".also[0].ruleIndex: 16 is not between 0 and 15")]
#[case::own_rule_index("/ruleIndex", json!(-1), ".ruleIndex: -1 is not between 0 and 15")]
#[case::one_backend("/backends", json!([{"name": "web-a", "weight": 1}]), ".backends: 1 backends; weights move between 2 and 16")]
#[case::many_backends("/backends", (0..17).map(|n| json!({"name": format!("web-{n}"), "weight": 1})).collect(), ".backends: 17 backends")]
#[case::one_name("/backends/1/name", json!("web-a"), ".backends[1].name: \"web-a\" is the name of two backends; rename one")]
#[case::negative("/backends/1/weight", json!(-1), ".backends[1].weight: -1 is not between 0 and 1000000")]
#[case::too_large("/backends/0/weight", json!(1_000_001), ".backends[0].weight: 1000001 is not between 0 and 1000000")]
#[case::nothing("/backends", json!([{"name": "web-a", "weight": 0}, {"name": "web-b", "weight": 0}]), ".backends: all weights are 0, and nothing would be served")]
#[case::no_traffic("/traffic", json!({}), ".traffic: takes proxy, or both of requests and errors; write for example proxy: Traefik")]
#[case::half("/traffic", json!({"requests": "x", "window": "1m"}), ".traffic: takes proxy, or both")]
#[case::mixed("/traffic", json!({"proxy": "Traefik", "errors": "x"}), ".traffic: takes proxy, or both")]
#[case::window("/traffic/window", json!("0s"), ".traffic.window: is zero")]
#[case::no_window("/traffic/window", json!("1 min"), ".traffic.window: \"1 min\" is not a duration")]
#[case::max_age("/traffic/maxAge", json!("0s"), ".traffic.maxAge: is zero")]
#[case::requests("/traffic", json!({"requests": "rate(x", "errors": "y", "window": "1m"}), ".traffic.requests: ")]
#[case::errors("/traffic", json!({"requests": "x", "errors": "rate(y", "window": "1m"}), ".traffic.errors: ")]
#[case::unserved("/traffic", json!({"requests": "x", "errors": "y", "unserved": "rate(z", "window": "1m"}), ".traffic.unserved: ")]
#[case::looks_further("/traffic", json!({"requests": "rate(x[5m])", "errors": "rate(y[5m])", "window": "1m"}), ".traffic.window: 1m is shorter than the 5m that requests looks back; write that")]
#[case::floor("/limits", json!({"floorPercent": 0}), ".limits.floorPercent: 0 is not between 1 and 5")]
#[case::floor_high("/limits", json!({"floorPercent": 6}), ".limits.floorPercent: 6 is not between 1 and 5")]
#[case::step_percent("/limits", json!({"stepPercent": 0}), ".limits.stepPercent: 0 is not between 1 and 100")]
#[case::step_percent_high("/limits", json!({"stepPercent": 101}), ".limits.stepPercent: 101 is not between 1 and 100")]
#[case::dead_band("/limits", json!({"deadBandPercent": -1}), ".limits.deadBandPercent: -1 is not between 0 and 50")]
#[case::dead_band_high("/limits", json!({"deadBandPercent": 51}), ".limits.deadBandPercent: 51 is not between 0 and 50")]
#[case::expiry("/limits", json!({"expiry": "0s"}), ".limits.expiry: is zero")]
#[case::hold("/limits", json!({"hold": "59s"}), ".limits.hold: 59s is shorter than the longest range of what the law reads, which is 1m")]
#[case::no_hold("/limits", json!({"hold": "soon"}), ".limits.hold: \"soon\" is not a duration")]
#[case::settle("/share", json!({"settle": "59s"}), ".share.settle: 59s is shorter than traffic.window, so requests from before the change would be counted; write at least 1m")]
#[case::within("/share", json!({"settle": "65s", "within": "65s"}), ".share.within: 1m5s is not longer than settle, which is 1m5s")]
#[case::no_settle("/share", json!({"settle": "x"}), ".share.settle: \"x\" is not a duration")]
#[case::no_within("/share", json!({"within": "x"}), ".share.within: \"x\" is not a duration")]
#[case::eject_errors("/ejection", json!({"errorsAbovePercent": 100.5}), ".ejection.errorsAbovePercent: 100.5 is not between 0 and 100")]
#[case::eject_requests("/ejection", json!({"leastRequests": 0}), ".ejection.leastRequests: 0 is not between 1 and 100000")]
#[case::eject_base("/ejection", json!({"base": "0s"}), ".ejection.base: is zero")]
#[case::eject_longest("/ejection", json!({"longest": "0s"}), ".ejection.longest: is zero")]
#[case::eject_order("/ejection", json!({"base": "2m", "longest": "1m"}), ".ejection.longest: 1m is shorter than base, which is 2m; lengthen it")]
#[case::eject_return("/ejection", json!({"returnOver": "-1s"}), ".ejection.returnOver: \"-1s\" is not a duration")]
#[case::panic("/ejection", json!({"panicAbovePercent": 0}), ".ejection.panicAbovePercent: 0 is not between 1 and 100")]
#[case::panic_high("/ejection", json!({"panicAbovePercent": 101}), ".ejection.panicAbovePercent: 101 is not between 1 and 100")]
#[case::per_hour_unused("/reapplyPerHour", json!(3), ".reapplyPerHour: is used only with onReset: Reapply; write that, or remove it")]
#[case::no_law(
    "/capacity",
    Value::Null,
    ": has none of capacity, step, failover and aimd; write one of them"
)]
#[case::two_laws("/failover", json!({}), ": has more than one of capacity, step, failover and aimd; keep one")]
#[case::no_signal("/capacity/utilisation", json!("bussy"), ".capacity.utilisation: there is no signal \"bussy\"")]
#[case::one_number("/capacity/utilisation", json!("requests"), ".capacity.utilisation: signal \"requests\" has no number for each backend; write perBackend: true there")]
#[case::penalty("/capacity/penalty", json!(-0.5), ".capacity.penalty: -0.5 is not between 0 and 1000")]
#[case::penalty_high("/capacity/penalty", json!(1001), ".capacity.penalty: 1001 is not between 0 and 1000")]
#[case::smoothing("/capacity/smoothing", json!(0), ".capacity.smoothing: 0 is not above 0 and at most 1")]
#[case::smoothing_high("/capacity/smoothing", json!(1.5), ".capacity.smoothing: 1.5 is not above 0 and at most 1")]
fn a_mistake_of_the_lever_is_said_where_it_is(#[case] at: &str, #[case] value: Value, #[case] said: &str) {
    check(capacity(), at, value, said);
}

#[rstest]
#[case::points(step(), "/step/points", json!(0), ".step.points: 0 is not between 1 and 100")]
#[case::points_high(step(), "/step/points", json!(101), ".step.points: 101 is not between 1 and 100")]
#[case::after(step(), "/step/after", json!("x"), ".step.after: \"x\" is not a duration")]
#[case::bad(failover(), "/failover/badAbovePercent", json!(101), ".failover.badAbovePercent: 101 is not between 0 and 100")]
#[case::good(failover(), "/failover/goodBelowPercent", json!(-1), ".failover.goodBelowPercent: -1 is not between 0 and 100")]
#[case::order(failover(), "/failover/goodBelowPercent", json!(11), ".failover.goodBelowPercent: is above badAbovePercent, so a backend could serve well and badly at once")]
#[case::leave(failover(), "/failover/leaveAfter", json!("x"), ".failover.leaveAfter: \"x\" is not a duration")]
#[case::return_after(failover(), "/failover/returnAfter", json!("x"), ".failover.returnAfter: \"x\" is not a duration")]
#[case::return_over(failover(), "/failover/returnOver", json!("x"), ".failover.returnOver: \"x\" is not a duration")]
#[case::signal(aimd(), "/aimd/signal", json!("slow"), ".aimd.signal: there is no signal \"slow\"")]
#[case::one_number(aimd(), "/aimd/signal", json!("requests"), ".aimd.signal: signal \"requests\" has no number for each backend")]
#[case::factor(aimd(), "/aimd/factor", json!(0), ".aimd.factor: 0 is not above 0 and below 1")]
#[case::factor_high(aimd(), "/aimd/factor", json!(1), ".aimd.factor: 1 is not above 0 and below 1")]
#[case::aimd_points(aimd(), "/aimd/points", json!(0), ".aimd.points: 0 is not between 1 and 100")]
#[case::aimd_points_high(aimd(), "/aimd/points", json!(101), ".aimd.points: 101 is not between 1 and 100")]
fn a_mistake_of_a_law_is_said_where_it_is(
    #[case] whole: Value,
    #[case] at: &str,
    #[case] value: Value,
    #[case] said: &str,
) {
    check(whole, at, value, said);
}

#[rstest]
#[case("/targetRef", json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}), "spec.targetRef.kind: \"apps/v1\" \"Deployment\" has no list of weights that Flyball knows")]
#[case("/actions/0/inhibit", json!([{"name": "busy", "expr": "x > 1"}]), "spec.actions[0].inhibit: goes with replicas; other levers have no up and down, remove it")]
#[case("/actions/0/holdDownWhile", json!([{"name": "busy", "expr": "x > 1"}]), "spec.actions[0].holdDownWhile: goes with replicas")]
#[case("/actions/0/replicas", json!({"min": 1, "max": 2, "ratio": {"signal": "requests", "target": 1}}), "spec.actions[0]: has several levers")]
#[case("/actions/0/verify", Value::Null, "spec.actions[0].verify: mode Enforce needs it")]
#[case("/signals/0/perPod", json!(true), "spec.signals[0].perBackend: and perPod can't both be true")]
fn a_mistake_around_the_lever_is_said_where_it_is(#[case] pointer: &str, #[case] value: Value, #[case] said: &str) {
    refused(&replaced(capacity(), pointer, value), said);
}

#[test]
fn a_mistake_of_two_fields_is_said_too() {
    refused(
        &replaced(step(), "/actions/0/when", json!([])),
        "spec.actions[0].when: is empty, and a step is driven by rules; name one of spec.rules",
    );
    let mut both = capacity();
    both["actions"][0]["weights"]["rule"] = json!("split");
    both["actions"][0]["weights"]["ruleIndex"] = json!(0);
    refused(
        &spec(both),
        "spec.actions[0].weights.ruleIndex: and rule can't both be given; keep the name",
    );
    for (per_hour, said) in [(0, "0 is not between 1 and 60"), (61, "61 is not between 1 and 60")] {
        let mut reapply = capacity();
        reapply["actions"][0]["weights"]["onReset"] = json!("Reapply");
        reapply["actions"][0]["weights"]["reapplyPerHour"] = json!(per_hour);
        refused(
            &spec(reapply),
            &format!("spec.actions[0].weights.reapplyPerHour: {said}"),
        );
    }
    let mut two = capacity();
    let second = step()["actions"][0].clone();
    two["actions"].as_array_mut().unwrap().push(second);
    two["actions"][1]["name"] = json!("other");
    refused(
        &spec(two),
        "spec.actions: has more than one action, and one moves weights",
    );
}

/// JSON has no such number, but not everything comes from JSON.
#[test]
fn an_objective_is_a_finite_number() {
    let mut written = spec(aimd());
    if let Some(aimd) = written.actions[0]
        .weights
        .as_mut()
        .and_then(|lever| lever.aimd.as_mut())
    {
        aimd.above = f64::NAN;
    }
    refused(
        &written,
        "spec.actions[0].weights.aimd.above: NaN is not a finite number",
    );
}

#[test]
fn careful_policies_have_no_warnings() {
    for whole in [capacity(), step(), failover(), aimd()] {
        let policy = spec(whole);
        assert_eq!(texts(&validate::warnings(&policy)), Vec::<String>::new());
        assert_eq!(texts(&validate::notes(&policy)), Vec::<String>::new());
    }
}

fn sums_to(a: i32, b: i32) -> Value {
    json!([{"name": "web-a", "weight": a}, {"name": "web-b", "weight": b}])
}

#[rstest]
// 1 of 4 is 25 %; 1000 / 4 = 250 times as large.
#[case::coarse(
    capacity(),
    "/backends",
    sums_to(3, 1),
    ".backends: add up to 4: beside backends that are not managed this sum stays, so one step is 25 % of the traffic, more than the floor and the first part of a return; write here and in the route for example \"web-a\" 750, \"web-b\" 250"
)]
#[case::coarse_order(failover(), "/backends", sums_to(1, 0), ".backends: add up to 1: ")]
// 1 of 99 is 1.01 %; 1000 / 99, rounded up, is 11.
#[case::nearly(
    capacity(),
    "/backends",
    sums_to(50, 49),
    "one step is 1 % of the traffic, more than the floor and the first part of a return; write here and in the route for example \"web-a\" 550, \"web-b\" 539"
)]
#[case::no_base(
    capacity(),
    "/backends",
    sums_to(1000, 0),
    ".backends[1].weight: is 0, and this law gives each backend at least floorPercent, which is 2"
)]
#[case::no_base_aimd(aimd(), "/backends", sums_to(0, 1000), ".backends[0].weight: is 0")]
#[case::at_once(capacity(), "/ejection", json!({"returnOver": "0s"}), ".ejection.returnOver: is zero, so a backend that comes back gets its whole share at once")]
#[case::at_once_failover(failover(), "/failover/returnOver", json!("0s"), ".failover.returnOver: is zero")]
// One of two backends is 50 %.
#[case::panic(capacity(), "/ejection", json!({"panicAbovePercent": 49}), ".ejection.panicAbovePercent: 49 is less than one of 2 backends, so none is ever taken out; write at least 50")]
#[case::unused_ejection(failover(), "/ejection", json!({}), ".ejection: is not used by failover")]
#[case::unused_floor(step(), "/limits", json!({"floorPercent": 1}), ".limits.floorPercent: is used by capacity and aimd only, not by step; remove it")]
#[case::unused_step(failover(), "/limits", json!({"stepPercent": 10}), ".limits.stepPercent: is used by capacity and aimd only, not by failover")]
#[case::unused_band(step(), "/limits", json!({"deadBandPercent": 0}), ".limits.deadBandPercent: is used by")]
#[case::no_label(capacity(), "/traffic", json!({"requests": "sum(rate(x{a=\"b\"}[1m]))", "errors": "sum by (backend) (rate(x{a=\"b\"}[1m]))", "window": "1m"}), ".traffic.requests: drops the label backend")]
#[case::no_label_of_errors(capacity(), "/traffic", json!({"requests": "sum by (backend) (rate(x{a=\"b\"}[1m]))", "errors": "sum(rate(x{a=\"b\"}[1m]))", "window": "1m"}), ".traffic.errors: drops the label backend")]
#[case::unscoped(capacity(), "/traffic", json!({"requests": "sum by (backend) (rate(x[1m]))", "errors": "sum by (backend) (rate(x{a=\"b\"}[1m]))", "window": "1m"}), ".traffic.requests: \"x\" has no matcher")]
fn what_is_rarely_meant_of_weights_is_a_warning(
    #[case] whole: Value,
    #[case] at: &str,
    #[case] value: Value,
    #[case] said: &str,
) {
    let warnings = texts(&validate::warnings(&replaced(whole, &format!("{LEVER}{at}"), value)));
    let [warning] = warnings.as_slice() else {
        panic!("{warnings:#?}")
    };
    assert!(warning.contains(said), "{warning}");
}

#[rstest]
#[case::alert_without_backend(
    step(), "/rules/0/expr", json!("max(seconds{job=\"c\"}) > 0.5"),
    "spec.rules[0].expr: drops the label \"backend\", by which an alert of \"Slow\" names the backend, so nothing ever moves"
)]
#[case::another_label(
    step(), "/actions/0/weights/step/label", json!("service"),
    "spec.rules[0].expr: drops the label \"service\", by which an alert of \"Slow\" names the backend"
)]
#[case::no_verify_yet(
    { let mut whole = capacity(); whole["mode"] = json!("Recommend"); whole }, "/actions/0/verify", Value::Null,
    "spec.actions[0].verify: is missing, so the effect of a change can't be judged"
)]
#[case::verify_short(capacity(), "/actions/0/verify/within", json!("2m10s"), "spec.actions[0].verify.within: leaves fewer than two evaluations after settle; write at least 3m5s")]
#[case::verify_before_share(capacity(), "/actions/0/verify/within", json!("3m"), "spec.actions[0].verify.within: 3m is over before the traffic is judged at the latest, which is after 3m5s (share.within); write at least 3m5s")]
#[case::sum_of_the_kind(
    capacity(), "/targetRef", json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "name": "web"}),
    "spec.actions[0].weights.backends: add up to 1000, and the weights of a VirtualService to 100"
)]
fn what_is_rarely_meant_around_weights_is_a_warning(
    #[case] whole: Value,
    #[case] pointer: &str,
    #[case] value: Value,
    #[case] said: &str,
) {
    let warnings = texts(&validate::warnings(&replaced(whole, pointer, value)));
    let [warning] = warnings.as_slice() else {
        panic!("{warnings:#?}")
    };
    assert!(warning.contains(said), "{warning}");
}

#[test]
fn a_label_that_the_rule_adds_names_the_backend() {
    let mut whole = step();
    whole["rules"][0] =
        json!({"alert": "Slow", "expr": "max(seconds{job=\"c\"}) > 0.5", "labels": {"backend": "web-a"}});
    assert_eq!(texts(&validate::warnings(&spec(whole))), Vec::<String>::new());
}

#[test]
fn a_kind_that_never_had_real_traffic_is_noted() {
    let routes = also(&json!({}));
    let notes = texts(&validate::notes(&replaced(
        capacity(),
        &format!("{LEVER}/also"),
        routes,
    )));
    let [note] = notes.as_slice() else { panic!("{notes:#?}") };
    assert!(
        note.starts_with(
            "spec.actions[0].weights.also[0].kind: weights of gateway.networking.k8s.io GRPCRoute were held against"
        ),
        "{note}"
    );
    let istio = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "name": "web"});
    let notes = texts(&validate::notes(&replaced(capacity(), "/targetRef", istio)));
    let [note] = notes.as_slice() else { panic!("{notes:#?}") };
    assert!(
        note.starts_with("spec.targetRef.kind: weights of networking.istio.io VirtualService"),
        "{note}"
    );
}

/// A small step need not suffice, and taking it back would begin anew forever.
#[test]
fn by_default_small_steps_without_their_effect_are_held_and_large_ones_taken_back() {
    let check = |policy: Value, written: Option<&str>, expect: OnIneffective| {
        let mut policy = policy;
        if let Some(written) = written {
            policy["actions"][0]["verify"]["onIneffective"] = json!(written);
        }
        let policy = validate::policy(&serde_json::from_value(policy).unwrap()).unwrap();
        let verification = policy.weights[0].verification.clone().unwrap();
        assert_eq!(verification.on_ineffective, expect, "{written:?}");
    };
    check(capacity(), None, OnIneffective::Hold);
    check(aimd(), None, OnIneffective::Hold);
    check(step(), None, OnIneffective::RollBack);
    check(failover(), None, OnIneffective::RollBack);
    check(capacity(), Some("RollBack"), OnIneffective::RollBack);
    check(step(), Some("Hold"), OnIneffective::Hold);
}
