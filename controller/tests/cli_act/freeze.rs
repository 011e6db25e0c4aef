//! The red button: what it writes, and how the controller reads it.

use crate::api::Server;
use flyball_controller::{
    cli::{
        freeze::{Cut, Pressed, banner, go_on, let_go, lift, pause, press, press_to_cut},
        screen::Style,
    },
    observe::freeze::{Freeze, Frozen, State},
};
use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::OwnerReference};
use rstest::rstest;
use serde_json::{Value, json};
use std::time::Duration;
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{path, query_param, query_param_is_missing},
};

const PLACE: &str = "flyball-system";

fn button(data: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "flyball-freeze", "namespace": PLACE, "creationTimestamp": "2026-01-02T03:04:05Z"},
        "data": data,
    })
}

#[tokio::test]
async fn pressing_it_says_who_and_why_and_lifting_it_leaves_nothing() {
    let server = Server::with("freeze", []).await;
    let said = press(&server.connection, PLACE, "a migration").await.unwrap();
    assert!(
        said.starts_with("Frozen: ") && said.ends_with("flyball unfreeze\n"),
        "{said}"
    );
    assert_eq!(server.writes(), ["POST configmaps/flyball-freeze"]);
    let map = server.get("configmaps/flyball-freeze").unwrap();
    assert_eq!(
        (&map["data"]["by"], &map["data"]["reason"]),
        (&json!("alice"), &json!("a migration"))
    );
    let at = map["data"]["at"].as_str().unwrap();
    assert!(at.len() == 20 && at.ends_with('Z'), "{at}");

    let again = press(&server.connection, PLACE, "another").await.unwrap();
    assert!(
        again.contains("frozen already, by alice at ") && again.contains(": a migration;"),
        "{again}"
    );
    assert_eq!(
        server.get("configmaps/flyball-freeze").unwrap(),
        map,
        "the first reason stays"
    );
    server.writes();

    let lifted = lift(&server.connection, PLACE).await.unwrap();
    assert!(lifted.starts_with("Not frozen any more; it was, by alice"), "{lifted}");
    assert_eq!(server.writes(), ["DELETE configmaps/flyball-freeze"]);
    assert_eq!(lift(&server.connection, PLACE).await.unwrap(), "It was not frozen.\n");
    assert_eq!(server.writes(), [""; 0]);
}

/// As `flyball drain` presses it.
#[tokio::test]
async fn what_is_open_is_cut_short_by_a_word_in_it() {
    let cut = |owners| Cut {
        reason: "the release is uninstalled",
        owners,
    };
    let server = Server::with("freeze-cut", []).await;
    let pod = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        name: "flyball-1".to_owned(),
        uid: "p-1".to_owned(),
        ..OwnerReference::default()
    };
    let pressed = press_to_cut(&server.connection, PLACE, cut(vec![pod])).await.unwrap();
    let map = server.get("configmaps/flyball-freeze").unwrap();
    let frozen = Frozen::of(&serde_json::from_value(map.clone()).unwrap());
    assert!(frozen.cuts_short);
    assert_eq!(frozen.reason.as_deref(), Some("the release is uninstalled"));
    assert_eq!(map["metadata"]["ownerReferences"][0]["uid"], "p-1");
    let_go(&server.connection, PLACE, &pressed).await.unwrap();
    assert_eq!(server.get("configmaps/flyball-freeze"), None);

    // Somebody's own button stays theirs, and goes on holding everything when the word is taken out again.
    press(&server.connection, PLACE, "a migration").await.unwrap();
    let before = server.get("configmaps/flyball-freeze").unwrap()["data"].clone();
    server.writes();
    let pressed = press_to_cut(&server.connection, PLACE, cut(Vec::new())).await.unwrap();
    assert!(matches!(pressed, Pressed::Before));
    let mut with = before.clone();
    with["changes"] = json!("cut-short");
    assert_eq!(server.get("configmaps/flyball-freeze").unwrap()["data"], with);
    let_go(&server.connection, PLACE, &pressed).await.unwrap();
    assert_eq!(server.get("configmaps/flyball-freeze").unwrap()["data"], before);
    assert_eq!(
        server.writes(),
        [
            "POST configmaps/flyball-freeze",
            "PATCH configmaps/flyball-freeze",
            "PATCH configmaps/flyball-freeze",
        ]
    );
}

#[rstest]
#[case(json!({"changes": "cut-short"}), true)]
#[case(json!({"changes": " cut-short\n"}), true)]
// Another word is of another version, and nothing that may be guessed.
#[case(json!({"changes": "roll-back"}), false)]
#[case(json!({}), false)]
fn only_that_word_cuts_short(#[case] data: Value, #[case] expect: bool) {
    let map: ConfigMap = serde_json::from_value(button(data)).unwrap();
    assert_eq!(Frozen::of(&map).cuts_short, expect);
    assert_eq!(Freeze::known(State::Frozen(Frozen::of(&map))).cuts_short(), expect);
}

#[tokio::test]
async fn a_missing_right_is_named() {
    let server = Server::with("freeze-denied", []).await;
    server.deny("create configmaps");
    assert_eq!(
        press(&server.connection, PLACE, "").await.unwrap_err().to_string(),
        "no right to create configmaps in namespace flyball-system; ask for it, and try it with: \
         kubectl auth can-i create configmaps --namespace flyball-system"
    );
}

