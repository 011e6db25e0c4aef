//! The laws, as they must hold wherever the field stands in several objects.

use super::{
    Without,
    compact::{Record, Stage, Trial, Value},
    world::{Controller, Request, World},
};
use flyball_core::transaction::Event;

impl<const N: usize> World<N> {
    /// The laws about a write that lands in an object.
    pub(super) fn judge_write(&mut self, place: usize, value: Value, attempt: u8) {
        let object = self.objects[place];
        self.broken = match (self.journal.stage, object.value) {
            _ if object.stamp.is_some_and(|stamp| stamp > attempt) => {
                Some("a write landed on an object that a later attempt had stamped (law 4)")
            }
            (stage, _) if !stage.is_open() => Some("a write landed after its journal was closed (law 4)"),
            (_, Value::Human) => Some("a write landed on somebody else's value (law 8)"),
            (Stage::Applying, current) if (current, value) == self.journal.forward() => None,
            (Stage::RollingBack, current) if self.journal.may_have_written(current) && value == Value::Old => None,
            // The same value again changes nothing that anybody could see.
            (_, current) if current == value => None,
            _ => Some("a write landed that the journal does not know (law 1)"),
        };
    }

    /// The laws about a journal that was just recorded over one that was at `from`. What a person wrote is theirs,
    /// and may be so between our reading and our record.
    pub(super) fn judge_record(&mut self, from: Record<N>) {
        let holds = |value| {
            let mut objects = self.objects.iter().zip(self.touched);
            objects.any(|(object, touched)| !touched && object.value == value)
        };
        self.broken = match self.journal.stage {
            Stage::Committed if from.stage != Stage::Verifying || from.trial == Trial::Open => {
                Some("committed, and the whole was not being verified (law 6)")
            }
            // No person writes it, so it is ours, whatever else was written.
            stage if !stage.is_open() && self.objects.iter().any(|object| object.value == Value::Trial) => {
                Some("closed, and an object holds the trial's value (law 5)")
            }
            Stage::Committed if !self.journal.achieved => Some("committed without a recorded verification (law 6)"),
            Stage::Committed if holds(Value::Old) => Some("committed, and an object holds the old value (law 5)"),
            Stage::RolledBack if holds(Value::New) => Some("rolled back, and an object holds the new value (law 5)"),
            Stage::Superseded if from.stage != Stage::Verifying && holds(Value::New) => {
                Some("superseded before it was verified, and an object holds the new value (law 5)")
            }
            stage if !stage.is_open() && self.edits == 0 && holds(Value::Old) && holds(Value::New) => {
                Some("closed, and one object holds the old value and another the new one (law 5)")
            }
            _ => None,
        };
    }

    /// The law about a journal that is closed: no write of it can land any more, in any object.
    pub(super) fn judge_closed(&mut self) {
        let lands = |request: &Request<N>| matches!(request, Request::Write { .. }) && !request.is_stale();
        if !self.journal.stage.is_open() && self.messages.iter().any(|message| lands(&message.request)) {
            let law = "the journal is closed, and a write of it can still land (law 4)";
            self.broken = self.broken.or(Some(law));
        }
    }

    /// Whether, with faults at an end, one controller closes the journal within `passes` passes. The objects, the
    /// journal, and whether the policy is deleted and what time it is are all that counts.
    pub(super) fn recovers(&self, passes: usize) -> bool {
        let mut world = self.clone();
        world.messages.clear();
        world.fresh = false;
        world.controllers = [Controller::started(true), Controller::started(false)];
        for _ in 0..passes {
            if !world.journal.stage.is_open() {
                return true;
            }
            (0..N).for_each(|place| world.glance(0, place));
            world.begin(0, false, Without::Nothing);
            loop {
                if let Some(message) = world.messages.pop() {
                    let heard = world.land(&message.request, message.sender, Without::Nothing);
                    world.feed(0, heard, Without::Nothing);
                } else if world.controllers[0].judging {
                    world.feed(0, Event::Achieved, Without::Nothing);
                } else {
                    break;
                }
            }
        }
        !world.journal.stage.is_open()
    }
}
