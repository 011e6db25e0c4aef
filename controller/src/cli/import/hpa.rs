//! The HorizontalPodAutoscaler: its metrics are our metrics, its behavior our behavior.

use super::{behavior, draft::Draft, expressions::Matchers, quantity};
use flyball_crds::{Duration, MetricTarget, ResourceName, ResourceOf, TargetRef, Zero};
use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, MetricIdentifier, MetricSpec, MetricTarget as Written, ObjectMetricSource,
};
use kube::ResourceExt;

/// What the API server fills in where no metric is given.
const DEFAULT_UTILIZATION: i32 = 80;
/// For how long the HorizontalPodAutoscaler looks back before it goes down.
const STABILIZATION: &str = "5m";

/// The policy that does the same.
pub fn draft(object: &HorizontalPodAutoscaler, source: Option<&str>) -> Draft {
    let spec = object.spec.clone().unwrap_or_default();
    let scaled = &spec.scale_target_ref;
    let target = TargetRef {
        api_version: scaled.api_version.clone().unwrap_or_else(|| "apps/v1".to_owned()),
        kind: scaled.kind.clone(),
        name: scaled.name.clone(),
    };
    let namespace = object.namespace();
    let mut draft = Draft::new(
        "HorizontalPodAutoscaler",
        &object.name_any(),
        namespace.as_deref(),
        target,
        source,
    );
    if scaled.api_version.is_none() {
        draft.note("spec.targetRef.apiVersion", "is not given there; apps/v1 is a guess");
    }
    if let Some(owner) = scaled_object(object) {
        let text = format!(
            "KEDA made this autoscaler from a ScaledObject; import that one: flyball import scaledobject {owner}"
        );
        draft.note("", text);
    }
    behavior::apply(&mut draft, spec.behavior.as_ref());
    let metrics = spec.metrics.unwrap_or_default();
    if metrics.is_empty() {
        draft.resource("cpu", cpu(), utilization(DEFAULT_UTILIZATION));
        draft.note(
            Draft::lever("metrics"),
            format!("no metric is given there, so {DEFAULT_UTILIZATION} % of the requested CPU counts"),
        );
    }
    for metric in &metrics {
        translate(&mut draft, metric);
    }
    bounds(&mut draft, spec.min_replicas.unwrap_or(1), spec.max_replicas);
    warm_up(&mut draft);
    draft.finish()
}

/// The ScaledObject behind an autoscaler.
pub fn scaled_object(object: &HorizontalPodAutoscaler) -> Option<String> {
    let owner = object
        .owner_references()
        .iter()
        .find(|owner| owner.kind == "ScaledObject");
    owner.map(|owner| owner.name.clone())
}

fn cpu() -> ResourceOf {
    ResourceOf {
        name: ResourceName::Cpu,
        container: None,
    }
}

fn utilization(percent: i32) -> MetricTarget {
    MetricTarget {
        utilization: Some(percent),
        ..MetricTarget::default()
    }
}

/// Adds one metric, or says why it can't.
fn translate(draft: &mut Draft, metric: &MetricSpec) {
    let none = |draft: &mut Draft| {
        let text = format!("a metric of type {} has no equivalent and is left out", metric.type_);
        draft.note(Draft::lever("metrics"), text);
    };
    if let Some(it) = &metric.resource {
        resource(draft, &it.name, None, &it.target);
    } else if let Some(it) = &metric.container_resource {
        resource(draft, &it.name, Some(&it.container), &it.target);
    } else if let Some(it) = &metric.pods {
        let target = draft.spec.target_ref.clone();
        let mut matchers = Matchers::of(draft.namespace.as_deref());
        matchers.pods_of(&target);
        named(draft, matchers, &it.metric, "sum by (pod)", &it.target);
    } else if let Some(it) = &metric.object {
        object(draft, it);
    } else if let Some(it) = &metric.external {
        let matchers = Matchers::of(draft.namespace.as_deref());
        named(draft, matchers, &it.metric, "sum", &it.target);
    } else {
        none(draft);
    }
}

