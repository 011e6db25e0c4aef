//! The tree and the lines.

use crate::build::{ago, ascii, change, condition, merge, now, policy};
use flyball_controller::cli::{
    get::{
        lines::{is_recent, of_change, of_policy},
        tree::{Shown, nothing, tree},
    },
    screen::Style,
};
use flyball_crds::{Change, FeedbackPolicy};
use rstest::rstest;
use serde_json::{Value, json};

fn committed(sequence: i64, before: i32, after: i32, seconds: i64) -> Change {
    change(
        sequence,
        before,
        after,
        json!({
            "spec": {"proposedAt": ago(seconds + 60)},
            "status": {"phase": "Committed", "message": "the effect is verified: 0.12 <= 0.5 holds", "closedAt": ago(seconds)},
        }),
    )
}

fn verifying() -> Change {
    change(
        2,
        2,
        3,
        json!({"status": {"phase": "Verifying", "message": "3 is written; verifying its effect", "appliedAt": ago(39)}}),
    )
}

fn drawn(policies: &[FeedbackPolicy], changes: &[Change], style: Style) -> String {
    tree(policies, changes, &[], Shown::default(), style, now())
}

#[test]
fn a_wide_screen_has_one_line_for_each_policy() {
    let quiet = policy(json!({
        "metadata": {"name": "cart"},
        "spec": {"mode": "Recommend", "targetRef": {"kind": "StatefulSet", "name": "cart"}},
        "status": {"alerts": "none", "doing": "Steady at 2", "why": "no rule fires"},
    }));
    let text = drawn(
        &[policy(json!({})), quiet],
        &[committed(1, 4, 2, 3_000), verifying()],
        ascii(None),
    );
    assert_eq!(
        text,
        "\
POLICY    MODE       TARGET               ALERTS                     DOING             WHY
cart      Recommend  StatefulSet/cart     none                       Steady at 2       no rule fires
checkout  Enforce    Deployment/checkout  HighRequestLatency firing  Verifying 2 -> 3  HighRequestLatency fires
|- 2 -> 3  Verifying  40s ago  3 is written; verifying its effect
`- 4 -> 2  Committed  50m ago  the effect is verified: 0.12 <= 0.5 holds
"
    );
}

#[test]
fn a_narrow_screen_has_the_reasons_below() {
    let style = Style {
        unicode: true,
        ..ascii(Some(60))
    };
    let text = drawn(&[policy(json!({}))], &[committed(1, 4, 2, 3_000), verifying()], style);
    assert_eq!(
        text,
        "\
POLICY    MODE     TARGET               DOING
checkout  Enforce  Deployment/checkout  Verifying 2 -> 3
│  alerts   HighRequestLatency firing
│  why      HighRequestLatency fires
├─ 2 -> 3  Verifying  40s ago  3 is written; verifying its
│                              effect
└─ 4 -> 2  Committed  50m ago  the effect is verified: 0.12
                               <= 0.5 holds
"
    );
}

#[test]
fn only_the_newest_changes_are_shown_unless_all_are_asked_for() {
    let changes: Vec<Change> = (1..=7).map(|n| committed(n, 2, 3, 1_000 - n * 100)).collect();
    let text = drawn(&[policy(json!({}))], &changes, ascii(None));
    assert!(text.ends_with("`- 2 older, see them with --all\n"), "{text}");
    assert_eq!(text.lines().count(), 2 + 5 + 1);
    assert!(
        text.lines().nth(2).is_some_and(|line| line.contains("5m ago")),
        "the newest is first: {text}"
    );
    let all = tree(
        &[policy(json!({}))],
        &changes,
        &[],
        Shown {
            all: true,
            namespaces: true,
        },
        ascii(None),
        now(),
    );
    assert_eq!(all.lines().count(), 2 + 7);
    assert!(all.contains("\nshop/checkout  "), "{all}");
}

#[rstest]
#[case::never_seen(json!({"status": null}), "Not seen yet", "no controller has looked at it; see: flyball doctor")]
#[case::edited(json!({"metadata": {"generation": 3}}), "Verifying 2 -> 3", "trouble  this is about generation 1; generation 3 has not been looked at yet")]
#[case::suspended(json!({"spec": {"suspend": true}}), "Enforce, suspended", "HighRequestLatency fires")]
#[case::not_ready(
    json!({"status": {"conditions": [condition("Ready", "False", "SourceUnavailable", "no answer")]}}),
    "Verifying 2 -> 3", "trouble  SourceUnavailable: no answer"
)]
#[case::told_once(
    json!({"status": {"why": "there is no target", "conditions": [condition("Ready", "False", "TargetNotFound", "there is no target")]}}),
    "Verifying 2 -> 3", "there is no target"
)]
#[case::escaped(json!({"status": {"why": "a\u{1b}[2Jb"}}), "Verifying", "a\\u{1b}[2Jb")]
fn what_is_not_as_usual_is_said(#[case] more: Value, #[case] doing: &str, #[case] said: &str) {
    let text = drawn(&[policy(more)], &[], ascii(None));
    assert!(text.contains(doing) && text.contains(said), "{text}");
    assert_eq!(text.matches(said).count(), 1, "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn changes_of_a_deleted_policy_are_shown() {
    let text = drawn(&[], &[verifying()], ascii(None));
    assert_eq!(
        text,
        "\
POLICY    MODE  TARGET               ALERTS  DOING    WHY
checkout  -     Deployment/checkout          deleted  the policy is gone; its Changes are kept
`- 2 -> 3  Verifying  40s ago  3 is written; verifying its effect
"
    );
}

#[test]
fn a_record_without_a_status_is_not_taken_for_a_write() {
    let text = drawn(&[policy(json!({}))], &[change(0, 2, 3, json!({}))], ascii(None));
    assert!(
        text.contains("`- 2 -> 3  ...  40s ago  HighRequestLatency fires"),
        "{text}"
    );
    let text = drawn(&[policy(json!({}))], &[change(1, 2, 3, json!({}))], ascii(None));
    assert!(text.contains("`- 2 -> 3  Applying  40s ago"), "{text}");
}

#[test]
fn what_can_not_be_read_is_named() {
    let unreadable = ["Change shop/x".to_owned()];
    let text = tree(&[], &[], &unreadable, Shown::default(), ascii(None), now());
    assert_eq!(
        text,
        "Change shop/x can't be read by this version; see: flyball doctor\n"
    );
}

#[test]
fn where_there_is_nothing_the_next_command_is_named() {
    let text = nothing(Some("shop"));
    assert!(
        text.starts_with("There is no FeedbackPolicy in namespace shop.\n"),
        "{text}"
    );
    for command in [
        "flyball get -A",
        "flyball check policy.yaml",
        "kubectl apply -f policy.yaml",
    ] {
        assert!(text.contains(command), "{text}");
    }
    assert!(!nothing(None).contains("get -A"));
}

#[rstest]
#[case::same(json!({}), &[])]
#[case::doing(json!({"status": {"doing": "Steady at 3", "why": "no rule fires"}}), &["Steady at 3 (was Verifying 2 -> 3): no rule fires"])]
#[case::alerts(json!({"status": {"alerts": ""}}), &["alerts: none (was HighRequestLatency firing)"])]
#[case::edited(json!({"metadata": {"generation": 2}, "spec": {"suspend": true}}), &["edited: generation 2, Enforce, suspended"])]
#[case::ready(
    json!({"status": {"conditions": [condition("Ready", "False", "SourceUnavailable", "no\nanswer")]}}),
    &["ready: False, SourceUnavailable: no\\nanswer"]
)]
fn a_policys_transitions_are_lines(#[case] more: Value, #[case] expect: &[&str]) {
    let lines = of_policy(Some(&policy(json!({}))), Some(&policy(more)), now());
    let expect: Vec<String> = expect
        .iter()
        .map(|line| format!("2026-01-02T03:04:05Z policy shop/checkout  {line}"))
        .collect();
    assert_eq!(lines, expect);
}

