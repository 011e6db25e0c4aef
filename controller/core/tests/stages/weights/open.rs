//! What supersedes a Change of weights that is open.

use super::{NOW, capacity, fresh, route, told, weights};
use crate::build::at;
use flyball_core::{
    check::{Check, OpenWeights, RouteWorld, Supersedable, Verdict, shape_weights},
    decide::{Move, RouteFacts, WeightProposal},
    signal::Quality,
};

/// The open Change went from 400, 400 and 200 to 360, 430 and 210.
const BEFORE: [(&str, i64); 3] = [("a", 400), ("b", 400), ("c", 200)];
const OPEN: [(&str, i64); 3] = [("a", 360), ("b", 430), ("c", 210)];

/// Whether a move to `to` supersedes it, where `facts` are so.
fn supersedes(why: Move, to: [i64; 3], supersedable: Supersedable, facts: &RouteFacts) -> bool {
    let [a, b, c] = to;
    let proposal = WeightProposal {
        action: "weights".to_owned(),
        from: facts.current.clone(),
        to: weights(&[("a", a), ("b", b), ("c", c)]),
        why,
        reason: "a test".to_owned(),
        arithmetic: Vec::new(),
        alerts: Vec::new(),
    };
    let world = RouteWorld {
        open: OpenWeights::Ours {
            name: "web-17".to_owned(),
            from: weights(&BEFORE),
            to: weights(&OPEN),
            supersedable,
        },
        ..RouteWorld::default()
    };
    match shape_weights(proposal, &capacity(), facts, &world, at(NOW)) {
        Ok(candidate) => {
            let approved = candidate.admit(flyball_core::check::DryRun::Accepted).unwrap();
            assert_eq!(approved.supersedes(), Some("web-17"));
            true
        }
        Err(refused) => {
            let open = refused
                .checks
                .iter()
                .find(|result| result.check == Check::OpenChange)
                .unwrap();
            if open.verdict == Verdict::Refused {
                assert_eq!(
                    open.message,
                    "Change web-17 to a 360, b 430, c 210 is open; wait until it is closed"
                );
            }
            false
        }
    }
}

fn facts() -> RouteFacts {
    route(&OPEN)
}

#[test]
fn a_move_of_the_law_supersedes_where_it_goes_further() {
    let check = |to: [i64; 3], expect: bool| {
        let found = supersedes(Move::Law, to, Supersedable::Further, &facts());
        assert_eq!(found, expect, "{to:?}");
    };
    check([270, 490, 240], true);
    check([359, 431, 210], true);
    // Back, wholly or in part, and the same in other numbers.
    check([400, 400, 200], false);
    check([380, 415, 205], false);
    check([720, 860, 420], false);
    // It takes most from one that had gained.
    check([340, 380, 280], false);
    check([365, 300, 335], false);
}

#[test]
fn nothing_but_an_ejection_supersedes_before_the_traffic_follows() {
    let check = |why: Move, supersedable: Supersedable, expect: bool| {
        let found = supersedes(why, [270, 490, 240], supersedable, &facts());
        assert_eq!(found, expect, "{why:?} {supersedable:?}");
    };
    for (why, expect) in [
        (Move::Ejection, [false, true, true]),
        (Move::Law, [false, false, true]),
        (Move::Return, [false, false, false]),
        (Move::Reapply, [false, false, false]),
    ] {
        check(why, Supersedable::No, expect[0]);
        check(why, Supersedable::AtOnce, expect[1]);
        check(why, Supersedable::Further, expect[2]);
    }
}

#[test]
fn before_the_hold_is_over_nothing_supersedes_but_an_ejection() {
    let check = |why: Move, ago: i64, expect: bool| {
        let mut facts = facts();
        facts.history.moved_at = Some(at(NOW - ago));
        assert_eq!(
            supersedes(why, [270, 490, 240], Supersedable::Further, &facts),
            expect,
            "{why:?} {ago}"
        );
    };
    check(Move::Law, 59, false);
    check(Move::Law, 60, true);
    check(Move::Ejection, 1, true);
}

#[test]
fn a_backend_whose_requests_fail_loses_whatever_is_open() {
    // b had gained. Of its 100 requests a second so many fail.
    let check = |why: Move, to: [i64; 3], errors: &[(&str, f64)], expect: bool| {
        let mut facts = facts();
        facts.errors = fresh(errors);
        let found = supersedes(why, to, Supersedable::Further, &facts);
        assert_eq!(found, expect, "{why:?} {to:?} {errors:?}");
    };
    let fewer = [440, 300, 260];
    check(Move::Law, fewer, &[("b", 6.0)], true);
    check(Move::Return, fewer, &[("b", 6.0)], true);
    check(Move::Reapply, fewer, &[("b", 6.0)], false);
    // The dead band is 5 %.
    check(Move::Law, fewer, &[("b", 5.0)], false);
    // One that gains fails, too; or one that loses less does.
    check(Move::Law, fewer, &[("b", 6.0), ("c", 4.0)], false);
    check(Move::Law, [360, 300, 340], &[("a", 6.0)], false);
    let mut facts = facts();
    // 3 of 20 are many, but 9 in a minute may be chance.
    (facts.requests, facts.errors) = (fresh(&[("b", 1.0)]), fresh(&[("b", 0.15)]));
    assert!(!supersedes(Move::Law, fewer, Supersedable::Further, &facts));
    // What is old tells nothing.
    facts = self::facts();
    facts.errors = told(Quality::Stale, NOW, &[("b", 50.0)]);
    assert!(!supersedes(Move::Law, fewer, Supersedable::Further, &facts));
    facts.errors = fresh(&[("b", 50.0)]);
    assert!(supersedes(Move::Law, fewer, Supersedable::Further, &facts));
    assert!(!supersedes(Move::Law, fewer, Supersedable::AtOnce, &facts));
}
