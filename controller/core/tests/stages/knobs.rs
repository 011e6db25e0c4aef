//! What the actions on a runtime's knobs want, and what their checks say.

use crate::build::{Observed, at, firing, number, query, quiet, reading, rule, secs, unusable, verification};
use flyball_core::{
    check::{Check, DryRun, OpenRuntime, Paused, RuntimeApproval, RuntimeWorld, Verdict, shape_runtime, undo_runtime},
    decide::{AgentFacts, RuntimeDecision, RuntimeFacts, RuntimeHistory, decide_runtime},
    evaluate::RuleState,
    policy::{AgentQueries, EnvOption, RuntimeAction, RuntimeAim, Setting, TrialPlan, TrialSize},
    signal::{Quality, Reading},
};
use std::collections::BTreeMap;

const NOW: i64 = 10_000;
pub const MIB: f64 = 1_048_576.0;

pub fn setting(text: &str) -> Setting {
    text.parse().unwrap()
}

fn queries() -> AgentQueries {
    AgentQueries {
        applied: query("applied"),
        breaker: query("breaker"),
        live: query("live"),
        limit: query("limit"),
        beside: query("beside"),
        max_age: secs(60),
    }
}

pub fn action(name: &str, when: &[&str], aim: RuntimeAim) -> RuntimeAction {
    RuntimeAction {
        name: name.to_owned(),
        when: when.iter().map(|name| (*name).to_owned()).collect(),
        container: "app".to_owned(),
        aim,
        trial: Some(TrialPlan {
            size: TrialSize::Pods(1),
            expr: None,
            settle: secs(30),
            within: secs(60),
        }),
        acknowledge: secs(90),
        lease: secs(3600),
        hold: secs(300),
        gogc: (50, 400),
        agents: queries(),
        verification: Some(verification()),
        approval: false,
    }
}

fn sets(name: &str, when: &[&str], knobs: &str) -> RuntimeAction {
    action(name, when, RuntimeAim::Set(knobs.parse().unwrap()))
}

/// 200 in the peak, 50 in the trough, 100 otherwise.
fn three() -> Vec<RuntimeAction> {
    vec![
        sets("peak", &["Peak"], "gogc=200"),
        sets("trough", &["Trough"], "gogc=50"),
        sets("usual", &[], "gogc=100"),
    ]
}

pub fn agent(live: f64, beside: f64, limit: Option<f64>) -> AgentFacts {
    AgentFacts {
        applied: Some(1),
        tripped: false,
        live: Some(live * MIB),
        limit: limit.map(|limit| limit * MIB),
        beside: Some(beside * MIB),
    }
}

pub fn facts(current: &str) -> RuntimeFacts {
    RuntimeFacts {
        current: setting(current),
        pods: BTreeMap::from([("web-1".to_owned(), agent(40.0, 20.0, Some(512.0)))]),
        fleet: BTreeMap::new(),
        history: RuntimeHistory::default(),
    }
}

/// What two rules say: their states, and whether each was answered.
fn observed(peak: (RuleState, Reading), trough: (RuleState, Reading)) -> Observed {
    let mut observed = Observed::default();
    for (name, (state, reading)) in [("Peak", peak), ("Trough", trough)] {
        observed = observed.rule(name, state).reading(name, reading);
        observed.definitions.insert(name.to_owned(), rule(name, 0, 0));
    }
    observed
}

fn fires() -> (RuleState, Reading) {
    (firing(&[("", 0.9)]), number(NOW, 0.9))
}

fn rests() -> (RuleState, Reading) {
    (quiet(0), number(NOW, 0.5))
}

/// What is wanted, or why nothing is.
pub fn decided(actions: &[RuntimeAction], observed: &Observed, facts: &RuntimeFacts) -> Result<String, String> {
    match decide_runtime(actions, &observed.inputs(), facts, at(NOW)) {
        RuntimeDecision::Propose(proposal) => Ok(format!("{}: {}", proposal.action, proposal.to)),
        RuntimeDecision::Stay { reason } => Err(reason),
    }
}

