//! What the proxy tells of the traffic that is divided.

use crate::build::{merge, now, weights_policy};
use flyball_controller::{
    cli::doctor::{
        finding::{Finding, Mark},
        readings,
        traffic::{Traffic, judge},
    },
    validate,
};
use flyball_core::{
    policy::{Policy, Weight, Weights},
    signal::{Labels, Reading, Sample},
    time::Span,
};
use flyball_crds::ProxyMetrics;
use rstest::rstest;
use serde_json::{Value, json};

fn policy(more: Value) -> Policy {
    let mut spec = serde_json::to_value(&weights_policy(json!({})).spec).unwrap();
    merge(&mut spec["actions"][0], more);
    validate::policy(&serde_json::from_value(spec).unwrap()).unwrap()
}

/// A fresh answer with a series for each backend.
fn reading(values: &[(&str, f64)]) -> Reading {
    let samples = values.iter().map(|(backend, value)| {
        let mut labels = Labels::new();
        if !backend.is_empty() {
            labels.insert("backend".to_owned(), (*backend).to_owned());
        }
        Sample { labels, value: *value }
    });
    let second = Span::from_secs(1);
    Reading::answered(now(), samples.collect(), &[], Some(second), Span::from_secs(60))
}

fn weights() -> Weights {
    let weight = |weight| Weight::new(weight).unwrap();
    Weights::new([("web-a".to_owned(), weight(500)), ("web-b".to_owned(), weight(500))])
}

fn traffic(requests: &[(&str, f64)]) -> Traffic {
    Traffic {
        requests: reading(requests),
        errors: reading(&[("web-a", 1.0)]),
        unserved: Some(reading(&[("", 0.0)])),
    }
}

fn judged(traffic: &Traffic) -> Vec<Finding> {
    let policy = policy(json!({}));
    judge(
        &policy.weights[0],
        Some(ProxyMetrics::Traefik),
        Some(&weights()),
        traffic,
    )
}

fn of<'f>(findings: &'f [Finding], subject: &str) -> &'f Finding {
    findings.iter().find(|found| found.subject == subject).unwrap()
}

#[test]
fn a_proxy_that_tells_everything_is_well() {
    let found = judged(&traffic(&[("web-a", 20.0), ("web-b", 25.5)]));
    let said: Vec<_> = found.iter().map(|found| (found.mark, found.said.as_str())).collect();
    assert_eq!(
        said,
        [
            (Mark::Ok, "web-b 25.5/s, web-a 20/s"),
            // 1 of 20 is 5 %.
            (Mark::Ok, "fail now: web-b 0 %, web-a 5 %"),
            (Mark::Ok, "every request reaches a backend"),
        ]
    );
}

#[rstest]
#[case::none(&[], Mark::Warn, "no series: no backend was asked", "addServicesLabels")]
#[case::idle(&[("web-a", 100.0)], Mark::Warn, "web-b 0/s, web-a 100/s: web-b has weight and no requests", "weights.backends")]
#[case::unlabelled(&[("", 10.0)], Mark::Fail, "a series without the label backend", "sum by (backend)")]
#[case::twice(&[("web-a", 10.0), ("web-a", 11.0)], Mark::Fail, "two series of backend web-a", "sum by (backend)")]
fn requests_are_judged(
    #[case] requests: &[(&str, f64)],
    #[case] mark: Mark,
    #[case] said: &str,
    #[case] way_out: &str,
) {
    let found = judged(&traffic(requests));
    let found = of(&found, "traffic.requests");
    assert_eq!(found.mark, mark, "{found:?}");
    assert!(
        found.said.contains(said) && found.way_out.contains(way_out),
        "{found:?}"
    );
}

#[test]
fn a_backend_that_is_not_managed_is_named() {
    let found = judged(&traffic(&[("web-a", 20.0), ("web-b", 20.0), ("legacy", 3.0)]));
    assert_eq!(
        of(&found, "traffic.requests").said,
        "web-b 20/s, web-a 20/s; beside them legacy"
    );
}

