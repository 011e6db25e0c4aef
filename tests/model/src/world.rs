//! The world of the model: the API server's objects, the requests under way, the controllers.

use super::{
    Without,
    compact::{Clock, Known, Object, Pass, Record, Trial, Value, Values, Version, attempt_of, joined, time},
};
use flyball_core::{
    time::Timestamp,
    transaction::{Effect, Event, step},
};
use std::{
    fmt,
    hash::{Hash, Hasher},
};

/// A request that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Request<const N: usize> {
    Stamp {
        place: usize,
        attempt: u8,
        at: Version,
    },
    Write {
        place: usize,
        value: Value,
        /// The attempt that its pass owns. The server does not see it; a law is about it.
        attempt: u8,
        at: Version,
    },
    Record {
        journal: Record<N>,
        at: Version,
    },
}

impl<const N: usize> Request<N> {
    /// Whether its precondition has failed.
    pub const fn is_stale(&self) -> bool {
        let (Self::Stamp { at, .. } | Self::Write { at, .. } | Self::Record { at, .. }) = self;
        matches!(at, Version::Stale)
    }

    /// The object that it writes; `None`: the journal.
    const fn place(&self) -> Option<usize> {
        match self {
            Self::Stamp { place, .. } | Self::Write { place, .. } => Some(*place),
            Self::Record { .. } => None,
        }
    }

    fn outdate(&mut self) {
        let (Self::Stamp { at, .. } | Self::Write { at, .. } | Self::Record { at, .. }) = self;
        *at = Version::Stale;
    }
}

/// A request with its sender, if that one still waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Message<const N: usize> {
    pub request: Request<N>,
    pub sender: Option<usize>,
}

/// A controller process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Controller<const N: usize> {
    /// It believes to lead. Only a crash teaches it otherwise: no lease is a fence.
    pub leads: bool,
    /// The objects as read for the next pass, so far.
    pub glance: [Option<Known>; N],
    /// The pass it is in.
    pub pass: Option<Pass<N>>,
    /// It waits for the answer to a request.
    pub waiting: bool,
    /// It has to judge the effect.
    pub judging: bool,
}

impl<const N: usize> Hash for Controller<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let flags = [self.leads, self.waiting, self.judging, self.pass.is_some()];
        let flags = flags.into_iter().chain(self.glance.iter().map(Option::is_some));
        state.write_u8(flags.fold(0, |all, flag| all << 1 | u8::from(flag)));
        self.glance.iter().flatten().for_each(|known| known.hash(state));
        if let Some(pass) = &self.pass {
            pass.hash(state);
        }
    }
}

impl<const N: usize> Controller<N> {
    pub const fn started(leads: bool) -> Self {
        Self {
            leads,
            glance: [None; N],
            pass: None,
            waiting: false,
            judging: false,
        }
    }

    /// The objects, once each was read.
    pub fn glanced(&self) -> Option<[Known; N]> {
        let mut known = [self.glance[0]?; N];
        for (known, glance) in known.iter_mut().zip(self.glance) {
            *known = glance?;
        }
        Some(known)
    }
}

/// One state of the world, with the field in `N` objects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World<const N: usize> {
    pub(super) objects: [Object; N],
    pub(super) journal: Record<N>,
    pub(super) controllers: [Controller<N>; 2],
    /// Who has the lease.
    pub(super) holder: usize,
    pub(super) messages: Vec<Message<N>>,
    pub(super) crashes: u8,
    pub(super) flips: u8,
    pub(super) edits: u8,
    pub(super) refusals: u8,
    /// The objects that a person wrote.
    pub(super) touched: [bool; N],
    pub(super) deleted: bool,
    pub(super) clock: Clock,
    /// The journal was just created, and its creator goes on with it.
    pub(super) fresh: bool,
    /// A law that was broken by the last action, in words.
    pub(super) broken: Option<&'static str>,
}

impl<const N: usize> fmt::Display for World<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for object in &self.objects {
            write!(f, "{:?} ", object.value)?;
            match object.stamp {
                Some(attempt) => write!(f, "[attempt {attempt}] ")?,
                None => write!(f, "[no stamp] ")?,
            }
        }
        write!(f, "{:?} attempt {}", self.journal.stage, self.journal.attempt)?;
        for message in &self.messages {
            write!(f, "; {:?} of {:?}", message.request, message.sender)?;
        }
        self.broken.map_or(Ok(()), |law| write!(f, "; BROKEN: {law}"))
    }
}

