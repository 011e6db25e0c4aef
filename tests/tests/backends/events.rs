//! Events to a real receiver: the SDK of the CloudEvents project for Go reads and validates them, and the documented schema their data.

use crate::server::{Folder, Kind, Server};
use flyball_controller::{
    metrics::Metrics,
    observe::known,
    record::{
        Recorder,
        cloudevents::{CloudEvents, Receivers},
        events::{Events, Publisher},
    },
    server::{Health, Policies},
};
use flyball_core::{
    check::Check,
    evaluate::watermark::{Level, Subject, Transition},
    time::Timestamp,
};
use flyball_crds::{Change, EventReceiver, FeedbackPolicy, Phase, Reason};
use flyball_tests::bed::PATIENCE;
use http::{Request, Response};
use jiff::Timestamp as Time;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tower::service_fn;

fn receiver() -> Option<Server> {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/event.schema.json");
    Server::start(
        Kind::Receiver,
        Folder::new(),
        &[format!("--schema={}", schema.display())],
    )
}

/// An API server that takes every Event.
fn api() -> Client {
    let service = service_fn(|request: Request<Body>| async move {
        let body = request.into_body().collect_bytes().await.unwrap_or_default();
        Ok::<_, Infallible>(Response::builder().status(201).body(Body::from(body)).unwrap())
    });
    Client::new(service, "default")
}

fn policy(notifications: &Value) -> FeedbackPolicy {
    let spec = json!({
        "sourceRef": {"name": "prometheus"},
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "notifications": notifications,
    });
    let mut policy = FeedbackPolicy::new("checkout", serde_json::from_value(spec).unwrap());
    policy.metadata.namespace = Some("shop".to_owned());
    policy.metadata.uid = Some("uid-of-the-policy".to_owned());
    policy
}

fn change(phase: Phase, message: &str) -> Change {
    let object = json!({
        "apiVersion": "flyball.dev/v1alpha1",
        "kind": "Change",
        "metadata": {"name": "checkout-1", "namespace": "shop"},
        "spec": {
            "policy": {"name": "checkout", "uid": "uid-of-the-policy", "generation": 1},
            "action": "more-replicas",
            "mode": "Enforce",
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "uid-of-web"},
            "field": "replicas",
            "direction": "Up",
            "sequence": 1,
            "before": 2,
            "after": 4,
            "proposedAt": "2026-01-01T00:00:00.000000Z",
            "reason": "Slow fires",
            "evidence": {},
        },
        "status": {"phase": phase, "message": message},
    });
    serde_json::from_value(object).unwrap()
}

struct World {
    recorder: Recorder,
    publisher: Publisher,
    senders: Vec<flyball_controller::record::cloudevents::Sender>,
}

/// The real publisher and senders, with the receiver as the one that the policy names.
fn world(server: &Server, policy: &FeedbackPolicy) -> World {
    let spec = json!({"url": format!("{}/events", server.url()), "bearer": {"name": "broker", "key": "token"}});
    let declared = [EventReceiver::new("shop-team", serde_json::from_value(spec).unwrap())];
    let receivers = Arc::new(Receivers::new(None, &declared, "/clusters/one").unwrap());
    let mut secret = Secret::default();
    secret.metadata.name = Some("broker".to_owned());
    secret.data = Some(BTreeMap::from([(
        "token".to_owned(),
        ByteString(b"of-the-shop".to_vec()),
    )]));
    let metrics = Arc::new(Metrics::new());
    let (events, publisher) = Events::new(api(), "controller-0", Arc::clone(&metrics));
    let secrets = known::store(vec![secret]);
    let (cloud, senders) = CloudEvents::new(&receivers, known::store(vec![policy.clone()]), &secrets, &metrics);
    World {
        recorder: Recorder {
            metrics,
            health: Arc::new(Health::default()),
            policies: Arc::new(Policies::default()),
            events,
        },
        publisher: publisher.and(Some(cloud)),
        senders,
    }
}

/// What the receiver has, once it is so many.
async fn taken(server: &Server, count: usize) -> Vec<Value> {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = reqwest::get(format!("{}/taken", server.url())).await.unwrap();
        let all: Vec<Value> = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        if all.len() >= count {
            return all;
        }
        assert!(Instant::now() < end, "{} of {count}: {all:?}", all.len());
        sleep(Duration::from_millis(20)).await;
    }
}

