//! What a weights action wants, before anything is checked.
//!
//! The order of one pass: what is remembered, ejection, the law, the ramp of what comes back, whole numbers,
//! hold. Every move takes from one what another gets, so law 9 stands for each: on a reading that is not
//! fresh nothing moves, and a backend whose own value is not known loses nothing.

mod aimd;
mod capacity;
mod eject;
mod failover;
mod onset;
mod read;
mod shape;
mod step;

pub use capacity::Measurement;
pub(crate) use onset::LEAST_FAILED;
pub(crate) use read::{ReadError, by_backend};

use super::Inputs;
use crate::{
    evaluate::Alert,
    policy::{WeightLaw, Weights, WeightsAction},
    signal::Reading,
    time::Timestamp,
};
use eject::Standing;
use read::Told;
use std::collections::BTreeMap;

/// What is known of the routes and of the traffic in this pass.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteFacts {
    /// The weights of the managed backends as last read.
    pub current: Weights,
    /// The sum of the weights of the other backends in the list. While it is not zero the sum of the managed
    /// ones stays as it is, or those would get another share.
    pub unmanaged: u64,
    /// The names of the other backends in the list: a reading may tell of them.
    pub others: Vec<String>,
    /// The sum that the weights must have where the kind fixes it (Istio: 100).
    pub fixed_total: Option<u32>,
    /// Requests per second by backend, as the proxy tells.
    pub requests: Reading,
    /// Failed requests per second by backend, as the proxy tells.
    pub errors: Reading,
    /// Requests per second that reach no backend, as the proxy tells; `None` where it does not.
    pub unserved: Option<Reading>,
    /// Whether a backend has a ready endpoint; one that is missing is not known. Only asked for backends that are
    /// out, and for all while requests reach nobody.
    pub ready: BTreeMap<String, bool>,
    /// What is remembered.
    pub history: WeightHistory,
}

/// What is remembered of a weights action from pass to pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WeightHistory {
    /// Since when this action has been observed without a break.
    pub observed_since: Timestamp,
    /// When the last change of ours was written.
    pub moved_at: Option<Timestamp>,
    /// The last weights whose effect was verified, or the ones found at adoption.
    pub verified: Option<Weights>,
    /// What is remembered of each backend.
    pub backends: BTreeMap<String, BackendHistory>,
}

/// What is remembered of a backend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackendHistory {
    /// Its smoothed capacity, in requests per second.
    pub capacity: Option<f64>,
    /// When its signals were last all known.
    pub known_at: Option<Timestamp>,
    /// When they were known for the first time.
    pub appeared_at: Option<Timestamp>,
    /// Since when it has looked bad (failover), on fresh data.
    pub bad_since: Option<Timestamp>,
    /// When it last looked bad, or had no ready endpoints, while it was out (failover).
    pub bad_at: Option<Timestamp>,
    /// Since when it has had ready endpoints again while it was out.
    pub ready_since: Option<Timestamp>,
    /// Since when it is out; a weight of zero that nobody decided is no ejection. It is set by the pass that
    /// proposes it: a later pass that finds weight there, and no change of ours since, forgets it.
    pub out_since: Option<Timestamp>,
    /// How many times it was taken out in a row.
    pub ejections: u32,
    /// Since when it has been coming back. Beside `out_since` it counts for nothing, until that is carried out.
    pub returning_since: Option<Timestamp>,
    /// When it had come back completely, as long as `ejections` is remembered.
    pub returned_at: Option<Timestamp>,
    /// When an alert last named it (step).
    pub named_at: Option<Timestamp>,
    /// The last measurement in which it did not fail and was as busy as before (capacity).
    pub well: Option<Measurement>,
    /// The first one since then in which it did, or was busier (capacity).
    pub worse: Option<Measurement>,
}

/// Why the weights move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// As the law wants.
    Law,
    /// A backend is taken out at once: step cap and floor do not count, and it supersedes what is being verified.
    Ejection,
    /// A backend comes back slowly.
    Return,
    /// Somebody put the weights back to their base, and the last verified ones are written again.
    Reapply,
}

/// The weights that an action wants.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightProposal {
    /// The action's name.
    pub action: String,
    /// The weights on which it was decided.
    pub from: Weights,
    /// The weights wanted. Never `from`, never all zero.
    pub to: Weights,
    /// Why they move.
    pub why: Move,
    /// Why, in one sentence.
    pub reason: String,
    /// The calculation, in lines that a human can redo.
    pub arithmetic: Vec<String>,
    /// The alerts that led to it, the worst [`super::EVIDENCE_CAP`] of them.
    pub alerts: Vec<Alert>,
}

/// What comes of one pass of one weights action.
#[derive(Clone, Debug, PartialEq)]
pub enum WeightDecision {
    /// A change is wanted.
    Propose(WeightProposal),
    /// No change is wanted.
    Stay {
        /// Why, in one sentence.
        reason: String,
        /// The calculation, as far as it went.
        arithmetic: Vec<String>,
    },
}

/// The most lines of a calculation.
const LINES_CAP: usize = 16;

