//! Pods that run this machine's own JVM, Node and Python, and what a real Prometheus knows of a pod's memory while it is
//! resized in place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flyball_tests::{
    bed::{bed, eventually, eventually_within},
    runtimes::Runtime,
    scraper::Scraper,
    world::World,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::LogParams};
use serde_json::{Value, json};
use std::time::Duration;

const PORT: u16 = 8080;
const MIB: u64 = 1024 * 1024;

/// Prints its version, and answers every request with it.
const JAVA: &str = r#"
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;

class Hello {
    public static void main(String[] arguments) throws Exception {
        byte[] version = System.getProperty("java.version").getBytes();
        HttpServer server = HttpServer.create(new InetSocketAddress(8080), 0);
        server.createContext("/", exchange -> {
            exchange.sendResponseHeaders(200, version.length);
            exchange.getResponseBody().write(version);
            exchange.close();
        });
        server.start();
        System.out.println(new String(version));
    }
}
"#;
const NODE: &str = "require('http').createServer((_, answer) => answer.end(process.versions.node)).listen(8080); \
    console.log(process.versions.node)";
/// Its modules in C need libraries that the program itself does not.
const PYTHON: &str = "
import ctypes, http.server, platform, ssl, sys, zlib

class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(platform.python_version().encode())

    def log_message(self, *_):
        pass

server = http.server.HTTPServer(('', 8080), Hello)
print(platform.python_version(), flush=True)
server.serve_forever()
";

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "main",
                "resources": {"requests": {"memory": "16Mi"}, "limits": {"memory": "256Mi"}},
                "readinessProbe": {"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 1},
            }],
        },
    })
}

/// The pod's address, once it is ready.
async fn ready(world: &World, name: &str) -> String {
    eventually(&format!("{name} is ready"), async || {
        let status = world.any("v1", "Pod").get(name).await.ok()?.data["status"].clone();
        let ready = status["containerStatuses"][0]["ready"] == json!(true);
        status["podIP"].as_str().filter(|_| ready).map(ToOwned::to_owned)
    })
    .await
}

/// The runtime runs in a pod, is the version it is said to be, and answers requests. What it sees of the machine it can't
/// write to.
async fn says_hello(name: &str, arguments: &[&str], program: Option<&str>) {
    let Some(bed) = bed().await else { return };
    let Some(runtime) = Runtime::find(&bed, name).await else {
        return;
    };
    let world = World::new(&bed, name).await;
    let mut pod = pod("hello");
    if let Some(text) = program {
        let data = json!({"Hello.java": text});
        world
            .create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "program"}, "data": data}))
            .await;
        pod["spec"]["volumes"] = json!([{"name": "program", "configMap": {"name": "program"}}]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "program", "mountPath": "/program"}]);
    }
    runtime.run(&mut pod["spec"], "main", arguments);
    world.create(&pod).await;
    let address = ready(&world, "hello").await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("http://{address}:{PORT}/")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), runtime.version);
    let pods: Api<Pod> = Api::namespaced(bed.client.clone(), &world.namespace);
    let printed = pods.logs("hello", &LogParams::default()).await.unwrap();
    assert_eq!(printed.trim(), runtime.version);

    // What it sees of the machine can't be written to, as the kernel has it.
    let id = eventually("the container has an id", async || {
        let status = pods.get("hello").await.ok()?.status?.container_statuses?;
        status.first()?.container_id.clone()
    })
    .await;
    let mounts = mounts_of(id.trim_start_matches("containerd://")).await;
    for mount in &runtime.mounts {
        let found = mounts.iter().find(|(at, _)| *at == mount.mount_path);
        let (_, options) = found.unwrap_or_else(|| panic!("{} is not mounted: {mounts:?}", mount.mount_path));
        assert!(options.split(',').any(|it| it == "ro"), "{mount:?}: {options}");
    }
}

