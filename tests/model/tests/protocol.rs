//! The transaction's protocol holds in every state that two controllers and their faults can reach,
//! and fails as soon as the precondition or the fence is taken out.

use flyball_model::{Faults, Protocol, Without};
use stateright::{Checker, HasDiscoveries, Model};

fn check<const N: usize>(without: Without, faults: Faults) -> Vec<&'static str> {
    let checker = Protocol::<N>::new(faults, without)
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let violated = checker
        .discoveries()
        .into_iter()
        .filter(|(name, path)| {
            let example = matches!(
                checker.discovery_classification(name),
                stateright::DiscoveryClassification::Example
            );
            if !example {
                println!("{name}, {without:?}:");
                for (world, action) in path.clone().into_vec() {
                    println!("  {world}");
                    if let Some(action) = action {
                        println!("{action:?}");
                    }
                }
            }
            !example
        })
        .map(|(name, _)| name)
        .collect();
    println!(
        "{N} objects, {without:?}, {faults:?}: {} states, depth {}",
        checker.unique_state_count(),
        checker.max_depth()
    );
    violated
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
    assert_eq!(check::<1>(Without::Nothing, MANY), Vec::<&str>::new());
}

#[test]
fn it_holds_when_target_and_journal_are_read_at_different_times() {
    assert_eq!(check::<1>(Without::Nothing, FEW), Vec::<&str>::new());
}

#[test]
fn it_holds_when_the_field_is_handed_over_at_any_time() {
    assert_eq!(check::<1>(Without::Nothing, HANDED_OVER), Vec::<&str>::new());
}

#[test]
fn without_preconditions_it_breaks() {
    assert!(!check::<1>(Without::Precondition, FEW).is_empty());
}

#[test]
fn with_preconditions_but_no_fence_it_still_breaks() {
    assert!(!check::<1>(Without::Fence, FEW).is_empty());
}
