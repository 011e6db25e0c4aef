//! The machine's own language runtimes in pods, as `testbed runtimes` finds them: a pod that runs a JVM, Node or Python
//! needs no image that holds one.

#![allow(clippy::expect_used, clippy::panic, clippy::missing_panics_doc)] // What is missing here ends a test, and says so.

#[cfg(test)]
mod tests;

use crate::bed::{Bed, skipped};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Answer {
    Missing { missing: String },
    There(Runtime),
}

/// A runtime, and how a pod runs it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Runtime {
    /// The image of the pod, which holds next to nothing.
    pub image: String,
    /// What is run, without arguments.
    pub command: Vec<String>,
    /// Environment that it needs.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What of the machine the pod sees, to be read only.
    pub mounts: Vec<Mount>,
    /// The version, as it says itself: `17.0.15`, `20.20.2`, `3.11.7`.
    pub version: String,
}

/// A folder or a file of the machine.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// The volume's name. The same place has the same one in each runtime.
    pub name: String,
    /// Where it is on the machine.
    pub host_path: String,
    /// Where it is in the pod.
    pub mount_path: String,
}

impl Runtime {
    /// One of `java17`, `java25`, `node` and `python`. Where it is missing it may be fetched. `None`: it can't be had here, and
    /// the test has to pass without it; under `CI=true` that is a failure.
    pub async fn find(bed: &Bed, name: &str) -> Option<Self> {
        let said = bed.testbed(&["runtimes", name]).await?;
        Self::read(&said, name)
    }

    fn read(said: &str, name: &str) -> Option<Self> {
        let mut answers: BTreeMap<String, Answer> =
            serde_json::from_str(said).unwrap_or_else(|error| panic!("{error}: {said}"));
        match answers.remove(name) {
            Some(Answer::There(runtime)) => Some(runtime),
            Some(Answer::Missing { missing }) => skipped(&format!("{name}: {missing}")),
            None => panic!("nothing is said of {name}: {said}"),
        }
    }

    /// Makes a container of a pod run this with these arguments. `pod` is the spec of a pod or of a template; what the
    /// container and the pod have besides, as resources, probes and volumes of their own, they keep. The container can write
    /// to `/tmp`.
    pub fn run(&self, pod: &mut Value, container: &str, arguments: &[&str]) {
        let containers = pod["containers"].as_array_mut().expect("a pod has containers");
        let container = containers
            .iter_mut()
            .find(|it| it["name"] == json!(container))
            .unwrap_or_else(|| panic!("the pod has no container {container}"));
        let own = self.command.iter().map(String::as_str);
        container["image"] = json!(self.image);
        container["imagePullPolicy"] = json!("Never");
        container["command"] = json!(own.chain(arguments.iter().copied()).collect::<Vec<_>>());
        for (name, value) in &self.env {
            add(container, "env", json!({"name": name, "value": value}));
        }
        for Mount { name, mount_path, .. } in &self.mounts {
            let mount = json!({"name": name, "mountPath": mount_path, "readOnly": true});
            add(container, "volumeMounts", mount);
        }
        add(container, "volumeMounts", json!({"name": "tmp", "mountPath": "/tmp"}));
        for Mount { name, host_path, .. } in &self.mounts {
            add(pod, "volumes", json!({"name": name, "hostPath": {"path": host_path}}));
        }
        add(pod, "volumes", json!({"name": "tmp", "emptyDir": {}}));
    }
}

/// Adds to a list of an object, which may not be there yet. What is in it already is not added again.
fn add(object: &mut Value, list: &str, item: Value) {
    if !object[list].is_array() {
        object[list] = json!([]);
    }
    let list = object[list].as_array_mut().expect("it is a list now");
    if !list.contains(&item) {
        list.push(item);
    }
}
