//! What sources are asked, by whom, and how they answer.

use super::{Metrics, series::Labels};
use flyball_core::breaker::Stage;
use std::{collections::BTreeSet, time::Duration};

/// What became of a namespace's query of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceQuery {
    /// It was answered.
    Answered,
    /// It was asked in vain.
    Failed,
    /// It cost too much.
    Costly,
    /// It was not asked: there was no place.
    Busy,
    /// It was not asked: the namespace had as many under way as it may.
    NamespaceBusy,
    /// It was not asked: the namespace asks too often.
    NamespaceRate,
    /// It was not asked: the namespace's own circuit breaker is open.
    NamespaceCircuit,
    /// It was not asked: the source's circuit breaker is open.
    Circuit,
}

impl NamespaceQuery {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Costly => "costly",
            Self::Busy => "busy",
            Self::NamespaceBusy => "namespace_busy",
            Self::NamespaceRate => "namespace_rate",
            Self::NamespaceCircuit => "namespace_circuit",
            Self::Circuit => "circuit",
        }
    }
}

impl Metrics {
    /// A source was asked. `error`: the kind of what went wrong, one of a closed set.
    pub fn queried(&self, source: &str, took: Duration, error: Option<&'static str>) {
        self.query_duration
            .of(&[("source", source)])
            .observe(took.as_secs_f64());
        if let Some(kind) = error {
            self.query_errors.of(&[("source", source), ("kind", kind)]).inc();
        }
    }

    /// The state of a source's circuit breaker.
    pub fn circuit(&self, source: &str, stage: Stage) {
        self.source_circuit
            .keep_only(&[("source", source)], ("state", state(stage)))
            .set(1);
    }

    /// A query of a namespace was asked of a source, or was not, after it had waited for so long.
    pub fn namespace_queried(&self, namespace: &str, source: &str, result: NamespaceQuery, waited: Duration) {
        let labels = [("namespace", namespace), ("source", source)];
        let [one, two] = labels;
        self.namespace_queries
            .of(&[one, two, ("result", result.as_str())])
            .inc();
        self.namespace_wait.of(&labels).inc_by(waited.as_secs_f64());
    }

    /// The state of a namespace's own circuit breaker at a source.
    pub fn namespace_circuit(&self, namespace: &str, source: &str, stage: Stage) {
        self.namespace_circuit
            .keep_only(&[("namespace", namespace), ("source", source)], ("state", state(stage)))
            .set(1);
    }

    /// Takes away what is told of namespaces at sources that none of their policies asks. `asking`: source and namespace of each policy.
    pub fn keep_namespaces(&self, asking: &BTreeSet<(String, String)>) {
        let keep = |labels: &Labels| {
            let of = |name: &str| {
                labels
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| value.clone())
            };
            of("source")
                .zip(of("namespace"))
                .is_some_and(|pair| asking.contains(&pair))
        };
        self.namespace_queries.retain(keep);
        self.namespace_wait.retain(keep);
        self.namespace_circuit.retain(keep);
    }

    /// The source is gone: so is what was told of it.
    pub fn remove_source(&self, source: &str) {
        self.query_duration.remove(&[("source", source)]);
        self.query_errors.remove(&[("source", source)]);
        self.source_circuit.remove(&[("source", source)]);
        self.namespace_queries.remove(&[("source", source)]);
        self.namespace_wait.remove(&[("source", source)]);
        self.namespace_circuit.remove(&[("source", source)]);
    }
}

/// How a breaker's stage is named.
const fn state(stage: Stage) -> &'static str {
    match stage {
        Stage::Closed => "closed",
        Stage::Open => "open",
        Stage::HalfOpen => "half_open",
    }
}
