//! The answers of Prometheus' HTTP API: what is read, and what is an error with a name.

// Helpers outside #[test] may fail loudly too.
#![allow(clippy::unwrap_used)]

use flyball_controller::observe::envelope::{self, Answer, EnvelopeError, MAX_SERIES};
use flyball_core::time::{Span, Timestamp};
use proptest::prelude::*;
use rstest::rstest;

const AT: Timestamp = Timestamp::from_millis(1_700_000_000_125);

fn vector(result: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#)
}

fn value(text: &str) -> String {
    vector(&format!(r#"{{"metric":{{}},"value":[1700000000.125,{text}]}}"#))
}

fn answered(body: &str) -> Result<Answer, EnvelopeError> {
    envelope::read(body.as_bytes(), AT)
}

#[rstest]
#[case("0.25", 0.25)]
#[case("-1e-07", -1e-7)]
#[case("1e+21", 1e21)]
#[case("9007199254740993", 9_007_199_254_740_992.0)]
#[case("+Inf", f64::INFINITY)]
#[case("-Inf", f64::NEG_INFINITY)]
fn numbers_as_prometheus_writes_them(#[case] text: &str, #[case] expect: f64) {
    let answer = answered(&value(&format!("\"{text}\""))).unwrap();
    assert_eq!(answer.samples[0].value.to_string(), expect.to_string());
}

#[test]
fn nan_is_kept_scalars_are_one_sample_and_warnings_are_passed_on() {
    assert!(answered(&value("\"NaN\"")).unwrap().samples[0].value.is_nan());
    let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1700000000.125,"1"]},
        "warnings":["store a\nis down"],"infos":["ignored"]}"#;
    let answer = answered(scalar).unwrap();
    assert_eq!((answer.samples.len(), answer.samples[0].labels.len()), (1, 0));
    assert_eq!(answer.warnings, [r"store a\nis down"]);
    assert!(answered(&vector("")).unwrap().samples.is_empty());
}

/// What its backends answer beyond Prometheus: a cluster of VictoriaMetrics says `isPartial`, Thanos and Mimir warn.
#[rstest]
#[case::victoria_metrics(r#""isPartial":false,"data":{"resultType":"vector","result":[]},"stats":{"seriesFetched":"0","executionTimeMsec":1}"#, &[])]
#[case::victoria_metrics_in_part(r#""isPartial":true,"data":{"resultType":"vector","result":[]},"trace":{}"#, &["the server says that its answer is partial (isPartial)"])]
#[case::nothing_said(r#""isPartial":null,"data":{"resultType":"vector","result":[]}"#, &[])]
#[case::thanos(
    r#""data":{"resultType":"vector","result":[],"analysis":{}},"warnings":["receive series from Addr: 10.0.0.1:10901: rpc error"]"#,
    &["receive series from Addr: 10.0.0.1:10901: rpc error"]
)]
#[case::both(r#""isPartial":true,"data":{"resultType":"vector","result":[]},"warnings":["a"]"#, &["a", "the server says that its answer is partial (isPartial)"])]
#[case::infos(r#""data":{"resultType":"vector","result":[]},"infos":["metric might not be a counter"]"#, &[])]
fn partial_answers_are_known_by_their_server(#[case] body: &str, #[case] expect: &[&str]) {
    let answer = answered(&format!(r#"{{"status":"success",{body}}}"#)).unwrap();
    assert_eq!(answer.warnings, expect);
}

#[rstest]
#[case("1e400", "too large")]
#[case("inf", "not a number as Prometheus writes it")]
#[case("Infinity", "not a number")]
#[case("nan", "not a number")]
#[case("", "not a number")]
#[case(" 1", "not a number")]
#[case("0x1F", "not a number")]
#[case("1_000", "not a number")]
#[case("1.", "not a number")]
#[case(".5", "not a number")]
#[case("\\u001b[31m", "\\u{1b}[31m")]
fn other_spellings_are_errors(#[case] text: &str, #[case] part: &str) {
    let message = answered(&value(&format!("\"{text}\""))).unwrap_err().to_string();
    assert!(message.contains(part) && !message.contains('\u{1b}'), "{message}");
}

#[rstest]
#[case(r#"{"metric":{},"value":[1700000000.125,0.5]}"#, EnvelopeError::Point)]
#[case(r#"{"metric":{},"value":["1700000000.125","1"]}"#, EnvelopeError::Point)]
#[case(r#"{"metric":{},"value":[1700000000.125]}"#, EnvelopeError::Point)]
#[case(r#"{"metric":{},"value":[1700000000.125,"1","2"]}"#, EnvelopeError::Point)]
#[case(r#"{"metric":{},"value":[1700000000.125,null]}"#, EnvelopeError::Point)]
#[case(r#"{"metric":{},"value":null}"#, EnvelopeError::Point)]
#[case(r#"{"metric":{}}"#, EnvelopeError::Point)]
#[case(r#"{"metric":{},"histogram":[1700000000.125,{}]}"#, EnvelopeError::NativeHistogram)]
#[case(
    r#"{"metric":{},"value":[1700000031,"1"]}"#,
    EnvelopeError::Skew(Span::from_millis(30_875))
)]
#[case(r#"{"metric":{},"value":[0,"1"]}"#, EnvelopeError::Skew(Span::MAX))]
#[case(r#"{"metric":{},"value":[1e300,"1"]}"#, EnvelopeError::Skew(Span::MAX))]
#[case(
    r#"{"metric":{"a":"1"},"value":[1700000000,"1"]},{"metric":{"a":"1"},"value":[1700000000,"2"]}"#,
    EnvelopeError::Duplicate(r#"{"a": "1"}"#.into())
)]
fn samples_of_another_form_are_errors(#[case] result: &str, #[case] expect: EnvelopeError) {
    assert_eq!(answered(&vector(result)), Err(expect));
}

