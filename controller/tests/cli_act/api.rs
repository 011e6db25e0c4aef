//! An API server made by hand: it keeps objects, counts their versions, holds writes to their
//! preconditions, and tells what it was asked to write.

use flyball_controller::{
    cli::fetch::{self, Connection},
    clock,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

/// What goes wrong with a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not arrive.
    Refused,
    /// It is carried out, and its answer is lost.
    Lost,
    /// Somebody else was faster.
    Conflict,
}

/// What others do once a write is carried out, named as in the log.
type Reaction = Box<dyn FnMut(&str, &mut Objects) + Send>;

/// The objects, by their path.
#[derive(Default)]
pub struct Objects {
    all: BTreeMap<String, Value>,
    version: u64,
}

impl Objects {
    /// The path of an object.
    pub fn path(object: &Value) -> String {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        if text("/kind") == "Namespace" {
            return format!("/api/v1/namespaces/{}", text("/metadata/name"));
        }
        let version = text("/apiVersion");
        let root = if version.contains('/') { "apis" } else { "api" };
        let plural = match text("/kind") {
            "FeedbackPolicy" => "feedbackpolicies".to_owned(),
            kind => format!("{}s", kind.to_lowercase()),
        };
        format!(
            "/{root}/{version}/namespaces/{}/{plural}/{}",
            text("/metadata/namespace"),
            text("/metadata/name")
        )
    }

    /// Puts an object there, as its owner would.
    pub fn put(&mut self, mut object: Value) -> Value {
        self.version += 1;
        let path = Self::path(&object);
        let known = self.all.get(&path);
        let uid = known.map_or_else(
            || json!(format!("uid-{}", self.version)),
            |known| known["metadata"]["uid"].clone(),
        );
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = uid;
        }
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.all.insert(path, object.clone());
        object
    }

    /// The one object whose path ends like this.
    pub fn get(&self, end: &str) -> Option<&Value> {
        self.all
            .iter()
            .find(|(path, _)| path.ends_with(&format!("/{end}")))
            .map(|(_, object)| object)
    }

    /// Changes an object as its owner would.
    pub fn change(&mut self, end: &str, patch: &Value) {
        let mut object = self.get(end).cloned().unwrap_or_else(|| panic!("there is no {end}"));
        json_patch::merge(&mut object, patch);
        self.put(object);
    }

    /// Takes an object away as its owner would.
    pub fn remove(&mut self, end: &str) {
        self.all.retain(|path, _| !path.ends_with(&format!("/{end}")));
    }
}

#[derive(Default)]
struct State {
    objects: Objects,
    /// Every write that arrived, such as `PATCH feedbackpolicies/checkout`.
    log: Vec<String>,
    bodies: Vec<Value>,
    fault: Option<(usize, Fault)>,
    reaction: Option<Reaction>,
    denied: BTreeSet<String>,
}

/// The server, and a connection to it.
pub struct Server {
    _mock: MockServer,
    state: Arc<Mutex<State>>,
    /// The connection.
    pub connection: Connection,
}

impl Server {
    /// A server with these objects.
    pub async fn with(test: &str, objects: impl IntoIterator<Item = Value>) -> Self {
        let server = MockServer::start().await;
        let state = Arc::new(Mutex::new(State::default()));
        for object in objects {
            state.lock().unwrap().objects.put(object);
        }
        let answer = Answers(Arc::clone(&state));
        Mock::given(any()).respond_with(answer).mount(&server).await;
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("act-{test}.kubeconfig"));
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server.uri()}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
        });
        std::fs::write(&file, kubeconfig.to_string()).unwrap();
        let connection = fetch::connect(Some(&file), None).await.unwrap();
        Self {
            _mock: server,
            state,
            connection,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The objects, to look at and to change.
    pub fn objects<T>(&self, look: impl FnOnce(&mut Objects) -> T) -> T {
        look(&mut self.state().objects)
    }

    /// An object whose path ends like this.
    pub fn get(&self, end: &str) -> Option<Value> {
        self.objects(|objects| objects.get(end).cloned())
    }

    /// The writes since the last call.
    pub fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    /// No write goes wrong from now on.
    pub fn heal(&self) {
        let mut state = self.state();
        state.log.clear();
        state.fault = None;
    }

    /// The bodies of all writes so far.
    pub fn bodies(&self) -> Vec<Value> {
        self.state().bodies.clone()
    }

    /// The body of the last write.
    pub fn last_body(&self) -> Value {
        self.state().bodies.last().cloned().unwrap_or_default()
    }

    /// The nth write from now on, counted from 1, goes wrong.
    pub fn plan(&self, nth: usize, fault: Fault) {
        let mut state = self.state();
        state.log.clear();
        state.fault = Some((nth, fault));
    }

    /// What others do once a write is carried out.
    pub fn react(&self, reaction: impl FnMut(&str, &mut Objects) + Send + 'static) {
        self.state().reaction = Some(Box::new(reaction));
    }

    /// A right that is not given, such as `delete horizontalpodautoscalers`.
    pub fn deny(&self, right: &str) {
        self.state().denied.insert(right.to_owned());
    }
}

