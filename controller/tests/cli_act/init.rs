//! Drafts: from facts made by hand, and from what an API server has.

use crate::{
    api::Server,
    build::{deployment, hpa},
};
use flyball_controller::{
    cli::{
        check,
        doctor::settle::Readiness,
        import::draft::Draft,
        init::{
            Args, apply,
            draft::{Alert, Facts, Load, draft},
            of_rules,
            prometheus::{self, Way, concerns, find, pick},
            read,
        },
        write::ActError,
    },
    prometheus_rule::PrometheusRule,
};
use flyball_core::time::Span;
use flyball_crds::{AlertingRule, ResourceName, TargetRef};
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};
use std::path::PathBuf;

const LATENCY: &str = "sum(rate(d_sum{namespace=\"shop\", service=\"checkout\"}[5m])) / sum(rate(d_count{namespace=\"shop\", service=\"checkout\"}[5m]))";

fn facts() -> Facts {
    Facts {
        namespace: "shop".to_owned(),
        target: TargetRef {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            name: "checkout".to_owned(),
        },
        replicas: 3,
        requested: Vec::new(),
        autoscaler: None,
        alerts: Vec::new(),
        load: None,
        readiness: Readiness::Measured(Span::from_secs(45), 3),
        source: Some("prometheus".to_owned()),
        notes: Vec::new(),
    }
}

fn alert(expr: &str) -> Alert {
    let rule = json!({"alert": "Slow", "expr": expr, "for": "2m"});
    Alert {
        object: "checkout-alerts".to_owned(),
        group: "latency".to_owned(),
        rule: serde_json::from_value::<AlertingRule>(rule).unwrap(),
    }
}

fn load() -> Load {
    Load {
        histogram: "http_request_duration_seconds".to_owned(),
        label: "service".to_owned(),
        value: "checkout".to_owned(),
        mean: Some(0.043),
        rate: Some(31.0),
    }
}

fn autoscaler() -> Facts {
    let metrics = json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}]);
    Facts {
        autoscaler: serde_json::from_value(hpa(json!({"spec": {"metrics": metrics}}))).unwrap(),
        ..facts()
    }
}

fn spec(draft: &Draft) -> Value {
    serde_json::to_value(&draft.spec).unwrap()
}

/// What is printed is a policy that `flyball check` takes, in mode Recommend.
fn valid(draft: &Draft, test: &str) {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("init-{test}.yaml"));
    std::fs::write(&file, draft.print()).unwrap();
    let mut report = Vec::new();
    let summary = check::run(&[file], &mut report).unwrap();
    let report = String::from_utf8(report).unwrap();
    assert_eq!(
        (summary.policies, summary.errors),
        (1, 0),
        "{report}\n{}",
        draft.print()
    );
    assert_eq!(spec(draft)["mode"], "Recommend");
}

#[test]
fn an_autoscaler_comes_before_an_alert_and_that_before_metrics() {
    let all = Facts {
        alerts: vec![alert(&format!("{LATENCY} > 0.5"))],
        load: Some(load()),
        requested: vec![ResourceName::Cpu],
        ..autoscaler()
    };
    let drafted = draft(&all);
    valid(&drafted, "autoscaler");
    let action = &spec(&drafted)["actions"][0];
    assert_eq!(
        action["replicas"]["metrics"]["list"][0]["target"],
        json!({"utilization": 70})
    );
    assert_eq!(
        (&action["replicas"]["min"], &action["replicas"]["max"]),
        (&json!(2), &json!(20))
    );
    // What the alert calls bad must be over after a change.
    assert_eq!(action["verify"]["expr"], json!(format!("({LATENCY}) <= 0.5")));
    assert!(drafted.print().contains("right: flyball takeover web -n shop"));

    let drafted = draft(&Facts {
        autoscaler: None,
        ..all.clone()
    });
    valid(&drafted, "alert");
    let said = spec(&drafted);
    assert_eq!(
        said["prometheusRuleRef"],
        json!({"name": "checkout-alerts", "group": "latency"})
    );
    assert_eq!(said["actions"][0]["when"], json!(["Slow"]));
    assert_eq!(said["actions"][0]["replicas"]["step"]["percent"], json!(50));
    assert_eq!(
        (
            &said["actions"][0]["replicas"]["min"],
            &said["actions"][0]["replicas"]["max"]
        ),
        (&json!(3), &json!(6))
    );
    assert!(!drafted.print().contains("takeover"));

    let drafted = draft(&Facts {
        autoscaler: None,
        alerts: Vec::new(),
        ..all
    });
    valid(&drafted, "metrics");
    let said = spec(&drafted);
    assert_eq!(
        said["actions"][0]["replicas"]["metrics"]["list"][0]["target"],
        json!({"utilization": 80})
    );
    let series = "http_request_duration_seconds_count{namespace=\"shop\", service=\"checkout\"}";
    assert_eq!(
        said["signals"],
        json!([{"name": "requests", "expr": format!("sum(rate({series}[5m]))")}])
    );
    assert_eq!(said["actions"][0]["verify"]["demand"], json!({"signal": "requests"}));
    // Twice 43 ms.
    let expr = said["actions"][0]["verify"]["expr"].as_str().unwrap();
    assert!(expr.ends_with(" <= 0.086"), "{expr}");
}

