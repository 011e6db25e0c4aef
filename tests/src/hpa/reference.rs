//! The arithmetic of a `HorizontalPodAutoscaler`, written from its documentation, and where Flyball departs from it.
//!
//! With no departure it says what the real one asks for, and a test holds it to that. With Flyball's
//! departures it says what Flyball asks for. So a difference between the two is explained by a departure only where the
//! departure leads to the very number. It knows what the cases of the comparison have: no behavior, no pods that
//! start, tolerances of a tenth.
//!
//! Source: "Horizontal Pod Autoscaling, algorithm details" of the Kubernetes documentation.

use super::{Fleet, Pod};

/// A metric: its values and its target. Values and targets are in thousandths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metric {
    /// A number of the whole workload that is to be near the target: type `Value`.
    Level {
        /// The number.
        value: u64,
        /// Its target.
        target: u64,
    },
    /// A number of the whole workload that is to be near the target for each replica: type `AverageValue`.
    Total {
        /// The number.
        value: u64,
        /// The target for each replica.
        target: u64,
    },
    /// A custom metric of each pod, whose mean is to be near the target: type `Pods`.
    Pods {
        /// The metric's name.
        name: &'static str,
        /// The target of the mean.
        target: u64,
    },
    /// What the pods use of a resource in percent of what they request: type `Resource`.
    Utilization {
        /// The resource's name.
        resource: &'static str,
        /// The target, in percent.
        percent: u64,
    },
}

/// Where Flyball departs from the autoscaler. The names are those of docs/hpa-differences.md.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Departures {
    /// Ratios are exact, not floats.
    pub exact: bool,
    /// A level or a mean above its target never takes away, one below never adds.
    pub never_against: bool,
    /// Of a level below its target nothing is concluded while no pod is ready.
    pub no_pod_ready: bool,
}

impl Departures {
    /// All of Flyball's.
    pub const ALL: Self = Self {
        exact: true,
        never_against: true,
        no_pod_ready: true,
    };

    /// Each alone, by its name.
    pub const EACH: [(&str, Self); 3] = [
        ("floats", Self { exact: true, ..NONE }),
        (
            "never against the metric",
            Self {
                never_against: true,
                ..NONE
            },
        ),
        (
            "no pod is ready",
            Self {
                no_pod_ready: true,
                ..NONE
            },
        ),
    ];
}

const NONE: Departures = Departures {
    exact: false,
    never_against: false,
    no_pod_ready: false,
};

/// How many replicas are asked for, between 1 and `max`.
pub fn desired(fleet: &Fleet, metrics: &[Metric], max: i32, departures: Departures) -> i32 {
    let current = u64::from(fleet.replicas.unsigned_abs());
    let proposals: Vec<Option<u64>> = metrics
        .iter()
        .map(|metric| proposal(fleet, metric, departures))
        .collect();
    let largest = proposals.iter().flatten().max().copied();
    let invalid = proposals.iter().any(Option::is_none);
    let wanted = match largest {
        None => current,
        Some(wanted) if invalid && wanted < current => current,
        Some(wanted) => wanted,
    };
    i32::try_from(wanted).unwrap_or(i32::MAX).clamp(1, max)
}

/// What one metric asks for. `None`: it can't tell.
fn proposal(fleet: &Fleet, metric: &Metric, departures: Departures) -> Option<u64> {
    let current = u64::from(fleet.replicas.unsigned_abs());
    let observed = u64::from(fleet.observed.unsigned_abs());
    match *metric {
        Metric::Level { value, target } => {
            let ratio = Ratio { value, target };
            if ratio.tolerated() {
                return Some(current);
            }
            let ready = fleet.pods.iter().filter(|pod| is_ready(pod)).count() as u64;
            if departures.no_pod_ready && ready == 0 {
                return Some(current);
            }
            Some(ratio.of(ready, current, departures))
        }
        Metric::Total { value, target } => {
            let each = Ratio {
                value,
                target: target * observed,
            };
            if each.tolerated() {
                return Some(observed);
            }
            Some(Ratio { value, target }.of(
                1,
                0,
                Departures {
                    never_against: false,
                    ..departures
                },
            ))
        }
        Metric::Pods { name, target } => {
            let of = |pod: &Pod| Measured {
                used: pod.custom.get(name).map(|text| amount(text)),
                request: None,
            };
            by_pod(fleet, &of, target, departures, false)
        }
        Metric::Utilization { resource, percent } => {
            let of = |pod: &Pod| Measured {
                used: pod
                    .used
                    .as_ref()
                    .and_then(|used| used.get("main")?.get(resource))
                    .map(|text| amount(text)),
                request: pod
                    .requests
                    .get("main")
                    .and_then(|all| all.get(resource))
                    .map(|text| amount(text)),
            };
            by_pod(fleet, &of, percent, departures, resource == "cpu")
        }
    }
}