fn resource(draft: &mut Draft, name: &str, container: Option<&String>, written: &Written) {
    let path = Draft::lever("metrics");
    let known = match name {
        "cpu" => ResourceName::Cpu,
        "memory" => ResourceName::Memory,
        other => {
            draft.note(
                path,
                format!(
                    "the resource {other} is neither cpu nor memory and is left out; write its usage as a perPod signal"
                ),
            );
            return;
        }
    };
    match target(written) {
        // Each pod's usage is compared, so a level of all of them has no meaning here either.
        Some(target) if target.value.is_none() => {
            let of = ResourceOf {
                name: known,
                container: container.cloned(),
            };
            let name = container.map_or_else(|| name.to_owned(), |container| format!("{name}_of_{container}"));
            draft.resource(&name, of, target);
        }
        _ => draft.note(path, format!("the target of {name} can't be read and is left out")),
    }
}

fn object(draft: &mut Draft, written: &ObjectMetricSource) {
    let described = &written.described_object;
    let kind = described.kind.to_lowercase();
    let mut matchers = if kind == "namespace" {
        Matchers::default()
    } else {
        Matchers::of(draft.namespace.as_deref())
    };
    matchers.is(&kind, &described.name);
    named(draft, matchers, &written.metric, "sum", &written.target);
}

/// A metric that an adapter knows by its name.
fn named(draft: &mut Draft, mut matchers: Matchers, metric: &MetricIdentifier, sum: &str, written: &Written) {
    let Some(target) = target(written).filter(|target| target.utilization.is_none()) else {
        let text = format!("the target of {} can't be read and is left out", metric.name);
        draft.note(Draft::lever("metrics"), text);
        return;
    };
    let renamed = matchers.select(metric.selector.as_ref());
    let expr = matchers.ask(&metric.name, sum);
    let name = draft.signal(&metric.name, &expr, sum != "sum");
    let path = draft.last_signal("expr");
    let mut text = format!(
        "{:?} is a name that a metrics adapter gives; this query is a guess by it, and the adapter's own rules have the real one",
        metric.name
    );
    if !renamed.is_empty() {
        let labels = renamed.join(", ");
        text = format!("{text}; Prometheus can't have the label {labels}, so it is spelled with underscores");
    }
    draft.note(path, text);
    draft.metric(&name, target);
}

/// The target as ours, where it is one.
fn target(written: &Written) -> Option<MetricTarget> {
    let above = |number: f64| (number > 0.0).then_some(number);
    let number = |quantity: &Option<_>| {
        let quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity = quantity.as_ref()?;
        quantity::number(&quantity.0).and_then(above)
    };
    let target = match written.type_.as_str() {
        "Utilization" => utilization(
            written
                .average_utilization
                .filter(|percent| (1..=10_000).contains(percent))?,
        ),
        "AverageValue" => MetricTarget {
            average_value: Some(number(&written.average_value)?),
            ..MetricTarget::default()
        },
        "Value" => MetricTarget {
            value: Some(number(&written.value)?),
            ..MetricTarget::default()
        },
        _ => return None,
    };
    Some(target)
}

/// At zero only a metric that is there without pods can call the workload back.
fn bounds(draft: &mut Draft, min: i32, max: i32) {
    if min > 0 {
        draft.bounds(min, max);
        return;
    }
    let signal = draft
        .spec
        .signals
        .iter()
        .find(|signal| !signal.per_pod)
        .map(|signal| signal.name.clone());
    let Some(signal) = signal else {
        draft.bounds(1, max);
        let text = "minReplicas is 0 there, and no metric is there without pods; it is 1 now";
        draft.note(Draft::lever("min"), text);
        return;
    };
    draft.bounds(0, max);
    let text = format!("above 0 the workload is active; see that {signal} is there at zero replicas too");
    draft.note(Draft::lever("zero.signal"), text);
    draft.replicas.zero = Some(Zero {
        signal,
        activation: 0.0,
        cooldown: Some(Duration::new(STABILIZATION)),
    });
}

/// For CPU alone the HorizontalPodAutoscaler leaves out pods that start.
fn warm_up(draft: &mut Draft) {
    let of_cpu =
        |metric: &flyball_crds::Metric| metric.resource.as_ref().is_some_and(|of| of.name == ResourceName::Cpu);
    if draft.metrics.iter().any(of_cpu) {
        draft.note(
            Draft::lever("warmUp"),
            "the HorizontalPodAutoscaler leaves out the CPU of pods that start (for up to 5m, by a flag of the cluster); \
             here a pod counts from when it is ready on, or so long after that",
        );
    }
}