/// A time so many seconds ago.
pub fn ago(seconds: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(clock::now().as_millis() - seconds * 1000).unwrap();
    at.strftime("%FT%T.%6fZ").to_string()
}

struct Answers(Arc<Mutex<State>>);

impl Respond for Answers {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut state = self.0.lock().unwrap();
        let path = request.url.path().to_owned();
        let method = request.method.as_str();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match (method, path.as_str()) {
            ("GET", "/version") => return version(),
            ("GET", "/apis/apps/v1") => return ok(&discovery("apps/v1", "Deployment", true)),
            ("GET", "/apis/keda.sh/v1alpha1") => return ok(&discovery("keda.sh/v1alpha1", "ScaledObject", false)),
            // A Prometheus behind a Service, that tells what it was asked, and at which path.
            ("GET", path) if path.contains("/proxy/") => {
                let query: BTreeMap<_, _> = request.url.query_pairs().into_owned().collect();
                let time: f64 = query["time"].parse().unwrap();
                let sample = json!({"metric": {"query": query["query"], "path": path}, "value": [time, "2.5"]});
                return ok(&json!({"status": "success", "data": {"resultType": "vector", "result": [sample]}}));
            }
            ("POST", path) if path.ends_with("/selfsubjectreviews") => {
                return ok(&json!({"metadata": {}, "status": {"userInfo": {"username": "alice"}}}));
            }
            ("POST", path) if path.ends_with("/selfsubjectaccessreviews") => return review(&state, &body),
            _ => {}
        }
        if method == "GET" {
            let plural = last(&path, 1);
            if state.denied.contains(&format!("list {plural}")) {
                let message = format!("{plural} is forbidden: User \"alice\" cannot list resource \"{plural}\"");
                return failure(403, "Forbidden", &message, &path);
            }
            let query: BTreeMap<_, _> = request.url.query_pairs().into_owned().collect();
            return read(&state.objects, &path, &query);
        }
        let (named, subresource) = parts(&path, &state.objects);
        let label = match (method, subresource) {
            ("POST", _) => format!(
                "POST {}/{}",
                last(&path, 1),
                body["metadata"]["name"].as_str().unwrap_or_default()
            ),
            (_, None) => format!("{method} {}", last(&path, 2)),
            (_, Some(sub)) => format!("{method} {}/{sub}", last(&named, 2)),
        };
        // How often a lease is renewed is a matter of time.
        let counts = !label.contains(" leases/");
        if counts {
            state.log.push(label.clone());
            state.bodies.push(body.clone());
        }
        let verb = match method {
            "POST" => "create",
            "PATCH" => "patch",
            "PUT" => "update",
            _ => "delete",
        };
        let resource = label.split([' ', '/']).nth(1).unwrap_or_default().to_owned();
        if state.denied.contains(&format!("{verb} {resource}")) {
            let message = format!("{resource} is forbidden: User \"alice\" cannot {verb} resource \"{resource}\"");
            return failure(403, "Forbidden", &message, &path);
        }
        let fault = state.fault.filter(|(nth, _)| counts && *nth == state.log.len());
        if matches!(fault, Some((_, Fault::Conflict))) {
            return failure(409, "Conflict", "the object has been modified", &path);
        }
        if matches!(fault, Some((_, Fault::Refused))) {
            return failure(500, "InternalError", "a fault that was planned", &path);
        }
        // Nothing of a dry run is stored: the object is put aside, or there is one already.
        if request.url.query_pairs().any(|(name, _)| name == "dryRun") {
            let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap_or_default());
            return if state.objects.all.contains_key(&path) {
                failure(409, "AlreadyExists", "it exists already", &path)
            } else {
                ResponseTemplate::new(201).set_body_json(body)
            };
        }
        let answer = write(&mut state.objects, method, &path, (&named, subresource), body);
        match answer {
            Ok(object) => {
                if let Some(mut reaction) = state.reaction.take() {
                    reaction(&label, &mut state.objects);
                    state.reaction = Some(reaction);
                }
                if fault.is_some() {
                    return failure(500, "InternalError", "a fault that was planned", &path);
                }
                let code = if method == "POST" { 201 } else { 200 };
                ResponseTemplate::new(code).set_body_json(object)
            }
            Err(refusal) => *refusal,
        }
    }
}

