use super::{at, change, play, second, world};
use crate::demo::{
    controller::Memory,
    report::{
        audit::{Count, Kind, Request},
        markdown, numbers, plot, series,
    },
    setting::{Part, Setting},
    story::{Step, Story},
};

#[test]
fn the_numbers_come_from_the_journals_and_the_audit_log() {
    let (mut world, mut story) = (world(), Story::new(Setting::SHORT));
    play(&mut world, &mut story, Step::Down);
    let reaction = &numbers::reactions(&world, &Setting::SHORT)[0];
    assert_eq!(
        (reaction.due, reaction.to_proposal, reaction.to_write),
        (at(60), 1.0, 1.0)
    );
    let request = |seconds: i64, namespace: &str, kind| Request {
        at: at(seconds),
        kind,
        namespace: namespace.to_owned(),
        what: "x".to_owned(),
    };
    let requests = [
        request(61, "flyball-demo-checkout", Kind::Write),
        request(62, "flyball-demo-orders", Kind::Write),
        request(100, "flyball-demo-checkout", Kind::Read),
        request(160, "flyball-demo-checkout", Kind::Read),
        request(200, "flyball-system", Kind::Lease),
    ];
    let costs = numbers::costs(&world, &requests);
    assert_eq!(costs.len(), 2);
    assert_eq!((costs[0].count.written(), costs[0].count.reads), (1, 1));
    let (length, count) = numbers::in_quiet(&world, &requests, at(290)).unwrap();
    assert!((length - 29.0).abs() < 2.0, "{length}");
    assert_eq!(
        count,
        Count {
            reads: 1,
            ..Count::default()
        }
    );
}

#[test]
fn the_report_says_what_did_not_come_and_has_all_its_parts() {
    let (mut world, mut story) = (world(), Story::new(Setting::SHORT));
    play(&mut world, &mut story, Step::Breach);
    story.advance(&world, at(39 + 46));
    let material = markdown::Material {
        world: &world,
        story: &story,
        setting: &Setting::SHORT,
        end: at(90),
        requests: None,
        memory: Memory {
            peak: 20_480,
            last: 10_240,
        },
        build: "release",
        place: "the test bed",
        failure: None,
        loads: &["a | b".to_owned()],
        weights: None,
        left_out: Some("it needs a gateway"),
    };
    let text = markdown::report(&material);
    for expected in [
        "The story did not come as it should: 2 of 17",
        "**did not come**",
        "20.0 MiB at most",
        "a \\| b",
        "The chapter on weights was left out: it needs a gateway.",
        "not known",
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
}

#[test]
fn the_series_has_one_row_for_each_sample() {
    let (mut world, mut story) = (world(), Story::new(Setting::SHORT));
    play(&mut world, &mut story, Step::Applied);
    let csv = series::csv(&world);
    assert_eq!(csv.lines().count(), 1 + world.chapters[0].samples.len());
    assert!(
        csv.lines()
            .last()
            .unwrap()
            .ends_with(",checkout,1.0000,1.0000,95.0000,3,3,firing,2->3"),
        "{csv}"
    );
    assert_eq!(series::events(&world).lines().count(), world.lines.len());
    assert!(series::objects(&world).contains("kind: Change"));
}

#[test]
fn the_plot_shows_states_and_outcomes() {
    let (mut world, mut story) = (world(), Story::new(Setting::SHORT));
    play(&mut world, &mut story, Step::Down);
    let svg = plot::svg(&world, &Setting::SHORT, at(300)).unwrap();
    for expected in [
        "firing",
        "2 to 3: verifying",
        "committed",
        "latency (s)",
        "0.5 s",
        "replicas",
    ] {
        assert!(svg.contains(expected), "{expected} is missing");
    }
    let alerts = plot::alert_lane(&world, world.chapter(Part::Checkout), 300.0);
    assert_eq!(
        alerts.iter().map(|s| (s.from, s.label.as_str())).collect::<Vec<_>>(),
        [
            (26.0, "inactive"),
            (40.0, "pending"),
            (61.0, "firing"),
            (136.0, "inactive")
        ]
    );
    let changes = plot::change_lane(&world, world.chapter(Part::Checkout), at(300));
    assert_eq!(changes.len(), 4);
    second(&mut world, &mut story);
    world.see(
        Part::Orders,
        change(0, (2, 3), "Refused", (239, None, None), ""),
        at(241),
    );
    let changes = plot::change_lane(&world, world.chapter(Part::Orders), at(300));
    assert_eq!(
        changes.last().map(|stretch| stretch.label.as_str()),
        Some("rolled back, repeat refused")
    );
}
