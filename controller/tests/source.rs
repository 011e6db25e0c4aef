//! One Prometheus endpoint: what it may answer, and what becomes of it. All servers are on loopback.

// Helpers outside #[test] may fail loudly too.
#![allow(clippy::unwrap_used)]

use flyball_controller::{
    observe::{
        credentials::{Secrets, needed},
        envelope::Answer,
        source::{Source, SourceError},
    },
    promql,
};
use flyball_core::{
    signal::Quality,
    time::{Span, Timestamp},
};
use flyball_crds::{Auth, Basic, Duration, Header, MetricSourceSpec, SecretKey};
use rstest::rstest;
use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_string_contains, header, method, path},
};

const AT: Timestamp = Timestamp::from_millis(1_700_000_000_125);
const MINUTE: Span = Span::from_secs(60);

fn spec(url: &str) -> MetricSourceSpec {
    MetricSourceSpec {
        url: url.to_owned(),
        ..MetricSourceSpec::default()
    }
}

fn source(url: &str) -> Source {
    Source::new("test", &spec(url), &Secrets::new()).unwrap()
}

fn vector(result: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#)
}

fn value(text: &str) -> String {
    vector(&format!(r#"{{"metric":{{}},"value":[1700000000.125,{text}]}}"#))
}

async fn asked(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Result<Answer, SourceError> {
    let server = MockServer::start().await;
    let response = ResponseTemplate::new(status).set_body_raw(body.into(), content_type);
    Mock::given(path("/api/v1/query"))
        .respond_with(response)
        .mount(&server)
        .await;
    source(&server.uri()).instant("up", AT).await
}

/// A server that says what `say` writes and counts its connections.
async fn raw<F, Fut>(say: F) -> (String, Arc<AtomicUsize>)
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(say(stream));
        }
    });
    (url, connections)
}

async fn read_request(stream: &mut TcpStream) {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(n) if n > 0 => request.extend_from_slice(&buffer[..n]),
            _ => return,
        }
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

#[tokio::test]
async fn a_query_is_one_posted_form_with_headers_and_credentials() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/prometheus/api/v1/query"))
        .and(header("accept", "application/json"))
        .and(header("content-type", "application/x-www-form-urlencoded"))
        .and(header("authorization", "Basic c2hvcDpwQHNz"))
        .and(header("x-scope-orgid", "shop"))
        .and(body_string_contains("query=rate%28x%5B5m%5D%29+%26"))
        .and(body_string_contains("time=1700000000.125"))
        .respond_with(ResponseTemplate::new(200).set_body_raw(value("\"0.5\""), "application/json; charset=utf-8"))
        .expect(1)
        .mount(&server)
        .await;
    let password = SecretKey {
        name: "shop".into(),
        key: "password".into(),
    };
    let spec = MetricSourceSpec {
        auth: Some(Auth {
            basic: Some(Basic {
                username: "shop".into(),
                password: password.clone(),
            }),
            ..Auth::default()
        }),
        headers: vec![Header {
            name: "X-Scope-OrgID".into(),
            value: "shop".into(),
        }],
        ..spec(&format!("{}/prometheus/", server.uri()))
    };
    assert!(needed(&spec).iter().eq([&password]));
    let secrets = Secrets::from([(password, b"p@ss\n".to_vec())]);
    let source = Source::new("test", &spec, &secrets).unwrap();
    let answer = source.instant("rate(x[5m]) &", AT).await.unwrap();
    assert_eq!(answer.samples[0].value.to_string(), "0.5");
    assert!(answer.warnings.is_empty());
}

#[rstest]
#[case(
    400,
    r#"{"status":"error","errorType":"bad_data","error":"parse error at char 3"}"#,
    "refused (HTTP 400, bad_data): parse error at char 3"
)]
#[case(
    422,
    r#"{"status":"error","errorType":"execution","error":"many-to-many"}"#,
    "refused (HTTP 422, execution): many-to-many"
)]
#[case(400, "secret", "the server gave no reason")]
#[case(
    503,
    r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#,
    "not available (HTTP 503, timeout: query timed out)"
)]
#[case(500, "secret", "not available (HTTP 500)")]
#[case(401, "secret", "refuses access (HTTP 401); check spec.auth")]
#[case(403, r#"{"status":"error","error":"secret"}"#, "HTTP 403")]
#[case(404, "secret", "spec.url is the base, without /api/v1")]
#[case(429, "secret", "asked too often")]
#[case(204, "", "HTTP 204, which a Prometheus API does not")]
#[case(413, "secret", "HTTP 413")]
#[tokio::test]
async fn each_status_has_its_message(#[case] status: u16, #[case] body: &str, #[case] part: &str) {
    let message = asked(status, "application/json", body).await.unwrap_err().to_string();
    assert!(message.contains(part) && !message.contains("secret"), "{message}");
}

