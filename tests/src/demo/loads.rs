//! The load: pods in the chapter's own namespace. More load is one pod more, less is one fewer, and
//! both come about within a second or two on any cluster.

use super::{
    error::DemoError,
    manifests::{self, Image},
    setting::Part,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{DeleteParams, LogParams},
};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A load under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Which service it is for.
    pub part: Part,
    /// The pod's name.
    pub name: &'static str,
    /// Requests a second.
    pub rate: u32,
}

impl Load {
    /// Begins it.
    pub async fn begin(&self, client: &Client, image: &Image) -> Result<(), DemoError> {
        let text = manifests::load(self.part, self.name, self.rate, image);
        manifests::create_all(client, "load.yaml", &text).await.map(|_| ())
    }

    /// Reads what it saw, then ends it.
    pub async fn end(&self, client: &Client) -> Option<String> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), self.part.namespace());
        let text = pods.logs(self.name, &LogParams::default()).await;
        // It may be gone, and is with its namespace at the latest.
        let _ = pods.delete(self.name, &DeleteParams::default()).await;
        let seen = Saw::of(text.ok()?.lines());
        Some(format!(
            "{} on {}, {} requests/s: {}",
            self.name,
            self.part.name(),
            self.rate,
            seen.in_words()
        ))
    }
}

#[derive(Deserialize)]
struct Second {
    offered: u64,
    completed: u64,
    late: u64,
    errors: BTreeMap<String, u64>,
}

/// The sum of a load's report lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Saw {
    seconds: u64,
    offered: u64,
    completed: u64,
    late: u64,
    errors: BTreeMap<String, u64>,
}

impl Saw {
    fn of<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut saw = Self::default();
        for second in lines.filter_map(|line| serde_json::from_str::<Second>(line).ok()) {
            saw.seconds += 1;
            saw.offered += second.offered;
            saw.completed += second.completed;
            saw.late += second.late;
            for (name, count) in second.errors {
                *saw.errors.entry(name).or_default() += count;
            }
        }
        saw
    }

    fn in_words(&self) -> String {
        let errors: Vec<String> = self
            .errors
            .iter()
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        let errors = if errors.is_empty() {
            "no errors".to_owned()
        } else {
            errors.join(", ")
        };
        let Self {
            seconds,
            offered,
            completed,
            late,
            ..
        } = self;
        format!("{offered} requests in {seconds} s, {completed} answered, {errors}, {late} sent late")
    }
}

#[cfg(test)]
mod tests {
    use super::Saw;

    #[test]
    fn the_lines_of_a_load_add_up() {
        let lines = [
            r#"{"t":1,"offered":70,"completed":58,"errors":{"http-503":12},"late":0,"endpoints":3}"#,
            r#"{"t":2,"offered":70,"completed":70,"errors":{},"late":1,"endpoints":3}"#,
            r#"{"summary":{"seconds":2}}"#,
        ];
        let words = Saw::of(lines.into_iter()).in_words();
        assert_eq!(words, "140 requests in 2 s, 128 answered, 12 http-503, 1 sent late");
    }
}
