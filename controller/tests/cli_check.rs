//! `flyball check`: every mistake with its place, its line and the way out.

// Helpers outside #[test] may fail loudly too.
#![allow(clippy::unwrap_used)]

use flyball_controller::cli::{
    check::{self, Summary},
    output::Output,
};
use rstest::rstest;
use std::path::PathBuf;

/// Writes `text` into a file of its own, checks it, and returns the report without the path.
fn checked(name: &str, text: impl AsRef<[u8]>) -> (Summary, String) {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, text).unwrap();
    let mut out = Vec::new();
    let summary = check::run(std::slice::from_ref(&file), &mut out).unwrap();
    let report = String::from_utf8(out).unwrap();
    (summary, report.replace(&file.to_string_lossy().into_owned(), "FILE"))
}

const POLICY: &str = r#"apiVersion: flyball.dev/v1alpha1
kind: FeedbackPolicy
metadata: {name: checkout, namespace: shop}
spec:
  mode: Enforce
  sourceRef: {name: prometheus}
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: checkout}
  rules:
  - alert: HighRequestLatency
    expr: sum(rate(x_sum{job="c"}[5m])) / sum(rate(x_count{job="c"}[5m])) > 0.5
    for: 2m
    labels: {severity: warning}
    annotations: {summary: "High latency: {{ $value }}"}
  signals:
  - name: requests
    expr: sum(rate(x_count{job="c"}[5m]))
  actions:
  - name: more-replicas
    when: [HighRequestLatency]
    replicas: {step: {percent: 50}, min: 2, max: 20}
    verify:
      settle: 6m
      within: 10m
      expr: sum(rate(x_sum{job="c"}[5m])) / sum(rate(x_count{job="c"}[5m])) <= 0.5
      demand: {signal: requests}
"#;

#[test]
fn a_good_policy_passes() {
    let (summary, report) = checked("good.yaml", POLICY);
    assert_eq!(report, "1 policy checked, 0 errors, 0 warnings\n");
    assert_eq!((summary.policies, summary.exit_code()), (1, 0));
}

#[test]
fn json_crlf_and_a_byte_order_mark_are_read() {
    let json = serde_json::to_string_pretty(&serde_yaml::from_str::<serde_json::Value>(POLICY).unwrap()).unwrap();
    assert_eq!(checked("good.json", json).0.exit_code(), 0);
    let windows = format!("\u{feff}{}", POLICY.replace('\n', "\r\n"));
    let (summary, report) = checked("crlf.yaml", windows);
    assert_eq!((summary.policies, summary.errors), (1, 0), "{report}");
}

#[test]
fn programs_get_the_places_as_numbers() {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("programs.yaml");
    std::fs::write(&file, POLICY.replace("for: 2m", "for: -1m")).unwrap();
    let absent = PathBuf::from("absent\u{1b}.yaml");
    for output in [Output::Json, Output::Yaml] {
        let mut out = Vec::new();
        let summary = check::run_for_programs(&[file.clone(), absent.clone()], output, &mut out).unwrap();
        // YAML is read back by its own reader, JSON too.
        let report: serde_json::Value = match output {
            Output::Yaml => serde_yaml::from_slice(&out).unwrap(),
            _ => serde_json::from_slice(&out).unwrap(),
        };
        assert_eq!(summary.exit_code(), 1);
        assert_eq!(
            report["summary"],
            serde_json::json!({"policies": 1, "sources": 0, "receivers": 0, "errors": 2, "warnings": 0})
        );
        let first = &report["findings"][0];
        assert_eq!(
            (&first["line"], &first["column"], &first["severity"], &first["path"]),
            (&11.into(), &10.into(), &"Error".into(), &"spec.rules[0].for".into())
        );
        let second = &report["findings"][1];
        assert_eq!(
            (&second["file"], second.get("line")),
            (&"absent\\u{1b}.yaml".into(), None)
        );
    }
}

#[test]
fn the_place_is_shown_with_its_line() {
    let (summary, report) = checked("place.yaml", POLICY.replace("for: 2m", "for: -1m"));
    assert_eq!(
        report,
        "FILE:11:10: spec.rules[0].for: \"-1m\" is not a duration; write digits and units from large to small, \
         for example 30s, 5m, 1h30m or 1d\n  11 |     for: -1m\n     |          ^^^\n\
         1 policy checked, 1 error, 0 warnings\n"
    );
    assert_eq!((summary.errors, summary.exit_code()), (1, 1));
}

