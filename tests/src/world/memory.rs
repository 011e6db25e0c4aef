//! The memory of real pods: what a container may use, and its resize in place.

use super::World;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where the kernel has its control groups of memory: version 1, then version 2.
const GROUPS: [&str; 2] = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"];
/// A group's limit in bytes: version 1, then version 2.
const LIMITS: [&str; 2] = ["memory.limit_in_bytes", "memory.max"];

impl World {
    /// Changes the resources of a container that runs, in place, as `{"limits": {"memory": "96Mi"}}` does. The API server
    /// must take it: the class of the pod, for one, stays what it is. The node follows in its own time.
    pub async fn resize(&self, pod: &str, container: &str, resources: &Value) -> Pod {
        let pods: Api<Pod> = Api::namespaced(self.bed.client.clone(), &self.namespace);
        let patch = json!({"spec": {"containers": [{"name": container, "resources": resources}]}});
        let parameters = PatchParams {
            field_manager: Some("kubectl-resize".to_owned()),
            ..PatchParams::default()
        };
        pods.patch_resize(pod, &parameters, &Patch::Strategic(patch))
            .await
            .unwrap_or_else(|error| panic!("{pod} is not resized: {error}"))
    }

    /// How many bytes the kernel lets a container have, whatever its pod's spec says; `None` while it does not run, or has
    /// no limit. Only on the machine that the bed is on.
    pub async fn memory_limit(&self, pod: &str, container: &str) -> Option<u64> {
        let pods: Api<Pod> = Api::namespaced(self.bed.client.clone(), &self.namespace);
        let statuses = pods.get(pod).await.ok()?.status?.container_statuses?;
        let status = statuses.into_iter().find(|it| it.name == container)?;
        let (_, id) = status.container_id.as_deref()?.split_once("://")?;
        let group = GROUPS.iter().find_map(|root| group_of(Path::new(root), id))?;
        LIMITS.iter().find_map(|file| limit_in(&group.join(file)))
    }
}

/// The control group of a container: a folder with its id in the name, somewhere below.
fn group_of(folder: &Path, id: &str) -> Option<PathBuf> {
    let below = fs::read_dir(folder).ok()?.flatten();
    let folders: Vec<PathBuf> = below
        .filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir()))
        .map(|entry| entry.path())
        .collect();
    let named = |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains(id));
    let own = folders.iter().find(named).cloned();
    own.or_else(|| folders.iter().find_map(|path| group_of(path, id)))
}

/// A limit. Without one, version 2 says `max`, and version 1 a number that is near the largest.
fn limit_in(file: &Path) -> Option<u64> {
    let limit: u64 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    (limit < u64::MAX / 4).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::{group_of, limit_in};
    use crate::bed::unique;
    use std::fs;

    #[test]
    fn a_group_is_found_by_the_containers_id_in_both_versions() {
        let root = std::env::temp_dir().join(format!("flyball-groups-{}", unique()));
        // The names of the drivers cgroupfs, and systemd.
        for (name, file, text) in [
            ("flyball0/kubepods/pod1/abc", "memory.limit_in_bytes", "67108864\n"),
            (
                "kubepods.slice/pod2.slice/cri-containerd-def.scope",
                "memory.max",
                "67108864\n",
            ),
            ("kubepods/pod3/ghi", "memory.max", "max\n"),
            ("kubepods/pod4/jkl", "memory.limit_in_bytes", "9223372036854771712\n"),
        ] {
            fs::create_dir_all(root.join(name)).expect("a folder of one's own");
            fs::write(root.join(name).join(file), text).expect("a folder of one's own");
        }
        let found = |id: &str, file: &str| limit_in(&group_of(&root, id).expect("a group").join(file));
        assert_eq!(found("abc", "memory.limit_in_bytes"), Some(67_108_864));
        assert_eq!(found("def", "memory.max"), Some(67_108_864));
        assert_eq!(found("ghi", "memory.max"), None);
        assert_eq!(found("jkl", "memory.limit_in_bytes"), None);
        assert_eq!(group_of(&root, "nobody"), None);
        fs::remove_dir_all(&root).expect("a folder of one's own");
    }
}
