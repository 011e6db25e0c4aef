//! A person of one namespace, on a cluster where an administrator installed the chart and opened Prometheus to tenants by
//! deploy/observability/tenants.yaml: they make policies, see them work, open every query of the dashboards, and are refused
//! what is not theirs. All parts are real: the controller's pod, agents in pods, Prometheus, both proxies, the API server.
//!
//! One scenario, and nothing beside it: the controller takes up every policy that there is.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "cluster_tenants/door.rs"]
mod door;

use door::{Door, Person, Programs};
use flyball_crds::{Change, FeedbackPolicy, Phase};
use flyball_tests::{
    bed::{Bed, bed, eventually_within, skipped},
    boards::{Query, queries},
    helm::{Release, reachable},
    leak::leaking,
    processes::{Folder, Prometheus, Range, result},
    world::{World, objects::with, phase_of},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

const PATIENCE: Duration = Duration::from_secs(180);

/// What is nobody's namespace's, by the labels of its series: dashboard, panel, legend, and why. Who may read the
/// installation's namespace sees it through the same door.
const OF_THE_INSTALLATION: &[(&str, &str, &str, &str)] = &[
    ("overview", "Leaders", "leaders", "of a process"),
    ("overview", "Policies", "{{mode}}", "a count over all namespaces"),
    ("overview", "Open Changes", "open", "a count over all namespaces"),
    ("overview", "Oldest open Change", "oldest", "over all namespaces"),
    ("overview", "Version", "{{version}}", "of a process"),
    ("overview", "How late passes begin", "p99", "a histogram of a process"),
    ("overview", "How late passes begin", "p50", "a histogram of a process"),
    ("overview", "How long passes take", "p99", "a histogram of a process"),
    ("overview", "How long passes take", "p50", "a histogram of a process"),
    ("overview", "From due to written", "p99", "a histogram of a process"),
    ("overview", "From due to written", "p50", "a histogram of a process"),
    (
        "overview",
        "Time of queries",
        "{{source}}",
        "of a source, which is the cluster's",
    ),
    (
        "overview",
        "Circuit breakers",
        "{{source}}",
        "of a source, which is the cluster's",
    ),
    (
        "overview",
        "Writes to the API server",
        "{{verb}} {{result}}",
        "of a process",
    ),
    (
        "overview",
        "Refusals by check",
        "{{check}}",
        "a count over all namespaces",
    ),
    ("overview", "Lost", "Events", "of a process"),
    ("overview", "Lost", "log lines", "of a process"),
    ("overview", "Memory", "{{instance}}", "of a process"),
    ("overview", "Processor", "{{instance}}", "of a process"),
    (
        "audit",
        "From proposal to end",
        "{{outcome}}",
        "a histogram over all namespaces",
    ),
    ("audit", "Open", "open", "a count over all namespaces"),
    ("audit", "Checks", "{{check}}", "a count over all namespaces"),
];

/// What no series answers here, whoever asks: dashboard, panel, legend, and why.
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
        "Nodes",
        "{{instance}}",
        "nodes are in no namespace, and not scraped here",
    ),
    ("runtime", "Nodes", "{{instance}} (Windows)", "the same"),
    (
        "runtime",
        "Knobs in bytes",
        "{{pod}} {{knob}}",
        "no limit is set, and none is not drawn",
    ),
    (
        "runtime",
        "Stalls for want of memory",
        "{{pod}} {{container}}",
        "no kubelet is scraped",
    ),
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
];

/// Whether a query is on a list.
fn on(list: &[(&str, &str, &str, &str)], query: &Query) -> bool {
    list.iter().any(|entry| query.is(entry))
}

/// The query that is about one namespace, without any proxy: the dashboard's own with that namespace chosen. That of passes
/// has no such choice, and is written out.
fn by_hand(query: &Query, namespace: &str) -> String {
    if (query.board.as_str(), query.panel.as_str()) == ("overview", "Passes") {
        return format!("sum by (outcome) (rate(flyball_evaluations_total{{namespace=\"{namespace}\"}}[20s]))");
    }
    query.asked_of(namespace)
}

