//! Every query of the dashboards, asked of a real Prometheus that scraped a real controller and real agents while policies
//! moved replicas and knobs: each returns data, or is on a list that says why it can't here.

#![allow(clippy::unwrap_used)]

use flyball_crds::Phase;
use flyball_tests::{
    bed::{bed, eventually_within},
    boards::queries,
    leak::leaking,
    scraper::Scraper,
    world::{World, phase_of},
};
use reqwest::Url;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const PATIENCE: Duration = Duration::from_secs(180);

/// What no series answers in this scenario: dashboard, panel, legend, and why.
const NOTHING: &[(&str, &str, &str, &str)] = &[
    (
        "overview",
        "Queries without an answer",
        "{{source}} {{kind}}",
        "no query fails",
    ),
    (
        "overview",
        "Lost",
        "CloudEvents {{receiver}} {{result}}",
        "none are sent",
    ),
    (
        "policy",
        "Weights",
        "{{namespace}}/{{policy}} {{backend}}",
        "no policy has a route",
    ),
    (
        "policy",
        "Weights",
        "{{namespace}}/{{policy}} {{backend}} base",
        "no policy has a route",
    ),
    (
        "policy",
        "Backends out",
        "{{namespace}}/{{policy}} {{action}}",
        "no policy has a route",
    ),
    (
        "runtime",
        "Knobs in bytes",
        "{{pod}} {{knob}}",
        "no limit is set, and none is not drawn",
    ),
    ("runtime", "Nodes", "{{instance}}", "no node exporter is scraped"),
    ("runtime", "Nodes", "{{instance}} (Windows)", "there is no such node"),
    (
        "audit",
        "Why weights moved",
        "{{namespace}}/{{policy}} {{why}}",
        "no policy has a route",
    ),
    (
        "audit",
        "Alerts posted",
        "{{namespace}}/{{policy}} {{result}}",
        "there is no Alertmanager",
    ),
];

/// What may or may not be there by then: dashboard, panel, legend, and why.
const EITHER: &[(&str, &str, &str, &str)] = &[
    (
        "policy",
        "Quality of readings",
        "{{namespace}}/{{policy}} {{signal}} {{quality}}",
        "a reading is not fresh only at the beginning",
    ),
    (
        "policy",
        "Not committed",
        "mark",
        "on a slow machine a change may end otherwise",
    ),
    (
        "audit",
        "Other owners",
        "{{namespace}}/{{policy}}",
        "what was counted before the first scrape is no increase",
    ),
    (
        "runtime",
        "Stalls for want of memory",
        "{{pod}} {{container}}",
        "the kernel tells it with version 2 of its control groups alone",
    ),
];

/// How many series with a number in them a range query of the last two minutes returns.
async fn series(client: &reqwest::Client, base: &str, expr: &str) -> usize {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let times = [
        ("start", (now - 120).to_string()),
        ("end", now.to_string()),
        ("step", "2".to_owned()),
    ];
    let url = Url::parse_with_params(&format!("{base}/api/v1/query_range"), [("query", expr)]).unwrap();
    let url = Url::parse_with_params(url.as_str(), times).unwrap();
    let answer = client.get(url).send().await.unwrap().bytes().await.unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["status"], "success", "{expr}: {answer}");
    // A series that is nowhere a number is a line that nobody sees.
    let finite = |value: &Value| value[1].as_str().unwrap().parse::<f64>().unwrap().is_finite();
    let is_drawn = |series: &&Value| series["values"].as_array().unwrap().iter().any(finite);
    let found = answer["data"]["result"].as_array().unwrap();
    found.iter().filter(is_drawn).count()
}

