//! Events as other systems take them.

#![allow(clippy::unwrap_used, clippy::panic)]

use flyball_controller::{
    metrics::Metrics,
    observe::{known, source::addresses::Addresses},
    record::{
        cloudevents::{CloudEvents, QUEUE, Receivers},
        events::{Events, Told, target_reference},
    },
};
use flyball_crds::{EventReceiver, FeedbackPolicy, Reason, TargetRef};
use http::{Request, Response};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Client, Resource,
    client::Body,
    runtime::{reflector, reflector::Store, watcher},
};
use rstest::rstest;
use serde_json::{Value, json};
use std::{
    env, fs,
    pin::pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tower_test::mock;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::method};

/// An API server that takes every Event.
fn server() -> Client {
    let (service, handle) = mock::pair::<Request<Body>, Response<Body>>();
    tokio::spawn(async move {
        let mut handle = pin!(handle);
        while let Some((request, respond)) = handle.next_request().await {
            let body = request.into_body().collect_bytes().await.unwrap();
            respond.send_response(Response::builder().status(201).body(Body::from(body)).unwrap());
        }
    });
    Client::new(service, "default")
}

fn about(name: &str, note: &str) -> Told {
    let target = TargetRef {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        name: name.into(),
    };
    Told {
        regarding: target_reference("shop", &target, Some("uid-1".to_owned())),
        related: None,
        reason: Reason::RolledBack,
        note: note.to_owned(),
    }
}

fn count(metrics: &Metrics, receiver: &str, result: &str) -> u64 {
    let line = format!("flyball_cloudevents_total{{receiver=\"{receiver}\",result=\"{result}\"}} ");
    let text = metrics.encode();
    let found = text.lines().find_map(|found| found.strip_prefix(&line));
    found.map_or(0, |number| number.parse().unwrap())
}