impl<const N: usize> World<N> {
    pub(super) const fn start(trial: Trial) -> Self {
        let object = Object {
            value: Value::Old,
            stamp: None,
        };
        Self {
            objects: [object; N],
            journal: Record::open(trial),
            controllers: [Controller::started(true), Controller::started(false)],
            holder: 0,
            messages: Vec::new(),
            crashes: 0,
            flips: 0,
            edits: 0,
            refusals: 0,
            touched: [false; N],
            deleted: false,
            clock: 0,
            fresh: true,
            broken: None,
        }
    }

    fn now(&self) -> Timestamp {
        time(self.clock)
    }

    /// Requests that nobody waits for.
    pub(super) fn delayed(&self) -> usize {
        self.messages.iter().filter(|message| message.sender.is_none()).count()
    }

    fn seen(&self, place: usize) -> Known {
        Known {
            object: self.objects[place],
            version: Version::Current,
        }
    }

    /// A controller reads one object. Objects are read one after the other, in any order.
    pub(super) fn glance(&mut self, i: usize, place: usize) {
        self.controllers[i].glance[place] = Some(self.seen(place));
    }

    /// It reads the journal, after the objects, and starts its pass.
    pub(super) fn begin(&mut self, i: usize, hands_over: bool, without: Without) {
        let Some(known) = self.controllers[i].glanced() else {
            return;
        };
        self.controllers[i].glance = [None; N];
        let pass = if hands_over {
            Pass::hand_over(self.journal, known)
        } else if self.fresh {
            Pass::begin(self.journal, known)
        } else {
            Pass::resume(self.journal, known, self.deleted)
        };
        self.fresh = false;
        self.controllers[i].pass = Some(pass);
        self.feed(i, Event::Seen(Some(joined(&known, without))), without);
    }

    /// Gives an event to a controller and sends what it answers, as the controller's hands do: one request, to
    /// the first object that is not yet as it should be.
    pub(super) fn feed(&mut self, i: usize, event: Event<Values<N>, [Version; N]>, without: Without) {
        let Some(pass) = self.controllers[i].pass.take() else {
            return;
        };
        let (tx, effects) = step(pass.tx(without), event, self.now());
        let pass = pass.after(&tx);
        self.controllers[i].waiting = false;
        self.controllers[i].judging = false;
        let Some(effect) = effects.into_iter().next() else {
            return;
        };
        self.controllers[i].pass = Some(pass);
        let differs = |place: usize, value: &Values<N>| value.0[place] != pass.known[place].object.value;
        let request = match effect {
            Effect::Verify => {
                self.controllers[i].judging = true;
                return;
            }
            Effect::Stamp { stamp, at } => {
                let attempt = attempt_of(stamp.attempt);
                let places = if without == Without::OtherStamps { 1 } else { N };
                (0..places)
                    .find(|place| pass.known[*place].object.stamp != Some(attempt))
                    .map(|place| Request::Stamp {
                        place,
                        attempt,
                        at: at[place],
                    })
            }
            Effect::Write { value, at } => (0..N)
                .find(|place| differs(*place, &value))
                .map(|place| Request::Write {
                    place,
                    value: value.0[place],
                    attempt: pass.journal.attempt,
                    at: at[place],
                }),
            Effect::Record(journal) => Some(Request::Record {
                journal: Record::of(&journal),
                at: pass.version,
            }),
        };
        let Some(request) = request else {
            // Nothing is to be sent. The step function must not ask for it, or a pass could go round for ever.
            self.broken = Some("a write was asked for that changes nothing");
            return;
        };
        self.controllers[i].waiting = true;
        self.messages.push(Message {
            request,
            sender: Some(i),
        });
    }

    /// The API server handles a request; what the sender would hear.
    pub(super) fn land(
        &mut self,
        request: &Request<N>,
        sender: Option<usize>,
        without: Without,
    ) -> Event<Values<N>, [Version; N]> {
        let ignored = without == Without::Precondition && request.place().is_some();
        if request.is_stale() && !ignored {
            return match request {
                Request::Record { .. } => Event::NotRecorded,
                Request::Stamp { .. } | Request::Write { .. } => Event::Conflict,
            };
        }
        match *request {
            Request::Stamp { place, attempt, .. } => {
                self.objects[place].stamp = Some(attempt);
                if without != Without::Fence {
                    self.object_changed(place);
                }
                self.accepted(place, sender, without)
            }
            Request::Write {
                place, value, attempt, ..
            } => {
                self.judge_write(place, value, attempt);
                self.objects[place].value = value;
                self.object_changed(place);
                self.accepted(place, sender, without)
            }
            Request::Record { journal, .. } => {
                let before = std::mem::replace(&mut self.journal, journal);
                self.journal_changed(sender);
                self.judge_record(before);
                Event::Recorded
            }
        }
    }

