//! Approving a Change, cutting it short, taking it back.

use crate::{
    api::Server,
    build::{change, merged, of_knobs, policy, runtime_change, weights_change},
};
use flyball_controller::cli::request::{Asked, ask, decide};
use flyball_crds::{Change, Request, approved_by, requested_by};
use rstest::rstest;
use serde_json::{Value, json};

const RECORD: &str = "changes/checkout-more-replicas-record-4";
const ABORT: Asked = Asked::Of(Request::Abort);
const BACK: Asked = Asked::Of(Request::RollBack);

/// The record of a decision that a check refused.
fn record(check: &str) -> Value {
    change(
        0,
        2,
        3,
        json!({
            "metadata": {"name": "checkout-more-replicas-record-4"},
            "spec": {"evidence": {"checks": [
                {"name": "Bounds", "verdict": "Passed"},
                {"name": check, "verdict": "Refused", "message": "because"},
            ]}},
            "status": {"phase": "Refused", "message": "because"},
        }),
    )
}

fn asking(last: Value) -> Value {
    policy(json!({"status": {"actions": [
        {"name": "more-replicas", "lastDecision": {"current": 2, "desired": 3, "reason": "x", "change": last}},
    ]}}))
}

fn in_phase(phase: &str, more: Value) -> Value {
    change(2, 3, 5, merged(json!({"status": {"phase": phase}}), more))
}

fn made(object: &Value) -> Change {
    serde_json::from_value(object.clone()).unwrap()
}

#[tokio::test]
async fn a_decision_that_waits_is_approved_by_name() {
    let server = Server::with(
        "approve",
        [asking(json!("checkout-more-replicas-record-4")), record("Approval")],
    )
    .await;
    let name = "checkout-more-replicas-record-4";
    let said = ask(&server.connection, "shop", name, Asked::Approve).await.unwrap();
    assert!(
        said.starts_with("checkout-more-replicas-record-4 is approved: 2 -> 3 is made with the next pass"),
        "{said}"
    );
    assert_eq!(server.writes(), ["PATCH changes/checkout-more-replicas-record-4"]);
    let body = server.last_body();
    assert_eq!(
        body["metadata"]["annotations"],
        json!({"flyball.dev/approved-by": "alice"})
    );
    assert!(body["metadata"]["resourceVersion"].is_string() && body.get("status").is_none());
    assert_eq!(approved_by(&made(&server.get(RECORD).unwrap())), Some("alice"));

    let again = ask(&server.connection, "shop", name, Asked::Approve).await.unwrap();
    assert!(again.contains("is approved already, by alice"), "{again}");
    assert_eq!(server.writes(), [""; 0]);
}

#[rstest]
#[case::decided_anew(asking(json!("checkout-more-replicas-record-5")), "has decided anew since checkout-more-replicas-record-4; look at checkout-more-replicas-record-5 instead: flyball explain checkout -n shop")]
#[case::not_any_more(policy(json!({})), "does not ask for checkout-more-replicas-record-4 any more")]
#[case::another_policy_of_that_name(merged(asking(json!("checkout-more-replicas-record-4")), json!({"metadata": {"uid": "p-9"}})), "is gone, so nothing comes of it")]
#[tokio::test]
async fn what_is_not_wanted_any_more_is_not_approved(#[case] policy: Value, #[case] expect: &str) {
    let server = Server::with(&format!("approve-old-{}", expect.len()), [policy, record("Approval")]).await;
    let error = ask(
        &server.connection,
        "shop",
        "checkout-more-replicas-record-4",
        Asked::Approve,
    )
    .await
    .unwrap_err();
    assert!(error.to_string().contains(expect), "{error}");
    assert_eq!(server.writes(), [""; 0]);
}

#[tokio::test]
async fn a_change_is_cut_short_or_taken_back() {
    let server = Server::with("request", [in_phase("Verifying", json!({}))]).await;
    let name = "checkout-1-replicas-2";
    for (asked, value, expect) in [
        (ABORT, "abort", "is to be cut short with the next pass"),
        (BACK, "rollback", "is to be taken back with the next pass, to 3"),
    ] {
        let said = ask(&server.connection, "shop", name, asked).await.unwrap();
        assert!(said.contains(expect), "{said}");
        let change = made(&server.get("changes/checkout-1-replicas-2").unwrap());
        assert_eq!(Request::of(&change).map(Request::as_str), Some(value));
        assert_eq!(requested_by(&change), Some("alice"));
        let again = ask(&server.connection, "shop", name, asked).await.unwrap();
        assert!(
            again.contains(&format!("{value} was asked for already, by alice")),
            "{again}"
        );
    }
    assert_eq!(server.writes().len(), 2);
    let missing = ask(&server.connection, "shop", "no-such", ABORT).await.unwrap_err();
    assert_eq!(
        missing.to_string(),
        "there is no Change \"no-such\" in namespace shop; see which there are: kubectl get changes -n shop"
    );
}

