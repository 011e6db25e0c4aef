//! The HTTP server, over a real socket.

#![allow(clippy::unwrap_used)]

use flyball_controller::{
    lease::Leadership,
    metrics::Metrics,
    server::{Health, Policies, PolicyState, ServerError, Told, bind, serve},
};
use flyball_crds::{Mode, Reason};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
    time::{Instant, advance},
};
use tokio_util::sync::CancellationToken;

struct Served {
    address: SocketAddr,
    health: Arc<Health>,
    policies: Arc<Policies>,
    leadership: watch::Sender<Leadership>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ServerError>>,
}

async fn served() -> Served {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (health, policies, stop) = (
        Arc::new(Health::default()),
        Arc::new(Policies::default()),
        CancellationToken::new(),
    );
    let (leadership, seen) = watch::channel(Leadership::Standby);
    let told = Told {
        metrics: Arc::new(Metrics::new()),
        health: Arc::clone(&health),
        policies: Arc::clone(&policies),
        leadership: seen,
        identity: "us".to_owned(),
        logs: None,
        webhook: None,
        access: None,
    };
    let task = tokio::spawn(serve(listener, None, told, stop.clone()));
    Served {
        address,
        health,
        policies,
        leadership,
        stop,
        task,
    }
}

impl Served {
    async fn get(&self, path: &str) -> (u16, String, String) {
        self.request(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
            .await
    }

    /// Status, headers and body.
    async fn request(&self, request: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (
            head.split(' ').nth(1).unwrap().parse().unwrap(),
            head.to_lowercase(),
            body.to_owned(),
        )
    }
}

fn state() -> PolicyState {
    PolicyState {
        mode: Mode::Enforce,
        reason: Reason::Evaluating,
        last_pass: "2026-11-24T00:00:00Z".parse().unwrap(),
        took_seconds: 0.25,
        change: Some("checkout-1".to_owned()),
    }
}

#[tokio::test]
async fn metrics_are_open_metrics_and_know_the_leader_at_the_time_of_the_scrape() {
    let served = served().await;
    let (status, head, body) = served.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{head}"
    );
    assert!(
        body.contains("\nflyball_leader 0\n") && body.ends_with("# EOF\n"),
        "{body}"
    );
    let until = Instant::now() + Duration::from_secs(60);
    served
        .leadership
        .send(Leadership::Leader { transitions: 3, until })
        .unwrap();
    assert!(served.get("/metrics").await.2.contains("\nflyball_leader 1\n"));
    // Its time ran out and nobody came to announce it.
    served
        .leadership
        .send(Leadership::Leader {
            transitions: 3,
            until: Instant::now(),
        })
        .unwrap();
    assert!(served.get("/metrics").await.2.contains("\nflyball_leader 0\n"));
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_hangs_is_not_alive_and_says_for_how_long() {
    let health = Health::default();
    advance(Duration::from_secs(60)).await;
    assert_eq!(health.alive(), Ok(()));
    advance(Duration::from_secs(5)).await;
    assert_eq!(health.alive(), Err("the loop has not moved for 65 s".to_owned()));
    health.beat();
    assert_eq!(health.alive(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn ready_means_caches_and_an_api_server() {
    let health = Health::default();
    assert_eq!(health.ready(), Err("the first lists are not in yet".to_owned()));
    health.synced();
    assert_eq!(health.ready(), Err("the API server has not answered yet".to_owned()));
    health.reached();
    assert_eq!(health.ready(), Ok(()));
    advance(Duration::from_secs(31)).await;
    assert_eq!(
        health.ready(),
        Err("the API server has not answered for 31 s".to_owned())
    );
}

#[tokio::test]
async fn probes_answer_with_the_reason() {
    let served = served().await;
    assert_eq!(served.get("/healthz").await.0, 200);
    let (status, _, body) = served.get("/readyz").await;
    assert_eq!((status, body.as_str()), (503, "the first lists are not in yet\n"));
    served.health.synced();
    served.health.reached();
    assert_eq!(served.get("/readyz").await.0, 200, "a standby is ready too");
}

#[tokio::test]
async fn the_state_is_json_without_anybodys_text() {
    let served = served().await;
    served.policies.note("shop", "checkout", state());
    served.policies.note("shop", "gone", state());
    served.policies.forget("shop", "gone");
    let (status, _, body) = served.get("/debug/state").await;
    assert_eq!(status, 200);
    let inside: serde_json::Value = serde_json::from_str(&body).unwrap();
    let expect = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "identity": "us",
        "leader": false,
        "transitions": null,
        "mayWriteForSeconds": null,
        "alive": true,
        "ready": false,
        "policies": [{
            "namespace": "shop",
            "name": "checkout",
            "mode": "Enforce",
            "reason": "Evaluating",
            "lastPass": "2026-11-24T00:00:00Z",
            "tookSeconds": 0.25,
            "change": "checkout-1",
        }],
    });
    assert_eq!(inside, expect);
}

#[tokio::test]
async fn only_reading_is_served() {
    let served = served().await;
    assert_eq!(served.get("/").await.0, 404);
    let post = "POST /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(served.request(post).await.0, 405);
}

#[tokio::test]
async fn an_address_that_is_taken_is_one_line() {
    let served = served().await;
    let error = bind(served.address).await.unwrap_err().to_string();
    let (start, end) = (
        format!("can't listen on {}: ", served.address),
        "; choose another address with --listen",
    );
    assert!(
        error.starts_with(&start) && error.ends_with(end) && !error.contains('\n'),
        "{error}"
    );
}

#[tokio::test]
async fn it_ends_when_asked_although_a_request_is_never_finished() {
    let served = served().await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
    served.get("/healthz").await;
    let begun = Instant::now();
    served.stop.cancel();
    served.task.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(TcpStream::connect(served.address).await.is_err());
}
