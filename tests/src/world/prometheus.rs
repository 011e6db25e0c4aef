//! A Prometheus whose answers a scenario sets.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{Response, StatusCode, header},
};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    future::pending,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle, time::sleep};

/// How old the samples behind a fresh value are, in seconds.
const AGE: f64 = 0.2;

/// What a query is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// One fresh number.
    Value(f64),
    /// One fresh number, as this text.
    Text(&'static str),
    /// Fresh numbers, by the label `pod`.
    Vector(Vec<(&'static str, f64)>),
    /// The same, of pods whose names are only known then.
    Pods(Vec<(String, f64)>),
    /// Fresh numbers of the container `main` of pods.
    Containers(Vec<(String, f64)>),
    /// Fresh numbers, by the label `backend`.
    Backends(Vec<(String, f64)>),
    /// A number whose newest sample is so many seconds old.
    Stale(f64, f64),
    /// A number with a warning: parts are missing.
    Partial(f64),
    /// No series.
    Empty,
    /// Another type of result than a vector.
    Typed(&'static str, Value),
    /// A status of `error`, with this HTTP status.
    Error(u16, &'static str),
    /// This HTTP status, content type and body.
    Raw(u16, &'static str, &'static str),
    /// An answer that breaks off.
    Half,
    /// A redirect to another host.
    Redirect,
    /// No answer.
    Hang,
}

type Say = Arc<dyn Fn() -> Answer + Send + Sync>;

#[derive(Default)]
struct Book {
    says: BTreeMap<String, Say>,
    asked: usize,
}

/// The server. Ends when it is dropped.
pub struct Prometheus {
    book: Arc<Mutex<Book>>,
    /// Its base URL.
    pub url: String,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        for task in self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}

impl Prometheus {
    /// Starts one that knows no series.
    pub async fn start() -> Self {
        let book: Arc<Mutex<Book>> = Arc::default();
        let (url, task) = listen(&book, [127, 0, 0, 1].into()).await;
        let tasks = Mutex::new(vec![task]);
        Self { book, url, tasks }
    }

    /// The base URL at another address of this machine, such as one that pods reach.
    pub async fn at(&self, address: IpAddr) -> String {
        let (url, task) = listen(&self.book, address).await;
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
        url
    }

    /// Answers queries in which `metric` occurs.
    pub fn set(&self, metric: &str, answer: Answer) {
        self.compute(metric, move || answer.clone());
    }

    /// Answers queries in which `metric` occurs with one fresh number.
    pub fn value(&self, metric: &str, value: f64) {
        self.set(metric, Answer::Value(value));
    }

    /// Answers queries in which `metric` occurs with what `say` says at the time.
    pub fn compute(&self, metric: &str, say: impl Fn() -> Answer + Send + Sync + 'static) {
        lock(&self.book).says.insert(metric.to_owned(), Arc::new(say));
    }

    /// How many queries were asked.
    pub fn asked(&self) -> usize {
        lock(&self.book).asked
    }
}

async fn listen(book: &Arc<Mutex<Book>>, address: IpAddr) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind((address, 0)).await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let router = Router::new().fallback(serve).with_state(Arc::clone(book));
    let task = tokio::spawn(async move {
        // It ends with its task.
        let _ = axum::serve(listener, router).await;
    });
    (url, task)
}

fn lock(book: &Mutex<Book>) -> std::sync::MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(State(book): State<Arc<Mutex<Book>>>, body: Bytes) -> Response<Body> {
    let form = reqwest::Url::parse(&format!("http://form/?{}", String::from_utf8_lossy(&body)));
    let form: HashMap<String, String> = form
        .map(|url| url.query_pairs().into_owned().collect())
        .unwrap_or_default();
    let query = form.get("query").cloned().unwrap_or_default();
    let time: f64 = form.get("time").and_then(|time| time.parse().ok()).unwrap_or_default();
    let say = {
        let mut book = lock(&book);
        book.asked += 1;
        // The longest name: one may be the beginning of another.
        let known = book.says.iter().filter(|(metric, _)| query.contains(metric.as_str()));
        known
            .max_by_key(|(metric, _)| metric.len())
            .map(|(_, say)| Arc::clone(say))
    };
    let answer = match say {
        Some(say) => say(),
        None if query == "time()" => Answer::Value(time),
        None => Answer::Empty,
    };
    let answer = if query.contains("timestamp(") {
        age(answer)
    } else {
        answer
    };
    written(answer, time).await
}

/// What the query for the samples' age is answered, where the value is answered `answer`.
fn age(answer: Answer) -> Answer {
    match answer {
        Answer::Value(_)
        | Answer::Text(_)
        | Answer::Vector(_)
        | Answer::Pods(_)
        | Answer::Containers(_)
        | Answer::Backends(_)
        | Answer::Partial(_)
        | Answer::Typed(..) => Answer::Value(AGE),
        Answer::Stale(_, age) => Answer::Value(age),
        other => other,
    }
}

async fn written(answer: Answer, time: f64) -> Response<Body> {
    let vector = |elements: Vec<(Value, String)>| {
        let result: Vec<Value> = elements
            .into_iter()
            .map(|(metric, value)| json!({"metric": metric, "value": [time, value]}))
            .collect();
        json!({"status": "success", "data": {"resultType": "vector", "result": result}})
    };
    let one = |value: f64| vector(vec![(json!({}), value.to_string())]);
    match answer {
        Answer::Value(value) | Answer::Stale(value, _) => ok(&one(value)),
        Answer::Text(value) => ok(&vector(vec![(json!({}), value.to_owned())])),
        Answer::Vector(values) => ok(&vector(
            values
                .into_iter()
                .map(|(pod, value)| (json!({"pod": pod}), value.to_string()))
                .collect(),
        )),
        Answer::Pods(values) => ok(&vector(
            values
                .into_iter()
                .map(|(pod, value)| (json!({"pod": pod}), value.to_string()))
                .collect(),
        )),
        Answer::Containers(values) => ok(&vector(
            values
                .into_iter()
                .map(|(pod, value)| (json!({"pod": pod, "container": "main"}), value.to_string()))
                .collect(),
        )),
        Answer::Backends(values) => ok(&vector(
            values
                .into_iter()
                .map(|(backend, value)| (json!({"backend": backend}), value.to_string()))
                .collect(),
        )),
        Answer::Partial(value) => {
            let mut body = one(value);
            body["warnings"] = json!(["a store did not answer"]);
            ok(&body)
        }
        Answer::Empty => ok(&vector(Vec::new())),
        Answer::Typed(kind, result) => {
            ok(&json!({"status": "success", "data": {"resultType": kind, "result": result}}))
        }
        Answer::Error(status, message) => {
            let body = json!({"status": "error", "errorType": "execution", "error": message});
            response(status, "application/json", Body::from(body.to_string()))
        }
        Answer::Raw(status, kind, body) => response(status, kind, Body::from(body)),
        Answer::Half => {
            let begin = stream::iter([Ok(Bytes::from_static(b"{\"status\": \"success\", "))]);
            let broken = stream::once(async {
                // So that the beginning is out.
                sleep(Duration::from_millis(100)).await;
                Err(io::Error::other("broken off"))
            });
            response(200, "application/json", Body::from_stream(begin.chain(broken)))
        }
        Answer::Redirect => {
            let mut answer = response(302, "text/plain", Body::empty());
            answer.headers_mut().insert(
                header::LOCATION,
                header::HeaderValue::from_static("http://elsewhere.example/"),
            );
            answer
        }
        Answer::Hang => pending().await,
    }
}

fn ok(body: &Value) -> Response<Body> {
    response(200, "application/json", Body::from(body.to_string()))
}

fn response(status: u16, kind: &'static str, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    answer
}