/// Whether any series has a number in it.
fn is_drawn(found: &Value) -> bool {
    let finite = |value: &Value| value[1].as_str().unwrap().parse::<f64>().unwrap().is_finite();
    let drawn = |series: &Value| series["values"].as_array().unwrap().iter().any(finite);
    found.as_array().unwrap().iter().any(drawn)
}

/// Two pods with the Go agent in them, beside the Deployment `web`.
fn heap() -> Value {
    let heap = with(leaking("256Mi"), "/metadata/name", json!("heap"));
    let heap = with(heap, "/spec/selector/matchLabels/app", json!("heap"));
    let heap = with(heap, "/spec/template/metadata/labels/app", json!("heap"));
    with(heap, "/spec/replicas", json!(2))
}

fn policy(name: &str, target: &str, source: &str, more: &Value) -> Value {
    let mut policy = json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy", "metadata": {"name": name},
        "spec": {
            "mode": "Enforce",
            "sourceRef": {"name": source},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
            "interval": "1s", "maxAge": "15s",
        },
    });
    for (key, value) in more.as_object().unwrap() {
        policy["spec"][key] = value.clone();
    }
    policy
}

/// The policies of a namespace: one more replica, which is verified; another that wants the same and may not; knobs; and a
/// watermark.
fn policies(namespace: &str, prefix: &str) -> [Value; 4] {
    let readable = format!("max(flyball_agent_source_readable{{namespace=\"{namespace}\"}})");
    let more = |most: i32| {
        json!({
            "rules": [{"alert": "Busy", "expr": format!("{readable} >= 0")}],
            "signals": [{"name": "memory", "expr": format!("sum(flyball_agent_resident_bytes{{namespace=\"{namespace}\"}})")}],
            "actions": [{
                "name": "more", "when": ["Busy"],
                "replicas": {"min": 2, "max": most, "step": {"pods": 1}, "cooldown": {"up": "1s"}},
                "verify": {"settle": "1s", "within": "30s", "expr": format!("{readable} >= 0")},
            }],
        })
    };
    let moved = format!("max(flyball_agent_source_readable{{namespace=\"{namespace}\", pod=~\"$moved\"}}) >= 0");
    let knobs = json!({"actions": [{
        "name": "usual",
        "runtime": {
            "container": "main", "set": {"go": {"gogc": 150}},
            "acknowledge": "30s", "lease": "60s", "hold": "0s",
            "trial": {"settle": "1s", "within": "5s", "expr": moved},
        },
        "verify": {"settle": "1s", "within": "10s", "expr": format!("{readable} >= 0")},
    }]});
    let marks = json!({
        "watermarks": [{
            "name": "Memory", "source": "Agent", "container": "main", "warning": 2, "high": 90, "margin": 1, "hold": "4s",
        }],
        "actions": [{
            "name": "tell", "when": ["MemoryHigh"],
            "annotate": {"pressure": {"container": "main", "level": "High"}},
        }],
    });
    let name = |name: &str| format!("{prefix}{name}");
    [
        policy(&name("more"), "web", namespace, &more(3)),
        policy(&name("rival"), "web", namespace, &more(5)),
        policy(&name("knobs"), "heap", namespace, &knobs),
        policy(&name("marks"), "heap", namespace, &marks),
    ]
}

/// A scrape of one pod, as discovery in a cluster labels it.
async fn scrapes(bed: &Bed, namespace: &str, labels: &str, count: usize) -> Vec<Value> {
    let api: Api<Pod> = Api::namespaced(bed.client.clone(), namespace);
    let pods = eventually_within(PATIENCE, "the pods are ready", async || {
        let pods = api.list(&ListParams::default().labels(labels)).await.ok()?.items;
        let ready = |pod: &&Pod| {
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions
                .into_iter()
                .any(|it| it.type_ == "Ready" && it.status == "True")
        };
        (pods.iter().filter(ready).count() == count).then_some(pods)
    })
    .await;
    let scrape = |pod: &Pod| {
        let address = pod.status.as_ref().unwrap().pod_ip.as_ref().unwrap();
        json!({
            "targets": [format!("{address}:8080")],
            "labels": {"namespace": namespace, "pod": pod.name_any()},
        })
    };
    pods.iter().map(scrape).collect()
}

