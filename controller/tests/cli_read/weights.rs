//! Weights, as the reading commands show them.

use crate::build::{ago, ascii, condition, merge, now, weights, weights_change, weights_policy};
use flyball_controller::cli::{
    explain::{Facts, next, page},
    fetch::Controller,
    get::{
        lines::of_change,
        tree::{Shown, tree},
    },
};
use flyball_core::{
    policy::{Weight, Weights},
    time::Span,
};
use flyball_crds::Change;
use rstest::rstest;
use serde_json::{Value, json};

fn verifying(more: Value) -> Change {
    let mut all = json!({"status": {"phase": "Verifying", "message": "written", "appliedAt": ago(39)}});
    merge(&mut all, more);
    weights_change(3, (500, 500), (400, 600), all)
}

fn drawn(policy: Value, changes: &[Change]) -> String {
    tree(
        &[weights_policy(policy)],
        changes,
        &[],
        Shown::default(),
        ascii(None),
        now(),
    )
}

fn facts(more: Value, changes: Vec<Change>) -> Facts {
    let weight = |weight| Weight::new(weight).unwrap();
    let route = Weights::new([("web-a".to_owned(), weight(400)), ("web-b".to_owned(), weight(600))]);
    Facts {
        policy: weights_policy(more),
        changes,
        controller: Controller::Leads {
            holder: "flyball-7d_1".to_owned(),
            renewed: Span::from_secs(3),
        },
        lease: "flyball-system/flyball".to_owned(),
        route: Some(Ok(route)),
        now: now(),
    }
}

/// What the policy remembers of its weights.
fn known(more: &Value) -> Value {
    json!({"status": {"actions": [{"name": "shift", "weights": more}]}})
}

fn decision(outcome: &str, shift: &str, refused_by: Option<&str>) -> Value {
    let checks: Vec<Value> = refused_by
        .iter()
        .map(|check| json!({"name": check, "verdict": "Refused", "message": "because"}))
        .collect();
    json!({"status": {"actions": [{
        "name": "shift", "weights": {"written": weights(500, 500)},
        "lastDecision": {
            "at": ago(40), "current": 0, "desired": 0, "move": shift, "outcome": outcome, "reason": "so it is measured",
            "checks": checks, "change": "split-shift-record-4",
        },
    }]}})
}