/// Everything of which Flyball tells, in the way it does, with what is expected of it: reason, severity, action, note, and whether
/// the UID of the target is known.
fn tell(recorder: &Recorder, policy: &FeedbackPolicy) -> Vec<(&'static str, &'static str, &'static str, String, bool)> {
    let mut all = Vec::new();
    let of_a_change = |phase, message: &str| recorder.change(&change(phase, message));
    // What is written before the target is told by nobody.
    of_a_change(Phase::Applying, "");
    of_a_change(Phase::Verifying, "");
    all.push((
        "Verifying",
        "Normal",
        "Verify",
        "replicas 2 -> 4: Slow fires".to_owned(),
        true,
    ));
    for (phase, name, severity, action) in [
        (Phase::Committed, "Committed", "Normal", "Verify"),
        (Phase::RollingBack, "RollingBack", "Warning", "RollBack"),
        (Phase::RolledBack, "RolledBack", "Warning", "RollBack"),
        (Phase::Ineffective, "Ineffective", "Warning", "Verify"),
        (Phase::Inconclusive, "Inconclusive", "Warning", "Verify"),
        (Phase::Superseded, "Superseded", "Normal", "Verify"),
    ] {
        of_a_change(phase, "it is 0.4 \u{2264} 0.5");
        all.push((
            name,
            severity,
            action,
            "replicas 2 -> 4: it is 0.4 \u{2264} 0.5".to_owned(),
            true,
        ));
    }
    recorder.write_failed(&change(Phase::Applying, ""), "conflict\nof versions");
    // A note is one line.
    all.push((
        "WriteFailed",
        "Warning",
        "Apply",
        "conflict\\nof versions".to_owned(),
        true,
    ));
    recorder.refused(policy, Some(Check::Cooldown), "Cooldown: 3m of 10m");
    all.push(("Refused", "Normal", "Decide", "Cooldown: 3m of 10m".to_owned(), false));
    let transition = |from, to, value, threshold| Transition {
        subject: Subject::Node("node-1".to_owned()),
        from,
        to,
        value,
        threshold,
        since: Timestamp::from_millis(0),
        foreseen: None,
    };
    recorder.watermark(policy, "memory", &transition(Level::Normal, Level::High, 0.925, 0.9));
    let note = "memory: node-1: high after normal, at 92.5 %, not below 90.0 %".to_owned();
    all.push(("WatermarkRaised", "Warning", "Evaluate", note, false));
    recorder.watermark(policy, "memory", &transition(Level::High, Level::Normal, 0.7, 0.85));
    let note = "memory: node-1: normal after high, at 70.0 %, below 85.0 %".to_owned();
    all.push(("WatermarkEnded", "Normal", "Evaluate", note, false));
    recorder.told(policy, "app.flyball.dev/shed", &["web-1".to_owned()], "told");
    let note = "told by app.flyball.dev/shed: web-1".to_owned();
    all.push(("PodsTold", "Normal", "Evaluate", note, false));
    for (reason, name, action) in [
        (Reason::Recommended, "Recommended", "Decide"),
        (Reason::EvidenceTaken, "EvidenceTaken", "Capture"),
    ] {
        recorder.say(policy, reason, "for the record".to_owned());
        all.push((name, "Normal", action, "for the record".to_owned(), false));
    }
    recorder.say(policy, Reason::EvidenceFailed, "x".repeat(2000));
    // It is cut to what Kubernetes takes.
    let cut = format!("{}\u{2026}", "x".repeat(1021));
    all.push(("EvidenceFailed", "Warning", "Capture", cut, false));
    all
}