#[test]
fn the_first_action_whose_rules_fire_counts() {
    let check = |peak: bool, trough: bool, current: &str, expect: Result<&str, &str>| {
        let of = |fire: bool| if fire { fires() } else { rests() };
        let found = decided(&three(), &observed(of(peak), of(trough)), &facts(current));
        let expect = expect.map(ToOwned::to_owned).map_err(ToOwned::to_owned);
        assert_eq!(found, expect, "{peak} {trough} {current}");
    };
    check(false, false, "boot", Ok("usual: gogc=100"));
    check(false, false, "gogc=100", Err("no other action applies"));
    check(true, false, "gogc=100", Ok("peak: gogc=200"));
    check(true, false, "gogc=200", Err(" fires"));
    check(false, true, "gogc=100", Ok("trough: gogc=50"));
    check(true, true, "gogc=50", Ok("peak: gogc=200"));
    check(false, false, "gogc=200", Ok("usual: gogc=100"));
    // Collections that were asked for stay counted.
    check(false, false, "boot reclaim=3", Ok("usual: gogc=100 reclaim=3"));
}

#[test]
fn without_an_action_that_applies_there_are_boot_values() {
    let actions = vec![sets("peak", &["Peak"], "gogc=200")];
    let found = decided(&actions, &observed(rests(), rests()), &facts("gogc=200"));
    assert_eq!(found, Ok("peak: boot".to_owned()));
}

/// A failed query is no resolved alert, and no absent one.
#[test]
fn while_a_rule_that_comes_before_is_not_answered_nothing_moves() {
    for reading in unusable(NOW)
        .into_iter()
        .filter(|reading| reading.quality() != Quality::NotFinite)
    {
        let quality = reading.quality();
        let found = decided(&three(), &observed((quiet(0), reading), fires()), &facts("gogc=200"));
        let why = found.expect_err(&format!("{quality}"));
        assert!(why.starts_with("Peak has no fresh data"), "{why}");
    }
    // What comes after does not matter.
    let stale = reading(Quality::Stale, NOW, &[("", 0.1)]);
    let found = decided(&three(), &observed(fires(), (quiet(0), stale)), &facts("gogc=100"));
    assert_eq!(found, Ok("peak: gogc=200".to_owned()));
}

#[test]
fn a_reclaim_is_asked_for_once_in_a_while_and_knobs_come_first() {
    let actions = vec![
        action("collect", &["Trough"], RuntimeAim::Reclaim { every: secs(600) }),
        sets("usual", &[], "gogc=100"),
    ];
    let check = |current: &str, reclaimed_at: Option<i64>, expect: Result<&str, &str>| {
        let mut facts = facts(current);
        facts.history.reclaimed_at = reclaimed_at.map(at);
        let found = decided(&actions, &observed(rests(), fires()), &facts);
        let expect = expect.map(ToOwned::to_owned).map_err(ToOwned::to_owned);
        assert_eq!(found, expect, "{current} {reclaimed_at:?}");
    };
    check("boot", None, Ok("usual: gogc=100"));
    check("gogc=100", None, Ok("collect: gogc=100 reclaim=1"));
    check("gogc=100 reclaim=1", Some(NOW - 599), Err("no other action applies"));
    check("gogc=100 reclaim=1", Some(NOW - 600), Ok("collect: gogc=100 reclaim=2"));
    // Alone it leaves knobs alone.
    let alone = &actions[..1];
    let quiet = decided(alone, &observed(rests(), rests()), &facts("gogc=70"));
    assert_eq!(quiet, Err("nothing is to be reclaimed".to_owned()));
}

/// The check that refuses, or what is approved.
fn checked(to: &str, facts: &RuntimeFacts, world: &RuntimeWorld) -> Result<Setting, (Check, String)> {
    let actions = vec![sets("usual", &[], to)];
    let proposal = match decide_runtime(&actions, &Observed::default().inputs(), facts, at(NOW)) {
        RuntimeDecision::Propose(proposal) => *proposal,
        RuntimeDecision::Stay { reason } => panic!("{reason}"),
    };
    let candidate = shape_runtime(proposal, &actions[0], facts, world, at(NOW));
    let approved = candidate.and_then(|candidate| candidate.admit(DryRun::Accepted));
    match approved {
        Ok(approved) => {
            assert_eq!(approved.checks().last().map(|last| last.check), Some(Check::DryRun));
            Ok(approved.to().clone())
        }
        Err(refused) => {
            let first = refused.reason().unwrap();
            Err((first.check, first.message.clone()))
        }
    }
}

