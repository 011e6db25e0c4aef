//! What relieves a pod: whom, by which step, what refuses it, and whether it helped. Times are seconds, memory MiB.

use crate::build::{at, labels, secs};
use flyball_core::{
    bytes::Bytes,
    check::{Check, DryRun, Paused, ReliefWorld, shape_relief},
    decide::{NodeRoom, ReliefContainer, ReliefPod, ReliefProposal, Suffering, names_nobody, relief, suffering},
    evaluate::{Alert, AlertPhase, RuleState},
    policy::{Comparator, Evict, PodMemory, PodState, Relieve, Resize},
    signal::{Reading, Sample},
    transaction::Verdict,
    verify::{Given, PodAlert, Relief, Resized, Told, judge_eviction, judge_resize, pod_alert},
};

fn alert(pairs: &[(&str, &str)], phase: AlertPhase, value: f64) -> Alert {
    Alert {
        labels: labels(pairs),
        annotations: labels(&[]),
        phase,
        active_at: at(0),
        keep_firing_since: None,
        value,
    }
}

fn firing(pod: &str, value: f64) -> Alert {
    alert(&[("alertname", "Full"), ("pod", pod)], AlertPhase::Firing, value)
}

fn rule(alerts: Vec<Alert>) -> RuleState {
    RuleState {
        alerts,
        ..RuleState::default()
    }
}

#[test]
fn who_is_named_by_an_alert_that_fires_and_is_the_targets_own_the_worst_first() {
    let check = |rules: &[RuleState], expect: &[(&str, usize)]| {
        let rules: Vec<_> = rules.iter().map(|rule| (rule, Comparator::Greater)).collect();
        let found = suffering(&rules, ["web-1", "web-2", "web-3"]);
        let found: Vec<_> = found.iter().map(|it| (it.pod.as_str(), it.alerts.len())).collect();
        assert_eq!(found, expect);
    };
    check(&[], &[]);
    check(
        &[rule(vec![firing("web-2", 0.91), firing("web-1", 0.97)])],
        &[("web-1", 1), ("web-2", 1)],
    );
    check(&[rule(vec![firing("stranger", 0.99)])], &[]);
    check(
        &[rule(vec![alert(&[("pod", "web-1")], AlertPhase::Pending, 0.99)])],
        &[],
    );
    check(
        &[rule(vec![alert(&[("service", "web")], AlertPhase::Firing, 0.99)])],
        &[],
    );
    // The first rule counts first.
    let second = rule(vec![firing("web-1", 0.99), firing("web-2", 0.98)]);
    check(
        &[rule(vec![firing("web-2", 0.91)]), second],
        &[("web-2", 2), ("web-1", 1)],
    );
}

#[test]
fn an_alert_without_a_pod_relieves_nobody_and_that_is_known() {
    let check = |alerts: Vec<Alert>, expect: bool| {
        let rule = rule(alerts);
        assert_eq!(names_nobody(&[(&rule, Comparator::Greater)]), expect);
    };
    let unnamed = || alert(&[("service", "web")], AlertPhase::Firing, 1.0);
    check(vec![], false);
    check(vec![unnamed()], true);
    check(vec![unnamed(), firing("web-1", 1.0)], false);
    check(vec![alert(&[], AlertPhase::Pending, 1.0)], false);
}

fn relieve() -> Relieve {
    Relieve {
        resize: Some(Resize {
            container: None,
            percent: 25,
            max: Bytes::from_mib(100),
            every: secs(300),
            within: secs(120),
        }),
        evict: Some(Evict {
            every: secs(600),
            within: secs(300),
        }),
    }
}

fn memory(limit: u64, request: Option<u64>) -> PodMemory {
    PodMemory {
        limit: Bytes::from_mib(limit),
        request: request.map(Bytes::from_mib),
    }
}

fn container() -> ReliefContainer {
    ReliefContainer {
        name: "app".to_owned(),
        memory: Some(memory(64, Some(64))),
        restarts: false,
        pending: None,
    }
}

fn steps(relieve: &Relieve, container: Result<ReliefContainer, String>) -> Vec<Result<ReliefProposal, String>> {
    let pod = ReliefPod {
        name: "web-1".to_owned(),
        uid: "u-1".to_owned(),
        container,
    };
    let suffering = Suffering {
        pod: "web-1".to_owned(),
        alerts: vec![firing("web-1", 0.97)],
    };
    relief("room", relieve, &pod, &suffering)
}

