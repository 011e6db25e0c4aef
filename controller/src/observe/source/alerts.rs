//! Alerts posted to an Alertmanager (API v2, `POST /api/v2/alerts`).

use super::http;
use crate::{clock::written, text::clean};
use flyball_core::{decide::notify::Telling, signal::Labels};
use reqwest::{Client, StatusCode, Url, header::CONTENT_TYPE};
use serde::Serialize;

/// As much of what it says is told, in characters.
const MOST_SAID: usize = 256;

/// Why alerts were not posted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// The source has no Alertmanager.
    #[error(
        "MetricSource {0} has no spec.alertmanager.url, so no alert can be posted; ask its owner to set it, or remove notify"
    )]
    None(String),
    /// It gave no answer.
    #[error("alerts could not be posted to Alertmanager at {host}: {reason}; the next pass tries again")]
    Unanswered {
        /// Host and port.
        host: String,
        /// Why.
        reason: String,
    },
    /// It took too long for a pass to wait.
    #[error("Alertmanager did not take all alerts within {0}s; the next pass tells the rest")]
    Late(u64),
    /// It answered that it did not take them all.
    #[error("Alertmanager at {host} answered {status} to posted alerts: {reason}; the next pass tries again")]
    Refused {
        /// Host and port.
        host: String,
        /// The status.
        status: u16,
        /// What it says.
        reason: String,
    },
}

/// An alert as the API takes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted<'a> {
    labels: &'a Labels,
    annotations: &'a Labels,
    starts_at: String,
    ends_at: String,
}

pub(super) async fn post(client: &Client, url: &Url, tellings: &[Telling]) -> Result<(), NotifyError> {
    let posted = tellings.iter().map(|telling| Posted {
        labels: &telling.labels,
        annotations: &telling.annotations,
        starts_at: written(telling.starts_at),
        ends_at: written(telling.ends_at),
    });
    let host = || http::host(url);
    let unanswered = |reason: String| NotifyError::Unanswered { host: host(), reason };
    let body = serde_json::to_vec(&posted.collect::<Vec<_>>()).map_err(|error| unanswered(error.to_string()))?;
    let request = client.post(url.clone()).header(CONTENT_TYPE, "application/json");
    let sent = request.body(body).send().await;
    let mut response = sent.map_err(|error| unanswered(http::cause(&error)))?;
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(());
    }
    let reason = if status.is_redirection() {
        format!("it redirects to {}", http::redirected_to(&response))
    } else {
        // The rest of a body that is too long, broken or late is not worth waiting for.
        let body = http::body(&mut response, http::ERROR_BYTES).await.ok().flatten();
        said(&body.unwrap_or_default())
    };
    Err(NotifyError::Refused {
        host: host(),
        status: status.as_u16(),
        reason,
    })
}

/// What an error's body says: a text, or an object with one.
fn said(body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = body.as_str().or_else(|| body.get("message")?.as_str());
    text.map_or_else(
        || "it gave no reason".to_owned(),
        |text| clean(text.chars().take(MOST_SAID).collect::<String>()),
    )
}
