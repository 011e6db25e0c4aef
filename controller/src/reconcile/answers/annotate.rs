//! Tells pods what their alerts mean for the application: a level of pressure in the line of an agent, or an annotation of
//! the application's own. A line has two writers then, this and `runtime/spread.rs`: each leaves the other's words as they
//! are, and each write carries the pod's resourceVersion.

use crate::{
    apply::{PodLine, PodWrite, write_note},
    observe::{owners::comes_before, pods::Lined},
    reconcile::{Pass, memory::Memory},
};
use flyball_core::{
    decide::concerned,
    evaluate::watermark::Level,
    policy::{Annotate, AnswerKind, Mode},
    time::{Span, Timestamp},
};
use flyball_crds::{APP_PREFIX, FeedbackPolicy, RUNTIME_PREFIX};
use futures::{StreamExt, stream};
use kube::ResourceExt;
use std::collections::{BTreeMap, BTreeSet};
use tracing::{debug, warn};

/// How long a line lasts that has nothing but a level; it is renewed at half of it.
const LEASE: Span = Span::from_secs(600);
/// How many pods are written in one pass, and how many of these at a time.
const PER_PASS: usize = 200;
const AT_A_TIME: usize = 8;

/// What is to be done with a pod's annotation.
#[derive(Clone, Debug, PartialEq)]
enum Need<T> {
    Nothing,
    Write(T),
    Removal,
}

/// Brings the pods to what the alerts say, whatever stood there before.
pub(super) async fn run(pass: &Pass<'_>, memory: &mut Memory) {
    let told = pass.policy.answers.iter().filter_map(|answer| match &answer.kind {
        AnswerKind::Annotate(annotate) => Some((answer, annotate)),
        AnswerKind::Notify(_) | AnswerKind::Capture(_) | AnswerKind::Relieve(_) => None,
    });
    let told: Vec<_> = told.collect();
    let Some(snapshot) = pass.seen.found.snapshot.as_ref().filter(|_| !told.is_empty()) else {
        return;
    };
    let acts = pass.policy.mode == Mode::Enforce && !pass.policy.suspended && snapshot.paused.is_none();
    let takes_new = acts && !pass.ctx.cluster.freeze.holds(&pass.namespace);
    let containers: BTreeSet<&str> = told
        .iter()
        .filter_map(|(_, annotate)| match annotate {
            Annotate::Pressure { container, .. } => Some(container.as_str()),
            Annotate::App { .. } => None,
        })
        .collect();
    for container in containers {
        if let Some(rival) = rival(pass, container) {
            debug!(
                policy = pass.name,
                container, rival, "another policy tells the pressure and comes first"
            );
            continue;
        }
        let key = format!("{RUNTIME_PREFIX}{container}");
        let Some(pods) = pass.ctx.cluster.pods.lined(&snapshot.uid, &key) else {
            continue;
        };
        let levels = levels(&told, container, memory, &pods);
        let now = pass.seen.now;
        let needs = pods.iter().filter(|pod| !pod.paused).map(|pod| {
            let level = levels.get(pod.name.as_str()).copied().unwrap_or_default();
            let need = match pressed(pod, level, acts, takes_new, now) {
                Need::Write(line) => Need::Write(line.to_string()),
                Need::Removal => Need::Removal,
                Need::Nothing => Need::Nothing,
            };
            (pod, need)
        });
        carry_out(pass, &key, due(needs)).await;
    }
    for (answer, annotate) in &told {
        let Annotate::App { name, value } = annotate else {
            continue;
        };
        let key = format!("{APP_PREFIX}{name}");
        let Some(pods) = pass.ctx.cluster.pods.lined(&snapshot.uid, &key) else {
            continue;
        };
        let meant = concerned(&answer.when, &memory.rules, pods.iter().map(|pod| pod.name.as_str()));
        let needs = pods.iter().map(|pod| {
            let wanted = (acts && !pod.paused && meant.contains(pod.name.as_str())).then_some(value.as_str());
            (pod, noted(pod.line.as_deref(), wanted, takes_new))
        });
        carry_out(pass, &key, due(needs)).await;
    }
}

/// The highest level that alerts ask for, by pod.
fn levels<'p>(
    told: &[(&flyball_core::policy::Answer, &Annotate)],
    container: &str,
    memory: &Memory,
    pods: &'p [Lined],
) -> BTreeMap<&'p str, Level> {
    let mut levels: BTreeMap<&str, Level> = BTreeMap::new();
    for (answer, annotate) in told {
        let Annotate::Pressure { container: of, level } = annotate else {
            continue;
        };
        if of != container {
            continue;
        }
        let names = pods.iter().map(|pod| pod.name.as_str());
        for pod in concerned(&answer.when, &memory.rules, names) {
            let highest = levels.entry(pod).or_default();
            *highest = (*highest).max(*level);
        }
    }
    levels
}

