//! Programs beside the cluster, and a Prometheus among them whose scrapes a scenario writes itself.

#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc)] // What fails here ends a test, and says so.

use crate::bed::{PATIENCE, unique};
use serde_json::Value;
use std::{
    env,
    fs::{self, File},
    net::{IpAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A folder that goes with the test.
pub struct Folder(PathBuf);

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Folder {
    /// An empty one.
    pub fn new() -> Self {
        let folder = env::temp_dir().join(format!("flyball-beside-{}", unique()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A port that nobody has at the moment.
#[must_use]
pub fn free_port(address: IpAddr) -> u16 {
    TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port()
}

/// A program that runs. It is ended by its own pid when this is dropped.
pub struct Running(Child);

impl Running {
    /// Starts one, and waits until it logs this.
    pub fn start(program: &Path, arguments: &[String], folder: &Path, up: &str) -> Self {
        let name = program.file_name().unwrap().display().to_string();
        let log = folder.join(format!("{name}.log"));
        let out = File::create(&log).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let mut running = Self(child);
        let end = Instant::now() + PATIENCE;
        loop {
            let logged = fs::read_to_string(&log).unwrap_or_default();
            if logged.contains(up) {
                return running;
            }
            let ended = running.0.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < end,
                "{name} does not come up ({ended:?}): {logged}"
            );
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The times of a range query, all of them past: what was scraped by then is in.
#[derive(Clone, Debug)]
pub struct Range(u64);

impl Range {
    /// Two minutes, up to what no scrape that is under way can change.
    #[must_use]
    pub fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 3)
    }

    /// As parameters, with the query.
    #[must_use]
    pub fn of(&self, query: &str) -> Vec<(&'static str, String)> {
        vec![
            ("query", query.to_owned()),
            ("start", (self.0 - 120).to_string()),
            ("end", self.0.to_string()),
            ("step", "2".to_owned()),
        ]
    }
}

/// A Prometheus of the scenario's own, which pods reach.
pub struct Prometheus {
    /// Its base URL.
    pub url: String,
    client: reqwest::Client,
    _running: Running,
}

impl Prometheus {
    /// Starts one with these scrapes.
    pub fn start(program: &Path, address: IpAddr, folder: &Path, scrapes: &Value) -> Self {
        let config = serde_json::json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": scrapes,
        });
        let file = folder.join("prometheus.yml");
        fs::write(&file, serde_yaml::to_string(&config).unwrap()).unwrap();
        let listen = format!("{address}:{}", free_port(address));
        let arguments = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", folder.join("data").display()),
            format!("--web.listen-address={listen}"),
        ];
        let running = Running::start(program, &arguments, folder, "Server is ready to receive web requests");
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10));
        Self {
            url: format!("http://{listen}"),
            client: client.build().unwrap(),
            _running: running,
        }
    }

    /// The series that a range query is answered with.
    pub async fn range(&self, query: &str, range: &Range) -> Value {
        self.ask("query_range", &range.of(query), query).await
    }

    /// The elements of a vector, now.
    pub async fn vector(&self, query: &str) -> Vec<Value> {
        let found = self.ask("query", &[("query", query.to_owned())], query).await;
        found.as_array().unwrap().clone()
    }

    async fn ask(&self, path: &str, parameters: &[(&str, String)], query: &str) -> Value {
        let url = format!("{}/api/v1/{path}", self.url);
        let url = reqwest::Url::parse_with_params(&url, parameters).unwrap();
        let answer = self.client.get(url).send().await.unwrap().bytes().await.unwrap();
        result(std::str::from_utf8(&answer).unwrap(), query)
    }
}

/// The result within an answer of Prometheus' API.
#[must_use]
pub fn result(answer: &str, query: &str) -> Value {
    let answer: Value = serde_json::from_str(answer).unwrap_or_else(|error| panic!("{query}: {error}: {answer}"));
    assert_eq!(answer["status"], "success", "{query}: {answer}");
    answer["data"]["result"].clone()
}
