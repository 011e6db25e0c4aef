//! Answers: what a rule leads to beside a lever. They move no field of the target; what relieves a pod is a transaction on that pod.

use super::{Annotate, Capture, Relieve};
use crate::signal::Labels;

/// An action that answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Its name.
    pub name: String,
    /// The rules that drive it, never none.
    pub when: Vec<String>,
    /// What it does.
    pub kind: AnswerKind,
}

/// What an answer does.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerKind {
    /// Posts alerts to Alertmanager.
    Notify(Notify),
    /// Tells pods.
    Annotate(Annotate),
    /// Takes evidence.
    Capture(Capture),
    /// Relieves pods.
    Relieve(Relieve),
}

/// How alerts are posted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// Labels added to each.
    pub labels: Labels,
}
