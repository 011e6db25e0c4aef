//! What one decision costs, and ten thousand in a row. It prints and judges nothing.

use flyball_core::{
    decide::{Decision, Facts, History, Inputs, Pod, PodPhase, PodReady, PodUsage, Pods, Usage, decide},
    policy::{
        Behavior, Bounds, Formula, Law, Measure, Metric, Metrics, Number, OnError, PodNumbers, PodTarget, Query,
        Replicas, ReplicasAction, Resource, ResourceOf, SelectPolicy, Shape, Signal, TotalTarget,
    },
    signal::{Finite, Labels, Reading, Sample},
    time::{Span, Timestamp},
};
use std::{
    collections::BTreeMap,
    hint::black_box,
    time::{Duration, Instant},
};

/// The passes that are timed one by one.
const PASSES: usize = 10_000;

fn main() {
    println!(
        "{:<44} {:>10} {:>10} {:>10} {:>14}",
        "one decision", "median", "p99", "worst", "10,000 take"
    );
    run("one total", vec![total("rps", signal("rps"))], 0);
    run(
        "three totals",
        ["rps", "queue", "busy"].map(|name| total(name, signal(name))).into(),
        0,
    );
    let text = "max(rps / 100, queue / 30) + (busy > 0.8 ? 1 : 0)";
    if let Some(formula) = formula(text) {
        run(
            "one formula over three signals",
            vec![total("all", Number::Formula(formula))],
            0,
        );
    }
    for pods in [10, 100, 1000] {
        run(&format!("cpu utilisation of {pods} pods"), vec![utilization()], pods);
    }
    run(
        "cpu utilisation of 100 pods and two totals",
        {
            vec![
                utilization(),
                total("rps", signal("rps")),
                total("queue", signal("queue")),
            ]
        },
        100,
    );
}

fn run(name: &str, list: Vec<Metric>, pods: usize) {
    let action = action(list);
    let world = World::of(pods);
    let mut facts = world.facts(pods);
    let mut times = Vec::with_capacity(PASSES);
    let mut proposals = 0_usize;
    for pass in 0_i32..i32::try_from(PASSES).unwrap_or(i32::MAX) {
        let now = Timestamp::from_millis(i64::from(pass) * 15_000);
        let signals = signals(now, f64::from(pass));
        let inputs = world.inputs(&signals);
        let start = Instant::now();
        let (decision, history) = black_box(decide(&action, black_box(&inputs), &facts, now));
        times.push(start.elapsed());
        if let Decision::Propose(proposal) = decision {
            facts.current = proposal.to;
            proposals += 1;
        }
        facts.history = history;
    }
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 1000).copied().unwrap_or_default();
    let decided: Duration = times.iter().sum();
    let (median, p99, worst) = (at(500), at(990), times.last().copied().unwrap_or_default());
    println!("{name:<44} {median:>10.1?} {p99:>10.1?} {worst:>10.1?} {decided:>14.1?}   {proposals} proposals");
}

/// What is observed, apart from signals.
struct World {
    pods: Pods,
    usage: BTreeMap<ResourceOf, Usage>,
    definitions: BTreeMap<String, Signal>,
}

impl World {
    fn of(count: usize) -> Self {
        let pods: Vec<Pod> = (0..count).map(pod).collect();
        let usage = |pod: &Pod| {
            let usage = PodUsage {
                milli: 612,
                // The passes go on for longer, and an old usage would be none.
                at: Timestamp::from_millis(i64::MAX),
                window: Span::from_secs(30),
            };
            (pod.name.clone(), usage)
        };
        let usage = Ok(pods.iter().map(usage).collect());
        let definitions = ["rps", "queue", "busy"].map(|name| (name.to_owned(), definition(name)));
        Self {
            pods: Pods(pods),
            usage: BTreeMap::from([(cpu(), usage)]),
            definitions: BTreeMap::from(definitions),
        }
    }

    fn facts(&self, current: usize) -> Facts {
        let current = Replicas::nearest(i64::try_from(current.max(10)).unwrap_or(i64::MAX));
        Facts {
            current,
            observed: Some(current),
            pods: Some(self.pods.clone()),
            rollout: None,
            history: History::new(Timestamp::from_millis(0)),
        }
    }

