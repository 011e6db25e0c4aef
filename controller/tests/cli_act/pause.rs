//! Suspending a policy, and pausing one direction of it.

use crate::{
    api::{Server, ago},
    build::{of_knobs, policy},
};
use flyball_controller::cli::{
    Cli,
    pause::{self, Which},
    suspend,
};
use flyball_core::time::Span;
use rstest::rstest;
use serde_json::{Value, json};

const POLICY: &str = "feedbackpolicies/checkout";
const WRITTEN: [&str; 1] = ["PATCH feedbackpolicies/checkout"];
const UP: Which = Which { up: true, down: false };
const DOWN: Which = Which { up: false, down: true };
const BOTH: Which = Which { up: true, down: true };

fn spec(server: &Server) -> Value {
    server.get(POLICY).unwrap()["spec"].clone()
}

#[tokio::test]
async fn a_policy_is_suspended_and_goes_on() {
    let server = Server::with("suspend", [policy(json!({}))]).await;
    let set = async |suspended| {
        suspend::set(&server.connection, "shop", "checkout", suspended)
            .await
            .unwrap()
    };
    let said = set(true).await;
    assert!(
        said.contains("The Change checkout-1-replicas-2, if it is still open, is cut short"),
        "{said}"
    );
    assert!(said.ends_with("flyball resume checkout -n shop\n"), "{said}");
    assert_eq!(
        (spec(&server)["suspend"].clone(), server.writes()),
        (json!(true), WRITTEN.map(str::to_owned).to_vec())
    );
    assert_eq!(set(true).await, "shop/checkout is suspended already.\n");
    assert_eq!(server.writes(), [""; 0]);
    assert!(set(false).await.contains("goes on"));
    assert_eq!(spec(&server)["suspend"], Value::Null, "as it was before");
}

/// The controller writes the policy's status whenever something happens.
#[tokio::test]
async fn a_write_is_held_to_the_version_that_was_read() {
    let server = Server::with("suspend-conflict", [policy(json!({}))]).await;
    let body = async |server: &Server| {
        suspend::set(&server.connection, "shop", "checkout", true)
            .await
            .unwrap();
        server.last_body()
    };
    let metadata = body(&server).await["metadata"].clone();
    assert_eq!(metadata, json!({"uid": "p-1", "resourceVersion": "1"}));

    let missing = suspend::set(&server.connection, "shop", "cart", true)
        .await
        .unwrap_err();
    assert_eq!(
        missing.to_string(),
        "there is no FeedbackPolicy \"cart\" in namespace shop; see all of them with: flyball get -A"
    );
    server.deny("patch feedbackpolicies");
    let denied = suspend::set(&server.connection, "shop", "checkout", false)
        .await
        .unwrap_err();
    assert!(
        denied
            .to_string()
            .ends_with("kubectl auth can-i patch feedbackpolicies.flyball.dev --namespace shop"),
        "{denied}"
    );
}

#[tokio::test]
async fn a_direction_is_paused_for_a_time() {
    let server = Server::with("pause", [policy(json!({}))]).await;
    let hours = Some(Span::from_secs(7200));
    let said = pause::set(&server.connection, "shop", "checkout", UP, hours, "a migration")
        .await
        .unwrap();
    assert!(
        said.contains("increases are paused, until ") && said.contains("(in 2h)"),
        "{said}"
    );
    let paused = spec(&server)["pause"].clone();
    assert_eq!(
        (&paused["up"]["reason"], &paused["down"]),
        (&json!("a migration"), &Value::Null)
    );
    let until: jiff::Timestamp = paused["up"]["until"].as_str().unwrap().parse().unwrap();
    let left = until.as_millisecond() - flyball_controller::clock::now().as_millis();
    assert!((7_190_000..7_203_000).contains(&left), "{left}");

    // Anew, without an end and without a reason.
    pause::set(&server.connection, "shop", "checkout", BOTH, None, "")
        .await
        .unwrap();
    assert_eq!(spec(&server)["pause"], json!({"up": {}, "down": {}}));
    server.writes();
    let again = pause::set(&server.connection, "shop", "checkout", DOWN, None, "")
        .await
        .unwrap();
    assert!(
        again.contains("decreases are paused already, until flyball unpause"),
        "{again}"
    );
    assert_eq!(server.writes(), [""; 0]);
}

#[rstest]
#[case::one(json!({"up": {}, "down": {}}), UP, json!({"down": {}}), "the pause is taken out. Still paused: decreases.")]
#[case::both(json!({"up": {}, "down": {}}), BOTH, Value::Null, "the pause is taken out.")]
#[case::the_only_one(json!({"up": {}}), BOTH, Value::Null, "the pause is taken out.")]
#[case::over(json!({"up": {}, "down": {"until": ago(60)}}), UP, json!({"down": {"until": ago(60)}}), "the pause is taken out.\n")]
#[case::none(json!({"up": {}}), DOWN, json!({"up": {}}), "no pause of decreases is set.")]
#[case::none_at_all(Value::Null, BOTH, Value::Null, "no pause of increases and decreases is set.")]
#[tokio::test]
async fn a_pause_is_taken_out(#[case] paused: Value, #[case] which: Which, #[case] left: Value, #[case] expect: &str) {
    let test = format!(
        "unpause-{}",
        expect.len() + left.to_string().len() * 1000 + usize::from(which.up) * 100_000
    );
    let server = Server::with(&test, [policy(json!({"spec": {"pause": paused}}))]).await;
    let said = pause::lift(&server.connection, "shop", "checkout", which)
        .await
        .unwrap();
    assert!(said.contains(expect), "{said}");
    let strip = |value: &Value| value.to_string().split('.').next().unwrap_or_default().to_owned();
    assert_eq!(strip(&spec(&server)["pause"]), strip(&left));
}