#[test]
fn the_tree_shows_moves_and_weights() {
    let policy = json!({"status": {
        "doing": "Verifying web-a 500 -> 400, web-b 500 -> 600",
        "actions": [{"name": "shift", "weights": {
            "verified": weights(500, 500), "written": weights(400, 600),
            "out": [{"backend": "web-c", "outSince": ago(120), "ejections": 2}, {"backend": "web-d", "returningSince": ago(30)}],
        }}],
    }});
    let taken_out = weights_change(
        2,
        (400, 600),
        (0, 1000),
        json!({
            "spec": {"weights": {"why": "Ejection"}, "proposedAt": ago(3_000)},
            "status": {"phase": "Committed", "message": "the traffic follows", "closedAt": ago(2_000)},
        }),
    );
    assert_eq!(
        drawn(policy, &[verifying(json!({})), taken_out]),
        "\
POLICY  MODE     TARGET         ALERTS  DOING                                         WHY
split   Enforce  HTTPRoute/web  none    Verifying web-a 500 -> 400, web-b 500 -> 600  no share is off
|  weights  web-a 400, web-b 600; base web-b 500, web-a 500; verified web-a 500, web-b 500
|  out      web-c for 2m, 2 times in a row; web-d has been coming back for 30s
|- web-a 500 -> 400, web-b 500 -> 600  Verifying  40s ago  Law: written
`- web-a 400 -> 0, web-b 600 -> 1000   Committed  33m ago  Ejection: the traffic follows
"
    );
}

#[test]
fn weights_that_are_as_always_are_said_once() {
    let text = drawn(json!({}), &[]);
    assert!(text.contains("weights  web-a 500, web-b 500\n"), "{text}");
    assert!(!text.contains("  out "), "{text}");
}

#[test]
fn of_many_weights_a_column_has_the_one_that_moves_most() {
    let each = |of: fn(usize) -> i32| -> Vec<Value> {
        (0..8)
            .map(|n| json!({"backend": format!("web-{n}"), "weight": of(n)}))
            .collect()
    };
    let (before, after) = (each(|_| 125), each(|n| if n == 3 { 62 } else { 134 }));
    let shift: Vec<String> = (0..8)
        .map(|n| format!("web-{n} 125 -> {}", if n == 3 { 62 } else { 134 }))
        .collect();
    let many = weights_change(
        1,
        (0, 0),
        (0, 0),
        json!({"spec": {"move": shift.join(", "), "weights": {"lists": [{
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "web", "uid": "r", "resourceVersion": "7",
            "before": before,
        }], "after": after}}}),
    );
    let text = drawn(json!({}), std::slice::from_ref(&many));
    assert!(text.contains("`- web-3 125 -> 62 and 7 more  Applying"), "{text}");
    let line = of_change(None, Some(&many), now()).concat();
    assert!(
        line.contains(&format!("  {} (Law)  Applying: ", shift.join(", "))),
        "{line}"
    );
}

#[test]
fn a_changes_transitions_are_lines() {
    let head = "2026-01-02T03:04:05Z change shop/web-1-weights-3  web-a 500 -> 400, web-b 500 -> 600 (Law)  ";
    let realised = verifying(json!({"status": {"realisedAt": ago(1)}}));
    let line = |before: Option<&Change>, after: Option<&Change>| of_change(before, after, now()).concat();
    let written = verifying(json!({}));
    assert_eq!(line(None, Some(&written)), format!("{head}Verifying: written"));
    assert_eq!(
        line(Some(&written), Some(&realised)),
        format!("{head}the traffic follows: every backend has its share")
    );
    assert_eq!(line(Some(&realised), Some(&realised)), "");
}

#[test]
fn a_change_of_weights_has_its_story_on_the_page() {
    let text = page(&facts(json!({}), vec![verifying(json!({}))]), ascii(None));
    let at = text.find("Change web-1-weights-3").unwrap();
    let end = text[at..].find("\n\n").unwrap();
    assert_eq!(
        &text[at..at + end],
        "\
Change web-1-weights-3
  Phase       web-a 500 -> 400, web-b 500 -> 600, Verifying
  Message     written
  Move        Law: as the law wants
  Lists       HTTPRoute/web, rule split
              GRPCRoute/api, rule 1 from 0
  Proposed    03:03:25Z (40s ago) by action shift at generation 1
  Applied     03:03:26Z (39s ago)
  Realised    not yet; the requests of 1m are judged from 03:04:31Z (in 26s) until 03:06:31Z (in 2m26s)"
    );
    let ended = json!({
        "spec": {"weights": {"why": "Return"}},
        "status": {
            "phase": "RolledBack", "realisedAt": ago(30), "closedAt": ago(1), "rollbackWeights": weights(500, 500),
            "verdict": {"result": "Ineffective", "value": 3.0, "at": ago(1), "message": "the traffic follows, but 3 <= 1 was not achieved"},
        },
    });
    let text = page(&facts(json!({}), vec![verifying(ended)]), ascii(None));
    for said in [
        "  Move        Return: a backend comes back\n",
        "  Realised    03:03:35Z (30s ago): every backend has its share of the requests\n",
        "  Back to     web-a 500, web-b 500\n",
        "  Verdict     Ineffective with 3, 03:04:04Z (1s ago): the traffic follows, but 3 <= 1 was not achieved\n",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!text.contains("0 -> 0"), "{text}");
}

#[rstest]
#[case::all(json!({}), &[
    "  Now         web-a 400, web-b 600\n",
    "  Base        web-b 500, web-a 500, while nothing is wrong\n",
    "  Verified    web-a 500, web-b 500, where a roll-back goes\n",
    "  Written     web-a 500, web-b 500, 02:54:05Z (10m ago)\n",
])]
#[case::adopted(json!({"movedAt": null}), &["  Written     web-a 500, web-b 500, found at adoption\n"])]
// Out for the second time: 30s doubled. The return takes 5m.
#[case::out(
    json!({"out": [{"backend": "web-a", "outSince": ago(10), "ejections": 2}]}),
    &["  Out         web-a since 03:03:55Z (10s ago), 2 times in a row; it stays out until 03:04:55Z (in 50s)\n"]
)]
#[case::coming_back(
    json!({"out": [{"backend": "web-a", "returningSince": ago(60), "ejections": 1}]}),
    &["  Out         web-a has been coming back since 03:03:05Z (1m ago); it has its whole share at 03:08:05Z (in 4m)\n"]
)]
#[case::remembered(
    json!({"out": [{"backend": "web-a", "ejections": 1}]}),
    &["  Out         web-a is in service again; it was out 1 times lately\n"]
)]
#[case::latched(
    json!({"ineffective": weights(1, 999), "ineffectiveUntil": ago(-600)}),
    &["  Latch       web-a 1, web-b 999 did not have their effect, so they are not tried again until 03:14:05Z (in 10m)\n"]
)]
#[case::latch_is_over(
    json!({"ineffective": weights(1, 999), "ineffectiveUntil": ago(10)}),
    &["  Latch       over: web-a 1, web-b 999 did not have their effect"]
)]
#[case::reapplied(
    json!({"reapplied": [ago(4000), ago(600), ago(60)]}),
    &["  Reapplied   2 times within the last hour, after somebody put the weights back to their base\n"]
)]
fn what_a_policy_knows_of_its_weights_is_said(#[case] more: Value, #[case] said: &[&str]) {
    let text = page(&facts(known(&more_of(more)), Vec::new()), ascii(None));
    for line in said {
        assert!(text.contains(line), "{line}: {text}");
    }
}

