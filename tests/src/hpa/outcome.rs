//! What an autoscaler has decided.

use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscalerStatus, MetricStatus};

/// What a condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether its status is `True`.
    pub holds: bool,
    /// Its reason.
    pub reason: String,
    /// Its message.
    pub message: String,
}

/// The first decision of an autoscaler.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The target's replicas before it.
    pub current: i32,
    /// What it wants, and has written if that differs. `None`: it could not tell, or not write.
    pub desired: Option<i32>,
    /// Condition `AbleToScale`.
    pub able: Option<Verdict>,
    /// Condition `ScalingActive`. `None`: replicas outside of its bounds went there without a look at metrics.
    pub active: Option<Verdict>,
    /// Condition `ScalingLimited`. `None`: there was nothing to limit.
    pub limited: Option<Verdict>,
    /// What it read of each metric. One that it could not read is there, and empty.
    pub metrics: Vec<MetricStatus>,
    /// Reason and message of its events.
    pub events: Vec<(String, String)>,
}

impl Outcome {
    /// The outcome without events.
    pub(super) fn read(status: &HorizontalPodAutoscalerStatus) -> Self {
        let [able, active, limited] =
            ["AbleToScale", "ScalingActive", "ScalingLimited"].map(|kind| condition(status, kind));
        let computed = |it: &Verdict| it.holds || it.reason == "ScalingDisabled";
        let decided = able.as_ref().is_some_and(|it| it.holds) && active.as_ref().is_none_or(computed);
        Self {
            current: status.current_replicas.unwrap_or(0),
            desired: decided.then_some(status.desired_replicas),
            able,
            active,
            limited,
            metrics: status.current_metrics.clone().unwrap_or_default(),
            events: Vec::new(),
        }
    }

    /// How the reasons of events begin that come with it. They are written on the side, and may be late.
    pub(super) fn implies(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        match self.able.as_ref().map(|it| it.reason.as_str()) {
            Some("SucceededRescale") => reasons.push("SuccessfulRescale"),
            Some("FailedUpdateScale") => reasons.push("FailedRescale"),
            Some("FailedGetScale") => reasons.push("FailedGetScale"),
            _ => {}
        }
        if self
            .active
            .as_ref()
            .is_some_and(|it| !it.holds && it.reason != "ScalingDisabled")
        {
            reasons.push("FailedComputeMetricsReplicas");
        }
        if self.metrics.iter().any(|metric| metric.type_.is_empty()) {
            reasons.push("FailedGet");
        }
        reasons
    }

    /// Whether there is an event with this reason.
    pub fn has_event(&self, reason: &str) -> bool {
        self.events.iter().any(|(known, _)| known == reason)
    }
}

pub(super) fn condition(status: &HorizontalPodAutoscalerStatus, kind: &str) -> Option<Verdict> {
    let found = status.conditions.iter().flatten().find(|it| it.type_ == kind)?;
    Some(Verdict {
        holds: found.status == "True",
        reason: found.reason.clone().unwrap_or_default(),
        message: found.message.clone().unwrap_or_default(),
    })
}
