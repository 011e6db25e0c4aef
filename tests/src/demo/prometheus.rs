//! The demo's own questions to Prometheus.

use super::{setting::Setting, world::Measured};
use serde::Deserialize;
use std::time::Duration;

/// How long one question may take.
const LIMIT: Duration = Duration::from_secs(2);

/// One Prometheus server.
#[derive(Clone, Debug)]
pub struct Prometheus {
    client: reqwest::Client,
    url: String,
    queries: [String; 3],
}

#[derive(Deserialize)]
struct Envelope {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    value: (f64, String),
}

impl Prometheus {
    /// The server at `url`.
    pub fn new(url: String, setting: &Setting) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder().timeout(LIMIT).no_proxy().build()?;
        let recent = "sum(rate(http_request_duration_seconds_sum[10s])) / sum(rate(http_requests_total[10s]))";
        let load = "sum(rate(http_requests_received_total[10s]))";
        Ok(Self {
            client,
            url,
            queries: [setting.latency_query(), recent.to_owned(), load.to_owned()],
        })
    }

    /// One round of questions. What has no answer is left out.
    pub async fn measure(&self) -> Measured {
        let [latency, recent, load] = &self.queries;
        let (latency, recent, load) = tokio::join!(self.ask(latency), self.ask(recent), self.ask(load));
        Measured { latency, recent, load }
    }

    async fn ask(&self, query: &str) -> Option<f64> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/query", self.url), [("query", query)]).ok()?;
        let answer = self.client.get(url).send().await.ok()?.bytes().await.ok()?;
        value(&answer)
    }
}

/// The one finite number in an answer.
fn value(answer: &[u8]) -> Option<f64> {
    let envelope: Envelope = serde_json::from_slice(answer).ok()?;
    let value: f64 = envelope.data.result.first()?.value.1.parse().ok()?;
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::value;

    #[rstest::rstest]
    #[case(
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1.0,"0.25"]}]}}"#,
        Some(0.25)
    )]
    #[case(
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1.0,"NaN"]}]}}"#,
        None
    )]
    #[case(r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#, None)]
    #[case(r#"{"status":"error","error":"bad"}"#, None)]
    fn only_a_finite_number_is_a_value(#[case] answer: &str, #[case] expected: Option<f64>) {
        assert_eq!(value(answer.as_bytes()), expected);
    }
}