#[rstest]
#[case(
    "  mode: Enforce",
    "  modes: Enforce",
    "FILE:5:3: spec.modes: unknown field; did you mean mode?"
)]
#[case(
    "  mode: Enforce",
    "  mode: Enforced",
    "FILE:5:9: spec.mode: \"Enforced\" is not one of Observe, Recommend, Enforce; did you mean Enforce?"
)]
#[case(
    "  mode: Enforce",
    "  treshold: 5",
    "FILE:5:3: spec.treshold: unknown field; remove it, or write one of actions, "
)]
#[case(
    "percent: 50",
    "precent: 50",
    "FILE:20:23: spec.actions[0].replicas.step.precent: unknown field; did you mean percent?"
)]
#[case(
    "for: 2m",
    "for: 2",
    "FILE:11:10: spec.rules[0].for: \"2\" is a number in YAML, a text is needed; a duration has a unit, for example 2s"
)]
#[case(
    "severity: warning",
    "severity: no",
    "FILE:12:24: spec.rules[0].labels.severity: \"no\" is a truth value in YAML, a text is needed; put it into quotes"
)]
#[case(
    "max: 20",
    "max: \"20\"",
    "spec.actions[0].replicas.max: \"20\" is not a whole number; write digits without quotes"
)]
#[case("max: 20", "max: 1e3", "spec.actions[0].replicas.max: \"1e3\" is not a whole number")]
#[case(
    "max: 20",
    "max: 1",
    "FILE:20:42: spec.actions[0].replicas.min: 2 is above max, which is 1"
)]
#[case(
    "max: 20",
    "max:",
    "spec.actions[0].replicas.max: is empty; write a value or remove the line"
)]
#[case(", max: 20", "", "FILE:20:15: spec.actions[0].replicas.max: is missing; add it")]
#[case(
    "[HighRequestLatency]",
    "HighRequestLatency",
    "FILE:19:11: spec.actions[0].when: a list is needed here; begin each entry with a dash"
)]
#[case(
    "settle: 6m",
    "settle: 4m",
    "FILE:22:15: spec.actions[0].verify.settle: 4m is shorter than the longest range in expr"
)]
#[case(
    "{signal: requests}",
    "{signal: request}",
    "FILE:25:24: spec.actions[0].verify.demand.signal: there is no signal \"request\"; define it under spec.signals or use one of \"requests\""
)]
#[case(
    "metadata: {name: checkout,",
    "metadata: {name: Check_out,",
    "FILE:3:18: metadata.name: is not a name"
)]
#[case(
    "v1alpha1",
    "v1beta1",
    "FILE:1:13: apiVersion: is another version; write flyball.dev/v1alpha1"
)]
#[case(
    "kind: FeedbackPolicy",
    "kind: FeedbackPolice",
    "FILE:2:7: kind: \"FeedbackPolice\" is not a kind of flyball.dev; did you mean FeedbackPolicy?"
)]
#[case("spec:", "specs:", "specs: unknown field; did you mean spec?")]
#[case(
    "  mode: Enforce",
    "  mode: Enforce\n  mode: Observe",
    "FILE:6:3: the key \"mode\" stands twice, first in line 5; remove one"
)]
#[case(
    "  mode: Enforce",
    "  mode: !!str Enforce",
    "a tag such as !!str can't be used here; write it out"
)]
#[case("  mode: Enforce", "  <<: {mode: Enforce}", "the merge key << can't be used here")]
#[case("  mode: Enforce", "\tmode: Enforce", "FILE:5:")]
#[case("  mode: Enforce", "  mode: [Enforce", "correct the YAML")]
fn mistakes_are_named(#[case] good: &str, #[case] bad: &str, #[case] part: &str) {
    let name = format!("mistake-{}.yaml", good.len() * 1000 + part.len() * 7 + bad.len());
    let (summary, report) = checked(&name, POLICY.replacen(good, bad, 1));
    assert!(report.contains(part), "{report}");
    assert_eq!(summary.exit_code(), 1);
}

