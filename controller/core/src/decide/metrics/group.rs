//! Which pods count, as in HPA's `groupPods`.

use crate::{
    decide::{Pod, PodPhase, Pods},
    decimal::Decimal,
    time::{Span, Timestamp},
};
use std::fmt;

/// So long after its start a pod's use of the CPU is that of starting (HPA's
/// `--horizontal-pod-autoscaler-cpu-initialization-period`).
pub(super) const CPU_INITIALIZATION: Span = Span::from_secs(300);

/// A pod that became unready within so long after its start has never been ready (HPA's
/// `--horizontal-pod-autoscaler-initial-readiness-delay`).
pub(super) const INITIAL_READINESS_DELAY: Span = Span::from_secs(30);

/// What one pod measures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub number: Decimal,
    /// For the use of the CPU: the end of the window that it was measured over, and its length.
    pub cpu_window: Option<(Timestamp, Span)>,
}

/// The pods of a target, by what they mean for one metric.
#[derive(Debug, Default)]
pub(super) struct Groups<'a> {
    /// Those that measure something.
    pub ready: Vec<(&'a Pod, Decimal)>,
    /// Those that measure something, but have not been ready for long enough.
    pub warming: Vec<&'a Pod>,
    /// Those that are starting.
    pub unready: Vec<&'a Pod>,
    /// Those that should measure something and don't.
    pub missing: Vec<&'a Pod>,
}

impl<'a> Groups<'a> {
    /// In HPA's order: terminating and failed pods are ignored, pending ones are unready, those that
    /// measure nothing are missing, and the rules of readiness come last. HPA has them for the use of
    /// the CPU alone, with periods that are flags of the control plane; `warm_up` is ours, for any
    /// metric, and 0 means HPA's result.
    pub(super) fn of(pods: &'a Pods, sample: impl Fn(&Pod) -> Option<Sample>, warm_up: Span, now: Timestamp) -> Self {
        let mut groups = Self::default();
        for pod in &pods.0 {
            if pod.terminating || pod.phase == PodPhase::Failed {
                continue;
            }
            if pod.phase == PodPhase::Pending {
                groups.unready.push(pod);
                continue;
            }
            let Some(sample) = sample(pod) else {
                groups.missing.push(pod);
                continue;
            };
            if sample.cpu_window.is_some_and(|window| is_starting(pod, window, now)) {
                groups.unready.push(pod);
            } else if pod.is_warm(warm_up, now) {
                groups.ready.push((pod, sample.number));
            } else {
                groups.warming.push(pod);
            }
        }
        groups
    }

    /// Those that are not ready, and not ignored.
    pub(super) fn others(&self) -> impl Iterator<Item = &'a Pod> {
        self.warming.iter().chain(&self.unready).chain(&self.missing).copied()
    }
}

/// Whether the use of the CPU is that of starting.
fn is_starting(pod: &Pod, (at, window): (Timestamp, Span), now: Timestamp) -> bool {
    let (Some(condition), Some(started)) = (pod.ready, pod.started_at) else {
        return true;
    };
    if started + CPU_INITIALIZATION > now {
        // Part of the window may lie before the pod became ready.
        !condition.ready || at < condition.since + window
    } else {
        !condition.ready && started + INITIAL_READINESS_DELAY > condition.since
    }
}

impl fmt::Display for Groups<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "of {} pods {} count",
            self.ready.len() + self.others().count(),
            self.ready.len()
        )?;
        for (pods, what) in [
            (self.missing.len(), "measure nothing"),
            (self.unready.len(), "are starting"),
            (self.warming.len(), "are warming up"),
        ] {
            if pods > 0 {
                write!(f, ", {pods} {what}")?;
            }
        }
        Ok(())
    }
}
