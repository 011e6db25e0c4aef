//! The story that the demo claims, as a checklist: each step has a time-out, and one that does not
//! come is reported as what did happen.

mod looks;

use super::{
    setting::{ALERT, LINE, LOW, ORDERS_LOAD, Part, Setting},
    world::{Chapter, World, phase, refusal, seconds},
};
use flyball_crds::{AlertState, Direction, Phase};
use jiff::Timestamp;
use looks::{applied, arrow, closed, decision_refused_by, doing, ineffective, load, measured, reached};
use std::time::Duration;

/// A step of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Light load, latency under the line.
    Calm,
    /// The load stepped up, and latency crosses the line.
    Breach,
    /// The rule is pending.
    Pending,
    /// The rule fires.
    Firing,
    /// A Change is proposed and checked.
    Proposed,
    /// Its write was accepted.
    Applied,
    /// Its effect was verified.
    Committed,
    /// Latency is back under the line.
    Recovered,
    /// The load fell, and the low-traffic rule fires.
    Low,
    /// A decrease was written.
    Lowered,
    /// The decrease was verified.
    Down,
    /// Latency is over the line and the load steady, before the second policy is there.
    Saturated,
    /// An increase was found ineffective.
    Ineffective,
    /// It was rolled back.
    RolledBack,
    /// It was not repeated, though the rule still fires.
    NotRepeated,
}

/// What the runner does once a step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// More load on the first service, and the second chapter's load begins.
    StepUp,
    /// The added load is taken away again.
    StepDown,
    /// The second policy is applied.
    SecondPolicy,
}

/// What is seen of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// Not yet; what there is instead.
    NotYet(String),
    /// It came.
    Came(Timestamp, String),
    /// Something else came, so this step never will.
    Wrong(String),
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Its turn has not come.
    Ahead,
    /// It is awaited.
    Waiting(Timestamp),
    /// It came.
    Came(Timestamp, String),
    /// It did not come; what did happen.
    Missing(String),
}

/// A step with its limit and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// In which chapter.
    pub part: Part,
    /// The step.
    pub step: Step,
    /// How long it may take, from its turn on.
    pub limit: Duration,
    /// What became of it.
    pub outcome: Outcome,
}

/// The whole story.
#[derive(Clone, Debug)]
pub struct Story {
    /// The steps of both chapters.
    pub items: Vec<Item>,
    setting: Setting,
}

const MARGIN: Duration = Duration::from_secs(45);

impl Story {
    /// The story of a setting.
    pub fn new(setting: Setting) -> Self {
        let t = setting.times;
        let checkout = [
            (Step::Calm, t.calm + MARGIN),
            (Step::Breach, t.window + MARGIN),
            (Step::Pending, MARGIN),
            (Step::Firing, t.hold + MARGIN),
            (Step::Proposed, MARGIN),
            (Step::Applied, MARGIN),
            (Step::Committed, t.within + MARGIN),
            (Step::Recovered, t.window + MARGIN),
            (Step::Low, Duration::from_secs(60) + MARGIN),
            (Step::Lowered, Duration::from_secs(60) + MARGIN),
            (Step::Down, t.within + MARGIN),
        ];
        let before = t.calm + t.window + t.hold + t.within + MARGIN * 6;
        let orders = [
            (Step::Saturated, before),
            (Step::Firing, t.hold + MARGIN * 2),
            (Step::Applied, MARGIN),
            (Step::Ineffective, t.within + MARGIN),
            (Step::RolledBack, MARGIN),
            (Step::NotRepeated, t.watch + MARGIN),
        ];
        let item = |part| {
            move |(step, limit)| Item {
                part,
                step,
                limit,
                outcome: Outcome::Ahead,
            }
        };
        let items = checkout
            .into_iter()
            .map(item(Part::Checkout))
            .chain(orders.into_iter().map(item(Part::Orders)));
        Self {
            items: items.collect(),
            setting,
        }
    }

