mod taken;

use super::{stored::stored_spike, *};
use crate::clock::micro_time;
use flyball_core::decide::Recommendation;
use flyball_core::evaluate::RuleError;
use flyball_crds::FeedbackPolicyStatus;
use serde_json::{Value, json};

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

fn n(replicas: i64) -> Replicas {
    Replicas::new(replicas).expect("a number")
}

/// A policy with these actions.
fn policy(generation: i64, actions: &[&str], status: FeedbackPolicyStatus) -> FeedbackPolicy {
    let action = |name: &&str| {
        json!({
            "name": name, "when": ["Slow"],
            "replicas": {"min": 1, "max": 30, "step": {"pods": 1, "down": {"pods": 1, "after": "10m"}}},
        })
    };
    let object = json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy",
        "metadata": {"name": "web", "namespace": "shop", "uid": "p", "generation": generation},
        "spec": {
            "mode": "Recommend",
            "sourceRef": {"name": "prometheus"},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "rules": [{"alert": "Slow", "expr": "latency > 0.5"}],
            "actions": actions.iter().map(action).collect::<Vec<_>>(),
        },
    });
    let mut object: FeedbackPolicy = serde_json::from_value(object).expect("a policy");
    object.status = Some(status);
    object
}

/// A Change of action `more` that was written at a second, as its sequence says which.
fn change(sequence: i64, before: i32, after: i32, verified: i32, applied: i64, status: &Value) -> Arc<Change> {
    let mut stored = json!({"phase": "Verifying", "appliedAt": micro_time(at(applied))});
    for (key, value) in status.as_object().into_iter().flatten() {
        stored[key.as_str()] = value.clone();
    }
    let change = json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "Change", "metadata": {"name": format!("web-{sequence}")},
        "spec": {
            "policy": {"name": "web", "uid": "p", "generation": 1}, "action": "more", "mode": "Enforce",
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "t"},
            "field": "replicas", "direction": if after > before { "Up" } else { "Down" },
            "sequence": sequence, "before": before, "after": after, "verified": verified,
            "proposedAt": micro_time(at(applied)), "reason": "Slow fires", "evidence": {},
        },
        "status": stored,
    });
    Arc::new(serde_json::from_value(change).expect("a Change"))
}

/// What was stored, read by the process that follows.
fn restarted(memory: &Memory, actions: &[&str], now: i64) -> Memory {
    let mut status = FeedbackPolicyStatus::default();
    memory.store(&mut status);
    let stored = serde_json::to_value(status).expect("JSON");
    let status = serde_json::from_value(stored).expect("a status");
    Memory::restore(&policy(1, actions, status), at(now))
}

fn fresh(actions: &[&str], now: i64) -> Memory {
    Memory::restore(&policy(1, actions, FeedbackPolicyStatus::default()), at(now))
}

/// As much as a decrease rests on.
fn asked_for(memory: &mut Memory, action: &str, second: i64, replicas: i64) {
    let history = &mut memory.actions.get_mut(action).expect("its memory").history;
    history.recommendations.push(Recommendation {
        at: at(second),
        replicas: n(replicas),
    });
}

fn history<'a>(memory: &'a Memory, action: &str) -> &'a History {
    &memory.actions[action].history
}

#[test]
fn a_new_or_renamed_action_has_observed_nothing() {
    let mut memory = fresh(&["more"], 0);
    memory.parse(
        &policy(2, &["more", "also"], FeedbackPolicyStatus::default()),
        &Referred::Nothing,
        at(86_400),
    );
    assert_eq!(history(&memory, "more").observing_since, at(0));
    assert_eq!(history(&memory, "also").observing_since, at(86_400));
    memory.parse(
        &policy(3, &["other"], FeedbackPolicyStatus::default()),
        &Referred::Nothing,
        at(90_000),
    );
    assert_eq!(history(&memory, "other").observing_since, at(90_000));
}

/// The field may hold a value of ours that was never verified, and a new name makes it no better.
#[test]
fn a_renamed_action_adopts_no_value_of_ours() {
    let changes = [change(1, 3, 4, 3, 100, &json!({"phase": "Ineffective"}))];
    let mut memory = fresh(&["more"], 0);
    memory.aim("t", at(0));
    memory.recall(&changes, at(200));
    memory.recalled = Some(1);
    memory.parse(
        &policy(2, &["other"], FeedbackPolicyStatus::default()),
        &Referred::Nothing,
        at(300),
    );
    assert_eq!(memory.recalled, None, "its Changes are to be looked at");
    memory.recall(&changes, at(300));
    memory.adopt(n(4));
    assert_eq!(memory.actions["other"].written, Some(n(4)));
    assert_eq!(history(&memory, "other").last_verified, Some(n(3)));
}

