//! The transaction's protocol, checked exhaustively.
//!
//! One target, one journal at a time, two controllers that both drive the shipped
//! [`flyball_core::transaction::step`]; writes that are delayed, reordered, lost before or after
//! they land; crashes, lease flips, human edits, a policy's deletion, decisions that grow old.
//! A controller that lost the lease goes on believing that it leads until it crashes: no lease is
//! a fence.

use flyball_core::{
    time::Timestamp,
    transaction::{Abort, Effect, Event, Journal, Outcome, Phase, Stamp, Target, Tx, VALID_FOR, Verdict, step},
};
use stateright::{Model, Property};
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

/// A resourceVersion only ever matters as "still the current one or not", so that is all the model
/// keeps of it: when an object changes, every copy of its version grows stale. Two histories that
/// differ in nothing but counters are then one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// Nothing changed since it was read.
    Current,
    /// Something did.
    Stale,
}

type Transaction = Tx<Value, Version>;

/// What may go wrong, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Controllers that are killed and start again.
    pub crashes: u8,
    /// Changes of the leader.
    pub flips: u8,
    /// Values written by a person.
    pub edits: u8,
    /// Requests under way at once whose sender does not wait for them any more.
    pub delayed: usize,
    /// Writes that the API server refuses for good.
    pub refusals: u8,
    /// Whether anything may happen between a pass's reading of the target and of the journal.
    pub skew: bool,
}

/// A part of the protocol that can be taken out, to see that it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// The whole protocol.
    Nothing,
    /// The server ignores the resourceVersion of a write.
    Precondition,
    /// The stamp is written but does not move the object's resourceVersion.
    Fence,
}

/// The model.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// What may go wrong.
    pub faults: Faults,
    /// What is taken out.
    pub without: Without,
}

/// The object in the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Object {
    value: Value,
    stamp: Option<Stamp>,
}

/// A request that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Request {
    Stamp { stamp: Stamp, at: Version },
    Write { value: Value, at: Version },
    Record { journal: JournalKey, at: Version },
}

/// A journal in a form that can be ordered, so that requests under way are a sorted list.
type JournalKey = (u8, u64, Option<Value>, bool);

/// A request with its sender, if that one still waits for the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Message {
    request: Request,
    sender: Option<usize>,
}

/// A controller process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
struct Controller {
    /// It believes to lead. Only a crash teaches it otherwise: no lease is a fence.
    leads: bool,
    /// The target as read for the next pass.
    glance: Option<Target<Value, Version>>,
    /// The pass it is in, with the journal's version that it read.
    pass: Option<(Transaction, Version)>,
    /// It waits for the answer to a request.
    waiting: bool,
    /// It has to judge the effect.
    judging: bool,
}

/// One state of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    object: Object,
    journal: Journal<Value>,
    controllers: [Controller; 2],
    /// Who has the lease.
    holder: usize,
    messages: Vec<Message>,
    crashes: u8,
    flips: u8,
    edits: u8,
    refusals: u8,
    deleted: bool,
    late: bool,
    /// The journal was just created, and its creator goes on with it.
    fresh: bool,
    /// A law that was broken by the last action, in words.
    broken: Option<&'static str>,
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stamp = self.object.stamp.map_or("no stamp".to_owned(), |stamp| stamp.to_string());
        write!(f, "{:?} [{stamp}] {:?} attempt {}", self.object.value, self.journal.phase, self.journal.attempt)?;
        for message in &self.messages {
            write!(f, "; {:?} of {:?}", message.request, message.sender)?;
        }
        self.broken.map_or(Ok(()), |law| write!(f, "; BROKEN: {law}"))
    }
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A controller that believes to lead reads the target.
    Glance(usize),
    /// It reads the journal and starts its pass.
    Begin(usize),
    /// A request lands, and its sender hears of it if it still waits.
    Land(usize),
    /// The sender's deadline passes; the request stays under way, and may land later or never.
    TimeOut(usize),
    /// The API server refuses the request for good, and its sender hears of it.
    Refuse(usize),
    /// The request is lost, and its sender's deadline passes.
    Lose(usize),
    /// The verification says something.
    Judge(usize, Verdict),
    /// A controller is killed and starts again.
    Crash(usize),
    /// The other controller gets the lease.
    Flip,
    /// A person writes the field.
    Edit(Value),
    /// Kubernetes writes the object's status: nothing but its version moves.
    Status,
    /// The policy is deleted.
    Delete,
    /// So much time passes that an unwritten decision is void.
    Wait,
}

