//! The transaction's protocol holds in every state that two controllers and their faults can reach,
//! and fails as soon as the precondition or the fence is taken out.

use flyball_model::{Faults, Protocol, Report, Without};

fn search<const N: usize>(without: Without, faults: Faults) -> Report {
    let report = Protocol::<N>::new(faults, without).search();
    println!(
        "{N} objects, {without:?}, {faults:?}: {} states, depth {}",
        report.states, report.depth
    );
    if let Some(violation) = &report.violation {
        println!("{}:", violation.law);
        for (action, world) in &violation.steps {
            println!("  {action:?}\n{world}");
        }
    }
    report
}

/// The whole protocol, whatever goes wrong, breaks no law; and it comes to both of its ends.
fn holds<const N: usize>(faults: Faults) {
    let report = search::<N>(Without::Nothing, faults);
    assert_eq!(report.violation.map(|violation| violation.law), None);
    assert!(report.commits && report.rolls_back);
}

fn breaks<const N: usize>(without: Without, faults: Faults) {
    assert!(search::<N>(without, faults).violation.is_some());
}

const FEW: Faults = Faults {
    crashes: 1,
    flips: 1,
    edits: 1,
    delayed: 1,
    refusals: 1,
    status_writes: true,
    skew: true,
    hand_over: false,
};
const MANY: Faults = Faults {
    crashes: 3,
    flips: 4,
    edits: 2,
    delayed: 1,
    refusals: 0,
    status_writes: false,
    skew: false,
    hand_over: false,
};
/// With fewer of the other faults, since each hand-over is a way of its own.
const HANDED_OVER: Faults = Faults {
    edits: 0,
    refusals: 0,
    status_writes: false,
    hand_over: true,
    ..FEW
};

#[test]
fn the_whole_protocol_holds_under_many_faults() {
    holds::<1>(MANY);
}

#[test]
fn it_holds_when_target_and_journal_are_read_at_different_times() {
    holds::<1>(FEW);
}

#[test]
fn it_holds_when_the_field_is_handed_over_at_any_time() {
    holds::<1>(HANDED_OVER);
}

#[test]
fn without_preconditions_it_breaks() {
    breaks::<1>(Without::Precondition, FEW);
}

#[test]
fn with_preconditions_but_no_fence_it_still_breaks() {
    breaks::<1>(Without::Fence, FEW);
}

#[test]
fn two_quiet() {
    let quiet = Faults {
        crashes: 0,
        flips: 0,
        edits: 0,
        delayed: 0,
        refusals: 0,
        status_writes: false,
        skew: false,
        hand_over: false,
    };
    holds::<2>(Faults {
        flips: 1,
        delayed: 1,
        crashes: 1,
        ..quiet
    });
}
