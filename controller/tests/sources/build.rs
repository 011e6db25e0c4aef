//! What the tests ask: servers, sources, a clock that is set by hand.

use flyball_controller::observe::{
    credentials::Secrets,
    source::{Clock, Source},
};
use flyball_core::time::{Span, Timestamp};
use flyball_crds::{MetricSourceSpec, SecretKey};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};
use wiremock::ResponseTemplate;

pub const AT: Timestamp = Timestamp::from_millis(1_700_000_000_125);

pub fn spec(url: &str) -> MetricSourceSpec {
    MetricSourceSpec {
        url: url.to_owned(),
        ..MetricSourceSpec::default()
    }
}

pub fn key(name: &str) -> SecretKey {
    SecretKey {
        name: "prometheus".into(),
        key: name.into(),
    }
}

/// The keys of one Secret.
pub fn secrets(pairs: &[(&str, &str)]) -> Secrets {
    pairs
        .iter()
        .map(|(name, content)| (key(name), content.as_bytes().to_vec()))
        .collect()
}

/// A clock that stands still until it is moved.
#[derive(Clone)]
pub struct Hands(Arc<AtomicI64>);

impl Hands {
    pub fn new() -> Self {
        Self(Arc::new(AtomicI64::new(AT.as_millis())))
    }

    pub fn advance(&self, by: Span) {
        self.0
            .fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub fn clock(&self) -> Clock {
        let time = self.0.clone();
        Arc::new(move || Timestamp::from_millis(time.load(Ordering::SeqCst)))
    }
}

/// A source whose breaker and tokens go by `hands`.
pub fn source(spec: &MetricSourceSpec, secrets: &Secrets, hands: &Hands) -> Source {
    Source::with_clock("test", spec, secrets, hands.clock()).unwrap()
}

/// An answer of one.
pub fn one() -> ResponseTemplate {
    let one = r#"{"status":"success","data":{"resultType":"scalar","result":[1700000000.125,"1"]}}"#;
    ResponseTemplate::new(200).set_body_raw(one, "application/json")
}
