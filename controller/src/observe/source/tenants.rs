//! A source as the policies of one namespace ask it.

use super::{Source, SourceError};
use crate::{
    metrics::{Metrics, NamespaceQuery},
    observe::envelope::Answer,
};
use flyball_core::breaker::Stage;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

impl Source {
    /// The same source, asked for the policies of a namespace: within the limits of each namespace, and in turns with the others.
    #[must_use]
    pub fn of_namespace(&self, namespace: &str, metrics: Option<Arc<Metrics>>) -> Self {
        Self {
            tenant: Some(namespace.into()),
            metrics,
            ..self.clone()
        }
    }

    /// What the breaker of the namespace that asks does with its costly queries.
    pub fn namespace_stage(&self) -> Option<Stage> {
        self.tenant.as_ref().map(|namespace| self.gate.stage_of(namespace))
    }

    /// Forgets what is known of other namespaces than these.
    pub fn keep_namespaces(&self, present: &BTreeSet<&str>) {
        self.gate.keep(present);
    }

    pub(super) fn tell(&self, answer: &Result<Answer, SourceError>, costly: bool, waited: Duration) {
        let (Some(namespace), Some(metrics)) = (&self.tenant, &self.metrics) else {
            return;
        };
        let result = match answer {
            Ok(_) => NamespaceQuery::Answered,
            Err(_) if costly => NamespaceQuery::Costly,
            Err(SourceError::Busy { .. }) => NamespaceQuery::Busy,
            Err(SourceError::NamespaceBusy { .. }) => NamespaceQuery::NamespaceBusy,
            Err(SourceError::NamespaceRate { .. }) => NamespaceQuery::NamespaceRate,
            Err(SourceError::NamespaceOpen { .. }) => NamespaceQuery::NamespaceCircuit,
            Err(SourceError::Open { .. }) => NamespaceQuery::Circuit,
            Err(_) => NamespaceQuery::Failed,
        };
        metrics.namespace_queried(namespace, self.name(), result, waited);
        metrics.namespace_circuit(namespace, self.name(), self.gate.stage_of(namespace));
    }
}