/// What a pass works on.
struct Pass<'a> {
    action: &'a WeightsAction,
    inputs: &'a Inputs<'a>,
    facts: &'a RouteFacts,
    now: Timestamp,
}

/// Why nothing is proposed.
struct Held {
    reason: String,
    arithmetic: Vec<String>,
}

impl From<String> for Held {
    fn from(reason: String) -> Self {
        Self {
            reason,
            arithmetic: Vec::new(),
        }
    }
}

/// How far a backend that the law could not read may move.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Pin {
    /// As far as the limits let it.
    Free,
    /// It may gain, and loses nothing.
    NotLess,
    /// Not at all.
    Still,
}

/// What a law wants; each list goes with the action's backends.
struct Wish {
    /// The shares wanted now, which sum to 1; 0 for one that is out.
    shares: Vec<f64>,
    /// Where they are heading, for the dead band; most laws go there at once.
    goals: Vec<f64>,
    pins: Vec<Pin>,
    /// Whether floor, step cap and dead band count.
    limited: bool,
    /// Whether the step cap does, where the others do.
    capped: bool,
    reason: String,
    arithmetic: Vec<String>,
    alerts: Vec<Alert>,
}

/// What a proposal is made of, past the law.
struct Draft {
    to: Vec<i64>,
    why: Move,
    reason: String,
    arithmetic: Vec<String>,
    alerts: Vec<Alert>,
}

impl Pass<'_> {
    fn count(&self) -> usize {
        self.action.backends.len()
    }

    fn name(&self, index: usize) -> &str {
        self.action
            .backends
            .get(index)
            .map_or("", |backend| backend.name.as_str())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.action.backends.iter().map(|backend| backend.name.as_str())
    }

    /// The weight of a backend as last read.
    fn weight(&self, index: usize) -> u32 {
        self.facts.current.of(self.name(index)).get()
    }

    /// The share of a backend as last read.
    fn share(&self, index: usize) -> f64 {
        self.facts.current.share(self.name(index)).unwrap_or(0.0)
    }

    /// The shares of the base weights among those for which `of` holds; equal ones where all of these are zero.
    fn base_shares(&self, of: impl Fn(usize) -> bool) -> Vec<f64> {
        let weights = self.action.backends.iter().enumerate();
        let weights = weights.map(|(index, backend)| if of(index) { f64::from(backend.base.get()) } else { 0.0 });
        let weights: Vec<f64> = weights.collect();
        normalised(&weights)
            .or_else(|| {
                let equal: Vec<f64> = (0..self.count()).map(|index| f64::from(u8::from(of(index)))).collect();
                normalised(&equal)
            })
            .unwrap_or(weights)
    }

    fn decide(&self, history: &mut WeightHistory) -> Result<WeightProposal, Held> {
        eject::note(self, history);
        if self.facts.current.total() == 0 {
            return Ok(self.to_base());
        }
        let told = read::told(self).map_err(|error| Held::from(format!("{error}; nothing is moved")))?;
        match &self.action.law {
            WeightLaw::Failover(law) => {
                let (draft, marks) = failover::draft(self, law, &told, history)?;
                if draft.why != Move::Ejection {
                    self.not_held(history, &draft.arithmetic)?;
                }
                failover::mark(self, &marks, history);
                Ok(self.proposal(draft))
            }
            law => {
                let measured = match law {
                    WeightLaw::Capacity(law) => capacity::note(self, law, &told, history),
                    WeightLaw::Aimd(_) => aimd::note(self, &told, history),
                    WeightLaw::Step(_) | WeightLaw::Failover(_) => Vec::new(),
                };
                if let Some(draft) = eject::eject(self, &told, history)? {
                    return Ok(self.proposal(draft));
                }
                let standings = eject::standings(self, &told, history);
                let wish = match law {
                    WeightLaw::Capacity(_) => capacity::wish(self, &measured, &standings, history),
                    WeightLaw::Aimd(law) => aimd::wish(self, law, &told, &standings),
                    WeightLaw::Step(law) => step::wish(self, law, &standings, history),
                    WeightLaw::Failover(_) => Err(Held::from(String::new())),
                }?;
                let draft = self.shaped(wish, &standings, history)?;
                self.not_held(history, &draft.arithmetic)?;
                eject::begin(self, &standings, &draft, history);
                Ok(self.proposal(draft))
            }
        }
    }

    /// What a law wants, with the ramp of what comes back, in whole numbers. `Err` where that is what there is.
    fn shaped(&self, mut wish: Wish, standings: &[Standing], history: &mut WeightHistory) -> Result<Draft, Held> {
        let standings = eject::arrived(self, &wish, standings, history);
        wish.shares = eject::ramped(self, &wish.shares, &standings);
        wish.goals = eject::ramped(self, &wish.goals, &standings);
        if wish.limited && shape::in_dead_band(self, &wish, &standings) {
            let dead_band = self.action.limits.dead_band;
            return Err(Held {
                reason: format!("no share is off by more than the dead band {dead_band}"),
                arithmetic: wish.arithmetic,
            });
        }
        let to = shape::whole(self, &wish, &standings);
        let to = to.map_err(|reason| Held {
            reason,
            arithmetic: wish.arithmetic.clone(),
        })?;
        if shape::is_current(self, &to) || (!wish.limited && shape::is_wanted(self, &wish.shares)) {
            return Err(Held {
                reason: format!("{}; the weights are as wanted", wish.reason),
                arithmetic: wish.arithmetic,
            });
        }
        let comes_back = |(index, standing): (usize, &Standing)| {
            matches!(standing, Standing::Due | Standing::Returning(_))
                && to.get(index).is_some_and(|weight| shape::gains(self, index, *weight))
        };
        let back = standings
            .iter()
            .enumerate()
            .find(|(index, standing)| comes_back((*index, *standing)));
        let (why, reason) = match back {
            Some((index, standing)) => (Move::Return, eject::comes_back(self, index, *standing)),
            None => (Move::Law, wish.reason),
        };
        Ok(Draft {
            to,
            why,
            reason,
            arithmetic: wish.arithmetic,
            alerts: wish.alerts,
        })
    }

    /// `Err` while something other than an ejection has to wait.
    fn not_held(&self, history: &WeightHistory, arithmetic: &[String]) -> Result<(), Held> {
        let hold = self.action.limits.hold;
        let waits = |since: Timestamp| self.now.since(since) < hold;
        let reason = if let Some(moved_at) = history.moved_at.filter(|moved_at| waits(*moved_at)) {
            format!("the last change was {} ago, hold is {hold}", self.now.since(moved_at))
        } else if waits(history.observed_since) {
            let observed = self.now.since(history.observed_since);
            format!("observed only for {observed} of {hold}")
        } else if let Some((name, since)) = self.names().find_map(|name| {
            let appeared_at = history.backends.get(name)?.appeared_at?;
            waits(appeared_at).then(|| (name, self.now.since(appeared_at)))
        }) {
            format!("{name} appeared {since} ago, hold is {hold}")
        } else {
            return Ok(());
        };
        Err(Held {
            reason,
            arithmetic: arithmetic.to_vec(),
        })
    }

    /// Without any weight nothing is served, so no data is needed to end that.
    fn to_base(&self) -> WeightProposal {
        let base: Vec<i64> = self
            .action
            .backends
            .iter()
            .map(|backend| i64::from(backend.base.get()))
            .collect();
        let to = match self.facts.fixed_total {
            Some(total) => {
                let shares = self.base_shares(|_| true);
                shape::plain(&shares, i64::from(total)).unwrap_or(base)
            }
            None => base,
        };
        self.proposal(Draft {
            to,
            why: Move::Law,
            reason: "all weights are zero: back to base".to_owned(),
            arithmetic: Vec::new(),
            alerts: Vec::new(),
        })
    }

    fn proposal(&self, draft: Draft) -> WeightProposal {
        let Draft {
            to,
            why,
            reason,
            mut arithmetic,
            alerts,
        } = draft;
        let to = shape::weights(self, &to);
        arithmetic.truncate(LINES_CAP - 1);
        arithmetic.push(format!("weights, of {}: {to}", to.total()));
        WeightProposal {
            action: self.action.name.clone(),
            from: self.facts.current.clone(),
            to,
            why,
            reason,
            arithmetic,
            alerts,
        }
    }
}

