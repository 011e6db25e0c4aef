//! The transaction's protocol, checked exhaustively.
//!
//! One target in one object or in several, one journal at a time, two controllers that both drive the shipped
//! [`flyball_core::transaction::step`]; writes that are delayed, reordered, lost before or after
//! they land; crashes, lease flips, human edits, a policy's deletion, hand-overs, decisions that grow old.
//! A controller that lost the lease goes on believing that it leads until it crashes: no lease is
//! a fence. Each object has its own value, resourceVersion and stamp, and is read and written on its own, as
//! the controller's hands do.

mod compact;
mod laws;
mod search;
mod world;

pub use compact::Value;
use compact::{Clock, Stage, Trial, Values, Version};
use flyball_core::transaction::{Event, Verdict};
pub use search::{Report, Violation};
use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};
pub use world::World;
use world::{Controller, Message, Request};

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
    /// Whether Kubernetes writes the target's status at any time.
    pub status_writes: bool,
    /// Whether anything may happen between a pass's reading of the target and of the journal.
    pub skew: bool,
    /// Whether a pass may hand the field to another writer, at any time.
    pub hand_over: bool,
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
    /// Of several objects only the first is stamped.
    OtherStamps,
    /// Several objects count as stamped once one of them is.
    EachStamp,
}

/// All that a quiet pass reads of a world.
type Rest<const N: usize> = ([compact::Object; N], compact::Record<N>, bool, Clock);

/// The model, with the field in `N` objects.
#[derive(Debug)]
pub struct Protocol<const N: usize> {
    faults: Faults,
    without: Without,
    trial: Trial,
    /// Whether the protocol comes to an end from here: asked of every state, and of few different ones.
    recovered: RwLock<HashMap<Rest<N>, bool>>,
}

impl<const N: usize> Protocol<N> {
    /// The protocol without a part of it, under these faults.
    pub fn new(faults: Faults, without: Without) -> Self {
        Self {
            faults,
            without,
            trial: Trial::Unneeded,
            recovered: RwLock::default(),
        }
    }

    /// The same of a change that is tried first.
    #[must_use]
    pub fn tried_first(self) -> Self {
        Self {
            trial: Trial::Open,
            ..self
        }
    }

    fn recovers(&self, world: &World<N>) -> bool {
        let rest = (world.objects, world.journal, world.deleted, world.clock);
        let known = self.recovered.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(recovers) = known.get(&rest) {
            return *recovers;
        }
        drop(known);
        let recovers = world.recovers(5);
        let mut known = self.recovered.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(rest, recovers);
        recovers
    }
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A controller that believes to lead reads an object; with no time between the readings, all of them.
    Glance(usize, usize),
    /// It reads the journal and starts its pass.
    Begin(usize),
    /// It reads the journal and starts a pass that hands the field over.
    HandOver(usize),
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
    /// A person writes the field in an object.
    Edit(usize, Value),
    /// Kubernetes writes an object's status: nothing but its version moves.
    Status(usize),
    /// The policy is deleted.
    Delete,
    /// So much time passes that an unwritten decision is void.
    Wait,
}