/// A policy with what an autoscaler's has beyond a step.
const AUTOSCALER: &str = r#"apiVersion: flyball.dev/v1alpha1
kind: FeedbackPolicy
metadata: {name: checkout, namespace: shop}
spec:
  sourceRef: {name: prometheus}
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: checkout}
  pause: {up: {until: 2026-12-01T08:00:00Z}}
  signals:
  - name: rps
    expr: sum(rate(x_count{job="c"}[5m]))
    onError: Hold
  actions:
  - name: follow-load
    replicas:
      min: 0
      max: 20
      metrics:
        list:
        - name: load
          formula: "max(rps / 100, 2)"
          target: {averageValue: 1}
      zero: {signal: rps}
      schedules:
      - {name: day, start: "0 8 * * 1-5", end: "0 18 * * 1-5", timeZone: Europe/Berlin, replicas: 4}
    inhibit:
    - name: database
      expr: max(connections{job="d"}) > 90
    verify:
      settle: 6m
      within: 10m
      expr: sum(rate(x_errors{job="c"}[5m])) <= 1
      demand: {signal: rps}
"#;

#[test]
fn a_good_autoscaler_passes() {
    let (_, report) = checked("autoscaler.yaml", AUTOSCALER);
    assert_eq!(report, "1 policy checked, 0 errors, 0 warnings\n");
}

#[rstest]
#[case(
    "onError: Hold",
    "onerror: Hold",
    "FILE:11:5: spec.signals[0].onerror: unknown field; did you mean onError?"
)]
#[case(
    "onError: Hold",
    "onError: Holds",
    "FILE:11:14: spec.signals[0].onError: \"Holds\" is not one of Hold, HoldDown, Ignore, Substitute; did you mean Hold?"
)]
#[case(
    "until: 2026-12-01T08:00:00Z",
    "until: tomorrow",
    "FILE:7:23: spec.pause.up.until: \"tomorrow\" is not a time with its offset; write for example 2026-12-01T08:00:00Z"
)]
#[case(
    "until: 2026-12-01T08:00:00Z",
    "until: 2026-12-01",
    "spec.pause.up.until: \"2026-12-01\" is not a time with its offset"
)]
#[case(
    "averageValue: 1}",
    "averagValue: 1}",
    "spec.actions[0].replicas.metrics.list[0].target.averagValue: unknown field; did you mean averageValue?"
)]
#[case(
    "averageValue: 1}",
    "utilization: 70}",
    "FILE:21:33: spec.actions[0].replicas.metrics.list[0].target.utilization: 70 is a percentage of what each pod requests, and a formula is one number; write averageValue or value"
)]
#[case(
    "rps / 100, 2",
    "rps / 100, load",
    "FILE:20:36: spec.actions[0].replicas.metrics.list[0].formula: names load, which is neither a signal"
)]
#[case(
    "zero: {signal: rps}",
    "zero: {signal: rsp}",
    "FILE:22:22: spec.actions[0].replicas.zero.signal: there is no signal \"rsp\""
)]
#[case(
    "min: 0",
    "min: 1",
    "FILE:22:7: spec.actions[0].replicas.zero: goes with min 0, and min is 1"
)]
#[case(
    "0 8 * * 1-5",
    "0 8 * * 1-8",
    "FILE:24:37: spec.actions[0].replicas.schedules[0].start: \"1-8\" is no day of week"
)]
#[case(
    "Europe/Berlin",
    "Europe/Berln",
    "spec.actions[0].replicas.schedules[0].timeZone: \"Europe/Berln\" is no IANA time zone; did you mean Europe/Berlin?"
)]
#[case(
    "> 90",
    "",
    "FILE:27:13: spec.actions[0].inhibit[0].expr: a comparison with a number is needed"
)]
#[case(
    "    inhibit:",
    "    inhibits:",
    "FILE:25:5: spec.actions[0].inhibits: unknown field; did you mean inhibit?"
)]
fn mistakes_of_an_autoscaler_are_named(#[case] good: &str, #[case] bad: &str, #[case] part: &str) {
    let name = format!("autoscaler-{}.yaml", good.len() * 1000 + part.len() * 7 + bad.len());
    let (summary, report) = checked(&name, AUTOSCALER.replacen(good, bad, 1));
    assert!(report.contains(part), "{report}");
    assert_eq!(summary.exit_code(), 1);
}