    fn inputs<'a>(&'a self, signals: &'a BTreeMap<String, Reading>) -> Inputs<'a> {
        static NONE: BTreeMap<String, Reading> = BTreeMap::new();
        static RULES: BTreeMap<String, flyball_core::policy::Rule> = BTreeMap::new();
        static STATES: BTreeMap<String, flyball_core::evaluate::RuleState> = BTreeMap::new();
        Inputs {
            definitions: &RULES,
            rules: &STATES,
            readings: &NONE,
            signals,
            verification: None,
            signal_definitions: &self.definitions,
            usage: &self.usage,
            vetoes: &NONE,
        }
    }
}

/// Numbers that go up and down over an hour.
fn signals(now: Timestamp, pass: f64) -> BTreeMap<String, Reading> {
    let wave = (pass / 40.0).sin();
    [
        ("rps", 1234.567 + 600.0 * wave),
        ("queue", 321.1 + 200.0 * wave),
        ("busy", 0.7 + 0.2 * wave),
    ]
    .into_iter()
    .map(|(name, value)| {
        let sample = Sample {
            labels: Labels::new(),
            value,
        };
        let reading = Reading::answered(now, vec![sample], &[], Some(Span::from_secs(5)), Span::from_secs(60));
        (name.to_owned(), reading)
    })
    .collect()
}

fn definition(name: &str) -> Signal {
    Signal {
        name: name.to_owned(),
        query: Query {
            text: name.to_owned(),
            age: None,
            longest_range: Span::from_secs(300),
        },
        shape: Shape::Number,
        max_age: Span::from_secs(60),
        on_error: OnError::HoldDown,
    }
}

fn pod(number: usize) -> Pod {
    let requests = BTreeMap::from([(Resource::Cpu, 500), (Resource::Memory, 256 << 20)]);
    Pod {
        name: format!("web-7c9d5b6f4-{number:05}"),
        phase: PodPhase::Running,
        terminating: false,
        ready: Some(PodReady {
            ready: true,
            since: Timestamp::from_millis(-3_000_000),
        }),
        started_at: Some(Timestamp::from_millis(-3_600_000)),
        requests: BTreeMap::from([("app".to_owned(), requests.clone()), ("sidecar".to_owned(), requests)]),
    }
}

fn cpu() -> ResourceOf {
    ResourceOf {
        resource: Resource::Cpu,
        container: None,
    }
}

fn signal(name: &str) -> Number {
    Number::Signal(name.to_owned())
}

fn formula(text: &str) -> Option<Formula> {
    let known = ["rps", "queue", "busy"].map(str::to_owned).into();
    match Formula::parse(text, &known) {
        Ok(formula) => Some(formula),
        Err(error) => {
            println!("{text} {error}");
            None
        }
    }
}

fn total(name: &str, of: Number) -> Metric {
    Metric {
        name: name.to_owned(),
        measure: Measure::Total {
            of,
            target: TotalTarget::AverageValue(finite(7.5)),
        },
    }
}

fn utilization() -> Metric {
    Metric {
        name: "cpu".to_owned(),
        measure: Measure::Pods {
            of: PodNumbers::Usage(cpu()),
            target: PodTarget::Utilization { percent: 50, of: cpu() },
        },
    }
}

/// With HPA's windows.
fn action(list: Vec<Metric>) -> ReplicasAction {
    let behavior = |stabilization: u64| Behavior {
        limits: Vec::new(),
        select: SelectPolicy::Max,
        stabilization: Span::from_secs(stabilization),
        cooldown: Span::ZERO,
    };
    ReplicasAction {
        name: "more-replicas".to_owned(),
        when: Vec::new(),
        bounds: Bounds {
            min: Replicas::nearest(1),
            max: Replicas::nearest(1000),
        },
        law: Law::Metrics(Metrics {
            list,
            tolerance_up: finite(0.1),
            tolerance_down: finite(0.1),
        }),
        up: behavior(0),
        down: behavior(300),
        verification: None,
        zero: None,
        warm_up: Span::ZERO,
        spike: None,
        schedules: Vec::new(),
        fallback: None,
        inhibit: Vec::new(),
        hold_down_while: Vec::new(),
        approval: false,
    }
}

/// Every number here is finite.
fn finite(value: f64) -> Finite {
    Finite::new(value).unwrap_or_else(|| std::process::exit(1))
}
