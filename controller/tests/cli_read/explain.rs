//! The page and what it says to do next.

use crate::build::{ago, ascii, change, condition, now, policy};
use flyball_controller::cli::{
    explain::{Facts, Step, explanation, next, page},
    fetch::Controller,
};
use flyball_core::time::Span;
use flyball_crds::Change;
use rstest::rstest;
use serde_json::{Value, json};

fn leads() -> Controller {
    Controller::Leads {
        holder: "flyball-7d_1".to_owned(),
        renewed: Span::from_secs(3),
    }
}

fn facts(more: Value, changes: Vec<Change>) -> Facts {
    Facts {
        policy: policy(more),
        changes,
        controller: leads(),
        lease: "flyball-system/flyball".to_owned(),
        route: None,
        now: now(),
    }
}

fn verification() -> Value {
    json!({
        "expr": "sum(rate(x[5m])) <= 0.5", "settle": "6m", "within": "10m", "source": "prometheus", "maxAge": "1m",
        "demandTolerancePercent": 20, "onInconclusive": "Hold", "onIneffective": "RollBack", "latch": "30m",
        "baselineValue": 0.812_345_678,
    })
}

fn decision(verdict: &str, check: &str, message: &str) -> Value {
    json!({
        "at": ago(40), "current": 2, "desired": 3, "reason": "HighRequestLatency fires",
        "arithmetic": ["2 + 50 % = 2 + 1 = 3"], "change": "checkout-1-replicas-2",
        "signals": [
            {"name": "HighRequestLatency", "query": "sum(rate(x[5m]))\n  / 2", "quality": "fresh", "value": "0.8123456789"},
            {"name": "requests", "query": "sum(y)", "quality": "missing", "detail": "the query returned no series"},
        ],
        "checks": [
            {"name": "Target", "verdict": "Passed", "message": "present"},
            {"name": check, "verdict": verdict, "message": message},
        ],
    })
}

fn action(more: Value) -> Value {
    let mut action = json!({"name": "more-replicas", "verified": 2});
    crate::build::merge(&mut action, more);
    json!({"status": {"actions": [action]}})
}

#[test]
fn the_whole_story_is_on_one_page() {
    let mut more = action(json!({"lastDecision": decision("Passed", "Bounds", "3 lies from min 2 to max 20")}));
    crate::build::merge(
        &mut more,
        json!({"status": {"rules": [{
            "alert": "HighRequestLatency", "state": "firing",
            "alerts": [{
                "labels": {"alertname": "HighRequestLatency", "pod": "a\u{1b}"}, "state": "firing",
                "activeAt": ago(200), "value": "0.8123456789", "annotations": {"summary": "Slow"},
            }],
        }]}}),
    );
    let open = change(
        2,
        2,
        3,
        json!({
            "spec": {"verification": verification()},
            "status": {"phase": "Verifying", "message": "3 is written; verifying its effect", "appliedAt": ago(39)},
        }),
    );
    assert_eq!(
        page(&facts(more, vec![open]), ascii(Some(80))),
        "\
FeedbackPolicy shop/checkout
  Mode        Enforce
  Target      Deployment/checkout (apps/v1)
  Source      prometheus
  Doing       Verifying 2 -> 3
  Why         HighRequestLatency fires
  Controller  flyball-7d_1 leads; its lease was renewed 3s ago

Action more-replicas
  Decision    2 -> 3, since 03:03:25Z (40s ago)
  Because     HighRequestLatency fires
  Arithmetic  2 + 50 % = 2 + 1 = 3
  Recorded    as Change checkout-1-replicas-2
  Readings at that time
    HighRequestLatency  fresh    0.812346
        sum(rate(x[5m])) / 2
    requests            missing  no value: the query returned no series
        sum(y)
  Checks
    Target  Passed  present
    Bounds  Passed  3 lies from min 2 to max 20
  Verified    2, where a roll-back goes

Change checkout-1-replicas-2
  Phase       2 -> 3, Verifying
  Message     3 is written; verifying its effect
  Proposed    03:03:25Z (40s ago) by action more-replicas at generation 1
  Applied     03:03:26Z (39s ago)
  Must hold   sum(rate(x[5m])) <= 0.5, was 0.812346
  Settles     03:09:26Z (in 5m21s); samples from before that are not judged
  Deadline    03:13:26Z (in 9m21s)

Alerts
  HighRequestLatency  firing
    firing, active since 03:00:45Z (3m20s ago), value 0.812346 {pod=a\\u{1b}}
      summary: Slow

Conditions
  Ready  True Evaluating  since 03:03:05Z (1m ago): evaluated every 15s

What next
  A Change is under way. To follow it, or to keep the number as it is and decide
  nothing more:
      flyball get checkout -n shop --watch
      flyball suspend checkout -n shop
"
    );
}

