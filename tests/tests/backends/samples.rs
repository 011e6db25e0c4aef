//! The same samples for both servers, so that their answers can be compared.

use crate::server::{Kind, Server, configured};
use flyball_core::time::{Span, Timestamp};
use std::{fmt::Write, process::Command};

/// The time between two samples, in seconds.
pub const STEP: i64 = 15;
/// So many samples has each series.
const COUNT: i64 = 81;

/// When the samples begin and end: half an hour ago, and 20 minutes later.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    begin: i64,
}

impl Times {
    pub fn new() -> Self {
        let now = flyball_controller::clock::now().as_millis() / 1000;
        Self {
            begin: now - now % 60 - 1800,
        }
    }

    /// The time of the last sample.
    pub fn end(self) -> Timestamp {
        Timestamp::from_millis((self.begin + STEP * (COUNT - 1)) * 1000)
    }

    /// So long after the last sample.
    pub fn after(self, seconds: u64) -> Timestamp {
        self.end() + Span::from_secs(seconds)
    }

    /// All of it in the text format of `OpenMetrics`, with seconds.
    ///
    /// Counters of 1, 2 and 3 requests a second, sums of what requests take (0.2 and 0.6 s on average), gauges of 7
    /// and 3, one that ended five minutes and a half before the others, and one that is infinite.
    pub fn openmetrics(self) -> String {
        let mut text = String::new();
        let mut series = |name: &str, count: i64, value: &dyn Fn(i64) -> String| {
            for n in 0..count {
                writeln!(text, "{name} {} {}", value(n), self.begin + STEP * n).unwrap();
            }
        };
        let a_second = |k: i64| move |n: i64| (k * STEP * n).to_string();
        series(
            "http_requests_total{service=\"checkout\",pod=\"a\"}",
            COUNT,
            &a_second(1),
        );
        series(
            "http_requests_total{service=\"checkout\",pod=\"b\"}",
            COUNT,
            &a_second(2),
        );
        series("http_requests_total{service=\"orders\",pod=\"c\"}", COUNT, &a_second(3));
        // 3 requests a second of 0.2 s each, and 3 of 0.6 s: 9 and 27 s in 15 s.
        series("http_seconds_sum{service=\"checkout\"}", COUNT, &|n| {
            (9 * n).to_string()
        });
        series("http_seconds_sum{service=\"orders\"}", COUNT, &|n| (27 * n).to_string());
        series("depth{queue=\"x\"}", COUNT, &|_| "7".to_owned());
        series("depth{queue=\"y\"}", COUNT, &|_| "3".to_owned());
        series("ended{queue=\"x\"}", COUNT - 22, &|_| "5".to_owned());
        series("endless{queue=\"x\"}", COUNT, &|_| "+Inf".to_owned());
        text.push_str("# EOF\n");
        text
    }

    /// A server that has all of it.
    pub async fn server(self, kind: Kind) -> Option<Server> {
        server(kind, &self.openmetrics()).await
    }
}

/// A server that has these samples, in the text format of `OpenMetrics`.
pub async fn server(kind: Kind, openmetrics: &str) -> Option<Server> {
    match kind {
        Kind::Prometheus => prometheus(openmetrics),
        Kind::VictoriaMetrics => {
            let server = Server::empty(kind)?;
            let mut lines = String::new();
            for line in openmetrics.lines().filter(|line| !line.starts_with('#')) {
                let (sample, seconds) = line.rsplit_once(' ').unwrap();
                writeln!(lines, "{sample} {}", millis(seconds)).unwrap();
            }
            import(&server, &lines).await;
            Some(server)
        }
        Kind::Alertmanager | Kind::Receiver => panic!("it has no samples"),
    }
}

/// Seconds with up to three places, in milliseconds.
fn millis(seconds: &str) -> i64 {
    let (whole, places) = seconds.split_once('.').unwrap_or((seconds, ""));
    format!("{whole}{places:0<3}").parse().unwrap()
}

fn prometheus(openmetrics: &str) -> Option<Server> {
    let program = Kind::Prometheus.program()?;
    let folder = configured("global: {scrape_interval: 1s}\n");
    let file = folder.write("samples", openmetrics);
    let made = Command::new(program.with_file_name("promtool"))
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([file, folder.path().join("data")])
        .output()
        .expect("promtool lies beside prometheus");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Server::start(Kind::Prometheus, folder, &[])
}

/// Gives VictoriaMetrics samples, which can be asked for when this returns.
pub async fn import(server: &Server, lines: &str) {
    let client = reqwest::Client::new();
    let url = format!("{}/api/v1/import/prometheus", server.url());
    let answer = client.post(url).body(lines.to_owned()).send().await.unwrap();
    assert_eq!(answer.status(), 204);
    let flush = format!("{}/internal/force_flush", server.url());
    assert!(client.get(flush).send().await.unwrap().status().is_success());
}