#[rstest]
#[case(json!({"by": "alice", "at": "T", "reason": "a migration"}), "by alice at T: a migration")]
#[case(json!({"by": "alice", "at": "T"}), "by alice at T: no reason is given")]
// Somebody made it with kubectl.
#[case(Value::Null, "by somebody at 2026-01-02T03:04:05Z: no reason is given")]
#[case(json!({"by": "a\u{1b}[2J", "at": "T", "reason": " "}), "by a\\u{1b}[2J at T: no reason is given")]
fn whatever_is_in_it_it_freezes(#[case] data: Value, #[case] expect: &str) {
    let map: ConfigMap = serde_json::from_value(button(data)).unwrap();
    assert_eq!(Frozen::of(&map).to_string(), expect);
}

#[test]
fn a_banner_says_the_way_back() {
    let frozen = Frozen {
        by: Some("alice".to_owned()),
        ..Frozen::default()
    };
    let style = Style {
        colour: false,
        unicode: false,
        width: None,
    };
    assert_eq!(
        banner(&frozen, PLACE, style),
        "FROZEN by alice: no reason is given. Nothing is written but roll-backs. To go on: flyball unfreeze\n\n"
    );
    assert!(banner(&frozen, "team", style).contains("flyball unfreeze --namespace-of-controller team\n"));
}

#[test]
fn a_button_that_is_not_known_counts_as_pressed() {
    assert_eq!(Freeze::known(State::Free).frozen(), None);
    let frozen = Freeze::known(State::Frozen(Frozen::default())).frozen();
    assert_eq!(frozen.as_deref(), Some("by somebody: no reason is given"));
    let unknown = Freeze::known(State::Unknown).frozen().unwrap();
    assert!(
        unknown.contains("is not known") && unknown.contains("flyball-freeze"),
        "{unknown}"
    );
}

/// A list that is empty, then what the watch tells.
#[tokio::test]
async fn the_controller_sees_it_pressed_and_lifted() {
    const MAPS: &str = "/api/v1/namespaces/flyball-system/configmaps";
    let server = MockServer::start().await;
    let only = "metadata.name=flyball-freeze";
    let list = json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "1"}, "items": []});
    Mock::given(path(MAPS))
        .and(query_param("fieldSelector", only))
        .and(query_param_is_missing("watch"))
        .respond_with(ResponseTemplate::new(200).set_body_json(list))
        .mount(&server)
        .await;
    let event = |kind: &str, version: &str, name: &str| {
        let mut object = button(json!({"by": "alice", "at": "T"}));
        object["metadata"]["resourceVersion"] = json!(version);
        object["metadata"]["name"] = json!(name);
        json!({"type": kind, "object": object}).to_string() + "\n"
    };
    let steps = [
        event("ADDED", "2", "another"),
        event("ADDED", "3", "flyball-freeze"),
        event("DELETED", "4", "flyball-freeze"),
    ];
    let count = std::sync::atomic::AtomicUsize::new(0);
    let watch = move |_: &Request| {
        let nth = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let quiet = ResponseTemplate::new(200).set_delay(Duration::from_mins(5));
        steps.get(nth).map_or(quiet, |step| {
            ResponseTemplate::new(200)
                .set_body_string(step.clone())
                .set_delay(Duration::from_millis(200))
        })
    };
    Mock::given(path(MAPS))
        .and(query_param("fieldSelector", only))
        .and(query_param("watch", "true"))
        .respond_with(watch)
        .mount(&server)
        .await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = kube::Client::try_from(kube::Config::new(server.uri().parse().unwrap())).unwrap();
    let mut freeze = Freeze::watch(&client, PLACE);
    freeze.ready().await;
    assert_eq!(freeze.frozen(), None);
    freeze.state();
    while freeze.state() == State::Free {
        freeze.changed().await;
    }
    assert_eq!(freeze.frozen().as_deref(), Some("by alice at T: no reason is given"));
    freeze.changed().await;
    assert_eq!(freeze.frozen(), None, "another ConfigMap is none of ours");
}

#[tokio::test]
async fn a_namespace_is_frozen_by_its_annotation_and_the_first_reason_stays() {
    let shop = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "uid": "n-1", "annotations": {"team": "a"}}});
    let server = Server::with("freeze-namespace", [shop]).await;
    let annotations = || server.get("namespaces/shop").unwrap()["metadata"]["annotations"].clone();
    let said = pause(&server.connection, "shop", "incident 12").await.unwrap();
    assert!(
        said.starts_with("Frozen: no change begins in namespace shop") && said.ends_with("flyball unfreeze -n shop\n"),
        "{said}"
    );
    assert_eq!(annotations(), json!({"team": "a", "flyball.dev/paused": "incident 12"}));
    let again = pause(&server.connection, "shop", "").await.unwrap();
    assert!(
        again.contains("frozen already") && again.contains("(incident 12)"),
        "{again}"
    );
    assert_eq!(server.writes(), ["PATCH namespaces/shop"]);

    let said = go_on(&server.connection, "shop").await.unwrap();
    assert!(said.starts_with("Namespace shop is not frozen any more"), "{said}");
    assert_eq!(annotations(), json!({"team": "a"}));
    assert_eq!(
        go_on(&server.connection, "shop").await.unwrap(),
        "Namespace shop was not frozen.\n"
    );
    // A reason that would read as a no.
    pause(&server.connection, "shop", "false").await.unwrap();
    assert_eq!(annotations()["flyball.dev/paused"], "true");
    let missing = pause(&server.connection, "other", "").await.unwrap_err().to_string();
    assert_eq!(missing, "there is no namespace other; see: kubectl get namespaces");
}
