//! The receiver of Alertmanager's webhook: an alert wakes the policies that it concerns at once.
//!
//! Nothing of what an alert says is believed. It only brings forward the pass that would have come anyway, and
//! what that pass decides rests on our own queries. So the worst that a stolen token can do is to have
//! policies evaluated more often, and that is bounded too.
//!
//! | request | wakes |
//! |---|---|
//! | `POST /api/v1/alertmanager` | every policy with a rule of the alert's name; those of one namespace, if the alert has the label `namespace` |
//! | `POST /api/v1/alertmanager/NAMESPACE/POLICY` | that policy, whatever the alerts are called |
//!
//! Shape of the body: version 4 of Alertmanager's webhook, of which `alerts[].labels` are read.
//! Source: Alertmanager, "Configuration", `<webhook_config>`.

use super::{bucket::Bucket, refuse};
use crate::{lease::Leadership, observe::cluster::Wake};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{
        HeaderMap, StatusCode,
        header::{AUTHORIZATION, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
    routing::post,
};
use flyball_crds::FeedbackPolicy;
use kube::{
    ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tracing::{debug, warn};

/// The largest body, in bytes. Alertmanager sends one group of alerts at a time.
const MAX_BODY: usize = 1 << 20;
/// How many requests may come at once, and how many more a minute: the whole installation's.
const BURST: u32 = 60;
/// How long a policy that was woken is not woken again.
const REST: Duration = Duration::from_secs(5);
/// The shortest token, in bytes.
pub const SHORTEST_TOKEN: usize = 16;

/// Why there is no webhook.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The file can't be read.
    #[error("{path}: {reason}; mount the Secret with the token there, or leave the flag out")]
    Read {
        /// The file.
        path: String,
        /// Why.
        reason: io::Error,
    },
    /// What is in it is no token.
    #[error(
        "{path}: a token has at least {SHORTEST_TOKEN} printable characters and no spaces, this one has {found}; make one with: openssl rand -hex 32"
    )]
    Token {
        /// The file.
        path: String,
        /// What was found instead.
        found: String,
    },
}

/// The file with the bearer token. It is read with each request, so a rotated Secret counts at once.
#[derive(Clone, Debug)]
pub struct TokenFile(PathBuf);

impl TokenFile {
    /// A file that holds a token now.
    pub fn new(path: PathBuf) -> Result<Self, WebhookError> {
        let file = Self(path);
        file.read().map(|_| file)
    }

    /// The token that is in it now.
    pub fn read(&self) -> Result<String, WebhookError> {
        let path = || self.0.display().to_string();
        let text = fs::read_to_string(&self.0).map_err(|reason| WebhookError::Read { path: path(), reason })?;
        let token = text.trim();
        let found = if token.len() < SHORTEST_TOKEN {
            format!("{} bytes", token.len())
        } else if token.bytes().any(|byte| !byte.is_ascii_graphic()) {
            "others".to_owned()
        } else {
            return Ok(token.to_owned());
        };
        Err(WebhookError::Token { path: path(), found })
    }
}

/// Everything that the receiver needs.
#[derive(Clone)]
pub struct Webhook {
    /// The token.
    pub token: TokenFile,
    /// The policies there are.
    pub policies: Store<FeedbackPolicy>,
    /// Where a policy is woken.
    pub wake: mpsc::Sender<Wake>,
    /// Only the leader passes policies.
    pub leadership: watch::Receiver<Leadership>,
    /// What was let through lately.
    pub limits: Arc<Limits>,
}

/// Bounds how often anything is woken.
#[derive(Debug, Default)]
pub struct Limits(Mutex<Lately>);

#[derive(Debug)]
struct Lately {
    requests: Bucket,
    woken: HashMap<ObjectRef<FeedbackPolicy>, Instant>,
}

impl Default for Lately {
    fn default() -> Self {
        Self {
            requests: Bucket::new(BURST, Duration::from_secs(60) / BURST),
            woken: HashMap::new(),
        }
    }
}

impl Limits {
    /// Takes one request; else how long until there is one.
    fn request(&self, now: Instant) -> Result<(), Duration> {
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lately.requests.take(now)
    }

    /// Whether a policy may be woken now; it then counts as woken.
    fn policy(&self, policy: &ObjectRef<FeedbackPolicy>, now: Instant) -> bool {
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lately.woken.retain(|_, at| now.saturating_duration_since(*at) < REST);
        if lately.woken.contains_key(policy) {
            return false;
        }
        lately.woken.insert(policy.clone(), now);
        true
    }
}