/// The column of a mistake in an expression, in every style that YAML has for texts.
#[rstest]
#[case("expr: rate(up) > 1", 10, 11)]
#[case("expr: \"1 + rate(up)\"", 10, 16)]
#[case("expr: '1 + rate(up)'", 10, 16)]
#[case("expr: |\n      1 +\n        rate(up)", 12, 9)]
#[case("expr: |-\n      rate(up)", 11, 7)]
#[case("expr: >-\n      1 +\n      rate(up)", 12, 7)]
#[case("expr: 1 +\n      rate(up)", 11, 7)]
#[case("expr: \"up{a=\\\"b\\\"} + rate(up)\"", 10, 26)]
#[case("expr: \"\\u0031 + rate(up)\"", 10, 11)]
fn expressions_are_pointed_into(#[case] written: &str, #[case] line: usize, #[case] column: usize) {
    let good = "expr: sum(rate(x_sum{job=\"c\"}[5m])) / sum(rate(x_count{job=\"c\"}[5m])) > 0.5";
    let name = format!("expression-{line}-{column}-{}.yaml", written.len());
    let (_, report) = checked(&name, POLICY.replacen(good, written, 1));
    let place = format!("FILE:{line}:{column}: spec.rules[0].expr: expected type matrix in call to function 'rate'");
    assert!(report.contains(&place), "{report}");
}

#[test]
fn all_documents_are_checked_and_other_kinds_skipped() {
    let other = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"a\\eb\"}\n---\n# nothing\n---\n";
    let source = "apiVersion: flyball.dev/v1alpha1\nkind: MetricSource\nmetadata: {name: prometheus}\nspec:\n  url: prometheus:9090\n  timeout: 1h\n  headers: [{name: Authorization, value: x}]\n";
    let text = format!("{POLICY}{other}{source}---\n{}", POLICY.replace("min: 2", "min: 0"));
    let (summary, report) = checked("many.yaml", text);
    assert_eq!(
        summary,
        Summary {
            policies: 2,
            sources: 1,
            receivers: 0,
            errors: 4,
            warnings: 0
        },
        "{report}"
    );
    for part in [
        "FILE:27: skipped \"ConfigMap\" \"a\\u{1b}b\"\n",
        "spec.url: the scheme must be http or https; write for example http://prometheus.monitoring:9090",
        "spec.timeout: 1h is not between 1ms and 2m",
        "spec.headers[0]: this header is not allowed here; put credentials into spec.auth",
        "spec.actions[0].replicas.min: 0 would leave nothing that serves",
        "2 policies and 1 source checked, 4 errors, 0 warnings\n",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
}

#[test]
fn an_error_in_one_document_does_not_hide_those_before_it() {
    let (summary, report) = checked("later.yaml", format!("{}---\n{{", POLICY.replace("min: 2", "min: 0")));
    assert_eq!((summary.policies, summary.errors), (1, 2), "{report}");
}

#[test]
fn warnings_do_not_fail() {
    let text = POLICY.replace("      demand: {signal: requests}\n", "");
    let (summary, report) = checked("warning.yaml", text);
    assert_eq!((summary.warnings, summary.exit_code()), (1, 0), "{report}");
    assert!(
        report.contains("FILE:21:5: warning: spec.actions[0].verify.demand: is missing"),
        "{report}"
    );
}

#[test]
fn aliases_are_read_and_bombs_are_not() {
    let text = POLICY
        .replace("settle: 6m", "settle: &t 10m")
        .replace("within: 10m", "within: *t");
    let (_, report) = checked("alias.yaml", text);
    assert!(report.contains("within: 10m is not longer than settle"), "{report}");
    let mut bomb = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x]".to_owned()];
    for n in 1..20 {
        let of = format!("*a{}", n - 1);
        bomb.push(format!("a{n}: &a{n} [{}]", [of.as_str(); 9].join(", ")));
    }
    let (_, report) = checked("bomb.yaml", bomb.join("\n"));
    assert!(report.contains("too large or nested too deep"), "{report}");
    let mut deep = vec!["a0: &a0 [x]".to_owned()];
    for n in 1..5000 {
        deep.push(format!("a{n}: &a{n} [*a{}]", n - 1));
    }
    assert!(
        checked("deep-alias.yaml", deep.join("\n"))
            .1
            .contains("too large or nested too deep")
    );
    assert_eq!(checked("deep.yaml", "[".repeat(100_000)).0.exit_code(), 1);
}

