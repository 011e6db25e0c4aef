//! What the chapter claims, step by step, each with a time-out.

use super::known::{Known, share_after, why};
use crate::demo::{
    story::{Outcome, Seen},
    world::{phase, seconds},
};
use flyball_crds::{Change, Phase, WeightMove};
use jiff::Timestamp;
use std::time::Duration;

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All backends serve, and nothing fails.
    Calm,
    /// One is slow, and requests fail.
    Failing,
    /// Its weight is lowered.
    Lowered,
    /// Nothing fails any more.
    Clean,
    /// It is fast again and has its weight back.
    Restored,
    /// One is dead; the route's status does not tell.
    Dead,
    /// Its weight is 0.
    Out,
    /// The share is verified, and nothing fails any more.
    Verified,
    /// It lives again and has a hundredth of its share.
    First,
    /// It has its whole share.
    Whole,
}

/// What is done once a step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// `a` works at half its speed.
    Slow,
    /// `a` works as before.
    Fast,
    /// `c` loses its only pod.
    Kill,
    /// `c` gets a pod again.
    Revive,
}

impl Act {
    /// What is done, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Slow => "a slows to half its speed",
            Self::Fast => "a is as fast as before",
            Self::Kill => "c loses its only pod",
            Self::Revive => "c gets a pod again",
        }
    }
}

/// A step with its limit and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The step.
    pub step: Step,
    /// How long it may take, from its turn on.
    pub limit: Duration,
    /// What became of it.
    pub outcome: Outcome,
}

/// The chapter's story.
#[derive(Clone, Debug)]
pub struct Story {
    /// Its steps.
    pub items: Vec<Item>,
}

/// A step that has no reason to take long.
const SOON: Duration = Duration::from_secs(45);
/// One that waits for several Changes.
const LATER: Duration = Duration::from_secs(90);

impl Default for Story {
    fn default() -> Self {
        Self::new()
    }
}

impl Story {
    /// Nothing has come yet.
    pub fn new() -> Self {
        let steps = [
            (Step::Calm, LATER),
            (Step::Failing, SOON),
            (Step::Lowered, SOON),
            (Step::Clean, LATER),
            (Step::Restored, LATER),
            (Step::Dead, SOON),
            (Step::Out, SOON),
            (Step::Verified, SOON),
            (Step::First, SOON),
            (Step::Whole, LATER),
        ];
        let item = |(step, limit)| Item {
            step,
            limit,
            outcome: Outcome::Ahead,
        };
        Self {
            items: steps.map(item).into(),
        }
    }

    /// Looks at what is known, moves on as far as it goes, and says what to do.
    pub fn advance(&mut self, known: &Known, now: Timestamp) -> Vec<Act> {
        let mut acts = Vec::new();
        while self.ended().is_none() {
            let next = |item: &&mut Item| matches!(item.outcome, Outcome::Ahead | Outcome::Waiting(_));
            let Some(item) = self.items.iter_mut().find(next) else {
                break;
            };
            let since = match item.outcome {
                Outcome::Waiting(since) => since,
                _ => now,
            };
            item.outcome = Outcome::Waiting(since);
            match look(item.step, known, since, now) {
                Seen::Came(when, note) => {
                    item.outcome = Outcome::Came(when, note);
                    if let Some(act) = act(item.step) {
                        acts.push(act);
                        // What is known is from before it.
                        break;
                    }
                }
                Seen::Wrong(instead) => item.outcome = Outcome::Missing(instead),
                Seen::NotYet(instead) => {
                    if seconds(since, now) > item.limit.as_secs_f64() {
                        let text = format!("not within {} s; instead: {instead}", item.limit.as_secs());
                        item.outcome = Outcome::Missing(text);
                    }
                    break;
                }
            }
        }
        acts
    }

    /// The step that is awaited.
    pub fn awaited(&self) -> Option<&Item> {
        self.items
            .iter()
            .find(|item| matches!(item.outcome, Outcome::Ahead | Outcome::Waiting(_)))
    }

    /// Whether the story is over, and whether it came as it should.
    pub fn ended(&self) -> Option<bool> {
        if self
            .items
            .iter()
            .any(|item| matches!(item.outcome, Outcome::Missing(_)))
        {
            return Some(false);
        }
        (self.came() == self.items.len()).then_some(true)
    }

    /// How many steps came.
    pub fn came(&self) -> usize {
        let came = |item: &&Item| matches!(item.outcome, Outcome::Came(..));
        self.items.iter().filter(came).count()
    }
}

