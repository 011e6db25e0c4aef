//! The world of the model: the API server's objects, the requests under way, the controllers.

use super::Without;
use flyball_core::{
    time::Timestamp,
    transaction::{Abort, Effect, Event, Journal, Outcome, Phase, Stamp, Target, Tx, VALID_FOR, Verdict, step},
};
use std::{
    collections::BTreeSet,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
};

/// The values that the field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// Before the change.
    Old,
    /// After the change.
    New,
    /// What a person wrote.
    Human,
}

impl flyball_core::transaction::Value for Value {}

/// A resourceVersion only ever matters as "still the current one or not", so that is all the model
/// keeps of it: when an object changes, every copy of its version grows stale. Two histories that
/// differ in nothing but counters are then one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Version {
    /// Nothing changed since it was read.
    Current,
    /// Something did.
    Stale,
}

type Transaction = Tx<Value, Version>;

/// The object in the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Object {
    pub(super) value: Value,
    pub(super) stamp: Option<Stamp>,
}

/// A request that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Request {
    Stamp { stamp: Stamp, at: Version },
    Write { value: Value, at: Version },
    Record { journal: JournalKey, at: Version },
}

/// A journal in a form that can be ordered, so that requests under way are a sorted list.
type JournalKey = (u8, u64, Option<Value>, bool);

/// A request with its sender, if that one still waits for the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Message {
    pub request: Request,
    pub sender: Option<usize>,
}

/// A controller process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Controller {
    /// It believes to lead. Only a crash teaches it otherwise: no lease is a fence.
    pub(super) leads: bool,
    /// The target as read for the next pass.
    pub(super) glance: Option<Target<Value, Version>>,
    /// The pass it is in, with the journal's version that it read.
    pub(super) pass: Option<(Transaction, Version)>,
    /// It waits for the answer to a request.
    pub(super) waiting: bool,
    /// It has to judge the effect.
    pub(super) judging: bool,
}

/// One state of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub(super) object: Object,
    pub(super) journal: Journal<Value>,
    pub(super) controllers: [Controller; 2],
    /// Who has the lease.
    pub(super) holder: usize,
    pub(super) messages: Vec<Message>,
    pub(super) crashes: u8,
    pub(super) flips: u8,
    pub(super) edits: u8,
    pub(super) refusals: u8,
    pub(super) deleted: bool,
    pub(super) late: bool,
    /// The journal was just created, and its creator goes on with it.
    pub(super) fresh: bool,
    /// A law that was broken by the last action, in words.
    pub(super) broken: Option<&'static str>,
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stamp = self
            .object
            .stamp
            .map_or_else(|| "no stamp".to_owned(), |stamp| stamp.to_string());
        write!(
            f,
            "{:?} [{stamp}] {:?} attempt {}",
            self.object.value, self.journal.phase, self.journal.attempt
        )?;
        for message in &self.messages {
            write!(f, "; {:?} of {:?}", message.request, message.sender)?;
        }
        self.broken.map_or(Ok(()), |law| write!(f, "; BROKEN: {law}"))
    }
}

const PROPOSED: Timestamp = Timestamp::from_millis(0);

impl World {
    pub(super) fn start() -> Self {
        let leader = Controller {
            leads: true,
            ..Controller::default()
        };
        Self {
            object: Object {
                value: Value::Old,
                stamp: None,
            },
            journal: Journal::open(1, Value::Old, Value::New, PROPOSED),
            controllers: [leader, Controller::default()],
            holder: 0,
            messages: Vec::new(),
            crashes: 0,
            flips: 0,
            edits: 0,
            refusals: 0,
            deleted: false,
            late: false,
            fresh: true,
            broken: None,
        }
    }

    fn now(&self) -> Timestamp {
        if self.late {
            PROPOSED + VALID_FOR + VALID_FOR
        } else {
            PROPOSED
        }
    }

    pub(super) fn seen(&self) -> Target<Value, Version> {
        Target {
            value: self.object.value,
            version: Version::Current,
            stamp: self.object.stamp,
        }
    }

    pub(super) fn begin(&mut self, i: usize) {
        let Some(target) = self.controllers[i].glance.take() else {
            return;
        };
        let abort = self.deleted.then_some(Abort::PolicyDeleted);
        let tx = if self.fresh {
            Tx::begin(self.journal.clone())
        } else {
            Tx::resume(self.journal.clone(), abort)
        };
        self.fresh = false;
        self.controllers[i].pass = Some((tx, Version::Current));
        self.feed(i, Event::Seen(Some(target)));
    }

    pub(super) fn hand_over(&mut self, i: usize) {
        let Some(target) = self.controllers[i].glance.take() else {
            return;
        };
        self.controllers[i].pass = Some((Tx::hand_over(self.journal.clone()), Version::Current));
        self.feed(i, Event::Seen(Some(target)));
    }