#[test]
fn each_check_has_its_say() {
    let check = |to: &str, change: &dyn Fn(&mut RuntimeFacts, &mut RuntimeWorld), expect: Option<(Check, &str)>| {
        let (mut facts, mut world) = (facts("gogc=100"), RuntimeWorld::default());
        change(&mut facts, &mut world);
        let found = checked(to, &facts, &world);
        match (found, expect) {
            (Ok(found), None) => assert_eq!(found, setting(to)),
            (Err((check, message)), Some((expected, words))) => {
                assert_eq!(check, expected, "{to}: {message}");
                assert!(message.contains(words), "{to}: {message}");
            }
            (found, expect) => panic!("{to}: {found:?}, not {expect:?}"),
        }
    };
    check("gogc=200", &|_, _| (), None);
    check(
        "gogc=200",
        &|_, world| world.trouble = Some("it is gone".into()),
        Some((Check::Target, "it is gone")),
    );
    check(
        "gogc=200",
        &|_, world| world.owner = Some("another".into()),
        Some((Check::Ownership, "another")),
    );
    for paused in [
        Paused {
            frozen: Some("why".into()),
            ..Paused::default()
        },
        Paused {
            up: Some("why".into()),
            ..Paused::default()
        },
        Paused {
            down: Some("why".into()),
            ..Paused::default()
        },
    ] {
        check(
            "gogc=200",
            &|_, world| world.paused = paused.clone(),
            Some((Check::Pause, "why")),
        );
    }
    check(
        "gogc=200",
        &|facts, _| facts.pods.clear(),
        Some((Check::Agents, "no pod of the workload is ready")),
    );
    let one = |facts: &mut RuntimeFacts, change: &dyn Fn(&mut AgentFacts)| facts.pods.values_mut().for_each(change);
    check(
        "gogc=200",
        &|facts, _| one(facts, &|agent| agent.applied = None),
        Some((Check::Agents, "no agent answers")),
    );
    check(
        "gogc=200",
        &|facts, _| one(facts, &|agent| agent.tripped = true),
        Some((Check::Agents, "the breaker of web-1 tripped")),
    );
    check(
        "gogc=200",
        &|_, world| world.latch = Some((setting("gogc=200"), at(NOW + 1))),
        Some((Check::Ineffective, "1s")),
    );
    check(
        "gogc=200",
        &|_, world| world.latch = Some((setting("gogc=200"), at(NOW))),
        None,
    );
    check(
        "gogc=200",
        &|_, world| world.latch = Some((setting("gogc=300"), at(NOW + 1))),
        None,
    );
    check(
        "gogc=200",
        &|facts, _| facts.history.moved_at = Some(at(NOW - 299)),
        Some((Check::Cooldown, "4m59s ago")),
    );
    check(
        "gogc=200",
        &|facts, _| facts.history.moved_at = Some(at(NOW - 300)),
        None,
    );
    check(
        "gogc=401",
        &|facts, _| one(facts, &|agent| agent.limit = None),
        Some((Check::Bounds, "gogc=401 is not between 50 and 400")),
    );
    check(
        "gogc=200",
        &|_, world| world.open = OpenRuntime::Blocked("Change x is open".into()),
        Some((Check::OpenChange, "Change x")),
    );
    let ours = |verifying: bool| OpenRuntime::Ours {
        name: "x".into(),
        verifying,
    };
    check(
        "gogc=200",
        &|_, world| world.open = ours(true),
        Some((Check::OpenChange, "waits for its end")),
    );
    check(
        "gogc=200",
        &|_, world| world.approval = RuntimeApproval::Awaited(None),
        Some((Check::Approval, "nobody approved")),
    );
    check(
        "gogc=200",
        &|_, world| world.approval = RuntimeApproval::Granted("a person".into()),
        None,
    );
}