#[test]
fn memory_is_given_before_a_pod_is_evicted() {
    let check = |relieve: &Relieve, container: Result<ReliefContainer, String>, expect: &[&str]| {
        let found = steps(relieve, container);
        let words = found.iter().map(|step| match step {
            Ok(proposal) => proposal.what(),
            Err(why) => format!("not: {why}"),
        });
        let words: Vec<String> = words.collect();
        assert_eq!(words.len(), expect.len(), "{words:?}");
        for (found, expect) in words.iter().zip(expect) {
            assert!(found.starts_with(expect), "{found:?} {expect:?}");
        }
    };
    let both = relieve();
    check(&both, Ok(container()), &["memory of app 64 MiB -> 80 MiB", "evicted"]);
    let only = |resize: bool| Relieve {
        resize: both.resize.clone().filter(|_| resize),
        evict: both.evict.clone().filter(|_| !resize),
    };
    check(&only(true), Ok(container()), &["memory of app 64 MiB -> 80 MiB"]);
    check(&only(false), Ok(container()), &["evicted"]);
    let of = |change: fn(&mut ReliefContainer)| {
        let mut container = container();
        change(&mut container);
        Ok(container)
    };
    let without = |why| [why, "evicted"];
    check(
        &both,
        of(|it| it.memory = None),
        &without("not: container app has no memory limit"),
    );
    check(
        &both,
        of(|it| it.restarts = true),
        &without("not: a resize would restart container app"),
    );
    let full = of(|it| it.memory = Some(memory(100, None)));
    check(
        &both,
        full,
        &without("not: the limit of app is 100 MiB, and resize.max is 100 MiB"),
    );
    let pending = of(|it| it.pending = Some("PodResizePending".to_owned()));
    check(
        &both,
        pending,
        &without("not: what app was given last is not there yet"),
    );
    check(
        &both,
        Err("which container?".to_owned()),
        &without("not: which container?"),
    );
    let near = of(|it| it.memory = Some(memory(90, None)));
    check(&both, near, &["memory of app 90 MiB -> 100 MiB", "evicted"]);
}

#[test]
fn a_proposal_can_be_computed_again_by_hand() {
    let first = steps(&relieve(), Ok(container())).remove(0).unwrap();
    assert_eq!(first.reason, "Full fires for pod web-1 at 0.97");
    assert_eq!(
        first.arithmetic,
        [
            "limit: 64 MiB + 25 % in whole MiB, 100 MiB at most = 80 MiB",
            "request: it is the limit, so that the pod keeps its class: 64 MiB -> 80 MiB",
        ]
    );
    assert_eq!(
        (first.from, first.to),
        (
            PodState::Memory(memory(64, Some(64))),
            PodState::Memory(memory(80, Some(80)))
        )
    );
}

fn world() -> ReliefWorld {
    ReliefWorld {
        trouble: None,
        owner: None,
        paused: Paused::default(),
        resized_at: None,
        evicted_at: None,
        others_ready: Some(1),
        room: NodeRoom::Free {
            node: "n-1".to_owned(),
            bytes: Bytes::from_mib(16),
        },
        open: None,
    }
}

/// `which`: 0 is the resize by 16 MiB, 1 the eviction. What refuses it, and whether the next step may be tried then.
fn checked(which: usize, change: impl FnOnce(&mut ReliefWorld), expect: Option<(Check, bool)>) {
    let proposal = steps(&relieve(), Ok(container())).remove(which).unwrap();
    let mut world = world();
    change(&mut world);
    let found = shape_relief(proposal, &relieve(), &world, at(1000));
    let refused = found
        .err()
        .map(|refused| (refused.reason().unwrap().check, refused.gives_way()));
    assert_eq!(refused, expect, "{world:?}");
}