/// What is read of Alertmanager's body.
#[derive(Debug, Deserialize)]
struct Body {
    alerts: Vec<Alert>,
}

#[derive(Debug, Deserialize)]
struct Alert {
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// What came of it. Numbers only: the names of all tenants' policies are not for whoever sends alerts.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Answer {
    /// How many alerts came.
    alerts: usize,
    /// How many policies were woken.
    woken: usize,
    /// How many had been woken a moment before, or could not be just now: their next pass is near.
    resting: usize,
}

/// The routes.
pub fn router(webhook: Webhook) -> Router {
    Router::new()
        .route(
            "/api/v1/alertmanager",
            post(
                async |State(webhook): State<Webhook>, headers: HeaderMap, body: Bytes| {
                    webhook.receive(&headers, &body, None)
                },
            ),
        )
        .route(
            "/api/v1/alertmanager/{namespace}/{policy}",
            post(
                async |State(webhook): State<Webhook>,
                       Path((namespace, policy)): Path<(String, String)>,
                       headers: HeaderMap,
                       body: Bytes| {
                    let one = ObjectRef::new(&policy).within(&namespace);
                    webhook.receive(&headers, &body, Some(one))
                },
            ),
        )
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(webhook)
}

impl Webhook {
    fn receive(&self, headers: &HeaderMap, body: &[u8], one: Option<ObjectRef<FeedbackPolicy>>) -> Response {
        let token = match self.token.read() {
            Ok(token) => token,
            Err(error) => {
                warn!(%error, "the webhook takes nothing");
                return refuse(
                    StatusCode::SERVICE_UNAVAILABLE,
                    &[],
                    "the token of this receiver can't be read",
                );
            }
        };
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.strip_prefix("Bearer "));
        if !given.is_some_and(|given| same(given.as_bytes(), token.as_bytes())) {
            let way = "send the receiver's token: http_config.authorization.credentials_file in Alertmanager's webhook_configs";
            return refuse(
                StatusCode::UNAUTHORIZED,
                &[(WWW_AUTHENTICATE, "Bearer".to_owned())],
                way,
            );
        }
        let now = Instant::now();
        if !self.leadership.borrow().is_leader(now) {
            // Alertmanager tries again, and with a new connection the Service may find the leader.
            let headers = [(CONNECTION, "close".to_owned()), (RETRY_AFTER, "1".to_owned())];
            return refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                &headers,
                "this replica does not lead; try again",
            );
        }
        if let Err(pause) = self.limits.request(now) {
            let headers = [(RETRY_AFTER, pause.as_secs().saturating_add(1).to_string())];
            return refuse(
                StatusCode::TOO_MANY_REQUESTS,
                &headers,
                "too many requests; group alerts more, or raise group_interval",
            );
        }
        let body: Body = match serde_json::from_slice(body) {
            Ok(body) => body,
            Err(error) => {
                let why = format!("the body is not version 4 of Alertmanager's webhook: {error}");
                return refuse(StatusCode::BAD_REQUEST, &[], &why);
            }
        };
        let concerned: Vec<ObjectRef<FeedbackPolicy>> = match one {
            Some(one) if self.policies.get(&one).is_none() => {
                return refuse(
                    StatusCode::NOT_FOUND,
                    &[],
                    "there is no such policy; the path is /api/v1/alertmanager/NAMESPACE/POLICY",
                );
            }
            Some(one) => vec![one],
            None => concerned(&self.policies.state(), &body.alerts),
        };
        let all = concerned.len();
        let woken = concerned.into_iter().filter(|policy| self.wake(policy, now)).count();
        debug!(alerts = body.alerts.len(), woken, "alerts came in");
        let answer = Answer {
            alerts: body.alerts.len(),
            woken,
            resting: all - woken,
        };
        (StatusCode::ACCEPTED, Json(answer)).into_response()
    }

    fn wake(&self, policy: &ObjectRef<FeedbackPolicy>, now: Instant) -> bool {
        self.limits.policy(policy, now) && self.wake.try_send(policy.clone()).is_ok()
    }
}

