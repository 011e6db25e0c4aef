//! Evidence from a pod that is played, into a folder and into a store that speaks S3.

use super::{fetch::Fetch, *};
use crate::observe::source::install_crypto_provider;
use axum::{Router, body::Body, http::StatusCode, response::Response, routing::get};
use flyball_core::{policy::CapturePort, time::Span};
use futures::{StreamExt, stream};
use object_store::{ObjectStoreExt, aws::AmazonS3Builder, memory::InMemory, path::Path as Key};
use std::{
    fs,
    io::Error,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_bytes, header_regex, method, path, query_param},
};

/// What gzip begins with, and more.
const PROFILE: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1, 2, 3];
static FOLDERS: AtomicUsize = AtomicUsize::new(0);
/// How often a redirect was followed.
static FOLLOWED: AtomicUsize = AtomicUsize::new(0);

/// A folder of its own, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let number = FOLDERS.fetch_add(1, SeqCst);
        Self(std::env::temp_dir().join(format!("flyball-evidence-{}-{number}", std::process::id())))
    }

    /// All files in it, by their path within it.
    fn files(&self) -> Vec<String> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    walk(&entry.path(), found);
                } else {
                    found.push(entry.path());
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.0, &mut found);
        let short = |path: PathBuf| path.strip_prefix(&self.0).map(|path| path.display().to_string());
        found.into_iter().filter_map(|path| short(path).ok()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn answer(status: StatusCode, body: impl Into<Body>) -> Response {
    Response::builder().status(status).body(body.into()).expect("an answer")
}

/// So many bytes that begin as a profile, in pieces and without a length.
fn many(bytes: usize) -> Body {
    let pieces = stream::iter(0..bytes.div_ceil(1 << 16)).map(|at| {
        let mut piece = vec![7_u8; 1 << 16];
        if at == 0 {
            piece[..PROFILE.len()].copy_from_slice(PROFILE);
        }
        Ok::<_, Error>(piece)
    });
    Body::from_stream(pieces)
}

/// A pod whose handlers do what their folder says.
async fn pod() -> SocketAddr {
    let app = Router::new()
        .route("/good/{kind}", get(|| async { answer(StatusCode::OK, PROFILE) }))
        .route("/empty/{kind}", get(|| async { answer(StatusCode::OK, "") }))
        .route(
            "/html/{kind}",
            get(|| async { answer(StatusCode::OK, "<html>hello</html>") }),
        )
        .route(
            "/used/{kind}",
            get(|| async {
                answer(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "cpu profiling already in use\nmore\n",
                )
            }),
        )
        .route(
            "/elsewhere/{kind}",
            get(|| async {
                let mut answer = answer(StatusCode::FOUND, "");
                answer
                    .headers_mut()
                    .insert("location", "/followed".parse().expect("a header"));
                answer
            }),
        )
        .route(
            "/followed",
            get(|| async {
                FOLLOWED.fetch_add(1, SeqCst);
                answer(StatusCode::OK, PROFILE)
            }),
        )
        .route("/large/{kind}", get(|| async { answer(StatusCode::OK, many(8 << 20)) }))
        .route(
            "/huge/{kind}",
            get(|| async {
                let mut answer = answer(StatusCode::OK, Body::from(vec![0x1f; 3 << 20]));
                answer.headers_mut().insert("content-length", (3 << 20).into());
                answer
            }),
        )
        .route(
            "/slow/{kind}",
            get(|| async {
                let begins = stream::iter([Ok::<_, Error>(PROFILE.to_vec())]);
                answer(StatusCode::OK, Body::from_stream(begins.chain(stream::pending())))
            }),
        )
        .route(
            "/broken/{kind}",
            get(|| async {
                let begins = stream::iter([Ok(PROFILE.to_vec())]);
                let ends = stream::once(async {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Err(Error::other("gone"))
                });
                answer(StatusCode::OK, Body::from_stream(begins.chain(ends)))
            }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn order(address: SocketAddr, folder: &str, take: &[CaptureKind]) -> Order {
    Order {
        namespace: "shop".to_owned(),
        policy: "web".to_owned(),
        pod: "web-1".to_owned(),
        address,
        capture: Capture {
            port: CapturePort::Number(address.port()),
            path: folder.to_owned(),
            take: take.to_vec(),
            seconds: 1,
            every: Span::from_secs(60),
            at_changes: false,
        },
        at: Timestamp::from_millis(1_795_000_000_250),
    }
}

fn fetch(store: Store) -> Fetch {
    install_crypto_provider();
    Fetch::new(store).expect("a client")
}

#[tokio::test]
async fn what_a_pod_serves_is_kept_under_its_name() {
    let (folder, address) = (Folder::new(), pod().await);
    let store = Store::folder(&folder.0).expect("a store");
    let piece = fetch(store)
        .one(&order(address, "/good", &[]), CaptureKind::GoHeap)
        .await
        .expect("a piece");
    // 1795000000 is 2026-11-18T11:06:40Z.
    let name = "shop/web/20261118T110640.250Z-web-1-heap.pb.gz";
    assert_eq!(folder.files(), [name]);
    assert_eq!(fs::read(folder.0.join(name)).expect("the file"), PROFILE);
    let location = folder.0.join(name).display().to_string();
    let expect = Piece {
        kind: CaptureKind::GoHeap,
        bytes: 13,
        open: format!("go tool pprof -http=: {location}"),
        location,
    };
    assert_eq!(piece, expect);
}

/// Nothing is left of what was no evidence, or not the whole of it.
#[tokio::test]
async fn what_is_no_evidence_is_not_kept() {
    let (folder, address) = (Folder::new(), pod().await);
    let store = Store::folder(&folder.0).expect("a store");
    let fetch = fetch(store).within(2 << 20, Duration::from_millis(300));
    let check = async |path: &str, kind: CaptureKind, expect: &str| {
        let error = fetch
            .one(&order(address, path, &[]), kind)
            .await
            .expect_err(path)
            .to_string();
        assert!(error.contains(expect), "{path}: {error}");
        assert_eq!(folder.files(), Vec::<String>::new(), "{path}");
    };
    let (heap, jfr) = (CaptureKind::GoHeap, CaptureKind::JavaFlightRecording);
    check("/none", heap, "/none/heap answers 404; import net/http/pprof").await;
    check("/none", jfr, "/none/jfr answers 404; set FLYBALL_EVIDENCE=on").await;
    check(
        "/used",
        CaptureKind::GoCpu,
        "answers 500: cpu profiling already in use; it is tried again",
    )
    .await;
    check("/elsewhere", heap, "answers 302; redirects are not followed").await;
    check("/html", heap, "does not begin as one").await;
    check("/empty", heap, "does not begin as one").await;
    check("/good", CaptureKind::GoTrace, "does not begin as one").await;
    check("/large", heap, "is larger than 2 MiB").await;
    check("/huge", heap, "is larger than 2 MiB").await;
    check("/slow", heap, "was given up").await;
    check("/broken", heap, "broke off").await;
    assert_eq!(FOLLOWED.load(SeqCst), 0);
    let dead = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let nobody = dead.local_addr().expect("an address");
    drop(dead);
    let error = fetch
        .one(&order(nobody, "/good", &[]), heap)
        .await
        .expect_err("nobody")
        .to_string();
    assert!(
        error.contains("does not answer") && error.contains("NetworkPolicy"),
        "{error}"
    );
}

#[tokio::test]
async fn what_does_not_fit_into_one_request_is_kept_whole() {
    let (objects, address) = (Arc::new(InMemory::new()), pod().await);
    let store = Store::of(Arc::clone(&objects) as _, "bucket", "a/b");
    let piece = fetch(store)
        .one(&order(address, "/large", &[]), CaptureKind::GoHeap)
        .await
        .expect("a piece");
    let name = "a/b/shop/web/20261118T110640.250Z-web-1-heap.pb.gz";
    assert_eq!(
        (piece.bytes, piece.location.as_str()),
        (8 << 20, format!("s3://bucket/{name}").as_str())
    );
    let file = "20261118T110640.250Z-web-1-heap.pb.gz";
    assert_eq!(
        piece.open,
        format!("aws s3 cp s3://bucket/{name} . && go tool pprof -http=: {file}")
    );
    let kept = objects.get(&Key::from(name)).await.expect("there");
    let kept = kept.bytes().await.expect("whole");
    assert_eq!((kept.len(), &kept[..13]), (8 << 20, PROFILE));
}

async fn s3() -> (MockServer, Store) {
    install_crypto_provider();
    let server = MockServer::start().await;
    let builder = AmazonS3Builder::new()
        .with_endpoint(server.uri())
        .with_allow_http(true)
        .with_region("eu-test-1")
        .with_access_key_id("someone")
        .with_secret_access_key("secret");
    let store = Store::s3_with(builder, "s3://bucket/kept/").expect("a store");
    (server, store)
}

/// Signed as S3 asks: the method by which servers check it is theirs, that it is there and names the key is ours.
const SIGNED: &str = "^AWS4-HMAC-SHA256 Credential=someone/[0-9]{8}/eu-test-1/s3/aws4_request, SignedHeaders=.*host.*, Signature=[0-9a-f]{64}$";
const KEY: &str = "/bucket/kept/shop/web/20261118T110640.250Z-web-1-heap.pb.gz";

#[tokio::test]
async fn a_small_piece_is_one_signed_request() {
    let ((server, store), address) = (s3().await, pod().await);
    Mock::given(method("PUT"))
        .and(path(KEY))
        .and(header_regex("authorization", SIGNED))
        .and(body_bytes(PROFILE))
        .respond_with(ResponseTemplate::new(200).insert_header("etag", "\"1\""))
        .expect(1)
        .mount(&server)
        .await;
    let piece = fetch(store)
        .one(&order(address, "/good", &[]), CaptureKind::GoHeap)
        .await
        .expect("a piece");
    assert!(
        piece.location.starts_with("s3://bucket/kept/shop/web/2026"),
        "{}",
        piece.location
    );
    assert_eq!(server.received_requests().await.map(|all| all.len()), Some(1));
}

/// The two answers of S3 to an upload in parts.
async fn takes_parts(server: &MockServer) {
    let begun = "<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>k</Key><UploadId>up</UploadId></InitiateMultipartUploadResult>";
    let done = "<CompleteMultipartUploadResult><ETag>\"9\"</ETag></CompleteMultipartUploadResult>";
    let on = |verb: &str| {
        Mock::given(method(verb))
            .and(path(KEY))
            .and(header_regex("authorization", SIGNED))
    };
    let ok = |body: &str| ResponseTemplate::new(200).set_body_string(body);
    on("POST")
        .and(query_param("uploads", ""))
        .respond_with(ok(begun))
        .mount(server)
        .await;
    let part = ok("").insert_header("etag", "\"1\"");
    on("PUT")
        .and(query_param("uploadId", "up"))
        .respond_with(part)
        .mount(server)
        .await;
    on("POST")
        .and(query_param("uploadId", "up"))
        .respond_with(ok(done))
        .mount(server)
        .await;
    let gone = ResponseTemplate::new(204);
    on("DELETE")
        .and(query_param("uploadId", "up"))
        .respond_with(gone)
        .mount(server)
        .await;
}

async fn verbs(server: &MockServer) -> Vec<String> {
    let all = server.received_requests().await.unwrap_or_default();
    all.iter().map(|request| request.method.to_string()).collect()
}

#[tokio::test]
async fn a_large_piece_is_sent_in_parts_and_taken_back_where_it_is_too_large() {
    let address = pod().await;
    let (server, store) = s3().await;
    takes_parts(&server).await;
    let piece = fetch(store)
        .one(&order(address, "/large", &[]), CaptureKind::GoHeap)
        .await
        .expect("a piece");
    assert_eq!(piece.bytes, 8 << 20);
    assert_eq!(
        verbs(&server).await,
        ["POST", "PUT", "PUT", "POST"],
        "begun, 5 MiB, 3 MiB, joined"
    );

    let (server, store) = s3().await;
    takes_parts(&server).await;
    let fetch = fetch(store).within(6 << 20, Duration::from_secs(30));
    let error = fetch
        .one(&order(address, "/large", &[]), CaptureKind::GoHeap)
        .await
        .expect_err("too large");
    assert!(matches!(error, CaptureError::TooLarge { .. }), "{error}");
    let verbs = verbs(&server).await;
    assert_eq!(verbs.last().map(String::as_str), Some("DELETE"), "{verbs:?}");
    assert_eq!(
        verbs.iter().filter(|verb| *verb == "POST").count(),
        1,
        "never joined: {verbs:?}"
    );
}

#[tokio::test]
async fn a_store_that_refuses_is_told() {
    let ((server, store), address) = (s3().await, pod().await);
    let denied = ResponseTemplate::new(403).set_body_string("<Error><Code>AccessDenied</Code></Error>");
    Mock::given(method("PUT")).respond_with(denied).mount(&server).await;
    let error = fetch(store)
        .one(&order(address, "/good", &[]), CaptureKind::GoHeap)
        .await
        .expect_err("refused");
    assert!(error.to_string().contains("could not be stored"), "{error}");
}

#[test]
fn a_bucket_is_written_as_its_address() {
    let check = |url: &str, expect: bool| {
        let builder = AmazonS3Builder::new()
            .with_access_key_id("a")
            .with_secret_access_key("b");
        install_crypto_provider();
        assert_eq!(Store::s3_with(builder, url).is_ok(), expect, "{url}");
    };
    for good in ["s3://bucket", "s3://bucket/", "s3://my.bucket-1/a/b_c/"] {
        check(good, true);
    }
    let bad = [
        "bucket",
        "http://bucket",
        "s3://",
        "s3://ab",
        "s3://a b c",
        "s3://bucket/../x",
        "s3://bucket//x",
        "s3://bucket/a?b",
        "s3://user@bucket/a",
    ];
    for bad in bad {
        check(bad, false);
    }
}

#[tokio::test]
async fn orders_are_carried_out_beside_and_no_more_than_a_few_at_once() {
    install_crypto_provider();
    let (folder, address) = (Folder::new(), pod().await);
    let evidence = Evidence::new(Store::folder(&folder.0).expect("a store")).expect("a client");
    let slow = || evidence.take(order(address, "/slow", &[CaptureKind::GoHeap]));
    let mut under_way: Vec<Taking> = (0..PLACES).filter_map(|_| slow()).collect();
    assert_eq!(under_way.len(), PLACES);
    assert!(slow().is_none(), "all places are taken");
    assert_eq!(under_way[0].outcome(), None);
    // Whoever forgets an order ends it, and its place is free again.
    under_way.pop();
    let both = [CaptureKind::GoTrace, CaptureKind::GoHeap];
    let taking = loop {
        if let Some(taking) = evidence.take(order(address, "/good", &both)) {
            break taking;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let outcome = loop {
        if let Some(outcome) = taking.outcome() {
            break outcome;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(
        (outcome.pieces.len(), outcome.failures.len()),
        (1, 1),
        "one that fails keeps no other from it"
    );
    assert!(Evidence::none().take(order(address, "/good", &both)).is_none());
}