/// The whole of what is remembered, with `more` laid over it.
fn more_of(more: Value) -> Value {
    let mut all = json!({"verified": weights(500, 500), "written": weights(500, 500), "movedAt": ago(600)});
    merge(&mut all, more);
    all
}

#[test]
fn a_backend_that_was_left_comes_back_by_its_own_law() {
    let more = json!({"spec": {"actions": [{
        "name": "shift",
        "weights": {
            "backends": [{"name": "web-a", "weight": 1}, {"name": "web-b", "weight": 0}],
            "failover": {"returnAfter": "2m", "returnOver": "4m"}, "traffic": {"proxy": "Traefik"},
        },
        "verify": {"settle": "2m", "within": "5m", "expr": "sum(rate(failed{job=\"c\"}[1m])) <= 1"},
    }]}, "status": {"actions": [{"name": "shift", "weights": {"out": [
        {"backend": "web-a", "outSince": ago(10)}, {"backend": "web-b", "returningSince": ago(60)},
    ]}}]}});
    let text = page(&facts(more, Vec::new()), ascii(None));
    assert!(
        text.contains("web-a since 03:03:55Z (10s ago); it comes back once it was ready for 2m\n"),
        "{text}"
    );
    assert!(
        text.contains("(1m ago); it has its whole share at 03:07:05Z (in 3m)\n"),
        "{text}"
    );
}

#[rstest]
#[case("Stay", "web-a 500, web-b 500", "stay at web-a 500, web-b 500, since")]
#[case(
    "Begun",
    "web-a 500 -> 400, web-b 500 -> 600",
    "web-a 500 -> 400, web-b 500 -> 600, since"
)]
fn a_decision_is_told_in_weights(#[case] outcome: &str, #[case] shift: &str, #[case] said: &str) {
    let text = page(&facts(decision(outcome, shift, None), Vec::new()), ascii(None));
    assert!(text.contains(&format!("  Decision    {said} ")), "{text}");
}

#[test]
fn what_the_route_says_is_said_even_if_it_can_not_be_read() {
    let facts = Facts {
        route: Some(Err("no right to get httproutes".to_owned())),
        ..facts(json!({}), Vec::new())
    };
    let text = page(&facts, ascii(None));
    assert!(
        text.contains("  Now         not known: no right to get httproutes\n"),
        "{text}"
    );
}

/// The steps, each as its sentence and its commands.
fn steps(facts: &Facts) -> String {
    let steps = next(facts);
    let lines: Vec<String> = steps
        .iter()
        .map(|step| format!("{} {}", step.why, step.commands.join("; ")))
        .collect();
    lines.join("\n")
}