#[test]
fn without_requests_the_load_of_now_is_the_measure() {
    let drafted = draft(&Facts {
        load: Some(load()),
        ..facts()
    });
    valid(&drafted, "load");
    let said = spec(&drafted);
    // 31 requests per second over 3 pods are 10.33, up to two digits 11.
    assert_eq!(
        said["actions"][0]["replicas"]["metrics"]["list"][0]["target"],
        json!({"averageValue": 11.0})
    );
    assert_eq!(said["signals"].as_array().map(Vec::len), Some(1));
}

#[test]
fn memory_is_taken_where_there_is_nothing_else() {
    let drafted = draft(&Facts {
        requested: vec![ResourceName::Memory],
        ..facts()
    });
    valid(&drafted, "memory");
    let metric = &spec(&drafted)["actions"][0]["replicas"]["metrics"]["list"][0];
    assert_eq!(metric["resource"], json!({"name": "memory"}));
}

#[test]
fn what_is_lacking_is_said() {
    let drafted = draft(&Facts {
        source: None,
        notes: vec!["Prometheus could not be asked: \u{1b}[31mno".to_owned()],
        ..facts()
    });
    let text = drafted.print();
    for lacks in [
        "nothing of what drives the replicas",
        "verify: is missing",
        "prometheus is a guess",
        "could not be asked",
    ] {
        assert!(text.contains(lacks), "{lacks}: {text}");
    }
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn settle_is_readiness_and_range() {
    let check = |readiness, range: &str, settle: &str, within: &str| {
        let expr = format!("{} > 0.5", LATENCY.replace("5m", range));
        let drafted = draft(&Facts {
            readiness,
            alerts: vec![alert(&expr)],
            ..facts()
        });
        let verify = &spec(&drafted)["actions"][0]["verify"];
        assert_eq!(
            (&verify["settle"], &verify["within"]),
            (&json!(settle), &json!(within)),
            "{range}"
        );
    };
    let measured = |seconds| Readiness::Measured(Span::from_secs(seconds), 1);
    // 45s + 5m = 5m45s, up to 6m; and 5m more.
    check(measured(45), "5m", "6m", "11m");
    check(measured(60), "5m", "6m", "11m");
    check(measured(61), "5m", "6m30s", "11m30s");
    check(Readiness::AtLeast(Span::from_secs(10)), "5m", "5m30s", "10m30s");
    // At least 4m behind it.
    check(measured(30), "2m", "2m30s", "6m30s");
    check(Readiness::Unknown, "10m", "10m", "20m");
}

#[test]
fn a_condition_is_turned_around() {
    let check = |expr: &str, expect: Value| {
        let drafted = draft(&Facts {
            alerts: vec![alert(expr)],
            ..facts()
        });
        assert_eq!(spec(&drafted)["actions"][0]["verify"]["expr"], expect, "{expr}");
    };
    check("sum(rate(x[5m])) > 3", json!("(sum(rate(x[5m]))) <= 3"));
    check("sum(rate(x[5m])) >= 3", json!("(sum(rate(x[5m]))) < 3"));
    check("sum(rate(x[5m])) < 3", json!("(sum(rate(x[5m]))) >= 3"));
    check("3 < sum(rate(x[5m]))", json!("(sum(rate(x[5m]))) <= 3"));
    // Neither is a level to come back to.
    check("sum(rate(x[5m])) == 3", Value::Null);
    check("sum(rate(x[5m])) > 3 and sum(y) > 1", Value::Null);
}

fn service(namespace: &str, name: &str, labels: Value, ports: Value) -> Service {
    let object =
        json!({"metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": {"ports": ports}});
    serde_json::from_value(object).unwrap()
}

#[test]
fn prometheus_is_found_by_its_labels() {
    let web = json!([{"name": "reloader-web", "port": 8080}, {"name": "http-web", "port": 9090}]);
    let services = [
        service("shop", "checkout", json!({"app": "checkout"}), json!([{"port": 80}])),
        service(
            "vm",
            "select",
            json!({"app.kubernetes.io/name": "vmselect"}),
            json!([{"name": "http", "port": 8481}]),
        ),
        // Only one of two labels.
        service(
            "a",
            "alertmanager",
            json!({"app": "prometheus", "component": "alertmanager"}),
            json!([{"port": 80}]),
        ),
        service(
            "monitoring",
            "stack",
            json!({"app": "kube-prometheus-stack-prometheus"}),
            web,
        ),
        service(
            "tls",
            "p",
            json!({"app": "prometheus-server"}),
            json!([{"name": "https", "port": 443}]),
        ),
        // Without a port there is nothing to ask.
        service("none", "p", json!({"app": "prometheus-server"}), Value::Null),
    ];
    let urls: Vec<String> = find(&services).iter().map(prometheus::Server::url).collect();
    assert_eq!(
        urls,
        [
            "http://stack.monitoring:9090",
            "https://p.tls:443",
            "http://select.vm:8481/select/0/prometheus"
        ]
    );
}

#[test]
fn the_histogram_of_requests_is_picked() {
    let series = |name: &str, label: &str, value: &str| {
        [("__name__", name), (label, value)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    };
    let check = |all: &[flyball_core::signal::Labels], expect: Option<(&str, &str)>| {
        let load = pick(all, "checkout");
        assert_eq!(
            load.as_ref().map(|load| (load.histogram.as_str(), load.label.as_str())),
            expect
        );
    };
    check(&[], None);
    check(
        &[series("http_request_duration_seconds_bucket", "service", "cart")],
        None,
    );
    let all = [
        series("go_gc_pauses_seconds_bucket", "service", "checkout"),
        series("http_client_request_duration_seconds_bucket", "service", "checkout"),
        series("http_request_duration_seconds_bucket", "job", "checkout"),
        series("http_request_duration_seconds_bucket", "service", "checkout"),
    ];
    check(&all, Some(("http_request_duration_seconds", "service")));
    check(&all[..1], Some(("go_gc_pauses_seconds", "service")));
}

#[test]
fn alerts_that_name_the_workload_are_taken() {
    let rule = |alert: &str, expr: &str| json!({"alert": alert, "expr": expr});
    let groups = json!({"groups": [{"name": "g", "rules": [
        rule("Ours", "rate(x{service=\"checkout\"}[5m]) > 1"),
        rule("OfNamespace", "rate(x{namespace=\"shop\", app=\"checkout\"}[5m]) > 1"),
        rule("Elsewhere", "rate(x{namespace=\"test\", service=\"checkout\"}[5m]) > 1"),
        rule("Other", "rate(x{service=\"cart\"}[5m]) > 1"),
        rule("Pattern", "rate(x{service=~\"checkout\"}[5m]) > 1"),
        rule("Twice", "rate(x{service=\"checkout\"}[5m]) > 1"),
        rule("Twice", "rate(x{service=\"checkout\"}[5m]) > 2"),
        rule("Broken", "rate(x{"),
    ]}]});
    let object = PrometheusRule::read("alerts", Some(&groups));
    let found = of_rules(std::iter::once(object), "shop", "checkout");
    let names: Vec<&str> = found.iter().map(|alert| alert.rule.alert.as_str()).collect();
    assert_eq!(names, ["Ours", "OfNamespace"]);
    assert!(!concerns(&[], "shop", "checkout"));
}

#[tokio::test]
async fn what_can_not_be_read_stands_in_the_draft() {
    let probe = json!({"containers": [{
        "resources": {"requests": {"cpu": "100m"}}, "readinessProbe": {"initialDelaySeconds": 20},
    }]});
    let target = deployment("checkout", 4, json!({"spec": {"template": {"spec": probe}}}));
    let server = Server::with("init", [target, deployment("cart", 1, json!({}))]).await;
    let args = Args {
        target: Some("deploy/checkout".to_owned()),
        ..Args::default()
    };
    let facts = read(&server.connection, "shop", &args).await.unwrap();
    assert_eq!((facts.replicas, &facts.requested[..]), (4, &[ResourceName::Cpu][..]));
    assert_eq!(facts.readiness, Readiness::AtLeast(Span::from_secs(20)));
    let said = facts.notes.join("\n");
    assert!(
        said.contains("Services were not looked at") && said.contains("MetricSources were not looked at"),
        "{said}"
    );
    valid(&draft(&facts), "read");

    for (asked, expect) in [
        ("cart/checkout", "no workload"),
        ("nothing", "no workload"),
        ("../x", "no workload"),
    ] {
        let args = Args {
            target: Some(asked.to_owned()),
            ..Args::default()
        };
        let refused = read(&server.connection, "shop", &args).await.unwrap_err().to_string();
        assert!(refused.contains(expect), "{refused}");
    }
    assert!(server.writes().is_empty());
}

/// The API server refuses to list what is not there, too: it looks at rights first.
#[tokio::test]
async fn what_may_not_be_listed_hides_no_autoscaler_and_is_not_missed_where_it_is_not_served() {
    let ours = hpa(json!({"metadata": {"name": "checkout"}, "spec": {"scaleTargetRef": {"name": "checkout"}}}));
    let server = Server::with("init-rights", [deployment("checkout", 4, json!({})), ours.clone()]).await;
    let args = Args {
        target: Some("deploy/checkout".to_owned()),
        ..Args::default()
    };
    // Nothing serves PrometheusRules here; ScaledObjects are served, and may not be listed.
    server.deny("list prometheusrules");
    server.deny("list scaledobjects");
    let facts = read(&server.connection, "shop", &args).await.unwrap();
    let said = facts.notes.join("\n");
    assert!(!said.contains("PrometheusRules"), "{said}");
    assert!(
        said.contains("no right to list scaledobjects in namespace shop"),
        "{said}"
    );
    assert!(facts.autoscaler.is_some(), "{said}");
    valid(&draft(&facts), "rights");

    let owner = json!([{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "queue", "uid": "u"}]);
    server.objects(|objects| {
        objects.change(
            "horizontalpodautoscalers/checkout",
            &json!({"metadata": {"ownerReferences": owner}}),
        );
    });
    let refused = read(&server.connection, "shop", &args).await.unwrap_err().to_string();
    assert!(
        refused.contains("flyball import scaledobject queue -n shop"),
        "{refused}"
    );
    assert!(server.writes().is_empty());
}

#[tokio::test]
async fn prometheus_is_asked_through_the_api_server() {
    let server = Server::with("init-proxy", []).await;
    for (tls, prefix, expect) in [
        (
            false,
            "",
            "/api/v1/namespaces/monitoring/services/stack:9090/proxy/api/v1/query",
        ),
        (
            true,
            "/select/0/prometheus",
            "/api/v1/namespaces/monitoring/services/https:stack:9090/proxy/select/0/prometheus/api/v1/query",
        ),
    ] {
        let found = prometheus::Server {
            product: "Prometheus",
            namespace: "monitoring".to_owned(),
            service: "stack".to_owned(),
            port: 9090,
            tls,
            prefix,
        };
        let way = Way::Proxy(&server.connection, found);
        // What must not be taken for a part of the path.
        let query = "sum(x{a=\"b&c=d#e+f/g\"}) / 2";
        let answer = way.ask(query, server.connection.now()).await.unwrap();
        assert_eq!(answer.samples[0].labels["query"], query);
        assert_eq!(answer.samples[0].labels["path"], expect);
        assert!((answer.samples[0].value - 2.5).abs() < f64::EPSILON);
    }
}

#[tokio::test]
async fn it_is_created_after_a_dry_run_and_never_overwritten() {
    let server = Server::with("init-apply", []).await;
    let object = draft(&autoscaler()).object().unwrap();
    apply(&server.connection, "shop", &object).await.unwrap();
    assert_eq!(
        server.writes(),
        ["POST feedbackpolicies/web", "POST feedbackpolicies/web"]
    );
    assert_eq!(server.get("feedbackpolicies/web").unwrap()["spec"]["mode"], "Recommend");
    let again = apply(&server.connection, "shop", &object).await.unwrap_err();
    assert!(
        matches!(&again, ActError::Refused(text) if text.contains("already")),
        "{again}"
    );
    // What the dry run refuses is not tried for good.
    server.objects(|objects| objects.remove("feedbackpolicies/web"));
    server.writes();
    server.deny("create feedbackpolicies");
    apply(&server.connection, "shop", &object).await.unwrap_err();
    assert_eq!(server.writes().len(), 1);
}