#[rstest]
#[case::not_promql(400, r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#, true)]
#[case::can_not_be_evaluated(422, r#"{"status":"error","errorType":"execution","error":"many-to-many"}"#, true)]
#[case::another_type_of_error(422, r#"{"status":"error","errorType":"422","error":"unknown function"}"#, true)]
#[case::by_status_alone(200, r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#, true)]
#[case::a_proxy_of_its_own(400, "the plain HTTP request was sent to HTTPS port", false)]
#[case::too_busy(503, r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#, false)]
#[case::too_busy_by_status_alone(200, r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#, false)]
#[case::no_access(401, "", false)]
#[case::not_an_answer(200, "{}", false)]
#[tokio::test]
async fn a_refused_expression_is_told_from_trouble_with_the_server(
    #[case] status: u16,
    #[case] body: &'static str,
    #[case] expect: bool,
) {
    let server = MockServer::start().await;
    let response = ResponseTemplate::new(status).set_body_raw(body, "application/json");
    Mock::given(path("/api/v1/query"))
        .respond_with(response)
        .mount(&server)
        .await;
    let query = promql::query("up").unwrap();
    let reading = source(&server.uri()).read(&query, MINUTE, AT).await;
    assert_eq!(reading.quality(), Quality::Error, "{reading:?}");
    assert_eq!(reading.is_refused(), expect, "{reading:?}");
}

#[tokio::test]
async fn the_servers_reason_is_shortened_and_escaped() {
    let long = format!(
        r#"{{"status":"error","errorType":"bad\u0000","error":"\u202e{}"}}"#,
        "é".repeat(5000)
    );
    let message = asked(400, "application/json", long).await.unwrap_err().to_string();
    assert!(
        message.chars().count() < 300 && message.chars().all(|c| !c.is_control() && c != '\u{202e}'),
        "{message}"
    );
}

