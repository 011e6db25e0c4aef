//! Metrics with labels that can be taken away again, when what they tell of is gone.

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, TypedMetric},
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

pub(super) type Labels = Vec<(&'static str, String)>;

/// One metric for each set of labels. The library's `Family` can't be asked which sets it holds.
pub(super) struct Series<M> {
    all: Arc<RwLock<BTreeMap<Labels, M>>>,
    new: fn() -> M,
}

impl<M: Clone> Series<M> {
    pub fn new(new: fn() -> M) -> Self {
        Self {
            all: Arc::default(),
            new,
        }
    }

    /// The metric of these labels; always to be given in the same order.
    pub fn of(&self, labels: &[(&'static str, &str)]) -> M {
        let labels: Labels = labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        if let Some(metric) = self.all.read().unwrap_or_else(PoisonError::into_inner).get(&labels) {
            return metric.clone();
        }
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(labels).or_insert_with(self.new).clone()
    }

    /// The metric of these labels and one more, in the place of those that differ in that one alone. Many passes
    /// report on one source, so the others must go in the same step.
    pub fn keep_only(&self, labels: &[(&'static str, &str)], one: (&'static str, &str)) -> M {
        let owned = |(key, value): (&'static str, &str)| (key, value.to_owned());
        let shared: Labels = labels.iter().copied().map(owned).collect();
        let own: Labels = shared.iter().cloned().chain([owned(one)]).collect();
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other, _| *other == own || !other.starts_with(&shared));
        all.entry(own).or_insert_with(self.new).clone()
    }

    /// Takes away those that begin with these labels and whose next one is none of `values`: what tells of
    /// something that is listed no more.
    pub fn keep_among(&self, labels: &[(&'static str, &str)], values: &[&str]) {
        let owned = |(key, value): &(&'static str, &str)| (*key, (*value).to_owned());
        let shared: Labels = labels.iter().map(owned).collect();
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|own, _| {
            let next = own.get(shared.len()).map(|(_, value)| value.as_str());
            !own.starts_with(&shared) || next.is_some_and(|value| values.contains(&value))
        });
    }

    /// Takes away those whose labels are not to be kept.
    pub fn retain(&self, keep: impl Fn(&Labels) -> bool) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|own, _| keep(own));
    }

    /// Takes away all that have each of these labels.
    pub fn remove(&self, labels: &[(&'static str, &str)]) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|own, _| {
            !labels
                .iter()
                .all(|(key, value)| own.iter().any(|(k, v)| k == key && v == value))
        });
    }
}

impl<M> Clone for Series<M> {
    fn clone(&self) -> Self {
        Self {
            all: Arc::clone(&self.all),
            new: self.new,
        }
    }
}

impl<M> fmt::Debug for Series<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Series").finish_non_exhaustive()
    }
}

impl<M: EncodeMetric + TypedMetric> EncodeMetric for Series<M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (labels, metric) in self.all.read().unwrap_or_else(PoisonError::into_inner).iter() {
            metric.encode(encoder.encode_family(labels)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }

    fn is_empty(&self) -> bool {
        self.all.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}