    /// Looks at what is known, moves each chapter on as far as it goes, and says what to do.
    pub fn advance(&mut self, world: &World, now: Timestamp) -> Vec<Act> {
        let mut acts = Vec::new();
        for part in Part::ALL {
            while let Some(at) = self.turn(part) {
                let since = match self.items[at].outcome {
                    Outcome::Waiting(since) => since,
                    _ => now,
                };
                self.items[at].outcome = Outcome::Waiting(since);
                match self.look(self.items[at].part, self.items[at].step, world, since, now) {
                    Seen::Came(when, note) => {
                        acts.extend(act(self.items[at].step));
                        self.items[at].outcome = Outcome::Came(when, note);
                    }
                    Seen::Wrong(instead) => self.items[at].outcome = Outcome::Missing(instead),
                    Seen::NotYet(instead) => {
                        let limit = self.items[at].limit;
                        if seconds(since, now) > limit.as_secs_f64() {
                            let text = format!("not within {} s; instead: {instead}", limit.as_secs());
                            self.items[at].outcome = Outcome::Missing(text);
                        }
                        break;
                    }
                }
            }
        }
        acts
    }

    /// The place of the step whose turn it is; `None` when the chapter is over.
    fn turn(&self, part: Part) -> Option<usize> {
        let of = |item: &&Item| item.part == part;
        if self
            .items
            .iter()
            .filter(of)
            .any(|item| matches!(item.outcome, Outcome::Missing(_)))
        {
            return None;
        }
        let next = |item: &Item| item.part == part && matches!(item.outcome, Outcome::Ahead | Outcome::Waiting(_));
        self.items.iter().position(next)
    }

    /// The step that is awaited in a chapter.
    pub fn awaited(&self, part: Part) -> Option<&Item> {
        self.turn(part).and_then(|at| self.items.get(at))
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
        self.items
            .iter()
            .all(|item| matches!(item.outcome, Outcome::Came(..)))
            .then_some(true)
    }

    /// How many steps came.
    pub fn came(&self) -> usize {
        self.items
            .iter()
            .filter(|item| matches!(item.outcome, Outcome::Came(..)))
            .count()
    }

    fn came_at(&self, part: Part, step: Step) -> Option<Timestamp> {
        let item = self.items.iter().find(|item| item.part == part && item.step == step)?;
        if let Outcome::Came(at, _) = &item.outcome {
            Some(*at)
        } else {
            None
        }
    }

    fn look(&self, part: Part, step: Step, world: &World, since: Timestamp, now: Timestamp) -> Seen {
        let chapter = world.chapter(part);
        let times = self.setting.times;
        let up = || chapter.written(Direction::Up).into_iter().next_back();
        let down = || chapter.written(Direction::Down).into_iter().next_back();
        match step {
            Step::Calm => match chapter.latency() {
                Some(value) if value > LINE => Seen::Wrong(format!("latency is {value:.2} s under the light load")),
                Some(value) if seconds(since, now) >= times.calm.as_secs_f64() => {
                    Seen::Came(now, format!("{value:.2} s"))
                }
                _ => Seen::NotYet(measured(chapter)),
            },
            Step::Breach => match chapter.latency() {
                Some(value) if value > LINE => Seen::Came(now, format!("{value:.2} s at {}", load(chapter))),
                _ => Seen::NotYet(measured(chapter)),
            },
            Step::Pending => reached(chapter, ALERT, &[AlertState::Pending, AlertState::Firing]),
            Step::Firing => reached(chapter, ALERT, &[AlertState::Firing]),
            // It fired before the load stepped up, too.
            Step::Low if chapter.alert(LOW).0 == AlertState::Firing => Seen::Came(now, String::new()),
            Step::Low => Seen::NotYet(format!(
                "{LOW} is {}; {}",
                state_name(chapter.alert(LOW).0),
                measured(chapter)
            )),
            Step::Proposed => up().map_or_else(
                || Seen::NotYet(doing(chapter)),
                |change| Seen::Came(change.spec.proposed_at.0, arrow(change)),
            ),
            Step::Applied => applied(chapter, up()),
            Step::Lowered => applied(chapter, down()),
            Step::Committed => closed(chapter, up(), Phase::Committed),
            Step::Down => closed(chapter, down(), Phase::Committed),
            Step::Recovered => match chapter.latency() {
                Some(value) if value <= LINE => Seen::Came(now, format!("{value:.2} s at {}", load(chapter))),
                _ => Seen::NotYet(measured(chapter)),
            },
            Step::Saturated => {
                let first = self.came_at(Part::Checkout, Step::Committed).is_some();
                let last = |sample: &&super::world::Sample| seconds(sample.at, now) <= times.window.as_secs_f64();
                let steady = chapter.samples.iter().rev().take_while(last);
                let steady = steady.filter(|sample| {
                    sample
                        .measured
                        .load
                        .is_some_and(|load| load > f64::from(ORDERS_LOAD) * 0.8)
                });
                let enough = steady.count() * 3 >= usize::try_from(times.window.as_secs()).unwrap_or(0) * 2;
                match chapter.latency() {
                    Some(value) if value > LINE && first && enough => {
                        Seen::Came(now, format!("{value:.2} s at {}", load(chapter)))
                    }
                    _ => Seen::NotYet(measured(chapter)),
                }
            }
            Step::Ineffective => ineffective(chapter, up()),
            Step::RolledBack => closed(chapter, up(), Phase::RolledBack),
            Step::NotRepeated => self.not_repeated(chapter, now),
        }
    }

