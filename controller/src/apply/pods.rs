//! Writes of lines to pods (agents/CONTRACT.md).
//!
//! A line is no transaction of its own: what pods are to have stands in the workload's annotation, which a
//! transaction moves, and every pass brings the pods nearer to it. So a line that an old leader writes late, or one
//! that is lost, is mended by the next pass; its lease ends by itself, and its agent takes no generation that is
//! lower than one it has had.

use super::Authority;
use crate::{
    client::{CallError, CallKind},
    metrics::Verb,
};
use flyball_core::{
    evaluate::watermark::Level,
    policy::Knobs,
    time::{Span, Timestamp},
};
use flyball_crds::{FIELD_MANAGER, RUNTIME_PREFIX};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use std::fmt;

/// What stands in a pod's annotation.
#[derive(Clone, Debug, PartialEq)]
pub struct PodLine {
    /// Grows with each change of this pod's knobs.
    pub generation: u64,
    /// The lease, from when the process first sees the line.
    pub ttl: Span,
    /// When it ends at the latest.
    pub expires: Timestamp,
    /// The knobs.
    pub knobs: Knobs,
    /// Counts collections.
    pub reclaim: u64,
    /// What the application is told.
    pub pressure: Level,
}

impl fmt::Display for PodLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ttl, expires) = (self.ttl.as_millis() / 1000, self.expires.as_millis() / 1000);
        write!(f, "v1 gen={} ttl={ttl} exp={expires}", self.generation)?;
        if !self.knobs.is_boot() {
            write!(f, " {}", self.knobs)?;
        }
        if self.reclaim > 0 {
            write!(f, " reclaim={}", self.reclaim)?;
        }
        match self.pressure {
            Level::Normal => Ok(()),
            level => write!(f, " pressure={level}"),
        }
    }
}

impl PodLine {
    /// Reads a line of ours. `None`: it is none, and is written over by one with a higher generation than it claims.
    pub fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        if words.next() != Some("v1") {
            return None;
        }
        let (mut generation, mut ttl, mut expires, mut reclaim) = (None, None, None, 0);
        let mut pressure = Level::Normal;
        let mut knobs = Vec::new();
        for word in words {
            match word.split_once('=')? {
                ("gen", value) => generation = value.parse().ok(),
                ("ttl", value) => ttl = value.parse().ok(),
                ("exp", value) => expires = value.parse().ok(),
                ("reclaim", value) => reclaim = value.parse().ok()?,
                ("pressure", value) => pressure = level(value)?,
                _ => knobs.push(word),
            }
        }
        let expires: i64 = expires?;
        Some(Self {
            generation: generation?,
            ttl: Span::from_secs(ttl?),
            expires: Timestamp::from_millis(expires.checked_mul(1000)?),
            knobs: knobs.join(" ").parse().ok()?,
            reclaim,
            pressure,
        })
    }

    /// The generation that a text claims, be the rest of it what it may.
    pub fn generation_of(text: &str) -> u64 {
        let claimed = text.split(' ').find_map(|word| word.strip_prefix("gen=")?.parse().ok());
        // What somebody wrote must not use up all numbers.
        claimed.filter(|generation| *generation < 1 << 62).unwrap_or(0)
    }
}

/// The level of this name.
fn level(name: &str) -> Option<Level> {
    let mut all = [Level::Normal].into_iter().chain(Level::RAISED);
    all.find(|level| level.to_string() == name)
}

/// What came of a write to a pod.
#[derive(Debug)]
pub enum PodWrite {
    /// It has the line now.
    Written,
    /// It changed meanwhile, or is gone: the next pass looks again.
    Changed,
    /// It was not accepted.
    Failed(CallError),
}

/// Writes a line, or takes it out, if the pod still is as it was seen.
pub async fn write_line(
    client: &Client,
    namespace: &str,
    pod: (&str, &str),
    container: &str,
    line: Option<&PodLine>,
    authority: &Authority,
) -> PodWrite {
    let key = format!("{RUNTIME_PREFIX}{container}");
    let text = line.map(ToString::to_string);
    write_note(client, namespace, pod, (&key, text.as_deref()), authority).await
}

/// Writes an annotation, or takes it out, if the pod still is as it was seen: its name and resourceVersion.
pub async fn write_note(
    client: &Client,
    namespace: &str,
    (name, version): (&str, &str),
    (key, text): (&str, Option<&str>),
    authority: &Authority,
) -> PodWrite {
    let patch = json!({"metadata": {
        "resourceVersion": version,
        "annotations": {key: text},
    }});
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(&patch);
    let request = api.patch_metadata(name, &parameters, &patch);
    match authority.to_target(Verb::Patch, request).await {
        Ok(_) => PodWrite::Written,
        Err(error) if matches!(error.kind(), CallKind::Conflict | CallKind::NotFound) => PodWrite::Changed,
        Err(error) => PodWrite::Failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_as_it_was_written() {
        for text in [
            "v1 gen=1 ttl=3600 exp=1795000000",
            "v1 gen=7 ttl=60 exp=1795000000 gogc=200 memlimit=1073741824",
            "v1 gen=7 ttl=60 exp=1795000000 min-heap-free=5 max-heap-free=20 reclaim=3",
            "v1 gen=7 ttl=60 exp=1795000000 gogc=200 reclaim=3 pressure=high",
            "v1 gen=7 ttl=60 exp=1795000000 pressure=emergency",
        ] {
            assert_eq!(PodLine::read(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_line_of_ours_still_claims_its_generation() {
        let check = |text: &str, generation: u64| {
            assert_eq!(PodLine::read(text), None, "{text:?}");
            assert_eq!(PodLine::generation_of(text), generation, "{text:?}");
        };
        check("", 0);
        check("hello", 0);
        check("v2 gen=9 ttl=60 exp=1", 9);
        check("v1 gen=9 ttl=60", 9);
        check("v1 gen=9 ttl=60 exp=1 gogc=x", 9);
        check("v1 gen=9 ttl=60 exp=1 pressure=much", 9);
        check("v1 gen=9223372036854775807 ttl=60", 0);
    }
}
