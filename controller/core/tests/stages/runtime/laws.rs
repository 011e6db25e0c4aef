//! What holds for every process, whatever is known of it.

use super::{MISSING, bounds, cycle, lambda, mib, part, percent, rate};
use flyball_core::{
    bytes::Bytes,
    decide::runtime::{
        GogcBounds, GogcStep, LimitAnswer, PEAK_PERCENT, Profile, Since, Stay, gogc, may_raise, shrink, slew,
        soft_limit,
    },
    signal::{Quality, SignalError},
};
use proptest::{collection::vec, option, prelude::*};

fn profile() -> impl Strategy<Value = Profile> {
    let memory = (1..4000u64, 0..200u64, 0..500u64, 0..1000u64, 0..8000u64);
    let knobs = (1..=1000u32, option::of(1..8000u64), option::weighted(0.9, 1..16_000u64));
    (memory, knobs, 0.0..2000.0f64, 0.0..2.0f64, 0.0..=1.0f64).prop_map(|(memory, knobs, allocation, seconds, free)| {
        let (live, roots, other, unmanaged, used) = memory;
        let (percents, soft, limit) = knobs;
        Profile {
            allocation: Ok(rate(allocation)),
            cycle: Ok(cycle(seconds)),
            live: Ok(mib(live)),
            roots: Ok(mib(roots)),
            other: Ok(mib(other)),
            unmanaged: Ok(mib(unmanaged)),
            used: Ok(mib(used)),
            limit: Ok(limit.map(mib)),
            node_available: Ok(part(free)),
            gogc: Ok(percent(percents)),
            soft_limit: Ok(soft.map(mib)),
        }
    })
}

fn price() -> impl Strategy<Value = f64> {
    (-9.0..0.0f64).prop_map(|exponent| 10f64.powf(exponent))
}

fn some_bounds() -> impl Strategy<Value = GogcBounds> {
    (50..400u32, 0..400u32).prop_map(|(min, more)| bounds(min, min + more))
}

fn since() -> impl Strategy<Value = Option<Since>> {
    let count = || option::weighted(0.9, 0..9u64);
    option::of((count(), count()).prop_map(|(cycles, scrapes)| Since { cycles, scrapes }))
}

/// Makes one fact of those that a law needs missing or stale.
fn spoil(profile: &mut Profile, which: usize, stale: bool) {
    let why = if stale {
        SignalError::Quality {
            quality: Quality::Stale,
            detail: String::new(),
        }
        .into()
    } else {
        MISSING
    };
    match which {
        0 => profile.live = Err(why),
        1 => profile.roots = Err(why),
        2 => profile.other = Err(why),
        3 => profile.unmanaged = Err(why),
        4 => profile.limit = Err(why),
        5 => profile.gogc = Err(why),
        6 => profile.allocation = Err(why),
        7 => profile.cycle = Err(why),
        8 => profile.soft_limit = Err(why),
        9 => profile.node_available = Err(why),
        _ => profile.used = Err(why),
    }
}

/// Without one of the first eight GOGC stays where it is.
const FOR_GOGC: usize = 8;

fn step(profile: &Profile, per_mib: f64, bounds: GogcBounds, last: Option<Since>, frozen: bool) -> GogcStep<'_> {
    GogcStep {
        profile,
        lambda: lambda(per_mib),
        bounds,
        last,
        frozen,
    }
}