/// The parts of a whole; `None` where there is nothing.
fn normalised(parts: &[f64]) -> Option<Vec<f64>> {
    let sum: f64 = parts.iter().sum();
    (sum > 0.0 && sum.is_finite()).then(|| parts.iter().map(|part| part / sum).collect())
}

/// Decides what one weights action wants, and gives what is to be remembered.
///
/// 1. Weights that are all zero go to the base at once.
/// 2. A series of a backend that nobody knows, one without the label `backend`, or two of one backend hold
///    everything.
/// 3. A backend whose requests fail is taken out at once; while too many look bad nothing moves. Failover
///    has rules of its own for that.
/// 4. The law divides the traffic among those that are not out; one that comes back gets its share slowly.
/// 5. The shares become whole numbers within floor and step cap, or stay within the dead band.
/// 6. All but an ejection wait for `hold` after the last change, after the first pass, and after a backend
///    appeared.
///
/// The history remembers a backend as out, or as coming back, from the pass that proposes it. A proposal that
/// is not carried out is told by the weights that the next pass reads and by `moved_at`, which whoever writes
/// the weights sets.
pub fn decide_weights(
    action: &WeightsAction,
    inputs: &Inputs<'_>,
    facts: &RouteFacts,
    now: Timestamp,
) -> (WeightDecision, WeightHistory) {
    let mut history = facts.history.clone();
    let pass = Pass {
        action,
        inputs,
        facts,
        now,
    };
    let decision = match pass.decide(&mut history) {
        Ok(proposal) => WeightDecision::Propose(proposal),
        Err(Held { reason, mut arithmetic }) => {
            arithmetic.truncate(LINES_CAP);
            WeightDecision::Stay { reason, arithmetic }
        }
    };
    (decision, history)
}