#[test]
fn files_that_can_not_be_checked_say_why() {
    let (_, report) = checked("latin1.yaml", b"a: b\nc: \xe9\n");
    assert!(report.contains("is not UTF-8 in line 2"), "{report}");
    let (_, report) = checked("huge.yaml", "#".repeat((1 << 20) + 1));
    assert!(report.contains("is larger than 1048576 bytes; split it"), "{report}");
    let mut out = Vec::new();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let summary = check::run(&[folder.join("absent\u{1b}.yaml"), folder], &mut out).unwrap();
    let report = String::from_utf8(out).unwrap();
    assert_eq!(summary.errors, 2);
    assert!(
        report.contains("can't be read") && report.contains("is a directory; name its files"),
        "{report}"
    );
    assert!(!report.contains('\u{1b}'));
    assert!(checked("empty.yaml", "").1.contains("There is no FeedbackPolicy"));
}

#[test]
fn what_a_terminal_would_obey_is_not_printed() {
    let text = POLICY.replace("for: 2m", "for: \"\u{202e}2m\\e[31m\" # \u{202e}");
    let (summary, report) = checked("terminal.yaml", text);
    assert_eq!(summary.errors, 1);
    assert!(
        report
            .chars()
            .all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}')),
        "{report:?}"
    );
    let long = POLICY.replace("for: 2m", &format!("for: \"{}\"", "é".repeat(5000)));
    let (_, report) = checked("long.yaml", long);
    assert!(report.lines().all(|line| line.chars().count() < 300), "{report}");
}

/// The policy with its rule in a PrometheusRule.
fn referring() -> String {
    let (head, rest) = POLICY.split_once("  rules:\n").unwrap();
    let (_, tail) = rest.split_once("  signals:\n").unwrap();
    format!("{head}  prometheusRuleRef: {{name: checkout-alerts}}\n  signals:\n{tail}")
}

const RULES: &str = r#"---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: checkout-alerts, namespace: shop}
spec:
  groups:
  - name: latency
    rules:
    - alert: HighRequestLatency
      expr: sum(rate(x_sum{job="c"}[5m])) / sum(rate(x_count{job="c"}[5m])) > 0.5
      for: 2m
"#;

#[test]
fn rules_of_a_prometheus_rule_are_checked_where_it_is_in_the_files() {
    let (summary, report) = checked("rules.yaml", referring() + RULES);
    assert_eq!(
        report,
        "FILE:22: read \"PrometheusRule\" \"checkout-alerts\"\n1 policy checked, 0 errors, 0 warnings\n"
    );
    assert_eq!(summary.exit_code(), 0);
    let wrong = RULES.replace("for: 2m", "for: 2 minutes");
    let (summary, report) = checked("rules_wrong.yaml", referring() + &wrong);
    assert!(
        report.contains(
            "FILE:8:3: spec.prometheusRuleRef: PrometheusRule checkout-alerts: groups[0].rules[0].for: \"2 minutes\" is not a duration"
        ),
        "{report}"
    );
    assert_eq!((summary.errors, summary.exit_code()), (1, 1));
    let other = RULES.replace("alert: High", "alert: Low");
    let (summary, report) = checked("rules_other.yaml", referring() + &other);
    assert!(
        report.contains(
            "spec.actions[0].when[0]: is not in spec.rules, and PrometheusRule checkout-alerts has no alerting rule \"HighRequestLatency\"; use one of \"LowRequestLatency\""
        ),
        "{report}"
    );
    assert_eq!(summary.errors, 1);
}

#[rstest]
#[case::none("")]
#[case::of_another_namespace(&RULES.replace("namespace: shop", "namespace: other"))]
#[case::of_another_name(&RULES.replace("checkout-alerts", "others"))]
fn what_could_not_be_checked_is_said_and_is_no_error(#[case] rules: &str) {
    let name = format!("rules_none_{}.yaml", rules.len());
    let (summary, report) = checked(&name, referring() + rules);
    assert!(
        report.contains("FILE:8: the rules of PrometheusRule checkout-alerts were not checked"),
        "{report}"
    );
    assert_eq!(
        (summary.errors, summary.warnings, summary.exit_code()),
        (0, 0, 0),
        "{report}"
    );
}

