//! A good policy does its work in the midst of bad ones, and each bad one says what is wrong with it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flyball_crds::Phase;
use flyball_tests::{
    bed::{bed, eventually},
    world::{Answer, World, condition, message_of, objects, phase_of},
};
use serde_json::{Value, json};

/// A policy that is wrong in one place, and what it must say of that.
struct Bad {
    name: &'static str,
    path: &'static str,
    value: Value,
    /// All of these are in what it says.
    says: &'static [&'static str],
}

/// What these ask is answered, with nothing that can be used: their decisions say so.
const STILL_USABLE: [&str; 3] = ["several", "answers_nan", "answers_infinity"];

const RULE: &str = "/spec/rules/0/expr";
const SIGNAL: &str = "/spec/signals/0/expr";

fn bad(name: &'static str, path: &'static str, value: impl Into<Value>, says: &'static [&'static str]) -> Bad {
    Bad {
        name,
        path,
        value: value.into(),
        says,
    }
}

/// What only the controller can see.
fn found_by_the_controller(source: &str) -> Vec<Bad> {
    let mut list = vec![
        bad("unparsed", RULE, "sum(", &["spec.rules[0].expr"]),
        bad(
            "dashes",
            RULE,
            format!("{}1", "-".repeat(3900)),
            &["spec.rules[0].expr"],
        ),
        bad(
            "nested",
            RULE,
            format!("{}up{}", "(".repeat(1000), ")".repeat(1000)),
            &["spec.rules[0].expr"],
        ),
        bad("range", RULE, "up[5m]", &["spec.rules[0].expr"]),
        bad("text", RULE, "\"text\"", &["spec.rules[0].expr"]),
        bad(
            "template",
            "/spec/rules/0/labels",
            json!({"team": "{{ range query `up` }}{{ end }}"}),
            &["spec.rules[0].labels.team"],
        ),
        bad(
            "when",
            "/spec/actions/0/when/0",
            "Unheard",
            &["spec.actions[0].when", "Unheard"],
        ),
        bad(
            "settle",
            "/spec/actions/0/verify/settle",
            "5m",
            &["spec.actions[0].verify.within"],
        ),
        // The API server takes it for a time, and a calendar does not.
        bad(
            "never",
            "/spec/pause",
            json!({"down": {"until": "9999-12-31T23:59:59Z"}}),
            &["spec.pause.down.until", "9999-12-31T23:59:59Z"],
        ),
        bad("interval", "/spec/interval", "10ms", &["spec.interval", "15s"]),
        bad("missing", "/spec/targetRef/name", "nowhere", &["targetRef", "nowhere"]),
        bad(
            "unscaled",
            "/spec/targetRef",
            json!({"apiVersion": "v1", "kind": "Pod", "name": "web"}),
            &["targetRef", "--scale-kind"],
        ),
        bad(
            "nosource",
            "/spec/sourceRef/name",
            "nowhere",
            &["sourceRef.name", "nowhere"],
        ),
        bad(
            "foreign",
            "/spec/sourceRef/name",
            format!("{source}-foreign"),
            &["sourceRef.name", "allowedNamespaces"],
        ),
        bad(
            "secret",
            "/spec/sourceRef/name",
            format!("{source}-secret"),
            &["key token of Secret nowhere"],
        ),
        bad("several", SIGNAL, "answers_several", &["signal demand is no number"]),
    ];
    let answers: [(&str, &[&str]); 11] = [
        ("answers_nan", &["not finite"]),
        ("answers_infinity", &["not finite"]),
        ("answers_too_much", &["too large"]),
        ("answers_text", &["string"]),
        ("answers_400", &["ExpressionRefused", "HTTP 400", "bad_data"]),
        ("answers_422", &["ExpressionRefused", "HTTP 422"]),
        ("answers_503", &["SourceUnavailable", "HTTP 503"]),
        ("answers_html", &["HTML"]),
        ("answers_half", &["broke off"]),
        ("answers_redirect", &["redirects", "elsewhere.example"]),
        ("answers_never", &["no answer within"]),
    ];
    list.extend(answers.map(|(metric, says)| bad(metric, RULE, format!("{metric} > 0.5"), says)));
    list.push(bad("answers_error", RULE, "answers_error > 0.5", &["out of order"]));
    list
}

