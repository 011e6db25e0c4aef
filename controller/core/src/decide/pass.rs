//! One pass of one action, in order.

use super::{
    Decision, Direction, Facts, History, Inputs, Limits, Lowest, NoNumber, Proposal, Wish, fallback, replicas, rollout,
    spike, stabilize,
    zero::{self, Activity},
};
use crate::{
    policy::{Bounds, Law, Replicas, ReplicasAction, Zero},
    time::Timestamp,
};

/// What a pass works on.
pub(super) struct Pass<'a> {
    pub action: &'a ReplicasAction,
    pub inputs: &'a Inputs<'a>,
    pub facts: &'a Facts,
    pub limits: Limits<'a>,
    pub now: Timestamp,
}

impl Pass<'_> {
    pub(super) fn decide(&self, history: &mut History) -> Decision {
        let current = self.facts.current;
        match &self.action.zero {
            Some(zero) if current.get() == 0 => self.at_zero(zero, history),
            _ if current.get() == 0 && self.action.bounds.min.get() > 0 => {
                // Whoever hands it back should not find that a fallback is overdue.
                fallback::note(history, false, self.now);
                let reason = "scaled to zero by hand; scale to 1 or more to hand it back".to_owned();
                stay(reason)
            }
            _ => match self.outside() {
                Some((to, reason)) => self.settle(to, Wish::bare(to, reason), None, history),
                None => match self.law() {
                    Ok(wish) => self.by_law(wish, history),
                    Err(no_number) => self.without_number(&no_number, history),
                },
            },
        }
    }

    /// What needs no law: a number outside of its bounds goes to the nearer one.
    fn outside(&self) -> Option<(Replicas, String)> {
        let current = self.facts.current;
        let Bounds { min, max } = self.limits.bounds;
        if current > max {
            Some((max, format!("{current} replicas are more than max {max}")))
        } else if current < min {
            let reason = format!("{current} replicas are fewer than {}, which needs no data", self.limits);
            Some((min, reason))
        } else {
            None
        }
    }

    /// What the law asks for. A step none of whose rules is answered has no data, unless it asks for more
    /// on what little there is.
    fn law(&self) -> Result<Wish, NoNumber> {
        let wish = replicas::wish(self.action, self.inputs, self.facts, self.now)?;
        let by_step = matches!(self.action.law, Law::Step(_));
        if by_step && wish.desired <= self.facts.current && !fallback::any_rule_answered(self.action, self.inputs) {
            return Err(NoNumber::NoData(wish.reason));
        }
        Ok(wish)
    }

    /// What the law asks for, through stabilisation.
    fn by_law(&self, wish: Wish, history: &mut History) -> Decision {
        let (action, current) = (self.action, self.facts.current);
        fallback::note(history, !wish.measured, self.now);
        let mut wish = match &action.law {
            Law::Step(step) => rollout::capped(wish, step, current, history),
            Law::Metrics(_) => wish,
        };
        spike::note(history, action, self.facts, Some(wish.desired), self.now);
        let (mut to, mut note) = stabilize::stabilize(current, wish.desired, history, action, self.now);
        let mut recommended = wish.desired;
        if !wish.measured {
            // Substitutes are no data, so the fallback counts beside them.
            let (least, remark) = fallback::raised(action, history, current, self.now);
            if least > to {
                (to, note) = (least, remark);
            }
            recommended = recommended.max(least);
        }
        stabilize::record(history, recommended, self.now, action);
        if let Some(zero) = action.zero.as_ref().filter(|_| self.limits.bounds.min.get() == 0) {
            match self.to_zero(zero, &wish, history) {
                Some(Ok(why)) => {
                    wish.reason = format!("{}; {why}", wish.reason);
                    (to, note) = (Replicas::nearest(0), None);
                }
                Some(Err(why)) if to.get() == 0 => {
                    to = Replicas::nearest(1);
                    note = Some(format!("the last replica stays: {why}"));
                }
                // What asks for more than one ends above it.
                _ => {}
            }
        }
        self.settle(to, wish, note, history)
    }

    /// Whether everything may go at once; `None` where more than the last replica is asked for.
    ///
    /// As in KEDA it is from the present number to none as soon as the cooldown is over, past the
    /// stabilisation window: the cooldown is a window of its own, over which fresh data said without a
    /// break that there is nothing to do, and the metrics agree that one replica is enough. What the
    /// window remembers of before is answered by that. Everything else stands: rates, cooldowns and
    /// budgets may make several steps of it, and an unusable metric keeps all of it from happening.
    fn to_zero(&self, zero: &Zero, wish: &Wish, history: &History) -> Option<Result<String, String>> {
        (wish.desired.get() <= 1 && wish.may_decrease).then(|| zero::may_go(zero, self.inputs, history, self.now))
    }

    /// At zero, with a signal that says when there is anything to do.
    fn at_zero(&self, zero: &Zero, history: &mut History) -> Decision {
        match zero::activity(zero, self.inputs) {
            Activity::Active(why) => self.wake(&why, history),
            Activity::Idle(why) => {
                // That metrics of pods are missing where there are no pods is in order.
                fallback::note(history, false, self.now);
                self.stay_or_rise(why, history)
            }
            Activity::Unknown(why) => {
                let reason = format!("at zero, and whether there is anything to do is not known: {why}");
                match self.law() {
                    Err(held @ NoNumber::Held(_)) if self.outside().is_none() => self.without_number(&held, history),
                    law => {
                        fallback::note(history, !law.is_ok_and(|wish| wish.measured), self.now);
                        self.stay_or_rise(reason, history)
                    }
                }
            }
        }
    }

    /// From zero to at least 1, at once: that there is something to do is reason enough. What the
    /// metrics ask for beyond that goes through the windows like any increase.
    fn wake(&self, why: &str, history: &mut History) -> Decision {
        fallback::note(history, false, self.now);
        let least = Replicas::nearest(1)
            .max(self.limits.bounds.min)
            .min(self.limits.bounds.max);
        let wish = match self.law() {
            Ok(wish) => Wish {
                desired: wish.desired.max(least),
                reason: format!("{why}; {}", wish.reason),
                ..wish
            },
            Err(no_number) => Wish::bare(least, format!("{why}; to {least}, since {no_number}")),
        };
        spike::note(history, self.action, self.facts, Some(wish.desired), self.now);
        let (to, note) = stabilize::stabilize(self.facts.current, wish.desired, history, self.action, self.now);
        stabilize::record(history, wish.desired, self.now, self.action);
        self.settle(to.max(least).min(self.limits.bounds.max), wish, note, history)
    }

    /// The law can't say what it wants. Where a signal holds everything, the fallback is held too, and
    /// whether there would be data is not known.
    fn without_number(&self, no_number: &NoNumber, history: &mut History) -> Decision {
        match no_number {
            NoNumber::NoData(reason) => {
                fallback::note(history, true, self.now);
                self.stay_or_rise(reason.clone(), history)
            }
            NoNumber::Held(_) => {
                stabilize::record(history, self.facts.current, self.now, self.action);
                stay(no_number.to_string())
            }
        }
    }

    /// Stays, unless a schedule or a fallback raises.
    fn stay_or_rise(&self, reason: String, history: &mut History) -> Decision {
        let current = self.facts.current;
        if let Some((to, reason)) = self.outside() {
            return self.settle(to, Wish::bare(to, reason), None, history);
        }
        let (to, remark) = fallback::raised(self.action, history, current, self.now);
        let reason = match remark {
            Some(remark) => format!("{reason}; {remark}"),
            None => reason,
        };
        // Staying, or the fallback, is what was recommended meanwhile. After an outage the windows of
        // PromQL are half empty and read low, and a decrease then has to wait for a whole window.
        stabilize::record(history, to, self.now, self.action);
        self.settle(to, Wish::bare(to, reason), None, history)
    }

    /// Why nothing is taken away, whoever asks for it.
    fn held(&self, history: &History) -> Option<String> {
        if let Some(why) = &self.facts.rollout {
            return Some(format!(
                "a rollout is under way ({why}), and nothing is taken away until it is over"
            ));
        }
        let remaining = spike::lasts(history, self.now)?;
        Some(format!(
            "a spike lasts for another {remaining}, and nothing is taken away until it is over"
        ))
    }

    /// From a stabilised wish to a decision.
    fn settle(&self, to: Replicas, wish: Wish, note: Option<String>, history: &History) -> Decision {
        let Wish {
            desired: _,
            mut reason,
            mut arithmetic,
            alerts,
            ..
        } = wish;
        arithmetic.extend(note.clone());
        let from = self.facts.current;
        let Bounds { min, max } = self.limits.bounds;
        let direction = match Direction::between(from, to) {
            Some(Direction::Up) if from >= max => {
                reason = format!("{reason}; but there are max {from} replicas already: raise max to allow more");
                None
            }
            Some(Direction::Down) if from <= min => {
                reason = format!("{reason}; but there are only {}", self.no_fewer(from));
                None
            }
            Some(Direction::Down) => match self.held(history) {
                Some(why) => {
                    reason = format!("{reason}; but {why}");
                    None
                }
                None => Some(Direction::Down),
            },
            None => {
                if let Some(note) = note {
                    reason = format!("{reason}; {note}");
                }
                None
            }
            up @ Some(Direction::Up) => up,
        };
        let Some(direction) = direction else {
            return Decision::Stay { reason, arithmetic };
        };
        if to < min && matches!(self.limits.lowest, Lowest::Schedule { .. }) {
            reason = format!("{reason}; no fewer than {}", self.limits);
        }
        Decision::Propose(Proposal {
            action: self.action.name.clone(),
            from,
            to,
            direction,
            reason,
            arithmetic,
            alerts,
            demand: self.inputs.demand(self.action),
        })
    }

    fn no_fewer(&self, from: Replicas) -> String {
        match self.limits.lowest {
            Lowest::Schedule { .. } => format!("{}: fewer only when it is over", self.limits),
            _ => format!("min {from} replicas: lower min to allow fewer"),
        }
    }
}

fn stay(reason: String) -> Decision {
    Decision::Stay {
        reason,
        arithmetic: Vec::new(),
    }
}
