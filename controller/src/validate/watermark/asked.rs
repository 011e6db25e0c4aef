//! What a watermark asks of the server, for each of its sources.

use crate::{promql, validate::Errors};
use flyball_core::policy::Query;
use flyball_crds::{MemoryWatermark, WatermarkOf, WatermarkSource as By};

/// What is asked of the server.
pub(super) struct Asked {
    /// How full each is.
    pub ratio: Query,
    /// When that was sampled, where the source is known.
    pub sampled: Option<Query>,
    /// What each pod uses, for a node's pods.
    pub used: Option<Query>,
}

/// A ratio, and when it was sampled.
type Texts = (String, Option<String>);
/// A field, and what is wrong with it.
type Mistake = (&'static str, String);

pub(super) fn asked(path: &str, written: &MemoryWatermark, of: WatermarkOf, errors: &mut Errors) -> Option<Asked> {
    let more = written
        .matchers
        .as_ref()
        .map_or_else(String::new, |more| format!(",{more}"));
    let own = format!("namespace=\"{}\"{more}", Query::NAMESPACE);
    let texts = match (&written.expr, written.source, of) {
        (Some(_), Some(_), _) => Err(("", "has source and expr; keep one of the two".to_owned())),
        (Some(expr), None, _) => Ok((expr.clone(), None)),
        (None, source, WatermarkOf::Containers) => containers(source.unwrap_or(By::Kubelet), written, &own),
        (None, source, WatermarkOf::Nodes) => nodes(source.unwrap_or(By::NodeExporter), &more),
    };
    let (ratio, sampled) = match texts {
        Ok(texts) => texts,
        Err((field, message)) => {
            let at = if field.is_empty() {
                path.to_owned()
            } else {
                format!("{path}.{field}")
            };
            errors.add(at, message);
            return None;
        }
    };
    let field = if written.expr.is_some() { "expr" } else { "matchers" };
    let at = format!("{path}.{field}");
    let mut ask = |text: &str| -> Option<Query> { errors.expression(at.clone(), promql::query(text)) };
    Some(Asked {
        ratio: ask(&ratio)?,
        sampled: match sampled {
            Some(text) => Some(ask(&text)?),
            None => None,
        },
        used: match of {
            WatermarkOf::Containers => None,
            WatermarkOf::Nodes => Some(ask(&format!(
                "sum by (pod) (container_memory_working_set_bytes{{{own},container!=\"\"}})"
            ))?),
        },
    })
}

fn nothing(source: By, of: &str, instead: &str) -> Mistake {
    ("source", format!("{source:?} tells nothing of {of}; write {instead}"))
}

fn containers(source: By, written: &MemoryWatermark, own: &str) -> Result<Texts, Mistake> {
    let container = match &written.container {
        Some(container) => format!("{own},container=\"{container}\""),
        None => format!("{own},container!=\"\""),
    };
    match source {
        By::Kubelet => {
            let used = format!("container_memory_working_set_bytes{{{container}}}");
            let limit = format!("max by (pod, container) (container_spec_memory_limit_bytes{{{container}}} > 0)");
            Ok((
                format!("max by (pod, container) ({used}) / {limit}"),
                Some(format!("max by (pod, container) (timestamp({used}))")),
            ))
        }
        By::Agent => {
            let Some(name) = &written.container else {
                let missing = "is missing; an agent tells of the container of its process, so name that";
                return Err(("container", missing.to_owned()));
            };
            let named =
                |value: &str| format!("label_replace(max by (pod) ({value}), \"container\", \"{name}\", \"\", \"\")");
            let used = format!("flyball_agent_working_set_bytes{{{own}}}");
            let limit = format!("flyball_agent_container_limit_bytes{{{own}}}");
            Ok((
                format!("{} / ({} < Inf)", named(&used), named(&limit)),
                Some(named(&format!("timestamp({used})"))),
            ))
        }
        By::Pressure => {
            let waited = format!("container_pressure_memory_waiting_seconds_total{{{container}}}");
            Ok((
                format!("max by (pod, container) (rate({waited}[1m]))"),
                Some(format!("max by (pod, container) (timestamp({waited}))")),
            ))
        }
        By::NodeExporter | By::WindowsExporter => Err(nothing(source, "containers", "Kubelet, Agent or Pressure")),
    }
}

fn nodes(source: By, more: &str) -> Result<Texts, Mistake> {
    let bare = more.trim_start_matches(',');
    match source {
        By::Kubelet => {
            let root = format!("container_memory_working_set_bytes{{id=\"/\"{more}}}");
            let capacity = format!("machine_memory_bytes{{{bare}}}");
            Ok((
                format!("max by (node) ({root}) / max by (node) ({capacity})"),
                Some(format!("max by (node) (timestamp({root}))")),
            ))
        }
        By::NodeExporter => {
            let free = |and: &str| format!("node_memory_MemAvailable_bytes{{{and}{more}}}");
            let ratio = |and: &str| format!("(1 - {} / node_memory_MemTotal_bytes{{{and}{more}}})", free(and));
            let host = format!("node_uname_info{{{bare}}}");
            Ok((
                by_node(ratio, "nodename", &host),
                Some(by_node(|and| format!("timestamp({})", free(and)), "nodename", &host)),
            ))
        }
        By::Pressure => {
            let waited = |and: &str| format!("node_pressure_memory_waiting_seconds_total{{{and}{more}}}");
            let host = format!("node_uname_info{{{bare}}}");
            Ok((
                by_node(|and| format!("rate({}[1m])", waited(and)), "nodename", &host),
                Some(by_node(|and| format!("timestamp({})", waited(and)), "nodename", &host)),
            ))
        }
        By::WindowsExporter => {
            const FREE: [&str; 2] = [
                "windows_memory_physical_free_bytes",
                "windows_os_physical_memory_free_bytes",
            ];
            const ALL: [&str; 2] = [
                "windows_memory_physical_total_bytes",
                "windows_cs_physical_memory_bytes",
            ];
            let of = |metric: &str, and: &str| format!("{metric}{{{and}{more}}}");
            let either = |[now, before]: [&str; 2], and: &str| format!("({} or {})", of(now, and), of(before, and));
            let ratio = |and: &str| format!("(1 - {} / {})", either(FREE, and), either(ALL, and));
            let time = |and: &str| {
                let [now, before] = FREE.map(|metric| format!("timestamp({})", of(metric, and)));
                format!("({now} or {before})")
            };
            let [now, before] =
                ["windows_os_hostname", "windows_cs_hostname"].map(|metric| format!("{metric}{{{bare}}}"));
            let host = format!("({now} or {before})");
            Ok((
                by_node(ratio, "hostname", &host),
                Some(by_node(time, "hostname", &host)),
            ))
        }
        By::Agent => Err(nothing(
            source,
            "nodes",
            "NodeExporter, Kubelet, WindowsExporter or Pressure",
        )),
    }
}

/// A value by node: by its label `node` where it has one, else by what a series of its `instance` says in a label. Several
/// jobs may scrape one exporter, so that series is aggregated first.
fn by_node(value: impl Fn(&str) -> String, label: &str, host: &str) -> String {
    let (labelled, bare) = (value("node!=\"\""), value("node=\"\""));
    format!(
        "max by (node) ({labelled} or label_replace({bare} * on (instance) group_left ({label}) \
         max by (instance, {label}) ({host}), \"node\", \"$1\", \"{label}\", \"(.+)\"))"
    )
}