#[test]
fn a_resize_is_refused_for_want_of_room_and_waits_for_everything_else() {
    let check = |change: fn(&mut ReliefWorld), expect| checked(0, change, expect);
    check(|_| {}, None);
    check(
        |it| it.trouble = Some("paused".to_owned()),
        Some((Check::Target, false)),
    );
    check(
        |it| it.owner = Some("other".to_owned()),
        Some((Check::Ownership, false)),
    );
    check(
        |it| it.paused.frozen = Some("by ada".to_owned()),
        Some((Check::Pause, false)),
    );
    check(
        |it| it.paused.up = Some("until noon".to_owned()),
        Some((Check::Pause, false)),
    );
    check(|it| it.paused.down = Some("until noon".to_owned()), None);
    check(|it| it.resized_at = Some(at(701)), Some((Check::Cooldown, false)));
    check(|it| it.resized_at = Some(at(700)), None);
    check(|it| it.evicted_at = Some(at(999)), None);
    check(
        |it| it.open = Some("web-1-pod-3".to_owned()),
        Some((Check::OpenChange, false)),
    );
    check(|it| it.others_ready = Some(0), None);
    let room = |mib| NodeRoom::Free {
        node: "n-1".to_owned(),
        bytes: Bytes::from_mib(mib),
    };
    checked(0, |it| it.room = room(15), Some((Check::Headroom, true)));
    checked(0, |it| it.room = NodeRoom::Unknown("no right".to_owned()), None);
    // It waits although there is no room either: the next step is not for what only has to wait.
    let both = |it: &mut ReliefWorld| {
        it.room = room(0);
        it.resized_at = Some(at(999));
    };
    checked(0, both, Some((Check::Cooldown, false)));
}

#[test]
fn an_eviction_needs_somebody_else_who_serves() {
    let check = |change: fn(&mut ReliefWorld), expect| checked(1, change, expect);
    check(|_| {}, None);
    check(|it| it.others_ready = Some(0), Some((Check::Headroom, true)));
    check(|it| it.others_ready = None, Some((Check::Headroom, true)));
    check(|it| it.evicted_at = Some(at(401)), Some((Check::Cooldown, false)));
    check(|it| it.evicted_at = Some(at(400)), None);
    check(|it| it.resized_at = Some(at(999)), None);
    check(
        |it| it.paused.down = Some("until noon".to_owned()),
        Some((Check::Pause, false)),
    );
    check(|it| it.paused.up = Some("until noon".to_owned()), None);
}

#[test]
fn the_api_server_has_the_last_word_and_the_next_step_is_tried() {
    let proposal = steps(&relieve(), Ok(container())).remove(0).unwrap();
    let candidate = shape_relief(proposal, &relieve(), &world(), at(1000)).unwrap();
    let refused = candidate
        .clone()
        .admit(DryRun::Refused("exceeded quota".to_owned()))
        .unwrap_err();
    assert!(refused.gives_way());
    assert!(refused.to_string().contains("exceeded quota"), "{refused}");
    assert_eq!(candidate.admit(DryRun::Accepted).unwrap().checks().len(), 8);
}

#[test]
fn a_limit_that_falls_is_refused_whatever_made_it() {
    let mut proposal = steps(&relieve(), Ok(container())).remove(0).unwrap();
    let mut check = |to: PodMemory, expect: Option<Check>| {
        proposal.to = PodState::Memory(to);
        let found = shape_relief(proposal.clone(), &relieve(), &world(), at(1000));
        let refused = found.err().map(|refused| refused.reason().unwrap().check);
        assert_eq!(refused, expect, "{to:?}");
    };
    check(memory(80, Some(80)), None);
    check(memory(63, Some(63)), Some(Check::Bounds));
    check(memory(64, Some(64)), Some(Check::Bounds));
    check(memory(80, Some(63)), Some(Check::Bounds));
    check(memory(101, Some(64)), Some(Check::Bounds));
}