/// Who let a change happen, or wants it undone, is a part of its story.
#[rstest]
#[case::approved(
    json!({"flyball.dev/approved-by": "alice"}),
    &["  Approved    by alice\n"]
)]
#[case::asked(
    json!({"flyball.dev/request": "rollback", "flyball.dev/requested-by": "bob\u{1b}"}),
    &["  Asked for   rollback, by bob\\u{1b}\n"]
)]
#[case::by_hand(json!({"flyball.dev/request": "abort"}), &["  Asked for   abort, by somebody\n"])]
#[case::nobody(json!({}), &[])]
fn who_approved_and_who_asked_is_said(#[case] annotations: Value, #[case] said: &[&str]) {
    let open = change(
        2,
        2,
        3,
        json!({"metadata": {"annotations": annotations}, "status": {"phase": "Verifying"}}),
    );
    let text = page(&facts(json!({}), vec![open]), ascii(None));
    for title in ["  Approved  ", "  Asked for "] {
        let expect = said.iter().any(|line| line.starts_with(title));
        assert_eq!(text.contains(title), expect, "{title}: {text}");
    }
    assert!(said.iter().all(|line| text.contains(line)), "{text}");
}

#[rstest]
#[case(
    Controller::Silent { holder: "flyball-1".to_owned(), renewed: Span::from_secs(180) },
    "None seems to run: flyball-1 held the lease flyball-system/flyball and has not renewed it for 3m. What follows is as old."
)]
#[case(
    Controller::Vacant,
    "None runs: nobody holds the lease flyball-system/flyball. What follows is old."
)]
#[case(Controller::Missing, "None seems to run: there is no lease flyball-system/flyball.")]
#[case(Controller::Unknown("no right".to_owned()), "Not known whether one runs: no right")]
fn whether_a_controller_runs_is_said(#[case] controller: Controller, #[case] said: &str) {
    let known = !matches!(controller, Controller::Unknown(_));
    let facts = Facts {
        controller,
        ..facts(json!({}), Vec::new())
    };
    let text = page(&facts, ascii(None));
    assert!(text.contains(&format!("  Controller  {said}\n")), "{text}");
    assert_eq!(text.contains("kubectl get pods -n flyball-system"), known, "{text}");
}

#[rstest]
#[case(json!({"metadata": {"generation": 2}}), "The policy is at generation 2, and what follows is about generation 1")]
#[case(json!({"status": null}), "No controller has looked at this policy yet.")]
fn a_status_that_lags_is_said(#[case] more: Value, #[case] said: &str) {
    let text = page(&facts(more, Vec::new()), ascii(None));
    assert!(text.contains(said) && text.contains("flyball doctor -n shop"), "{text}");
}

#[rstest]
#[case::latch(
    json!({"latch": {"direction": "Up", "until": ago(-1_800), "demand": 25.501_449_1, "signal": 1.33}}),
    "Latch       the last increase did not help at a demand of 25.5014 and a verified value of 1.33, so it is not repeated until 03:34:05Z (in 30m)"
)]
#[case::latch_is_over(
    json!({"latch": {"direction": "Down", "until": ago(10)}}),
    "Latch       over: the last decrease did not help, so it is not repeated until 03:03:55Z (10s ago)"
)]
#[case::yielded(
    json!({"yielded": {"manager": "kubectl-scale (Update)", "until": ago(-900), "generation": 1}}),
    "Yielded     the field is left to kubectl-scale (Update) until 03:19:05Z (in 15m)"
)]
fn what_holds_an_action_back_is_said(#[case] more: Value, #[case] said: &str) {
    let text = page(&facts(action(more), Vec::new()), ascii(None));
    assert!(text.contains(said), "{text}");
}

#[test]
fn behind_a_record_the_last_write_is_shown_too() {
    let written = change(
        2,
        3,
        5,
        json!({
            "spec": {"proposedAt": ago(500), "verification": verification()},
            "status": {
                "phase": "RolledBack", "message": "back at 2", "appliedAt": ago(499), "rollbackTo": 2, "closedAt": ago(60),
                "verdict": {"result": "Ineffective", "value": 1.332_13, "at": ago(60), "message": "1.3321 <= 0.5 was not achieved"},
            },
        }),
    );
    let record = change(
        0,
        2,
        3,
        json!({
            "metadata": {"name": "checkout-record-1"},
            "status": {"phase": "Refused", "message": "Ineffective: no", "closedAt": ago(40)},
        }),
    );
    let text = page(&facts(json!({}), vec![written, record]), ascii(None));
    let (first, second) = (
        text.find("Change checkout-record-1"),
        text.find("Change checkout-1-replicas-2"),
    );
    assert!(first.is_some() && first < second, "{text}");
    assert!(text.contains("  Back to     2\n"), "{text}");
    assert!(
        text.contains("  Verdict     Ineffective with 1.33213, 03:03:05Z (1m ago): 1.3321 <= 0.5 was not achieved\n"),
        "{text}"
    );
    assert!(!text.contains("Deadline"), "a closed Change has none: {text}");
}

