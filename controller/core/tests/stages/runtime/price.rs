use super::{MIB, MISSING, bounds, check, cycle, lambda, mib, percent, profile, rate};
use flyball_core::{
    bytes::Bytes,
    decide::runtime::{GogcBounds, Lambda, Pressure, Priced, optimum, price},
    evaluate::watermark::Level,
};

#[test]
fn a_price_is_above_nothing_and_finite() {
    for cores in [0.0, -1e-9, f64::NAN, f64::INFINITY, 1.1] {
        assert_eq!(Lambda::new(cores), None, "{cores}");
    }
    assert!(Lambda::new(1.0).is_some() && Lambda::new(f64::MIN_POSITIVE).is_some());
    // A core for a GiB.
    assert_eq!(Lambda::per_gib(1.0).map(Lambda::get), Some(1.0 / 1_073_741_824.0));
}

fn priced(per_mib: f64, bounds: GogcBounds, expect: (Bytes, u64, u32), lines: &[&str]) {
    let (optimum, raw, gogc) = expect;
    let expect = Priced {
        optimum,
        percent: raw,
        gogc: percent(gogc),
    };
    check(&price(&profile(), lambda(per_mib), bounds), &Ok(expect), lines);
}

#[test]
fn the_headroom_is_the_root_of_what_it_saves_by_what_it_costs() {
    // sqrt(100 * 0.01 / p) = sqrt(1 / p) MiB, which is GOGC in percent.
    let usual = GogcBounds::default();
    priced(
        1e-4,
        usual,
        (mib(100), 100, 100),
        &[
            "E = sqrt(100 MiB/s * 0.01 s / 1.000e-4 cores/MiB) = 100 MiB",
            "GOGC = 100 * 100 MiB / (96 MiB live + 4 MiB roots) = 100, within 50 to 400: 100",
        ],
    );
    priced(2.5e-5, usual, (mib(200), 200, 200), &[]);
    priced(4e-4, usual, (mib(50), 50, 50), &[]);
    // Beyond the bounds the root does not hold, or is of no use.
    priced(1.6e-3, usual, (mib(25), 25, 50), &["= 25, within 50 to 400: 50"]);
    priced(1e-6, usual, (mib(1000), 1000, 400), &[]);
    priced(1e-6, bounds(75, 1000), (mib(1000), 1000, 1000), &[]);
    priced(1e-4, bounds(150, 300), (mib(100), 100, 150), &[]);
}

#[test]
fn extremes_stay_within_what_memory_there_is() {
    let none = rate(0.0);
    let dearest = Lambda::new(1.0).unwrap();
    let cheapest = Lambda::new(f64::MIN_POSITIVE).unwrap();
    assert_eq!(optimum(none, cycle(0.01), dearest), Bytes::ZERO);
    assert_eq!(optimum(none, cycle(f64::MAX), cheapest), Bytes::ZERO);
    assert_eq!(optimum(rate(100.0), cycle(0.0), cheapest), Bytes::ZERO);
    assert_eq!(optimum(rate(100.0), cycle(0.01), cheapest), Bytes::MAX);
    assert_eq!(optimum(rate(1e300), cycle(1e300), dearest), Bytes::MAX);
}

#[test]
fn a_price_needs_all_that_it_is_made_of() {
    let of = |profile| price(&profile, lambda(1e-4), GogcBounds::default()).answer;
    let mut all = vec![profile(); 5];
    all[0].allocation = Err(MISSING);
    all[1].cycle = Err(MISSING);
    all[2].live = Err(MISSING);
    all[3].roots = Err(MISSING);
    all[4].other = Err(MISSING);
    let said: Vec<String> = all.into_iter().map(|one| of(one).unwrap_err().to_string()).collect();
    assert_eq!(
        said,
        [
            "the allocation rate is not known: it was not read",
            "the GC CPU time per cycle is not known: it was not read",
            "the live heap is not known: it was not read",
            "the size of GC roots is not known: it was not read",
            "runtime memory outside of the heap is not known: it was not read",
        ]
    );
    // Before the first collection.
    let mut young = profile();
    (young.live, young.roots) = (Ok(Bytes::ZERO), Ok(Bytes::ZERO));
    let said = of(young).unwrap_err().to_string();
    assert!(said.contains("wait for the first collection"), "{said}");
}

#[test]
fn pressure_makes_memory_dearer_for_pods_above_their_request() {
    let usual = lambda(1e-4);
    for (level, factor, frozen) in [
        (Level::Normal, 1.0, false),
        (Level::Warning, 2.0, false),
        (Level::High, 8.0, false),
        (Level::Emergency, 8.0, true),
    ] {
        let pressure = Pressure::of(level);
        assert_eq!(pressure.frozen, frozen, "{level}");
        assert_eq!(pressure.price(usual, false), usual, "{level}");
        let dearer = pressure.price(usual, true).get() * MIB;
        assert!((dearer - factor * 1e-4).abs() < 1e-12, "{level}: {dearer}");
    }
    assert_eq!(lambda(1.0 * MIB).times(8.0), lambda(MIB));
    assert_eq!(usual.times(f64::INFINITY), lambda(MIB));
    for factor in [f64::NAN, 0.0, -1.0] {
        assert_eq!(usual.times(factor), usual);
    }
}