#[rstest]
#[case(&["pause", "checkout", "--up"], true)]
#[case(&["pause", "checkout", "--up", "--down", "--for", "2h", "--reason", "x"], true)]
#[case(&["pause", "checkout"], false)]
#[case(&["pause", "--up"], false)]
#[case(&["pause", "checkout", "--up", "--for", "0s"], false)]
#[case(&["pause", "checkout", "--up", "--for", "soon"], false)]
#[case(&["unpause", "checkout"], true)]
#[case(&["unpause", "checkout", "--down", "-n", "shop"], true)]
#[case(&["suspend", "checkout", "-n", "shop"], true)]
#[case(&["suspend"], false)]
#[case(&["resume", "checkout"], true)]
#[case(&["approve", "checkout-1-replicas-2", "-n", "shop"], true)]
#[case(&["approve"], false)]
#[case(&["abort", "checkout-1-replicas-2"], true)]
#[case(&["rollback", "checkout-1-replicas-2"], true)]
#[case(&["import", "hpa", "web"], true)]
#[case(&["import", "hpa"], false)]
#[case(&["import", "hpa", "-f", "hpa.yaml"], true)]
#[case(&["import", "scaledobject", "worker", "-n", "shop", "--source", "thanos"], true)]
#[case(&["import", "so", "worker"], true)]
#[case(&["import", "deployment", "web"], false)]
#[case(&["takeover", "checkout", "--hpa", "web", "--yes"], true)]
#[case(&["takeover", "checkout", "--scaledobject", "web", "-y", "--timeout", "120"], true)]
#[case(&["takeover", "checkout", "--hpa", "web", "--scaledobject", "web"], false)]
#[case(&["takeover"], false)]
#[case(&["release", "checkout", "-n", "shop"], true)]
#[case(&["release", "--all"], true)]
#[case(&["release", "--all", "-A", "--allow-dip"], true)]
#[case(&["release", "--all", "-n", "shop"], true)]
#[case(&["release", "--all", "-A", "-n", "shop"], false)]
#[case(&["release", "checkout", "--all"], false)]
#[case(&["release", "-A"], false)]
#[case(&["release"], false)]
#[case(&["freeze"], true)]
#[case(&["freeze", "--reason", "a migration"], true)]
#[case(&["freeze", "--status"], true)]
#[case(&["freeze", "--status", "--reason", "x"], false)]
#[case(&["unfreeze", "--namespace-of-controller", "x"], true)]
fn arguments(#[case] words: &[&str], #[case] expect: bool) {
    let words = [&["flyball"], words].concat();
    let parsed = <Cli as clap::Parser>::try_parse_from(&words);
    assert_eq!(
        parsed.is_ok(),
        expect,
        "{words:?}: {:?}",
        parsed.err().map(|error| error.to_string())
    );
}

#[test]
fn a_reason_has_an_end() {
    let long = "x".repeat(257);
    let words = ["flyball", "freeze", "--reason", &long];
    let error = <Cli as clap::Parser>::try_parse_from(words).unwrap_err().to_string();
    assert!(error.contains("257 characters, at most 256 are kept"), "{error}");
}

/// A policy that moves weights, as far as these commands look at it.
fn of_weights() -> Value {
    policy(json!({"spec": {"actions": [{
        "name": "shift",
        "weights": {
            "backends": [{"name": "a", "weight": 1}, {"name": "b", "weight": 1}], "failover": {}, "traffic": {"proxy": "Traefik"},
        },
    }]}}))
}

#[tokio::test]
async fn what_stands_still_is_said_of_weights_too() {
    let server = Server::with("pause-weights", [of_weights()]).await;
    let said = pause::set(&server.connection, "shop", "checkout", UP, None, "")
        .await
        .unwrap();
    assert!(said.contains("so none moves, and no backend is taken out"), "{said}");
    let said = suspend::set(&server.connection, "shop", "checkout", true)
        .await
        .unwrap();
    assert!(
        said.contains("it begins no change, and the weights stay as they are"),
        "{said}"
    );
    let server = Server::with("pause-replicas", [policy(json!({}))]).await;
    let said = pause::set(&server.connection, "shop", "checkout", UP, None, "")
        .await
        .unwrap();
    assert!(!said.contains("eights"), "{said}");
}

#[tokio::test]
async fn what_stands_still_is_said_of_knobs_too() {
    let server = Server::with("pause-knobs", [policy(of_knobs())]).await;
    let said = pause::set(&server.connection, "shop", "checkout", UP, None, "")
        .await
        .unwrap();
    assert!(said.contains("Knobs have no up and down, so none moves"), "{said}");
    let said = suspend::set(&server.connection, "shop", "checkout", true)
        .await
        .unwrap();
    assert!(
        said.contains("no lease is renewed, so within 20m each process has its boot values again")
            && !said.contains("number of replicas"),
        "{said}"
    );
}
