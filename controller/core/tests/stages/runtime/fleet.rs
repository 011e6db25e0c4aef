use super::{MIB, MISSING, bounds, lambda, mib, profile, within};
use flyball_core::{
    bytes::Bytes,
    decide::runtime::{Lambda, Member, MemberError, Outcome, cost, divide},
};
use proptest::{collection::vec, prelude::*};

/// Its cost in MiB cores, its bounds in MiB.
fn member(cost: f64, min: u64, max: u64) -> Member {
    Member::new(cost * MIB, mib(min), mib(max)).unwrap()
}

/// To the nearest MiB, because the last bytes are rounded down.
fn headrooms(members: &[Member], budget: u64) -> (Vec<u64>, Outcome, f64) {
    let division = divide(members, mib(budget)).answer;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Small numbers.
    let whole = division
        .headrooms
        .iter()
        .map(|e| (e.real() / MIB).round() as u64)
        .collect();
    (whole, division.outcome, division.cores)
}

fn spent(members: &[Member], budget: u64, expect: &[u64], price_per_mib: f64, cores: f64) {
    let (whole, outcome, spent) = headrooms(members, budget);
    assert_eq!(whole, expect);
    assert!((spent / cores - 1.0).abs() < 1e-6, "{spent} instead of {cores}");
    let Outcome::Spent { lambda: price } = outcome else {
        panic!("{outcome:?}");
    };
    let expect = lambda(price_per_mib).get();
    assert!(
        (price.get() / expect - 1.0).abs() < 1e-6,
        "{price} instead of {price_per_mib}"
    );
}

#[test]
fn headroom_goes_by_the_root_of_the_cost() {
    // 1 : 2 of 300; 1 / 100 + 4 / 200 = 0.03; 1 / 100^2 = 1e-4.
    let two = [member(1.0, 10, 1000), member(4.0, 10, 1000)];
    spent(&two, 300, &[100, 200], 1e-4, 0.03);
    // The second is at its highest: 150 and 150, 1 / 150 + 4 / 150; the price is the first's, 1 / 150^2.
    let most = [member(1.0, 10, 1000), member(4.0, 10, 150)];
    spent(&most, 300, &[150, 150], 1.0 / 22_500.0, 5.0 / 150.0);
    // The first is at its lowest: 120 and 180; the price is the second's, 4 / 180^2.
    let least = [member(1.0, 120, 1000), member(4.0, 10, 1000)];
    spent(&least, 300, &[120, 180], 4.0 / 32_400.0, 1.0 / 120.0 + 4.0 / 180.0);
    // Who collects nothing has its lowest.
    let idle = [member(0.0, 10, 1000), member(1.0, 10, 1000), member(4.0, 10, 1000)];
    spent(&idle, 310, &[10, 100, 200], 1e-4, 0.03);
}

#[test]
fn corners_have_names() {
    let two = [member(1.0, 10, 1000), member(4.0, 10, 500)];
    let check = |members: &[Member], budget, expect: &[u64], outcome| {
        let (whole, came, _) = headrooms(members, budget);
        assert_eq!((whole.as_slice(), came), (expect, outcome), "{budget}");
    };
    check(&two, 15, &[10, 10], Outcome::Short { need: mib(20) });
    check(&two, 1500, &[1000, 500], Outcome::Ample { left: Bytes::ZERO });
    check(&two, 2000, &[1000, 500], Outcome::Ample { left: mib(500) });
    // Just at the least there is nothing to divide, but nothing is short either.
    let (whole, came, _) = headrooms(&two, 20);
    assert_eq!(whole, [10, 10]);
    assert!(matches!(came, Outcome::Spent { .. }));
    // Nobody has a use for it.
    let idle = [member(0.0, 10, 1000), member(0.0, 20, 1000)];
    check(&idle, 100, &[10, 20], Outcome::Ample { left: mib(70) });
    check(&[], 100, &[], Outcome::Ample { left: mib(100) });
    // More than one amount of memory can be is still added up.
    let huge = [member(1.0, 1, 1 << 30), member(1.0, 1, 1 << 30)];
    check(
        &huge,
        1 << 30,
        &[1 << 29, 1 << 29],
        divide(&huge, mib(1 << 30)).answer.outcome,
    );
    assert!(matches!(
        divide(&huge, mib(1 << 30)).answer.outcome,
        Outcome::Spent { .. }
    ));
}

#[test]
fn the_calculation_is_written_down() {
    let two = [member(1.0, 10, 1000), member(4.0, 10, 1000)];
    let lines = divide(&two, mib(300)).arithmetic;
    assert_eq!(
        lines,
        [
            "2 processes, from 20 MiB to 2000 MiB together, budget 300 MiB",
            "E = sqrt(g * t / 1.000e-4 cores/MiB) within its bounds, sum g * t / E = 0.03 cores",
        ]
    );
    let lines = divide(&two, mib(15)).arithmetic;
    assert_eq!(lines[1], "the budget is 5 MiB short: each has its lowest");
}