/// The publisher and the senders at work.
struct World {
    events: Events,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl World {
    fn new(receivers: Receivers, policies: Vec<FeedbackPolicy>, secrets: &Store<Secret>) -> Self {
        let metrics = Arc::new(Metrics::new());
        let (events, publisher) = Events::new(server(), "us", Arc::clone(&metrics));
        let (cloud, senders) = CloudEvents::new(&Arc::new(receivers), known::store(policies), secrets, &metrics);
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(publisher.and(Some(cloud)).run(stop.clone()));
        for sender in senders {
            tasks.spawn(sender.run(stop.clone()));
        }
        Self {
            events,
            metrics,
            stop,
            tasks,
        }
    }

    /// Waits until of so many events it is known whether the receiver took them.
    async fn known(&self, receiver: &str, results: u64) {
        let known = || count(&self.metrics, receiver, "ok") + count(&self.metrics, receiver, "error");
        for _ in 0..1200 {
            if known() >= results {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("{receiver}: {} of {results} in a minute", known());
    }

    async fn end(self) -> Arc<Metrics> {
        self.stop.cancel();
        self.tasks.join_all().await;
        self.metrics
    }
}

fn own(url: &str) -> Receivers {
    Receivers::new(Some((url, None)), &[], "/flyball").unwrap()
}

/// Publishes these notes of one object, and waits until so many were taken, or not.
async fn published(receivers: Receivers, notes: &[&str], results: u64) -> Arc<Metrics> {
    let world = World::new(receivers, Vec::new(), &known::store(Vec::new()));
    for note in notes {
        world.events.publish(about("web", note));
    }
    world.known("default", results).await;
    world.end().await
}

async fn receiver(answers: &[u16]) -> MockServer {
    let receiver = MockServer::start().await;
    for (index, status) in answers.iter().enumerate() {
        let mock = Mock::given(method("POST")).respond_with(ResponseTemplate::new(*status));
        let last = index + 1 == answers.len();
        let mock = if last { mock } else { mock.up_to_n_times(1) };
        mock.with_priority(u8::try_from(index + 1).unwrap())
            .mount(&receiver)
            .await;
    }
    receiver
}

#[tokio::test]
async fn an_event_is_a_cloud_event_in_structured_mode() {
    let receiver = receiver(&[202]).await;
    let token = env::temp_dir().join(format!("flyball-sink-token-{}", std::process::id()));
    fs::write(&token, "0123456789abcdef0123456789abcdef\n").unwrap();
    let url = format!("{}/events?key=k", receiver.uri());
    let receivers = Receivers::new(Some((&url, Some(&token))), &[], "/clusters/one").unwrap();
    let metrics = published(receivers, &["back at 2", "back at 2"], 1).await;
    assert_eq!(count(&metrics, "default", "ok"), 1, "the same thing is said once");
    let requests = receiver.received_requests().await.unwrap();
    let request = &requests[0];
    assert_eq!(
        request.headers["content-type"],
        "application/cloudevents+json; charset=utf-8"
    );
    assert_eq!(
        request.headers["authorization"],
        "Bearer 0123456789abcdef0123456789abcdef"
    );
    let mut event: Value = serde_json::from_slice(&request.body).unwrap();
    let id = event["id"].take();
    assert!(id.as_str().unwrap().starts_with("web."), "{id}");
    let time = event["time"].take();
    assert!(time.as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{time}");
    assert_eq!(
        event,
        json!({
            "specversion": "1.0",
            "id": null,
            "time": null,
            "type": "dev.flyball.RolledBack",
            "source": "/clusters/one",
            "subject": "shop/Deployment/web",
            "datacontenttype": "application/json",
            "data": {
                "reason": "RolledBack",
                "severity": "Warning",
                "action": "RollBack",
                "note": "back at 2",
                "regarding": {
                    "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web", "uid": "uid-1",
                },
                "related": null,
                "instance": "us",
            },
        })
    );
    fs::remove_file(&token).unwrap();
}

#[tokio::test]
async fn one_that_is_not_taken_is_sent_again_as_the_same() {
    let receiver = receiver(&[503, 429, 200]).await;
    let metrics = published(own(&receiver.uri()), &["once"], 1).await;
    assert_eq!(
        (count(&metrics, "default", "ok"), count(&metrics, "default", "error")),
        (1, 0)
    );
    let requests = receiver.received_requests().await.unwrap();
    let ids: Vec<Value> = requests
        .iter()
        .map(|request| serde_json::from_slice::<Value>(&request.body).unwrap()["id"].clone())
        .collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn one_that_is_refused_is_not_sent_again_and_holds_no_other_up() {
    let receiver = receiver(&[400, 200]).await;
    let metrics = published(own(&receiver.uri()), &["first", "second"], 2).await;
    assert_eq!(
        (count(&metrics, "default", "ok"), count(&metrics, "default", "error")),
        (1, 1)
    );
    assert_eq!(receiver.received_requests().await.unwrap().len(), 2);
}

/// A redirect would take the token to another host.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = receiver(&[200]).await;
    let receiver = MockServer::start().await;
    let moved = ResponseTemplate::new(307).insert_header("location", elsewhere.uri());
    Mock::given(method("POST")).respond_with(moved).mount(&receiver).await;
    let metrics = published(own(&receiver.uri()), &["once"], 1).await;
    assert_eq!(count(&metrics, "default", "error"), 1);
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

/// By its name when it is sent, written out when the process starts.
#[tokio::test]
async fn an_address_that_is_not_allowed_takes_nothing() {
    let receiver = receiver(&[400]).await;
    let port = receiver.address().port();
    let allowed = |network: &str| Addresses::new(vec![network.parse().unwrap()], Vec::new());
    let at = |host: &str, addresses: &Addresses| {
        Receivers::among(
            Some((&format!("http://{host}:{port}"), None)),
            &[],
            "/flyball",
            addresses,
        )
    };
    let error = at("127.0.0.1", &allowed("10.0.0.0/8")).unwrap_err().to_string();
    assert!(
        error.starts_with("--cloudevents-url: address 127.0.0.1 is not in --allow-addresses"),
        "{error}"
    );
    let error = at("169.254.169.254", &Addresses::default()).unwrap_err().to_string();
    assert!(error.contains("link-local"), "{error}");
    let metrics = published(at("localhost", &Addresses::default()).unwrap(), &["once"], 1).await;
    assert_eq!(count(&metrics, "default", "error"), 1);
    assert_eq!(receiver.received_requests().await.unwrap().len(), 1);
    let sink = at("localhost", &allowed("10.0.0.0/8")).unwrap();
    let metrics = published(sink, &["once"], 1).await;
    assert_eq!(count(&metrics, "default", "error"), 1);
    assert_eq!(receiver.received_requests().await.unwrap().len(), 1);
}

#[allow(clippy::needless_pass_by_value, reason = "a call with json!(...) reads better")]
fn policy(name: &str, uid: &str, notifications: Value) -> FeedbackPolicy {
    let spec = json!({
        "sourceRef": {"name": "prometheus"},
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "notifications": notifications,
    });
    let mut policy = FeedbackPolicy::new(name, serde_json::from_value(spec).unwrap());
    policy.metadata.namespace = Some("shop".to_owned());
    policy.metadata.uid = Some(uid.to_owned());
    policy
}

/// Told of a policy.
fn told(policy: &FeedbackPolicy, reason: Reason, note: &str) -> Told {
    Told {
        regarding: policy.object_ref(&()),
        related: None,
        reason,
        note: note.to_owned(),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "a call with json!(...) reads better")]
fn declared(name: &str, url: &str, more: Value) -> EventReceiver {
    let mut spec = json!({"url": url});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    EventReceiver::new(name, serde_json::from_value(spec).unwrap())
}

/// What it was sent: the types in order.
async fn types(receiver: &MockServer) -> Vec<String> {
    let requests = receiver.received_requests().await.unwrap();
    let event = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap();
    let of = |body: &[u8]| event(body)["type"].as_str().unwrap().to_owned();
    requests.iter().map(|request| of(&request.body)).collect()
}

#[tokio::test]
async fn a_receiver_is_sent_what_policies_of_its_namespaces_ask_for() {
    let [all, team, picky, bank] = [
        receiver(&[200]).await,
        receiver(&[200]).await,
        receiver(&[200]).await,
        receiver(&[200]).await,
    ];
    let only = |namespace: &str| json!({"allowedNamespaces": {"from": "Names", "names": [namespace]}});
    let declared = [
        declared("team", &team.uri(), only("shop")),
        declared("picky", &picky.uri(), json!({})),
        declared("bank", &bank.uri(), only("bank")),
    ];
    let receivers = Receivers::new(Some((&all.uri(), None)), &declared, "/flyball").unwrap();
    let web = policy(
        "web",
        "uid-1",
        json!([
            {"receiver": "team", "severity": "Warning"},
            {"receiver": "picky", "reasons": ["Committed"]},
            {"receiver": "bank"},
            {"receiver": "nobody"},
        ]),
    );
    let silent = policy("silent", "uid-2", json!([]));
    let remade = policy("remade", "uid-3", json!([{"receiver": "team"}]));
    let world = World::new(
        receivers,
        vec![web.clone(), silent.clone(), remade],
        &known::store(Vec::new()),
    );
    world.events.publish(told(&web, Reason::Verifying, "replicas 2 -> 4"));
    world.events.publish(told(&web, Reason::Committed, "it helped"));
    world.events.publish(told(&silent, Reason::RolledBack, "back at 2"));
    // A policy of the same name before the one that is there.
    let gone = policy("remade", "uid-0", json!([]));
    world.events.publish(told(&gone, Reason::RolledBack, "back at 2"));
    // About the target and no policy.
    world.events.publish(about("web", "back at 2"));
    world.events.publish(told(&web, Reason::RolledBack, "back at 2"));
    world.known("default", 6).await;
    world.known("team", 1).await;
    world.known("picky", 1).await;
    let metrics = world.end().await;
    assert_eq!(
        types(&all).await,
        [
            "dev.flyball.Verifying",
            "dev.flyball.Committed",
            "dev.flyball.RolledBack",
            "dev.flyball.RolledBack",
            "dev.flyball.RolledBack",
            "dev.flyball.RolledBack",
        ]
    );
    assert_eq!(types(&team).await, ["dev.flyball.RolledBack"]);
    assert_eq!(types(&picky).await, ["dev.flyball.Committed"]);
    assert_eq!(types(&bank).await, [""; 0], "it is not for this namespace");
    // A receiver has its counters from the start, and a name that a policy made up has none.
    let text = metrics.encode();
    assert!(
        text.contains("flyball_cloudevents_total{receiver=\"bank\",result=\"error\"} 0"),
        "{text}"
    );
    assert!(!text.contains("\"nobody\""), "{text}");
}

/// One that takes connections and answers nothing, as a tenant's might.
#[tokio::test]
async fn a_dead_receiver_holds_up_neither_the_publisher_nor_another_receiver() {
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", dead.local_addr().unwrap());
    let good = receiver(&[200]).await;
    let declared = [
        declared("dead", &url, json!({})),
        declared("good", &good.uri(), json!({"maxPerMinute": 6000})),
    ];
    let policies: Vec<FeedbackPolicy> = (0..600)
        .map(|n| {
            policy(
                &format!("p{n}"),
                &format!("uid-{n}"),
                json!([{"receiver": "dead"}, {"receiver": "good"}]),
            )
        })
        .collect();
    let receivers = Receivers::new(None, &declared, "/flyball").unwrap();
    let world = World::new(receivers, policies.clone(), &known::store(Vec::new()));
    // As fast as the publisher takes them: its own queue is not what is looked at.
    for (n, some) in policies.chunks(200).enumerate() {
        for policy in some {
            world.events.publish(told(policy, Reason::RolledBack, "back at 2"));
        }
        world.known("good", 200 * (n as u64 + 1)).await;
    }
    let metrics = world.end().await;
    assert_eq!(
        (count(&metrics, "good", "ok"), count(&metrics, "good", "dropped")),
        (600, 0)
    );
    assert_eq!(count(&metrics, "dead", "ok"), 0);
    // What it holds: a queue, and one event that is being tried, or a few that were given up.
    let (dropped, given_up) = (count(&metrics, "dead", "dropped"), count(&metrics, "dead", "error"));
    let held = 600 - dropped - given_up;
    assert!(
        (QUEUE as u64..=QUEUE as u64 + 1).contains(&held),
        "{dropped} dropped, {given_up} given up"
    );
    assert!(metrics.encode().contains("flyball_events_dropped_total 0"));
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_is_given_it() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let receiver = MockServer::start().await;
    let noted = Arc::clone(&times);
    let answer = move |_: &wiremock::Request| {
        let mut times = noted.lock().unwrap();
        times.push(Instant::now());
        match times.len() {
            1 => ResponseTemplate::new(429).insert_header("retry-after", "3"),
            _ => ResponseTemplate::new(200),
        }
    };
    Mock::given(method("POST")).respond_with(answer).mount(&receiver).await;
    let metrics = published(own(&receiver.uri()), &["once"], 1).await;
    assert_eq!(
        (count(&metrics, "default", "ok"), count(&metrics, "default", "error")),
        (1, 0)
    );
    let times = times.lock().unwrap();
    // Its own first pause is one second.
    assert!(
        times[1] - times[0] >= Duration::from_secs(3),
        "{:?}",
        times[1] - times[0]
    );
}

#[tokio::test]
async fn a_token_is_the_secrets_of_this_moment() {
    let (secrets, mut writer) = reflector::store::<Secret>();
    writer.apply_watcher_event(&watcher::Event::Init);
    writer.apply_watcher_event(&watcher::Event::InitDone);
    let writer = Arc::new(Mutex::new(writer));
    let put = move |token: &str| {
        let secret = json!({"metadata": {"name": "broker"}, "data": {"token": ByteString(token.as_bytes().to_vec())}});
        let secret = watcher::Event::Apply(serde_json::from_value(secret).unwrap());
        writer.lock().unwrap().apply_watcher_event(&secret);
    };
    let receiver = MockServer::start().await;
    let rotate = put.clone();
    let answer = move |request: &wiremock::Request| {
        let first = request
            .headers
            .get("authorization")
            .is_none_or(|it| it == "Bearer first");
        if first {
            rotate("second");
        }
        ResponseTemplate::new(if first { 503 } else { 200 })
    };
    Mock::given(method("POST")).respond_with(answer).mount(&receiver).await;
    let bearer = json!({"bearer": {"name": "broker", "key": "token"}});
    let declared = [declared("team", &receiver.uri(), bearer)];
    let receivers = Receivers::new(None, &declared, "/flyball").unwrap();
    let web = policy("web", "uid-1", json!([{"receiver": "team"}]));
    let world = World::new(receivers, vec![web.clone()], &secrets);
    world.events.publish(told(&web, Reason::RolledBack, "back at 2"));
    sleep(Duration::from_millis(200)).await;
    assert_eq!(types(&receiver).await, [""; 0], "nothing is sent without the token");
    put("first\n");
    world.known("team", 1).await;
    let metrics = world.end().await;
    assert_eq!(count(&metrics, "team", "ok"), 1);
    let requests = receiver.received_requests().await.unwrap();
    let tokens: Vec<&str> = requests
        .iter()
        .map(|request| request.headers["authorization"].to_str().unwrap())
        .collect();
    assert_eq!(tokens, ["Bearer first", "Bearer second"]);
}

/// Whoever answers for a name in a URL must not have the controller post to a cloud or a node.
#[rstest]
#[case("http://169.254.169.254/latest")]
#[case("http://[fd00:ec2::254]/")]
fn nothing_is_posted_to_a_clouds_metadata(#[case] url: &str) {
    let own = Receivers::new(Some((url, None)), &[], "/flyball")
        .unwrap_err()
        .to_string();
    assert!(
        own.contains("--cloudevents-url: address ") && own.contains("is link-local"),
        "{own}"
    );
    let declared = [declared("team", url, json!({}))];
    let of = Receivers::new(None, &declared, "/flyball").unwrap_err().to_string();
    assert!(of.contains("EventReceiver team: spec.url: "), "{of}");
}

#[rstest]
#[case("ftp://events", "/flyball", "--cloudevents-url ftp://events: write http://")]
#[case("http://user:secret@events", "/flyball", "without user, password")]
#[case("events", "/flyball", "--cloudevents-url events")]
#[case("http://events", "a b", "--cloudevents-source \"a b\"")]
#[case("http://events", "", "--cloudevents-source \"\"")]
fn what_can_be_no_sink_is_refused_at_the_start(#[case] url: &str, #[case] source: &str, #[case] words: &str) {
    let error = Receivers::new(Some((url, None)), &[], source).unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
}