#[test]
fn what_took_over_a_change_is_said_behind_its_phase() {
    let phase = |status: Value| {
        let text = page(&facts(json!({}), vec![change(2, 2, 3, status)]), ascii(None));
        let line = text.lines().find(|line| line.starts_with("  Phase"));
        line.unwrap_or_default().to_owned()
    };
    assert_eq!(
        phase(
            json!({"status": {"phase": "Superseded", "cause": "ForeignWrite", "message": "kubectl wrote the field"}})
        ),
        "  Phase       2 -> 3, Superseded (ForeignWrite)"
    );
    assert_eq!(
        phase(json!({"status": {"phase": "Superseded", "message": "of an older version"}})),
        "  Phase       2 -> 3, Superseded"
    );
}

#[test]
fn a_change_past_its_deadline_is_said_to_be() {
    let late = change(
        2,
        2,
        3,
        json!({
            "spec": {"verification": verification()}, "status": {"phase": "Verifying", "appliedAt": ago(700)},
        }),
    );
    let text = page(&facts(json!({}), vec![late]), ascii(None));
    assert!(
        text.contains("Deadline    03:02:25Z (1m40s ago), and it is still open: does the controller run?"),
        "{text}"
    );
}

fn steps(more: Value, changes: Vec<Change>) -> (String, Vec<String>) {
    let steps = next(&facts(more, changes));
    assert!(!steps.is_empty(), "there is always something to do");
    let why = steps
        .iter()
        .map(|step: &Step| step.why.clone())
        .collect::<Vec<_>>()
        .join("\n");
    (why, steps.into_iter().flat_map(|step| step.commands).collect())
}

#[rstest]
#[case::bounds(
    "Bounds",
    "3 replicas, and max is 3",
    "raise spec.actions[0].replicas.max",
    "kubectl edit feedbackpolicy checkout -n shop"
)]
#[case::cooldown(
    "Cooldown",
    "",
    "shorten spec.actions[0].replicas.cooldown.up",
    "kubectl edit feedbackpolicy checkout -n shop"
)]
#[case::rate(
    "Rate",
    "",
    "spec.actions[0].replicas.behavior.scaleUp",
    "kubectl edit feedbackpolicy checkout -n shop"
)]
#[case::data("DataQuality", "", "until the readings are fresh", "flyball doctor -n shop")]
#[case::ownership("Ownership", "", "Somebody else sets the number", "kubectl get hpa -n shop")]
#[case::open("OpenChange", "", "waits for it", "flyball get checkout -n shop --watch")]
#[case::frozen("Pause", "", "The installation is frozen", "flyball unfreeze")]
#[case::coverage("Coverage", "", "until the queries' ranges are filled", "flyball doctor -n shop")]
#[case::rollout(
    "Rollout",
    "",
    "Wait for the rollout",
    "kubectl rollout status deployment.apps checkout -n shop"
)]
#[case::veto(
    "Veto",
    "",
    "spec.actions[0].inhibit watches",
    "kubectl edit feedbackpolicy checkout -n shop"
)]
#[case::headroom(
    "Headroom",
    "",
    "lower spec.actions[0].replicas.max",
    "kubectl describe resourcequota,limitrange -n shop"
)]
#[case::budget("Budget", "", "Wait a minute", "flyball get -A")]
#[case::approval(
    "Approval",
    "",
    "waits for approval",
    "flyball approve checkout-1-replicas-2 -n shop"
)]
#[case::dry_run(
    "DryRun",
    "",
    "The API server refused the write",
    "kubectl describe resourcequota -n shop"
)]
fn each_refusal_has_its_way_out(#[case] check: &str, #[case] message: &str, #[case] why: &str, #[case] command: &str) {
    let more = action(json!({"lastDecision": decision("Refused", check, message)}));
    let text = page(&facts(more.clone(), Vec::new()), ascii(None));
    assert!(
        text.contains(&format!("Decision    2 -> 3, refused by {check}, since ")),
        "{text}"
    );
    let (said, commands) = steps(more, Vec::new());
    assert!(
        said.contains(why) && commands.iter().any(|known| known == command),
        "{said}\n{commands:?}"
    );
}