#[rstest]
#[case::awaited(
    "Approval",
    &["The change web-a 500 -> 400, web-b 500 -> 600 waits for approval", "flyball approve split-shift-record-4 -n shop"]
)]
#[case::bounds("Bounds", &["Give the backends larger weights", "kubectl edit httproute.gateway.networking.k8s.io web -n shop"])]
#[case::cooldown("Cooldown", &["spec.actions[0].weights.limits.hold", "flyball get split -n shop --watch"])]
#[case::quality("DataQuality", &["No backend loses its traffic", "flyball doctor -n shop"])]
#[case::owner("Ownership", &["Somebody else writes the weights", "flyball doctor -n shop"])]
#[case::frozen("Pause", &["The installation is frozen", "flyball unfreeze"])]
#[case::open("OpenChange", &["waits for it", "flyball get split -n shop --watch"])]
#[case::dry_run("DryRun", &["kubectl get httproute.gateway.networking.k8s.io web -n shop -o yaml"])]
fn what_a_refusal_asks_for_is_of_weights(#[case] check: &str, #[case] said: &[&str]) {
    let refused = decision("Refused", "web-a 500 -> 400, web-b 500 -> 600", Some(check));
    let text = steps(&facts(refused, Vec::new()));
    for part in said {
        assert!(text.contains(part), "{part}: {text}");
    }
    for word in ["replicas", "kubectl get hpa", "quota", "0 to 0"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
}

#[test]
fn a_pause_of_either_direction_is_lifted_for_weights() {
    let mut refused = decision("Refused", "web-a 500 -> 400", Some("Pause"));
    merge(&mut refused, json!({"spec": {"pause": {"down": {"reason": "sale"}}}}));
    let text = steps(&facts(refused, Vec::new()));
    assert!(text.contains("flyball unpause split -n shop"), "{text}");
}

#[rstest]
#[case(
    "RouteInvalid",
    "kubectl get httproute.gateway.networking.k8s.io web -n shop -o yaml"
)]
#[case(
    "Contended",
    "kubectl get httproute.gateway.networking.k8s.io web -n shop -o yaml --show-managed-fields"
)]
#[case("OwnershipConflict", "let Argo CD, Flux or Helm ignore them")]
#[case(
    "Suspended",
    "kubectl annotate httproute.gateway.networking.k8s.io web -n shop flyball.dev/paused-"
)]
fn a_policy_that_is_not_ready_has_a_way_out(#[case] reason: &str, #[case] said: &str) {
    let more = json!({"status": {"conditions": [condition("Ready", "False", reason, "so it is")]}});
    let text = steps(&facts(more, Vec::new()));
    assert!(text.contains(said), "{text}");
    for word in ["replicas", "hpa", "rollout"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
}

#[test]
fn what_was_recommended_and_what_is_left_to_others_has_a_step() {
    let mut recommended = decision("Recommended", "web-a 500 -> 400, web-b 500 -> 600", None);
    merge(&mut recommended, json!({"spec": {"mode": "Recommend"}}));
    let text = steps(&facts(recommended, Vec::new()));
    assert!(text.contains("The mode is Recommend, so nothing was written"), "{text}");
    let mut stays = decision("Stay", "web-a 500, web-b 500", None);
    merge(&mut stays, json!({"spec": {"mode": "Recommend"}}));
    let text = steps(&facts(stays, Vec::new()));
    assert!(text.contains("Nothing needs to be done"), "{text}");

    let yielded = json!({"status": {"actions": [{
        "name": "shift", "weights": {"written": weights(400, 600)},
        "yielded": {"manager": "kubectl-edit (Update)", "until": ago(-900), "generation": 1},
    }]}});
    let facts = facts(yielded, Vec::new());
    let text = steps(&facts);
    assert!(
        text.contains("kubectl-edit (Update) wrote the weights while Flyball held them"),
        "{text}"
    );
    let text = page(&facts, ascii(None));
    assert!(
        text.contains("  Yielded     the weights are left to kubectl-edit (Update) until"),
        "{text}"
    );
}

#[test]
fn an_open_change_and_one_without_an_answer_are_of_weights() {
    let text = steps(&facts(json!({}), vec![verifying(json!({}))]));
    assert!(
        text.contains("keep the weights as they are and decide nothing more"),
        "{text}"
    );
    let inconclusive = verifying(json!({"status": {"phase": "Inconclusive", "closedAt": ago(1)}}));
    let text = steps(&facts(json!({}), vec![inconclusive]));
    assert!(
        text.contains("the weights are held") && text.contains("weights.share.within"),
        "{text}"
    );
    let latched = known(&json!({"ineffective": weights(1, 999), "ineffectiveUntil": ago(-600)}));
    let text = steps(&facts(latched, Vec::new()));
    assert!(
        text.contains("the weights web-a 1, web-b 999 did not have their effect"),
        "{text}"
    );
}