/// A day in mode Observe, or with a spec that can't be read, counts for no window.
#[test]
fn what_was_not_decided_was_not_observed() {
    let mut memory = fresh(&["more"], 0);
    asked_for(&mut memory, "more", 10, 20);
    let remembered = memory.actions.get_mut("more").expect("its memory");
    remembered.history.no_data_since = Some(at(20));
    remembered.history.idle_since = Some(at(20));
    remembered.history.events.push(ScaleEvent {
        at: at(5),
        from: n(2),
        to: n(20),
    });
    memory.unobserved(at(86_400));
    let history = history(&memory, "more");
    assert_eq!(history.observing_since, at(86_400));
    assert_eq!((history.no_data_since, history.idle_since), (None, None));
    // What is true is kept, and what makes decreases wait.
    assert_eq!((history.events.len(), history.recommendations.len()), (1, 1));
}

#[test]
fn nothing_is_known_of_another_target() {
    let mut memory = fresh(&["more"], 0);
    memory.aim("t", at(0));
    memory.adopt(n(4));
    asked_for(&mut memory, "more", 10, 4);
    memory.recall(&[change(7, 3, 4, 3, 20, &json!({"phase": "Committed"}))], at(30));
    (memory.recalled, memory.learned) = (Some(7), Some(7));
    memory.actions.get_mut("more").expect("its memory").recorded = 5;
    let known = memory.actions["more"].clone();

    // The same one, also after a restart.
    let mut same = restarted(&memory, &["more"], 40);
    same.aim("t", at(40));
    assert_eq!(same.actions["more"].written, known.written);
    assert_eq!(history(&same, "more").events, known.history.events);

    // Another, also where the process was started anew meanwhile.
    for mut memory in [memory.clone(), restarted(&memory, &["more"], 40)] {
        memory.aim("u", at(50));
        assert_eq!(*history(&memory, "more"), History::new(at(50)));
        assert_eq!(memory.actions["more"].written, None);
        assert_eq!((memory.recalled, memory.learned), (None, None));
        assert_eq!(memory.actions["more"].recorded, 5, "the names of records go on");
        memory.adopt(n(9));
        assert_eq!(history(&memory, "more").last_verified, Some(n(9)));
    }
}

/// An older version wrote no UID, and an upgrade forgets nothing.
#[test]
fn a_status_without_a_uid_is_about_the_present_target() {
    let mut memory = fresh(&["more"], 0);
    memory.adopt(n(4));
    let mut memory = restarted(&memory, &["more"], 10);
    memory.aim("t", at(10));
    assert_eq!(history(&memory, "more").last_verified, Some(n(4)));
    assert_eq!(memory.target.as_deref(), Some("t"));
}

/// Law 7: a value that is held without having been verified is nowhere to go back to.
#[test]
fn a_restart_makes_no_held_value_a_verified_one() {
    let first = change(1, 2, 3, 2, 100, &json!({"phase": "Committed"}));
    let held = change(2, 3, 4, 3, 5000, &json!({"phase": "Ineffective"}));
    let mut memory = fresh(&["more", "also"], 0);
    memory.aim("t", at(0));
    memory.adopt(n(2));
    memory.recall(std::slice::from_ref(&first), at(101));
    memory.verified(n(3));
    memory.recall(&[first.clone(), held.clone()], at(5001));
    // The first event is older than any window by now.
    for action in memory.actions.values_mut() {
        action.history.events.retain(|event| event.at > at(100));
    }
    let mut memory = restarted(&memory, &["more", "also"], 9000);
    memory.aim("t", at(9000));
    memory.recall(&[first, held], at(9000));
    memory.adopt(n(4));
    for action in ["more", "also"] {
        assert_eq!(memory.actions[action].written, Some(n(4)), "{action}");
        assert_eq!(history(&memory, action).last_verified, Some(n(3)), "{action}");
        let events: Vec<_> = history(&memory, action).events.iter().map(|event| event.at).collect();
        assert_eq!(events, [at(5000)], "{action}: nothing is learned twice, or again");
    }
}