/// What is known of a pod.
#[derive(Clone, Copy)]
struct Measured {
    used: Option<u64>,
    /// `None`: the metric is not a share of a request.
    request: Option<u64>,
}

/// By the pods that count: first those that are ready and measured alone, then with what the others may use.
fn by_pod(fleet: &Fleet, of: &dyn Fn(&Pod) -> Measured, target: u64, departures: Departures, cpu: bool) -> Option<u64> {
    let current = u64::from(fleet.replicas.unsigned_abs());
    let (mut ready, mut unready, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for pod in fleet.pods.iter().filter(|pod| pod.phase != "Failed") {
        let measured = of(pod);
        if pod.phase == "Pending" {
            unready.push(measured);
        } else if measured.used.is_none() {
            missing.push(measured);
        } else if cpu && !is_ready(pod) {
            unready.push(measured);
        } else {
            ready.push(measured);
        }
    }
    let first = ratio_of(&ready, target)?;
    let (above, below) = (first.value > first.target, first.value < first.target);
    let with_unready = above && !unready.is_empty();
    if missing.is_empty() && !with_unready {
        if first.tolerated() {
            return Some(current);
        }
        return Some(first.of(ready.len() as u64, current, departures));
    }
    let assumed = |pod: &Measured, used: Option<u64>| Measured { used, ..*pod };
    let mut all = ready;
    for pod in &missing {
        let full = match pod.request {
            Some(request) => request * target.max(100) / 100,
            None => target,
        };
        let used = if below {
            full
        } else if above {
            0
        } else {
            continue;
        };
        all.push(assumed(pod, Some(used)));
    }
    if with_unready {
        all.extend(unready.iter().map(|pod| assumed(pod, Some(0))));
    }
    let second = ratio_of(&all, target)?;
    let flipped = (below && second.value > second.target) || (above && second.value < second.target);
    if second.tolerated() || flipped {
        return Some(current);
    }
    // Here the autoscaler itself never goes against the metric.
    let always = Departures {
        never_against: true,
        ..departures
    };
    Some(second.of(all.len() as u64, current, always))
}

/// The mean against the target: whole thousandths of values, whole percent of requests.
fn ratio_of(pods: &[Measured], target: u64) -> Option<Ratio> {
    let used: u64 = pods.iter().filter_map(|pod| pod.used).sum();
    let requested: u64 = pods.iter().filter_map(|pod| pod.request).sum();
    let percent = (used * 100).checked_div(requested);
    let mean = percent.or_else(|| used.checked_div(pods.len() as u64))?;
    Some(Ratio { value: mean, target })
}

#[derive(Clone, Copy)]
struct Ratio {
    value: u64,
    target: u64,
}

impl Ratio {
    /// From 0.9 to 1.1, both included.
    fn tolerated(self) -> bool {
        self.value * 10 >= self.target * 9 && self.value * 10 <= self.target * 11
    }

    /// So many times the ratio, rounded up.
    fn of(self, pods: u64, current: u64, departures: Departures) -> u64 {
        let wanted = if departures.exact {
            (self.value * pods).div_ceil(self.target)
        } else {
            self.in_floats(pods)
        };
        let against = (self.value > self.target && wanted < current) || (self.value < self.target && wanted > current);
        if departures.never_against && against {
            current
        } else {
            wanted
        }
    }

    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the imprecision is what it is about"
    )]
    fn in_floats(self, pods: u64) -> u64 {
        (self.value as f64 / self.target as f64 * pods as f64).ceil() as u64
    }
}

fn is_ready(pod: &Pod) -> bool {
    pod.phase == "Running" && pod.ready.is_some_and(|(ready, _)| ready)
}

/// `250m` and `64Mi`, the forms that the cases use.
fn amount(text: &str) -> u64 {
    let (digits, factor) = match (text.strip_suffix('m'), text.strip_suffix("Mi")) {
        (Some(digits), _) => (digits, 1),
        (_, Some(digits)) => (digits, 1000 << 20),
        _ => (text, 1000),
    };
    digits
        .parse::<u64>()
        .unwrap_or_else(|error| panic!("{text} is no amount: {error}"))
        * factor
}