/// The policies with a rule of an alert's name, in its namespace if it has one.
fn concerned(policies: &[Arc<FeedbackPolicy>], alerts: &[Alert]) -> Vec<ObjectRef<FeedbackPolicy>> {
    let mut asked: BTreeMap<&str, BTreeSet<Option<&str>>> = BTreeMap::new();
    for alert in alerts {
        if let Some(name) = alert.labels.get("alertname") {
            let namespace = alert.labels.get("namespace").map(String::as_str);
            asked.entry(name).or_default().insert(namespace);
        }
    }
    let concerns = |policy: &FeedbackPolicy| {
        let own = policy.spec.rules.iter().map(|rule| rule.alert.as_str());
        // A rule may be defined elsewhere: then the actions name it.
        let named = policy.spec.actions.iter().flat_map(|action| &action.when);
        let namespace = policy.namespace();
        own.chain(named.map(String::as_str)).any(|rule| {
            asked
                .get(rule)
                .is_some_and(|of| of.contains(&None) || of.contains(&namespace.as_deref()))
        })
    };
    let all = policies.iter().filter(|policy| concerns(policy));
    all.map(|policy| ObjectRef::from_obj(policy.as_ref())).collect()
}

/// Whether two texts are the same, in a time that tells nothing of where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn policy(namespace: &str, name: &str, rules: &[&str], when: &[&str]) -> Arc<FeedbackPolicy> {
        let rules: Vec<Value> = rules
            .iter()
            .map(|rule| json!({"alert": rule, "expr": "up == 0"}))
            .collect();
        let action = json!({"name": "a", "when": when, "replicas": {"min": 1, "max": 2, "step": {"pods": 1}}});
        let policy = json!({
            "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "sourceRef": {"name": "prometheus"}, "rules": rules, "actions": [action],
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            },
        });
        Arc::new(serde_json::from_value(policy).unwrap())
    }

    #[test]
    fn an_alert_concerns_the_policies_with_a_rule_of_its_name() {
        let policies = [
            policy("shop", "own", &["Slow", "Full"], &[]),
            policy("shop", "named", &[], &["Slow"]),
            policy("bank", "own", &["Slow"], &[]),
            policy("bank", "other", &["Down"], &[]),
        ];
        let check = |alerts: Value, expect: &[&str]| {
            let alerts: Vec<Alert> = serde_json::from_value(alerts).unwrap();
            let seen: Vec<String> = concerned(&policies, &alerts)
                .iter()
                .map(|policy| format!("{}/{}", policy.namespace.as_deref().unwrap_or_default(), policy.name))
                .collect();
            let mut expect = expect.to_vec();
            expect.sort_unstable();
            let mut seen = seen.iter().map(String::as_str).collect::<Vec<_>>();
            seen.sort_unstable();
            assert_eq!(seen, expect);
        };
        check(json!([]), &[]);
        check(json!([{}]), &[]);
        check(
            json!([{"labels": {"alertname": "Slow"}}]),
            &["shop/own", "shop/named", "bank/own"],
        );
        check(
            json!([{"labels": {"alertname": "Slow", "namespace": "shop"}}]),
            &["shop/own", "shop/named"],
        );
        check(json!([{"labels": {"alertname": "Slow", "namespace": "away"}}]), &[]);
        check(
            json!([{"labels": {"alertname": "Full"}}, {"labels": {"alertname": "Down", "namespace": "bank"}}]),
            &["shop/own", "bank/other"],
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_let_through_and_then_one_a_second() {
        let limits = Limits::default();
        let began = Instant::now();
        for _ in 0..60 {
            assert_eq!(limits.request(began), Ok(()));
        }
        assert_eq!(limits.request(began), Err(Duration::from_secs(1)));
        assert_eq!(limits.request(began + Duration::from_secs(1)), Ok(()));
        assert!(limits.request(began + Duration::from_secs(1)).is_err());
        let later = began + Duration::from_secs(3600);
        assert!(
            (0..60).all(|_| limits.request(later).is_ok()),
            "no more than a burst is saved up"
        );
        assert!(limits.request(later).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_policy_that_was_woken_rests() {
        let limits = Limits::default();
        let (one, other) = (ObjectRef::new("a").within("shop"), ObjectRef::new("a").within("bank"));
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        assert!(limits.policy(&one, began));
        assert!(!limits.policy(&one, after(4)));
        assert!(limits.policy(&other, after(4)));
        assert!(limits.policy(&one, after(5)));
    }
}
