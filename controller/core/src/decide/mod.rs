//! What an action wants, before anything is checked.
//!
//! The order of one pass is that of the HorizontalPodAutoscaler (`reconcileAutoscaler`): scaled to
//! zero by hand, outside of the bounds, the law, stabilisation. Rates, cooldown and the bounds of an
//! ordinary proposal are the business of [`check`](crate::check). All arithmetic is that of decimals
//! and integers, so a few results differ from HPA's, which calculates in floats: 10 % more than 100
//! are 110 here and 111 there, 90 % less than 10 are 1 here and 0 there.

mod budget;
mod capture;
mod concerned;
mod fallback;
mod fit;
mod floor;
mod history;
mod latch;
mod metrics;
pub mod notify;
mod pass;
mod pods;
mod relief;
mod replicas;
mod rollout;
pub mod runtime;
mod setting;
mod spike;
mod stabilize;
mod weights;
mod zero;

pub use budget::node_prices;
pub use capture::{
    BeforeOf, CAPTURE_TRIES, CaptureDecision, CaptureFacts, CaptureHistory, CaptureMoment, CaptureOrder, CapturePod,
    decide_capture,
};
pub use concerned::concerned;
pub use fit::needs_memory;
pub(crate) use floor::{Limits, Lowest};
pub use history::{HISTORY_CAP, History, Latch, Recommendation, RolloutStart, ScaleEvent};
pub use latch::SIGNAL_MOVED;
pub(crate) use latch::moved_since;
pub(crate) use metrics::{Asked, NoNumber, asked};
pub use pods::{Pod, PodPhase, PodReady, PodUsage, Pods, RequestError, Requests};
pub use relief::{NodeRoom, ReliefContainer, ReliefPod, ReliefProposal, Suffering, names_nobody, relief, suffering};
pub use setting::{AgentFacts, RuntimeDecision, RuntimeFacts, RuntimeHistory, RuntimeProposal, decide_runtime};
pub(crate) use spike::lasts as spike_lasts;
pub use weights::{
    BackendHistory, Measurement, Move, RouteFacts, WeightDecision, WeightHistory, WeightProposal, decide_weights,
};
pub(crate) use weights::{LEAST_FAILED, ReadError, by_backend};

use crate::{
    evaluate::{Alert, RuleState},
    policy::{Replicas, ReplicasAction, ResourceOf, Rule, Signal},
    signal::{Finite, Reading},
    time::Timestamp,
};
use std::{collections::BTreeMap, fmt};

/// How many alerts a proposal keeps as evidence.
pub const EVIDENCE_CAP: usize = 10;

/// Which way a change goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// More.
    Up,
    /// Less.
    Down,
}

impl Direction {
    /// The way from one number to another; `None` where they are equal.
    pub fn between(from: Replicas, to: Replicas) -> Option<Self> {
        match to.cmp(&from) {
            std::cmp::Ordering::Greater => Some(Self::Up),
            std::cmp::Ordering::Less => Some(Self::Down),
            std::cmp::Ordering::Equal => None,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// What is known of the target.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Its `spec.replicas` as last read.
    pub current: Replicas,
    /// Its `status.replicas`: the pods that its controller counts. `None`: not known.
    pub observed: Option<Replicas>,
    /// Its pods, by ownerReferences. `None`: not known.
    pub pods: Option<Pods>,
    /// Why a rollout is known to be under way, if it is.
    pub rollout: Option<String>,
    /// What is remembered.
    pub history: History,
}

/// What was observed and evaluated in this pass.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The policy's rules, by name.
    pub definitions: &'a BTreeMap<String, Rule>,
    /// Their states, by name.
    pub rules: &'a BTreeMap<String, RuleState>,
    /// The readings that they were evaluated on, by name of the rule.
    pub readings: &'a BTreeMap<String, Reading>,
    /// The readings of signals, by name.
    pub signals: &'a BTreeMap<String, Reading>,
    /// The reading of the left side of the action's verification, if it has one.
    pub verification: Option<&'a Reading>,
    /// The policy's signals, by name: what each must answer, and what is done where it does not.
    pub signal_definitions: &'a BTreeMap<String, Signal>,
    /// What metrics.k8s.io tells of the target's pods, by resource; empty where no action asks.
    pub usage: &'a BTreeMap<ResourceOf, Usage>,
    /// The readings of the action's vetoes, by name.
    pub vetoes: &'a BTreeMap<String, Reading>,
}

/// The usage of a resource: by pod, or why it is not known.
pub type Usage = Result<BTreeMap<String, PodUsage>, String>;

impl Inputs<'_> {
    /// The demand as it is now; `None` where none is configured or its reading is not one fresh
    /// number.
    pub fn demand(&self, action: &ReplicasAction) -> Option<Finite> {
        let demand = action.verification.as_ref()?.demand.as_ref()?;
        self.signals.get(&demand.signal)?.number().ok()
    }
}

/// What an action wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// The action's name.
    pub action: String,
    /// The number of replicas on which it was decided.
    pub from: Replicas,
    /// The number wanted. Never `from`.
    pub to: Replicas,
    /// Which way that is.
    pub direction: Direction,
    /// Why, in one sentence.
    pub reason: String,
    /// The calculation, in lines that a human can redo.
    pub arithmetic: Vec<String>,
    /// The alerts that led to it, the worst [`EVIDENCE_CAP`] of them.
    pub alerts: Vec<Alert>,
    /// The demand at this time.
    pub demand: Option<Finite>,
}

/// What comes of one pass of one action.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// A change is wanted.
    Propose(Proposal),
    /// No change is wanted.
    Stay {
        /// Why, in one sentence.
        reason: String,
        /// The calculation, as far as it went.
        arithmetic: Vec<String>,
    },
}

/// What a law asks for. `reason` and `arithmetic` go into the [`Decision`].
struct Wish {
    desired: Replicas,
    reason: String,
    arithmetic: Vec<String>,
    alerts: Vec<Alert>,
    /// Whether all that it rests on is known. Where it isn't, `desired` is not less than the present
    /// number, and nothing else may be taken away on the strength of it either.
    may_decrease: bool,
    /// Whether any of it was measured, and not substituted.
    measured: bool,
}

impl Wish {
    /// A wish that no law made.
    fn bare(desired: Replicas, reason: String) -> Self {
        Self {
            desired,
            reason,
            arithmetic: Vec::new(),
            alerts: Vec::new(),
            may_decrease: false,
            measured: false,
        }
    }
}

/// What `action` wants, and its history with this pass in it: the new recommendation is appended,
/// what has no influence any more is dropped, and a latch is lifted once it expires or demand or signal
/// move.
///
/// A decrease is proposed only once a whole window was observed by this process, because stored
/// history is written on transitions only: the stabilisation window, for the step law also its
/// `after`, for the last replica the cooldown of [`Zero`](crate::policy::Zero). The exception is a
/// number above `max`, which goes down to `max` at once, as in HPA. Neither during a spike nor during a
/// rollout is anything taken away, not even that.
pub fn decide(action: &ReplicasAction, inputs: &Inputs<'_>, facts: &Facts, now: Timestamp) -> (Decision, History) {
    let mut history = history::pruned(&facts.history, action, inputs, now);
    rollout::note(&mut history, facts, now);
    spike::note(&mut history, action, facts, None, now);
    zero::note(&mut history, action, inputs, facts.current, now);
    let limits = Limits::of(action, now);
    let pass = pass::Pass {
        action,
        inputs,
        facts,
        limits,
        now,
    };
    let decision = pass.decide(&mut history);
    (decision, history)
}