    /// Gives an event to a controller and carries out or sends what it answers.
    pub(super) fn feed(&mut self, i: usize, event: Event<Value, Version>) {
        let Some((tx, version)) = self.controllers[i].pass.take() else {
            return;
        };
        let (tx, effects) = step(tx, event, self.now());
        self.controllers[i].waiting = false;
        self.controllers[i].judging = false;
        let Some(effect) = effects.into_iter().next() else {
            return;
        };
        let request = match effect {
            Effect::Verify => {
                self.controllers[i].judging = true;
                self.controllers[i].pass = Some((tx, version));
                return;
            }
            Effect::Stamp { stamp, at } => Request::Stamp { stamp, at },
            Effect::Write { value, at } => Request::Write { value, at },
            Effect::Record(journal) => Request::Record {
                journal: key(&journal),
                at: version,
            },
        };
        self.controllers[i].waiting = true;
        self.controllers[i].pass = Some((tx, version));
        self.messages.push(Message {
            request,
            sender: Some(i),
        });
    }

    /// The API server handles a request; what the sender would hear.
    pub(super) fn land(&mut self, request: &Request, sender: Option<usize>, without: Without) -> Event<Value, Version> {
        match request {
            Request::Stamp { stamp, at } => {
                if without != Without::Precondition && *at == Version::Stale {
                    return Event::Conflict;
                }
                self.object.stamp = Some(*stamp);
                if without != Without::Fence {
                    self.object_changed();
                }
                Event::Accepted(self.seen())
            }
            Request::Write { value, at } => {
                if without != Without::Precondition && *at == Version::Stale {
                    return Event::Conflict;
                }
                self.judge_write(*value);
                self.object.value = *value;
                self.object_changed();
                Event::Accepted(self.seen())
            }
            Request::Record { journal, at } => {
                if *at == Version::Stale {
                    return Event::NotRecorded;
                }
                self.journal = unkey(*journal);
                self.journal_changed(sender);
                self.judge_record();
                Event::Recorded
            }
        }
    }

    pub(super) fn object_changed(&mut self) {
        for message in &mut self.messages {
            if let Request::Stamp { at, .. } | Request::Write { at, .. } = &mut message.request {
                *at = Version::Stale;
            }
        }
        for controller in &mut self.controllers {
            let passing = controller.pass.as_mut().and_then(|(tx, _)| tx.target.as_mut());
            for target in passing.into_iter().chain(controller.glance.as_mut()) {
                target.version = Version::Stale;
            }
        }
    }

    /// Whether anything would notice that the object's version moves.
    pub(super) fn something_is_current(&self) -> bool {
        self.messages.iter().any(|message| match &message.request {
            Request::Stamp { at, .. } | Request::Write { at, .. } => *at == Version::Current,
            Request::Record { .. } => false,
        })
    }

    /// The one whose record was accepted knows the new version; everybody else's is stale.
    fn journal_changed(&mut self, by: Option<usize>) {
        for message in &mut self.messages {
            if let Request::Record { at, .. } = &mut message.request {
                *at = Version::Stale;
            }
        }
        for (i, controller) in self.controllers.iter_mut().enumerate() {
            if let Some((_, version)) = &mut controller.pass {
                *version = if by == Some(i) {
                    Version::Current
                } else {
                    Version::Stale
                };
            }
        }
    }

    /// A controller whose write met a newer version reads the target again, and sends the write once
    /// more if stamp and value are what it saw: Kubernetes itself writes a target's status all the time.
    pub(super) fn only_version_moved(&self, i: usize) -> bool {
        let seen = self.controllers[i].pass.as_ref().and_then(|(tx, _)| tx.target.as_ref());
        seen.is_some_and(|seen| seen.value == self.object.value && seen.stamp == self.object.stamp)
    }

    /// Brings equal histories to one form: requests nobody waits for are a set, and those whose
    /// precondition has failed are as good as lost.
    pub(super) fn settle(&mut self, without: Without) {
        self.messages.sort();
        self.messages.dedup();
        self.messages.retain(|message| {
            let stale = match &message.request {
                Request::Stamp { at, .. } | Request::Write { at, .. } => {
                    without != Without::Precondition && *at == Version::Stale
                }
                Request::Record { at, .. } => *at == Version::Stale,
            };
            message.sender.is_some() || !stale
        });
        self.renumber_attempts();
        // The two controllers are alike, so a state and its mirror image are one.
        let [first, second] = self.controllers.each_ref().map(|controller| {
            let mut hasher = DefaultHasher::new();
            controller.hash(&mut hasher);
            hasher.finish()
        });
        if first > second {
            self.controllers.swap(0, 1);
            self.holder = 1 - self.holder;
            for sender in self.messages.iter_mut().filter_map(|message| message.sender.as_mut()) {
                *sender = 1 - *sender;
            }
            self.messages.sort();
        }
    }

    /// Attempts matter only by their order, so they are numbered from zero without gaps.
    fn renumber_attempts(&mut self) {
        let mut seen = BTreeSet::new();
        self.each_attempt(&mut |attempt| {
            seen.insert(*attempt);
        });
        let ranks: Vec<u64> = seen.into_iter().collect();
        self.each_attempt(&mut |attempt| {
            *attempt = ranks.iter().take_while(|rank| **rank < *attempt).count() as u64;
        });
    }