const fn act(step: Step) -> Option<Act> {
    match step {
        Step::Calm => Some(Act::Slow),
        Step::Clean => Some(Act::Fast),
        Step::Restored => Some(Act::Kill),
        Step::Verified => Some(Act::Revive),
        _ => None,
    }
}

fn look(step: Step, known: &Known, since: Timestamp, now: Timestamp) -> Seen {
    let failing = known.failing();
    let clean = failing == Some(0.0);
    let percent = |part: f64| format!("{:.1} % of the requests fail", part * 100.0);
    let so_far = || {
        let fails = failing.map_or_else(|| "nothing is measured".to_owned(), percent);
        Seen::NotYet(format!("{fails}; the policy is {}", known.doing))
    };
    let share = |index: usize| known.share(index).unwrap_or(0.0);
    // The newest Change of a kind that was proposed since the step's turn, or shortly before: a pass may be faster
    // than a look.
    let newest = |kind: WeightMove| {
        let written = known.written().into_iter().rev();
        written
            .into_iter()
            .find(|change| why(change) == Some(kind) && seconds(change.spec.proposed_at.0, since) < 5.0)
    };
    match step {
        Step::Calm => {
            let all = known
                .samples
                .last()
                .is_some_and(|sample| sample.served.iter().all(|part| part.is_some_and(|part| part > 0.15)));
            if all && clean && known.doing.starts_with("Steady") && seconds(since, now) >= 8.0 {
                Seen::Came(now, "shares of 0.40, 0.40 and 0.20".to_owned())
            } else {
                so_far()
            }
        }
        Step::Failing => match failing {
            Some(part) if part > 0.0 => Seen::Came(now, percent(part)),
            _ => so_far(),
        },
        Step::Lowered => match newest(WeightMove::Law).filter(|change| share_after(change, "a") < 0.4) {
            Some(change) => applied(change).unwrap_or_else(so_far),
            None => so_far(),
        },
        Step::Clean if clean && share(0) < 0.29 && !known.is_busy() => Seen::Came(now, shares(known)),
        Step::Restored if clean && (share(0) - share(1)).abs() < 0.03 && !known.is_busy() => {
            Seen::Came(now, shares(known))
        }
        Step::Dead => match failing {
            Some(part) if part > 0.0 => {
                let status = if known.accepted {
                    "Accepted and ResolvedRefs are True"
                } else {
                    "not Accepted"
                };
                Seen::Came(
                    now,
                    format!("{}; by its status the route is well: {status}", percent(part)),
                )
            }
            _ => so_far(),
        },
        Step::Out => newest(WeightMove::Ejection).and_then(applied).unwrap_or_else(so_far),
        Step::Verified => match newest(WeightMove::Ejection) {
            Some(change) if phase(change) == Phase::Committed && clean => Seen::Came(now, verdict(change)),
            Some(change) if !phase(change).is_open() && phase(change) != Phase::Committed => {
                Seen::Wrong(format!("the Change is {:?}: {}", phase(change), verdict(change)))
            }
            _ => so_far(),
        },
        Step::First => newest(WeightMove::Return).and_then(applied).unwrap_or_else(so_far),
        Step::Whole if clean && share(2) > 0.18 && !known.is_busy() => Seen::Came(now, shares(known)),
        Step::Clean | Step::Restored | Step::Whole => so_far(),
    }
}

fn applied(change: &Change) -> Option<Seen> {
    let at = change.status.as_ref()?.applied_at.as_ref()?.0;
    Some(Seen::Came(at, change.spec.shift.clone()))
}

fn verdict(change: &Change) -> String {
    let verdict = change.status.as_ref().and_then(|status| status.verdict.as_ref());
    verdict.map(|verdict| verdict.message.clone()).unwrap_or_default()
}

fn shares(known: &Known) -> String {
    let [a, b, c] = known.samples.last().map(|sample| sample.wanted).unwrap_or_default();
    format!("shares of {a:.2}, {b:.2} and {c:.2}")
}

impl Step {
    /// The step in words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Calm => "all three serve, and nothing fails",
            Self::Failing => "a is slow, requests fail",
            Self::Lowered => "the weight of a is lowered",
            Self::Clean => "nothing fails any more",
            Self::Restored => "a is fast again and has its weight back",
            Self::Dead => "c is dead, its share fails",
            Self::Out => "c is taken out",
            Self::Verified => "its share is verified as gone, and nothing fails",
            Self::First => "c lives and gets a hundredth of its share",
            Self::Whole => "c has its whole share again",
        }
    }
}
