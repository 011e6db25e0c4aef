//! The story that the demo claims, as a checklist: each step has a time-out, and one that does not
//! come is reported as what did happen.

use super::{
    setting::{ALERT, LINE, LOW, ORDERS_LOAD, Part, Setting},
    world::{Chapter, World, phase, refusal, seconds},
};
use flyball_crds::{AlertState, Change, CheckVerdict, Direction, Phase};
use jiff::Timestamp;
use kube::ResourceExt;
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
        let item = |part| move |(step, limit)| Item { part, step, limit, outcome: Outcome::Ahead };
        let items = checkout.into_iter().map(item(Part::Checkout)).chain(orders.into_iter().map(item(Part::Orders)));
        Self { items: items.collect(), setting }
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
        if self.items.iter().filter(of).any(|item| matches!(item.outcome, Outcome::Missing(_))) {
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
        if self.items.iter().any(|item| matches!(item.outcome, Outcome::Missing(_))) {
            return Some(false);
        }
        self.items.iter().all(|item| matches!(item.outcome, Outcome::Came(..))).then_some(true)
    }

    /// How many steps came.
    pub fn came(&self) -> usize {
        self.items.iter().filter(|item| matches!(item.outcome, Outcome::Came(..))).count()
    }

    fn came_at(&self, part: Part, step: Step) -> Option<Timestamp> {
        let item = self.items.iter().find(|item| item.part == part && item.step == step)?;
        if let Outcome::Came(at, _) = &item.outcome { Some(*at) } else { None }
    }

    fn look(&self, part: Part, step: Step, world: &World, since: Timestamp, now: Timestamp) -> Seen {
        let chapter = world.chapter(part);
        let times = self.setting.times;
        let up = || chapter.written(Direction::Up).into_iter().next_back();
        let down = || chapter.written(Direction::Down).into_iter().next_back();
        match step {
            Step::Calm => match chapter.latency() {
                Some(value) if value > LINE => Seen::Wrong(format!("latency is {value:.2} s under the light load")),
                Some(value) if seconds(since, now) >= times.calm.as_secs_f64() => Seen::Came(now, format!("{value:.2} s")),
                _ => Seen::NotYet(measured(chapter)),
            },
            Step::Breach => match chapter.latency() {
                Some(value) if value > LINE => Seen::Came(now, format!("{value:.2} s at {}", load(chapter))),
                _ => Seen::NotYet(measured(chapter)),
            },
            Step::Pending => reached(chapter, ALERT, &[AlertState::Pending, AlertState::Firing]),
            Step::Firing => reached(chapter, ALERT, &[AlertState::Firing]),
            Step::Low => reached(chapter, LOW, &[AlertState::Firing]),
            Step::Proposed => up().map_or_else(|| Seen::NotYet(doing(chapter)), |change| Seen::Came(change.spec.proposed_at.0, arrow(change))),
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
                let steady = steady.filter(|sample| sample.measured.load.is_some_and(|load| load > f64::from(ORDERS_LOAD) * 0.8));
                let enough = steady.count() * 3 >= usize::try_from(times.window.as_secs()).unwrap_or(0) * 2;
                match chapter.latency() {
                    Some(value) if value > LINE && first && enough => Seen::Came(now, format!("{value:.2} s at {}", load(chapter))),
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
        let Some(back) = self.came_at(Part::Orders, Step::RolledBack) else { return Seen::NotYet(doing(chapter)) };
        let refused = chapter.changes.values().any(|change| phase(change) == Phase::Refused && refusal(change) == Some("Ineffective"))
            || decision_refused_by(chapter, "Ineffective");
        let firing = chapter.alert(ALERT).0 == AlertState::Firing;
        let passed = seconds(back, now);
        if !firing {
            return Seen::NotYet(format!("{ALERT} does not fire any more"));
        }
        if refused && passed >= self.setting.times.watch.as_secs_f64() {
            return Seen::Came(now, format!("{passed:.0} s on, {ALERT} fires and the check Ineffective refuses"));
        }
        Seen::NotYet(if refused { "refused by the check Ineffective so far".to_owned() } else { doing(chapter) })
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

fn reached(chapter: &Chapter, alert: &str, states: &[AlertState]) -> Seen {
    let found = chapter.moves.iter().find(|moved| moved.alert == alert && states.contains(&moved.state));
    found.map_or_else(
        || Seen::NotYet(format!("{alert} is {}; {}", state_name(chapter.alert(alert).0), measured(chapter))),
        |moved| {
            let pending = moved.state == AlertState::Pending;
            Seen::Came(moved.since.filter(|_| pending).unwrap_or(moved.at), String::new())
        },
    )
}

fn applied(chapter: &Chapter, change: Option<&Change>) -> Seen {
    let at = change.and_then(|change| Some((change, change.status.as_ref()?.applied_at.as_ref()?.0)));
    match (at, change) {
        (Some((change, at)), _) => Seen::Came(at, arrow(change)),
        (None, Some(change)) if !phase(change).is_open() => Seen::Wrong(stands(change)),
        _ => Seen::NotYet(doing(chapter)),
    }
}

/// Superseded is no end: a larger step took over and is the one to look at.
fn closed(chapter: &Chapter, change: Option<&Change>, wanted: Phase) -> Seen {
    let Some(change) = change else { return Seen::NotYet(doing(chapter)) };
    let phase = phase(change);
    if phase == wanted {
        let at = change.status.as_ref().and_then(|status| status.closed_at.as_ref());
        return Seen::Came(at.map_or(change.spec.proposed_at.0, |at| at.0), arrow(change));
    }
    if phase.is_open() || phase == Phase::Superseded { Seen::NotYet(stands(change)) } else { Seen::Wrong(stands(change)) }
}

fn ineffective(chapter: &Chapter, change: Option<&Change>) -> Seen {
    let Some(change) = change else { return Seen::NotYet(doing(chapter)) };
    let verdict = change.status.as_ref().and_then(|status| status.verdict.as_ref());
    match verdict {
        Some(verdict) if verdict.result == "Ineffective" => {
            let at = verdict.at.as_ref().map_or(change.spec.proposed_at.0, |at| at.0);
            Seen::Came(at, verdict.message.clone())
        }
        _ if phase(change).is_open() => Seen::NotYet(stands(change)),
        _ => Seen::Wrong(stands(change)),
    }
}

fn decision_refused_by(chapter: &Chapter, name: &str) -> bool {
    let actions = chapter.policy.iter().filter_map(|policy| policy.status.as_ref()).flat_map(|status| &status.actions);
    let mut checks = actions.filter_map(|action| action.last_decision.as_ref()).flat_map(|decision| &decision.checks);
    checks.any(|check| check.name == name && check.verdict == CheckVerdict::Refused)
}

/// A state as Prometheus spells it.
pub const fn state_name(state: AlertState) -> &'static str {
    match state {
        AlertState::Inactive => "inactive",
        AlertState::Pending => "pending",
        AlertState::Firing => "firing",
    }
}

fn arrow(change: &Change) -> String {
    format!("{} -> {}", change.spec.before, change.spec.after)
}

fn stands(change: &Change) -> String {
    let message = change.status.as_ref().map(|status| status.message.as_str()).unwrap_or_default();
    format!("Change {} ({}) is {:?} {message}", change.name_any(), arrow(change), phase(change)).trim_end().to_owned()
}

fn load(chapter: &Chapter) -> String {
    let load = chapter.last().and_then(|sample| sample.measured.load);
    load.map_or_else(|| "an unknown load".to_owned(), |load| format!("{load:.0} requests/s"))
}

fn measured(chapter: &Chapter) -> String {
    let latency = chapter.latency().map_or_else(|| "unknown".to_owned(), |value| format!("{value:.2} s"));
    format!("latency is {latency} at {}", load(chapter))
}

fn doing(chapter: &Chapter) -> String {
    let Some(status) = chapter.policy.as_ref().and_then(|policy| policy.status.as_ref()) else {
        return "the policy has no status: the controller has not taken it up".to_owned();
    };
    format!("the policy is {} ({})", status.doing, status.why)
}
