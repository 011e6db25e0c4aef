use crate::Duration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Takes evidence from one pod when a rule fires: profiles, a trace, a recording. They are read from the pod's own port
/// and put where the installation keeps evidence (`--evidence-dir` or `--evidence-url`); nothing is written to the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capture {
    /// Where a pod serves it.
    pub from: CaptureFrom,
    /// What is taken, one after the other. Of one runtime: a process is Go or Java.
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(validation = Rule::new("self.all(k, self.exists_one(o, o == k))").message("the kinds in take must be unique"))]
    #[x_kube(validation = Rule::new("self.all(k, k.startsWith('Go')) || self.all(k, k.startsWith('Java'))").message("take has kinds of Go and of Java; make an action of each"))]
    pub take: Vec<CaptureKind>,
    /// How long `GoCPU`, `GoTrace` and `JavaFlightRecording` record, in seconds. Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60))]
    pub seconds: Option<i32>,
    /// Nothing is taken more often for this action, however often its rules fire. Default 30m, at least 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
    /// Also a pair for comparison around each Change of this policy, at most one pair in `every`. Before: what was taken
    /// when a rule of `when` went pending or fired, within 15m before the Change was proposed; otherwise it is taken when the Change is first
    /// seen, which no Change waits for, so it shows the first seconds after the write. After: from the same pod, if it is
    /// still there, once the Change is closed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_changes: bool,
}

/// Where a pod serves evidence: plain HTTP on a port of its own address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.port) != has(self.portName)").message("from takes exactly one of port and portName"))]
pub struct CaptureFrom {
    /// The port's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<i32>,
    /// The port's name, as the pod's container has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15))]
    pub port_name: Option<String>,
    /// The container that has the port of this name. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub container: Option<String>,
    /// The folder of the handlers. Default `/debug/pprof` for Go (net/http/pprof), `/debug/flyball` for Java (Flyball's
    /// agent with `FLYBALL_EVIDENCE=on`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub path: Option<String>,
}

/// A kind of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum CaptureKind {
    /// A CPU profile.
    GoCPU,
    /// What is on the heap, and what was ever allocated.
    GoHeap,
    /// All goroutines with their stacks.
    GoGoroutine,
    /// An execution trace.
    GoTrace,
    /// A recording of Java Flight Recorder.
    JavaFlightRecording,
    /// All threads with their stacks.
    JavaThreadDump,
}

/// When evidence was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum CaptureMoment {
    /// When a rule fired, or went pending.
    #[default]
    Alert,
    /// Before a Change, or as soon as it was seen.
    Before,
    /// After a Change was closed.
    After,
}

/// One piece of evidence, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaptureFile {
    /// What it is.
    pub kind: CaptureKind,
    /// From which pod.
    #[schemars(length(max = 253))]
    pub pod: String,
    /// When, in regard to a Change.
    pub when: CaptureMoment,
    /// When it was asked for.
    pub at: Option<MicroTime>,
    /// Where it is: a path of the controller's, or an `s3://` address.
    #[schemars(length(max = 1024))]
    pub location: String,
    /// Its size in bytes.
    #[schemars(range(min = 0))]
    pub bytes: i64,
    /// The command that opens it.
    #[schemars(length(max = 2560))]
    pub open: String,
}

/// What an action that takes evidence remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaptureStatus {
    /// When it was last taken for an alert, or tried to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_at: Option<MicroTime>,
    /// When a pair was last begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair_at: Option<MicroTime>,
    /// How often it was tried without success since it last succeeded.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = 100))]
    pub failed: i32,
    /// The Change of the last pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub change: Option<String>,
    /// Whether the second half of that pair is still to be taken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after_due: bool,
    /// Why nothing is taken, or what failed last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub message: String,
    /// The last pieces, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 12))]
    pub files: Vec<CapturedStatus>,
}

/// A piece of evidence, with the Change that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct CapturedStatus {
    /// The piece.
    #[serde(flatten)]
    pub file: CaptureFile,
    /// The Change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub change: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
fn is_zero(number: &i32) -> bool {
    *number == 0
}
