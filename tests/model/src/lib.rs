//! The transaction's protocol, checked exhaustively.
//!
//! One target, one journal at a time, two controllers that both drive the shipped
//! [`flyball_core::transaction::step`]; writes that are delayed, reordered, lost before or after
//! they land; crashes, lease flips, human edits, a policy's deletion, hand-overs, decisions that grow old.
//! A controller that lost the lease goes on believing that it leads until it crashes: no lease is
//! a fence.

mod world;

use flyball_core::transaction::{Event, Outcome, Phase, Verdict};
use stateright::{Model, Property};
use world::{Controller, Message, Request, Version};
pub use world::{Value, World};

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
}

/// The model.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// What may go wrong.
    pub faults: Faults,
    /// What is taken out.
    pub without: Without,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A controller that believes to lead reads the target.
    Glance(usize),
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
    /// A person writes the field.
    Edit(Value),
    /// Kubernetes writes the object's status: nothing but its version moves.
    Status,
    /// The policy is deleted.
    Delete,
    /// So much time passes that an unwritten decision is void.
    Wait,
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
                if self.faults.hand_over && !world.fresh {
                    actions.push(Action::HandOver(i));
                }
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
        if self.faults.status_writes && world.something_is_current() {
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
            Action::HandOver(i) => world.hand_over(i),
            Action::Land(k) => {
                let message = world.messages.remove(k);
                let heard = world.land(&message.request, message.sender, self.without);
                if let Some(i) = message.sender {
                    match (heard, message.request) {
                        (Event::Conflict, Request::Write { value, .. }) if world.only_version_moved(i) => {
                            let request = Request::Write {
                                value,
                                at: Version::Current,
                            };
                            world.messages.push(Message {
                                request,
                                sender: Some(i),
                            });
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
                let k = world
                    .messages
                    .iter()
                    .position(|m| m.sender == Some(i) && refusable(m))?;
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
                        Verdict::Broken => Event::RollBack {
                            to: Value::Old,
                            verdict,
                        },
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
                world.controllers[i] = Controller {
                    leads: world.holder == i,
                    ..Controller::default()
                };
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
            Property::always("once faults stop, five passes close the journal", |_, world: &World| {
                world.recovers(5)
            }),
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