#[test]
fn a_pause_of_the_policys_own_is_told_from_a_freeze() {
    let paused = |pause: Value| {
        let mut more = action(json!({"lastDecision": decision("Refused", "Pause", "")}));
        crate::build::merge(&mut more, json!({"spec": {"pause": pause}}));
        steps(more, Vec::new())
    };
    let (said, commands) = paused(json!({"up": {"until": ago(-3600), "reason": "a migration"}}));
    assert!(said.contains("Increases are paused until 04:04:05Z (in 1h)"), "{said}");
    assert_eq!(commands, ["flyball unpause checkout -n shop --up"]);
    for other in [json!({"down": {}}), json!({"up": {"until": ago(1)}})] {
        let (said, commands) = paused(other);
        assert!(said.contains("frozen"), "{said}");
        assert_eq!(commands, ["flyball freeze --status", "flyball unfreeze"]);
    }
}

#[test]
fn a_decision_that_waits_for_approval_names_its_record() {
    let mut waits = decision("Refused", "Approval", "");
    crate::build::merge(&mut waits, json!({"change": "checkout-1-more-replicas-record-4"}));
    let (said, commands) = steps(action(json!({"lastDecision": waits})), Vec::new());
    assert!(said.contains("The change from 2 to 3 waits for approval"), "{said}");
    assert_eq!(commands, ["flyball approve checkout-1-more-replicas-record-4 -n shop"]);
    let mut lost = decision("Refused", "Approval", "");
    crate::build::merge(&mut lost, json!({"change": null}));
    let (said, commands) = steps(action(json!({"lastDecision": lost})), Vec::new());
    assert!(said.contains("its record is not there yet"), "{said}");
    assert_eq!(commands, ["flyball get checkout -n shop --watch"]);
}

#[rstest]
#[case("Invalid", "flyball check policy.yaml")]
#[case("SourceNotFound", "kubectl get metricsources")]
#[case("SourceNotAllowed", "kubectl edit metricsource prometheus")]
#[case("SecretNotFound", "kubectl get secrets -n flyball-system")]
#[case("SourceUnavailable", "flyball doctor -n shop")]
#[case("ExpressionRefused", "kubectl edit feedbackpolicy checkout -n shop")]
#[case("TargetNotFound", "kubectl get deployment.apps checkout -n shop")]
#[case("NoScaleSubresource", "kubectl edit feedbackpolicy checkout -n shop")]
#[case("KindNotAllowed", "kubectl edit feedbackpolicy checkout -n shop")]
#[case("Suspended", "kubectl annotate deployment.apps checkout -n shop flyball.dev/paused-")]
#[case("Conflict", "kubectl get feedbackpolicies -n shop")]
#[case(
    "OwnershipConflict",
    "kubectl get deployment.apps checkout -n shop -o yaml --show-managed-fields"
)]
#[case("SomethingNew", "flyball doctor -n shop")]
fn each_reason_has_its_way_out(#[case] reason: &str, #[case] command: &str) {
    let more = json!({"status": {"conditions": [condition("Ready", "False", reason, "no")]}});
    let (_, commands) = steps(more, Vec::new());
    assert!(commands.iter().any(|known| known == command), "{commands:?}");
}

#[test]
fn beside_another_autoscaler_it_is_said_how_to_take_over() {
    let said = |message: &str| {
        let conditions = [condition("Ready", "False", "OwnershipConflict", message)];
        steps(json!({"status": {"conditions": conditions}}), Vec::new()).1
    };
    let takeover = "flyball takeover checkout -n shop".to_owned();
    assert!(said("HorizontalPodAutoscaler web sets its replicas").contains(&takeover));
    assert!(said("ScaledObject web sets its replicas").contains(&takeover));
    assert!(!said("field manager argocd sets its replicas").contains(&takeover));
}

#[test]
fn a_recommendation_says_how_to_enforce_it() {
    let enforce = "kubectl patch feedbackpolicy checkout -n shop --type merge -p '{\"spec\":{\"mode\":\"Enforce\"}}'";
    let mut more = action(json!({"lastDecision": decision("Passed", "Bounds", "")}));
    crate::build::merge(&mut more, json!({"spec": {"mode": "Recommend"}}));
    let (why, commands) = steps(more.clone(), Vec::new());
    assert!(why.contains("let Flyball do it"), "{why}");
    assert_eq!(commands, [enforce]);

    crate::build::merge(
        &mut more,
        json!({"spec": {"actions": [{
            "name": "more-replicas", "when": ["HighRequestLatency"], "replicas": {"min": 2, "max": 20, "step": {"percent": 50}},
        }]}}),
    );
    let (why, commands) = steps(more, Vec::new());
    assert!(why.contains("more-replicas has none"), "{why}");
    assert_eq!(commands, ["kubectl edit feedbackpolicy checkout -n shop", enforce]);
}

