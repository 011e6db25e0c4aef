use super::{container, ratio};
use crate::build::{at, labels};
use flyball_core::{
    bytes::Bytes,
    evaluate::watermark::{By, Observed, Over, PodMemory, Ratio, Subject, furthest_over, observe},
    signal::{Reading, Sample},
    time::Span,
};

fn reading(series: &[(&[(&str, &str)], f64)], warnings: &[&str], age: u64) -> Reading {
    let samples = series
        .iter()
        .map(|(pairs, value)| Sample {
            labels: labels(pairs),
            value: *value,
        })
        .collect();
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    Reading::answered(
        at(100),
        samples,
        &warnings,
        Some(Span::from_secs(age)),
        Span::from_secs(60),
    )
}

const A: &[(&str, &str)] = &[("pod", "a"), ("container", "app")];
const B: &[(&str, &str)] = &[("pod", "b"), ("container", "app")];

fn seen(reading: &Reading, by: By) -> Observed {
    observe(reading, by, |_| at(95))
}

#[test]
fn each_series_is_a_subject() {
    let told = seen(&reading(&[(A, 0.5), (B, 0.9)], &[], 0), By::Container);
    let expect = [
        (container("a"), Ok(ratio(95, 0.5))),
        (container("b"), Ok(ratio(95, 0.9))),
    ];
    assert_eq!(told.subjects.into_iter().collect::<Vec<_>>(), expect);
    assert_eq!((told.absent, told.unnamed), (None, 0));
    let nodes = seen(&reading(&[(&[("node", "n1")], 0.7)], &[], 0), By::Node);
    assert_eq!(
        nodes.subjects.keys().collect::<Vec<_>>(),
        [&Subject::Node("n1".to_owned())]
    );
    // Of two series of one subject, in whatever order, the fuller counts.
    for pair in [[0.9, 0.5], [0.5, 0.9]] {
        let two: Vec<(&[(&str, &str)], f64)> = pair.iter().map(|value| (A, *value)).collect();
        let told = seen(&reading(&two, &[], 0), By::Container);
        assert_eq!(told.subjects[&container("a")], Ok(ratio(95, 0.9)));
    }
    // Without its labels it is nobody.
    let unnamed = seen(&reading(&[(&[("pod", "a")], 0.5), (B, 0.9)], &[], 0), By::Container);
    assert_eq!((unnamed.subjects.len(), unnamed.unnamed), (1, 1));
}

#[test]
fn what_is_not_fresh_is_not_known() {
    for (bad, why) in [
        (
            reading(&[(A, 0.5)], &["a store did not answer"], 0),
            "the reading is partial",
        ),
        (reading(&[(A, 0.5)], &[], 61), "the reading is stale"),
        (reading(&[], &[], 0), "the reading is missing"),
        (Reading::failed(at(100), "time-out"), "the reading is error: time-out"),
    ] {
        let told = seen(&bad, By::Container);
        assert!(told.subjects.is_empty());
        assert!(told.absent.as_ref().unwrap().starts_with(why), "{told:?}");
    }
}

#[test]
fn one_that_is_no_number_silences_no_other_but_lowers_none() {
    let told = seen(&reading(&[(A, f64::NAN), (B, 0.9)], &[], 0), By::Container);
    assert_eq!(told.subjects[&container("a")], Err("its ratio is NaN".to_owned()));
    let doubtful = Ratio {
        may_lower: false,
        ..ratio(95, 0.9)
    };
    assert_eq!(told.subjects[&container("b")], Ok(doubtful));
    let told = seen(&reading(&[(A, f64::INFINITY)], &[], 0), By::Container);
    assert_eq!(told.subjects[&container("a")], Err("its ratio is inf".to_owned()));
    let told = seen(&reading(&[(A, -0.1)], &[], 0), By::Container);
    assert_eq!(told.subjects[&container("a")], Err("its ratio is -0.1".to_owned()));
}

#[test]
fn the_furthest_over_its_request_is_first() {
    let pod = |pod: &str, working_set: Option<u64>, request| PodMemory {
        pod: pod.to_owned(),
        working_set: working_set.map(Bytes::from_mib),
        request: Bytes::from_mib(request),
    };
    let pods = [
        pod("within", Some(100), 300),
        pod("b", Some(500), 400),
        pod("a", Some(200), 100),
        pod("unknown", None, 0),
        pod("none", Some(150), 0),
    ];
    let mib = 1 << 20;
    let over = |pod: &str, mibs: i64| Over {
        pod: pod.to_owned(),
        over: mibs * mib,
    };
    let expect = [over("none", 150), over("a", 100), over("b", 100), over("within", -200)];
    assert_eq!(furthest_over(&pods), expect);
}
