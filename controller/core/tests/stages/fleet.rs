//! Pods and what they measure.

use crate::build::{Observed, at, facts, finite, labels, metric, metrics, secs, signal};
use flyball_core::{
    decide::{Facts, Pod, PodPhase, PodReady, PodUsage, Pods},
    policy::{Measure, OnError, PodNumbers, PodTarget, ReplicasAction, Resource, ResourceOf, Shape, Signal},
    signal::{Reading, Sample},
};
use std::collections::BTreeMap;

pub fn cpu() -> ResourceOf {
    ResourceOf {
        resource: Resource::Cpu,
        container: None,
    }
}

pub fn memory() -> ResourceOf {
    ResourceOf {
        resource: Resource::Memory,
        ..cpu()
    }
}

pub fn container(name: &str) -> ResourceOf {
    ResourceOf {
        container: Some(name.to_owned()),
        ..cpu()
    }
}

pub fn percent(percent: u32, of: ResourceOf) -> PodTarget {
    PodTarget::Utilization { percent, of }
}

pub fn mean(target: f64) -> PodTarget {
    PodTarget::AverageValue(finite(target))
}

/// The signal `load`, one series for each pod, against this target.
pub fn by_signal(target: PodTarget) -> ReplicasAction {
    let of = PodNumbers::Signal("load".to_owned());
    wide(metrics(vec![metric("load", Measure::Pods { of, target })]))
}

/// The usage that metrics.k8s.io tells, against this target.
pub fn by_usage(of: ResourceOf, target: PodTarget) -> ReplicasAction {
    let of = PodNumbers::Usage(of);
    wide(metrics(vec![metric("use", Measure::Pods { of, target })]))
}

/// From 0 to 10,000 replicas.
pub fn wide(mut action: ReplicasAction) -> ReplicasAction {
    (action.bounds.min, action.bounds.max) = (crate::build::n(0), crate::build::n(10_000));
    action
}

pub fn per_pod_signal(name: &str, on_error: OnError) -> Signal {
    Signal {
        shape: Shape::PerPod,
        ..signal(name, on_error)
    }
}

/// A pod that runs, was started long ago and ready ever since, with a container `app` that requests
/// one core and 1000 bytes.
pub fn pod(name: &str) -> Pod {
    Pod {
        name: name.to_owned(),
        phase: PodPhase::Running,
        terminating: false,
        ready: Some(ready(true, 10)),
        started_at: Some(at(0)),
        requests: BTreeMap::from([("app".to_owned(), requests(1000, 1_000_000))]),
    }
}

pub fn requests(cpu: i64, memory: i64) -> BTreeMap<Resource, i64> {
    BTreeMap::from([(Resource::Cpu, cpu), (Resource::Memory, memory)])
}

/// Pods, named in the order in which they are added, with what they measure.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    pub pods: Vec<Pod>,
    pub numbers: Vec<(String, f64)>,
}

impl Fleet {
    pub fn with(mut self, count: usize, number: Option<f64>, change: impl Fn(&mut Pod)) -> Self {
        for _ in 0..count {
            let name = format!("web-{:03}", self.pods.len());
            let mut pod = pod(&name);
            change(&mut pod);
            self.pods.push(pod);
            self.numbers.extend(number.map(|number| (name, number)));
        }
        self
    }

    pub fn ready(self, count: usize, number: f64) -> Self {
        self.with(count, Some(number), |_| ())
    }

    pub fn missing(self, count: usize) -> Self {
        self.with(count, None, |_| ())
    }

    pub fn pending(self, count: usize, number: Option<f64>) -> Self {
        self.with(count, number, |pod| {
            pod.phase = PodPhase::Pending;
            (pod.ready, pod.started_at) = (None, None);
        })
    }

    pub fn terminating(self, count: usize, number: Option<f64>) -> Self {
        self.with(count, number, |pod| pod.terminating = true)
    }

    pub fn failed(self, count: usize, number: Option<f64>) -> Self {
        self.with(count, number, |pod| pod.phase = PodPhase::Failed)
    }

    /// Not `Ready` since this time.
    pub fn unready(self, count: usize, number: f64, since: i64) -> Self {
        self.with(count, Some(number), |pod| pod.ready = Some(ready(false, since)))
    }

    /// `Ready` since this time.
    pub fn since(self, count: usize, number: f64, since: i64) -> Self {
        self.with(count, Some(number), |pod| pod.ready = Some(ready(true, since)))
    }

    pub fn facts(&self, current: i64) -> Facts {
        Facts {
            pods: Some(Pods(self.pods.clone())),
            ..facts(current)
        }
    }

    /// The numbers as a signal, one series for each pod.
    pub fn reading(&self, seconds: i64) -> Reading {
        let sample = |(pod, value): &(String, f64)| Sample {
            labels: labels(&[("pod", pod)]),
            value: *value,
        };
        let samples = self.numbers.iter().map(sample).collect();
        Reading::answered(at(seconds), samples, &[], Some(secs(0)), secs(60))
    }

    /// The numbers in thousandths, as usage that was measured over 30 s up to then.
    pub fn usage(&self, seconds: i64) -> BTreeMap<String, PodUsage> {
        #[allow(clippy::cast_possible_truncation)] // Small numbers.
        let usage = |(pod, value): &(String, f64)| {
            let usage = PodUsage {
                milli: *value as i64,
                at: at(seconds),
                window: secs(30),
            };
            (pod.clone(), usage)
        };
        self.numbers.iter().map(usage).collect()
    }

    /// Observed at this time as the signal `load`, and as the usage of a resource.
    pub fn observed(&self, seconds: i64, of: ResourceOf) -> Observed {
        Observed::default()
            .define(per_pod_signal("load", OnError::HoldDown))
            .signal("load", self.reading(seconds))
            .usage(of, Ok(self.usage(seconds)))
    }
}

pub fn ready(ready: bool, since: i64) -> PodReady {
    PodReady {
        ready,
        since: at(since),
    }
}