#[rstest]
#[case::approve_under_way(Asked::Approve, in_phase("Verifying", json!({})), "is under way already (Verifying)")]
#[case::approve_closed(Asked::Approve, in_phase("Committed", json!({})), "is closed already (Committed)")]
#[case::approve_refused(
    Asked::Approve,
    record("Headroom"),
    "the check Headroom refused it: because; see what to do: flyball explain checkout -n shop"
)]
#[case::approve_recommended(
    Asked::Approve,
    change(0, 2, 3, json!({"spec": {"mode": "Recommend"}, "status": {"phase": "Recommended"}})),
    "it records what mode Recommend would not write"
)]
#[case::abort_record(
    ABORT,
    record("Approval"),
    "is a record, nothing was written; to keep the policy from asking again: flyball pause checkout -n shop --up"
)]
#[case::abort_rolling(ABORT, in_phase("RollingBack", json!({})), "is being taken back already; wait for it: flyball get checkout -n shop --watch")]
#[case::abort_closed(ABORT, in_phase("Inconclusive", json!({})), "kubectl scale deployment checkout -n shop --replicas 3")]
#[case::back_record(BACK, record("Bounds"), "is a record")]
#[case::back_applying(BACK, in_phase("Applying", json!({})), "cut it short: flyball abort checkout-1-replicas-2 -n shop")]
#[case::back_without_a_status(BACK, merged(in_phase("Applying", json!({})), json!({"status": null})), "is just being written")]
#[case::back_rolling(BACK, in_phase("RollingBack", json!({})), "is being taken back already")]
#[case::back_committed(BACK, in_phase("Committed", json!({})), "pause the policy (flyball pause checkout -n shop --up)")]
fn what_makes_no_sense_says_what_to_do_instead(#[case] asked: Asked, #[case] change: Value, #[case] expect: &str) {
    let error = decide(&made(&change), asked, "alice").unwrap_err();
    assert!(error.contains(expect), "{error}");
}

#[rstest]
#[case(ABORT, "Applying")]
#[case(ABORT, "Verifying")]
#[case(BACK, "Verifying")]
fn what_makes_sense_is_written(#[case] asked: Asked, #[case] phase: &str) {
    let written = decide(&made(&in_phase(phase, json!({}))), asked, "alice")
        .unwrap()
        .unwrap();
    assert_eq!(written["metadata"]["annotations"]["flyball.dev/requested-by"], "alice");
}

#[test]
fn what_is_not_known_is_not_asked_for() {
    let other = in_phase(
        "Verifying",
        json!({"metadata": {"annotations": {"flyball.dev/request": "explode"}}}),
    );
    assert_eq!(Request::of(&made(&other)), None);
    assert!(decide(&made(&other), ABORT, "alice").unwrap().is_some());
}

#[tokio::test]
async fn weights_are_approved_and_taken_back_in_their_own_words() {
    let record = weights_change(
        0,
        json!({
            "metadata": {"name": "split-shift-record-4"},
            "spec": {"evidence": {"checks": [{"name": "Approval", "verdict": "Refused", "message": "nobody yet"}]}},
            "status": {"phase": "AwaitingApproval", "message": "nobody yet"},
        }),
    );
    let asking = policy(json!({"status": {"actions": [{
        "name": "shift",
        "lastDecision": {"current": 0, "desired": 0, "move": "web-a 500 -> 400", "reason": "x", "change": "split-shift-record-4"},
    }]}}));
    let open = weights_change(2, json!({"status": {"phase": "Verifying"}}));
    let server = Server::with("request-weights", [asking, record, open]).await;
    for (name, asked, expect) in [
        (
            "split-shift-record-4",
            Asked::Approve,
            "split-shift-record-4 is approved: web-a 500 -> 400, web-b 500 -> 600 is made with the next pass, if the policy wants about the same then.",
        ),
        (
            "web-1-weights-2",
            ABORT,
            "nothing more is written, and the weights stay as they are, unverified",
        ),
        (
            "web-1-weights-2",
            BACK,
            "is to be taken back with the next pass, to web-a 450, web-b 550, as far as",
        ),
    ] {
        let said = ask(&server.connection, "shop", name, asked).await.unwrap();
        assert!(said.contains(expect), "{said}");
    }
}

#[rstest]
#[case::record(ABORT, weights_change(0, json!({"status": {"phase": "Refused"}})), "flyball pause checkout -n shop --up")]
#[case::closed(
    BACK,
    weights_change(2, json!({"status": {"phase": "Committed"}})),
    "its weights stay; to set others, pause the policy (flyball pause checkout -n shop --up) and write them into each of its routes: \
     kubectl edit httproute.gateway.networking.k8s.io web -n shop; they were web-a 500, web-b 500"
)]
fn weights_that_can_not_be_taken_back_are_set_by_hand(
    #[case] asked: Asked,
    #[case] change: Value,
    #[case] expect: &str,
) {
    let error = decide(&made(&change), asked, "alice").unwrap_err();
    assert!(error.contains(expect), "{error}");
    assert!(!error.contains("replicas"), "{error}");
}

#[tokio::test]
async fn knobs_are_approved_and_cut_short_in_their_own_words() {
    let open = |sequence| runtime_change(sequence, json!({"status": {"phase": "Verifying"}}));
    let server = Server::with("request-knobs", [policy(of_knobs()), open(2)]).await;
    let said = ask(&server.connection, "shop", "checkout-1-runtime-app-2", ABORT)
        .await
        .unwrap();
    assert!(said.contains("the knobs stay as they are, unverified"), "{said}");
    let server = Server::with("request-knobs-back", [policy(of_knobs()), open(2)]).await;
    let said = ask(&server.connection, "shop", "checkout-1-runtime-app-2", BACK)
        .await
        .unwrap();
    assert!(said.contains("with the next pass, to boot, as far as"), "{said}");
    let closed = made(&runtime_change(2, json!({"status": {"phase": "Committed"}})));
    let error = decide(&closed, BACK, "jo").unwrap_err();
    assert!(
        error.contains("its knobs stay")
            && error.contains("flyball release checkout -n shop")
            && error.contains("they were boot"),
        "{error}"
    );
    assert!(!error.contains("kubectl scale"), "{error}");
}
