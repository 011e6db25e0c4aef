//! The start-up options of the runtime lever.

use super::{Errors, runtime::bytes};
use flyball_core::policy::{EnvOption, JavaVariable};
use flyball_crds::{DotnetOptions, GoOptions, JavaOptions, JavaOptionsVariable, NodeOptions, StartOptions};

/// A virtual machine refuses a heap below.
const LEAST_JAVA_HEAP: u64 = 2 << 20;
const MIB: u64 = 1 << 20;

pub(super) fn read(path: &str, written: &StartOptions, errors: &mut Errors) -> Option<Vec<EnvOption>> {
    let options = match (&written.dotnet, &written.go, &written.java, &written.node) {
        (Some(dotnet), None, None, None) => of_dotnet(&format!("{path}.dotnet"), dotnet, errors)?,
        (None, Some(go), None, None) => of_go(&format!("{path}.go"), go, errors)?,
        (None, None, Some(java), None) => of_java(&format!("{path}.java"), java, errors)?,
        (None, None, None, Some(node)) => of_node(&format!("{path}.node"), node, errors)?,
        _ => {
            errors.add(path, "takes the options of exactly one of dotnet, go, java and node");
            return None;
        }
    };
    if options.is_empty() {
        errors.add(path, "names no option; write for example gogc: 100");
        return None;
    }
    Some(options)
}

fn of_dotnet(path: &str, dotnet: &DotnetOptions, errors: &mut Errors) -> Option<Vec<EnvOption>> {
    let mut options = Vec::new();
    options.extend(dotnet.gc_server.map(EnvOption::DotnetServer));
    options.extend(dotnet.gc_concurrent.map(EnvOption::DotnetConcurrent));
    match (&dotnet.heap_hard_limit, dotnet.heap_hard_limit_percent) {
        (Some(_), Some(_)) => {
            errors.add(
                path,
                "takes heapHardLimit or heapHardLimitPercent, not both; remove one",
            );
            return None;
        }
        (Some(limit), None) => {
            let limit = bytes(&format!("{path}.heapHardLimit"), limit, errors)?;
            options.push(EnvOption::DotnetHeapLimit(limit));
        }
        (None, Some(percent)) => {
            let percent = errors.within(format!("{path}.heapHardLimitPercent"), percent, 1, 100)?;
            options.push(EnvOption::DotnetHeapPercent(percent.into()));
        }
        (None, None) => {}
    }
    if let Some(level) = dotnet.conserve_memory {
        let level = errors.within(format!("{path}.conserveMemory"), level, 0, 9)?;
        options.push(EnvOption::DotnetConserve(level.into()));
    }
    Some(options)
}

fn of_go(path: &str, go: &GoOptions, errors: &mut Errors) -> Option<Vec<EnvOption>> {
    let mut options = Vec::new();
    if let Some(gogc) = go.gogc {
        let gogc = errors.within(format!("{path}.gogc"), gogc, 1, 1000)?;
        options.push(EnvOption::Gogc(gogc.into()));
    }
    if let Some(limit) = &go.memory_limit {
        let limit = bytes(&format!("{path}.memoryLimit"), limit, errors)?;
        options.push(EnvOption::GoMemoryLimit(limit));
    }
    Some(options)
}

fn of_java(path: &str, java: &JavaOptions, errors: &mut Errors) -> Option<Vec<EnvOption>> {
    let variable = match java.through.unwrap_or_default() {
        JavaOptionsVariable::ToolOptions => JavaVariable::Tool,
        JavaOptionsVariable::JdkOptions => JavaVariable::Jdk,
    };
    let mut heap = |field: &str, written: &Option<String>| -> Option<Option<u64>> {
        let Some(written) = written else { return Some(None) };
        let path = format!("{path}.{field}");
        let heap = bytes(&path, written, errors)?;
        if heap < LEAST_JAVA_HEAP {
            errors.add(
                path,
                format!("{written} is less than a virtual machine starts with; write at least 2Mi"),
            );
            return None;
        }
        Some(Some(heap))
    };
    let (initial, most) = (
        heap("initialHeap", &java.initial_heap)?,
        heap("maxHeap", &java.max_heap)?,
    );
    if let (Some(initial), Some(most)) = (initial, most)
        && initial > most
    {
        errors.add(
            format!("{path}.initialHeap"),
            "is above maxHeap, and no virtual machine starts with that; lower it",
        );
        return None;
    }
    let initial = initial.map(|bytes| EnvOption::JavaInitialHeap(variable, bytes));
    Some(
        initial
            .into_iter()
            .chain(most.map(|bytes| EnvOption::JavaMaxHeap(variable, bytes)))
            .collect(),
    )
}

fn of_node(path: &str, node: &NodeOptions, errors: &mut Errors) -> Option<Vec<EnvOption>> {
    let path = format!("{path}.maxOldSpaceSize");
    let size = bytes(&path, &node.max_old_space_size, errors)?;
    if size < MIB {
        errors.add(
            path,
            format!("{} is less than 1Mi; write for example 768Mi", node.max_old_space_size),
        );
        return None;
    }
    Some(vec![EnvOption::NodeMaxOldSpace(size)])
}
