use super::{MIB, bounds, cycle, mib, percent, profile, rate, within};
use flyball_core::{
    bytes::Bytes,
    decide::runtime::{
        GogcBounds, Heap, NotWorth, Opportunity, OpportunityError, Service, WORTH, against, bc2_saving, opportunity,
    },
};
use proptest::{collection::vec, prelude::*};

/// Live MiB and MiB/s of the six processes whose division was measured.
const MEASURED: [(u64, f64); 6] = [(8, 80.0), (8, 8.0), (24, 60.0), (60, 20.0), (120, 8.0), (160, 6.0)];

/// t in proportion to L, no roots, and as much room.
fn service(live: u64, allocation: f64, room: Option<u64>) -> Service {
    Service {
        allocation: rate(allocation),
        cycle: cycle(1e-4 * mib(live).real() / MIB),
        heap: Heap::new(mib(live), Bytes::ZERO, Bytes::ZERO).unwrap(),
        room: room.map(mib),
    }
}

fn measured() -> Vec<Service> {
    MEASURED
        .iter()
        .map(|(live, allocation)| service(*live, *allocation, None))
        .collect()
}

fn near(value: f64, expect: f64) {
    assert!((value - expect).abs() < 5e-4, "{value} instead of {expect}");
}

fn predict(services: &[Service], equal: u32, bounds: GogcBounds, expect: (f64, f64, Option<NotWorth>)) -> Vec<String> {
    let worked = opportunity(services, percent(equal), bounds);
    let Opportunity {
        ideal,
        bounded,
        not_worth,
    } = worked.answer.unwrap();
    near(ideal, expect.0);
    near(bounded, expect.1);
    assert_eq!(not_worth, expect.2);
    worked.arithmetic
}

#[test]
fn unlike_services_gain_and_bounds_take_a_little() {
    // Of 182 MiB/s and 380 MiB: roots of the products sum to 167.854, 167.854^2 / (182 * 380) = 0.4074.
    // Within 50 to 400 the first is at 32 MiB and the last at 80; the others divide 268 by roots that sum to
    // 111.572. So 640 / 32 + 960 / 80 + 111.572^2 / 268 = 78.449 of 182.
    let lines = predict(&measured(), 100, bounds(50, 400), (0.5926, 0.5690, None));
    assert_eq!(
        lines,
        [
            "1 - (sum of sqrt(share of allocation * share of live heap))^2 = 59.3 %",
            // 182 MiB/s * 1e-4 s / MiB.
            "GOGC 100 for all: 380 MiB of headroom, sum g * t / E = 0.0182 cores",
            "6 processes, from 190 MiB to 1520 MiB together, budget 380 MiB",
            // The price of the third: 60 * 24e-4 / 91.15^2, where 91.15 = 37.947 * 268 / 111.572.
            "E = sqrt(g * t / 1.733e-5 cores/MiB) within its bounds, sum g * t / E = 0.007845 cores",
            "saved within the bounds: 1 - 0.007845 / 0.0182 = 56.9 %",
        ]
    );
}

#[test]
fn what_is_not_worth_it_says_why() {
    let usual = GogcBounds::default();
    // Replicas of one service, and services that are alike: 4 % is little.
    let replicas = vec![service(100, 50.0, None); 3];
    predict(&replicas, 100, usual, (0.0, 0.0, Some(NotWorth::Alike)));
    // Shares 1/3 and 2/3 of g, 1/2 and 1/2 of L: 1 - (sqrt(1/6) + sqrt(1/3))^2 = 0.0286.
    let alike = [service(100, 50.0, None), service(100, 100.0, None)];
    predict(&alike, 100, usual, (0.0286, 0.0286, Some(NotWorth::Alike)));
    // Each fills its own container already.
    let paid: Vec<Service> = MEASURED
        .iter()
        .map(|(live, g)| service(*live, *g, Some(live * 7 / 10)))
        .collect();
    predict(&paid, 100, usual, (0.5926, 0.0, Some(NotWorth::AllAtMost)));
    predict(&measured(), 400, usual, (0.5926, 0.0, Some(NotWorth::AllAtMost)));
    // Nearly nothing may be moved: GOGC 95 to 105. With the first three, 148 of 182 cores, at 105 (42 MiB for 40)
    // there are 338 for 340; the gain is below 1 - 1 / 1.05.
    let worked = opportunity(&measured(), percent(100), bounds(95, 105)).answer.unwrap();
    assert_eq!(worked.not_worth, Some(NotWorth::Bounded));
    assert!(worked.bounded > 0.0 && worked.bounded < 1.0 - 1.0 / 1.05);
    for why in [NotWorth::Alike, NotWorth::AllAtMost, NotWorth::Bounded] {
        assert!(!why.reason().is_empty());
    }
}

