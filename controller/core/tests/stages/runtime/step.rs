use super::{MISSING, check, lambda, mib, part, percent, profile, tenths, within};
use flyball_core::{
    bytes::Bytes,
    decide::runtime::{
        GogcBounds, GogcStep, LimitAnswer, NeedsMemory, NoLimit, Profile, Rest, Since, Stay, gogc, slew, soft_limit,
    },
};

const ENOUGH: Since = Since {
    cycles: Some(3),
    scrapes: Some(2),
};

#[test]
fn a_step_is_at_most_half_as_much_again() {
    let check = |now, wanted, last: Option<Since>, expect: Result<u64, Rest>| {
        assert_eq!(slew(now, wanted, last), expect, "from {now} to {wanted}, {last:?}");
    };
    check(100, 400, Some(ENOUGH), Ok(150));
    check(150, 400, Some(ENOUGH), Ok(225));
    check(101, 400, Some(ENOUGH), Ok(151));
    check(100, 120, Some(ENOUGH), Ok(120));
    // 100 / 1.5 = 66.7, and 200 / 1.5 = 133.3.
    check(100, 50, Some(ENOUGH), Ok(67));
    check(200, 50, Some(ENOUGH), Ok(134));
    check(60, 50, Some(ENOUGH), Ok(50));
    // Within 10 % of what there is.
    check(100, 110, Some(ENOUGH), Err(Rest::DeadBand));
    check(100, 90, Some(ENOUGH), Err(Rest::DeadBand));
    check(100, 111, Some(ENOUGH), Ok(111));
    check(100, 89, Some(ENOUGH), Ok(89));
    // The first step is exempt, and as large as any other.
    check(100, 105, None, Ok(105));
    check(100, 400, None, Ok(150));
    check(100, 100, None, Err(Rest::There));
    check(100, 100, Some(ENOUGH), Err(Rest::There));
    // The smallest move by one.
    check(1, 50, None, Ok(2));
    check(2, 1, None, Ok(1));
    check(u64::MAX, 0, None, Ok(u64::MAX / 3 * 2));
    check(0, 9, None, Ok(1));
}

#[test]
fn a_step_waits_for_collections_and_scrapes() {
    let since = |cycles, scrapes| slew(100, 400, Some(Since { cycles, scrapes }));
    assert_eq!(since(Some(2), Some(9)), Err(Rest::Cycles(Some(2))));
    assert_eq!(since(None, Some(9)), Err(Rest::Cycles(None)));
    assert_eq!(since(Some(9), Some(1)), Err(Rest::Scrapes(Some(1))));
    assert_eq!(since(Some(9), None), Err(Rest::Scrapes(None)));
    assert_eq!(since(Some(3), Some(2)), Ok(150));
    assert_eq!(
        Rest::Cycles(Some(2)).to_string(),
        "2 of 3 collections since the last step"
    );
    assert_eq!(
        Rest::Scrapes(None).to_string(),
        "how many scrapes there were since the last step is not known"
    );
}

fn step(profile: &Profile, per_mib: f64) -> GogcStep<'_> {
    GogcStep {
        profile,
        lambda: lambda(per_mib),
        bounds: GogcBounds::default(),
        last: Some(ENOUGH),
        frozen: false,
    }
}

fn next(step: GogcStep<'_>, wanted: u32, expect: Result<u32, Stay>, parts: &[&str]) {
    let worked = gogc(step);
    assert_eq!(worked.answer.wanted, Some(percent(wanted)), "{:?}", worked.arithmetic);
    assert_eq!(worked.answer.next, expect.map(percent), "{:?}", worked.arithmetic);
    for part in parts {
        let found = worked.arithmetic.iter().any(|line| line.contains(part));
        assert!(found, "{part:?} is not in {:#?}", worked.arithmetic);
    }
}

#[test]
fn gogc_goes_by_steps_where_its_price_wants_it() {
    let profile = profile();
    next(
        step(&profile, 2.5e-5),
        200,
        Ok(150),
        &[
            "= 200, within 50 to 400: 200",
            "the node has 50.0 % available, not below 20.0 %",
            "the container uses 200 MiB, below 0.90 * 512 MiB = 460.8 MiB",
            "a step of at most 1.5 from 100 towards 200: 150",
        ],
    );
    next(step(&profile, 4e-4), 50, Ok(67), &[]);
    next(step(&profile, 1e-4), 100, Err(Stay::Rest(Rest::There)), &[]);
    let early = GogcStep {
        last: Some(Since::default()),
        ..step(&profile, 2.5e-5)
    };
    next(early, 200, Err(Stay::Rest(Rest::Cycles(None))), &[]);
}

