//! The answer of Prometheus' HTTP API, read strictly.
//!
//! What is not exactly an instant vector or a scalar of decimal numbers is an error with a name; no
//! value is guessed, and no part of the body gets into a message except the server's own `error`.

use flyball_core::{
    signal::{Labels, Sample},
    time::{Span, Timestamp},
};
use serde::{Deserialize, de::IgnoredAny};
use std::collections::HashSet;

/// The most series of one answer. A rule that needs more is missing an aggregation.
pub const MAX_SERIES: usize = 10_000;
/// How far the time in an answer may be from the time asked for.
pub const MAX_SKEW: Span = Span::from_secs(30);
/// How much of a text from the server is passed on, in characters.
const MAX_TEXT: usize = 200;
/// How many warnings are passed on.
const MAX_WARNINGS: usize = 8;

/// A successful answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The elements of the vector; a scalar is one element without labels.
    pub samples: Vec<Sample>,
    /// What the server warned of. With any, parts may be missing.
    pub warnings: Vec<String>,
}

/// Why an answer is not numbers.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EnvelopeError {
    /// The body ends before the JSON does.
    #[error("the answer ends in the middle of its JSON")]
    Truncated,
    /// The body is not JSON.
    #[error("the answer is not JSON (line {line}, column {column})")]
    NotJson {
        /// Where it stops being JSON.
        line: usize,
        /// Where in that line.
        column: usize,
    },
    /// JSON of another form.
    #[error("the answer is not of the form that Prometheus' HTTP API has (line {line}, column {column})")]
    Shape {
        /// Where it differs.
        line: usize,
        /// Where in that line.
        column: usize,
    },
    /// `status: error`.
    #[error("the server answered {kind}: {message}")]
    Failed {
        /// The server's `errorType`.
        kind: String,
        /// The start of the server's `error`, escaped.
        message: String,
    },
    /// Neither success nor error.
    #[error("the answer has no status of success or error")]
    NoStatus,
    /// Success without data.
    #[error("the answer has no data")]
    NoData,
    /// A range vector or a string.
    #[error("the answer is a {0}, not a vector or scalar; {1}")]
    ResultType(&'static str, &'static str),
    /// A native histogram.
    #[error(
        "the answer holds native histograms; use histogram_quantile(...), histogram_avg(...) or histogram_count(...)"
    )]
    NativeHistogram,
    /// A sample that is not a pair of a time and a text.
    #[error("a sample is not a pair of a time and a number in quotes")]
    Point,
    /// A value that Prometheus would not write.
    #[error("the value {0} is not a number as Prometheus writes it")]
    Value(String),
    /// A value beyond the range of a double.
    #[error("the value {0} is too large for a number")]
    Overflow(String),
    /// An answer for another time.
    #[error("a sample's time is {0} from the time asked for; compare the clocks of the controller and the server")]
    Skew(Span),
    /// The same series twice.
    #[error("two series have the same labels {0}; the server merges its replicas wrongly")]
    Duplicate(String),
    /// More series than are read.
    #[error("{0} series, at most {MAX_SERIES} are read; aggregate, for example with sum(...) or max(...)")]
    TooManySeries(usize),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    data: Option<Data>,
    #[serde(default)]
    error_type: Option<String>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
    /// How a cluster of VictoriaMetrics says that one of its stores did not answer; it sends no warnings.
    #[serde(default)]
    is_partial: Option<bool>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Series>),
    Scalar(serde_json::Value),
    Matrix(IgnoredAny),
    String(IgnoredAny),
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    metric: Labels,
    #[serde(default)]
    value: Option<serde_json::Value>,
    #[serde(default)]
    histogram: Option<IgnoredAny>,
}

/// Reads the answer to an instant query that was asked for the time `at`.
pub fn read(body: &[u8], at: Timestamp) -> Result<Answer, EnvelopeError> {
    let envelope: Envelope = serde_json::from_slice(body).map_err(|error| json(&error))?;
    match envelope.status.as_deref() {
        Some("success") => {}
        Some("error") => {
            let kind = envelope
                .error_type
                .as_deref()
                .map_or_else(|| "error".to_owned(), escape);
            return Err(EnvelopeError::Failed {
                kind,
                message: escape(envelope.error.as_deref().unwrap_or("no reason")),
            });
        }
        _ => return Err(EnvelopeError::NoStatus),
    }
    let samples = match envelope.data.ok_or(EnvelopeError::NoData)? {
        Data::Vector(series) if series.len() > MAX_SERIES => return Err(EnvelopeError::TooManySeries(series.len())),
        Data::Vector(series) => vector(series, at)?,
        Data::Scalar(point) => vec![Sample {
            labels: Labels::new(),
            value: value(&point, at)?,
        }],
        Data::Matrix(_) => {
            return Err(EnvelopeError::ResultType(
                "range vector",
                "put the range into a function such as rate(...)",
            ));
        }
        Data::String(_) => return Err(EnvelopeError::ResultType("string", "select a metric")),
    };
    let mut warnings: Vec<String> = envelope
        .warnings
        .iter()
        .flatten()
        .take(MAX_WARNINGS)
        .map(|text| escape(text))
        .collect();
    if envelope.is_partial == Some(true) {
        warnings.push("the server says that its answer is partial (isPartial)".to_owned());
    }
    Ok(Answer { samples, warnings })
}