/// An older policy that tells the same agents.
fn rival(pass: &Pass<'_>, container: &str) -> Option<String> {
    let policy = pass.object;
    let others = pass.ctx.cluster.policies.state();
    let rival = others.iter().find(|other| {
        other.namespace() == policy.namespace()
            && other.spec.target_ref == policy.spec.target_ref
            && tells(other, container)
            && comes_before(other, policy)
    })?;
    Some(rival.name_any())
}

/// Whether a policy tells the agents of a container of pressure.
pub(crate) fn tells(policy: &FeedbackPolicy, container: &str) -> bool {
    let told = policy.spec.actions.iter().filter_map(|action| action.annotate.as_ref());
    let mut containers = told.filter_map(|annotate| annotate.pressure.as_ref());
    containers.any(|told| told.container == container)
}

/// What a pod's line needs for it to say this level. Who may not act renews nothing, and takes nothing out: leases end.
fn pressed(pod: &Lined, level: Level, acts: bool, takes_new: bool, now: Timestamp) -> Need<PodLine> {
    let text = pod.line.as_deref().unwrap_or_default();
    let present = PodLine::read(text).filter(|line| line.expires > now);
    let before = present.as_ref().map(|line| line.pressure).unwrap_or_default();
    if !acts || (level > before && !takes_new) {
        return Need::Nothing;
    }
    let fresh = |line: PodLine| PodLine {
        ttl: LEASE,
        expires: now + LEASE,
        pressure: level,
        ..line
    };
    match present {
        None if level == Level::Normal => Need::Nothing,
        None => {
            let seconds = u64::try_from(now.as_millis() / 1000).unwrap_or(0);
            Need::Write(PodLine {
                generation: seconds.max(PodLine::generation_of(text) + 1),
                ttl: LEASE,
                expires: now + LEASE,
                knobs: flyball_core::policy::Knobs::default(),
                reclaim: 0,
                pressure: level,
            })
        }
        // Nothing but a level is ours alone; a line with knobs is somebody's who renews it.
        Some(line) if line.knobs.is_boot() && line.reclaim == 0 => {
            let half = Span::from_millis(LEASE.as_millis() / 2);
            match level {
                Level::Normal if before == Level::Normal => Need::Nothing,
                Level::Normal => Need::Removal,
                _ if before == level && line.expires >= now + half => Need::Nothing,
                _ => Need::Write(fresh(line)),
            }
        }
        Some(_) if before == level => Need::Nothing,
        Some(line) => Need::Write(PodLine {
            pressure: level,
            ..line
        }),
    }
}

/// What an annotation of the application needs. It has no lease, so what is not wanted is taken out, whoever may act.
fn noted(present: Option<&str>, wanted: Option<&str>, takes_new: bool) -> Need<String> {
    match (present, wanted) {
        (None, Some(wanted)) if takes_new => Need::Write(wanted.to_owned()),
        (Some(present), Some(wanted)) if takes_new && present != wanted => Need::Write(wanted.to_owned()),
        (Some(_), None) => Need::Removal,
        _ => Need::Nothing,
    }
}

/// A pod's name and resourceVersion, and what is to stand there.
type Write = (String, String, Option<String>);

/// What is to be written now.
fn due<'p>(needs: impl Iterator<Item = (&'p Lined, Need<String>)>) -> Vec<Write> {
    let due = needs.filter_map(|(pod, need)| match need {
        Need::Nothing => None,
        Need::Write(what) => Some((pod.name.clone(), pod.version.clone(), Some(what))),
        Need::Removal => Some((pod.name.clone(), pod.version.clone(), None)),
    });
    due.take(PER_PASS).collect()
}