/// Mount points and options of a container, as the kernel has them: those of the process in the container's control group.
async fn mounts_of(container: &str) -> Vec<(String, String)> {
    eventually("the container has a process", async || {
        let processes = std::fs::read_dir("/proc").ok()?.flatten();
        let ours = processes
            .filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok())
            .find(|entry| {
                std::fs::read_to_string(entry.path().join("cgroup")).is_ok_and(|groups| groups.contains(container))
            })?;
        let mounts = std::fs::read_to_string(ours.path().join("mounts")).ok()?;
        let mounts = mounts.lines().map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            (fields[1].to_owned(), fields[3].to_owned())
        });
        Some(mounts.collect())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_runs_java_17() {
    says_hello("java17", &["/program/Hello.java"], Some(JAVA)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_runs_java_25() {
    says_hello("java25", &["/program/Hello.java"], Some(JAVA)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_runs_node() {
    says_hello("node", &["-e", NODE], None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_runs_python() {
    says_hello("python", &["-c", PYTHON], None).await;
}

/// Takes so much memory that it is seen, and waits.
const HOLDS_32_MIB: &str = "
import time
held = bytearray(b'x') * (32 * 1024 * 1024)
while True:
    time.sleep(1000)
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_knows_a_pods_memory_and_its_limit_while_it_is_resized() {
    let Some(bed) = bed().await else { return };
    let Some(python) = Runtime::find(&bed, "python").await else {
        return;
    };
    let Some(exporter) = bed.testbed(&["node-exporter", "up"]).await else {
        return;
    };
    let world = World::new(&bed, "memory").await;
    let mut pod = pod("holder");
    let container = pod["spec"]["containers"][0].as_object_mut().unwrap();
    container.remove("readinessProbe");
    container["resources"]["limits"]["memory"] = json!("64Mi");
    python.run(&mut pod["spec"], "main", &["-c", HOLDS_32_MIB]);
    world.create(&pod).await;
    let target = format!("node={}", exporter.trim());
    let more = ["--kubelet", "--target", &target];
    let scraper = Scraper::start(&bed, &world.namespace, "1s", &more).await;

    let limit_is = async |mebibytes: u64| {
        eventually(&format!("the kernel allows {mebibytes} MiB"), async || {
            (world.memory_limit("holder", "main").await == Some(mebibytes * MIB)).then_some(())
        })
        .await;
    };
    let of_container = format!(
        "{{namespace=\"{}\",pod=\"holder\",container=\"main\"}}",
        world.namespace
    );
    let asked = async |metric: &str| {
        let found = scraper.ask(&format!("{metric}{of_container}"), "container").await;
        found.get("main").copied()
    };
    // The kubelet looks at its containers every ten seconds or so.
    let patience = Duration::from_secs(120);
    let becomes = async |metric: &str, is: &dyn Fn(f64) -> bool| {
        eventually_within(patience, &format!("{metric} of {}", world.namespace), async || {
            asked(metric).await.filter(|value| is(*value))
        })
        .await
    };
    let bytes = |mebibytes: f64| mebibytes * 1_048_576.0;
    limit_is(64).await;
    let exactly = |mebibytes: f64| move |value: f64| (value - bytes(mebibytes)).abs() < 0.5;
    becomes("container_spec_memory_limit_bytes", &exactly(64.0)).await;
    for metric in ["container_memory_working_set_bytes", "container_memory_rss"] {
        let seen = becomes(metric, &|value| value >= bytes(32.0)).await;
        assert!(seen < bytes(64.0), "{metric}: {seen}");
    }
    becomes("container_cpu_usage_seconds_total", &|value| value > 0.0).await;

    let grown = json!({"limits": {"memory": "96Mi"}});
    world.resize("holder", "main", &grown).await;
    limit_is(96).await;
    becomes("container_spec_memory_limit_bytes", &exactly(96.0)).await;
    let status = world.any("v1", "Pod").get("holder").await.unwrap().data["status"].clone();
    assert_eq!(
        status["containerStatuses"][0]["restartCount"],
        json!(0),
        "it was not started anew"
    );

    // The node's own figures, and how long it stood still for want of memory, where the kernel counts that.
    let node = scraper.ask("node_memory_MemAvailable_bytes", "job").await;
    assert!(node.get("node").is_some_and(|bytes| *bytes > 0.0), "{node:?}");
    if std::path::Path::new("/proc/pressure/memory").exists() {
        let waited = scraper.ask("node_pressure_memory_waiting_seconds_total", "job").await;
        assert!(waited.contains_key("node"), "{waited:?}");
    }
}
