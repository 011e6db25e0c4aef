use super::{bounds, heap, mib, percent, tenths};
use flyball_core::{
    bytes::Bytes,
    decide::runtime::{
        Effective, Gogc, GogcBounds, GogcBoundsError, Heap, Held, Profile, Ruler, reclaimable, reclaimable_of,
    },
};
use rstest::rstest;

#[rstest]
#[case(49, 400, Err(GogcBoundsError::Low(49)))]
#[case(50, 1001, Err(GogcBoundsError::High(1001)))]
#[case(200, 100, Err(GogcBoundsError::Order { min: 200, max: 100 }))]
#[case(1100, 1200, Err(GogcBoundsError::High(1200)))]
#[case(50, 1000, Ok((50, 1000)))]
#[case(75, 75, Ok((75, 75)))]
fn bounds_keep_out_what_makes_the_collector_spin(
    #[case] min: u32,
    #[case] max: u32,
    #[case] expect: Result<(u32, u32), GogcBoundsError>,
) {
    let made = GogcBounds::new(min, max);
    assert_eq!(made.map(|bounds| (bounds.min().get(), bounds.max().get())), expect);
}

#[test]
fn the_default_is_50_to_400() {
    assert_eq!(GogcBounds::default(), bounds(50, 400));
    assert!(bounds(50, 400).hold(percent(50)) && bounds(50, 400).hold(percent(400)));
    assert!(!bounds(50, 400).hold(percent(49)) && !bounds(50, 400).hold(percent(401)));
}

#[test]
fn a_gogc_is_what_an_agent_takes() {
    assert_eq!(Gogc::new(0), None);
    assert_eq!(Gogc::new(1001), None);
    assert_eq!(Gogc::new(1).map(Gogc::get), Some(1));
    assert_eq!(Gogc::new(1000).map(Gogc::get), Some(1000));
}

#[test]
fn nothing_live_is_no_heap() {
    assert_eq!(Heap::new(Bytes::ZERO, Bytes::ZERO, mib(20)), None);
    assert!(Heap::new(Bytes::ZERO, mib(1), Bytes::ZERO).is_some());
}

fn check(heap: Heap, gogc: Option<u32>, limit: Option<u64>, expect: Option<(Bytes, u64, Ruler)>) {
    let effective = heap.effective(gogc.map(percent), limit.map(mib));
    let expect = expect.map(|(goal, percent, ruler)| Effective { goal, percent, ruler });
    assert_eq!(effective, expect, "GOGC {gogc:?}, limit {limit:?} MiB");
}

#[test]
fn the_smaller_goal_wins() {
    use Ruler::{Gogc, Limit};
    // 96 + (96 + 4) * 1.
    check(heap(), Some(100), None, Some((mib(196), 100, Gogc)));
    // 450 - 20 = 430, less 3 % 417.1.
    let goal = Bytes::new((450 - 20) * 1_048_576 * 97 / 100).unwrap();
    check(heap(), Some(100), Some(450), Some((mib(196), 100, Gogc)));
    check(heap(), Some(400), Some(450), Some((goal, 321, Limit)));
    check(heap(), None, Some(450), Some((goal, 321, Limit)));
    // 130 less 3.9 is 126.1: 30.1 over 96.
    let goal = Bytes::new(130 * 1_048_576 * 97 / 100).unwrap();
    check(heap(), None, Some(150), Some((goal, 30, Limit)));
    // What is live stays, whatever the limit.
    check(heap(), None, Some(100), Some((mib(96), 0, Limit)));
    check(heap(), None, Some(1), Some((mib(96), 0, Limit)));
    // Nothing is collected.
    check(heap(), None, None, None);
}

#[test]
fn a_floor_of_gogc_does_not_guard_against_a_limit() {
    // Measured: 105 live, 150 limit, GOGC 50 and GOGC off behave alike. 145.5 is less than 157.5.
    let heap = Heap::new(mib(105), Bytes::ZERO, Bytes::ZERO).unwrap();
    let goal = tenths(1455);
    for gogc in [Some(50), None] {
        check(heap, gogc, Some(150), Some((goal, 38, Ruler::Limit)));
    }
}

#[test]
fn small_heaps_have_a_minimum() {
    // 4 MiB * GOGC / 100, and of a limit 1 MiB at least is kept free.
    let tiny = Heap::new(mib(1), Bytes::ZERO, Bytes::ZERO).unwrap();
    check(tiny, Some(100), None, Some((mib(4), 300, Ruler::Gogc)));
    check(tiny, Some(50), None, Some((mib(2), 100, Ruler::Gogc)));
    let small = Heap::new(mib(4), Bytes::ZERO, Bytes::ZERO).unwrap();
    check(small, None, Some(10), Some((mib(9), 125, Ruler::Limit)));
}

#[test]
fn reclaimable_is_what_is_held_and_what_the_lowest_gogc_would_not_grow_to() {
    let held = |goal| Held {
        free: mib(10),
        unused: mib(5),
        goal,
    };
    // At GOGC 50 the goal would be 96 + 50 = 146.
    assert_eq!(reclaimable(heap(), held(mib(196)), percent(50)), mib(65));
    assert_eq!(reclaimable(heap(), held(mib(146)), percent(50)), mib(15));
    assert_eq!(reclaimable(heap(), held(mib(100)), percent(50)), mib(15));
    let mut profile = super::profile();
    let of = |profile: &Profile| reclaimable_of(profile, mib(10), mib(5), percent(50));
    super::check(
        &of(&profile),
        &Ok(mib(65)),
        &["10 MiB free + 5 MiB unused + max(0, 196 MiB goal - 146 MiB goal at GOGC 50) = 65 MiB"],
    );
    profile.live = Err(super::MISSING);
    assert!(of(&profile).answer.is_err());
}
