//! What the laws do, and what the traffic says to it.

use super::{BASE, SHIFTED, bed_with_routes, moved, named, recorded, world};
use flyball_crds::{Cause, Change, Phase, WeightMove};
use flyball_tests::world::{Answer, message_of, routes};
use serde_json::{Value, json};

/// The object but for what each write moves.
fn rest(mut object: Value) -> Value {
    let weights = object
        .pointer_mut("/spec/rules/1/backendRefs")
        .and_then(Value::as_array_mut);
    for backend in weights.into_iter().flatten() {
        backend["weight"] = Value::Null;
    }
    object
}

/// The alert whose label names `b`.
fn slow_b(value: f64) -> Answer {
    Answer::Backends(vec![("b".to_owned(), value)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_firing_rule_moves_weight_away_and_its_end_brings_it_back() {
    let Some(bed) = bed_with_routes().await else { return };
    let (world, _split) = world(&bed, "step").await;
    let api = world.any("gateway.networking.k8s.io/v1", "HTTPRoute");
    let before = api.get("web").await.unwrap();
    world.apply(&routes::step_policy("web", &world.namespace)).await;
    let controller = world.controller("one");
    world
        .policy("web", "it is evaluated", |policy| {
            policy.status.as_ref()?.doing.starts_with("Steady").then_some(())
        })
        .await;

    world.prometheus.set("slow", slow_b(0.9));
    let away = world.closed(1).await;
    assert_eq!(
        away.status.as_ref().unwrap().phase,
        Phase::Committed,
        "{}",
        message_of(&away)
    );
    assert_eq!(moved(&away), (named(&BASE), named(&SHIFTED)));
    assert_eq!(away.spec.shift, "a 500 -> 600, b 250 -> 100, c 250 -> 300");
    assert!(
        message_of(&away).contains("the traffic follows"),
        "{}",
        message_of(&away)
    );
    assert!(
        away.spec
            .evidence
            .alerts
            .iter()
            .any(|alert| alert.labels["backend"] == "b")
    );
    world.weighs("web", &SHIFTED).await;
    let after = api.get("web").await.unwrap();
    assert_eq!(
        rest(after.data.clone()),
        rest(before.data.clone()),
        "nothing else was touched"
    );
    let stamp = after.metadata.annotations.clone().unwrap_or_default();
    assert_eq!(
        stamp.get("flyball.dev/stamp").map(String::as_str),
        Some("sequence=1,attempt=0")
    );

    world.prometheus.set("slow", slow_b(0.1));
    let back = world.closed(2).await;
    assert_eq!(
        back.status.as_ref().unwrap().phase,
        Phase::Committed,
        "{}",
        message_of(&back)
    );
    assert_eq!(moved(&back), (named(&SHIFTED), named(&BASE)));
    world.weighs("web", &BASE).await;
    drop(controller);
    // One stamp and one write of the route for each Change.
    assert_eq!(
        world.proxy.accepted("PATCH httproutes"),
        4,
        "{:?}",
        world.proxy.counts()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capacity_is_followed_in_bounded_steps() {
    let Some(bed) = bed_with_routes().await else { return };
    let (world, _split) = world(&bed, "capacity").await;
    // What a backend is busy with follows its traffic; b can do half of what its share says.
    let busy =
        |a: f64, b: f64, c: f64| Answer::Backends(vec![("a".to_owned(), a), ("b".to_owned(), b), ("c".to_owned(), c)]);
    world.prometheus.set("busy", busy(0.5, 0.5, 0.25));
    let law = json!({"capacity": {"utilisation": "utilisation"}});
    world.apply(&routes::policy("web", &world.namespace, &law)).await;
    let _controller = world.controller("one");

    let first = world.closed(1).await;
    assert_eq!(
        first.status.as_ref().unwrap().phase,
        Phase::Committed,
        "{}",
        message_of(&first)
    );
    // Capacities 100, 50 and 100: c is given more, by at most a fifth at a time.
    let (before, after) = moved(&first);
    assert_eq!(before, named(&BASE));
    assert!(after["c"] > 250 && after["c"] <= 300, "{after:?}");
    assert!(after["b"] < 250 && after["b"] >= 200, "{after:?}");
    assert_eq!(after.values().sum::<i64>(), 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_goes_further_supersedes_one_that_waits_for_its_effect() {
    let Some(bed) = bed_with_routes().await else { return };
    let (world, _split) = world(&bed, "further").await;
    // However little a has, it is as busy as before: it goes on losing.
    let busy = |a: f64| {
        Answer::Backends(vec![
            ("a".to_owned(), a),
            ("b".to_owned(), 0.25),
            ("c".to_owned(), 0.25),
        ])
    };
    world.prometheus.set("busy", busy(0.9));
    // Never the effect, and never the same twice, so that a baseline tells where it is from.
    let asked = std::sync::atomic::AtomicU32::new(0);
    world.prometheus.compute("effect", move || {
        let asked = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Answer::Value(10.0 + f64::from(asked))
    });
    let law = json!({"capacity": {"utilisation": "utilisation"}});
    let mut policy = routes::policy("web", &world.namespace, &law);
    policy["spec"]["actions"][0]["verify"] =
        json!({"settle": "1s", "within": "5m", "expr": "effect <= 1", "onIneffective": "Hold"});
    world.apply(&policy).await;
    let _controller = world.controller("one");

    let first = world.closed(1).await;
    let status = first.status.as_ref().unwrap();
    assert_eq!(status.phase, Phase::Superseded, "{}", status.message);
    assert_eq!(status.cause, Some(Cause::NewerChange));
    assert!(status.realised_at.is_some(), "the traffic had followed");
    let second = world.closed(2).await;
    assert_eq!(second.spec.supersedes, first.metadata.name);
    assert_eq!(second.spec.weights.as_ref().unwrap().why, WeightMove::Law);
    let ((_, once), (before, twice)) = (moved(&first), moved(&second));
    assert_eq!(before, once);
    assert!(twice["a"] < once["a"] && once["a"] < 500, "{once:?} {twice:?}");
    let waited = second
        .spec
        .proposed_at
        .0
        .duration_since(status.applied_at.as_ref().unwrap().0);
    assert!(waited.as_millis() >= 1000, "the hold was over: {waited:?}");
    // Nothing was verified yet, so the way back leads to where it began, and so does the baseline.
    let verified = |change: &Change| recorded(&change.spec.weights.as_ref().unwrap().verified);
    assert_eq!((verified(&first), verified(&second)), (named(&BASE), named(&BASE)));
    let baseline = |change: &Change| change.spec.verification.as_ref().unwrap().baseline_value;
    assert!(baseline(&first).is_some());
    assert_eq!(baseline(&first), baseline(&second));

    // A pause ends that; what is open then goes back to what was verified, on request.
    policy["spec"]["pause"] = json!({"up": {"reason": "a test"}});
    world.apply(&policy).await;
    let generation = world.policies().get("web").await.unwrap().metadata.generation;
    world
        .policy("web", "it is paused", |policy| {
            (policy.status.as_ref()?.observed_generation == generation).then_some(())
        })
        .await;
    let last = world.changes().await.pop().unwrap();
    assert_eq!(last.status.as_ref().unwrap().phase, Phase::Verifying);
    world.flyball(&["rollback", &last.metadata.name.unwrap()]).await.done();
    let back = world.closed(last.spec.sequence).await;
    assert_eq!(
        back.status.as_ref().unwrap().phase,
        Phase::RolledBack,
        "{}",
        message_of(&back)
    );
    world.weighs("web", &BASE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_fails_is_taken_out_at_once_even_while_a_change_is_verified() {
    let Some(bed) = bed_with_routes().await else { return };
    let (world, split) = world(&bed, "eject").await;
    let mut policy = routes::step_policy("web", &world.namespace);
    // Nothing of the first Change is judged before the backend fails.
    policy["spec"]["actions"][0]["weights"]["share"] = json!({"settle": "5m", "within": "10m"});
    world.apply(&policy).await;
    let _controller = world.controller("one");
    world.prometheus.set("slow", slow_b(0.9));
    world.phase(1, Phase::Verifying).await;

    split.breaks("c", 1.0);
    let out = world.phase(2, Phase::Verifying).await;
    let first = world.closed(1).await;
    assert_eq!(
        first.status.as_ref().unwrap().phase,
        Phase::Superseded,
        "{}",
        message_of(&first)
    );
    assert_eq!(out.spec.supersedes, first.metadata.name);
    assert_eq!(out.spec.weights.as_ref().unwrap().why, WeightMove::Ejection);
    let (before, after) = moved(&out);
    assert_eq!((before, after["c"]), (named(&SHIFTED), 0));
    assert!(world.weights("web").await["c"] == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_that_the_traffic_does_not_follow_are_taken_back() {
    let Some(bed) = bed_with_routes().await else { return };
    let (world, split) = world(&bed, "unrealised").await;
    world.apply(&routes::step_policy("web", &world.namespace)).await;
    let _controller = world.controller("one");
    split.sticks(true);
    world.prometheus.set("slow", slow_b(0.9));
    let change = world.closed(1).await;
    let status = change.status.as_ref().unwrap();
    assert_eq!(status.phase, Phase::RolledBack, "{}", status.message);
    assert_eq!(status.verdict.as_ref().unwrap().result, "Unrealised");
    world.weighs("web", &BASE).await;
    // It is not tried again while nothing else is wanted.
    world
        .policy("web", "the same weights are refused", |policy| {
            let status = policy.status.as_ref()?;
            (status.doing.starts_with("Refused") && status.why.contains("did not have their effect")).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_without_their_effect_are_taken_back() {
    let Some(bed) = bed_with_routes().await else { return };
    let (world, split) = world(&bed, "no-effect").await;
    // A tenth of all requests of a fails, whatever its share.
    split.breaks("a", 0.1);
    world.apply(&routes::step_policy("web", &world.namespace)).await;
    let _controller = world.controller("one");
    world.prometheus.set("slow", slow_b(0.9));
    let change = world.closed(1).await;
    let status = change.status.as_ref().unwrap();
    assert_eq!(status.phase, Phase::RolledBack, "{}", status.message);
    assert_eq!(status.verdict.as_ref().unwrap().result, "Ineffective");
    assert!(status.realised_at.is_some(), "the traffic had followed");
    world.weighs("web", &BASE).await;
}

/// An Alertmanager that says this to whoever asks for its silences.
async fn alertmanager(silences: std::sync::Arc<std::sync::Mutex<Value>>) -> String {
    let answer = move || {
        let said = silences.lock().unwrap().clone();
        std::future::ready(axum::Json(said))
    };
    let router = axum::Router::new().route("/api/v2/silences", axum::routing::get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silenced_alert_moves_nothing_where_the_policy_says_so() {
    let Some(bed) = bed_with_routes().await else { return };
    let (world, _split) = world(&bed, "silenced").await;
    let silence = json!([{
        "id": "1", "status": {"state": "active"}, "createdBy": "on-call", "comment": "known",
        "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2999-01-01T00:00:00Z",
        "matchers": [{"name": "backend", "value": "b", "isRegex": false, "isEqual": true}],
    }]);
    let silences = std::sync::Arc::new(std::sync::Mutex::new(silence));
    let url = alertmanager(std::sync::Arc::clone(&silences)).await;
    let spec = json!({"url": world.prometheus.url, "timeout": "2s", "alertmanager": {"url": url}});
    world.source(&world.namespace, spec).await;
    let mut policy = routes::step_policy("web", &world.namespace);
    policy["spec"]["actions"][0]["weights"]["step"]["silenced"] = json!("Ignore");
    world.apply(&policy).await;
    let _controller = world.controller("one");
    world.prometheus.set("slow", slow_b(0.9));
    world
        .policy("web", "the alert fires and moves nothing", |policy| {
            let status = policy.status.as_ref()?;
            (status.alerts == "Slow firing" && status.doing.starts_with("Steady")).then_some(())
        })
        .await;
    let asked = world.prometheus.asked();
    flyball_tests::bed::eventually("further passes", async || {
        (world.prometheus.asked() > asked + 20).then_some(())
    })
    .await;
    assert!(world.changes().await.is_empty(), "a silenced alert moves nothing");

    *silences.lock().unwrap() = json!([]);
    let change = world.closed(1).await;
    assert_eq!(moved(&change).1, named(&SHIFTED));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roll_back_that_is_refused_switches_no_verification_off() {
    let Some(bed) = bed_with_routes().await else { return };
    let (world, split) = world(&bed, "asked").await;
    // All requests of b fail and nothing takes it out, so it is given no weight back.
    split.breaks("b", 1.0);
    let mut policy = routes::step_policy("web", &world.namespace);
    policy["spec"]["actions"][0]["weights"]["ejection"] = json!({"disabled": true});
    policy["spec"]["actions"][0]["verify"]["within"] = json!("12s");
    world.apply(&policy).await;
    let _controller = world.controller("one");
    world.prometheus.set("slow", slow_b(0.9));
    let change = world.phase(1, Phase::Verifying).await;
    let name = change.metadata.name.clone().unwrap();
    world.flyball(&["rollback", &name]).await.done();
    let change = world.closed(1).await;
    let status = change.status.as_ref().unwrap();
    assert_eq!(status.phase, Phase::Ineffective, "{}", status.message);
    assert!(
        status.message.contains("most requests of b fail now"),
        "{}",
        status.message
    );
    world.weighs("web", &SHIFTED).await;
}
