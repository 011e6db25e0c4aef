use super::*;
use crate::{clock::micro_time, validate};
use flyball_core::time::Timestamp;
use flyball_crds::{APPROVED_BY_ANNOTATION, FeedbackPolicySpec};
use serde_json::json;

fn n(replicas: i64) -> Replicas {
    Replicas::new(replicas).expect("a number")
}

/// A policy of the target `t` with the action `more`, which asks for approval, and `free`, which does not.
fn policy(mode: &str) -> Policy {
    let action = |name: &str, approval: &str| {
        json!({
            "name": name, "when": ["Slow"], "approval": approval,
            "replicas": {"min": 1, "max": 30, "step": {"pods": 1}},
            "verify": {"settle": "6m", "within": "10m", "expr": "latency <= 0.5"},
        })
    };
    let spec: FeedbackPolicySpec = serde_json::from_value(json!({
        "mode": mode,
        "sourceRef": {"name": "prometheus"},
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "rules": [{"alert": "Slow", "expr": "latency > 0.5"}],
        "actions": [action("more", "Required"), action("free", "None")],
    }))
    .expect("a spec");
    validate::policy(&spec).expect("a policy")
}

/// A record that was refused by `check`, in a phase, or without a status.
fn record_of(name: &str, (before, after): (i32, i32), check: &str, phase: Option<&str>) -> Change {
    let change = json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "Change",
        "metadata": {"name": name},
        "spec": {
            "policy": {"name": "web", "uid": "p", "generation": 1}, "action": "more", "mode": "Enforce",
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "t"},
            "field": "replicas", "direction": if after > before { "Up" } else { "Down" },
            "sequence": 0, "before": before, "after": after, "verified": before,
            "proposedAt": micro_time(Timestamp::from_millis(0)), "reason": "Slow fires",
            "evidence": {"checks": [
                {"name": "Bounds", "verdict": "Passed", "message": "in them"},
                {"name": check, "verdict": "Refused", "message": "no"},
            ]},
        },
        "status": phase.map(|phase| json!({"phase": phase})),
    });
    serde_json::from_value(change).expect("a Change")
}

fn waits(name: &str, numbers: (i32, i32), by: Option<&str>, second: i64) -> Arc<Change> {
    let mut record = record_of(name, numbers, "Approval", Some("AwaitingApproval"));
    record.spec.proposed_at = micro_time(Timestamp::from_millis(second * 1000));
    if let Some(by) = by {
        record
            .annotations_mut()
            .insert(APPROVED_BY_ANNOTATION.to_owned(), by.to_owned());
    }
    Arc::new(record)
}

#[test]
fn a_record_waits_until_it_is_closed() {
    let check = |check: &str, phase: Option<&str>, expect: bool| {
        let record = record_of("web-record-1", (2, 3), check, phase);
        assert_eq!(awaits(&record), expect, "{check} {phase:?}");
    };
    check("Approval", Some("AwaitingApproval"), true);
    check("Approval", Some("Superseded"), false);
    // Its writer did not come to write the status.
    check("Approval", None, true);
    check("Bounds", None, false);
    check("Bounds", Some("Refused"), false);
    let mut transaction = record_of("web-1", (2, 3), "Approval", None);
    transaction.spec.sequence = 1;
    assert!(!awaits(&transaction));
}

/// An approval of 2 -> 5 says nothing of 10 -> 5, which takes away.
#[test]
fn what_is_granted_is_a_step() {
    let check = |records: &[Arc<Change>], current: i64, expect: Approval| {
        let names: Vec<_> = records.iter().map(|record| record.name_any()).collect();
        assert_eq!(granted(records, n(current)), expect, "{names:?} {current}");
    };
    let step = |from: i64, to: i64| Approval::Granted {
        from: n(from),
        to: n(to),
        by: "alice".to_owned(),
    };
    let awaited = |name: &str| Approval::Awaited(Some(name.to_owned()));
    let alice = Some("alice");
    check(&[], 2, Approval::Awaited(None));
    check(&[waits("a", (2, 5), None, 1)], 2, awaited("a"));
    check(&[waits("a", (2, 5), alice, 1)], 2, step(2, 5));
    check(&[waits("a", (2, 5), Some(""), 1)], 2, awaited("a"));
    check(&[waits("a", (2, 5), alice, 1)], 10, step(2, 5));
    check(&[waits("a", (2, 5), None, 1)], 10, Approval::Awaited(None));
    // What is asked for from the present number on matters more than what was approved from another.
    check(
        &[waits("a", (2, 5), alice, 9), waits("b", (10, 5), None, 2)],
        10,
        awaited("b"),
    );
    check(
        &[waits("a", (10, 5), alice, 1), waits("b", (10, 5), None, 2)],
        10,
        step(10, 5),
    );
}