#[rstest]
#[case("text/html; charset=utf-8", "HTML, not JSON; is spec.url a login page or a proxy?")]
#[case("text/plain", "another content type")]
#[tokio::test]
async fn only_json_is_read(#[case] content_type: &str, #[case] part: &str) {
    let message = asked(200, content_type, "<html>secret</html>")
        .await
        .unwrap_err()
        .to_string();
    assert!(message.contains(part) && !message.contains("secret"), "{message}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (elsewhere, connections) = raw(|stream| async move { drop(stream) }).await;
    let key = SecretKey {
        name: "token".into(),
        key: "token".into(),
    };
    for status in [301, 302, 307, 308] {
        let server = MockServer::start().await;
        let location = format!("{elsewhere}/take?all=1");
        Mock::given(header("authorization", "Bearer canary"))
            .respond_with(ResponseTemplate::new(status).insert_header("location", location.as_str()))
            .mount(&server)
            .await;
        let spec = MetricSourceSpec {
            auth: Some(Auth {
                bearer: Some(key.clone()),
                ..Auth::default()
            }),
            ..spec(&server.uri())
        };
        let secrets = Secrets::from([(key.clone(), b"canary".to_vec())]);
        let error = Source::new("test", &spec, &secrets)
            .unwrap()
            .instant("up", AT)
            .await
            .unwrap_err();
        let to = elsewhere.trim_start_matches("http://").to_owned();
        assert_eq!(error, SourceError::Redirect { status, to });
        assert!(!error.to_string().contains("take") && !error.to_string().contains("canary"));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn half_a_body_is_an_error() {
    let (url, _) = raw(|mut stream| async move {
        read_request(&mut stream).await;
        let half = format!("{HEAD}Content-Length: 100\r\n\r\n{{\"status\":");
        drop(stream.write_all(half.as_bytes()).await);
    })
    .await;
    assert_eq!(source(&url).instant("up", AT).await, Err(SourceError::Truncated));
}

#[tokio::test]
async fn a_gigabyte_is_not_read() {
    let sent = Arc::new(AtomicU64::new(0));
    let counted = sent.clone();
    let (url, _) = raw(move |mut stream| {
        let counted = counted.clone();
        async move {
            read_request(&mut stream).await;
            let head = format!("{HEAD}Content-Length: {}\r\n\r\n", 1u64 << 30);
            drop(stream.write_all(head.as_bytes()).await);
            let chunk = vec![b' '; 64 << 10];
            while counted.load(Ordering::SeqCst) < 1 << 30 && stream.write_all(&chunk).await.is_ok() {
                counted.fetch_add(chunk.len() as u64, Ordering::SeqCst);
            }
        }
    })
    .await;
    let spec = MetricSourceSpec {
        max_response_mebibytes: Some(1),
        ..spec(&url)
    };
    let source = Source::new("test", &spec, &Secrets::new()).unwrap();
    assert_eq!(source.instant("up", AT).await, Err(SourceError::TooLarge(1)));
    // What exceeds the limit are the sockets' buffers.
    let sent = sent.load(Ordering::SeqCst);
    assert!(sent < 32 << 20, "{sent} bytes were taken");
}

#[tokio::test]
async fn a_gzip_bomb_is_not_unpacked() {
    // 64 MiB of blanks, stored as the deflate format stores a repetition: built by hand, for the
    // compressor is not among the dependencies.
    let bomb = gzip_of_blanks(64 << 20);
    assert!(bomb.len() < 512 << 10, "{}", bomb.len());
    let server = MockServer::start().await;
    let response = ResponseTemplate::new(200)
        .set_body_raw(bomb, "application/json")
        .insert_header("content-encoding", "gzip");
    Mock::given(method("POST")).respond_with(response).mount(&server).await;
    assert_eq!(
        source(&server.uri()).instant("up", AT).await,
        Err(SourceError::TooLarge(8))
    );
}

/// A gzip stream of `bytes` blanks: one literal, then repetitions of 258 bytes at distance 1, in one
/// block with the fixed Huffman codes (RFC 1951). The reader stops before the checksum, so it is zero.
fn gzip_of_blanks(bytes: usize) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let (mut bits, mut count) = (0u32, 0);
    let mut put = |value: u32, length: u32, out: &mut Vec<u8>| {
        bits |= value << count;
        count += length;
        while count >= 8 {
            out.push(u8::try_from(bits & 0xff).unwrap());
            bits >>= 8;
            count -= 8;
        }
    };
    let reversed = |value: u32, length: u32| value.reverse_bits() >> (32 - length);
    put(0b011, 3, &mut out);
    put(reversed(0x30 + 0x20, 8), 8, &mut out);
    for _ in 0..bytes / 258 {
        put(reversed(0b1100_0101, 8), 8, &mut out);
        put(0, 5, &mut out);
    }
    put(0, 7, &mut out);
    put(0, 8, &mut out);
    out.extend([0; 8]);
    out
}

#[tokio::test]
async fn silence_ends_with_the_time_out() {
    let (url, _) = raw(|mut stream| async move {
        read_request(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let spec = MetricSourceSpec {
        timeout: Some(Duration::new("50ms")),
        ..spec(&url)
    };
    let source = Source::new("test", &spec, &Secrets::new()).unwrap();
    let error = source.instant("up", AT).await.unwrap_err();
    assert_eq!(error, SourceError::TimedOut(Span::from_millis(50)));
    assert!(error.to_string().contains("no answer within 50ms"), "{error}");
}

#[tokio::test]
async fn a_slow_body_ends_with_the_time_out() {
    let (url, _) = raw(|mut stream| async move {
        read_request(&mut stream).await;
        drop(
            stream
                .write_all(format!("{HEAD}Content-Length: 100\r\n\r\n{{").as_bytes())
                .await,
        );
        std::future::pending::<()>().await;
    })
    .await;
    let spec = MetricSourceSpec {
        timeout: Some(Duration::new("50ms")),
        ..spec(&url)
    };
    let source = Source::new("test", &spec, &Secrets::new()).unwrap();
    assert_eq!(
        source.instant("up", AT).await,
        Err(SourceError::TimedOut(Span::from_millis(50)))
    );
}

#[tokio::test]
async fn no_server_is_said_with_its_host() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = source(&format!("http://{address}/path/that/is/private"))
        .instant("up", AT)
        .await
        .unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, SourceError::Connect { .. }), "{error:?}");
    assert!(
        message.contains(&address.to_string()) && message.contains("refused") && !message.contains("private"),
        "{message}"
    );
}

/// A server that answers the query `x` with `value` and its age query with `age`.
async fn aged(value: ResponseTemplate, age: ResponseTemplate) -> flyball_core::signal::Reading {
    let server = MockServer::start().await;
    Mock::given(body_string_contains("query=time"))
        .respond_with(age)
        .mount(&server)
        .await;
    Mock::given(body_string_contains("query=x"))
        .respond_with(value)
        .mount(&server)
        .await;
    source(&server.uri())
        .read(&promql::query("x").unwrap(), MINUTE, AT)
        .await
}

fn json(body: impl Into<Vec<u8>>) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(body.into(), "application/json")
}

#[rstest]
#[case(value("\"1\""), value("\"60\""), Quality::Fresh)]
#[case(value("\"1\""), value("\"-0.5\""), Quality::Fresh)]
#[case(value("\"1\""), value("\"60.5\""), Quality::Stale)]
#[case(value("\"1\""), value("\"+Inf\""), Quality::Stale)]
#[case(value("\"1\""), value("\"NaN\""), Quality::Error)]
#[case(value("\"1\""), vector(""), Quality::Error)]
#[case(value("\"1\""), String::new(), Quality::Error)]
#[case(vector(""), vector(""), Quality::Missing)]
#[case(vector(""), value("\"1\""), Quality::Missing)]
#[case(value("\"NaN\""), value("\"1\""), Quality::NotFinite)]
#[case(String::new(), value("\"1\""), Quality::Error)]
#[tokio::test]
async fn a_reading_is_fresh_only_with_a_known_age(#[case] x: String, #[case] age: String, #[case] expect: Quality) {
    let reading = aged(json(x), json(age)).await;
    assert_eq!(reading.quality(), expect, "{}", reading.detail());
    assert_eq!(reading.at, AT);
}

#[tokio::test]
async fn a_partial_answer_is_partial_and_a_failed_age_says_so() {
    let partial = r#"{"status":"success","data":{"resultType":"scalar","result":[1700000000.125,"1"]},"warnings":["store down"]}"#;
    assert_eq!(
        aged(json(partial), json(value("\"1\""))).await.quality(),
        Quality::Partial
    );
    let reading = aged(json(value("\"1\"")), ResponseTemplate::new(500)).await;
    assert_eq!(reading.quality(), Quality::Error);
    assert!(
        reading.detail().contains("the age of the samples could not be read"),
        "{}",
        reading.detail()
    );
}

#[tokio::test]
async fn ready_asks_a_query() {
    let server = MockServer::start().await;
    let now = r#"{"status":"success","data":{"resultType":"scalar","result":[1700000000.125,"1700000000.125"]}}"#;
    Mock::given(body_string_contains("query=time%28%29&"))
        .respond_with(json(now))
        .expect(1)
        .mount(&server)
        .await;
    assert_eq!(source(&server.uri()).ready(AT).await, Ok(()));
    assert_eq!(source(&format!("{}/wrong", server.uri())).name(), "test");
}

/// VictoriaMetrics without `nocache` evaluates 30 s earlier and dates the answer to the time asked for.
#[rstest]
#[case("1700000000.125", None)]
#[case("1700000001.125", None)]
#[case("1699999970.125", Some(SourceError::Shifted(Span::from_secs(30))))]
#[case("1700000030.125", Some(SourceError::Shifted(Span::from_secs(30))))]
#[case("+Inf", Some(SourceError::Shifted(Span::MAX)))]
#[case("NaN", Some(SourceError::Shifted(Span::MAX)))]
#[tokio::test]
async fn a_server_that_evaluates_at_another_time_is_not_ready(#[case] time: &str, #[case] expect: Option<SourceError>) {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(json(value(&format!("\"{time}\""))))
        .mount(&server)
        .await;
    assert_eq!(source(&server.uri()).ready(AT).await.err(), expect);
}

#[tokio::test]
async fn parameters_go_into_the_url_and_nocache_is_among_them() {
    for (own, expect) in [
        (&[][..], "nocache=1"),
        (
            &[("dedup", "true"), ("extra_filters[]", "{a=\"b c\"}")][..],
            "dedup=true&extra_filters%5B%5D=%7Ba%3D%22b+c%22%7D&nocache=1",
        ),
        (&[("nocache", "0")][..], "nocache=0"),
    ] {
        let server = MockServer::start().await;
        Mock::given(body_string_contains("query=up&time=1700000000.125"))
            .respond_with(json(value("\"1\"")))
            .mount(&server)
            .await;
        let spec = MetricSourceSpec {
            query_params: own
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            ..spec(&server.uri())
        };
        let source = Source::new("test", &spec, &Secrets::new()).unwrap();
        source.instant("up", AT).await.unwrap();
        let asked = server.received_requests().await.unwrap();
        assert_eq!(asked[0].url.query(), Some(expect));
    }
}