#[test]
fn the_predicted_peak_comes_before_the_price() {
    // The price wants 1000 MiB, there is room for 289.2.
    let profile = within(512);
    next(
        step(&profile, 1e-6),
        289,
        Ok(150),
        &["GOGC for a headroom of 289.2 MiB = 289, within 50 to 400: 289"],
    );
    // 0.85 * 240 - 146 = 58.
    let profile = Profile {
        used: Ok(mib(180)),
        ..within(240)
    };
    next(step(&profile, 1e-6), 58, Ok(67), &[]);
    // There is room for nothing: the lowest all the same, and a condition.
    let tight = within(150);
    next(step(&tight, 1e-6), 50, Ok(67), &[]);
    let needs = gogc(step(&tight, 1e-6)).answer.needs_memory;
    let need = Bytes::new((mib(196).get() * 100).div_ceil(85)).unwrap();
    assert_eq!(needs, Some(NeedsMemory { have: mib(150), need }));
    assert_eq!(gogc(step(&profile, 1e-6)).answer.needs_memory, None);
}

#[test]
fn what_may_not_be_raised_may_be_lowered() {
    for change in [
        (|p| p.node_available = Ok(part(0.1))) as fn(&mut Profile),
        |p| p.node_available = Err(MISSING),
        |p| p.used = Err(MISSING),
        |p| p.used = Ok(mib(500)),
    ] {
        let mut profile = profile();
        change(&mut profile);
        let up = gogc(step(&profile, 2.5e-5)).answer;
        assert!(matches!(up.next, Err(Stay::NoRaise(_))), "{up:?}");
        next(step(&profile, 4e-4), 50, Ok(67), &[]);
    }
    let profile = profile();
    let frozen = |per_mib| GogcStep {
        frozen: true,
        ..step(&profile, per_mib)
    };
    next(frozen(4e-4), 50, Err(Stay::Frozen), &[]);
    next(frozen(2.5e-5), 200, Ok(150), &[]);
}

fn next_limit(profile: &Profile, last: Option<Since>, frozen: bool, expect: &LimitAnswer, parts: &[&str]) {
    check(&soft_limit(profile, last, frozen), expect, parts);
}

fn limited(container: u64, now: Option<Bytes>) -> Profile {
    Profile {
        soft_limit: Ok(now),
        ..within(container)
    }
}

#[test]
fn the_first_limit_is_set_at_once_and_moves_by_steps() {
    use LimitAnswer::{Set, Stay as Stays};
    let once = limited(512, None);
    next_limit(&once, None, false, &Set(mib(450)), &[]);
    // 900 / 1.5 = 600, and 250 * 1.5 = 375.
    let high = limited(512, Some(mib(900)));
    next_limit(
        &high,
        Some(ENOUGH),
        false,
        &Set(mib(600)),
        &["from 900 MiB towards 450 MiB: 600 MiB"],
    );
    next_limit(&high, Some(ENOUGH), true, &Stays(Stay::Frozen), &[]);
    let low = limited(512, Some(mib(250)));
    next_limit(&low, Some(ENOUGH), true, &Set(mib(375)), &[]);
    next_limit(
        &limited(512, Some(mib(440))),
        Some(ENOUGH),
        false,
        &Stays(Stay::Rest(Rest::DeadBand)),
        &[],
    );
    let early = Some(Since::default());
    next_limit(&low, early, false, &Stays(Stay::Rest(Rest::Cycles(None))), &[]);
    let full = Profile {
        node_available: Err(MISSING),
        ..limited(512, Some(mib(250)))
    };
    assert!(matches!(
        soft_limit(&full, Some(ENOUGH), false).answer,
        Stays(Stay::NoRaise(_))
    ));
}

#[test]
fn what_ends_a_spiral_waits_for_nothing() {
    // Under 170 the effective GOGC is 49, and nothing may be raised otherwise.
    let spins = Profile {
        node_available: Ok(part(0.0)),
        ..limited(512, Some(mib(170)))
    };
    next_limit(
        &spins,
        Some(Since::default()),
        true,
        &LimitAnswer::Set(mib(450)),
        &["under 170 MiB the collector spins: 450 MiB at once"],
    );
    let small = NoLimit::NeedsMemory(NeedsMemory {
        have: mib(138),
        need: mib(170),
    });
    let lift = limited(200, Some(mib(170)));
    next_limit(
        &lift,
        Some(Since::default()),
        true,
        &LimitAnswer::Lift(small.clone()),
        &[],
    );
    next_limit(&limited(200, None), None, false, &LimitAnswer::None(small), &[]);
    let free = Profile {
        limit: Ok(None),
        ..limited(512, Some(tenths(4500)))
    };
    next_limit(&free, None, false, &LimitAnswer::Lift(NoLimit::Unlimited), &[]);
}