#[tokio::test]
async fn every_kind_of_event_is_one_to_a_receiver_that_is_not_ours() {
    let Some(server) = receiver() else { return };
    let policy = policy(&json!([{"receiver": "shop-team"}]));
    let World {
        recorder,
        publisher,
        senders,
    } = world(&server, &policy);
    let expect = tell(&recorder, &policy);
    // Of the source of a policy and its Alertmanager, which have no target.
    let of_the_source = [
        (Reason::NotPosted, "NotPosted"),
        (Reason::NoAlertmanager, "NoAlertmanager"),
        (Reason::SourceNotFound, "SourceNotFound"),
        (Reason::SourceNotAllowed, "SourceNotAllowed"),
        (Reason::SecretNotFound, "SecretNotFound"),
        (Reason::Invalid, "Invalid"),
    ];
    for (reason, _) in of_the_source {
        recorder.not_posted(&policy, reason, "no answer");
    }
    let before = Time::now();
    let stop = CancellationToken::new();
    let mut tasks = vec![tokio::spawn(publisher.run(stop.clone()))];
    tasks.extend(senders.into_iter().map(|sender| tokio::spawn(sender.run(stop.clone()))));
    let taken = taken(&server, expect.len() + of_the_source.len()).await;
    stop.cancel();
    for task in tasks {
        task.await.unwrap();
    }

    let target = |uid: Value| json!({"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web", "uid": uid});
    let with_target = expect.iter().map(|(reason, severity, action, note, known)| {
        let uid = if *known { json!("uid-of-web") } else { Value::Null };
        (*reason, *severity, *action, note.clone(), target(uid))
    });
    let without = of_the_source.map(|(_, name)| (name, "Warning", "Evaluate", "no answer".to_owned(), Value::Null));
    let expect: Vec<_> = with_target.chain(without).collect();
    assert_eq!(taken.len(), expect.len());
    let mut ids = BTreeSet::new();
    for (found, (reason, severity, action, note, related)) in taken.iter().zip(&expect) {
        assert_eq!(found["error"], Value::Null, "{found}");
        let id = found["id"].as_str().unwrap();
        assert!(id.starts_with("checkout.") && ids.insert(id), "{id}");
        let time: Time = found["time"].as_str().unwrap().parse().unwrap();
        assert!(time >= before && time <= Time::now(), "{time}");
        let found = json!({
            "mode": found["mode"],
            "authorization": found["authorization"],
            "specVersion": found["specVersion"],
            "type": found["type"],
            "source": found["source"],
            "subject": found["subject"],
            "contentType": found["contentType"],
            "extensions": found["extensions"],
            "data": found["data"],
        });
        assert_eq!(
            found,
            json!({
                "mode": "structured",
                "authorization": "Bearer of-the-shop",
                "specVersion": "1.0",
                "type": format!("dev.flyball.{reason}"),
                "source": "/clusters/one",
                "subject": "shop/FeedbackPolicy/checkout",
                "contentType": "application/json",
                "extensions": null,
                "data": {
                    "reason": reason,
                    "severity": severity,
                    "action": action,
                    "note": note,
                    "regarding": {
                        "apiVersion": "flyball.dev/v1alpha1",
                        "kind": "FeedbackPolicy",
                        "namespace": "shop",
                        "name": "checkout",
                        "uid": "uid-of-the-policy",
                    },
                    "related": related,
                    "instance": "controller-0",
                },
            })
        );
    }
    let told: BTreeSet<&str> = expect.iter().map(|(reason, ..)| *reason).collect();
    let all: BTreeSet<&str> = Reason::TOLD.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(told, all, "every reason of which events tell was sent");
}

#[tokio::test]
async fn a_policy_that_asks_for_warnings_is_sent_those() {
    let Some(server) = receiver() else { return };
    let policy = policy(&json!([{"receiver": "shop-team", "severity": "Warning"}]));
    let World {
        recorder,
        publisher,
        senders,
    } = world(&server, &policy);
    let expect: Vec<String> = tell(&recorder, &policy)
        .iter()
        .filter(|(_, severity, ..)| *severity == "Warning")
        .map(|(reason, ..)| format!("dev.flyball.{reason}"))
        .collect();
    let stop = CancellationToken::new();
    tokio::spawn(publisher.run(stop.clone()));
    for sender in senders {
        tokio::spawn(sender.run(stop.clone()));
    }
    let found = taken(&server, expect.len()).await;
    stop.cancel();
    let found: Vec<&str> = found.iter().map(|one| one["type"].as_str().unwrap()).collect();
    assert_eq!(found, expect);
}
