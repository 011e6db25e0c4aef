//! An open-loop load from this machine: the gateway listens on loopback, where pods can't reach it.

use crate::demo::{children::Running, error::DemoError};
use jiff::Timestamp;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

/// What became of the requests that were due within one second.
#[derive(Clone, Debug, Deserialize)]
pub struct Second {
    /// When it began.
    pub time: Timestamp,
    /// How many were due.
    pub offered: u64,
    /// How many were answered with success.
    pub completed: u64,
    /// How many were not, by what became of them.
    pub errors: BTreeMap<String, u64>,
    /// How many were sent more than 50 ms after they were due.
    pub late: u64,
}

impl Second {
    /// How many requests were lost.
    pub fn lost(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// A load under way. It ends when it is dropped.
pub struct Load {
    running: Option<Running>,
    report: PathBuf,
}

impl Load {
    /// Begins to send so many requests a second to a host of the gateway at `url`.
    pub fn start(demo: &Path, url: &str, host: &str, rate: u32, report: PathBuf) -> Result<Self, DemoError> {
        let plan = format!("{rate}x2h");
        let words = ["load", "--url", url, "--host", host, "--plan", &plan].map(OsStr::new);
        let running = Running::start(demo, &words, &report)?;
        Ok(Self {
            running: Some(running),
            report,
        })
    }

    /// What it reported so far. A second is reported once all of its requests have ended.
    pub fn seconds(&self) -> Vec<Second> {
        let text = fs::read_to_string(&self.report).unwrap_or_default();
        // What it says on standard error, and its last line, are no seconds.
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Ends it, and returns the whole report.
    pub async fn end(mut self) -> Vec<Second> {
        if let Some(running) = self.running.take() {
            running.end().await;
        }
        self.seconds()
    }
}
