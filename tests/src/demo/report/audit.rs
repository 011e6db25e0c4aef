//! What the controller asked of the API server, by the server's own audit log.

use jiff::Timestamp;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The lease that elects the leader: read or renewed.
    Lease,
    /// A watch that was opened.
    Watch,
    /// A get or a list.
    Read,
    /// Anything that writes.
    Write,
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// When it arrived.
    pub at: Timestamp,
    /// What it was for.
    pub kind: Kind,
    /// The namespace it was about.
    pub namespace: String,
    /// Verb and resource, such as `update deployments/scale`.
    pub what: String,
}

/// How many of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Lease requests.
    pub lease: usize,
    /// Watches opened.
    pub watches: usize,
    /// Gets and lists.
    pub reads: usize,
    /// Writes, by verb and resource.
    pub writes: BTreeMap<String, usize>,
}

impl Count {
    /// Counts some requests.
    pub fn of<'a>(requests: impl IntoIterator<Item = &'a Request>) -> Self {
        let mut count = Self::default();
        for request in requests {
            match request.kind {
                Kind::Lease => count.lease += 1,
                Kind::Watch => count.watches += 1,
                Kind::Read => count.reads += 1,
                Kind::Write => *count.writes.entry(request.what.clone()).or_default() += 1,
            }
        }
        count
    }

    /// All writes.
    pub fn written(&self) -> usize {
        self.writes.values().sum()
    }

    /// The writes in words.
    pub fn writes_in_words(&self) -> String {
        self.writes
            .iter()
            .map(|(what, count)| format!("{count} x {what}"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    verb: String,
    user: User,
    #[serde(default)]
    object_ref: ObjectRef,
    request_received_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
}

/// The requests of a user, as far as the log can be read.
pub fn read(log: &Path, user: &str) -> Vec<Request> {
    let Ok(file) = File::open(log) else { return Vec::new() };
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    lines
        .filter(|line| line.contains(user))
        .filter_map(|line| request(&line, user))
        .collect()
}

/// A finished request, or a watch that began: a watch is finished only when it is opened anew.
fn request(line: &str, user: &str) -> Option<Request> {
    let event: Event = serde_json::from_str(line).ok()?;
    let kind = match (event.object_ref.resource.as_str(), event.verb.as_str()) {
        ("leases", _) => Kind::Lease,
        (_, "watch") => Kind::Watch,
        (_, "get" | "list") => Kind::Read,
        _ => Kind::Write,
    };
    let counted = if kind == Kind::Watch {
        "ResponseStarted"
    } else {
        "ResponseComplete"
    };
    if event.user.username != user || event.stage != counted {
        return None;
    }
    let ObjectRef {
        resource,
        subresource,
        namespace,
    } = event.object_ref;
    let slash = if subresource.is_empty() { "" } else { "/" };
    let what = format!("{} {resource}{slash}{subresource}", event.verb);
    Some(Request {
        at: event.request_received_timestamp,
        kind,
        namespace,
        what,
    })
}

#[cfg(test)]
mod tests {
    use super::{Count, Kind, request};

    fn line(verb: &str, resource: &str, stage: &str, user: &str) -> String {
        format!(
            r#"{{"kind":"Event","stage":"{stage}","verb":"{verb}","user":{{"username":"{user}"}},"objectRef":{{"resource":"{resource}","subresource":"scale","namespace":"shop"}},"requestReceivedTimestamp":"2026-01-02T03:04:05.678901Z"}}"#
        )
    }

    #[rstest::rstest]
    #[case("update", "deployments", "ResponseComplete", "me", Some(Kind::Write))]
    #[case("get", "deployments", "ResponseComplete", "me", Some(Kind::Read))]
    #[case("update", "leases", "ResponseComplete", "me", Some(Kind::Lease))]
    #[case("watch", "deployments", "ResponseStarted", "me", Some(Kind::Watch))]
    #[case("watch", "deployments", "ResponseComplete", "me", None)]
    #[case("update", "deployments", "ResponseComplete", "you", None)]
    #[case("update", "deployments", "RequestReceived", "me", None)]
    fn each_request_counts_once(
        #[case] verb: &str,
        #[case] resource: &str,
        #[case] stage: &str,
        #[case] user: &str,
        #[case] kind: Option<Kind>,
    ) {
        let found = request(&line(verb, resource, stage, user), "me");
        assert_eq!(found.as_ref().map(|request| request.kind), kind);
    }

    #[test]
    fn writes_are_counted_by_what_they_write() {
        let write = request(&line("update", "deployments", "ResponseComplete", "me"), "me").unwrap();
        let count = Count::of([&write, &write]);
        assert_eq!(
            (count.written(), count.writes_in_words()),
            (2, "2 x update deployments/scale".to_owned())
        );
    }
}