#[test]
fn a_route_of_a_kind_without_real_traffic_is_noted() {
    let text = r#"apiVersion: flyball.dev/v1alpha1
kind: FeedbackPolicy
metadata: {name: split, namespace: shop}
spec:
  mode: Enforce
  sourceRef: {name: prometheus}
  targetRef: {apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, name: api}
  actions:
  - name: order
    weights:
      backends: [{name: a, weight: 1000}, {name: b, weight: 0}]
      failover: {}
      traffic: {proxy: Traefik}
    verify: {settle: 2m, within: 5m, expr: 'sum(rate(failed{job="c"}[1m])) <= 1'}
"#;
    let (summary, report) = checked("grpc-route.yaml", text);
    assert_eq!((summary.errors, summary.warnings), (0, 0), "{report}");
    assert!(
        report.starts_with(
            "FILE:7: weights of gateway.networking.k8s.io GRPCRoute were held against the kind's definition"
        ),
        "{report}"
    );
    // A mistake of the lever stands at its own line.
    let (summary, report) = checked(
        "grpc-route-wrong.yaml",
        text.replace("name: b, weight: 0", "name: a, weight: 0"),
    );
    assert_eq!(summary.errors, 1, "{report}");
    assert!(
        report.contains("FILE:11:")
            && report.contains("spec.actions[0].weights.backends[1].name: \"a\" is the name of two backends"),
        "{report}"
    );
}

/// The policy with its notifications, after these receivers.
#[rstest]
// Nobody can say whether they are there.
#[case("", "- {receiver: shop-team}", &["FILE:27: the receivers of its notifications were not looked for"], 0, 0)]
#[case(RECEIVERS, "- {receiver: shop-team}\n  - {receiver: audit, reasons: [Committed]}", &["1 policy and 2 receivers checked, 0 errors, 0 warnings"], 0, 0)]
#[case(RECEIVERS, "- {receiver: nobody}", &["warning: spec.notifications[0].receiver: no receiver nobody is declared"], 0, 1)]
#[case(RECEIVERS, "- {receiver: shop-team, reasons: [Commited]}", &["spec.notifications[0].reasons[0]", "Committed"], 1, 0)]
#[case(RECEIVERS, "- {receiver: shop-team, url: 'http://x'}", &["spec.notifications[0].url: unknown field"], 1, 0)]
#[case(RECEIVERS, "- {receiver: a}\n  - {receiver: a}", &["spec.notifications[1].receiver"], 1, 0)]
fn receivers_are_looked_for_in_the_files(
    #[case] receivers: &str,
    #[case] notifications: &str,
    #[case] words: &[&str],
    #[case] errors: usize,
    #[case] warnings: usize,
) {
    let text = format!("{POLICY}  notifications:\n  {notifications}\n{receivers}");
    let (summary, report) = checked("notifications.yaml", text);
    assert_eq!((summary.errors, summary.warnings), (errors, warnings), "{report}");
    for words in words {
        assert!(report.contains(words), "{words}: {report}");
    }
}

const RECEIVERS: &str = "---
apiVersion: flyball.dev/v1alpha1
kind: EventReceiver
metadata: {name: shop-team}
spec: {url: 'https://broker/shop', bearer: {name: broker, key: token}, allowedNamespaces: {from: Names, names: [shop]}}
---
apiVersion: flyball.dev/v1alpha1
kind: EventReceiver
metadata: {name: audit}
spec: {url: 'http://audit', maxPerMinute: 60}
";

#[test]
fn a_receiver_for_other_namespaces_is_worth_a_warning() {
    let receivers = RECEIVERS.replace("names: [shop]", "names: [bank]");
    let text = format!("{POLICY}  notifications: [{{receiver: shop-team}}]\n{receivers}");
    let (summary, report) = checked("notifications-elsewhere.yaml", text);
    assert_eq!((summary.errors, summary.warnings), (0, 1), "{report}");
    assert!(
        report.contains("receiver shop-team does not take events of namespace shop"),
        "{report}"
    );
}
