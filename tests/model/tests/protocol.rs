//! The transaction's protocol holds in every state that two controllers and their faults can reach,
//! and fails as soon as the precondition or the fence is taken out.

use flyball_model::{Faults, Protocol, Report, Without};

fn search<const N: usize>(without: Without, faults: Faults) -> Report {
    println!("{N} objects, {without:?}, {faults:?}:");
    printed(Protocol::<N>::new(faults, without).search())
}

/// The same of a change that is tried first.
fn search_tried(without: Without, faults: Faults) -> Report {
    println!("1 object, a trial, {without:?}, {faults:?}:");
    printed(Protocol::<1>::new(faults, without).tried_first().search())
}

fn printed(report: Report) -> Report {
    println!("{} states, depth {}", report.states, report.depth);
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

/// The same of a change that is tried first; and its trial is also taken back.
fn tried_holds(faults: Faults) {
    let report = search_tried(Without::Nothing, faults);
    assert_eq!(report.violation.map(|violation| violation.law), None);
    assert!(report.commits && report.rolls_back && report.takes_back_trial);
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

/// In two objects each fault has twice as many places, so there are fewer of them at once.
const IN_TWO: Faults = Faults {
    crashes: 1,
    flips: 1,
    edits: 1,
    delayed: 1,
    refusals: 0,
    status_writes: false,
    skew: false,
    hand_over: false,
};
const READ_APART: Faults = Faults {
    crashes: 0,
    edits: 0,
    skew: true,
    ..IN_TWO
};
const REFUSED: Faults = Faults {
    crashes: 0,
    delayed: 0,
    refusals: 1,
    status_writes: true,
    ..IN_TWO
};
const BOTH_HANDED_OVER: Faults = Faults {
    delayed: 0,
    hand_over: true,
    ..READ_APART
};
/// One controller at a time: what is late is its own from before it was started again.
const ALONE: Faults = Faults {
    crashes: 2,
    flips: 0,
    edits: 2,
    refusals: 1,
    status_writes: true,
    skew: true,
    hand_over: true,
    ..IN_TWO
};

/// A trial has two writes forward and two ways back, so there are fewer faults at once.
const TRIED: Faults = Faults {
    crashes: 1,
    flips: 1,
    edits: 1,
    delayed: 1,
    refusals: 0,
    status_writes: false,
    skew: false,
    hand_over: false,
};
const TRIED_APART: Faults = Faults {
    crashes: 0,
    edits: 0,
    skew: true,
    hand_over: true,
    ..TRIED
};
const TRIED_ALONE: Faults = Faults {
    crashes: 2,
    flips: 0,
    edits: 1,
    refusals: 1,
    status_writes: true,
    ..TRIED_APART
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
fn in_two_objects_it_holds_under_many_faults() {
    holds::<2>(IN_TWO);
}

#[test]
fn in_two_objects_it_holds_when_they_are_read_at_different_times() {
    holds::<2>(READ_APART);
}

#[test]
fn in_two_objects_it_holds_when_writes_are_refused() {
    holds::<2>(REFUSED);
}

#[test]
fn in_two_objects_it_holds_when_the_field_is_handed_over_at_any_time() {
    holds::<2>(BOTH_HANDED_OVER);
}

#[test]
fn in_two_objects_it_holds_for_one_controller_that_is_killed_again_and_again() {
    holds::<2>(ALONE);
}

#[test]
fn in_two_objects_it_breaks_without_preconditions() {
    breaks::<2>(Without::Precondition, IN_TWO);
}

#[test]
fn in_two_objects_it_breaks_without_the_fence() {
    breaks::<2>(Without::Fence, IN_TWO);
}

#[test]
fn it_breaks_when_only_the_first_object_is_stamped() {
    breaks::<2>(Without::OtherStamps, IN_TWO);
}

#[test]
fn it_breaks_when_one_stamp_counts_for_all() {
    breaks::<2>(Without::EachStamp, IN_TWO);
}

#[test]
fn a_trial_holds_under_many_faults() {
    tried_holds(TRIED);
}

#[test]
fn a_trial_holds_when_target_and_journal_are_read_at_different_times() {
    tried_holds(TRIED_APART);
}

#[test]
fn a_trial_holds_for_one_controller_that_is_killed_again_and_again() {
    tried_holds(TRIED_ALONE);
}

#[test]
fn a_trial_breaks_without_preconditions() {
    assert!(search_tried(Without::Precondition, TRIED).violation.is_some());
}

#[test]
fn a_trial_breaks_without_the_fence() {
    assert!(search_tried(Without::Fence, TRIED).violation.is_some());
}