#[test]
fn a_policy_comes_and_goes_in_a_line() {
    let object = policy(json!({}));
    let head = "2026-01-02T03:04:05Z policy shop/checkout  ";
    let came = format!("{head}Enforce Deployment/checkout: Verifying 2 -> 3: HighRequestLatency fires");
    assert_eq!(of_policy(None, Some(&object), now()), [came]);
    assert_eq!(of_policy(Some(&object), None, now()), [format!("{head}deleted")]);
}

#[test]
fn a_changes_transitions_are_lines() {
    let head = "2026-01-02T03:04:05Z change shop/checkout-1-replicas-2  2 -> 3  ";
    let (begun, written) = (change(2, 2, 3, json!({})), verifying());
    let line = |before: Option<&Change>, after: Option<&Change>| of_change(before, after, now()).concat();
    assert_eq!(
        line(None, Some(&begun)),
        format!("{head}Applying: HighRequestLatency fires")
    );
    assert_eq!(
        line(Some(&begun), Some(&written)),
        format!("{head}Verifying (was Applying): 3 is written; verifying its effect")
    );
    assert_eq!(line(Some(&written), Some(&written)), "");
    assert_eq!(line(Some(&written), None), format!("{head}deleted"));
}

#[test]
fn a_record_is_told_when_it_is_finished() {
    let begun = change(0, 2, 3, json!({}));
    let mut closed = serde_json::to_value(&begun).unwrap_or_default();
    merge(
        &mut closed,
        json!({"status": {"phase": "Recommended", "message": "would write 3", "closedAt": ago(0)}}),
    );
    let closed: Change = serde_json::from_value(closed).expect("a Change");
    assert!(of_change(None, Some(&begun), now()).is_empty());
    let line = of_change(Some(&begun), Some(&closed), now()).concat();
    assert!(line.ends_with("2 -> 3  Recommended: would write 3"), "{line}");
}

#[test]
fn history_is_no_transition() {
    assert!(is_recent(&verifying(), now()));
    assert!(is_recent(&committed(1, 2, 3, 10), now()));
    assert!(!is_recent(&committed(1, 2, 3, 3_000), now()));
}
