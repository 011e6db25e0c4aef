//! A real Prometheus of a scenario's own.

#![allow(clippy::expect_used, clippy::panic, clippy::missing_panics_doc)] // What fails here ends a test, and says so.

use crate::bed::{Bed, unique};
use reqwest::Client;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

/// A real Prometheus that scrapes the pods of one namespace, and more if it is told to. It ends when this is dropped.
pub struct Scraper {
    /// Its base URL.
    pub url: String,
    name: String,
    testbed: PathBuf,
    client: Client,
}

impl Scraper {
    /// Starts one with this scrape interval, such as `1s`. `more` goes to `testbed prometheus up`: what else is
    /// scraped, as with `--target` and the gateway's metrics, or `--kubelet`.
    pub async fn start(bed: &Bed, namespace: &str, interval: &str, more: &[&str]) -> Self {
        let name = format!("scraper-{}", unique());
        let kubeconfig = bed.kubeconfig.display().to_string();
        let words = ["prometheus", "up", "--name", &name, "--namespace", namespace];
        let words = [
            &words[..],
            &["--scrape-interval", interval, "--kubeconfig", &kubeconfig],
            more,
        ]
        .concat();
        let said = bed.testbed(&words).await.expect("a machine with a bed runs Prometheus");
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build();
        Self {
            url: said.trim().to_owned(),
            name,
            testbed: bed.testbed.clone().expect("it was just run"),
            client: client.expect("a client"),
        }
    }

    /// What an instant query is answered: each element's value, by one of its labels.
    pub async fn ask(&self, query: &str, label: &str) -> BTreeMap<String, f64> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/query", self.url), [("query", query)]);
        let answer = self
            .client
            .get(url.expect("a URL"))
            .send()
            .await
            .expect("Prometheus answers");
        let answer: Value = serde_json::from_slice(&answer.bytes().await.expect("a whole answer")).expect("JSON");
        let result = answer["data"]["result"].as_array();
        let result = result.unwrap_or_else(|| panic!("{query}: {answer}"));
        let element = |it: &Value| {
            let name = it["metric"][label].as_str().unwrap_or_default().to_owned();
            let value = it["value"][1].as_str().and_then(|value| value.parse().ok());
            (name, value.unwrap_or_else(|| panic!("{query}: {answer}")))
        };
        result.iter().map(element).collect()
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        // What is left of it ends with the bed.
        let _ = Command::new(&self.testbed)
            .args(["prometheus", "down", "--name", &self.name])
            .stdin(Stdio::null())
            .status();
    }
}