/// An action that stands before the one that moved the knobs last takes its place while that is verified, and waits for
/// no hold; it never goes over the head of a write or a roll-back under way, or of another policy.
#[test]
fn an_action_that_stands_before_the_last_one_waits_for_neither_hold_nor_verification() {
    let check = |urgent: bool, open: OpenRuntime, moved: i64, expect: Option<Check>| {
        let mut facts = facts("gogc=100");
        facts.history.moved_at = Some(at(moved));
        let world = RuntimeWorld {
            open,
            urgent,
            ..RuntimeWorld::default()
        };
        let found = checked("gogc=50", &facts, &world);
        assert_eq!(found.as_ref().err().map(|(check, _)| *check), expect, "{found:?}");
    };
    let ours = |verifying: bool| OpenRuntime::Ours {
        name: "x".into(),
        verifying,
    };
    check(true, ours(true), NOW - 1, None);
    check(true, ours(false), NOW - 1, Some(Check::OpenChange));
    check(true, OpenRuntime::None, NOW - 1, None);
    check(false, OpenRuntime::None, NOW - 1, Some(Check::Cooldown));
    check(false, ours(true), NOW - 900, Some(Check::OpenChange));
    let others = OpenRuntime::Blocked("another policy's".into());
    check(true, others, NOW - 900, Some(Check::OpenChange));
}

/// Peak = live x (1 + GOGC) + beside, at most 0.85 of the container's limit; a soft limit leaves 1.5 times the live
/// heap.
#[test]
fn garbage_has_to_fit_and_a_limit_to_leave_room() {
    let check = |current: &str, to: &str, agent: AgentFacts, expect: Option<&str>| {
        let mut facts = facts(current);
        facts.pods = BTreeMap::from([("web-1".to_owned(), agent)]);
        match (checked(to, &facts, &RuntimeWorld::default()), expect) {
            (Ok(_), None) => {}
            (Err((Check::Headroom, message)), Some(words)) => assert!(message.contains(words), "{to}: {message}"),
            (found, expect) => panic!("{current} {to} {agent:?}: {found:?}, not {expect:?}"),
        }
    };
    // 100 x 3 + 40 = 340 of 400 x 0.85 = 340.
    check("gogc=100", "gogc=200", agent(100.0, 40.0, Some(400.0)), None);
    check(
        "gogc=100",
        "gogc=200",
        agent(100.0, 41.0, Some(400.0)),
        Some("it would not fit"),
    );
    check("gogc=100", "gogc=200", agent(100.0, 41.0, None), None);
    // Less is always allowed, and what is not named is taken to be 100.
    check("gogc=200", "gogc=100", agent(100.0, 400.0, Some(400.0)), None);
    check("boot", "gogc=100", agent(100.0, 400.0, Some(400.0)), None);
    check(
        "boot",
        "gogc=101",
        agent(100.0, 400.0, Some(400.0)),
        Some("it would not fit"),
    );
    let blind = AgentFacts {
        live: None,
        ..agent(0.0, 40.0, Some(400.0))
    };
    check("gogc=100", "gogc=200", blind, Some("is not known"));
    // 100 x 1.5 = 150 MiB.
    check("boot", "memlimit=157286400", agent(100.0, 40.0, Some(400.0)), None);
    check(
        "boot",
        "memlimit=157286399",
        agent(100.0, 40.0, Some(400.0)),
        Some("collections would never end"),
    );
    check("boot", "memlimit=157286400", blind, Some("is not known"));
    check("memlimit=157286399", "memlimit=157286400", blind, None);
    check("memlimit=157286400", "memlimit=none", blind, None);
}