const PROPOSED: Timestamp = Timestamp::from_millis(0);

impl World {
    fn start() -> Self {
        let leader = Controller { leads: true, ..Controller::default() };
        Self {
            object: Object { value: Value::Old, stamp: None },
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
        if self.late { PROPOSED + VALID_FOR + VALID_FOR } else { PROPOSED }
    }

    fn seen(&self) -> Target<Value, Version> {
        Target { value: self.object.value, version: Version::Current, stamp: self.object.stamp }
    }

    fn begin(&mut self, i: usize) {
        let Some(target) = self.controllers[i].glance.take() else { return };
        let abort = self.deleted.then_some(Abort::PolicyDeleted);
        let tx = if self.fresh { Tx::begin(self.journal.clone()) } else { Tx::resume(self.journal.clone(), abort) };
        self.fresh = false;
        self.controllers[i].pass = Some((tx, Version::Current));
        self.feed(i, Event::Seen(Some(target)));
    }

    /// Gives an event to a controller and carries out or sends what it answers.
    fn feed(&mut self, i: usize, event: Event<Value, Version>) {
        let Some((tx, version)) = self.controllers[i].pass.take() else { return };
        let (tx, effects) = step(tx, event, self.now());
        self.controllers[i].waiting = false;
        self.controllers[i].judging = false;
        let Some(effect) = effects.into_iter().next() else { return };
        let request = match effect {
            Effect::Verify => {
                self.controllers[i].judging = true;
                self.controllers[i].pass = Some((tx, version));
                return;
            }
            Effect::Stamp { stamp, at } => Request::Stamp { stamp, at },
            Effect::Write { value, at } => Request::Write { value, at },
            Effect::Record(journal) => Request::Record { journal: key(&journal), at: version },
        };
        self.controllers[i].waiting = true;
        self.controllers[i].pass = Some((tx, version));
        self.messages.push(Message { request, sender: Some(i) });
    }

    /// The API server handles a request; what the sender would hear.
    fn land(&mut self, request: &Request, sender: Option<usize>, without: Without) -> Event<Value, Version> {
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

    fn object_changed(&mut self) {
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
    fn something_is_current(&self) -> bool {
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
                *version = if by == Some(i) { Version::Current } else { Version::Stale };
            }
        }
    }

    /// A controller whose write met a newer version reads the target again, and sends the write once
    /// more if stamp and value are what it saw: Kubernetes itself writes a target's status all the time.
    fn only_version_moved(&self, i: usize) -> bool {
        let seen = self.controllers[i].pass.as_ref().and_then(|(tx, _)| tx.target.as_ref());
        seen.is_some_and(|seen| seen.value == self.object.value && seen.stamp == self.object.stamp)
    }

    /// Brings equal histories to one form: requests nobody waits for are a set, and those whose
    /// precondition has failed are as good as lost.
    fn settle(&mut self, without: Without) {
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
            journal.into_iter().chain(recording).for_each(|journal| visit(&mut journal.attempt));
            let stamps = target.into_iter().chain(glance.as_mut()).filter_map(|target| target.stamp.as_mut());
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
    fn recovers(&self, passes: usize) -> bool {
        let mut world = self.clone();
        world.messages.clear();
        world.fresh = false;
        world.controllers = [Controller { leads: true, ..Controller::default() }, Controller::default()];
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

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::start()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let delayed = world.messages.iter().filter(|message| message.sender.is_none()).count();
        let may_delay = delayed < self.faults.delayed;
        for (i, controller) in world.controllers.iter().enumerate() {
            if controller.waiting {
                // With too many under way already, this one is lost instead.
                actions.push(if may_delay { Action::TimeOut(i) } else { Action::Lose(i) });
                if world.refusals < self.faults.refusals {
                    actions.push(Action::Refuse(i));
                }
            } else if controller.judging {
                actions.extend(
                    [Verdict::Achieved, Verdict::Broken, Verdict::Ineffective].map(|verdict| Action::Judge(i, verdict)),
                );
            } else if controller.glance.is_some() {
                actions.push(Action::Begin(i));
            } else if controller.leads && world.journal.is_open() {
                actions.push(Action::Glance(i));
            }
            if world.crashes < self.faults.crashes && (controller.pass.is_some() || controller.glance.is_some()) {
                actions.push(Action::Crash(i));
            }
        }
        for k in 0..world.messages.len() {
            actions.push(Action::Land(k));
        }
        if world.flips < self.faults.flips {
            actions.push(Action::Flip);
        }
        if world.edits < self.faults.edits {
            actions.extend([Value::Human, Value::Old].map(Action::Edit));
        }
        if world.something_is_current() {
            actions.push(Action::Status);
        }
        if !world.deleted {
            actions.push(Action::Delete);
        }
        if !world.late && world.journal.phase == Phase::Applying {
            actions.push(Action::Wait);
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        world.broken = None;
        match action {
            Action::Glance(i) => {
                world.controllers[i].glance = Some(world.seen());
                if !self.faults.skew {
                    world.begin(i);
                }
            }
            Action::Begin(i) => world.begin(i),
            Action::Land(k) => {
                let message = world.messages.remove(k);
                let heard = world.land(&message.request, message.sender, self.without);
                if let Some(i) = message.sender {
                    match (heard, message.request) {
                        (Event::Conflict, Request::Write { value, .. }) if world.only_version_moved(i) => {
                            let request = Request::Write { value, at: Version::Current };
                            world.messages.push(Message { request, sender: Some(i) });
                        }
                        (heard, _) => world.feed(i, heard),
                    }
                }
            }
            Action::TimeOut(i) => {
                let message = world.messages.iter_mut().find(|message| message.sender == Some(i))?;
                message.sender = None;
                let heard = unheard(&message.request);
                world.feed(i, heard);
            }
            Action::Refuse(i) => {
                let refusable = |message: &Message| !matches!(message.request, Request::Record { .. });
                let k = world.messages.iter().position(|m| m.sender == Some(i) && refusable(m))?;
                world.messages.remove(k);
                world.refusals += 1;
                world.feed(i, Event::Refused);
            }
            Action::Lose(i) => {
                let k = world.messages.iter().position(|message| message.sender == Some(i))?;
                let message = world.messages.remove(k);
                world.feed(i, unheard(&message.request));
            }
            Action::Judge(i, verdict) => {
                world.controllers[i].judging = false;
                world.feed(
                    i,
                    match verdict {
                        Verdict::Achieved => Event::Achieved,
                        Verdict::Broken => Event::RollBack { to: Value::Old, verdict },
                        verdict => Event::Keep { verdict },
                    },
                );
            }
            Action::Crash(i) => {
                world.crashes += 1;
                let delayed = world.messages.iter().filter(|message| message.sender.is_none()).count();
                if delayed < self.faults.delayed {
                    for message in world.messages.iter_mut().filter(|message| message.sender == Some(i)) {
                        message.sender = None;
                    }
                }
                world.messages.retain(|message| message.sender != Some(i));
                // Started again, it leads only if the lease is still its own.
                world.controllers[i] = Controller { leads: world.holder == i, ..Controller::default() };
            }
            Action::Flip => {
                world.flips += 1;
                world.holder = 1 - world.holder;
                world.controllers[world.holder].leads = true;
            }
            Action::Edit(value) => {
                if world.object.value == value {
                    return None;
                }
                world.edits += 1;
                world.object.value = value;
                world.object_changed();
            }
            Action::Status => world.object_changed(),
            Action::Delete => world.deleted = true,
            Action::Wait => world.late = true,
        }
        world.settle(self.without);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no law is broken", |_, world: &World| world.broken.is_none()),
            Property::always("once faults stop, five passes close the journal", |_, world: &World| world.recovers(5)),
            Property::sometimes("a change is committed", |_, world: &World| {
                world.journal.phase == Phase::Closed(Outcome::Committed)
            }),
            Property::sometimes("a change is rolled back", |_, world: &World| {
                world.journal.phase == Phase::Closed(Outcome::RolledBack)
            }),
        ]
    }
}

fn unheard(request: &Request) -> Event<Value, Version> {
    match request {
        Request::Record { .. } => Event::NotRecorded,
        Request::Stamp { .. } | Request::Write { .. } => Event::Lost,
    }
}
