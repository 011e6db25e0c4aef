//! A runtime's knobs, as the reading commands show them.

use crate::build::{ago, ascii, condition, now, runtime_change, runtime_policy};
use flyball_controller::cli::{
    explain::{Facts, next, page},
    fetch::Controller,
    get::{
        lines::of_change,
        tree::{Shown, tree},
    },
};
use flyball_core::time::Span;
use flyball_crds::Change;
use rstest::rstest;
use serde_json::{Value, json};

fn facts(more: Value, changes: Vec<Change>) -> Facts {
    Facts {
        policy: runtime_policy(more),
        changes,
        controller: Controller::Leads {
            holder: "flyball-7d_1".to_owned(),
            renewed: Span::from_secs(3),
        },
        lease: "flyball-system/flyball".to_owned(),
        route: None,
        now: now(),
    }
}

fn known(more: &Value) -> Value {
    json!({"status": {"actions": [{"name": "peak", "runtime": more}]}})
}

fn steps(facts: &Facts) -> String {
    let steps = next(facts).into_iter();
    let lines = steps.map(|step| format!("{}\n{}\n", step.why, step.commands.join("\n")));
    lines.collect()
}

#[test]
fn the_tree_shows_settings_and_no_numbers() {
    let policy = runtime_policy(json!({"status": {
        "doing": "Trying boot -> gogc=200",
        "actions": [{"name": "peak", "runtime": {"verified": "boot", "written": "boot; try web-1: gogc=200"}}],
    }}));
    let open = runtime_change(
        2,
        "boot",
        "gogc=200",
        json!({"status": {"phase": "Verifying", "message": "written"}}),
    );
    // One that an older version wrote has no words of its own.
    let closed = runtime_change(
        1,
        "gogc=100",
        "boot",
        json!({
            "spec": {"move": "", "proposedAt": ago(3_000)},
            "status": {"phase": "Committed", "message": "4 pods acknowledged it", "closedAt": ago(2_000)},
        }),
    );
    let text = tree(
        &[policy],
        &[open.clone(), closed],
        &[],
        Shown::default(),
        ascii(None),
        now(),
    );
    assert_eq!(
        text,
        "\
POLICY  MODE     TARGET          ALERTS  DOING                    WHY
gc      Enforce  Deployment/web  none    Trying boot -> gogc=200  no other action applies
|  knobs    boot; try web-1: gogc=200; verified boot
|- boot -> gogc=200  Verifying  40s ago  written
`- gogc=100 -> boot  Committed  33m ago  4 pods acknowledged it
"
    );
    let line = of_change(None, Some(&open), now()).concat();
    assert!(
        line.ends_with("change shop/web-1-runtime-app-2  boot -> gogc=200  Verifying: written"),
        "{line}"
    );
}

#[test]
fn the_page_tells_the_trial_and_where_a_roll_back_goes() {
    let change = runtime_change(
        2,
        "boot",
        "gogc=200",
        json!({"status": {
            "phase": "RollingBack", "message": "back", "appliedAt": ago(300), "triedAt": ago(60), "rollbackSetting": "boot",
        }}),
    );
    let policy =
        known(&json!({"verified": "boot", "written": "gogc=200", "movedAt": ago(300), "reclaimedAt": ago(600)}));
    let text = page(&facts(policy, vec![change]), ascii(None));
    for expect in [
        "boot -> gogc=200, RollingBack",
        "on web-1, and then all pods from ",
        "from 2m to 5m after the write: max(x{pod=~\"web-1\"}) < 1",
        "within 90s by the agents",
        "boot, where a roll-back goes",
        "asked for last ",
    ] {
        assert!(text.contains(expect), "{expect}\n{text}");
    }
    assert!(
        text.lines()
            .any(|line| line.trim_start().starts_with("Back to") && line.ends_with(" boot")),
        "{text}"
    );
    for never in ["0 -> 0", "weights", "replicas", "the number"] {
        assert!(!text.contains(never), "{never}\n{text}");
    }
}

#[rstest]
#[case::open(
    "Verifying",
    "to keep the workload's knobs as they are",
    "flyball suspend gc -n shop"
)]
#[case::held("Inconclusive", "so the knobs are held", "flyball doctor -n shop")]
#[case::back("RolledBack", "an agent did not take them", "flyball doctor -n shop")]
fn what_to_do_is_about_knobs(#[case] phase: &str, #[case] why: &str, #[case] command: &str) {
    let change = runtime_change(2, "boot", "gogc=200", json!({"status": {"phase": phase}}));
    let said = steps(&facts(json!({}), vec![change]));
    assert!(said.contains(why) && said.contains(command), "{said}");
    assert!(!said.contains("the number") && !said.contains("weights"), "{said}");
}

#[test]
fn a_latch_and_a_yield_are_told() {
    let later = ago(-600);
    let policy = json!({"status": {"actions": [{
        "name": "peak",
        "runtime": {"written": "boot", "ineffective": "gogc=200", "ineffectiveUntil": later},
        "yielded": {"manager": "kubectl-annotate", "until": later, "generation": 1},
    }]}});
    let facts = facts(policy, vec![]);
    let said = steps(&facts);
    for expect in [
        "Action peak: gogc=200 did not have its effect and is not tried again before ",
        "kubectl-annotate wrote the knobs while Flyball held them",
    ] {
        assert!(said.contains(expect), "{said}");
    }
    let text = page(&facts, ascii(None));
    assert!(text.contains("the knobs are left to kubectl-annotate until "), "{text}");
    assert!(
        text.contains("gogc=200 did not have its effect, and is not tried again until "),
        "{text}"
    );
}

#[test]
fn what_is_not_ready_is_about_the_workload() {
    let owned = json!({"status": {"conditions": [
        condition("Ready", "False", "OwnershipConflict", "HorizontalPodAutoscaler web counts memory"),
    ]}});
    let said = steps(&facts(owned, vec![]));
    assert!(said.contains("counts the memory that they move"), "{said}");
    assert!(!said.contains("takeover"), "{said}");
    let paused = json!({"status": {"conditions": [condition("Ready", "False", "Suspended", "paused")]}});
    let said = steps(&facts(paused, vec![]));
    assert!(
        said.contains("kubectl annotate deployment.apps web -n shop flyball.dev/paused-"),
        "{said}"
    );
    assert!(!said.contains("rollout resume"), "{said}");
}

#[test]
fn a_decision_that_waits_is_told_in_words() {
    let policy = json!({"status": {"actions": [{"name": "peak", "lastDecision": {
        "at": ago(40), "current": 0, "desired": 0, "move": "boot -> gogc=200", "outcome": "Refused", "reason": "x",
        "checks": [{"name": "Approval", "verdict": "Refused", "message": "nobody approved yet"}], "change": "gc-peak-record-4",
    }}]}});
    let said = steps(&facts(policy, vec![]));
    assert!(
        said.contains("The change boot -> gogc=200 waits for approval")
            && said.contains("flyball approve gc-peak-record-4 -n shop"),
        "{said}"
    );
}