#[test]
fn what_can_not_be_predicted_is_an_error() {
    let of = |services: &[Service], equal| opportunity(services, percent(equal), GogcBounds::default()).answer;
    assert!(matches!(of(&measured(), 500), Err(OpportunityError::Bounds { .. })));
    assert!(matches!(of(&[], 100), Err(OpportunityError::Idle)));
    assert!(matches!(
        of(&[service(100, 0.0, None)], 100),
        Err(OpportunityError::Idle)
    ));
    let free = Service {
        cycle: cycle(0.0),
        ..service(100, 10.0, None)
    };
    assert!(matches!(of(&[free], 100), Err(OpportunityError::Idle)));
}

#[test]
fn a_service_is_read_from_its_profile() {
    let service = Service::of(&within(512)).unwrap();
    assert_eq!(service.heap, super::heap());
    // 0.85 * 512 - 146.
    assert_eq!(
        service.room.map(Bytes::get),
        Some(mib(512).get() * 85 / 100 - mib(146).get())
    );
    let mut free = profile();
    free.limit = Ok(None);
    assert_eq!(Service::of(&free).unwrap().room, None);
    free.cycle = Err(super::MISSING);
    assert!(Service::of(&free).is_err());
}

#[test]
fn the_saving_against_what_there_is() {
    // Costs 1 and 4 at 150 each: 9 / (300 * 5 / 150) = 0.9.
    near(against(&[(1.0, mib(150)), (4.0, mib(150))]).unwrap(), 0.1);
    // Already divided.
    near(against(&[(1.0, mib(100)), (4.0, mib(200))]).unwrap(), 0.0);
    assert_eq!(against(&[(0.0, mib(100))]), None);
    assert_eq!(against(&[]), None);
    assert_eq!(bc2_saving(&[]), None);
    assert_eq!(bc2_saving(&[(rate(0.0), mib(1))]), None);
    assert_eq!(bc2_saving(&[(rate(1.0), Bytes::ZERO)]), None);
    // One has all of the allocation, the other all of the memory.
    near(
        bc2_saving(&[(rate(1.0), Bytes::ZERO), (rate(0.0), mib(1))]).unwrap(),
        1.0,
    );
}

proptest! {
    /// BC² is what the general formula says for one GOGC and t in proportion to L, and bounds only take from it.
    #[test]
    fn bounds_never_add(services in vec((1..5000u64, 0.1..1000.0f64), 1..9), equal in 50..400u32) {
        let services: Vec<Service> = services.into_iter().map(|(live, g)| service(live, g, None)).collect();
        let came = opportunity(&services, percent(equal), GogcBounds::default()).answer.unwrap();
        let members: Vec<(f64, Bytes)> = services
            .iter()
            .map(|s| (s.allocation.get() * s.cycle.get(), s.heap.headroom(percent(equal))))
            .collect();
        let general = against(&members).unwrap();
        prop_assert!((came.ideal - general).abs() < 1e-5, "{} and {general}", came.ideal);
        prop_assert!(came.bounded <= came.ideal + 1e-5);
        prop_assert_eq!(came.not_worth.is_none(), came.bounded >= WORTH);
    }

    /// It is nothing exactly where all allocate in proportion to what they keep.
    #[test]
    fn alike_gains_nothing(live in vec(1..5000u64, 1..9), per_live in 0.01..10.0f64, odd in 2.0..10.0f64) {
        #[allow(clippy::cast_precision_loss)]
        let alike: Vec<_> = live.iter().map(|live| (rate(*live as f64 * per_live), mib(*live))).collect();
        prop_assert!(bc2_saving(&alike).unwrap() < 1e-9);
        let mut unlike = alike.clone();
        unlike.push((rate(odd * per_live * 100.0), mib(100)));
        prop_assert!(bc2_saving(&unlike).unwrap() > 1e-9);
    }
}
