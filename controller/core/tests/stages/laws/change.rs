use super::{NOW, action, amount, observed, proposal, some_facts};
use crate::build::{Observed, at, facts, finite, limit, n, number, quiet, ratio, secs, step, value, world};
use flyball_core::{
    check::{DryRun, Undo, shape, undo_decrease, undo_increase},
    decide::{Decision, Direction, ScaleEvent, decide},
    evaluate::RuleState,
    policy::{Amount, Law},
};
use proptest::{collection::vec, prelude::*};

proptest! {
    /// Whatever is decided, what passes the checks lies in the bounds, goes the way that was proposed
    /// and no further than proposed.
    #[test]
    fn a_decision_never_leaves_the_bounds(action in action(), observed in observed(), facts in some_facts()) {
        let (decision, history) = decide(&action, &observed.inputs(), &facts, at(NOW));
        prop_assert!(history.recommendations.len() <= 64 && history.events.len() <= 64);
        let Decision::Propose(proposal) = decision else { return Ok(()) };
        prop_assert_eq!(proposal.from, facts.current);
        prop_assert_eq!(Direction::between(proposal.from, proposal.to), Some(proposal.direction));
        let (from, to) = (proposal.from, proposal.to);
        if let Ok(candidate) = shape(proposal, &action, &observed.inputs(), &facts, &world(), at(NOW)) {
            let approved = candidate.admit(DryRun::Accepted).unwrap();
            prop_assert!(action.bounds.min <= approved.to() && approved.to() <= action.bounds.max);
            prop_assert!(from.min(to) <= approved.to() && approved.to() <= from.max(to));
            prop_assert_eq!(Direction::between(from, approved.to()), Some(approved.direction()));
        }
    }

    /// The same for proposals that no decision would make.
    #[test]
    fn only_what_lies_in_the_bounds_is_approved(
        action in action(), observed in observed(), facts in some_facts(), from in 0..60i64, to in 0..60i64,
    ) {
        let Some(proposal) = proposal(from, to) else { return Ok(()) };
        let direction = proposal.direction;
        if let Ok(candidate) = shape(proposal, &action, &observed.inputs(), &facts, &world(), at(NOW)) {
            prop_assert!(action.bounds.min <= candidate.to() && candidate.to() <= action.bounds.max);
            prop_assert_eq!(Direction::between(n(from), candidate.to()), Some(direction));
        }
    }

    /// Nothing is taken away while any reading that the action uses is not fresh (law 9).
    #[test]
    fn no_decrease_without_fresh_data(
        action in action(), observed in observed(), facts in some_facts(), from in 0..60i64, to in 0..60i64,
    ) {
        let mut used = vec![&observed.signals["requests"]];
        used.extend(&observed.verification);
        used.push(match action.law {
            Law::Step(_) => &observed.readings["Slow"],
            Law::Metrics(_) => &observed.signals["load"],
        });
        if used.iter().all(|reading| reading.is_fresh()) {
            return Ok(());
        }
        let inputs = observed.inputs();
        let decided = match decide(&action, &inputs, &facts, at(NOW)).0 {
            Decision::Propose(proposal) => Some(proposal),
            Decision::Stay { .. } => None,
        };
        for proposal in proposal(from, to).into_iter().chain(decided) {
            let direction = proposal.direction;
            let shaped = shape(proposal, &action, &inputs, &facts, &world(), at(NOW));
            prop_assert!(direction == Direction::Up || shaped.is_err());
        }
        let undo = Undo { from: facts.current, to: n(to), demand: Some(finite(100.0)) };
        prop_assert!(undo_increase(&action, undo, &inputs, &facts, &world(), at(NOW)).is_err());
    }

    /// No window of a limit's period ever holds more than the limit allows from the number at its
    /// start, whatever is asked for, and whatever is forgotten in between.
    #[test]
    fn the_rate_is_kept_in_every_period(
        up in amount(), down in amount(), period in 1..300u64, wants in vec((0..120i64, 0..200i64), 1..40),
    ) {
        let mut action = step(up, down);
        (action.bounds.min, action.bounds.max) = (n(0), n(200));
        (action.up.limits, action.down.limits) = (vec![limit(up, period)], vec![limit(down, period)]);
        let observed = Observed::default().rule("Slow", RuleState::default());
        let (mut facts, mut seconds, mut log) = (facts(50), 0, Vec::new());
        for (pause, want) in wants {
            seconds += pause;
            let now = at(seconds);
            facts.history = decide(&action, &observed.inputs(), &facts, now).1;
            let Some(proposal) = proposal(i64::from(facts.current.get()), want) else { continue };
            let Ok(candidate) = shape(proposal, &action, &observed.inputs(), &facts, &world(), now) else { continue };
            let event = ScaleEvent { at: now, from: facts.current, to: candidate.to() };
            facts.current = candidate.to();
            facts.history.events.push(event);
            log.push(event);
            let net: i64 = log.iter().filter(|event| now.since(event.at) < secs(period)).map(ScaleEvent::change).sum();
            let start = n(i64::from(facts.current.get()) - net);
            match candidate.direction() {
                Direction::Up => prop_assert!(net <= up.added_to(start), "{net} from {start}"),
                Direction::Down => prop_assert!(-net <= down.taken_from(start), "{net} from {start}"),
            }
        }
    }

    /// A step is never nothing, never goes the wrong way, and reaches no further down than asked.
    #[test]
    fn a_step_is_a_step(amount in amount(), current in 0..10_000i64) {
        let mut action = step(amount, amount);
        (action.bounds.min, action.bounds.max) = (n(0), n(10_000));
        for (state, direction) in [(crate::build::firing(&[("a", 0.7)]), Direction::Up), (quiet(0), Direction::Down)] {
            let observed = Observed::default().rule("Slow", state);
            match decide(&action, &observed.inputs(), &facts(current), at(NOW)).0 {
                Decision::Propose(proposal) => prop_assert_eq!(proposal.direction, direction),
                Decision::Stay { reason, .. } => prop_assert!(current == 0 && direction == Direction::Down, "{}", reason),
            }
        }
        let (added, taken) = (amount.added_to(n(current)), amount.taken_from(n(current)));
        prop_assert!(added >= 1 && taken <= current && (taken >= 1 || current == 0));
        if let Amount::Percent(percent) = amount {
            let percent = i64::from(percent);
            prop_assert!(added == 1 || (added - 1) * 100 < current * percent && current * percent <= added * 100);
            prop_assert!(taken <= 1 || taken * 100 <= current * percent);
        }
    }

    /// A ratio of whole numbers is that of integers, bounds of the tolerance included.
    #[test]
    fn a_ratio_is_exact(signal in 0..1_000_000u32, target in 1..10_000u32, current in 1..500u32) {
        let mut action = ratio(value(f64::from(target)));
        (action.bounds.min, action.bounds.max) = (n(0), n(10_000));
        let observed = Observed::default().signal("load", number(NOW, f64::from(signal)));
        let to = match decide(&action, &observed.inputs(), &facts(i64::from(current)), at(NOW)).0 {
            Decision::Propose(proposal) => proposal.to.get(),
            Decision::Stay { .. } => current,
        };
        let (s, t, c) = (u64::from(signal), u64::from(target), u64::from(current));
        let tolerated = 9 * t <= 10 * s && 10 * s <= 11 * t;
        let expect = if tolerated { c } else { (c * s).div_ceil(t).min(10_000) };
        prop_assert_eq!(u64::from(to), expect);
    }

    /// An undoing ends in the bounds, takes back and not more, and leaves what a ratio asks for.
    #[test]
    fn an_undoing_takes_back_no_more_than_it_should(
        action in action(), observed in observed(), from in 0..60i64, to in 0..60i64, demand in 50.0..3000.0f64,
    ) {
        let undo = Undo { from: n(from), to: n(to), demand: Some(finite(demand)) };
        let inputs = observed.inputs();
        for (undone, direction) in [
            (undo_increase(&action, undo, &inputs, &facts(from), &world(), at(NOW)), Direction::Down),
            (undo_decrease(&action, undo, &facts(from), &world()), Direction::Up),
        ] {
            let Ok(candidate) = undone else { continue };
            prop_assert_eq!(candidate.direction(), direction);
            prop_assert_eq!(Direction::between(n(from), candidate.to()), Some(direction));
            prop_assert!(action.bounds.min <= candidate.to() && candidate.to() <= action.bounds.max);
        }
        if let Ok(candidate) = undo_increase(&action, undo, &inputs, &facts(from), &world(), at(NOW)) {
            let Law::Metrics(_) = action.law else { return Ok(()) };
            // Without windows and bounds, what the law wants now.
            let mut free = action.clone();
            free.down.stabilization = secs(0);
            (free.bounds.min, free.bounds.max) = (n(0), n(10_000));
            let wanted = match decide(&free, &inputs, &facts(from), at(NOW)).0 {
                Decision::Propose(proposal) => proposal.to,
                Decision::Stay { .. } => n(from),
            };
            prop_assert!(candidate.to() >= wanted.min(action.bounds.max));
        }
    }
}
