use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Start-up options of one runtime. What is not named stays as it is in the template, also beside an option in the same
/// variable. A variable that comes from elsewhere (`valueFrom`, a ConfigMap) is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("(has(self.dotnet) ? 1 : 0) + (has(self.go) ? 1 : 0) + (has(self.java) ? 1 : 0) + (has(self.node) ? 1 : 0) == 1").message("env takes the options of exactly one of dotnet, go, java and node"))]
pub struct StartOptions {
    /// .NET's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dotnet: Option<DotnetOptions>,
    /// Go's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub go: Option<GoOptions>,
    /// A Java virtual machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub java: Option<JavaOptions>,
    /// Node's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeOptions>,
}

/// .NET's start-up options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.gcServer) || has(self.gcConcurrent) || has(self.heapHardLimit) || has(self.heapHardLimitPercent) || has(self.conserveMemory)").message("dotnet takes at least one of its options"))]
#[x_kube(validation = Rule::new("!has(self.heapHardLimit) || !has(self.heapHardLimitPercent)").message("dotnet takes heapHardLimit or heapHardLimitPercent, not both"))]
pub struct DotnetOptions {
    /// `DOTNET_gcServer`: server collection, which takes more memory and less time.
    #[serde(default, rename = "gcServer", skip_serializing_if = "Option::is_none")]
    pub gc_server: Option<bool>,
    /// `DOTNET_gcConcurrent`: collections in the background.
    #[serde(default, rename = "gcConcurrent", skip_serializing_if = "Option::is_none")]
    pub gc_concurrent: Option<bool>,
    /// `DOTNET_GCHeapHardLimit`, such as `400Mi`; it is written in hexadecimal, as .NET reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub heap_hard_limit: Option<String>,
    /// `DOTNET_GCHeapHardLimitPercent`, of the container's memory; written in hexadecimal too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub heap_hard_limit_percent: Option<i32>,
    /// `DOTNET_GCConserveMemory`: 0 is off, 9 keeps the heap smallest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9))]
    pub conserve_memory: Option<i32>,
}

/// Go's start-up options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.gogc) || has(self.memoryLimit)").message("go takes gogc, memoryLimit or both"))]
pub struct GoOptions {
    /// `GOGC` in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub gogc: Option<i32>,
    /// `GOMEMLIMIT`, such as `900Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub memory_limit: Option<String>,
}

/// A Java virtual machine's start-up options, among others in one variable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.maxHeap) || has(self.initialHeap)").message("java takes maxHeap, initialHeap or both"))]
pub struct JavaOptions {
    /// `-Xmx`, such as `512Mi`. In whole KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub max_heap: Option<String>,
    /// `-Xms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub initial_heap: Option<String>,
    /// The variable they are written to. An option on the command line wins over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<JavaOptionsVariable>,
}

/// A variable from which a Java virtual machine takes options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum JavaOptionsVariable {
    /// Every virtual machine reads it.
    #[default]
    #[serde(rename = "JAVA_TOOL_OPTIONS")]
    ToolOptions,
    /// The `java` command reads it, from JDK 9 on.
    #[serde(rename = "JDK_JAVA_OPTIONS")]
    JdkOptions,
}

/// Node's start-up options, among others in `NODE_OPTIONS`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeOptions {
    /// `--max-old-space-size`, such as `768Mi`. In whole MiB.
    #[schemars(length(min = 1, max = 32))]
    pub max_old_space_size: String,
}
