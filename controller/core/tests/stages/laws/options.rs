use super::{NOW, action, events, one_reading, proposal, quality, rule_state};
use crate::{
    build::{Observed, at, facts, finite, firing, n, number, quiet, reading, secs, signal, world},
    options::{fallback, headroom, pass, pods, schedule, spike, to_zero, veto, with_history},
};
use flyball_core::{
    check::{Approval, Budget, Coverage, Headroom, Undo, World, shape, undo_decrease, undo_increase},
    decide::{Decision, Direction, Facts, Recommendation, RolloutStart, decide},
    policy::{Law, OnError, ReplicasAction, Schedule},
    signal::{Quality, Reading},
};
use proptest::{collection::vec, option, prelude::*};

/// Any action with any options.
fn whole() -> impl Strategy<Value = ReplicasAction> {
    let schedules = vec((NOW - 50..NOW + 50, 1..40i64), 0..3);
    (
        action(),
        any::<bool>(),
        any::<bool>(),
        schedules,
        option::of((0..600u64, 1..40i64)),
        any::<bool>(),
    )
        .prop_map(|(mut action, zero, spikes, schedules, without_data, vetoes)| {
            if zero {
                (action.bounds.min, action.zero) = (n(0), to_zero().zero);
                action.bounds.max = action.bounds.max.max(n(1));
            } else {
                action.bounds.min = action.bounds.min.max(n(1));
                action.bounds.max = action.bounds.max.max(action.bounds.min);
            }
            action.spike = spikes.then(spike);
            action.schedules = schedules
                .into_iter()
                .map(|(from, replicas)| schedule("s", from, from + 60, replicas))
                .collect();
            action.fallback = without_data.map(|(after, replicas)| fallback(after, replicas));
            if vetoes {
                (action.inhibit, action.hold_down_while) = (vec![veto("database")], vec![veto("upstream")]);
            }
            action
        })
}

/// Jobs are none, few or not known.
fn jobs() -> impl Strategy<Value = Reading> {
    (quality(), prop_oneof![2 => Just(0.0), 1 => 0.0..5.0f64]).prop_map(|(quality, value)| match quality {
        Quality::NotFinite => reading(quality, NOW, &[("", f64::NAN)]),
        Quality::Missing | Quality::Error => reading(quality, NOW, &[]),
        _ => reading(quality, NOW, &[("", value)]),
    })
}

fn seen() -> impl Strategy<Value = Observed> {
    let load = prop_oneof![
        3 => one_reading(),
        1 => Just(reading(Quality::Fresh, NOW, &[("", 0.0)])),
    ];
    let readings = (
        one_reading(),
        load,
        one_reading(),
        one_reading(),
        jobs(),
        one_reading(),
        one_reading(),
    );
    let on_error = prop_oneof![
        2 => Just(OnError::HoldDown),
        1 => Just(OnError::Hold),
        1 => Just(OnError::Ignore),
        2 => (0.0..3000.0f64).prop_map(|number| OnError::Substitute(finite(number))),
    ];
    (rule_state(), readings, on_error).prop_map(|(state, readings, on_error)| {
        let (rule, load, requests, verification, jobs, database, upstream) = readings;
        Observed::default()
            .define(signal("load", on_error))
            .rule("Slow", state)
            .reading("Slow", rule)
            .signal("load", load)
            .signal("requests", requests)
            .signal("jobs", jobs)
            .verification(verification)
            .veto("database", database)
            .veto("upstream", upstream)
    })
}

fn known() -> impl Strategy<Value = Facts> {
    let remembered = (
        option::of(NOW - 100..NOW + 100),
        option::of(NOW - 700..NOW + 10),
        option::of(NOW - 700..NOW + 10),
        option::of(1..50i64),
        prop_oneof![Just(0), NOW - 700..NOW],
    );
    let recommendations = vec((NOW - 700..NOW, 0..50i64), 0..6);
    let pods_known = option::of((0..30usize, 0..10usize));
    (
        prop_oneof![1 => Just(0), 3 => 0..50i64],
        events(),
        recommendations,
        remembered,
        any::<bool>(),
        pods_known,
    )
        .prop_map(
            |(current, events, recommendations, (spike, no_data, idle, rollout, observing), rolling, known)| {
                let facts = with_history(facts(current), |history| {
                    history.events = events;
                    history.recommendations = recommendations
                        .iter()
                        .map(|(when, replicas)| Recommendation {
                            at: at(*when),
                            replicas: n(*replicas),
                        })
                        .collect();
                    history.spike_until = spike.map(at);
                    history.no_data_since = no_data.map(at);
                    history.idle_since = idle.map(at);
                    history.rollout = rollout.map(|replicas| RolloutStart {
                        at: at(NOW - 60),
                        replicas: n(replicas),
                    });
                    history.observing_since = at(observing);
                });
                Facts {
                    rollout: (rolling && rollout.is_some()).then(|| "1 of 9 updated".to_owned()),
                    pods: known.map(|(ready, unready)| pods(ready, unready)),
                    ..facts
                }
            },
        )
}

