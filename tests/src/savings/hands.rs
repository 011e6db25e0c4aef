//! The controller's part, by its own code: a policy is validated, a price is decided from what the agents tell, and
//! lines have the form that pods get. What is not the controller's is how it comes there: no cluster is needed.

use super::process::Process;
use flyball_controller::{apply::PodLine, reconcile::profiles, validate};
use flyball_core::{
    bytes::Bytes,
    decide::{Inputs, RuntimeDecision, RuntimeFacts, RuntimeHistory, decide_runtime, runtime::Profile},
    evaluate::watermark::Level,
    policy::{Knobs, RuntimeAction, RuntimeAim, Setting},
    time::{Span, Timestamp},
};
use flyball_crds::FeedbackPolicySpec;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Instant, SystemTime},
};

/// Between two passes with a price.
pub const PASS: u64 = 15;
/// The range of the rates, in seconds. A policy's default is 5 minutes, for scrapes that are further apart.
const WINDOW: u64 = 60;

/// The runtime action of a policy, past validation.
pub fn action(lever: &Value) -> RuntimeAction {
    let spec: FeedbackPolicySpec = serde_json::from_value(json!({
        "mode": "Enforce",
        "sourceRef": {"name": "prometheus"},
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "bench"},
        "actions": [{
            "name": "bench",
            "runtime": lever,
            "verify": {"settle": "1m", "within": "10m", "expr": "latency <= 0.5"},
        }],
    }))
    .expect("a policy");
    let policy = validate::policy(&spec).unwrap_or_else(|errors| panic!("{errors:?}"));
    policy.runtime.into_iter().next().expect("the action")
}

/// The knobs of an action that has nothing to decide.
pub fn knobs(lever: &Value) -> Knobs {
    match action(lever).aim {
        RuntimeAim::Set(knobs) => knobs,
        other => panic!("{other:?} sets no knobs"),
    }
}

/// Writes lines, each with a higher generation than the one before.
#[derive(Default)]
pub struct Lines {
    generation: u64,
}

impl Lines {
    /// Gives these knobs to processes.
    pub fn write<'a>(&mut self, processes: impl IntoIterator<Item = &'a Process>, knobs: &Knobs) {
        self.generation += 1;
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("a time after 1970");
        let lease = Span::from_secs(3600);
        let line = PodLine {
            generation: self.generation,
            ttl: lease,
            expires: Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap_or(i64::MAX)) + lease,
            knobs: knobs.clone(),
            reclaim: 0,
            pressure: Level::Normal,
        };
        for process in processes {
            process.write(&line.to_string());
        }
    }
}

/// One process' page, and when it was read.
type Page = (Instant, BTreeMap<String, f64>);

/// A policy with a budget, over the pages of its processes.
pub struct Budget {
    action: RuntimeAction,
    pages: BTreeMap<String, Vec<Page>>,
    current: Setting,
    lines: Lines,
    /// What the last pass decided.
    pub said: String,
}

impl Budget {
    /// With this much headroom for all.
    pub fn new(headroom: Bytes) -> Self {
        Self {
            action: action(&json!({"container": "app", "budget": {"headroom": headroom.get().to_string()}})),
            pages: BTreeMap::new(),
            current: Setting::default(),
            lines: Lines::default(),
            said: String::new(),
        }
    }

    /// Another headroom, as somebody edits the policy.
    pub fn headroom(&mut self, headroom: Bytes) {
        if let RuntimeAim::Budget(budget) = &mut self.action.aim {
            budget.headroom = headroom;
        }
    }

    /// The headroom.
    pub fn has(&self) -> Bytes {
        match &self.action.aim {
            RuntimeAim::Budget(budget) => budget.headroom,
            _ => Bytes::ZERO,
        }
    }

    /// Reads the pages of all, as a scrape does.
    pub fn scrape<'a>(&mut self, processes: impl IntoIterator<Item = &'a Process>) {
        for process in processes {
            let now = Instant::now();
            let pages = self.pages.entry(process.name.clone()).or_default();
            pages.push((now, process.page()));
            pages.retain(|(at, _)| now.duration_since(*at).as_secs() <= WINDOW + PASS / 2);
        }
    }

    /// What is known of each process: rates over the window, and the newest values.
    pub fn profiles(&self) -> BTreeMap<String, Profile> {
        let by_pod = |of: &dyn Fn(&[Page]) -> Option<f64>| -> BTreeMap<String, f64> {
            let named = self.pages.iter();
            named
                .filter_map(|(name, pages)| Some((name.clone(), of(pages)?)))
                .collect()
        };
        let rate = |name: &str| {
            by_pod(&|pages| {
                let ((from, first), (to, last)) = (pages.first()?, pages.last()?);
                let seconds = to.duration_since(*from).as_secs_f64();
                (seconds > 0.0).then(|| Some((last.get(name)? - first.get(name)?) / seconds))?
            })
        };
        let now = |name: &str| by_pod(&|pages| pages.last()?.1.get(name).copied());
        profiles(&[
            rate("alloc_bytes_total"),
            rate("gc_cpu_seconds_total"),
            rate("gc_cycles_total"),
            now("heap_live_bytes"),
            now("gc_roots_bytes"),
            now("container_limit_bytes"),
            now("unmanaged_bytes"),
        ])
    }

    /// One pass: the price, and the lines where it moved.
    pub fn pass<'a>(&mut self, processes: impl IntoIterator<Item = &'a Process>) {
        let (definitions, rules, readings, signals, signal_definitions, usage, vetoes) = Default::default();
        let inputs = Inputs {
            definitions: &definitions,
            rules: &rules,
            readings: &readings,
            signals: &signals,
            verification: None,
            signal_definitions: &signal_definitions,
            usage: &usage,
            vetoes: &vetoes,
        };
        let facts = RuntimeFacts {
            current: self.current.clone(),
            pods: BTreeMap::new(),
            fleet: self.profiles(),
            history: RuntimeHistory::default(),
        };
        let actions = std::slice::from_ref(&self.action);
        match decide_runtime(actions, &inputs, &facts, Timestamp::from_millis(0)) {
            RuntimeDecision::Propose(proposal) => {
                self.said = proposal.arithmetic.join("; ");
                self.lines.write(processes, &proposal.to.knobs);
                self.current = proposal.to;
            }
            RuntimeDecision::Stay { reason } => self.said = reason,
        }
    }

    /// The knobs that all have.
    pub fn setting(&self) -> String {
        self.current.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knobs_are_those_of_a_policy() {
        let check = |lever: Value, expect: &str| assert_eq!(knobs(&lever).to_string(), expect);
        check(json!({"container": "app", "set": {"go": {"gogc": 200}}}), "gogc=200");
        check(
            json!({"container": "app", "setPoint": {"resident": "1230M"}, "gogc": {"min": 50, "max": 1000}}),
            "rss=1230000000 gogc-min=50 gogc-max=1000",
        );
    }

    #[test]
    fn without_an_answer_no_price_is_set() {
        let mut budget = Budget::new(Bytes::saturating(1 << 30));
        budget.pass([]);
        assert_eq!(budget.setting(), "boot");
        assert!(budget.said.contains("no price is set"), "{}", budget.said);
    }
}