    /// The sender's hands keep the object as the server returned it, and know the others as they were last seen.
    fn accepted(&mut self, place: usize, sender: Option<usize>, without: Without) -> Event<Values<N>, [Version; N]> {
        let seen = self.seen(place);
        let pass = sender.and_then(|i| self.controllers[i].pass.as_mut());
        pass.map_or(Event::Lost, |pass| {
            pass.known[place] = seen;
            Event::Accepted(joined(&pass.known, without))
        })
    }

    /// Every copy of the object's version grows stale.
    pub(super) fn object_changed(&mut self, place: usize) {
        for message in &mut self.messages {
            if message.request.place() == Some(place) {
                message.request.outdate();
            }
        }
        for controller in &mut self.controllers {
            if let Some(pass) = &mut controller.pass {
                pass.known[place].version = Version::Stale;
            }
            if let Some(glance) = &mut controller.glance[place] {
                glance.version = Version::Stale;
            }
        }
    }

    /// Whether anything would notice that the object's version moves.
    pub(super) fn something_is_current(&self, place: usize) -> bool {
        let mut there = self.messages.iter().map(|message| &message.request);
        there.any(|request| request.place() == Some(place) && !request.is_stale())
    }

    /// The one whose record was accepted knows the new version; everybody else's is stale.
    fn journal_changed(&mut self, by: Option<usize>) {
        for message in &mut self.messages {
            if message.request.place().is_none() {
                message.request.outdate();
            }
        }
        for (i, controller) in self.controllers.iter_mut().enumerate() {
            if let Some(pass) = &mut controller.pass {
                pass.version = if by == Some(i) {
                    Version::Current
                } else {
                    Version::Stale
                };
            }
        }
    }

    /// A controller whose write met a newer version reads that object again, and sends the write once
    /// more if stamp and value are what it saw: Kubernetes itself writes a target's status all the time.
    pub(super) fn sent_again(&self, i: usize, request: &Request<N>) -> Option<Request<N>> {
        let pass = self.controllers[i].pass.as_ref()?;
        match *request {
            Request::Write {
                place, value, attempt, ..
            } if pass.known[place].object == self.objects[place] => Some(Request::Write {
                place,
                value,
                attempt,
                at: Version::Current,
            }),
            _ => None,
        }
    }

    /// Brings equal histories to one form: requests nobody waits for are a set, and those whose
    /// precondition has failed are as good as lost.
    pub(super) fn settle(&mut self, without: Without) {
        self.messages.retain(|message| {
            let ignored = without == Without::Precondition && message.request.place().is_some();
            message.sender.is_some() || ignored || !message.request.is_stale()
        });
        self.renumber_attempts();
        // The two controllers are alike, so a state and its mirror image are one.
        if self.controllers[0] > self.controllers[1] {
            self.controllers.swap(0, 1);
            self.holder = 1 - self.holder;
            for sender in self.messages.iter_mut().filter_map(|message| message.sender.as_mut()) {
                *sender = 1 - *sender;
            }
        }
        self.messages.sort_unstable();
        self.messages.dedup();
    }

    /// Attempts matter only by their order, so they are numbered from zero without gaps.
    fn renumber_attempts(&mut self) {
        let mut seen: u64 = 0;
        self.each_attempt(&mut |attempt| seen |= 1 << (*attempt).min(63));
        self.each_attempt(&mut |attempt| {
            let below = seen & ((1 << (*attempt).min(63)) - 1);
            *attempt = attempt_of(below.count_ones().into());
        });
    }

    fn each_attempt(&mut self, visit: &mut impl FnMut(&mut u8)) {
        visit(&mut self.journal.attempt);
        self.objects
            .iter_mut()
            .filter_map(|object| object.stamp.as_mut())
            .for_each(&mut *visit);
        for message in &mut self.messages {
            match &mut message.request {
                Request::Stamp { attempt, .. } | Request::Write { attempt, .. } => visit(attempt),
                Request::Record { journal, .. } => visit(&mut journal.attempt),
            }
        }
        for controller in &mut self.controllers {
            let glanced = controller.glance.iter_mut().flatten();
            glanced
                .filter_map(|known| known.object.stamp.as_mut())
                .for_each(&mut *visit);
            if let Some(pass) = &mut controller.pass {
                visit(&mut pass.journal.attempt);
                if let Some(recording) = &mut pass.recording {
                    visit(&mut recording.attempt);
                }
                let known = pass.known.iter_mut();
                known
                    .filter_map(|known| known.object.stamp.as_mut())
                    .for_each(&mut *visit);
            }
        }
    }
}