/// Until everything that the dashboards show has happened in both namespaces, and was scraped.
async fn happened(prometheus: &Prometheus) {
    eventually_within(PATIENCE, "it is scraped", async || {
        let mut whole = true;
        for (query, count) in [
            // `more` and `knobs` of both.
            ("flyball_changes_total{outcome=\"Committed\"} offset 4s > 0", 4),
            ("flyball_ownership_conflicts_total offset 4s > 0", 2),
            ("flyball_watermark_ratio offset 4s > 0", 2),
            ("flyball_agent_info offset 4s", 4),
        ] {
            let found = prometheus.vector(query).await.len();
            // For whoever reads why it waited in vain.
            println!("{query}: {found}");
            whole = whole && found == count;
        }
        whole.then_some(())
    })
    .await;
}

/// Every query, asked by her and by who looks after the installation.
async fn the_dashboards(
    door: &Door,
    prometheus: &Prometheus,
    [hers, theirs, own]: [&str; 3],
    [alice, olga]: [&Person; 2],
) {
    let range = Range::now();
    let ask = async |person: &Person, namespace: &str, query: &str| {
        let parameters = range.of(query);
        let parameters: Vec<(&str, &str)> = parameters.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let (code, text) = door
            .ask(Some(&person.token), &[namespace], "/api/v1/query_range", &parameters)
            .await;
        assert_eq!(code, 200, "{query}: {text}");
        let foreign = namespace == hers && (text.contains(theirs) || text.contains("their-"));
        assert!(!foreign, "{query}: {text}");
        result(&text, query)
    };
    let (queries, _) = queries();
    let (mut wrong, mut differ, mut met) = (Vec::new(), 0, 0);
    for query in &queries {
        let place = format!("{} / {} / {}", query.board, query.panel, query.legend);
        let found = ask(alice, hers, &query.asked()).await;
        let of_installation = on(OF_THE_INSTALLATION, query);
        met += usize::from(of_installation || on(NOTHING, query));
        if of_installation {
            if is_drawn(&found) {
                wrong.push(format!("{place} is on the list, and she sees {found}"));
            }
            if !is_drawn(&ask(olga, own, &query.asked()).await) {
                wrong.push(format!("{place} shows nothing to who looks after the installation"));
            }
            continue;
        }
        let expected = prometheus.range(&by_hand(query, hers), &range).await;
        if found != expected {
            wrong.push(format!("{place}: she sees {found} instead of {expected}"));
        }
        differ += usize::from(is_drawn(&found) && prometheus.range(&by_hand(query, theirs), &range).await != expected);
        let listed = on(NOTHING, query);
        if !on(EITHER, query) && is_drawn(&found) == listed {
            wrong.push(format!(
                "{place}: on the list of what shows nothing: {listed}, but {found}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(
        met,
        OF_THE_INSTALLATION.len() + NOTHING.len(),
        "an entry of a list is no query any more"
    );
    // Else it would prove nothing that she sees none of it.
    assert!(
        differ >= 25,
        "only {differ} of them look different in the other namespace"
    );
}

/// What the lists at the top of a dashboard are filled from.
async fn the_variables(door: &Door, alice: &Person, hers: &str, pods: &BTreeSet<String>) {
    let values = async |label: &str, series: &str| -> BTreeSet<String> {
        let path = format!("/api/v1/label/{label}/values");
        let (code, text) = door
            .ask(Some(&alice.token), &[hers], &path, &[("match[]", series)])
            .await;
        assert_eq!(code, 200, "{label}: {text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        serde_json::from_value(answer["data"].clone()).unwrap()
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(values("namespace", "flyball_evaluations_total").await, set(&[hers]));
    assert_eq!(values("namespace", "flyball_agent_info").await, set(&[hers]));
    let policies = values("policy", "flyball_evaluations_total{namespace=~\".+\"}").await;
    assert_eq!(policies, set(&["knobs", "marks", "more", "rival"]));
    assert_eq!(&values("pod", "flyball_agent_info{namespace=~\".+\"}").await, pods);
    // Of processes of the installation she sees none; `All` is `.+` all the same.
    assert_eq!(values("job", "flyball_build_info").await, set(&[]));

    let every = [("match[]", "{__name__=~\".+\"}")];
    let (code, text) = door.ask(Some(&alice.token), &[hers], "/api/v1/series", &every).await;
    assert_eq!(code, 200, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    let series = answer["data"].as_array().unwrap();
    assert!(series.len() > 50, "{text}");
    assert!(series.iter().all(|labels| labels["namespace"] == hers), "{text}");
}

/// Every other way that one might try.
async fn refused(door: &Door, prometheus: &Prometheus, alice: &Person, [hers, theirs, own]: [&str; 3]) {
    let path = "/api/v1/query";
    let every = [("query", "flyball_changes_total")];
    let token = Some(alice.token.as_str());
    let both = format!("{hers},{theirs}");
    let ask = async |token: Option<&str>, namespaces: &[&str], path: &str, parameters: &[(&str, &str)]| {
        door.ask(token, namespaces, path, parameters).await.0
    };
    assert_eq!(
        ask(token, &[hers], path, &every).await,
        200,
        "what is hers is not refused"
    );
    assert_eq!(ask(None, &[hers], path, &every).await, 401, "nobody");
    let general = Some(alice.token_of_client.as_str());
    assert_eq!(
        ask(general, &[hers], path, &every).await,
        401,
        "a token for the API server"
    );
    for namespaces in [
        &[theirs][..],
        &[own],
        &[hers, theirs],
        &[theirs, hers],
        &[both.as_str()],
        &["kube-system"],
        &[""],
    ] {
        assert_eq!(ask(token, namespaces, path, &every).await, 403, "{namespaces:?}");
    }
    assert_eq!(
        ask(token, &[], path, &every).await,
        400,
        "no namespace is not all of them"
    );
    for expr in [
        format!("flyball_changes_total{{namespace=\"{theirs}\"}}"),
        format!("flyball_changes_total{{namespace=~\"{theirs}\"}}"),
        format!("flyball_changes_total{{namespace!=\"{hers}\"}}"),
        format!("sum(flyball_leader) + on () count(flyball_changes_total{{namespace=\"{theirs}\"}})"),
    ] {
        assert_eq!(
            ask(token, &[hers], path, &[("query", expr.as_str())]).await,
            400,
            "{expr}"
        );
    }
    for other in [
        "/api/v1/targets",
        "/api/v1/status/config",
        "/api/v1/rules",
        "/federate",
        "/metrics",
        "/",
    ] {
        assert_eq!(ask(token, &[hers], other, &[]).await, 404, "{other}");
    }

    // Parameters name no namespace, wherever they stand.
    let expected = prometheus
        .vector(&format!("count(flyball_changes_total{{namespace=\"{hers}\"}})"))
        .await;
    let all = prometheus.vector("count(flyball_changes_total)").await;
    assert_ne!(expected[0]["value"][1], all[0]["value"][1], "there are some of others");
    let smuggled = [
        ("query", "count(flyball_changes_total)"),
        ("namespace", theirs),
        ("X-Namespace", theirs),
    ];
    for (code, text) in [
        door.ask(token, &[hers], path, &smuggled).await,
        door.post(&alice.token, hers, path, &smuggled).await,
    ] {
        assert_eq!(code, 200, "{text}");
        let found = result(&text, "smuggled");
        assert_eq!(found[0]["value"][1], expected[0]["value"][1], "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_opens_the_dashboards_of_their_namespace_and_of_no_other() {
    let Some(bed) = bed().await else { return };
    let Some(programs) = Programs::found() else { return };
    let Some(program) = bed.prometheus.clone() else {
        return skipped("no FLYBALL_PROMETHEUS (make test-cluster)").unwrap_or_default();
    };
    let Some(release) = Release::new(&bed).await else {
        return;
    };
    let folder = Folder::new();
    let (hers, theirs) = (World::new(&bed, "hers").await, World::new(&bed, "theirs").await);
    for world in [&hers, &theirs] {
        world.web(2).await;
        world.create(&heap()).await;
    }
    release.install(&[]);

    // As the chart's ServiceMonitor has the controller scraped: its own labels count, and `namespace` is that of the pod
    // only where a series has none.
    let mut agents = scrapes(&bed, &hers.namespace, "app=heap", 2).await;
    let pods: BTreeSet<String> = (agents.iter())
        .map(|scrape| scrape["labels"]["pod"].as_str().unwrap().to_owned())
        .collect();
    agents.extend(scrapes(&bed, &theirs.namespace, "app=heap", 2).await);
    let instance = format!("app.kubernetes.io/instance={}", release.name);
    let controller = scrapes(&bed, &release.namespace, &instance, 1).await;
    let prometheus = Prometheus::start(
        &program,
        reachable(&bed).await,
        folder.path(),
        &json!([
            {"job_name": "flyball", "honor_labels": true, "static_configs": controller},
            {"job_name": "pods", "static_configs": agents},
        ]),
    );
    for world in [&hers, &theirs] {
        let source = json!({"url": prometheus.url, "timeout": "2s"});
        world.source(&world.namespace, source).await;
    }

    // She has the cluster's own role `edit` in her namespace, and makes her policies with it.
    let door = Door::open(&bed, &programs, &release, &prometheus.url, &folder).await;
    let alice = Person::with(&bed, "alice", "edit", &hers.namespace, &folder).await;
    let olga = Person::with(&bed, "olga", "view", &release.namespace, &folder).await;
    let mine: Api<FeedbackPolicy> = Api::namespaced(alice.client.clone(), &hers.namespace);
    for policy in policies(&hers.namespace, "") {
        let policy: FeedbackPolicy = serde_json::from_value(policy).unwrap();
        eventually_within(PATIENCE, "she may make policies", async || {
            mine.create(&PostParams::default(), &policy).await.ok()
        })
        .await;
        let name = policy.name_any();
        if name == "more" {
            hers.phase(1, Phase::Committed).await;
        }
    }
    let [more, others @ ..] = policies(&theirs.namespace, "their-");
    theirs.apply(&more).await;
    theirs.phase(1, Phase::Committed).await;
    for policy in others {
        theirs.apply(&policy).await;
    }
    happened(&prometheus).await;
    let journals: Api<Change> = Api::namespaced(alice.client.clone(), &hers.namespace);
    let changes = journals.list(&ListParams::default()).await.unwrap().items;
    let committed = |change: &&Change| phase_of(change) == Phase::Committed;
    assert_eq!(changes.iter().filter(committed).count(), 2, "more and knobs");
    let elsewhere: Api<Change> = Api::namespaced(alice.client.clone(), &theirs.namespace);
    let answer = elsewhere.list(&ListParams::default()).await.unwrap_err();
    assert!(
        matches!(&answer, kube::Error::Api(status) if status.code == 403),
        "{answer}"
    );

    let namespaces = [
        hers.namespace.as_str(),
        theirs.namespace.as_str(),
        release.namespace.as_str(),
    ];
    the_dashboards(&door, &prometheus, namespaces, [&alice, &olga]).await;
    the_variables(&door, &alice, &hers.namespace, &pods).await;
    refused(&door, &prometheus, &alice, namespaces).await;
}
