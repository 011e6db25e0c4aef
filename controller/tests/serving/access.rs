//! Who may read the metrics, by the API server's reviews.

use crate::build::{Mood, Reviews, user};
use flyball_controller::server::access::{Access, Refusal};
use futures::future::join_all;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use rstest::rstest;
use serde_json::{Value, json};
use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};
use tokio::time::Instant;

const PROMETHEUS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

fn headers(all: &[&str]) -> HeaderMap {
    all.iter()
        .map(|value| (AUTHORIZATION, HeaderValue::from_str(value).unwrap()))
        .collect()
}

async fn asks(access: &Access, token: &str, peer: IpAddr, now: Instant) -> Result<(), Refusal> {
    access.check(&headers(&[&format!("Bearer {token}")]), peer, now).await
}

#[tokio::test(start_paused = true)]
async fn the_reviews_are_of_the_token_and_of_the_user_that_it_is_of() {
    let whole = json!({"authenticated": true, "user": {
        "username": "system:serviceaccount:monitoring:prometheus", "uid": "1-2-3",
        "groups": ["system:serviceaccounts", "system:authenticated"],
        "extra": {"authentication.kubernetes.io/pod-name": ["prometheus-0"]},
    }});
    let name = "system:serviceaccount:monitoring:prometheus";
    let reviews = Reviews::new(&[("good", whole)], &[(name, json!({"allowed": true}))]);
    let (access, _) = reviews.access();
    assert_eq!(asks(&access, "good", PROMETHEUS, Instant::now()).await, Ok(()));
    let asked = reviews.asked();
    let (paths, specs): (Vec<_>, Vec<_>) = asked.iter().map(|(path, body)| (path.as_str(), &body["spec"])).unzip();
    assert_eq!(
        paths,
        [
            "/apis/authentication.k8s.io/v1/tokenreviews",
            "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        ]
    );
    // No audience: that of the API server.
    assert_eq!(specs[0], &json!({"token": "good"}));
    let expect = json!({
        "user": name, "uid": "1-2-3", "groups": ["system:serviceaccounts", "system:authenticated"],
        "extra": {"authentication.kubernetes.io/pod-name": ["prometheus-0"]},
        "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
    });
    assert_eq!(specs[1], &expect);
}

#[rstest]
#[case::none(&[])]
#[case::empty(&["Bearer "])]
#[case::without_a_scheme(&["good"])]
#[case::another_scheme(&["Basic good"])]
#[case::two(&["Bearer good", "Bearer other"])]
#[case::two_words(&["Bearer good other"])]
#[tokio::test(start_paused = true)]
async fn what_can_be_no_token_costs_no_review(#[case] all: &[&str]) {
    let reviews = Reviews::of_a_reader();
    let (access, _) = reviews.access();
    let found = access.check(&headers(all), STRANGER, Instant::now()).await;
    assert_eq!(found, Err(Refusal::NoToken));
    assert!(reviews.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_token_has_an_end() {
    let (fits, too_long) = ("a".repeat(16 * 1024), "a".repeat(16 * 1024 + 1));
    let reviews = Reviews::new(&[(&fits, user("reader"))], &[("reader", json!({"allowed": true}))]);
    let (access, _) = reviews.access();
    let now = Instant::now();
    assert_eq!(asks(&access, &too_long, STRANGER, now).await, Err(Refusal::NoToken));
    assert!(reviews.asked().is_empty());
    assert_eq!(asks(&access, &fits, STRANGER, now).await, Ok(()));
}

#[rstest]
#[case::a_reader(user("reader"), json!({"allowed": true}), Ok(()))]
#[case::no_reader(user("reader"), json!({"allowed": false}), Err(Refusal::Forbidden("reader".to_owned())))]
// An authorizer that denies is not outvoted.
#[case::denied(user("reader"), json!({"allowed": true, "denied": true}), Err(Refusal::Forbidden("reader".to_owned())))]
#[case::nobody(json!({"authenticated": false}), json!({"allowed": true}), Err(Refusal::Unknown))]
#[case::unsaid(json!({"user": {"username": "reader"}}), json!({"allowed": true}), Err(Refusal::Unknown))]
#[case::nameless(user(""), json!({"allowed": true}), Err(Refusal::Unknown))]
#[case::without_a_user(json!({"authenticated": true}), json!({"allowed": true}), Err(Refusal::Unknown))]
#[case::without_a_status(Value::Null, json!({"allowed": true}), Err(Refusal::Unknown))]
#[case::a_right_without_a_status(user("reader"), Value::Null, Err(Refusal::Forbidden("reader".to_owned())))]
#[tokio::test(start_paused = true)]
async fn only_a_known_user_with_the_right_may_read(
    #[case] token: Value,
    #[case] right: Value,
    #[case] expect: Result<(), Refusal>,
) {
    let reviews = Reviews::new(&[("good", token)], &[("reader", right.clone()), ("", right)]);
    let (access, _) = reviews.access();
    assert_eq!(asks(&access, "good", PROMETHEUS, Instant::now()).await, expect);
}

#[rstest]
#[case::it_fails(Mood::Fails(500))]
#[case::we_may_not_ask(Mood::Fails(403))]
#[case::it_is_no_review(Mood::Babbles)]
#[case::it_hangs(Mood::Hangs)]
#[tokio::test(start_paused = true)]
async fn what_can_t_be_asked_is_refused_and_not_remembered(#[case] mood: Mood) {
    let reviews = Reviews::of_a_reader();
    let (access, metrics) = reviews.access();
    reviews.mood(mood);
    let began = Instant::now();
    assert_eq!(
        asks(&access, "good", PROMETHEUS, began).await,
        Err(Refusal::Unavailable)
    );
    assert!(began.elapsed() <= Duration::from_secs(5), "a scrape waits 10 s");
    reviews.mood(Mood::Answers);
    assert_eq!(asks(&access, "good", PROMETHEUS, Instant::now()).await, Ok(()));
    let text = metrics.encode();
    for (result, count) in [("unavailable", 1), ("allowed", 1), ("limited", 0)] {
        let line = format!("flyball_metrics_requests_total{{result=\"{result}\"}} {count}\n");
        assert!(text.contains(&line), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_remembered_for_a_while() {
    let reviews = Reviews::of_a_reader();
    let (access, _) = reviews.access();
    let began = Instant::now();
    let after = |millis| began + Duration::from_millis(millis);
    assert_eq!(asks(&access, "good", PROMETHEUS, began).await, Ok(()));
    assert_eq!(reviews.tokens(), 1);
    reviews.may("reader", false);
    assert_eq!(asks(&access, "good", PROMETHEUS, after(59_999)).await, Ok(()));
    assert_eq!(reviews.tokens(), 0);
    let forbidden = Err(Refusal::Forbidden("reader".to_owned()));
    assert_eq!(asks(&access, "good", PROMETHEUS, after(60_000)).await, forbidden);
    assert_eq!(reviews.tokens(), 1);
    // And so is a refusal, for less.
    reviews.may("reader", true);
    assert_eq!(asks(&access, "good", PROMETHEUS, after(69_999)).await, forbidden);
    assert_eq!(reviews.tokens(), 0);
    assert_eq!(asks(&access, "good", PROMETHEUS, after(70_000)).await, Ok(()));
    assert_eq!(reviews.tokens(), 1);
}

/// While the API server is away, nobody is let in beyond what is remembered.
#[tokio::test(start_paused = true)]
async fn who_was_known_is_not_let_in_for_ever() {
    let reviews = Reviews::of_a_reader();
    let (access, _) = reviews.access();
    let began = Instant::now();
    assert_eq!(asks(&access, "good", PROMETHEUS, began).await, Ok(()));
    reviews.mood(Mood::Fails(500));
    let later = began + Duration::from_secs(59);
    assert_eq!(asks(&access, "good", PROMETHEUS, later).await, Ok(()));
    let later = began + Duration::from_secs(60);
    assert_eq!(
        asks(&access, "good", PROMETHEUS, later).await,
        Err(Refusal::Unavailable)
    );
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_one_address_is_its_own_loss() {
    let reviews = Reviews::of_a_reader();
    let (access, _) = reviews.access();
    let began = Instant::now();
    assert_eq!(asks(&access, "good", PROMETHEUS, began).await, Ok(()));
    assert_eq!(reviews.tokens(), 1);
    let mut refused = Vec::new();
    for n in 0..1000 {
        refused.push(asks(&access, &format!("guess-{n}"), STRANGER, began).await);
    }
    let limited = |it: &Result<(), Refusal>| matches!(it, Err(Refusal::Limited(_)));
    // Five at once.
    assert!(
        refused[..5].iter().all(|it| *it == Err(Refusal::Unknown)),
        "{:?}",
        &refused[..6]
    );
    assert!(refused[5..].iter().all(limited));
    assert_eq!(reviews.tokens(), 5);
    // Another one after two seconds.
    let later = began + Duration::from_secs(2);
    assert_eq!(asks(&access, "guess-6", STRANGER, later).await, Err(Refusal::Unknown));
    assert!(limited(&asks(&access, "guess-7", STRANGER, later).await));
    // The same guess again costs nothing, and whoever has a token of their own is not held up.
    assert_eq!(reviews.tokens(), 1);
    assert_eq!(asks(&access, "guess-6", STRANGER, later).await, Err(Refusal::Unknown));
    assert_eq!(asks(&access, "good", PROMETHEUS, later).await, Ok(()));
    assert_eq!(reviews.tokens(), 0);
    // Nor by a flood of their own address, when they have to be asked about again.
    let expired = began + Duration::from_secs(61);
    for n in 0..10 {
        let guess = asks(&access, &format!("again-{n}"), PROMETHEUS, expired).await;
        assert_eq!(limited(&guess), n >= 5, "{n}: {guess:?}");
    }
    assert_eq!(asks(&access, "good", PROMETHEUS, expired).await, Ok(()));
    assert_eq!(reviews.tokens(), 6);
    // Whose right was taken is a stranger again.
    reviews.may("reader", false);
    let later = expired + Duration::from_secs(60);
    let forbidden = Err(Refusal::Forbidden("reader".to_owned()));
    assert_eq!(asks(&access, "good", PROMETHEUS, later).await, forbidden);
    for n in 0..5 {
        asks(
            &access,
            &format!("more-{n}"),
            PROMETHEUS,
            later + Duration::from_secs(10),
        )
        .await
        .unwrap_err();
    }
    let last = asks(&access, "good", PROMETHEUS, later + Duration::from_secs(10)).await;
    assert!(limited(&last), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_many_addresses_is_bounded_too() {
    let reviews = Reviews::of_a_reader();
    let (access, _) = reviews.access();
    let began = Instant::now();
    assert_eq!(asks(&access, "good", PROMETHEUS, began).await, Ok(()));
    for n in 0..2000 {
        let peer = IpAddr::V4(Ipv4Addr::from_bits(0x0b00_0000 + n));
        assert!(asks(&access, &format!("guess-{n}"), peer, began).await.is_err());
    }
    // Thirty at once, with the one of the reader.
    assert_eq!(reviews.tokens(), 30);
    assert_eq!(asks(&access, "good", PROMETHEUS, began).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_slow_api_server_holds_no_more_than_so_many_callers() {
    let reviews = Reviews::of_a_reader();
    let (access, _) = reviews.access();
    reviews.mood(Mood::Hangs);
    let now = Instant::now();
    let callers = (0..20).map(|n| {
        let access = &access;
        async move { asks(access, &format!("t-{n}"), IpAddr::V4(Ipv4Addr::from_bits(n)), now).await }
    });
    let found = join_all(callers).await;
    let count = |refusal: &Refusal| found.iter().filter(|it| it.as_ref() == Err(refusal)).count();
    assert_eq!(count(&Refusal::Unavailable), 16);
    assert_eq!(count(&Refusal::Limited(Duration::from_secs(5))), 4);
    assert_eq!(reviews.tokens(), 16);
    reviews.mood(Mood::Answers);
    assert_eq!(asks(&access, "good", PROMETHEUS, Instant::now()).await, Ok(()));
}
