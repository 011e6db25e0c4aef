//! From a reading to a ratio of each subject.

use crate::{
    signal::{Finite, Labels, Quality, Reading},
    time::Timestamp,
};
use std::{collections::BTreeMap, fmt};

/// Whose memory it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A container, by the labels `pod` and `container`.
    Container {
        /// The pod's name.
        pod: String,
        /// The container's name.
        container: String,
    },
    /// A node, by the label `node`.
    Node(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container { pod, container } => write!(f, "{pod}/{container}"),
            Self::Node(node) => f.write_str(node),
        }
    }
}

/// By what a reading tells its subjects apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// By `pod` and `container`.
    Container,
    /// By `node`.
    Node,
}

/// The ratio of a subject.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// Memory in use as a part of the limit, 0 or above.
    pub value: f64,
    /// When it was sampled: not when it was asked for. The same sample counts once, however often it is read.
    pub sampled_at: Timestamp,
    /// Whether it may lower a level. What comes of a reading that is not fresh as a whole only raises.
    pub may_lower: bool,
}

/// What a pass observed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The ratios, or why one is not usable.
    pub subjects: BTreeMap<Subject, Result<Ratio, String>>,
    /// Why the reading as a whole tells nothing of subjects that are not in it.
    pub absent: Option<String>,
    /// How many series name no subject.
    pub unnamed: usize,
}

/// Reads the ratio of each subject; of several series of one the greatest counts. `sampled_at` tells when a series
/// was sampled: where that is not known, the reading's time less the age of its newest sample, and then a `hold`
/// shorter than two scrapes proves nothing.
pub fn observe(reading: &Reading, by: By, sampled_at: impl Fn(&Labels) -> Timestamp) -> Observed {
    let mut observed = Observed::default();
    let may_lower = match reading.quality() {
        Quality::Fresh => true,
        // The others' numbers are good enough for a warning: one NaN must not silence a node.
        Quality::NotFinite => false,
        quality => {
            observed.absent = Some(format!("the reading is {quality}: {}", reading.detail()));
            return observed;
        }
    };
    for sample in reading.samples() {
        let Some(subject) = subject(&sample.labels, by) else {
            observed.unnamed += 1;
            continue;
        };
        let ratio = Finite::new(sample.value)
            .filter(|value| value.get() >= 0.0)
            .map(|value| Ratio {
                value: value.get(),
                sampled_at: sampled_at(&sample.labels),
                may_lower,
            })
            .ok_or_else(|| format!("its ratio is {}", sample.value));
        match observed.subjects.get(&subject) {
            Some(Ok(former)) if ratio.as_ref().map_or(true, |ratio| ratio.value <= former.value) => {}
            _ => {
                observed.subjects.insert(subject, ratio);
            }
        }
    }
    observed
}

fn subject(labels: &Labels, by: By) -> Option<Subject> {
    let label = |name: &str| labels.get(name).filter(|value| !value.is_empty()).cloned();
    match by {
        By::Container => Some(Subject::Container {
            pod: label("pod")?,
            container: label("container")?,
        }),
        By::Node => label("node").map(Subject::Node),
    }
}