/// Any world in which nobody else is about.
fn around() -> impl Strategy<Value = World> {
    let coverage = prop_oneof![
        3 => Just(Coverage::NotNeeded),
        2 => (0.0..1.0f64).prop_map(|fraction| Coverage::Filled { query: "q".to_owned(), fraction: finite(fraction) }),
        1 => Just(Coverage::Unknown("no answer".to_owned())),
    ];
    let approval = prop_oneof![
        3 => Just(Approval::NotNeeded),
        1 => Just(Approval::Awaited(None)),
        1 => (0..30i64, 0..30i64)
            .prop_map(|(from, to)| Approval::Granted { from: n(from), to: n(to), by: "ann".to_owned() }),
    ];
    let limits = vec(option::weighted(0.9, 0..60i64), 0..3);
    let budget = (option::of(0..30u32), 0..20u32);
    let paused = (any::<bool>(), any::<bool>(), any::<bool>());
    (coverage, approval, limits, budget, paused).prop_map(
        |(coverage, approval, limits, (per_minute, taken), paused)| {
            let mut world = World {
                coverage,
                approval,
                headroom: limits.into_iter().map(|limit| headroom("quota", limit)).collect(),
                budget: Budget { per_minute, taken },
                ..world()
            };
            let why = |set: bool| set.then(|| "by hand".to_owned());
            // Mostly none, or little would ever pass.
            if paused.0 && paused.1 && paused.2 {
                (world.paused.frozen, world.paused.up, world.paused.down) =
                    (why(paused.0), why(paused.1), why(paused.2));
            }
            world
        },
    )
}

/// The number after a pass, with whatever is decided carried out.
fn after(action: &ReplicasAction, observed: &Observed, facts: &Facts) -> i64 {
    let (to, ..) = pass(action, observed, facts, NOW);
    to.unwrap_or_else(|| i64::from(facts.current.get()))
}

fn floor(schedules: &[Schedule]) -> i64 {
    let counts = schedules.iter().filter(|schedule| schedule.window.contains(at(NOW)));
    counts
        .map(|schedule| i64::from(schedule.replicas.get()))
        .max()
        .unwrap_or(0)
}