async fn carry_out(pass: &Pass<'_>, key: &str, writes: Vec<Write>) {
    let write = |(pod, version, text): Write| async move {
        let client = &pass.ctx.clients.write;
        let (seen, note) = ((pod.as_str(), version.as_str()), (key, text.as_deref()));
        let written = write_note(client, &pass.namespace, seen, note, pass.authority).await;
        (pod, text.is_some(), written)
    };
    let (mut told, mut over) = (Vec::new(), Vec::new());
    let mut done = stream::iter(writes).map(write).buffer_unordered(AT_A_TIME);
    while let Some((pod, tells, written)) = done.next().await {
        match written {
            PodWrite::Written if tells => told.push(pod),
            PodWrite::Written => over.push(pod),
            PodWrite::Changed => debug!(pod, key, "the pod changed meanwhile; the next pass looks again"),
            PodWrite::Failed(error) => {
                warn!(pod, key, %error, "a pod was not told; the next pass tries again");
            }
        }
    }
    for (pods, what) in [(told, "told"), (over, "told that it is over")] {
        if !pods.is_empty() {
            pass.ctx.recorder.told(pass.object, key, &pods, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000;

    fn pod(line: Option<&str>) -> Lined {
        Lined {
            name: "web-1".to_owned(),
            version: "7".to_owned(),
            ready: true,
            paused: false,
            since: Timestamp::default(),
            line: line.map(ToOwned::to_owned),
        }
    }

    fn said(need: &Need<PodLine>) -> String {
        match need {
            Need::Nothing => "nothing".to_owned(),
            Need::Removal => "removal".to_owned(),
            Need::Write(line) => line.to_string().replace(&NOW.to_string(), "now"),
        }
    }

    fn check(line: Option<&str>, level: Level, (acts, takes_new): (bool, bool), expect: &str) {
        let now = Timestamp::from_millis(NOW * 1000);
        let found = pressed(&pod(line), level, acts, takes_new, now);
        assert_eq!(said(&found), expect, "{line:?} {level}");
    }

    #[test]
    fn a_line_says_the_level_and_keeps_all_else() {
        let free = (true, true);
        let knobs = format!("v1 gen=5 ttl=3600 exp={} gogc=200 reclaim=2", NOW + 100);
        let pressed = format!("{knobs} pressure=high");
        check(Some(&knobs), Level::High, free, &pressed);
        check(Some(&pressed), Level::High, free, "nothing");
        check(
            Some(&pressed),
            Level::Emergency,
            free,
            &format!("{knobs} pressure=emergency"),
        );
        check(Some(&pressed), Level::Normal, free, &knobs);
        check(Some(&knobs), Level::Normal, free, "nothing");
        // What has expired is nobody's.
        let over = format!("v1 gen=5 ttl=3600 exp={NOW} gogc=200");
        let new = format!("v1 gen=now ttl=600 exp={} pressure=high", NOW + 600);
        check(Some(&over), Level::High, free, &new);
    }

    #[test]
    fn a_line_of_nothing_else_is_made_renewed_and_taken_out() {
        let free = (true, true);
        let new = |exp: i64| format!("v1 gen=now ttl=600 exp={} pressure=high", NOW + exp);
        let of = |exp: i64| new(exp).replace("now", "1794999000");
        check(None, Level::High, free, &new(600));
        check(None, Level::Normal, free, "nothing");
        check(Some(&of(400)), Level::High, free, "nothing");
        check(Some(&of(299)), Level::High, free, &of(600));
        check(Some(&of(400)), Level::Normal, free, "removal");
        check(
            Some("rubbish gen=1795000007"),
            Level::High,
            free,
            &new(600).replace("now", "1795000008"),
        );
        // A policy that only reclaims has such a line, too; it is not ours.
        check(
            Some(&format!("v1 gen=5 ttl=60 exp={}", NOW + 50)),
            Level::Normal,
            free,
            "nothing",
        );
    }

    #[test]
    fn who_may_not_act_lets_leases_end_and_what_is_frozen_takes_nothing_new() {
        let of = |pressure: &str| format!("v1 gen=5 ttl=600 exp={} gogc=200{pressure}", NOW + 400);
        let idle = (false, false);
        check(None, Level::High, idle, "nothing");
        check(Some(&of(" pressure=high")), Level::Normal, idle, "nothing");
        let frozen = (true, false);
        check(Some(&of("")), Level::High, frozen, "nothing");
        check(Some(&of(" pressure=high")), Level::Normal, frozen, &of(""));
    }

    #[test]
    fn an_annotation_of_the_application_is_there_as_long_as_it_is_wanted() {
        let check = |present: Option<&str>, wanted: Option<&str>, takes_new: bool, expect: Need<&str>| {
            let found = noted(present, wanted, takes_new);
            let expect = match expect {
                Need::Nothing => Need::Nothing,
                Need::Removal => Need::Removal,
                Need::Write(text) => Need::Write(text.to_owned()),
            };
            assert_eq!(found, expect, "{present:?} {wanted:?}");
        };
        check(None, None, true, Need::Nothing);
        check(None, Some("half"), true, Need::Write("half"));
        check(Some("half"), Some("half"), true, Need::Nothing);
        check(Some("all"), Some("half"), true, Need::Write("half"));
        check(Some("half"), None, true, Need::Removal);
        check(Some("half"), None, false, Need::Removal);
        check(None, Some("half"), false, Need::Nothing);
        check(Some("all"), Some("half"), false, Need::Nothing);
    }
}