#[test]
fn the_newest_change_tells_what_is_ours_and_what_was_verified() {
    let check = |status: &Value, field: i64, expect: (i64, i64)| {
        let changes = [
            change(1, 2, 9, 2, 10, &json!({"phase": "Committed"})),
            change(2, 9, 12, 9, 20, status),
        ];
        let mut memory = fresh(&["more"], 100);
        memory.aim("t", at(100));
        memory.recall(&changes, at(100));
        memory.adopt(n(field));
        let found = (memory.actions["more"].written, history(&memory, "more").last_verified);
        assert_eq!(found, (Some(n(expect.0)), Some(n(expect.1))), "{status} {field}");
    };
    check(&json!({"phase": "Committed"}), 12, (12, 12));
    check(&json!({"phase": "Ineffective"}), 12, (12, 9));
    check(&json!({"phase": "Inconclusive"}), 12, (12, 9));
    let back = json!({"phase": "RolledBack", "rollbackTo": 10, "closedAt": micro_time(at(30))});
    check(&back, 10, (10, 9));
    // Somebody wrote 7 while no Change held the field.
    check(&json!({"phase": "Ineffective"}), 7, (12, 7));
    // It never came to a write.
    check(&json!({"phase": "Superseded", "appliedAt": null}), 9, (9, 9));
}

/// All actions move one field, so a cooldown of one counts what another did.
#[test]
fn every_action_learns_of_a_write_that_a_crash_kept_from_the_status() {
    let mut memory = fresh(&["more", "also"], 0);
    memory.aim("t", at(0));
    memory.recall(&[change(1, 2, 3, 2, 10, &json!({}))], at(20));
    for action in ["more", "also"] {
        let event = ScaleEvent {
            at: at(10),
            from: n(2),
            to: n(3),
        };
        assert_eq!(history(&memory, action).events, [event], "{action}");
    }
}

/// The statuses that are written, pass by pass.
fn writes(
    memory: &mut Memory,
    passes: impl IntoIterator<Item = i64>,
    mut moves: impl FnMut(&mut Memory, i64),
) -> usize {
    let mut count = 0;
    for second in passes {
        moves(memory, second);
        let mut status = FeedbackPolicyStatus::default();
        memory.store(&mut status);
        if status != memory.written {
            memory.written = status;
            count += 1;
        }
    }
    count
}

#[test]
fn an_outage_is_written_once() {
    let fails = |memory: &mut Memory, error: String| {
        let rule = RuleState {
            error: Some(RuleError::Query {
                alert: "Slow".to_owned(),
                detail: error,
            }),
            ..RuleState::default()
        };
        memory.rules.insert("Slow".to_owned(), rule);
    };
    let mut memory = fresh(&["more"], 0);
    let count = writes(&mut memory, 0..20, |memory, second| {
        fails(
            memory,
            format!("no answer within {second}s (trace id 4bf92f3577b34da6a3ce929d0e0e47{second:02})"),
        );
    });
    assert_eq!(count, 1);
    // Another failure is told, and so is that it is over.
    assert_eq!(
        writes(&mut memory, [20], |memory, _| fails(
            memory,
            "connection refused".to_owned()
        )),
        1
    );
    assert_eq!(writes(&mut memory, [21], |memory, _| memory.rules.clear()), 1);
    // What a server says is as long as it likes, and holds what it likes.
    fails(&mut memory, format!("line\n{}", "a b ".repeat(10_000)));
    let stored = stored_rule("Slow", &memory.rules["Slow"], &memory.written);
    let error = stored.error.expect("an error");
    assert!(error.len() <= 503 && !error.contains('\n'), "{} bytes", error.len());
}

/// A pass each 15 seconds, in a spike that goes on for an hour and holds for 10 minutes.
#[test]
fn the_end_of_a_spike_is_written_some_times_a_hold_and_never_early() {
    let hold = Span::from_secs(600);
    let check = |until: i64, hold: Option<Span>, before: Option<i64>, expect: i64| {
        let found = stored_spike(at(until), hold, before.map(at));
        assert_eq!(found, at(expect), "{until} {before:?}");
    };
    // A quarter of ten minutes ahead.
    check(1000, Some(hold), None, 1150);
    check(1150, Some(hold), Some(1150), 1150);
    check(1151, Some(hold), Some(1150), 1301);
    // What is far too late, as after a clock that stepped back, is corrected.
    check(1000, Some(hold), Some(1151), 1150);
    check(1000, None, Some(900), 1000);
    let mut written = BTreeMap::new();
    let mut before = None;
    for second in (0..3600).step_by(15) {
        let stored = stored_spike(at(second) + hold, Some(hold), before);
        assert!(stored >= at(second) + hold, "cut short");
        *written.entry(stored).or_insert(0) += 1;
        before = Some(stored);
    }
    // At 0, and then each 165 s, the first pass after the 150 s: 0, 165, ..., 3465.
    assert_eq!(written.len(), 22);
}