/// What is decided, and a proposal that no decision would make.
fn proposals(
    action: &ReplicasAction,
    observed: &Observed,
    facts: &Facts,
    other: (i64, i64),
) -> Vec<flyball_core::decide::Proposal> {
    let decided = match decide(action, &observed.inputs(), facts, at(NOW)).0 {
        Decision::Propose(proposal) => Some(proposal),
        Decision::Stay { .. } => None,
    };
    decided.into_iter().chain(proposal(other.0, other.1)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Nothing is taken away while anything that the action uses is not known (law 9).
    #[test]
    fn nothing_is_taken_away_without_data(
        action in whole(), observed in seen(), facts in known(), world in around(), other in (0..60i64, 0..60i64),
    ) {
        let mut used = vec![&observed.signals["requests"]];
        used.extend(&observed.verification);
        used.extend(action.zero.iter().map(|_| &observed.signals["jobs"]));
        used.extend(action.hold_down_while.iter().map(|_| &observed.vetoes["upstream"]));
        used.push(match action.law {
            Law::Step(_) => &observed.readings["Slow"],
            Law::Metrics(_) => &observed.signals["load"],
        });
        let filled = match &world.coverage {
            Coverage::NotNeeded => true,
            Coverage::Filled { fraction, .. } => fraction.get() >= 0.9,
            Coverage::Unknown(_) => false,
        };
        let room = world.headroom.iter().all(|headroom| headroom.limit.is_ok());
        if used.iter().all(|reading| reading.is_fresh()) && filled && room {
            return Ok(());
        }
        let inputs = observed.inputs();
        for proposal in proposals(&action, &observed, &facts, other) {
            let direction = proposal.direction;
            let shaped = shape(proposal, &action, &inputs, &facts, &world, at(NOW));
            prop_assert!(direction == Direction::Up || shaped.is_err());
        }
        let undo = Undo { from: facts.current, to: n(other.1), demand: Some(finite(100.0)) };
        prop_assert!(undo_increase(&action, undo, &inputs, &facts, &world, at(NOW)).is_err());
    }

    /// What is approved lies in the bounds of the pass, goes the way that was proposed, and no further
    /// than there is room and budget. From outside it may stop short of the bound, for want of these.
    #[test]
    fn what_is_approved_lies_within_everything(
        action in whole(), observed in seen(), facts in known(), world in around(), other in (0..60i64, 0..60i64),
    ) {
        let max = i64::from(action.bounds.max.get());
        let floor = floor(&action.schedules).min(max);
        let min = i64::from(action.bounds.min.get()).max(floor);
        for proposal in proposals(&action, &observed, &facts, other) {
            let (from, direction) = (i64::from(proposal.from.get()), proposal.direction);
            let Ok(candidate) = shape(proposal, &action, &observed.inputs(), &facts, &world, at(NOW)) else { continue };
            let to = i64::from(candidate.to().get());
            prop_assert_eq!(Direction::between(n(from), n(to)), Some(direction));
            let known = || world.headroom.iter().filter_map(|headroom: &Headroom| Some(i64::from(headroom.limit.as_ref().ok()?.get())));
            match direction {
                Direction::Up => {
                    prop_assert!(to <= max && known().all(|most| to <= most));
                    prop_assert!(to >= min || known().any(|most| to == most), "{} below {}", to, min);
                }
                Direction::Down => {
                    prop_assert!(to >= min && known().all(|fewest| to >= fewest));
                    let left = world.budget.per_minute.map(|limit| i64::from(limit.saturating_sub(world.budget.taken)));
                    prop_assert!(left.is_none_or(|left| from - to <= left));
                    prop_assert!(to <= max || known().any(|fewest| to == fewest) || left == Some(from - to));
                }
            }
            if let Approval::Granted { from, to: granted, .. } = &world.approval {
                prop_assert_eq!((candidate.from(), candidate.to()), (*from, *granted));
            }
            prop_assert!(!matches!(world.approval, Approval::Awaited(_)));
        }
    }

    /// The last replica goes only if for the whole cooldown, as seen by this process, fresh data said
    /// that there is nothing to do.
    #[test]
    fn the_last_replica_goes_only_for_good_reason(
        action in whole(), observed in seen(), facts in known(), other in (0..60i64, 0..60i64),
    ) {
        // Whatever else there is speaks for it.
        let observed = observed
            .rule("Slow", quiet(0))
            .signal("load", number(NOW, 0.0))
            .signal("requests", number(NOW, 100.0))
            .verification(number(NOW, 0.1))
            .veto("upstream", number(NOW, 0.1));
        let facts = with_history(Facts { rollout: None, ..facts }, |history| history.spike_until = None);
        let jobs = &observed.signals["jobs"];
        let idle = jobs.number().is_ok_and(|jobs| jobs.get() <= 0.0);
        let old = |when: flyball_core::time::Timestamp| at(NOW).since(when) >= secs(300);
        let proven = idle && facts.history.idle_since.is_some_and(old) && old(facts.history.observing_since);
        for proposal in proposals(&action, &observed, &facts, other) {
            let inputs = observed.inputs();
            if let Ok(candidate) = shape(proposal, &action, &inputs, &facts, &world(), at(NOW)) {
                prop_assert!(candidate.to() > n(0) || (proven && action.zero.is_some()));
            }
        }
        let undo = Undo { from: n(other.0), to: n(0), demand: Some(finite(100.0)) };
        let facts = Facts { current: n(other.0), ..facts };
        if let Ok(candidate) = undo_increase(&action, undo, &observed.inputs(), &facts, &world(), at(NOW)) {
            prop_assert!(candidate.to() > n(0) || (proven && action.zero.is_some()));
            prop_assert!(i64::from(candidate.to().get()) >= floor(&action.schedules).min(i64::from(action.bounds.max.get())));
        }
    }

    /// At zero, without a number that says that there is something to do, only a schedule or a fallback
    /// raises; and with it, it wakes.
    #[test]
    fn zero_is_left_for_good_reason_and_then_at_once(action in whole(), observed in seen(), facts in known()) {
        let facts = Facts { current: n(0), ..facts };
        let to = after(&action, &observed, &facts);
        if action.zero.is_none() {
            prop_assert_eq!(to, 0);
        } else if observed.signals["jobs"].number().is_ok_and(|jobs| jobs.get() > 0.0) {
            prop_assert!(to >= 1 && to <= i64::from(action.bounds.max.get()));
        } else if floor(&action.schedules) == 0 && action.fallback.is_none() {
            prop_assert_eq!(to, 0);
        }
    }

    /// A fallback never lowers: with it there are never fewer than without.
    #[test]
    fn a_fallback_only_raises(action in whole(), observed in seen(), facts in known()) {
        let without = ReplicasAction { fallback: None, ..action.clone() };
        let (with, without) = (after(&action, &observed, &facts), after(&without, &observed, &facts));
        prop_assert!(with >= without);
        let raised = action.fallback.map_or(0, |fallback| i64::from(fallback.replicas.min(action.bounds.max).get()));
        prop_assert!(with == without || with == raised);
    }

    /// A spike never lowers, and while it lasts nothing else does.
    #[test]
    fn a_spike_only_holds(
        action in whole(), observed in seen(), facts in known(), world in around(), other in (0..60i64, 0..60i64),
    ) {
        let without = ReplicasAction { spike: None, ..action.clone() };
        prop_assert!(after(&action, &observed, &facts) >= after(&without, &observed, &facts));
        let action = ReplicasAction { spike: Some(spike()), ..action };
        let facts = with_history(facts, |history| history.spike_until = Some(at(NOW + 1)));
        prop_assert!(after(&action, &observed, &facts) >= i64::from(facts.current.get()));
        if let Some(proposal) = proposal(other.0, other.1) {
            let direction = proposal.direction;
            let shaped = shape(proposal, &action, &observed.inputs(), &facts, &world, at(NOW));
            prop_assert!(direction == Direction::Up || shaped.is_err());
        }
        let undo = Undo { from: facts.current, to: n(other.1), demand: Some(finite(100.0)) };
        prop_assert!(undo_increase(&action, undo, &observed.inputs(), &facts, &world, at(NOW)).is_err());
    }

    /// While a rollout is under way nothing is taken away.
    #[test]
    fn a_rollout_only_holds(
        action in whole(), observed in seen(), facts in known(), world in around(), other in (0..60i64, 0..60i64),
    ) {
        let facts = Facts { rollout: Some("under way".to_owned()), ..facts };
        prop_assert!(after(&action, &observed, &facts) >= i64::from(facts.current.get()));
        if let Some(proposal) = proposal(other.0, other.1) {
            let direction = proposal.direction;
            let shaped = shape(proposal, &action, &observed.inputs(), &facts, &world, at(NOW));
            prop_assert!(direction == Direction::Up || shaped.is_err());
        }
    }

    /// However often its rule fires during a rollout, a step stays one step above its start.
    #[test]
    fn steps_do_not_compound_during_a_rollout(up in super::amount(), start in 1..100i64, passes in 1..12i64) {
        let mut action = crate::build::step(up, up);
        action.bounds.max = n(10_000);
        let slow = Observed::default().rule("Slow", firing(&[("a", 0.7)]));
        let mut facts = Facts { rollout: Some("under way".to_owned()), ..facts(start.max(2)) };
        let most = i64::from(facts.current.get()) + up.added_to(facts.current);
        for second in 0..passes {
            let (to, _, history) = pass(&action, &slow, &facts, NOW + second);
            facts.history = history;
            facts.current = to.map_or(facts.current, n);
            prop_assert_eq!(i64::from(facts.current.get()), most);
        }
    }

    /// Frozen, nothing goes forward, whatever it is; undoing is as it would be otherwise.
    #[test]
    fn frozen_nothing_goes_forward(
        action in whole(), observed in seen(), facts in known(), world in around(), other in (0..60i64, 0..60i64),
    ) {
        let inputs = observed.inputs();
        let mut frozen = world.clone();
        frozen.paused.frozen = Some("by hand".to_owned());
        for proposal in proposals(&action, &observed, &facts, other) {
            prop_assert!(shape(proposal, &action, &inputs, &facts, &frozen, at(NOW)).is_err());
        }
        let mut free = world;
        free.paused = flyball_core::check::Paused::default();
        (free.budget, free.approval) = (Budget::default(), Approval::NotNeeded);
        let facts = Facts { current: n(other.0), ..facts };
        let undo = Undo { from: n(other.0), to: n(other.1), demand: Some(finite(100.0)) };
        prop_assert_eq!(
            undo_increase(&action, undo, &inputs, &facts, &frozen, at(NOW)),
            undo_increase(&action, undo, &inputs, &facts, &free, at(NOW))
        );
        prop_assert_eq!(
            undo_decrease(&action, undo, &facts, &frozen),
            undo_decrease(&action, undo, &facts, &free)
        );
    }

    /// Within its bounds, and but for the last replica, nothing goes below what was asked for within the
    /// window.
    #[test]
    fn a_decrease_ends_at_the_highest_of_its_window(action in whole(), observed in seen(), facts in known()) {
        let (to, ..) = pass(&action, &observed, &facts, NOW);
        let Some(to) = to.filter(|to| *to > 0 && n(*to) < facts.current && facts.current <= action.bounds.max) else {
            return Ok(());
        };
        let window = action.down.stabilization;
        let young = facts.history.recommendations.iter().filter(|former| at(NOW).since(former.at) < window);
        prop_assert!(young.map(|former| former.replicas).all(|replicas| replicas <= n(to)));
        prop_assert!(at(NOW).since(facts.history.observing_since) >= window);
    }
}