/// A share of a half of n requests is known to 3.29 * sqrt(0.25 / n), and 20 % of a half is 0.1: n must be above
/// (3.29 / 0.1)^2 * 0.25 = 270.6 requests in a minute, 4.51 a second.
#[rstest]
#[case(4.5, 1)]
#[case(4.52, 0)]
fn too_few_requests_verify_nothing(#[case] all: f64, #[case] warnings: usize) {
    let found = judged(&traffic(&[("web-a", all / 2.0), ("web-b", all / 2.0)]));
    let warned: Vec<&Finding> = found.iter().filter(|found| found.mark == Mark::Warn).collect();
    assert_eq!(warned.len(), warnings, "{found:#?}");
    for found in warned {
        assert_eq!(
            found.said,
            "270 requests in 1m: a share of 0.5 is known to 0.1, and a change moves 0.1 at most, so none can be verified"
        );
        assert!(found.way_out.contains("traffic.window"), "{found:?}");
    }
}

#[test]
fn failover_moves_everything_and_needs_few_requests() {
    let policy = policy(json!({"weights": {"capacity": null, "failover": {}}}));
    let few = traffic(&[("web-a", 0.1), ("web-b", 0.1)]);
    let found = judge(&policy.weights[0], None, Some(&weights()), &few);
    assert!(found.iter().all(|found| found.mark == Mark::Ok), "{found:#?}");
}

#[test]
fn errors_may_be_missing_and_requests_may_reach_nobody() {
    let requests = [("web-a", 20.0), ("web-b", 20.0)];
    let all = Traffic {
        errors: reading(&[]),
        unserved: Some(reading(&[("", 2.5)])),
        ..traffic(&requests)
    };
    let found = judged(&all);
    assert_eq!(of(&found, "traffic.errors").said, "no series, so no request failed");
    let nobody = of(&found, "traffic.unserved");
    assert_eq!(
        (nobody.mark, nobody.said.as_str()),
        (Mark::Warn, "2.5 requests a second reach no backend")
    );
    let silent = Traffic {
        unserved: Some(reading(&[])),
        ..traffic(&requests)
    };
    let found = judged(&silent);
    let silent = of(&found, "traffic.unserved");
    assert_eq!(silent.mark, Mark::Warn);
    assert!(silent.way_out.contains("addRoutersLabels"), "{silent:?}");
    let untold = Traffic {
        unserved: None,
        ..traffic(&requests)
    };
    assert!(judged(&untold).iter().all(|found| found.subject != "traffic.unserved"));
}

#[test]
fn what_is_not_fresh_is_said_as_it_is() {
    let stale = |age| {
        let samples = reading(&[("web-a", 1.0)]).samples().to_vec();
        Reading::answered(now(), samples, &[], Some(Span::from_secs(age)), Span::from_secs(60))
    };
    let all = Traffic {
        requests: stale(61),
        errors: Reading::failed(now(), "the source refused; look"),
        unserved: Some(stale(61)),
    };
    let found = judged(&all);
    let marks: Vec<_> = found.iter().map(|found| (found.subject.as_str(), found.mark)).collect();
    assert_eq!(
        marks,
        [
            ("traffic.requests", Mark::Warn),
            ("traffic.errors", Mark::Fail),
            ("traffic.unserved", Mark::Warn),
        ]
    );
    assert!(found[0].said.starts_with("stale: "), "{found:?}");
}

/// A signal of many numbers is no mistake, one without the label that tells them apart is.
#[test]
fn a_signal_of_each_backend_is_judged_as_one() {
    let policy = policy(json!({}));
    let expressions = readings::expressions(&policy);
    let names: Vec<&str> = expressions.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["signal busy", "verify of shift"]);
    let (subject, expression) = &expressions[0];
    let found = readings::judge(subject, expression, &reading(&[("web-a", 0.5), ("web-b", 0.25)]));
    assert_eq!(
        (found.mark, found.said.as_str()),
        (Mark::Ok, "2 series, from 0.25 to 0.5")
    );
    let found = readings::judge(subject, expression, &reading(&[("", 0.5)]));
    assert_eq!(
        (found.mark, found.said.as_str()),
        (Mark::Fail, "a series without the label backend")
    );
}
