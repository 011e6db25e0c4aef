//! The agents of Java, Node and Python, in pods that run this machine's own runtimes.

use super::{METRICS, Stage, policy, workload};
use flyball_crds::Phase;
use flyball_tests::{bed::bed, runtimes::Runtime};
use serde_json::{Value, json};
use std::path::Path;

/// A runtime with its agent and a service, and what is asked of it.
struct Case {
    /// The name of the scenario, and of the runtime.
    name: &'static str,
    runtime: &'static str,
    /// The variable that loads the agent.
    loads: (&'static str, &'static str),
    /// The service, from the repository's root at `/flyball`, and its flags.
    service: &'static [&'static str],
    /// The knobs that are set.
    knobs: fn() -> Value,
    /// A knob as the process tells it, what it is then, and what it was started with; NaN: not asked.
    knob: &'static str,
    set: f64,
    boot: f64,
}

/// One pod: it has no siblings, so all of it is the whole.
async fn arrives_and_expires(case: &Case) {
    let Some(bed) = bed().await else { return };
    let Some(runtime) = Runtime::find(&bed, case.runtime).await else {
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut object = workload(
        1,
        METRICS,
        &json!({
            "env": [{"name": case.loads.0, "value": case.loads.1}],
            "resources": {"limits": {"memory": "512Mi"}},
            "volumeMounts": [
                {"name": "agents", "mountPath": "/flyball/agents", "readOnly": true},
                {"name": "tests", "mountPath": "/flyball/tests", "readOnly": true},
            ],
            "readinessProbe": {"tcpSocket": {"port": METRICS}, "periodSeconds": 1},
        }),
    );
    let pod = &mut object["spec"]["template"]["spec"];
    // The folders themselves: the one around them may be nobody's but its owner's.
    for folder in ["agents", "tests"] {
        let volume = json!({"name": folder, "hostPath": {"path": root.join(folder)}});
        pod["volumes"].as_array_mut().unwrap().push(volume);
    }
    runtime.run(pod, super::CONTAINER, case.service);
    let stage = Stage::set(&bed, case.name, METRICS, &object).await;
    stage
        .world
        .apply(&policy(&stage.world, &json!({"set": (case.knobs)()})))
        .await;
    let controller = stage.world.controller("one");
    stage.world.phase(1, Phase::Committed).await;
    let is = |expect: f64| move |value: f64| expect.is_nan() || (value - expect).abs() < 0.5;
    stage.all_say(case.knob, is(case.set)).await;

    controller.kill();
    drop(controller);
    stage
        .all_say("flyball_agent_applied_generation", |value| value == 0.0)
        .await;
    stage.all_say(case.knob, is(case.boot)).await;
}

const JAVA: (&str, &str) = (
    "JAVA_TOOL_OPTIONS",
    "-javaagent:/flyball/agents/java/build/flyball-agent.jar -XX:+UseG1GC",
);
const JAVA_SERVICE: &[&str] = &["-Xmx128m", "-jar", "/flyball/agents/java/build/flyball-demo.jar"];

fn free_ratios() -> Value {
    json!({"java": {"minHeapFreeRatio": 5, "maxHeapFreeRatio": 20}})
}

/// `HotSpot` starts with a `MaxHeapFreeRatio` of 70.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn java_17() {
    arrives_and_expires(&Case {
        name: "java17",
        runtime: "java17",
        loads: JAVA,
        service: JAVA_SERVICE,
        knobs: free_ratios,
        knob: "flyball_agent_knob{knob=\"max-heap-free\"}",
        set: 20.0,
        boot: 70.0,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn java_25() {
    arrives_and_expires(&Case {
        name: "java25",
        runtime: "java25",
        loads: JAVA,
        service: JAVA_SERVICE,
        knobs: free_ratios,
        knob: "flyball_agent_knob{knob=\"max-heap-free\"}",
        set: 20.0,
        boot: 70.0,
    })
    .await;
}

/// V8's own value has no number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node() {
    arrives_and_expires(&Case {
        name: "node",
        runtime: "node",
        loads: ("NODE_OPTIONS", "--require /flyball/agents/node/flyball-agent.js"),
        service: &["/flyball/tests/demo-node/service.js", "--port", "8080"],
        knobs: || json!({"node": {"heapGrowingPercent": 20}}),
        knob: "flyball_agent_knob{knob=\"heap-growing-percent\"}",
        set: 20.0,
        boot: f64::NAN,
    })
    .await;
}

/// The first threshold, whose default is 700 in this series of Pythons.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python() {
    arrives_and_expires(&Case {
        name: "python",
        runtime: "python",
        loads: ("PYTHONPATH", "/flyball/agents/python"),
        service: &["/flyball/tests/demo-python/service.py", "--port", "8080"],
        knobs: || json!({"python": {"thresholds": [5000, 20, 20]}}),
        knob: "flyball_agent_knob{knob=\"gc-thresholds\",index=\"0\"}",
        set: 5000.0,
        boot: 700.0,
    })
    .await;
}
