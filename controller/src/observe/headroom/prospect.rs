//! The next pod of a target, as admission will see it.

use crate::observe::{quantity::milli, wire::together};
use k8s_openapi::{
    api::core::v1::{Container, LimitRange, LimitRangeItem, Pod, PodSpec, PodTemplateSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};
use std::collections::{BTreeMap, BTreeSet};

/// Quantities by resource, in thousandths.
pub type Amounts = BTreeMap<String, i64>;

/// Which of the two lists of a container is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What it is given.
    Requests,
    /// What it may take at most.
    Limits,
}

impl Side {
    fn of(self, resources: &ResourceRequirements) -> Option<&BTreeMap<String, Quantity>> {
        match self {
            Self::Requests => resources.requests.as_ref(),
            Self::Limits => resources.limits.as_ref(),
        }
    }

    /// The word for one of it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Requests => "request",
            Self::Limits => "limit",
        }
    }
}

/// A pod that would be made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prospect {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its spec.
    pub spec: PodSpec,
}

impl Prospect {
    /// As a pod that is there already: admission has filled in what it fills in.
    pub fn like(pod: Pod) -> Self {
        Self {
            labels: pod.metadata.labels.unwrap_or_default(),
            spec: pod.spec.unwrap_or_default(),
        }
    }

    /// From a template.
    pub fn from_template(template: PodTemplateSpec) -> Self {
        Self {
            labels: template
                .metadata
                .and_then(|metadata| metadata.labels)
                .unwrap_or_default(),
            spec: template.spec.unwrap_or_default(),
        }
    }

    /// With what the API server and the LimitRanges fill in: a limit that stands alone is the request, and
    /// then the defaults of the ranges.
    #[must_use]
    pub fn defaulted(mut self, ranges: &[LimitRange]) -> Self {
        let spec = &mut self.spec;
        let containers = spec.containers.iter_mut();
        for container in containers.chain(spec.init_containers.iter_mut().flatten()) {
            let resources = container.resources.get_or_insert_default();
            for (name, limit) in resources.limits.clone().into_iter().flatten() {
                let requests = resources.requests.get_or_insert_default();
                requests.entry(name).or_insert(limit);
            }
            for item in items(ranges, "Container") {
                fill(&mut resources.limits, item.default.as_ref());
                fill(&mut resources.requests, item.default_request.as_ref());
            }
        }
        self
    }

    /// All containers, init containers first.
    pub fn containers(&self) -> impl Iterator<Item = &Container> {
        self.spec.init_containers.iter().flatten().chain(&self.spec.containers)
    }

    /// What the pod asks for as a whole, as quota and scheduler count it: the containers together, or
    /// what is written for the pod, and the overhead of its runtime. Limits have an overhead only where
    /// there are some.
    pub fn whole(&self, side: Side) -> Amounts {
        let resources = self.containers().filter_map(|container| container.resources.as_ref());
        let of_pod = self.spec.resources.as_ref().and_then(|pod| side.of(pod));
        let names: BTreeSet<&String> = resources
            .filter_map(|resources| side.of(resources))
            .chain(of_pod)
            .flat_map(BTreeMap::keys)
            .collect();
        let mut whole: Amounts = names
            .into_iter()
            .map(|name| {
                let written = of_pod.and_then(|pod| milli(&pod.get(name)?.0));
                let amount = written.unwrap_or_else(|| self.together(side, name));
                (name.clone(), amount)
            })
            .collect();
        for (name, overhead) in self.spec.overhead.iter().flatten() {
            let overhead = milli(&overhead.0).unwrap_or(0);
            match side {
                Side::Requests => {
                    let amount = whole.entry(name.clone()).or_default();
                    *amount = amount.saturating_add(overhead);
                }
                Side::Limits => {
                    if let Some(amount) = whole.get_mut(name) {
                        *amount = amount.saturating_add(overhead);
                    }
                }
            }
        }
        whole
    }

    fn together(&self, side: Side, name: &str) -> i64 {
        let amount = |container: &Container| of_container(container, side, name).unwrap_or(0);
        let inits = self.spec.init_containers.iter().flatten();
        together(
            inits.map(|init| (init.restart_policy.as_deref() == Some("Always"), amount(init))),
            self.spec.containers.iter().map(amount),
        )
    }

    /// The first container that says nothing of a resource; `None` where all do, or the pod as a whole.
    pub fn silent(&self, side: Side, name: &str) -> Option<&str> {
        let of_pod = self.spec.resources.as_ref().and_then(|pod| side.of(pod));
        if of_pod.is_some_and(|pod| pod.contains_key(name)) {
            return None;
        }
        self.containers()
            .find(|container| of_container(container, side, name).is_none())
            .map(|container| container.name.as_str())
    }

    /// Whether neither cores nor memory are asked for or bounded (the class `BestEffort`).
    pub fn best_effort(&self) -> bool {
        [Side::Requests, Side::Limits].into_iter().all(|side| {
            let whole = self.whole(side);
            ["cpu", "memory"]
                .into_iter()
                .all(|name| whole.get(name).is_none_or(|amount| *amount == 0))
        })
    }
}

/// What a container says of a resource.
pub fn of_container(container: &Container, side: Side, name: &str) -> Option<i64> {
    milli(&side.of(container.resources.as_ref()?)?.get(name)?.0)
}

/// The items of one type of all LimitRanges.
pub fn items<'r>(ranges: &'r [LimitRange], kind: &'static str) -> impl Iterator<Item = &'r LimitRangeItem> {
    ranges
        .iter()
        .filter_map(|range| range.spec.as_ref())
        .flat_map(|spec| &spec.limits)
        .filter(move |item| item.type_ == kind)
}

fn fill(into: &mut Option<BTreeMap<String, Quantity>>, defaults: Option<&BTreeMap<String, Quantity>>) {
    for (name, quantity) in defaults.into_iter().flatten() {
        into.get_or_insert_default()
            .entry(name.clone())
            .or_insert_with(|| quantity.clone());
    }
}
