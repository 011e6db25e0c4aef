//! The silences of an Alertmanager, for policies that let a silenced alert move nothing.
//!
//! Alerts are Flyball's own evaluation, so an Alertmanager may never have heard of them: what silences them is
//! told by the matchers of its silences, as Alertmanager itself applies them (API v2, `GET /api/v2/silences`).

use super::{
    addresses::Addresses,
    alerts::{self, NotifyError},
    http::{self, Asking},
};
use flyball_core::{
    decide::notify::Telling,
    signal::Labels,
    time::{Span, Timestamp},
};
use flyball_crds::MetricSourceSpec;
use regex::Regex;
use reqwest::{Client, Url, header::ACCEPT};
use serde::Deserialize;

use super::SourceError;
use crate::observe::credentials::{Secrets, TLS};
use reqwest::header::HeaderMap;

/// The largest answer that is read.
const MOST: usize = 4 << 20;

/// Why silences are not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SilenceError {
    /// The source has no Alertmanager.
    #[error("the MetricSource has no spec.alertmanager.url; set it, or let silenced alerts count")]
    None,
    /// It gave no answer, or another than its API has.
    #[error("Alertmanager at {host} could not be asked for its silences: {reason}")]
    Unanswered {
        /// Host and port.
        host: String,
        /// Why.
        reason: String,
    },
}

/// An Alertmanager. No credentials are sent to it: those of the source are for the source's own server.
pub(super) struct Alertmanager {
    client: Client,
    url: Url,
    /// Where alerts are posted.
    alerts: Url,
}

impl Alertmanager {
    pub fn new(spec: &MetricSourceSpec, timeout: Span, addresses: &Addresses) -> Result<Option<Self>, SourceError> {
        let Some(written) = &spec.alertmanager else {
            return Ok(None);
        };
        let url = url(&written.url)?;
        let alerts = sibling(&url, "alerts");
        let asking = Asking {
            timeout,
            secrets: &Secrets::default(),
            addresses,
        };
        let client = http::client(&url, HeaderMap::new(), None, &TLS, &asking)?;
        Ok(Some(Self { client, url, alerts }))
    }

    /// Posts one batch of alerts.
    pub async fn post(&self, tellings: &[Telling]) -> Result<(), NotifyError> {
        alerts::post(&self.client, &self.alerts, tellings).await
    }

    pub async fn silences(&self, now: Timestamp) -> Result<Vec<Silence>, SilenceError> {
        let unanswered = |reason: String| SilenceError::Unanswered {
            host: http::host(&self.url),
            reason,
        };
        let sent = self
            .client
            .get(self.url.clone())
            .header(ACCEPT, "application/json")
            .send()
            .await;
        let mut response = sent.map_err(|error| unanswered(http::cause(&error)))?;
        let status = response.status();
        if status != reqwest::StatusCode::OK {
            return Err(unanswered(format!("it answered {status}")));
        }
        let body = http::body(&mut response, MOST)
            .await
            .map_err(|error| unanswered(http::cause(&error)))?;
        let body = body.ok_or_else(|| unanswered(format!("its answer is larger than {MOST} bytes")))?;
        read(&body, now).map_err(unanswered)
    }
}

/// Where silences are asked.
pub(super) fn url(text: &str) -> Result<Url, SourceError> {
    let wrong = |reason: &str| SourceError::Alertmanager {
        url: crate::promql::shorten(text),
        reason: reason.to_owned(),
    };
    let mut url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
        return Err(wrong("it must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it must carry no user, password, query or fragment"));
    }
    url.path_segments_mut()
        .map_err(|()| wrong("it has no path"))?
        .pop_if_empty()
        .extend(["api", "v2", "silences"]);
    Ok(url)
}

/// Another resource of the same API.
fn sibling(silences: &Url, name: &str) -> Url {
    let mut url = silences.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop().push(name);
    }
    url
}

/// A silence that is in force.
#[derive(Clone, Debug)]
pub struct Silence {
    matchers: Vec<Matcher>,
}

#[derive(Clone, Debug)]
struct Matcher {
    name: String,
    test: Test,
    equal: bool,
}

#[derive(Clone, Debug)]
enum Test {
    Is(String),
    Matches(Regex),
}

