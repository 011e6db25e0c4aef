use super::{Mount, Runtime};
use serde_json::json;
use std::collections::BTreeMap;

const SAID: &str = r#"{"java25": {"missing": "no Java 25 in /usr/lib/jvm"},
 "node": {"image":"flyball.dev/runtime:1","command":["/usr/bin/node"],
  "mounts":[{"name":"node-1","hostPath":"/real/node","mountPath":"/usr/bin/node"},{"name":"lib-2","hostPath":"/usr/lib","mountPath":"/lib"}],
  "version":"20.1.0"},
 "python": {"image":"flyball.dev/runtime:1","command":["/opt/python3"],"env":{"LD_LIBRARY_PATH":"/opt/lib"},
  "mounts":[{"name":"lib-2","hostPath":"/usr/lib","mountPath":"/lib"}],"version":"3.11.7"}}"#;

#[test]
fn what_the_test_bed_prints_is_read() {
    let mount = |name: &str, host: &str, at: &str| Mount {
        name: name.to_owned(),
        host_path: host.to_owned(),
        mount_path: at.to_owned(),
    };
    let expect = Runtime {
        image: "flyball.dev/runtime:1".to_owned(),
        command: vec!["/usr/bin/node".to_owned()],
        env: BTreeMap::new(),
        mounts: vec![
            mount("node-1", "/real/node", "/usr/bin/node"),
            mount("lib-2", "/usr/lib", "/lib"),
        ],
        version: "20.1.0".to_owned(),
    };
    assert_eq!(Runtime::read(SAID, "node"), Some(expect));
}

#[test]
fn a_pod_runs_it_and_keeps_what_it_has() {
    let mut pod = json!({
        "containers": [
            {"name": "main", "image": "none", "resources": {"limits": {"memory": "64Mi"}}, "env": [{"name": "A", "value": "b"}]},
            {"name": "aside", "image": "other"},
        ],
        "volumes": [{"name": "program", "configMap": {"name": "program"}}],
    });
    let python = Runtime::read(SAID, "python").expect("python");
    python.run(&mut pod, "main", &["-c", "pass"]);
    let lib = json!({"name": "lib-2", "mountPath": "/lib", "readOnly": true});
    let tmp = json!({"name": "tmp", "mountPath": "/tmp"});
    let main = json!({
        "name": "main", "image": "flyball.dev/runtime:1", "imagePullPolicy": "Never",
        "command": ["/opt/python3", "-c", "pass"],
        "env": [{"name": "A", "value": "b"}, {"name": "LD_LIBRARY_PATH", "value": "/opt/lib"}],
        "volumeMounts": [lib, tmp],
        "resources": {"limits": {"memory": "64Mi"}},
    });
    assert_eq!(pod["containers"][0], main);
    assert_eq!(pod["containers"][1], json!({"name": "aside", "image": "other"}));

    // Two runtimes in one pod share the volumes of what both need.
    let node = Runtime::read(SAID, "node").expect("node");
    node.run(&mut pod, "aside", &[]);
    let expect = json!([
        {"name": "program", "configMap": {"name": "program"}},
        {"name": "lib-2", "hostPath": {"path": "/usr/lib"}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "node-1", "hostPath": {"path": "/real/node"}},
    ]);
    assert_eq!(pod["volumes"], expect);
    assert_eq!(pod["containers"][1]["command"], json!(["/usr/bin/node"]));
}