#[test]
fn a_resize_is_judged_by_the_node_the_container_and_the_alerts() {
    // 20 s after the write of a deadline of 120 s, and at it.
    let check =
        |given: &Given, restarted, alert: &PodAlert, early: Result<bool, Verdict>, late: Result<bool, Verdict>| {
            for (now, expect) in [(20, early), (120, late)] {
                let seen = Resized {
                    given: given.clone(),
                    restarted,
                    alert: alert.clone(),
                };
                let found = match judge_resize((at(0), secs(120)), &seen, at(now)) {
                    Relief::Wait(_) => Ok(false),
                    Relief::Achieved(_) => Ok(true),
                    Relief::Failed(verdict, _) => Err(verdict),
                };
                assert_eq!(found, expect, "{seen:?} after {now}");
            }
        };
    let named = PodAlert::Named {
        rule: "Full".to_owned(),
        value: 0.97,
    };
    let unknown = PodAlert::Unknown("no answer".to_owned());
    let (over, wait, yes) = (PodAlert::Over, Ok(false), Ok(true));
    let not_yet = Given::NotYet("Deferred".to_owned());
    let never = Given::Never("Infeasible".to_owned());
    check(&Given::Yes, false, &over, yes, yes);
    check(&Given::Yes, false, &named, wait, Err(Verdict::Ineffective));
    check(&Given::Yes, false, &unknown, wait, Err(Verdict::Inconclusive));
    // Its alerts may have ended by themselves; what was to be given is not there.
    check(&not_yet, false, &over, wait, Err(Verdict::Unrealised));
    check(&not_yet, false, &named, wait, Err(Verdict::Unrealised));
    check(&never, false, &over, Err(Verdict::Unrealised), Err(Verdict::Unrealised));
    // A container that was killed has no alert any more.
    check(
        &Given::Yes,
        true,
        &over,
        Err(Verdict::Ineffective),
        Err(Verdict::Ineffective),
    );
}

#[test]
fn an_eviction_is_judged_by_who_is_ready() {
    let check = |ready, now, expect: Result<bool, Verdict>| {
        let found = match judge_eviction((at(0), secs(300)), (ready, 2), at(now)) {
            Relief::Wait(_) => Ok(false),
            Relief::Achieved(_) => Ok(true),
            Relief::Failed(verdict, _) => Err(verdict),
        };
        assert_eq!(found, expect, "{ready:?} after {now}");
    };
    check(Some(2), 1, Ok(true));
    check(Some(3), 1, Ok(true));
    check(Some(1), 299, Ok(false));
    check(Some(1), 300, Err(Verdict::Inconclusive));
    check(None, 299, Ok(false));
    check(None, 300, Err(Verdict::Inconclusive));
    check(Some(2), 300, Ok(true));
}

#[test]
fn an_end_is_told_from_data_that_is_missing() {
    let sample = |pod: &str, value: f64| Sample {
        labels: labels(&[("pod", pod)]),
        value,
    };
    let answered = |samples, age| Reading::answered(at(0), samples, &[], Some(secs(age)), secs(60));
    let fresh = || answered(vec![sample("web-1", 0.5), sample("web-2", 0.9)], 1);
    let check = |state: &RuleState, reading: &Reading, told, expect: &str| {
        let found = match pod_alert("web-1", [("Full", Some((state, reading)), told)]) {
            PodAlert::Named { .. } => "named",
            PodAlert::Over => "over",
            PodAlert::Unknown(_) => "unknown",
        };
        assert_eq!(found, expect, "{state:?} {reading:?} {told:?}");
    };
    let quiet = rule(vec![firing("web-2", 0.9)]);
    check(&quiet, &fresh(), Told::Series, "over");
    check(&rule(vec![firing("web-1", 0.9)]), &fresh(), Told::Series, "named");
    let pending = rule(vec![alert(&[("pod", "web-1")], AlertPhase::Pending, 0.9)]);
    check(&pending, &fresh(), Told::Series, "named");
    // A container that was killed is scraped by nobody for a while.
    check(
        &quiet,
        &answered(vec![sample("web-2", 0.9)], 1),
        Told::Series,
        "unknown",
    );
    check(
        &quiet,
        &answered(vec![sample("web-1", f64::NAN)], 1),
        Told::Series,
        "unknown",
    );
    check(
        &quiet,
        &answered(vec![sample("web-1", 0.5)], 61),
        Told::Series,
        "unknown",
    );
    check(&quiet, &answered(vec![], 1), Told::Series, "unknown");
    check(&quiet, &Reading::failed(at(0), "no answer"), Told::Series, "unknown");
    check(&quiet, &fresh(), Told::Opaque, "unknown");
    check(&quiet, &answered(vec![sample("other", 0.5)], 1), Told::Level, "over");
    check(&quiet, &answered(vec![], 1), Told::Level, "unknown");
    assert_eq!(
        pod_alert("web-1", [("Gone", None, Told::Series)]),
        PodAlert::Unknown("Gone is no rule of the policy any more".to_owned())
    );
    assert_eq!(pod_alert("web-1", []), PodAlert::Over);
}