impl Silence {
    /// Whether it silences an alert with these labels: all of its matchers hold. A label that is absent counts as
    /// empty.
    pub fn silences(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| {
            let value = labels.get(&matcher.name).map(String::as_str).unwrap_or_default();
            let found = match &matcher.test {
                Test::Is(text) => value == text,
                Test::Matches(pattern) => pattern.is_match(value),
            };
            found == matcher.equal
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    status: Status,
    matchers: Vec<WrittenMatcher>,
    #[serde(default)]
    starts_at: Option<jiff::Timestamp>,
    #[serde(default)]
    ends_at: Option<jiff::Timestamp>,
}

#[derive(Deserialize)]
struct Status {
    state: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenMatcher {
    name: String,
    value: String,
    is_regex: bool,
    /// Absent in versions before 0.22.
    #[serde(default = "yes")]
    is_equal: bool,
}

const fn yes() -> bool {
    true
}

/// The silences in force. One whose pattern can't be read silences nothing: the alert counts.
fn read(body: &[u8], now: Timestamp) -> Result<Vec<Silence>, String> {
    let all: Vec<Written> = serde_json::from_slice(body).map_err(|error| format!("its answer is none: {error}"))?;
    let in_force = |silence: &Written| {
        let at = |time: &Option<jiff::Timestamp>| time.map(|time| Timestamp::from_millis(time.as_millisecond()));
        silence.status.state == "active"
            && at(&silence.starts_at).is_none_or(|start| start <= now)
            && at(&silence.ends_at).is_none_or(|end| now < end)
    };
    let read = |silence: Written| {
        let matcher = |matcher: WrittenMatcher| {
            let test = if matcher.is_regex {
                // Anchored, as Alertmanager's are.
                Test::Matches(Regex::new(&format!("^(?:{})$", matcher.value)).ok()?)
            } else {
                Test::Is(matcher.value)
            };
            Some(Matcher {
                name: matcher.name,
                test,
                equal: matcher.is_equal,
            })
        };
        let matchers: Option<Vec<Matcher>> = silence.matchers.into_iter().map(matcher).collect();
        // Alertmanager takes no silence without a matcher; one here would silence everything.
        Some(Silence {
            matchers: matchers.filter(|matchers| !matchers.is_empty())?,
        })
    };
    Ok(all.into_iter().filter(in_force).filter_map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(text.parse::<jiff::Timestamp>().expect("a time").as_millisecond())
    }

    fn silence(state: &str, matchers: &str) -> String {
        format!(
            r#"[{{"id": "1", "status": {{"state": "{state}"}}, "startsAt": "2026-01-01T00:00:00.000Z",
               "endsAt": "2026-01-02T00:00:00.000Z", "createdBy": "ann", "comment": "", "matchers": {matchers}}}]"#
        )
    }

    #[test]
    fn an_alert_is_silenced_as_alertmanager_does() {
        let labels: Labels = [("alertname", "Slow"), ("backend", "shop-b")]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let check = |state: &str, matchers: &str, now: &str, expect: bool| {
            let silences = read(silence(state, matchers).as_bytes(), at(now)).expect("silences");
            let found = silences.iter().any(|silence| silence.silences(&labels));
            assert_eq!(found, expect, "{state} {matchers} {now}");
        };
        let noon = "2026-01-01T12:00:00Z";
        let is = r#"[{"name": "alertname", "value": "Slow", "isRegex": false, "isEqual": true}]"#;
        check("active", is, noon, true);
        check("expired", is, noon, false);
        check("pending", is, noon, false);
        // What the state says may be old by the time that it is read.
        check("active", is, "2026-01-02T00:00:00Z", false);
        check("active", is, "2025-12-31T23:59:59Z", false);
        check(
            "active",
            r#"[{"name": "backend", "value": "shop-.", "isRegex": true, "isEqual": true}]"#,
            noon,
            true,
        );
        check(
            "active",
            r#"[{"name": "backend", "value": "shop", "isRegex": true, "isEqual": true}]"#,
            noon,
            false,
        );
        check(
            "active",
            r#"[{"name": "backend", "value": "shop-b", "isRegex": false, "isEqual": false}]"#,
            noon,
            false,
        );
        check(
            "active",
            r#"[{"name": "backend", "value": "shop-a", "isRegex": false, "isEqual": false}]"#,
            noon,
            true,
        );
        check(
            "active",
            r#"[{"name": "backend", "value": "shop-b", "isRegex": false}]"#,
            noon,
            true,
        );
        check(
            "active",
            r#"[{"name": "absent", "value": "", "isRegex": false, "isEqual": true}]"#,
            noon,
            true,
        );
        check(
            "active",
            r#"[{"name": "absent", "value": ".+", "isRegex": true, "isEqual": true}]"#,
            noon,
            false,
        );
        let both = r#"[{"name": "alertname", "value": "Slow", "isRegex": false}, {"name": "backend", "value": "x", "isRegex": false}]"#;
        check("active", both, noon, false);
        check("active", "[]", noon, false);
        check(
            "active",
            r#"[{"name": "backend", "value": "(", "isRegex": true, "isEqual": true}]"#,
            noon,
            false,
        );
    }

    #[test]
    fn what_is_no_answer_of_alertmanager_is_told() {
        for body in ["", "{}", "<html>", r#"[{"matchers": []}]"#] {
            assert!(read(body.as_bytes(), at("2026-01-01T00:00:00Z")).is_err(), "{body}");
        }
    }

    #[test]
    fn silences_are_asked_below_the_url() {
        let asked = |text: &str| url(text).map(|url| url.to_string()).ok();
        assert_eq!(
            asked("http://am:9093").as_deref(),
            Some("http://am:9093/api/v2/silences")
        );
        assert_eq!(
            asked("https://am/alerts/").as_deref(),
            Some("https://am/alerts/api/v2/silences")
        );
        for text in [
            "am:9093",
            "file:///etc",
            "http://u:p@am",
            "http://am?x=1",
            "http://am#x",
        ] {
            assert_eq!(asked(text), None, "{text}");
        }
    }
}