fn policy(name: &str, source: &str, more: &Value) -> Value {
    let mut policy = json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy", "metadata": {"name": name},
        "spec": {
            "mode": "Enforce",
            "sourceRef": {"name": source},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "interval": "1s", "maxAge": "15s",
        },
    });
    for (key, value) in more.as_object().unwrap() {
        policy["spec"][key] = value.clone();
    }
    policy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_the_dashboards_is_answered() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "boards").await;
    let mut web = leaking("256Mi");
    web["spec"]["replicas"] = json!(2);
    world.create(&web).await;
    let controller = world.controller("one");
    let address = eventually_within(PATIENCE, "the controller listens", async || {
        let logged = controller.logged();
        let (_, rest) = logged.split_once("listening=")?;
        let address: String = rest.chars().take_while(|c| !c.is_whitespace()).collect();
        Some(address.trim_matches('"').to_owned()).filter(|address| address.contains(':'))
    })
    .await;
    let target = format!("flyball={address}");
    let scraper = Scraper::start(&bed, &world.namespace, "1s", &["--kubelet", "--target", &target]).await;
    world
        .source(&world.namespace, json!({"url": scraper.url, "timeout": "2s"}))
        .await;
    eventually_within(PATIENCE, "both agents and the controller are heard", async || {
        let agents = scraper.ask("flyball_agent_info", "pod").await;
        let controllers = scraper.ask("flyball_leader", "job").await;
        (agents.len() == 2 && controllers.values().any(|leads| *leads > 0.5)).then_some(())
    })
    .await;

    // One more replica, which is verified; another policy that wants the same and may not; knobs; and a watermark.
    let readable = "max(flyball_agent_source_readable)";
    let more = json!({
        "rules": [{"alert": "Busy", "expr": format!("{readable} >= 0")}],
        "signals": [{"name": "memory", "expr": "sum(flyball_agent_resident_bytes)"}],
        "actions": [{
            "name": "more", "when": ["Busy"],
            "replicas": {"min": 2, "max": 3, "step": {"pods": 1}, "cooldown": {"up": "1s"}},
            "verify": {"settle": "1s", "within": "30s", "expr": format!("{readable} >= 0")},
        }],
    });
    let source = world.namespace.as_str();
    world.apply(&policy("more", source, &more)).await;
    world.phase(1, Phase::Committed).await;
    let mut rival = more.clone();
    rival["actions"][0]["replicas"]["max"] = json!(5);
    world.apply(&policy("rival", source, &rival)).await;
    let knobs = json!({"actions": [{
        "name": "usual",
        "runtime": {
            "container": "main", "set": {"go": {"gogc": 150}},
            "acknowledge": "30s", "lease": "60s", "hold": "0s",
            "trial": {"settle": "1s", "within": "5s", "expr": "max(flyball_agent_source_readable{pod=~\"$moved\"}) >= 0"},
        },
        "verify": {"settle": "1s", "within": "10s", "expr": format!("{readable} >= 0")},
    }]});
    world.apply(&policy("knobs", source, &knobs)).await;
    let marks = json!({
        "watermarks": [{
            "name": "Memory", "source": "Agent", "container": "main", "warning": 2, "high": 90, "margin": 1, "hold": "4s",
        }],
        "actions": [{
            "name": "tell", "when": ["MemoryHigh"],
            "annotate": {"pressure": {"container": "main", "level": "High"}},
        }],
    });
    world.apply(&policy("marks", source, &marks)).await;
    eventually_within(PATIENCE, "the knobs are committed", async || {
        let changes = world.changes().await;
        let done = |name: &str| {
            let of = |change: &&flyball_crds::Change| change.spec.policy.name == name && change.spec.sequence > 0;
            changes
                .iter()
                .filter(of)
                .any(|change| phase_of(change) == Phase::Committed)
        };
        (done("more") && done("knobs")).then_some(())
    })
    .await;
    eventually_within(PATIENCE, "it is scraped", async || {
        let mut wanted = vec![];
        for (query, count) in [
            ("flyball_changes_total{outcome=\"Committed\"} > 0", 2),
            ("flyball_ownership_conflicts_total > 0", 1),
            ("flyball_watermark_ratio > 0", 1),
        ] {
            wanted.push((query, scraper.ask(query, "policy").await, count));
        }
        let whole = wanted.iter().all(|(_, found, count)| found.len() == *count);
        // For whoever reads why it waited in vain.
        println!("{wanted:?}");
        whole.then_some(())
    })
    .await;

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let (queries, variables) = queries();
    assert!(
        queries.len() > 50 && variables.len() == 8,
        "{} {}",
        queries.len(),
        variables.len()
    );
    let (mut wrong, mut met) = (Vec::new(), BTreeSet::new());
    for query in &queries {
        let place = format!("{} / {} / {}", query.board, query.panel, query.legend);
        let found = series(&client, &scraper.url, &query.asked()).await;
        let listed = NOTHING.iter().position(|entry| query.is(entry));
        met.extend(listed);
        match (listed, found) {
            _ if EITHER.iter().any(|entry| query.is(entry)) => {}
            (None, 0) => wrong.push(format!("{place} returns nothing: {}", query.asked())),
            (Some(_), found) if found > 0 => wrong.push(format!("{place} returns {found} series, and is on the list")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(met.len(), NOTHING.len(), "an entry of the list is no query any more");
    for (board, of, label) in variables {
        let of = of.replace("\"$namespace\"", "\".+\"").replace("\"$job\"", "\".+\"");
        let found = scraper.ask(&format!("group by ({label}) ({of})"), &label).await;
        assert!(
            !found.is_empty() && !found.contains_key(""),
            "{board}: {of} has no {label}"
        );
    }
}
