use super::{MISSING, check, heap, mib, part, percent, profile, tenths, within};
use flyball_core::{
    bytes::Bytes,
    decide::runtime::{
        Effective, Heap, Limited, NeedsMemory, NoLimit, NoRaise, Profile, Ruler, Shrunk, Spiral, fits, guard, limit,
        may_raise, shrink,
    },
};

fn limited(profile: &Profile, expect: Result<(Bytes, u64), NoLimit>, parts: &[&str]) {
    let mut worked = limit(profile);
    // The goal is a table of its own.
    let expect = expect.map(|(limit, percent)| {
        let goal = worked
            .answer
            .as_ref()
            .map_or(Bytes::ZERO, |limited| limited.effective.goal);
        let ruler = Ruler::Limit;
        Limited {
            limit,
            effective: Effective { goal, percent, ruler },
        }
    });
    worked.arithmetic.push(
        worked
            .answer
            .as_ref()
            .err()
            .map_or_else(String::new, ToString::to_string),
    );
    check(&worked, &expect, parts);
}

#[test]
fn the_limit_keeps_away_from_the_containers() {
    // min(460.8, 512 - 30 - 32) = 450; (450 - 20) * 0.97 = 417.1, and 321.1 of it over 96.
    limited(
        &within(512),
        Ok((mib(450), 321)),
        &[
            "limit = min(0.90 * 512 MiB, 512 MiB - 30 MiB unmanaged - 32 MiB reserve) = min(460.8 MiB, 450 MiB) = 450 MiB",
            "it needs 1.5 * (96 MiB live + 4 MiB roots) + 20 MiB other = 170 MiB",
            "goal under 450 MiB = (450 MiB - 20 MiB other) less 3 % and at least 1 MiB, not below 96 MiB live: 417.1 MiB",
            "effective GOGC = 100 * (417.1 MiB - 96 MiB live) / 100 MiB live and roots = 321, not below 50",
        ],
    );
    // 3 % of 2048 is 61.44, and 2048 - 30 - 61.44 is more than 1843.2. (1843.2 - 20) * 0.97 - 96 = 1672.504.
    let limit = Bytes::new(2048 * 1_048_576 * 9 / 10).unwrap();
    limited(
        &within(2048),
        Ok((limit, 1672)),
        &["min(1843.2 MiB, 1956.6 MiB) = 1843.2 MiB"],
    );
}

#[test]
fn a_container_that_is_too_small_needs_memory() {
    // 200 - 30 - 32 = 138 of 170.
    let small = NoLimit::NeedsMemory(NeedsMemory {
        have: mib(138),
        need: mib(170),
    });
    limited(
        &within(200),
        Err(small),
        &[
            "no soft limit fits: there are 138 MiB where 170 MiB are needed: raise the container's memory limit by 32 MiB",
        ],
    );
    let none = NoLimit::NeedsMemory(NeedsMemory {
        have: Bytes::ZERO,
        need: mib(170),
    });
    limited(&within(50), Err(none), &["min(45 MiB, 0 B) = 0 B"]);
}

#[test]
fn a_limit_that_makes_the_collector_spin_is_refused() {
    // 232 - 62 = 170 are 1.5 * 100 + 20, but 150 less 3 % is 145.5: only 49.5 over 96. 146 / 0.97 = 150.515 would do.
    let at_least = Bytes::new(178_798_424).unwrap();
    let spiral = NoLimit::Spiral(Spiral {
        limit: mib(170),
        effective: 49,
        at_least,
    });
    limited(
        &within(232),
        Err(spiral),
        &[
            "a soft limit of 170 MiB would mean an effective GOGC of 49, below 50, whatever GOGC is set: propose 170.5 MiB or more, or none",
        ],
    );
    // 151 less 3 % is 146.47.
    limited(&within(233), Ok((mib(171), 50)), &[]);
    assert!(guard(heap(), at_least).answer.is_ok());
    assert!(guard(heap(), Bytes::new(178_798_423).unwrap()).answer.is_err());
    // Of a small heap 1 MiB is kept free: 4 + 2 + 1.
    let small = Heap::new(mib(4), Bytes::ZERO, Bytes::ZERO).unwrap();
    assert_eq!(small.smallest_limit(percent(50)), mib(7));
    assert!(guard(small, mib(7)).answer.is_ok());
    assert!(guard(small, tenths(69)).answer.is_err());
}