#[rstest]
#[case::observe(json!({"spec": {"mode": "Observe"}}), "'{\"spec\":{\"mode\":\"Recommend\"}}'")]
#[case::suspended(json!({"spec": {"suspend": true}}), "flyball resume checkout -n shop")]
fn what_holds_everything_back_says_how_to_go_on(#[case] more: Value, #[case] patch: &str) {
    let (_, commands) = steps(more, Vec::new());
    assert!(commands.iter().any(|command| command.ends_with(patch)), "{commands:?}");
}

#[test]
fn a_latch_says_what_lifts_it() {
    let latch = |demand: Value| action(json!({"latch": {"direction": "Up", "until": ago(-60), "demand": demand}}));
    let (why, _) = steps(latch(json!(25.5)), Vec::new());
    assert!(why.contains("no increase before 03:05:05Z (in 1m), or until the demand or the verified value moves (signal requests by more than 20 %)"), "{why}");
    let (why, _) = steps(latch(Value::Null), Vec::new());
    assert!(why.contains("with verify.demand set"), "{why}");
}

#[test]
fn a_target_at_zero_is_handed_back_by_hand() {
    let (why, commands) = steps(
        action(json!({"lastDecision": {"current": 0, "desired": 0, "reason": "zero"}})),
        Vec::new(),
    );
    assert!(why.contains("stands at zero"), "{why}");
    assert_eq!(
        commands,
        ["kubectl scale deployment.apps checkout -n shop --replicas 2"]
    );
}

#[test]
fn the_policys_words_are_quoted_in_commands() {
    let more = json!({
        "spec": {"targetRef": {"kind": "Deployment; reboot", "name": "a$(b)"}},
        "status": {"conditions": [condition("Ready", "False", "TargetNotFound", "no")]},
    });
    let (_, commands) = steps(more, Vec::new());
    assert_eq!(
        commands.first().map(String::as_str),
        Some("kubectl get 'deployment; reboot.apps' 'a$(b)' -n shop")
    );
}

#[test]
fn where_all_is_well_there_is_nothing_to_do() {
    let (why, commands) = steps(json!({}), Vec::new());
    assert!(why.starts_with("Nothing needs to be done."), "{why}");
    assert_eq!(commands, ["flyball get checkout -n shop --watch"]);
}

#[test]
fn where_a_rule_is_from_stands_below_it() {
    let status = json!({"status": {
        "rules": [
            {"alert": "Own", "state": "inactive"},
            {"alert": "Slow", "from": "PrometheusRule alerts, group latency", "state": "inactive"},
        ],
        "conditions": [condition("Ready", "False", "RulesNotFound", "spec.prometheusRuleRef.name: no")],
    }, "spec": {"prometheusRuleRef": {"name": "alerts"}}});
    let page = page(&facts(status, vec![]), ascii(None));
    assert!(
        page.contains("  Own   inactive\n  Slow  inactive\n    from PrometheusRule alerts, group latency\n"),
        "{page}"
    );
    assert!(
        page.contains("kubectl get prometheusrule alerts -n shop -o yaml"),
        "{page}"
    );
}

#[test]
fn programs_get_an_object() {
    let mut facts = facts(
        action(json!({"lastDecision": decision("Refused", "Cooldown", "10m are not over")})),
        vec![],
    );
    facts.policy.metadata.generation = Some(3);
    let said = serde_json::to_value(explanation(&facts)).unwrap();
    let check = |path: &str, expect: Value| assert_eq!(said.pointer(path), Some(&expect), "{path}");
    check("/controller/state", json!("Leads"));
    check("/controller/holder", json!("flyball-7d_1"));
    check("/controller/renewedSecondsAgo", json!(3));
    check("/generation", json!(3));
    check("/actions/0/lastDecision/checks/1/name", json!("Cooldown"));
    check("/actions/0/lastDecision/signals/1/quality", json!("missing"));
    check("/target/kind", json!("Deployment"));
    check("/changes", json!([]));
    // The steps are those of the page.
    let steps = next(&facts);
    assert_eq!(said["next"].as_array().map(Vec::len), Some(steps.len()));
    check("/next/0/why", json!(steps[0].why));
}