proptest! {
    /// Law 9: what is missing or stale moves nothing.
    #[test]
    fn gogc_stays_where_something_is_not_known(
        mut profile in profile(), per_mib in price(), bounds in some_bounds(), last in since(),
        which in 0..FOR_GOGC, stale in any::<bool>(),
    ) {
        spoil(&mut profile, which, stale);
        let next = gogc(step(&profile, per_mib, bounds, last, false)).answer.next;
        prop_assert!(matches!(next, Err(Stay::NotKnown(_))), "{next:?}");
    }

    /// Law 9, of the soft limit.
    #[test]
    fn the_soft_limit_stays_where_something_is_not_known(
        mut profile in profile(), last in since(), which in prop_oneof![0..5usize, Just(8usize)], stale in any::<bool>(),
    ) {
        spoil(&mut profile, which, stale);
        let next = soft_limit(&profile, last, false).answer;
        prop_assert!(matches!(next, LimitAnswer::Stay(Stay::NotKnown(_))), "{next:?}");
    }

    /// What the raising needs to know never lets anything be raised, and holds no lowering back.
    #[test]
    fn without_the_node_nothing_is_raised(
        profile in profile(), per_mib in price(), bounds in some_bounds(), last in since(), which in 9..11usize,
    ) {
        let before = gogc(step(&profile, per_mib, bounds, last, false)).answer;
        let mut less = profile.clone();
        spoil(&mut less, which, true);
        let after = gogc(step(&less, per_mib, bounds, last, false)).answer;
        let now = profile.gogc.unwrap();
        match before.next {
            Ok(next) if next < now => prop_assert_eq!(after.next, Ok(next)),
            Ok(_) if which == 9 || matches!(profile.limit, Ok(Some(_))) => {
                prop_assert!(matches!(after.next, Err(Stay::NoRaise(_))));
            }
            other => prop_assert_eq!(after.next.is_ok(), other.is_ok()),
        }
    }

    /// A step goes towards what is wanted, no further and not too far, and what is wanted lies within the bounds.
    #[test]
    fn a_step_is_bounded(
        profile in profile(), per_mib in price(), bounds in some_bounds(), last in since(), frozen in any::<bool>(),
    ) {
        let answer = gogc(step(&profile, per_mib, bounds, last, frozen)).answer;
        let (now, wanted) = (profile.gogc.clone().unwrap(), answer.wanted.unwrap());
        prop_assert!(bounds.hold(wanted));
        if let Ok(next) = answer.next {
            let (now, wanted, next) = (now.get(), wanted.get(), next.get());
            prop_assert!(next != now);
            prop_assert!((next > now && next <= wanted) || (next < now && next >= wanted));
            prop_assert!(next <= now * 3 / 2 || next == now + 1, "{now} {next}");
            prop_assert!(3 * next >= 2 * now, "{now} {next}");
            prop_assert!(!(frozen && next < now));
            prop_assert!(last.is_none_or(|last| last.cycles >= Some(3) && last.scrapes >= Some(2)));
        }
    }

    /// What is raised above the lowest keeps the predicted peak, and nothing is raised where nothing may be.
    #[test]
    fn a_raise_keeps_the_peak(profile in profile(), per_mib in price(), bounds in some_bounds(), last in since()) {
        let answer = gogc(step(&profile, per_mib, bounds, last, false)).answer;
        let now = profile.gogc.clone().unwrap();
        let heap = profile.heap().unwrap();
        if let Ok(next) = answer.next && next > now {
            prop_assert!(may_raise(&profile).answer.is_ok());
            if let Ok(Some(limit)) = profile.limit && next > bounds.min() {
                let peak = heap.live().plus(heap.headroom(next)).plus(heap.other()).plus(profile.unmanaged.unwrap());
                prop_assert!(peak <= limit.percent(PEAK_PERCENT), "{peak} in {limit}");
            }
        }
    }

    /// No soft limit is set under which the collector spins, whatever the step; none is raised above 0.90 M.
    #[test]
    fn no_limit_spins(profile in profile(), last in since(), frozen in any::<bool>()) {
        if let LimitAnswer::Set(next) = soft_limit(&profile, last, frozen).answer {
            let effective = profile.heap().unwrap().effective(None, Some(next)).unwrap();
            prop_assert!(effective.percent >= 50, "{next}: {}", effective.percent);
            let now = profile.soft_limit.clone().unwrap();
            let most = profile.limit.clone().unwrap().unwrap().percent(90);
            prop_assert!(next <= now.map_or(most, |now| now.max(most)));
            prop_assert!(!(frozen && now.is_some_and(|now| next < now)));
        }
    }

    /// The smallest limit that does not spin is the smallest.
    #[test]
    fn the_smallest_limit_is_the_smallest(profile in profile(), gogc in 50..400u32) {
        let heap = profile.heap().unwrap();
        let effective = |limit| heap.effective(None, Some(limit)).unwrap().percent;
        let least = heap.smallest_limit(percent(gogc));
        prop_assert!(effective(least) >= u64::from(gogc));
        prop_assert!(effective(least.minus(Bytes::new(1).unwrap())) < u64::from(gogc));
    }

    /// The peak takes away and never gives.
    #[test]
    fn shrinking_never_grows(profile in profile(), asked in 0..10_000u64) {
        let shrunk = shrink(&profile, mib(asked)).answer.unwrap();
        prop_assert!(shrunk.headroom <= mib(asked));
        prop_assert_eq!(shrunk.shrunk, shrunk.headroom < mib(asked));
    }

    /// A dearer byte never buys more headroom.
    #[test]
    fn dearer_is_never_more(profile in profile(), prices in vec(price(), 2)) {
        let of = |per_mib| flyball_core::decide::runtime::price(&profile, lambda(per_mib), bounds(50, 1000)).answer.unwrap();
        let (cheap, dear) = (of(prices[0].min(prices[1])), of(prices[0].max(prices[1])));
        prop_assert!(dear.optimum <= cheap.optimum && dear.gogc <= cheap.gogc);
    }

    /// Steps alone come to where they go.
    #[test]
    fn steps_arrive(from in 1..1_000_000u64, to in 1..1_000_000u64) {
        let mut now = from;
        for _ in 0..50 {
            match slew(now, to, None) {
                Ok(next) => now = next,
                Err(_) => break,
            }
        }
        prop_assert_eq!(now, to);
    }
}