#[test]
fn a_member_goes_from_the_lowest_gogc_to_where_its_peak_lets_it() {
    // 100 MiB/s * 0.01 s = 1 MiB core; GOGC 50 is 50 MiB; 0.85 * 512 - 146 = 289.2.
    let of = |profile| Member::of(&profile, bounds(50, 400));
    let one = of(within(512)).unwrap();
    assert!((one.cost() - MIB).abs() < 1e-6);
    assert_eq!(one.min(), mib(50));
    assert_eq!(one.max().get(), mib(512).get() * 85 / 100 - mib(146).get());
    let wide = of(within(4096)).unwrap();
    assert_eq!(wide.max(), mib(400));
    // Where there is no room, the lowest.
    let tight = of(within(150)).unwrap();
    assert_eq!((tight.min(), tight.max()), (mib(50), mib(50)));
    let mut unknown = profile();
    unknown.unmanaged = Err(MISSING);
    assert!(matches!(of(unknown), Err(MemberError::NotKnown(_))));
    assert!(matches!(
        Member::new(f64::NAN, mib(1), mib(2)),
        Err(MemberError::Cost(_))
    ));
    assert!(matches!(Member::new(-1.0, mib(1), mib(2)), Err(MemberError::Cost(_))));
    assert!(matches!(
        Member::new(1.0, mib(3), mib(2)),
        Err(MemberError::Range { .. })
    ));
    assert!(matches!(
        Member::new(1.0, Bytes::ZERO, mib(2)),
        Err(MemberError::Range { .. })
    ));
}

/// Costs over twelve orders of magnitude, one in eight without any.
fn members() -> impl Strategy<Value = Vec<Member>> {
    let cost = prop_oneof![7 => (-6.0..6.0f64).prop_map(|e| 10f64.powf(e)), 1 => Just(0.0)];
    let one = (cost, 1..500u64, 0..5000u64).prop_map(|(cost, min, more)| member(cost, min, min + more));
    vec(one, 1..9)
}

/// Members and a budget between what they need and what they could use, in bytes.
fn between() -> impl Strategy<Value = (Vec<Member>, Bytes)> {
    (members(), 0.0..1.0f64).prop_map(|(members, part)| {
        let least: f64 = members.iter().map(|m| m.min().real()).sum();
        let most: f64 = members.iter().map(|m| m.max().real()).sum();
        (members, Bytes::nearest(least + part * (most - least)).unwrap())
    })
}

/// Bytes are rounded down, of a MiB at least.
const NEAR: f64 = 1e-5;

proptest! {
    /// No feasible point is cheaper.
    #[test]
    fn it_is_the_optimum((members, budget) in between(), points in vec(vec(0.0..1.0f64, 9), 20)) {
        let division = divide(&members, budget).answer;
        let least: f64 = members.iter().map(|m| m.min().real()).sum();
        for point in points {
            let more: Vec<f64> = members.iter().zip(&point).map(|(m, part)| part * (m.max().real() - m.min().real())).collect();
            let wanted: f64 = more.iter().sum();
            let scale = if wanted > 0.0 { ((budget.real() - least) / wanted).clamp(0.0, 1.0) } else { 0.0 };
            let feasible: Vec<f64> = members.iter().zip(&more).map(|(m, more)| m.min().real() + scale * more).collect();
            prop_assert!(division.cores <= cost(&members, &feasible) * (1.0 + NEAR), "{feasible:?}");
        }
    }

    /// Bounds and budget are kept to the byte, and the budget is spent but for the bytes rounded down.
    #[test]
    fn the_budget_is_kept_and_spent((members, budget) in between()) {
        let division = divide(&members, budget).answer;
        let sum: u64 = division.headrooms.iter().map(|e| e.get()).sum();
        for (m, e) in members.iter().zip(&division.headrooms) {
            prop_assert!(m.min() <= *e && *e <= m.max());
        }
        prop_assert!(sum <= budget.get());
        match division.outcome {
            Outcome::Spent { .. } => {
                #[allow(clippy::cast_precision_loss)] // A few members.
                let count = members.len() as f64;
                let left = budget.minus(Bytes::new(sum).unwrap()).real();
                prop_assert!(left <= count + 1e-9 * budget.real(), "{left} left");
            }
            Outcome::Ample { left } => {
                prop_assert_eq!(left.get(), budget.get() - sum);
                for (m, e) in members.iter().zip(&division.headrooms) {
                    prop_assert_eq!(*e, if m.cost() > 0.0 { m.max() } else { m.min() });
                }
            }
            Outcome::Short { .. } => prop_assert!(false, "{budget} is enough"),
        }
    }

    /// Karush, Kuhn and Tucker: one price for all who are not at a bound; who is at the lowest would pay less for a
    /// byte, who is at the highest would pay more.
    #[test]
    fn all_have_the_same_price((members, budget) in between()) {
        let division = divide(&members, budget).answer;
        let Outcome::Spent { lambda } = division.outcome else {
            return Ok(());
        };
        prop_assume!(lambda.get() < Lambda::MAX);
        for (m, e) in members.iter().zip(&division.headrooms) {
            let pays = m.cost() / e.real() / e.real() / lambda.get();
            prop_assert!(pays <= 1.0 + NEAR || *e == m.max(), "{pays} at {e}");
            prop_assert!(pays >= 1.0 - NEAR || *e == m.min(), "{pays} at {e}");
        }
    }

    /// More memory takes none from anyone.
    #[test]
    fn more_for_all_is_less_for_nobody((members, budget) in between(), more in 0..1000u64) {
        let (less, more) = (divide(&members, budget).answer, divide(&members, budget.plus(mib(more))).answer);
        for (less, more) in less.headrooms.iter().zip(&more.headrooms) {
            prop_assert!(less <= more);
        }
        prop_assert!(more.cores <= less.cores);
    }

    #[test]
    fn too_little_is_short(members in members(), part in 0.0..1.0f64) {
        let least: u64 = members.iter().map(|m| m.min().get()).sum();
        #[allow(clippy::cast_precision_loss)]
        let budget = Bytes::floor(part * (least - 1) as f64).unwrap();
        let division = divide(&members, budget).answer;
        prop_assert_eq!(division.outcome, Outcome::Short { need: Bytes::new(least).unwrap() });
        for (m, e) in members.iter().zip(&division.headrooms) {
            prop_assert_eq!(*e, m.min());
        }
    }
}