#[test]
fn without_a_limit_of_the_container_there_is_none() {
    let mut free = profile();
    free.limit = Ok(None);
    limited(&free, Err(NoLimit::Unlimited), &["the container has no memory limit"]);
    for what in ["live", "roots", "other", "unmanaged", "limit"] {
        let mut profile = profile();
        match what {
            "live" => profile.live = Err(MISSING),
            "roots" => profile.roots = Err(MISSING),
            "other" => profile.other = Err(MISSING),
            "unmanaged" => profile.unmanaged = Err(MISSING),
            _ => profile.limit = Err(MISSING),
        }
        assert!(matches!(limit(&profile).answer, Err(NoLimit::NotKnown(_))), "{what}");
    }
}

#[test]
fn the_predicted_peak_only_shrinks() {
    let shrunk = |profile: &Profile, asked: Bytes, headroom: Bytes, shrunk: bool| {
        check(&shrink(profile, asked), &Ok(Shrunk { headroom, shrunk }), &[]);
    };
    // 0.85 * 512 - 96 - 20 - 30 = 289.2.
    let room = Bytes::new(mib(512).get() * 85 / 100 - mib(146).get()).unwrap();
    shrunk(&within(512), mib(200), mib(200), false);
    shrunk(&within(512), room, room, false);
    shrunk(&within(512), mib(400), room, true);
    check(
        &shrink(&within(512), mib(400)),
        &Ok(Shrunk {
            headroom: room,
            shrunk: true,
        }),
        &["room for headroom = 0.85 * 512 MiB - 96 MiB live - 20 MiB other - 30 MiB unmanaged = 289.2 MiB"],
    );
    shrunk(&within(160), mib(1), Bytes::ZERO, true);
    let mut free = profile();
    free.limit = Ok(None);
    shrunk(&free, mib(9999), mib(9999), false);
}

#[test]
fn what_does_not_fit_at_the_lowest_gogc_needs_memory() {
    // 96 + 50 + 20 + 30 = 196, over 0.85 is 230.588.
    let need = Bytes::new((mib(196).get() * 100).div_ceil(85)).unwrap();
    let needs = |container| fits(&within(container), percent(50)).unwrap();
    assert_eq!(needs(231), None);
    assert_eq!(needs(230), Some(NeedsMemory { have: mib(230), need }));
}

#[test]
fn nothing_is_raised_near_the_limits() {
    let raised = |change: fn(&mut Profile), expect: Result<(), &str>| {
        let mut profile = profile();
        change(&mut profile);
        let said = may_raise(&profile).answer.map_err(|why| why.to_string());
        match (said, expect) {
            (Ok(()), Ok(())) => {}
            (Err(said), Err(expect)) => assert!(said.contains(expect), "{said}"),
            (said, expect) => panic!("{said:?} instead of {expect:?}"),
        }
    };
    raised(|_| {}, Ok(()));
    raised(|p| p.node_available = Ok(part(0.20)), Ok(()));
    raised(
        |p| p.node_available = Ok(part(0.19)),
        Err("19.0 % of the node's memory is available, less than 20.0 %"),
    );
    // 0.9 * 512 = 460.8.
    raised(|p| p.used = Ok(mib(460)), Ok(()));
    raised(
        |p| p.used = Ok(mib(461)),
        Err("the container uses 461 MiB of 512 MiB, within 10 %"),
    );
    raised(
        |p| (p.used, p.limit) = (Ok(mib(180)), Ok(Some(mib(200)))),
        Err("within 10 %"),
    );
    raised(|p| (p.used, p.limit) = (Err(MISSING), Ok(None)), Ok(()));
    for change in [
        (|p| p.used = Err(MISSING)) as fn(&mut Profile),
        |p| p.limit = Err(MISSING),
        |p| p.node_available = Err(MISSING),
    ] {
        raised(change, Err("nothing is raised until it is"));
    }
    let mut full = profile();
    full.node_available = Ok(part(0.0));
    assert_eq!(may_raise(&full).answer, Err(NoRaise::Node { available: 0.0 }));
}