async fn answer_badly(world: &World) {
    let say = |metric: &str, answer: Answer| world.prometheus.set(metric, answer);
    say("answers_several", Answer::Vector(vec![("a", 1.0), ("b", 2.0)]));
    say("answers_nan", Answer::Text("NaN"));
    say("answers_infinity", Answer::Text("+Inf"));
    say("answers_too_much", Answer::Text("1e400"));
    say("answers_text", Answer::Typed("string", json!([0, "text"])));
    say(
        "answers_400",
        Answer::Raw(
            400,
            "application/json",
            r#"{"status":"error","errorType":"bad_data","error":"no"}"#,
        ),
    );
    say("answers_422", Answer::Error(422, "many-to-many matching not allowed"));
    say("answers_503", Answer::Raw(503, "text/plain", "later"));
    say(
        "answers_html",
        Answer::Raw(200, "text/html", "<html>please log in</html>"),
    );
    say("answers_half", Answer::Half);
    say("answers_redirect", Answer::Redirect);
    say("answers_never", Answer::Hang);
    say("answers_error", Answer::Error(200, "out of order"));
    world.prometheus.value("busy", 0.9);
    let url = &world.prometheus.url;
    let allowed = json!({"from": "Names", "names": ["elsewhere"]});
    world
        .source(
            &format!("{}-foreign", world.namespace),
            json!({"url": url, "allowedNamespaces": allowed}),
        )
        .await;
    let auth = json!({"bearer": {"name": "nowhere", "key": "token"}});
    world
        .source(
            &format!("{}-secret", world.namespace),
            json!({"url": url, "auth": auth}),
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_policy_works_in_the_midst_of_bad_ones() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "input").await;
    world.web(2).await;
    answer_badly(&world).await;
    let list = found_by_the_controller(&world.namespace);
    for bad in &list {
        let name = bad.name.replace('_', "-");
        // Each has its own target: that several want one is another matter.
        world.create(&objects::workload("Deployment", &name, 2)).await;
        let policy = objects::with(
            objects::policy(&name, &world.namespace),
            "/spec/targetRef/name",
            json!(name),
        );
        let policy = objects::with(policy, RULE, json!("busy > 0.5"));
        // So that the first Change is the good one's, also where a bad one still finds a reason.
        let policy = objects::with(policy, "/spec/mode", json!("Recommend"));
        world.apply(&objects::with(policy, bad.path, bad.value.clone())).await;
    }
    let replicas = world.recording.replicas_now("web");
    world.prometheus.compute("latency", move || {
        Answer::Value(if replicas() >= 3 { 0.3 } else { 0.9 })
    });
    world.apply(&objects::policy("web", &world.namespace)).await;
    let controller = world.controller("one");
    let change = world.closed(1).await;
    assert_eq!(phase_of(&change), Phase::Committed, "{}", message_of(&change));

    let mut silent = Vec::new();
    for bad in &list {
        let name = bad.name.replace('_', "-");
        let told = async || {
            let policy = world.policies().get(&name).await.ok()?;
            let status = policy.status.clone()?;
            let all = serde_json::to_string(&status).ok()?;
            let (ready, ..) = condition(&policy, "Ready")?;
            let unusable = ready == "False" || STILL_USABLE.contains(&bad.name);
            (unusable && bad.says.iter().all(|part| all.contains(part))).then_some(())
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(15), eventually(bad.name, told)).await;
        if waited.is_err() {
            let policy = world.policies().get(&name).await.unwrap();
            let decision = policy
                .status
                .as_ref()
                .and_then(|status| status.actions.first()?.last_decision.clone());
            silent.push(format!(
                "{name} should say {:?}, says {:?}, {decision:?}",
                bad.says,
                condition(&policy, "Ready")
            ));
        }
    }
    assert!(
        silent.is_empty(),
        "bad policies that do not say what is wrong:\n  {}",
        silent.join("\n  ")
    );
    assert!(controller.runs(), "nothing of this ends the process");
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_api_server_can_see_it_refuses_with_a_message() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "input").await;
    let list = [
        bad("negative", "/spec/rules/0/for", "-1m", &["spec.rules[0].for"]),
        bad("empty", RULE, "", &["spec.rules[0].expr"]),
        bad("long", RULE, "x".repeat(4097), &["spec.rules[0].expr"]),
        bad(
            "bounds",
            "/spec/actions/0/replicas/min",
            7,
            &["replicas.min must not be above replicas.max"],
        ),
        bad(
            "huge",
            "/spec/actions/0/replicas/max",
            2_147_483_648_i64,
            &["spec.actions[0].replicas.max"],
        ),
        bad(
            "zero",
            "/spec/actions/0/replicas/min",
            0,
            &["replicas.min 0 needs replicas.zero"],
        ),
        bad(
            "both",
            "/spec/actions/0/replicas/ratio",
            json!({"signal": "demand", "target": 1}),
            &["exactly one of step, ratio and metrics"],
        ),
        bad(
            "twice",
            "/spec/rules/1",
            json!({"alert": "Slow", "expr": "up"}),
            &["must be unique"],
        ),
        bad("unknown", "/spec/mode", "Automatic", &["spec.mode"]),
        bad(
            "unverified",
            "/spec/actions/0/verify",
            Value::Null,
            &["nothing is committed without a verification"],
        ),
    ];
    for bad in list {
        let mut policy = objects::policy("bad", &world.namespace);
        policy["spec"]["rules"]
            .as_array_mut()
            .unwrap()
            .push(json!({"alert": "Other", "expr": "up"}));
        let refused = world.try_apply(&objects::with(policy, bad.path, bad.value)).await;
        let error = refused.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(
            bad.says.iter().all(|part| error.contains(part)),
            "{}: {error:?} does not say {:?}",
            bad.name,
            bad.says
        );
    }
}

