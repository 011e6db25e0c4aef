//! The clients: what they refuse, when they give up, and what their errors say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flyball_controller::client::{CallError, CallKind, ClientError, Clients, chain, config, within};
use http::Uri;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Config,
    api::PostParams,
    config::{AuthInfo, ExecConfig},
    core::Status,
};
use rstest::rstest;
use std::{path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};

fn exec(command: &str, args: &[&str]) -> Config {
    let mut exec: ExecConfig = serde_json::from_value(serde_json::json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": command,
        "args": args,
    }))
    .unwrap();
    exec.interactive_mode = Some(kube::config::ExecInteractiveMode::Never);
    let mut config = at("http://127.0.0.1:1");
    config.auth_info = AuthInfo {
        exec: Some(exec),
        ..AuthInfo::default()
    };
    config
}

fn at(url: &str) -> Config {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Config::new(url.parse::<Uri>().unwrap())
}

/// A server that answers each request with `status` and keeps what it was sent.
async fn server(status: &'static str, body: &'static str) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sent, heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let sent = sent.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                let read = stream.read(&mut buffer).await.unwrap_or(0);
                let _ = sent.send(String::from_utf8_lossy(&buffer[..read]).into_owned());
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    (url, heard)
}

#[tokio::test]
async fn the_reading_client_refuses_to_write() {
    let clients = Clients::from_config(at("http://127.0.0.1:1")).await.unwrap();
    let api: Api<ConfigMap> = Api::namespaced(clients.read, "default");
    let error = api
        .create(&PostParams::default(), &ConfigMap::default())
        .await
        .unwrap_err();
    assert!(
        chain(&error).contains("the reading client does not send POST"),
        "{}",
        chain(&error)
    );
}

#[tokio::test]
async fn a_write_is_sent_once_though_the_server_is_busy() {
    let (url, mut heard) = server("503 Service Unavailable", "{}").await;
    let clients = Clients::from_config(at(&url)).await.unwrap();
    for client in [clients.write, clients.lease] {
        let api: Api<ConfigMap> = Api::namespaced(client, "default");
        assert!(api.create(&PostParams::default(), &ConfigMap::default()).await.is_err());
        let request = heard.recv().await.unwrap();
        assert!(request.starts_with("POST "), "{request}");
        assert!(
            request.contains(concat!("user-agent: flyball/", env!("CARGO_PKG_VERSION"))),
            "{request}"
        );
        assert!(heard.try_recv().is_err(), "once");
    }
}

#[tokio::test]
async fn credentials_that_are_not_known_are_named_as_the_cause() {
    let (url, _heard) = server(
        "401 Unauthorized",
        r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}"#,
    )
    .await;
    let clients = Clients::from_config(at(&url)).await.unwrap();
    let error = clients.check().await.unwrap_err();
    assert!(matches!(error, ClientError::Unauthorized { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let clients = Clients::from_config(at("http://127.0.0.1:1")).await.unwrap();
    let error = clients.check().await.unwrap_err().to_string();
    assert!(
        error.starts_with("the API server at http://127.0.0.1:1/ does not answer: "),
        "{error}"
    );
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_kubeconfig_that_is_missing_is_named() {
    let error = config(Some(Path::new("/nowhere/kubeconfig")), None)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("the kubeconfig /nowhere/kubeconfig can't be used: "),
        "{error}"
    );
}

#[tokio::test]
async fn what_a_failing_plugin_printed_is_not_repeated() {
    let failing = exec("sh", &["-c", "echo s3cret; echo s3cret >&2; exit 3"]);
    let error = Clients::from_config(failing).await.err().unwrap().to_string();
    assert!(error.contains("ended with exit status: 3"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
    let missing = Clients::from_config(exec("/nowhere/plugin", &[]))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(missing.contains("No such file"), "{missing}");
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_hangs_is_not_awaited() {
    let error = Clients::from_config(exec("sleep", &["2"])).await.err().unwrap();
    assert!(matches!(error, ClientError::PluginHangs), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_request_ends_at_its_deadline_and_does_not_begin_after_it() {
    let now = Instant::now();
    let hang = || std::future::pending::<kube::Result<()>>();
    let error = within(now + Duration::from_secs(3), hang()).await.unwrap_err();
    assert_eq!(now.elapsed(), Duration::from_secs(3));
    assert_eq!(
        error.to_string(),
        "no answer within 3000 ms; it may have been carried out"
    );
    let error = within(now + Duration::from_secs(3), hang()).await.unwrap_err();
    assert!(matches!(error, CallError::Late));
}

/// kube's own text of an answer is its message, and then the whole of it as Rust prints it.
#[test]
fn of_an_answer_the_message_is_said_and_nothing_else() {
    let answer = |message: &str| kube::Error::Api(Status::failure(message, "Forbidden").with_code(403).boxed());
    let message = "deployments.apps \"web\" is forbidden: exceeded quota";
    let call = CallError::from(answer(message));
    assert_eq!(
        (call.to_string(), chain(&call)),
        (message.to_owned(), message.to_owned())
    );
    assert_eq!(chain(&answer(message)), message);
    assert_eq!(chain(&answer("")), "HTTP 403 Forbidden");
    let watch = kube::runtime::watcher::Error::InitialListFailed(answer(message));
    assert_eq!(
        chain(&watch),
        format!("failed to perform initial object list: {message}")
    );
}

#[tokio::test]
async fn the_causes_of_other_errors_are_said_once() {
    let clients = Clients::from_config(at("http://127.0.0.1:1")).await.unwrap();
    let api: Api<ConfigMap> = Api::namespaced(clients.write, "default");
    let error = api
        .create(&PostParams::default(), &ConfigMap::default())
        .await
        .unwrap_err();
    let text = CallError::from(error).to_string();
    assert_eq!(text.matches("refused").count(), 1, "{text}");
}

/// What a credential plugin printed may hold a credential, and is part of kube's own text.
#[tokio::test]
async fn an_error_of_a_plugin_says_nothing_that_it_printed() {
    let failing = exec("sh", &["-c", "echo s3cret >&2; exit 3"]);
    let error = kube::Client::try_from(failing).err().unwrap();
    assert!(error.to_string().contains("s3cret"), "{error}");
    let text = chain(&error);
    assert!(text.contains("exit status: 3") && !text.contains("s3cret"), "{text}");
}

#[rstest]
#[case(409, CallKind::Conflict, false)]
#[case(404, CallKind::NotFound, false)]
#[case(401, CallKind::Unauthorized, false)]
#[case(403, CallKind::Forbidden, false)]
#[case(422, CallKind::Invalid, false)]
#[case(429, CallKind::Busy, false)]
#[case(500, CallKind::ServerError, true)]
#[case(504, CallKind::ServerError, true)]
fn each_answer_has_its_kind(#[case] code: u16, #[case] kind: CallKind, #[case] unknown: bool) {
    let error = CallError::Api(kube::Error::Api(Status::failure("", "").with_code(code).boxed()));
    assert_eq!((error.kind(), error.kind().is_unknown()), (kind, unknown));
    assert!(CallKind::ALL.contains(&kind));
}