    fn not_repeated(&self, chapter: &Chapter, now: Timestamp) -> Seen {
        let changes = chapter.written(Direction::Up);
        if let [_, .., last] = changes.as_slice() {
            return Seen::Wrong(format!("it was repeated: {}", arrow(last)));
        }
        let Some(back) = self.came_at(Part::Orders, Step::RolledBack) else {
            return Seen::NotYet(doing(chapter));
        };
        let refused = chapter
            .changes
            .values()
            .any(|change| phase(change) == Phase::Refused && refusal(change) == Some("Ineffective"))
            || decision_refused_by(chapter, "Ineffective");
        let firing = chapter.alert(ALERT).0 == AlertState::Firing;
        let passed = seconds(back, now);
        if !firing {
            return Seen::NotYet(format!("{ALERT} does not fire any more"));
        }
        if refused && passed >= self.setting.times.watch.as_secs_f64() {
            return Seen::Came(
                now,
                format!("{passed:.0} s on, {ALERT} fires and the check Ineffective refuses"),
            );
        }
        Seen::NotYet(if refused {
            "refused by the check Ineffective so far".to_owned()
        } else {
            doing(chapter)
        })
    }
}

impl Step {
    /// The step in words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Calm => "latency is under the line with a light load",
            Self::Breach => "load steps up, latency crosses the line",
            Self::Pending => "HighRequestLatency is pending",
            Self::Firing => "HighRequestLatency fires",
            Self::Proposed => "a Change is proposed and checked",
            Self::Applied => "the Change is applied",
            Self::Committed => "its effect is verified, it is committed",
            Self::Recovered => "latency is back under the line",
            Self::Low => "load falls, LowTraffic fires",
            Self::Lowered => "a decrease is applied",
            Self::Down => "the decrease is verified and committed",
            Self::Saturated => "latency is over the line at a steady load",
            Self::Ineffective => "the Change is found ineffective",
            Self::RolledBack => "it is rolled back",
            Self::NotRepeated => "it is not repeated while the rule fires",
        }
    }
}

const fn act(step: Step) -> Option<Act> {
    match step {
        Step::Calm => Some(Act::StepUp),
        Step::Recovered => Some(Act::StepDown),
        Step::Saturated => Some(Act::SecondPolicy),
        _ => None,
    }
}

/// A state as Prometheus spells it.
pub const fn state_name(state: AlertState) -> &'static str {
    match state {
        AlertState::Inactive => "inactive",
        AlertState::Pending => "pending",
        AlertState::Firing => "firing",
    }
}
