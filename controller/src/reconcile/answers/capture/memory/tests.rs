//! What is remembered of evidence, across a restart too.

use super::*;
use crate::evidence::{Evidence, Order, Store};
use flyball_core::{
    policy::{Capture, CapturePort},
    time::Span,
};
use std::net::{Ipv4Addr, SocketAddr};

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

fn wanted(moment: CaptureMoment, pod: &str, change: Option<&str>) -> CaptureOrder {
    CaptureOrder {
        moment,
        pod: pod.to_owned(),
        change: change.map(ToOwned::to_owned),
    }
}

fn piece(location: &str) -> Piece {
    Piece {
        kind: CaptureKind::GoHeap,
        location: location.to_owned(),
        bytes: 7,
        open: format!("go tool pprof -http=: {location}"),
    }
}

/// Something is under way that will come to nothing.
fn taking() -> Taking {
    crate::observe::source::install_crypto_provider();
    let folder = std::env::temp_dir().join(format!("flyball-memory-{}", std::process::id()));
    let evidence = Evidence::new(Store::folder(&folder).expect("a folder")).expect("a client");
    let order = Order {
        namespace: "shop".to_owned(),
        policy: "web".to_owned(),
        pod: "web-1".to_owned(),
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 9)),
        capture: Capture {
            port: CapturePort::Number(9),
            path: String::new(),
            take: vec![CaptureKind::GoHeap],
            seconds: 1,
            every: Span::from_secs(60),
            at_changes: true,
        },
        at: at(0),
    };
    evidence.take(order).expect("a place")
}

impl CaptureMemory {
    /// Begun, and ended with these pieces.
    fn through(&mut self, order: &CaptureOrder, second: i64, locations: &[&str]) {
        self.begin(order.clone(), taking(), at(second));
        assert!(self.is_busy());
        let pieces: Vec<Piece> = locations.iter().map(|location| piece(location)).collect();
        self.under_way = None;
        let failures = if pieces.is_empty() {
            vec!["none".to_owned()]
        } else {
            Vec::new()
        };
        self.end(order, at(second), &pieces, &failures);
    }

    /// As a new process reads it.
    fn after_restart(&self) -> Self {
        let stored = serde_json::to_value(self.stored("evidence")).expect("JSON");
        Self::restored(&serde_json::from_value(stored).expect("a status")).expect("a memory")
    }
}

#[tokio::test]
async fn a_pair_is_made_of_what_an_alert_led_to() {
    let mut memory = CaptureMemory::default();
    memory.through(
        &wanted(CaptureMoment::Alert, "web-1", None),
        100,
        &["/a/heap", "/a/cpu"],
    );
    assert_eq!(memory.history.unpaired, Some(at(100)));
    assert_eq!(memory.after_restart().history, memory.history);
    memory.pair("c1", at(200));
    let expect = CaptureHistory {
        alert_at: Some(at(100)),
        pair_at: Some(at(200)),
        tried_at: Some(at(100)),
        failed: 0,
        unpaired: None,
        change: Some("c1".to_owned()),
        pod: Some("web-1".to_owned()),
        after_due: true,
    };
    assert_eq!(memory.history, expect);
    let whens: Vec<_> = memory
        .files
        .iter()
        .map(|file| (file.file.when, file.change.as_deref()))
        .collect();
    assert_eq!(whens, [(crds::CaptureMoment::Before, Some("c1")); 2]);
    let restored = memory.after_restart();
    let tried_at = Some(at(200));
    assert_eq!(restored.history, CaptureHistory { tried_at, ..expect });
    memory.through(&wanted(CaptureMoment::After, "web-1", Some("c1")), 300, &["/b/heap"]);
    assert!(!memory.history.after_due);
    assert_eq!(memory.files[0].file.when, crds::CaptureMoment::After);
    assert_eq!(memory.files.len(), 3);
}

#[tokio::test]
async fn what_nobody_saw_end_counts_as_failed() {
    let mut memory = CaptureMemory::default();
    memory.begin(wanted(CaptureMoment::Alert, "web-1", None), taking(), at(100));
    let restored = memory.after_restart();
    assert!(!restored.is_busy());
    assert_eq!((restored.history.alert_at, restored.history.failed), (Some(at(100)), 1));
    // A first half that nobody saw end asks for no second.
    let mut memory = CaptureMemory::default();
    memory.begin(wanted(CaptureMoment::Before, "web-1", Some("c1")), taking(), at(100));
    let restored = memory.after_restart();
    assert_eq!(
        (restored.history.after_due, restored.history.change.as_deref()),
        (false, Some("c1"))
    );
}

#[tokio::test]
async fn failures_are_counted_until_the_next_turn() {
    let mut memory = CaptureMemory::default();
    let order = wanted(CaptureMoment::Alert, "web-1", None);
    for (turn, expect) in [1, 2, 3, 1].into_iter().enumerate() {
        let second = 60 * i64::try_from(turn).expect("small");
        memory.through(&order, second, &[]);
        assert_eq!((memory.history.failed, memory.message.as_str()), (expect, "none"));
    }
    memory.through(&order, 2000, &["/a/heap"]);
    assert_eq!((memory.history.failed, memory.message.as_str()), (0, ""));
}

#[tokio::test]
async fn the_last_dozen_is_kept() {
    let mut memory = CaptureMemory::default();
    for turn in 0..20 {
        let location = format!("/{turn}");
        memory.through(
            &wanted(CaptureMoment::Alert, "web-1", Some("c")),
            turn,
            &[location.as_str()],
        );
    }
    assert_eq!(memory.files.len(), 12);
    assert_eq!(memory.files[0].file.location, "/19");
}