#[rstest]
#[case(
    r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#,
    "a range vector, not a vector or scalar"
)]
#[case(
    r#"{"status":"success","data":{"resultType":"string","result":[1700000000,"x"]}}"#,
    "a string"
)]
#[case(r#"{"status":"success","data":null}"#, "no data")]
#[case(r#"{"status":"success"}"#, "no data")]
#[case(r#"{"data":{"resultType":"vector","result":[]}}"#, "no status")]
#[case(r#"{"status":"maybe","data":{"resultType":"vector","result":[]}}"#, "no status")]
#[case(
    r#"{"status":"success","data":{"resultType":"streams","result":["secret"]}}"#,
    "not of the form"
)]
#[case(
    r#"{"status":"success","data":{"resultType":"vector","result":{"secret":1}}}"#,
    "not of the form"
)]
#[case(r#"[1, "secret"]"#, "not of the form")]
#[case(
    r#"{"status":"success","isPartial":"secret","data":{"resultType":"vector","result":[]}}"#,
    "not of the form"
)]
#[case("secret", "not JSON (line 1, column 1)")]
#[case("", "ends in the middle")]
#[case(r#"{"status":"success","da"#, "ends in the middle")]
#[case(
    r#"{"status":"error","errorType":"timeout","error":"query timed out\nin expression"}"#,
    "timeout: query timed out\\nin expression"
)]
#[case(r#"{"status":"error"}"#, "error: no reason")]
fn answers_of_another_form_are_errors(#[case] body: &str, #[case] part: &str) {
    let message = answered(body).unwrap_err().to_string();
    assert!(message.contains(part) && !message.contains("secret"), "{message}");
}

#[test]
fn too_many_series_are_refused() {
    let series = |n: usize| {
        let all: Vec<String> = (0..n)
            .map(|i| format!(r#"{{"metric":{{"i":"{i}"}},"value":[1700000000,"1"]}}"#))
            .collect();
        vector(&all.join(","))
    };
    assert_eq!(answered(&series(MAX_SERIES)).unwrap().samples.len(), MAX_SERIES);
    let error = answered(&series(MAX_SERIES + 1));
    assert_eq!(error, Err(EnvelopeError::TooManySeries(MAX_SERIES + 1)));
}

proptest! {
    #[test]
    fn no_body_panics(body in ".{0,200}", cut in 0usize..90) {
        drop(envelope::read(body.as_bytes(), AT));
        let whole = value("\"1\"");
        let inside = format!("{}{body}{}", &whole[..cut.min(whole.len())], &whole[cut.min(whole.len())..]);
        drop(envelope::read(inside.as_bytes(), AT));
    }

    #[test]
    fn every_finite_number_reads_back(value in proptest::num::f64::NORMAL) {
        for text in [format!("{value}"), format!("{value:e}")] {
            let answer = answered(&self::value(&format!("\"{text}\""))).unwrap();
            prop_assert_eq!(answer.samples[0].value.to_bits(), value.to_bits());
        }
    }
}
