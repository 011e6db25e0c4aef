//! The server by TLS, over real sockets.

use crate::build::{Authority, Mounted, Reviews, Served, client, user};
use flyball_controller::server::access::Access;
use serde_json::json;

#[tokio::test]
async fn all_is_served_by_tls_and_nothing_in_clear() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let mounted = Mounted::new("all", &ours.issue());
    let served = Served::start(Some(mounted.certificate()), None).await;
    for (path, status) in [
        ("/metrics", 200),
        ("/healthz", 200),
        ("/readyz", 503),
        ("/debug/state", 200),
    ] {
        let answer = ours.client().get(served.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert!(theirs.client().get(served.url(path)).send().await.is_err(), "{path}");
        let clear = format!("http://{}{path}", served.address);
        assert!(client(None).get(clear).send().await.is_err(), "{path}");
    }
}

/// As the kubelet does with its probes.
#[tokio::test]
async fn a_probe_asks_nothing_of_the_certificate() {
    let mounted = Mounted::new("probe", &Authority::new().issue());
    let served = Served::start(Some(mounted.certificate()), Some(Reviews::of_a_reader().access().0)).await;
    flyball_controller::observe::source::install_crypto_provider();
    let kubelet = reqwest::Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    let answer = kubelet.get(served.url("/healthz")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer = kubelet.get(served.url("/readyz")).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.text().await.unwrap(), "the first lists are not in yet\n");
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_the_next_and_a_wrong_one_to_nobody() {
    let (old, new) = (Authority::new(), Authority::new());
    let mounted = Mounted::new("rotated", &old.issue());
    let certificate = mounted.certificate();
    let served = Served::start(Some(certificate.clone()), None).await;
    let trusted = async |authority: &Authority| authority.client().get(served.url("/healthz")).send().await.is_ok();
    assert!(trusted(&old).await && !trusted(&new).await);
    let issued = new.issue();
    mounted.swap(&issued.certificate, &issued.key);
    certificate.look().unwrap();
    assert!(trusted(&new).await && !trusted(&old).await);
    mounted.swap("geheim", &issued.key);
    certificate.look().unwrap_err();
    assert!(trusted(&new).await && !trusted(&old).await);
}

#[tokio::test]
async fn the_metrics_are_for_whom_the_api_server_allows_it_and_the_rest_is_for_all() {
    let authority = Authority::new();
    let mounted = Mounted::new("access", &authority.issue());
    let reviews = Reviews::new(
        &[
            ("good", user("reader")),
            ("weak", user("system:serviceaccount:shop:web")),
        ],
        &[("reader", json!({"allowed": true}))],
    );
    let metrics = std::sync::Arc::new(flyball_controller::metrics::Metrics::new());
    let access = Access::new(reviews.client(), metrics);
    let served = Served::start(Some(mounted.certificate()), Some(access)).await;
    let client = authority.client();
    let asked = async |path: &str, token: Option<&str>| {
        let request = client.get(served.url(path));
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await.unwrap();
        let way = answer
            .headers()
            .get("www-authenticate")
            .map(|way| way.to_str().unwrap().to_owned());
        (answer.status().as_u16(), way, answer.text().await.unwrap())
    };
    let (status, way, body) = asked("/metrics", None).await;
    assert_eq!((status, way.as_deref()), (401, Some("Bearer")));
    assert_eq!(
        body,
        "send a bearer token of a ServiceAccount: authorization in the scrape configuration\n"
    );
    let (status, way, body) = asked("/metrics", Some("guess")).await;
    assert_eq!((status, way.as_deref()), (401, Some("Bearer")));
    assert!(body.starts_with("the API server does not know this token"), "{body}");
    let (status, _, body) = asked("/metrics", Some("weak")).await;
    assert_eq!(status, 403);
    assert_eq!(
        body,
        "system:serviceaccount:shop:web may not get /metrics; bind a ClusterRole to it that allows it, such as flyball-metrics-reader\n"
    );
    let (status, _, body) = asked("/metrics", Some("good")).await;
    assert_eq!(status, 200);
    assert!(body.ends_with("# EOF\n"), "{body}");
    assert_eq!(asked("/healthz", None).await.0, 200);
    reviews.asked();
    assert_eq!(asked("/debug/state", None).await.0, 200);
    assert_eq!(reviews.tokens(), 0);
}