/// What is not asked is missing data: nothing is taken away on it, and the policy says which limit of which source it met.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_says_which_limit_of_its_source_it_met_and_takes_nothing_away() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "limits").await;
    world.web(3).await;
    // A reading is two queries, of which the second has its turn only after the time-out.
    let limit = json!({"maxConcurrentQueries": 4, "queriesPerSecond": 1, "burst": 1});
    let url = &world.prometheus.url;
    let limited = json!({"url": url, "timeout": "900ms", "perNamespace": limit});
    world.source(&world.namespace, limited).await;
    world
        .apply(&objects::policy_with_way_down("web", &world.namespace))
        .await;
    let controller = world.controller("one");
    let says = async |words: &str| {
        world
            .policy("web", words, |policy| {
                let (ready, _, message) = condition(policy, "Ready")?;
                (ready == "False" && message.contains(words)).then_some(())
            })
            .await;
    };
    let words = format!("spec.perNamespace.queriesPerSecond of MetricSource {}", world.namespace);
    says(&words).await;
    // It is quiet for longer than the policy wants it to be, as far as anybody could ask.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    says(&words).await;
    assert_eq!(world.replicas("Deployment", "web").await, 3);
    controller.end().await;

    // An address that the installation denies is none of the policy's business either.
    let controller = world.controller_with("two", &["--deny-addresses=127.0.0.0/8"]);
    says("is in 127.0.0.0/8 of --deny-addresses").await;
    assert_eq!(world.replicas("Deployment", "web").await, 3);
    controller.end().await;

    // Without the limit it goes down, as it would have all the time.
    world
        .source(&world.namespace, json!({"url": url, "timeout": "5s"}))
        .await;
    let _controller = world.controller("three");
    eventually("fewer replicas", async || {
        (world.replicas("Deployment", "web").await < 3).then_some(())
    })
    .await;
    world.laws().await;
}