#[test]
fn taking_back_waits_for_nothing_but_an_owner() {
    let undo = |world: &RuntimeWorld| {
        let candidate = undo_runtime("usual", &setting("gogc=200"), &setting("gogc=100"), world);
        candidate
            .map(|candidate| candidate.to().clone())
            .map_err(|refused| refused.reason().unwrap().check)
    };
    let paused = Paused {
        frozen: Some("why".into()),
        ..Paused::default()
    };
    let frozen = RuntimeWorld {
        paused,
        ..RuntimeWorld::default()
    };
    assert_eq!(undo(&frozen), Ok(setting("gogc=100")));
    let owned = RuntimeWorld {
        owner: Some("another".into()),
        ..RuntimeWorld::default()
    };
    assert_eq!(undo(&owned), Err(Check::Ownership));
    let candidate = undo_runtime("usual", &setting("gogc=200"), &setting("gogc=100"), &frozen).unwrap();
    let refused = candidate.admit(DryRun::Refused("no".into())).unwrap_err();
    assert_eq!(refused.checks.last().map(|last| last.verdict), Some(Verdict::Refused));
}

/// GOGC 50 in the trough by a rollout; nothing is said of other times.
fn starts() -> Vec<RuntimeAction> {
    vec![action(
        "trough",
        &["Trough"],
        RuntimeAim::Env(vec![EnvOption::Gogc(50)]),
    )]
}

#[test]
fn start_options_leave_what_they_do_not_name_and_take_nothing_out() {
    let check = |trough: (RuleState, Reading), current: &str, expect: Result<&str, &str>| {
        let found = decided(&starts(), &observed(rests(), trough), &facts(current));
        assert_eq!(
            found,
            expect.map(ToOwned::to_owned).map_err(ToOwned::to_owned),
            "{current}"
        );
    };
    let (absent, other) = ("env -GOGC", "env GOGC=\"100\" GOMEMLIMIT=\"1GiB\"");
    check(fires(), absent, Ok("trough: env GOGC=\"50\""));
    check(fires(), other, Ok("trough: env GOGC=\"50\" GOMEMLIMIT=\"1GiB\""));
    check(fires(), "env GOGC=\"50\"", Err(" fires"));
    // A rule that is over takes nothing back, nor does one that is not answered.
    check(rests(), other, Err("no action applies: the template stays as it is"));
    let unanswered = (quiet(0), Reading::failed(at(NOW), "no answer"));
    let why = decided(&starts(), &observed(rests(), unanswered), &facts(other)).unwrap_err();
    assert!(why.starts_with("Trough has no fresh data"), "{why}");
}

#[test]
fn start_options_wait_for_a_rollout_and_need_no_agent() {
    let actions = starts();
    let check = |world: RuntimeWorld, expect: Result<&str, (Check, &str)>| {
        let mut facts = facts("env -GOGC");
        facts.pods.clear();
        let observed = observed(rests(), fires());
        let RuntimeDecision::Propose(proposal) = decide_runtime(&actions, &observed.inputs(), &facts, at(NOW)) else {
            panic!("a proposal");
        };
        assert_eq!(proposal.arithmetic, ["GOGC: not set, becomes \"50\""]);
        match (shape_runtime(*proposal, &actions[0], &facts, &world, at(NOW)), expect) {
            (Ok(candidate), Ok(to)) => assert_eq!(candidate.to(), &setting(to)),
            (Err(refused), Err((check, words))) => {
                let first = refused.reason().unwrap();
                assert_eq!(first.check, check, "{}", first.message);
                assert!(first.message.contains(words), "{}", first.message);
            }
            (found, expect) => panic!("{found:?}, not {expect:?}"),
        }
    };
    check(RuntimeWorld::default(), Ok("env GOGC=\"50\""));
    let rolling = RuntimeWorld {
        rollout: Some("1 of 3 pods have the new template".to_owned()),
        ..RuntimeWorld::default()
    };
    check(rolling, Err((Check::Rollout, "(1 of 3 pods have the new template)")));
    let namespace = RuntimeWorld {
        paused: Paused {
            namespace: Some("namespace shop carries it".to_owned()),
            ..Paused::default()
        },
        ..RuntimeWorld::default()
    };
    check(namespace, Err((Check::Pause, "namespace shop carries it")));
}