    fn each_attempt(&mut self, visit: &mut impl FnMut(&mut u64)) {
        visit(&mut self.journal.attempt);
        if let Some(stamp) = &mut self.object.stamp {
            visit(&mut stamp.attempt);
        }
        for message in &mut self.messages {
            match &mut message.request {
                Request::Stamp { stamp, .. } => visit(&mut stamp.attempt),
                Request::Record { journal, .. } => visit(&mut journal.1),
                Request::Write { .. } => {}
            }
        }
        for controller in &mut self.controllers {
            let (tx, glance) = (&mut controller.pass, &mut controller.glance);
            let passing = tx.as_mut().map(|(tx, _)| tx);
            let (journal, recording, target) = match passing {
                Some(tx) => (Some(&mut tx.journal), tx.recording.as_mut(), tx.target.as_mut()),
                None => (None, None, None),
            };
            journal
                .into_iter()
                .chain(recording)
                .for_each(|journal| visit(&mut journal.attempt));
            let stamps = target
                .into_iter()
                .chain(glance.as_mut())
                .filter_map(|target| target.stamp.as_mut());
            stamps.for_each(|stamp| visit(&mut stamp.attempt));
        }
    }

    /// The laws about a write that lands.
    fn judge_write(&mut self, value: Value) {
        self.broken = match (self.journal.phase, self.object.value) {
            (Phase::Closed(_), _) => Some("a write landed after its journal was closed (law 4)"),
            (_, Value::Human) => Some("a write landed on somebody else's value (law 8)"),
            (Phase::Applying, Value::Old) if value == Value::New => None,
            (Phase::RollingBack, Value::New) if value == Value::Old => None,
            // The same value again changes nothing that anybody could see.
            (_, current) if current == value => None,
            _ => Some("a write landed that the journal does not know (law 1)"),
        };
    }

    /// The laws about a journal that was just recorded.
    fn judge_record(&mut self) {
        let value = self.object.value;
        self.broken = match self.journal.phase {
            Phase::Closed(Outcome::Committed) if self.journal.verdict != Some(Verdict::Achieved) => {
                Some("committed without a recorded verification (law 6)")
            }
            // A person's edit between our reading and our record is theirs and allowed.
            Phase::Closed(Outcome::Committed) if value == Value::Old && self.edits == 0 => {
                Some("committed, and the target holds the old value (law 5)")
            }
            Phase::Closed(Outcome::RolledBack) if value == Value::New && self.edits == 0 => {
                Some("rolled back, and the target holds the new value (law 5)")
            }
            _ => None,
        };
    }

    /// Whether, with faults at an end, one controller closes the journal within `passes` passes.
    pub(super) fn recovers(&self, passes: usize) -> bool {
        let mut world = self.clone();
        world.messages.clear();
        world.fresh = false;
        world.controllers = [
            Controller {
                leads: true,
                ..Controller::default()
            },
            Controller::default(),
        ];
        for _ in 0..passes {
            if !world.journal.is_open() {
                return true;
            }
            world.controllers[0].glance = Some(world.seen());
            world.begin(0);
            loop {
                if let Some(message) = world.messages.pop() {
                    let heard = world.land(&message.request, message.sender, Without::Nothing);
                    world.feed(0, heard);
                } else if world.controllers[0].judging {
                    world.feed(0, Event::Achieved);
                } else {
                    break;
                }
            }
        }
        !world.journal.is_open()
    }
}

fn key(journal: &Journal<Value>) -> JournalKey {
    let phase = match journal.phase {
        Phase::Applying => 0,
        Phase::Verifying => 1,
        Phase::RollingBack => 2,
        Phase::Closed(Outcome::Committed) => 3,
        Phase::Closed(Outcome::RolledBack) => 4,
        Phase::Closed(Outcome::Ineffective) => 5,
        Phase::Closed(Outcome::Inconclusive) => 6,
        Phase::Closed(Outcome::Superseded(_)) => 7,
    };
    let achieved = journal.verdict == Some(Verdict::Achieved);
    (phase, journal.attempt, journal.rollback_to, achieved)
}

fn unkey((phase, attempt, rollback_to, achieved): JournalKey) -> Journal<Value> {
    use flyball_core::transaction::Cause;
    let mut journal = Journal::open(1, Value::Old, Value::New, PROPOSED);
    journal.phase = match phase {
        0 => Phase::Applying,
        1 => Phase::Verifying,
        2 => Phase::RollingBack,
        3 => Phase::Closed(Outcome::Committed),
        4 => Phase::Closed(Outcome::RolledBack),
        5 => Phase::Closed(Outcome::Ineffective),
        6 => Phase::Closed(Outcome::Inconclusive),
        _ => Phase::Closed(Outcome::Superseded(Cause::Foreign)),
    };
    journal.attempt = attempt;
    journal.rollback_to = rollback_to;
    journal.verdict = achieved.then_some(Verdict::Achieved);
    journal
}