#[test]
fn an_equal_record_is_used_again() {
    let check = |records: &[Arc<Change>], step: (i64, i64), expect: Option<&str>| {
        let found = standing(records, n(step.0), n(step.1)).map(|found| found.name_any());
        assert_eq!(found.as_deref(), expect, "{step:?}");
    };
    let records = [
        waits("old", (2, 3), None, 1),
        waits("new", (2, 3), None, 2),
        waits("other", (2, 4), None, 3),
    ];
    check(&records, (2, 3), Some("new"));
    check(&records, (2, 4), Some("other"));
    // Never written, or deleted by somebody: it is to be made.
    check(&records, (3, 4), None);
    check(&[], (2, 3), None);
    // Who approved one of two that are equal has approved.
    let records = [waits("old", (2, 3), Some("alice"), 1), waits("new", (2, 3), None, 2)];
    check(&records, (2, 3), Some("old"));
}

#[test]
fn what_waits_without_need_is_withdrawn() {
    let enforce = policy("Enforce");
    let record = waits("a", (2, 3), Some("alice"), 1);
    let check = |record: &Change, policy: &Policy, outlook: &Outlook<'_>, expect: Option<&str>| {
        let why = needless(record, policy, Some("t"), outlook);
        assert_eq!(why.is_some(), expect.is_some(), "{why:?}");
        assert!(
            why.unwrap_or_default().contains(expect.unwrap_or_default()),
            "{expect:?}"
        );
    };
    let awaits = |to: i64, record: Option<&'static str>| Outlook::Awaits {
        from: n(2),
        to: n(to),
        record,
    };
    check(&record, &enforce, &awaits(3, Some("a")), None);
    check(&record, &enforce, &awaits(3, Some("b")), Some("another change"));
    check(&record, &enforce, &awaits(4, Some("b")), Some("another change"));
    // The answer to its creation was lost, so its name is not known for sure.
    check(&record, &enforce, &awaits(3, None), None);
    check(&record, &enforce, &awaits(4, None), Some("another change"));
    check(&record, &enforce, &Outlook::Delayed, None);
    check(&record, &enforce, &Outlook::Nothing, Some("not wanted any more"));

    let begun = |numbers| Change {
        metadata: kube::api::ObjectMeta {
            name: Some("web-7".to_owned()),
            ..kube::api::ObjectMeta::default()
        },
        ..Change::clone(&waits("web-7", numbers, None, 2))
    };
    check(
        &record,
        &enforce,
        &Outlook::Begun(&begun((2, 3))),
        Some("approved, and carried out as web-7"),
    );
    check(
        &record,
        &enforce,
        &Outlook::Begun(&begun((2, 9))),
        Some("web-7 was begun instead"),
    );

    // Whatever is wanted: nobody would carry these out.
    for outlook in [Outlook::Delayed, Outlook::Nothing, awaits(3, Some("a"))] {
        for mode in ["Observe", "Recommend"] {
            check(&record, &policy(mode), &outlook, Some("its mode is not Enforce"));
        }
        let mut of = Change::clone(&record);
        "free".clone_into(&mut of.spec.action);
        check(&of, &enforce, &outlook, Some("asks for no approval any more"));
        "gone".clone_into(&mut of.spec.action);
        check(&of, &enforce, &outlook, Some("no action gone"));
        let mut of = Change::clone(&record);
        "u".clone_into(&mut of.spec.target.uid);
        check(&of, &enforce, &outlook, Some("another object"));
    }
}

/// A record that could not be closed when its Change began must not let another one through.
#[test]
fn an_approval_is_for_one_change() {
    let approved = waits("a", (2, 3), Some("alice"), 100);
    let change = |numbers: (i32, i32), second: i64| {
        let mut change = Change::clone(&waits("web-7", numbers, None, second));
        change.spec.sequence = 7;
        change
    };
    let check = |record: &Change, change: Change, expect: Option<&str>| {
        let text = format!(
            "{:?}",
            (change.spec.before, change.spec.after, &change.spec.proposed_at)
        );
        assert_eq!(spent(record, &[Arc::new(change)]).as_deref(), expect, "{text}");
    };
    check(&approved, change((2, 3), 101), Some("web-7"));
    check(&approved, change((2, 3), 99), None);
    check(&approved, change((2, 4), 101), None);
    check(&waits("a", (2, 3), None, 100), change((2, 3), 101), None);
    let mut record = change((2, 3), 101);
    record.spec.sequence = 0;
    check(&approved, record, None);
    let mut other = change((2, 3), 101);
    "free".clone_into(&mut other.spec.action);
    check(&approved, other, None);
}
