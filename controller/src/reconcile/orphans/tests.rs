use super::*;
use crate::clock::micro_time;
use serde_json::{Value, json};

const DAY: i64 = 24 * 3600;

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

/// A Change of a policy, proposed and, where it has a closed phase, closed at a second.
fn change(name: &str, policy: &str, sequence: i64, second: i64, status: &Value, check: &str) -> Arc<Change> {
    let refused = json!({"name": check, "verdict": "Refused", "message": "no"});
    let change = json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "Change",
        // Two long names may be cut to the same label.
        "metadata": {"name": name, "namespace": "shop", "labels": {"flyball.dev/policy": "same"}},
        "spec": {
            "policy": {"name": "web", "uid": policy, "generation": 1}, "action": "more", "mode": "Enforce",
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "t"},
            "field": "replicas", "direction": "Up", "sequence": sequence, "before": 2, "after": 3, "verified": 2,
            "proposedAt": micro_time(at(second)), "reason": "Slow fires",
            "evidence": {"checks": if sequence == 0 { vec![refused] } else { Vec::new() }},
        },
        "status": status,
    });
    Arc::new(serde_json::from_value(change).expect("a Change"))
}

fn closed(name: &str, policy: &str, sequence: i64, second: i64, phase: &str) -> Arc<Change> {
    let status = json!({"phase": phase, "closedAt": micro_time(at(second))});
    change(name, policy, sequence, second, &status, "Bounds")
}

fn policies() -> BTreeSet<String> {
    ["p", "q"].map(str::to_owned).into()
}

fn names(changes: &[Arc<Change>]) -> Vec<String> {
    let mut names: Vec<_> = changes.iter().map(|change| change.name_any()).collect();
    names.sort();
    names
}

#[test]
fn records_drive_out_no_transaction() {
    let mut changes: Vec<_> = (1..=50)
        .map(|n| closed(&format!("tx-{n}"), "p", n, n, "Committed"))
        .collect();
    // A refusal each 15 seconds, for an hour after that.
    let refusals = (0..240).map(|n| closed(&format!("record-{n:03}"), "p", 0, 100 + 15 * n, "Refused"));
    changes.extend(refusals);
    let found = names(&surplus(&changes, &policies(), at(DAY)));
    let expect: Vec<_> = (0..190).map(|n| format!("record-{n:03}")).collect();
    assert_eq!(found, expect, "all but the last 50 records");
    changes.push(closed("tx-51", "p", 51, 4000, "RolledBack"));
    let found = names(&surplus(&changes, &policies(), at(DAY)));
    assert_eq!((found.len(), found.last().map(String::as_str)), (191, Some("tx-1")));
}

#[test]
fn every_policy_has_a_number_of_its_own() {
    let of = |policy: &str| {
        let policy = policy.to_owned();
        (1..=50).map(move |n| closed(&format!("{policy}-{n}"), &policy, n, n, "Committed"))
    };
    let changes: Vec<_> = of("p").chain(of("q")).collect();
    assert_eq!(names(&surplus(&changes, &policies(), at(DAY))), Vec::<String>::new());
}

#[test]
fn what_is_open_or_waits_is_never_surplus() {
    let waits = json!({"phase": "AwaitingApproval", "closedAt": micro_time(at(0))});
    let mut changes = vec![
        change("waits", "p", 0, 0, &waits, "Approval"),
        change("open", "p", 1, 0, &json!({"phase": "Verifying"}), ""),
        change("begun", "gone", 2, 0, &Value::Null, ""),
        change("orphan", "gone", 0, 0, &waits, "Approval"),
    ];
    changes.extend((10..60).map(|n| closed(&format!("tx-{n}"), "p", n, n, "Committed")));
    changes.extend((10..60).map(|n| closed(&format!("record-{n}"), "p", 0, n, "Refused")));
    assert_eq!(
        names(&surplus(&changes, &policies(), at(365 * DAY))),
        Vec::<String>::new()
    );
}

#[test]
fn the_audit_outlives_its_policy_for_thirty_days() {
    let check = |policy: &str, age: i64, expect: bool| {
        for sequence in [0, 1] {
            let changes = [closed("web", policy, sequence, 1000, "Superseded")];
            let found = surplus(&changes, &policies(), at(1000 + age));
            assert_eq!(!found.is_empty(), expect, "{policy} {age} {sequence}");
        }
    };
    check("gone", 30 * DAY, false);
    check("gone", 30 * DAY + 1, true);
    check("p", 365 * DAY, false);
    // Without a time of its end, that of its beginning counts.
    let old = [change("web", "gone", 1, 1000, &json!({"phase": "Committed"}), "")];
    assert_eq!(surplus(&old, &policies(), at(1000 + 31 * DAY)).len(), 1);
}

#[test]
fn what_was_left_behind_is_looked_after() {
    let check = |change: Arc<Change>, second: i64, expect: Option<Todo>| {
        let found: Vec<_> = left(&[Arc::clone(&change)], &policies(), at(second))
            .into_iter()
            .map(|(_, todo)| todo)
            .collect();
        assert_eq!(found, Vec::from_iter(expect), "{:?} {second}", change.status);
    };
    let verifying = json!({"phase": "Verifying"});
    check(change("a", "gone", 1, 0, &verifying, ""), 1, Some(Todo::Abort));
    check(change("a", "gone", 1, 0, &Value::Null, ""), 1, Some(Todo::Abort));
    check(change("a", "p", 1, 0, &verifying, ""), 1000, None);
    check(closed("a", "gone", 1, 0, "Committed"), 1000, None);
    let waits = json!({"phase": "AwaitingApproval"});
    check(change("a", "gone", 0, 0, &waits, "Approval"), 1, Some(Todo::Withdraw));
    check(change("a", "p", 0, 0, &waits, "Approval"), 1000, None);
    // Its writer may still be at it.
    check(change("a", "p", 0, 0, &Value::Null, "Bounds"), 60, None);
    check(change("a", "p", 0, 0, &Value::Null, "Bounds"), 61, Some(Todo::Finish));
    check(change("a", "p", 0, 0, &Value::Null, "Approval"), 61, Some(Todo::Finish));
    check(
        change("a", "gone", 0, 0, &Value::Null, "Approval"),
        61,
        Some(Todo::Withdraw),
    );
}

#[test]
fn a_record_is_finished_as_what_it_was() {
    let check = |check: &str, expect: (Phase, &str)| {
        let (phase, message) = ending(&change("a", "p", 0, 0, &Value::Null, check));
        assert_eq!((phase, message.as_str()), expect);
    };
    check("Approval", (Phase::AwaitingApproval, "Approval: no"));
    check("Bounds", (Phase::Refused, "Bounds: no"));
}

/// A sweep is bounded, and what fails each time holds up nothing else.
#[test]
fn everything_gets_its_turn() {
    let check = |length: usize, turns: usize| {
        let mut seen = BTreeSet::new();
        for turn in 5..5 + turns {
            let share = share((0..length).collect(), turn);
            assert!(share.len() <= PER_SWEEP);
            seen.extend(share);
        }
        assert_eq!(seen.len(), length, "{length} in {turns}");
    };
    check(0, 1);
    check(20, 1);
    check(21, 2);
    check(45, 3);
    check(1000, 50);
}
