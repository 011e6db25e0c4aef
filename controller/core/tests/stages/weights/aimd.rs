use super::{NOW, aimd, check, ejecting, fresh, remember, route, told, with_base};
use crate::build::{Observed, at, finite};
use flyball_core::{policy::WeightLaw, signal::Quality};

const EQUAL: [(&str, i64); 3] = [("a", 333), ("b", 333), ("c", 334)];

fn p99(values: [f64; 3]) -> Observed {
    let quality = if values.iter().all(|value| value.is_finite()) {
        Quality::Fresh
    } else {
        Quality::NotFinite
    };
    let [a, b, c] = values;
    Observed::default().signal("p99", told(quality, NOW, &[("a", a), ("b", b), ("c", c)]))
}

#[test]
fn who_breaks_the_objective_loses_a_part_and_the_others_gain() {
    // 400 * 0.8 = 320; b and c share the 80 as they share the rest, 3 to 3.
    let action = with_base(aimd(), &[40, 30, 30]);
    let parts = [
        "signal p99 is above 0.5 for 1 of 3 backends",
        "a: 0.6 > 0.5, weight * 0.8",
    ];
    let current = [("a", 400), ("b", 300), ("c", 300)];
    check(
        &action,
        &p99([0.6, 0.1, 0.2]),
        &route(&current),
        "a 320, b 340, c 340",
        &parts,
    );
    // Two lose 80 and 60, c gains 140 of 300, but 20 % at most: 60, and so they lose as much less.
    check(
        &action,
        &p99([0.6, 0.6, 0.2]),
        &route(&current),
        "a 366, b 274, c 360",
        &[],
    );
    // At the objective it is not broken.
    check(
        &action,
        &p99([0.5, 0.1, 0.2]),
        &route(&current),
        "-",
        &["the dead band"],
    );
    // The factor is the cap of what falls, 400 * 0.5 = 200; but b and c take up a fifth each at most, 360.
    let mut steep = action.clone();
    if let WeightLaw::Aimd(law) = &mut steep.law {
        law.factor = finite(0.5);
    }
    check(
        &steep,
        &p99([0.6, 0.1, 0.2]),
        &route(&current),
        "a 280, b 360, c 360",
        &[],
    );
    steep.limits.most_step = finite(0.9);
    check(
        &steep,
        &p99([0.6, 0.1, 0.2]),
        &route(&current),
        "a 200, b 400, c 400",
        &[],
    );
}

#[test]
fn nobody_falls_below_the_floor() {
    // 21 * 0.8 would be 16.8.
    let current = [("a", 21), ("b", 490), ("c", 489)];
    check(&aimd(), &p99([0.6, 0.1, 0.2]), &route(&current), "-", &[]);
    // b and c share 980 as 500 to 477.
    let current = [("a", 23), ("b", 500), ("c", 477)];
    check(
        &aimd(),
        &p99([0.6, 0.1, 0.2]),
        &route(&current),
        "a 20, b 502, c 478",
        &[],
    );
}

#[test]
fn it_comes_back_by_points_up_to_its_base() {
    let action = with_base(aimd(), &[40, 30, 30]);
    let good = || p99([0.1, 0.1, 0.1]);
    // 20 of 1000 more; b and c give as they are above their base, 40 to 60.
    let current = [("a", 300), ("b", 340), ("c", 360)];
    let parts = ["signal p99 is above 0.5 for none: back towards base"];
    check(&action, &good(), &route(&current), "a 320, b 332, c 348", &parts);
    // The last ones, up to the base and no further; 379 is 5.5 % from 400, 382 is 4.7 %.
    check(
        &action,
        &good(),
        &route(&[("a", 378), ("b", 311), ("c", 311)]),
        "a 398, b 301, c 301",
        &[],
    );
    check(
        &action,
        &good(),
        &route(&[("a", 382), ("b", 309), ("c", 309)]),
        "-",
        &["the dead band"],
    );
    // A step may be smaller than the dead band, as long as the way is not: 600 + 20.
    let big = with_base(aimd(), &[80, 10, 10]);
    check(
        &big,
        &good(),
        &route(&[("a", 600), ("b", 200), ("c", 200)]),
        "a 620, b 190, c 190",
        &[],
    );
    // What one loses goes first to one below its base: a loses 60, b gains 20 of them, and both share the rest.
    let current = [("a", 300), ("b", 280), ("c", 420)];
    check(
        &with_base(aimd(), &[30, 30, 40]),
        &p99([0.6, 0.1, 0.1]),
        &route(&current),
        "a 240, b 317, c 443",
        &[],
    );
}

#[test]
fn above_everywhere_there_is_nowhere_to_move_to() {
    let parts = ["signal p99 is above 0.5 for every backend: there is nowhere to move to"];
    check(&aimd(), &p99([0.6, 0.7, 0.8]), &route(&EQUAL), "-", &parts);
}

#[test]
fn who_is_not_known_is_not_moved() {
    let action = with_base(aimd(), &[40, 30, 30]);
    let current = [("a", 400), ("b", 300), ("c", 300)];
    // The 80 of a go to b, up to 20 % of 300: so a loses 60.
    let parts = ["c: not known (signal p99 is NaN), not moved"];
    check(
        &action,
        &p99([0.6, 0.1, f64::NAN]),
        &route(&current),
        "a 340, b 360, c 300",
        &parts,
    );
    let part = "signal p99 of 1 of 3 backends in service is known; at least 2 must be";
    check(&action, &p99([0.6, f64::NAN, f64::NAN]), &route(&current), "-", &[part]);
    for quality in [Quality::Stale, Quality::Partial, Quality::Missing, Quality::Error] {
        let values: &[(&str, f64)] = if quality == Quality::Missing {
            &[]
        } else {
            &[("a", 0.6), ("b", 0.1), ("c", 0.1)]
        };
        let observed = Observed::default().signal("p99", told(quality, NOW, values));
        check(
            &action,
            &observed,
            &route(&current),
            "-",
            &["of 0 of 3 backends", &quality.to_string()],
        );
    }
}

#[test]
fn beside_one_that_is_out_the_base_is_that_of_the_rest() {
    let out = |ago: i64| {
        remember(route(&[("a", 0), ("b", 500), ("c", 500)]), "a", |memory| {
            (memory.out_since, memory.ejections) = (Some(at(NOW - ago)), 1);
        })
    };
    let good = Observed::default().signal("p99", fresh(&[("b", 0.1), ("c", 0.1)]));
    check(&ejecting(aimd()), &good, &out(10), "-", &["the dead band"]);
    // 1 % of a third is 3.3, and 498.3 are left for each: of equal remainders the first is rounded up.
    check(&ejecting(aimd()), &good, &out(30), "return a 4, b 498, c 498", &[]);
    // While those in service break the objective one that comes back is welcome.
    let bad = Observed::default().signal("p99", fresh(&[("b", 0.9), ("c", 0.9)]));
    check(&ejecting(aimd()), &bad, &out(30), "return a 4, b 498, c 498", &[]);
    check(&ejecting(aimd()), &bad, &out(10), "-", &["nowhere to move to"]);
}