/// The server's `errorType` and `error`, if the body of an error is of the API's form.
pub(super) fn reason(body: &[u8]) -> Option<(String, String)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Reason {
        #[serde(default)]
        error_type: Option<String>,
        error: String,
    }
    let reason: Reason = serde_json::from_slice(body).ok()?;
    Some((
        escape(reason.error_type.as_deref().unwrap_or("error")),
        escape(&reason.error),
    ))
}

/// serde's own texts quote the body, so only the place is taken over.
fn json(error: &serde_json::Error) -> EnvelopeError {
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        serde_json::error::Category::Eof => EnvelopeError::Truncated,
        serde_json::error::Category::Data => EnvelopeError::Shape { line, column },
        _ => EnvelopeError::NotJson { line, column },
    }
}

fn vector(series: Vec<Series>, at: Timestamp) -> Result<Vec<Sample>, EnvelopeError> {
    let samples = series
        .into_iter()
        .map(|series| match (series.value, series.histogram) {
            (_, Some(_)) => Err(EnvelopeError::NativeHistogram),
            (None, None) => Err(EnvelopeError::Point),
            (Some(point), None) => Ok(Sample {
                value: value(&point, at)?,
                labels: series.metric,
            }),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut seen = HashSet::new();
    match samples.iter().find(|sample| !seen.insert(&sample.labels)) {
        Some(twice) => Err(EnvelopeError::Duplicate(escape(&format!("{:?}", twice.labels)))),
        None => Ok(samples),
    }
}

/// The value of `[time, "text"]`.
fn value(point: &serde_json::Value, at: Timestamp) -> Result<f64, EnvelopeError> {
    let pair = point.as_array().map(Vec::as_slice);
    let Some([serde_json::Value::Number(time), serde_json::Value::String(text)]) = pair else {
        return Err(EnvelopeError::Point);
    };
    let seconds = time
        .as_f64()
        .filter(|seconds| seconds.is_finite())
        .ok_or(EnvelopeError::Point)?;
    #[allow(clippy::cast_precision_loss)] // Milliseconds of this era fit into a double.
    let skew = (seconds - at.as_millis() as f64 / 1000.0).abs();
    let skew = std::time::Duration::try_from_secs_f64(skew).map_or(u128::MAX, |skew| skew.as_millis());
    if skew > u128::from(MAX_SKEW.as_millis()) {
        let skew = Span::from_millis(u64::try_from(skew).unwrap_or(u64::MAX));
        return Err(EnvelopeError::Skew(skew.min(Span::MAX)));
    }
    number(text)
}

/// Reads a number as Go writes it: Rust reads more than that, and turns `1e400` into infinity.
fn number(text: &str) -> Result<f64, EnvelopeError> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = unsigned
        .split_once(['e', 'E'])
        .map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
    let exponent = exponent.map(|e| e.strip_prefix(['+', '-']).unwrap_or(e));
    match text {
        "NaN" => Ok(f64::NAN),
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        _ if !digits(whole) || !fraction.is_none_or(digits) || !exponent.is_none_or(digits) => {
            Err(EnvelopeError::Value(format!("{:?}", shortened(text))))
        }
        _ => {
            let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
            value.ok_or_else(|| EnvelopeError::Overflow(format!("{:?}", shortened(text))))
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

/// At most 200 characters, on one line: control, direction and other invisible characters escaped.
fn escape(text: &str) -> String {
    text.chars()
        .take(MAX_TEXT)
        .flat_map(|c| {
            // Quotes and backslashes are left as they are, for the texts quote expressions.
            let plain = matches!(c, '"' | '\'' | '\\');
            if plain { vec![c] } else { c.escape_debug().collect() }
        })
        .take(MAX_TEXT)
        .collect()
}
