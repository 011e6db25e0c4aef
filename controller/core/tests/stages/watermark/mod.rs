//! Memory watermarks: levels over time.

mod alerts;
mod growth;
mod laws;
mod levels;
mod observe;
mod settings;

use crate::build::at;
use flyball_core::evaluate::watermark::{
    Level, Observed, Options, Ratio, Subject, Transition, WatermarkState, Watermarks, evaluate,
};

pub fn container(pod: &str) -> Subject {
    Subject::Container {
        pod: pod.to_owned(),
        container: "app".to_owned(),
    }
}

/// A ratio that was sampled at this second, from a reading that was fresh.
pub fn ratio(second: i64, value: f64) -> Ratio {
    Ratio {
        value,
        sampled_at: at(second),
        may_lower: true,
    }
}

pub fn observed(subjects: &[(&str, Result<Ratio, String>)]) -> Observed {
    Observed {
        subjects: subjects
            .iter()
            .map(|(pod, ratio)| (container(pod), ratio.clone()))
            .collect(),
        ..Observed::default()
    }
}

/// Watermarks over time, one pass after the other.
pub struct Run {
    pub watermarks: Watermarks,
    pub state: WatermarkState,
    pub log: Vec<(i64, Transition)>,
}

impl Run {
    pub fn new(options: Options) -> Self {
        Self {
            watermarks: Watermarks::new(options).unwrap(),
            state: WatermarkState::default(),
            log: Vec::new(),
        }
    }

    pub fn pass(&mut self, second: i64, observed: &Observed) -> Vec<Transition> {
        let (state, transitions) = evaluate(&self.watermarks, observed, &self.state, at(second));
        self.state = state;
        self.log
            .extend(transitions.iter().map(|transition| (second, transition.clone())));
        transitions
    }

    /// One subject, sampled when it is looked at.
    pub fn one(&mut self, second: i64, value: f64) -> Vec<Transition> {
        self.pass(second, &observed(&[("a", Ok(ratio(second, value)))]))
    }

    /// The level of the one subject.
    pub fn level(&self) -> Level {
        self.state
            .subjects
            .get(&container("a"))
            .map(|state| state.level)
            .unwrap_or_default()
    }

    /// When which level was taken on, as `30:warning 90:normal`.
    pub fn story(&self) -> String {
        let words: Vec<String> = self
            .log
            .iter()
            .map(|(second, t)| format!("{second}:{}", t.to))
            .collect();
        words.join(" ")
    }
}

/// Neither adapted nor foreseen.
pub fn plain() -> Options {
    Options {
        adapt: None,
        foresee: None,
        ..Options::default()
    }
}