fn read(objects: &Objects, path: &str, query: &BTreeMap<String, String>) -> ResponseTemplate {
    if let Some(object) = objects.all.get(path) {
        return ok(object);
    }
    let plural = last(path, 1);
    let lists = [
        "feedbackpolicies",
        "changes",
        "horizontalpodautoscalers",
        "scaledobjects",
        "configmaps",
        "pods",
        "replicasets",
    ];
    if !lists.contains(&plural.as_str()) {
        return failure(404, "NotFound", &format!("{path} not found"), path);
    }
    let prefix = path.trim_end_matches(&plural).to_owned();
    let of_kind = objects.all.iter().filter(|(key, object)| {
        key.starts_with(&prefix)
            && key.split('/').rev().nth(1) == Some(plural.as_str())
            && query
                .get("labelSelector")
                .is_none_or(|selector| labelled(object, selector))
    });
    let items: Vec<&Value> = of_kind.map(|(_, object)| object).collect();
    ok(&json!({
        "apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": objects.version.to_string()}, "items": items,
    }))
}

fn labelled(object: &Value, selector: &str) -> bool {
    selector
        .split_once('=')
        .is_none_or(|(key, value)| object["metadata"]["labels"][key] == json!(value))
}

fn write(
    objects: &mut Objects,
    method: &str,
    path: &str,
    (named, subresource): (&str, Option<&str>),
    body: Value,
) -> Result<Value, Box<ResponseTemplate>> {
    if method == "POST" {
        let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap_or_default());
        if objects.all.contains_key(&path) {
            return Err(Box::new(failure(409, "AlreadyExists", "it exists already", &path)));
        }
        return Ok(objects.put(body));
    }
    let Some(mut object) = objects.all.get(named).cloned() else {
        return Err(Box::new(failure(404, "NotFound", "not found", path)));
    };
    let condition = if method == "DELETE" {
        &body["preconditions"]
    } else {
        &body["metadata"]
    };
    for key in ["uid", "resourceVersion"] {
        let asked = &condition[key];
        if !asked.is_null() && *asked != object["metadata"][key] {
            return Err(Box::new(failure(409, "Conflict", "the object has been modified", path)));
        }
    }
    match (method, subresource) {
        ("DELETE", _) => {
            if object["metadata"]["finalizers"]
                .as_array()
                .is_some_and(|list| !list.is_empty())
            {
                object["metadata"]["deletionTimestamp"] = json!(ago(0));
                return Ok(objects.put(object));
            }
            objects.all.remove(named);
            return Ok(json!({"apiVersion": "v1", "kind": "Status", "status": "Success", "code": 200}));
        }
        ("PATCH", _) => {
            let before = object["spec"].clone();
            json_patch::merge(&mut object, &body);
            let generation = object["metadata"]["generation"].as_i64();
            if let Some(generation) = generation.filter(|_| object["spec"] != before) {
                object["metadata"]["generation"] = json!(generation + 1);
            }
        }
        ("PUT", Some("status")) => object["status"] = body["status"].clone(),
        ("PUT", Some("scale")) => object["spec"]["replicas"] = body["spec"]["replicas"].clone(),
        _ => object = body,
    }
    Ok(objects.put(object))
}

/// The object's own path, and its subresource.
fn parts<'a>(path: &'a str, objects: &Objects) -> (String, Option<&'a str>) {
    match path.rsplit_once('/') {
        Some((named, sub)) if objects.all.contains_key(named) => (named.to_owned(), Some(sub)),
        _ => (path.to_owned(), None),
    }
}

fn last(path: &str, count: usize) -> String {
    let words: Vec<&str> = path.split('/').collect();
    words[words.len().saturating_sub(count)..].join("/")
}

fn ok(body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn failure(code: u16, reason: &str, message: &str, path: &str) -> ResponseTemplate {
    ResponseTemplate::new(code).set_body_json(json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message,
        "details": {"name": last(path, 1)},
    }))
}

fn review(state: &State, body: &Value) -> ResponseTemplate {
    let asked = &body["spec"]["resourceAttributes"];
    let text = |key: &str| asked[key].as_str().unwrap_or_default();
    let resource = match text("subresource") {
        "" => text("resource").to_owned(),
        sub => format!("{}/{sub}", text("resource")),
    };
    let allowed = !state.denied.contains(&format!("{} {resource}", text("verb")));
    ok(&json!({"spec": body["spec"], "status": {"allowed": allowed}}))
}

fn discovery(version: &str, kind: &str, scale: bool) -> Value {
    let plural = format!("{}s", kind.to_lowercase());
    let verbs = json!(["get", "list", "watch", "patch", "create", "delete"]);
    let mut resources =
        vec![json!({"name": plural, "singularName": "", "kind": kind, "namespaced": true, "verbs": verbs})];
    if scale {
        resources.push(json!({
            "name": format!("{plural}/scale"), "singularName": "", "group": "autoscaling", "version": "v1", "kind": "Scale",
            "namespaced": true, "verbs": ["get", "update"],
        }));
    }
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources})
}

fn version() -> ResponseTemplate {
    ok(&json!({
        "major": "1", "minor": "36", "gitVersion": "v1.36.0", "gitCommit": "", "gitTreeState": "", "buildDate": "",
        "goVersion": "", "compiler": "", "platform": "",
    }))
}