impl<const N: usize> Protocol<N> {
    /// What can happen next.
    fn actions(&self, world: &World<N>, actions: &mut Vec<Action>) {
        let may_delay = world.delayed() < self.faults.delayed;
        for (i, controller) in world.controllers.iter().enumerate() {
            let glances = controller.glance.iter().flatten().count();
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
            } else if glances == N {
                actions.push(Action::Begin(i));
                if self.faults.hand_over && !world.fresh {
                    actions.push(Action::HandOver(i));
                }
            } else if controller.leads && (glances > 0 || world.journal.stage.is_open()) {
                let places = if self.faults.skew { N } else { 1 };
                let unread = (0..places).filter(|place| controller.glance[*place].is_none());
                actions.extend(unread.map(|place| Action::Glance(i, place)));
            }
            if world.crashes < self.faults.crashes && (controller.pass.is_some() || glances > 0) {
                actions.push(Action::Crash(i));
            }
        }
        for k in 0..world.messages.len() {
            actions.push(Action::Land(k));
        }
        if world.flips < self.faults.flips {
            actions.push(Action::Flip);
        }
        for place in 0..N {
            if world.edits < self.faults.edits {
                actions.extend([Value::Human, Value::Old].map(|value| Action::Edit(place, value)));
                // Not before it was tried is the new value ours.
                if world.journal.trial == Trial::Open {
                    actions.push(Action::Edit(place, Value::New));
                }
            }
            if self.faults.status_writes && world.something_is_current(place) {
                actions.push(Action::Status(place));
            }
        }
        if !world.deleted {
            actions.push(Action::Delete);
        }
        if world.clock == world.journal.decided_at() && world.journal.stage == Stage::Applying {
            actions.push(Action::Wait);
        }
    }

    /// The world after an action; `None`: nothing would change.
    fn next_state(&self, last: &World<N>, action: Action) -> Option<World<N>> {
        let mut world = last.clone();
        let without = self.without;
        world.broken = None;
        match action {
            Action::Glance(i, place) if self.faults.skew => world.glance(i, place),
            Action::Glance(i, _) => {
                (0..N).for_each(|place| world.glance(i, place));
                world.begin(i, false, without);
            }
            Action::Begin(i) => world.begin(i, false, without),
            Action::HandOver(i) => world.begin(i, true, without),
            Action::Land(k) => {
                let message = world.messages.remove(k);
                let heard = world.land(&message.request, message.sender, without);
                if let Some(i) = message.sender {
                    let again = matches!(heard, Event::Conflict).then(|| world.sent_again(i, &message.request));
                    match again.flatten() {
                        Some(request) => world.messages.push(Message {
                            request,
                            sender: Some(i),
                        }),
                        None => world.feed(i, heard, without),
                    }
                }
            }
            Action::TimeOut(i) => {
                let message = world.messages.iter_mut().find(|message| message.sender == Some(i))?;
                message.sender = None;
                let heard = unheard(&message.request);
                world.feed(i, heard, without);
            }
            Action::Refuse(i) => {
                let refusable = |message: &Message<N>| !matches!(message.request, Request::Record { .. });
                let k = world
                    .messages
                    .iter()
                    .position(|m| m.sender == Some(i) && refusable(m))?;
                world.messages.remove(k);
                world.refusals += 1;
                world.feed(i, Event::Refused, without);
            }
            Action::Lose(i) => {
                let k = world.messages.iter().position(|message| message.sender == Some(i))?;
                let message = world.messages.remove(k);
                world.feed(i, unheard(&message.request), without);
            }
            Action::Judge(i, verdict) => world.feed(i, judged(verdict), without),
            Action::Crash(i) => {
                world.crashes += 1;
                if world.delayed() < self.faults.delayed {
                    for message in world.messages.iter_mut().filter(|message| message.sender == Some(i)) {
                        message.sender = None;
                    }
                }
                world.messages.retain(|message| message.sender != Some(i));
                // Started again, it leads only if the lease is still its own.
                world.controllers[i] = Controller::started(world.holder == i);
            }
            Action::Flip => {
                world.flips += 1;
                world.holder = 1 - world.holder;
                world.controllers[world.holder].leads = true;
            }
            Action::Edit(place, value) => {
                if world.objects[place].value == value {
                    return None;
                }
                world.edits += 1;
                world.touched[place] = true;
                world.objects[place].value = value;
                world.object_changed(place);
            }
            Action::Status(place) => world.object_changed(place),
            Action::Delete => world.deleted = true,
            Action::Wait => world.clock += 1,
        }
        world.settle(without);
        world.judge_closed();
        Some(world)
    }

    /// The law that is broken in this state, if one is.
    fn broken_law(&self, world: &World<N>) -> Option<&'static str> {
        let stuck = || {
            (!self.recovers(world)).then_some("faults are at an end, and five passes do not close the journal (law 5)")
        };
        world.broken.or_else(stuck)
    }
}

fn judged<const N: usize>(verdict: Verdict) -> Event<Values<N>, [Version; N]> {
    match verdict {
        Verdict::Achieved => Event::Achieved,
        Verdict::Broken => Event::RollBack {
            to: Values::OLD,
            verdict,
        },
        verdict => Event::Keep { verdict },
    }
}

fn unheard<const N: usize>(request: &Request<N>) -> Event<Values<N>, [Version; N]> {
    match request {
        Request::Record { .. } => Event::NotRecorded,
        Request::Stamp { .. } | Request::Write { .. } => Event::Lost,
    }
}
