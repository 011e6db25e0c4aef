//! Judging a Change of knobs: do the agents have it, does the trial hold beside the others, does the effect come.

use super::{
    RuntimePass,
    carry::span,
    facts::{by_pod, whole},
    memory::RuntimeMemory,
    object, spread, world,
};
use crate::{
    apply::{PodLine, RuntimeEvent, env_as_found},
    clock::micro_time,
    observe::{
        pods::Lined,
        rollout::{self, Rolled},
    },
    promql,
    validate::comparison_of_change,
};
use flyball_core::{
    check::{OpenRuntime, RuntimeApproved, RuntimeRefused, undo_runtime},
    decide::Direction,
    policy::{Env, OnInconclusive, OnIneffective, Setting, Verification},
    signal::Reading,
    time::{Span, Timestamp},
    transaction::{Event, Journal, Verdict},
    verify::{Achievement, Baseline, Judgement, achieve, judge},
};
use flyball_crds::{
    Change, ChangeRuntime, ChangeTrial, REQUEST_ANNOTATION, REQUESTED_BY_ANNOTATION, Verdict as RecordedVerdict,
};
use kube::ResourceExt;
use std::collections::BTreeMap;

/// A judgement with what is recorded of it.
#[derive(Default)]
pub(super) struct Judged {
    pub event: Option<RuntimeEvent>,
    pub verdict: Option<RecordedVerdict>,
    pub waiting: Option<String>,
}

/// One judgement.
pub(super) struct Judge<'j, 'p, 'a> {
    pub it: &'j RuntimePass<'p, 'a>,
    pub memory: &'j RuntimeMemory,
    pub change: &'j Change,
    pub journal: &'j Journal<Setting>,
    pub moved: &'j ChangeRuntime,
}

/// What the agents say of a change.
enum Answer {
    /// All have it.
    Acknowledged(String),
    /// Not all, yet.
    Waiting(String),
    /// They had their time.
    Refused(String),
    /// Nobody knows.
    Unknown(String),
    /// One took it back by itself.
    Tripped(String),
    /// A pod that was tried is gone.
    Gone(String),
}

impl Judge<'_, '_, '_> {
    /// What somebody asked for, and what is to be said by now.
    pub async fn all(&self) -> Judged {
        let asked = self.change.annotations().get(REQUEST_ANNOTATION).map(String::as_str) == Some("rollback");
        if !asked {
            return self.on_time().await;
        }
        let by = self.change.annotations().get(REQUESTED_BY_ANNOTATION);
        let said = format!("{} asked for it", by.map_or("somebody", String::as_str));
        let judged = self.take_back(Verdict::Requested, None, said, true);
        if !matches!(judged.event, Some(Event::Undecided)) {
            return judged;
        }
        // The request stands and is tried again with each pass, and meanwhile it switches nothing off.
        let on_time = self.on_time().await;
        let waiting = on_time.waiting.zip(judged.waiting);
        Judged {
            waiting: waiting.map(|(waiting, refused)| format!("{refused}; {waiting}")),
            ..on_time
        }
    }

    async fn on_time(&self) -> Judged {
        let now = self.it.pass.seen.now;
        let applied_at = self.journal.applied_at.unwrap_or(now);
        if let Some(env) = &self.journal.goal().env {
            return self.start_options(env, applied_at).await;
        }
        let applied_at = self.given_at(applied_at);
        let acknowledged = match self.agents(applied_at).await {
            Ok(Answer::Acknowledged(said)) => said,
            Ok(Answer::Waiting(why)) => return wait(format!("the agents: {why}")),
            Ok(Answer::Tripped(why)) => return self.take_back(Verdict::Broken, None, why, true),
            Ok(Answer::Refused(why)) => return self.take_back(Verdict::Unrealised, None, why, true),
            Ok(Answer::Unknown(why) | Answer::Gone(why)) => return self.inconclusive(why),
            Err(why) => return self.keep(Verdict::Inconclusive, format!("what is recorded can't be read: {why}")),
        };
        match (&self.moved.trial, self.journal.is_trying()) {
            (Some(trial), true) => self.trial(trial, applied_at, &acknowledged).await,
            _ => self.effect(applied_at, &acknowledged).await,
        }
    }

    /// When the last of the pods that are moved was given its line, as far as their lines tell: a controller that was
    /// killed, or had to wait, between the workload and its pods has cost nobody time. A line's generation is the time
    /// at which it was first written; one that claims to be from later says nothing.
    fn given_at(&self, applied_at: Timestamp) -> Timestamp {
        let (goal, now) = (self.journal.goal(), self.it.pass.seen.now);
        let written = |pod: &Lined| {
            let line = PodLine::read(pod.line.as_deref()?)?;
            let seconds = i64::try_from(line.generation).ok()?;
            let at = Timestamp::from_millis(seconds.checked_mul(1000)?);
            (goal.of_pod(&pod.name).0.stand_in(&line.knobs) && at <= now).then_some(at)
        };
        let moved = |pod: &&Lined| !self.journal.is_trying() || self.moved.tried.contains(&pod.name);
        let pods = self
            .it
            .lined
            .iter()
            .flatten()
            .filter(|pod| pod.ready && pod.since <= applied_at);
        pods.filter(moved)
            .filter_map(written)
            .max()
            .map_or(applied_at, |at| at.max(applied_at))
    }

    /// Whether the pods that are moved have what they are to have, by what their agents report.
    async fn agents(&self, applied_at: Timestamp) -> Result<Answer, String> {
        let it = self.it;
        let now = it.pass.seen.now;
        let source = &self.source();
        let (within, max_age) = (span(&self.moved.acknowledge)?, span(&self.moved.max_age)?);
        let ask = |text: &str| promql::query(text).map_err(|error| error.to_string());
        let (applied, breaker) = (ask(&self.moved.applied)?, ask(&self.moved.breaker)?);
        let breaker = by_pod(&it.reading(source, &breaker, max_age).await);
        let reading = it.reading(source, &applied, max_age).await;
        let goal = self.journal.goal();
        let tried = self.journal.is_trying().then_some(&self.moved.tried);
        // Collections are asked of a part of the pods in each pass.
        let turns = if goal.reclaim == self.journal.before.reclaim {
            Span::ZERO
        } else {
            Span::from_millis(it.pass.policy.interval.as_millis() * (spread::RECLAIM_PART as u64 + 2))
        };
        let within = within + turns;
        let late = now >= applied_at + within;
        let Some(lined) = &it.lined else {
            let why = "the pods are not known".to_owned();
            return Ok(if late {
                Answer::Unknown(why)
            } else {
                Answer::Waiting(why)
            });
        };
        let ready: BTreeMap<&str, Option<&str>> = lined
            .iter()
            .filter(|pod| pod.ready)
            .map(|pod| (pod.name.as_str(), pod.line.as_deref()))
            .collect();
        // What became ready later is new and gets what is committed; nobody waits for it.
        let was_there = |pod: &&Lined| pod.ready && pod.since <= applied_at;
        let pods: Vec<&str> = match tried {
            Some(tried) => tried.iter().map(String::as_str).collect(),
            None => lined.iter().filter(was_there).map(|pod| pod.name.as_str()).collect(),
        };
        if let Some(gone) = pods.iter().find(|pod| !ready.contains_key(**pod)) {
            return Ok(Answer::Gone(format!("{gone} was tried, and is not ready any more")));
        }
        if let Some(tripped) = pods
            .iter()
            .find(|pod| breaker.get(**pod).is_some_and(|state| *state > 0.0))
        {
            return Ok(Answer::Tripped(format!(
                "the breaker of {tripped} tripped: the collector could not keep up with these knobs"
            )));
        }
        if pods.is_empty() {
            return Ok(Answer::Acknowledged("no pod is ready; the next ones get it".to_owned()));
        }
        let values = by_pod(&reading);
        let missing = missing(goal, tried.is_some(), &pods, &ready, &values);
        Ok(match missing {
            _ if values.is_empty() => not_fresh(&reading, late),
            None => Answer::Acknowledged(format!("{} acknowledged it", counted(pods.len()))),
            // This process has not tried to give it to them yet.
            Some(why) if self.memory.spread.as_ref() != Some(goal) => Answer::Waiting(why),
            Some(why) if late => Answer::Refused(format!("{why}, within {within}")),
            Some(why) => Answer::Waiting(why),
        })
    }

    /// A trial must hold from settle to its end.
    async fn trial(&self, trial: &ChangeTrial, applied_at: Timestamp, acknowledged: &str) -> Judged {
        let (it, now) = (self.it, self.it.pass.seen.now);
        let (settle, within) = match (span(&trial.settle), span(&trial.within)) {
            (Ok(settle), Ok(within)) => (settle, within),
            (Err(why), _) | (_, Err(why)) => return self.keep(Verdict::Inconclusive, why),
        };
        let Some(expr) = &trial.expr else {
            if now < applied_at + settle {
                return wait(format!("{acknowledged}; it is watched for {settle}"));
            }
            let said = format!("{acknowledged}, and no breaker tripped for {settle}");
            return self.said(Event::Achieved, None, said);
        };
        let condition = match promql::comparison(expr) {
            Ok(condition) => condition,
            Err(error) => return self.keep(Verdict::Inconclusive, error.to_string()),
        };
        let max_age = span(&self.moved.max_age).unwrap_or(Span::from_secs(60));
        let reading = it.reading(&self.source(), &condition.left, max_age).await;
        let verification = Verification {
            settle,
            within,
            condition,
            max_age,
            demand: None,
            on_inconclusive: OnInconclusive::RollBack,
            on_ineffective: OnIneffective::RollBack,
            latch: Span::ZERO,
        };
        let asked = format!("{} {}", verification.condition.comparator, verification.condition.right);
        let baseline = Baseline::default();
        match judge(
            &verification,
            Direction::Down,
            applied_at,
            &baseline,
            &reading,
            None,
            now,
        ) {
            Judgement::Wait { why, .. } => wait(format!("{acknowledged}; the trial: {why}")),
            Judgement::Achieved { value } => {
                let said = format!("{acknowledged}; beside the others {value:.4} {asked} held for {within}");
                self.said(Event::Achieved, Some(value), said)
            }
            Judgement::Broken { value } | Judgement::Ineffective { value } | Judgement::Overtaken { value, .. } => {
                let said = format!("{acknowledged}, but beside the others it is {value:.4}, and not {asked}");
                self.take_back(Verdict::Broken, Some(value), said, true)
            }
            Judgement::Inconclusive { why } => self.inconclusive(format!("{acknowledged}; the trial: {why}")),
        }
    }

    /// Start-up options: the rollout completes within the verification's time, then the effect is judged by samples of
    /// the new pods.
    async fn start_options(&self, env: &Env, applied_at: Timestamp) -> Judged {
        let (it, now) = (self.it, self.it.pass.seen.now);
        let within = match self.change.spec.verification.as_ref().map(comparison_of_change) {
            Some(Ok(frozen)) => frozen.verification.within,
            Some(Err(errors)) => return self.keep(Verdict::Inconclusive, crate::reconcile::evidence::joined(&errors)),
            None => return self.keep(Verdict::Inconclusive, "the Change has no verification".to_owned()),
        };
        let target = &self.change.spec.target.reference;
        let found = object(&it.pass.ctx.cluster, &it.pass.namespace, target);
        let Some((resource, Some(object))) = found else {
            return wait("the workload is not known".to_owned());
        };
        // Right after the write, what the watch shows is from before.
        let has = env_as_found(&object, &it.container, &names(env));
        let rolled = if has == *env {
            rollout::rolled(&resource, &object)
        } else {
            Rolled::Under("the watch has not shown the template yet".to_owned())
        };
        let late = now >= applied_at + within;
        let why = match rolled {
            Rolled::Done => {
                let newest = it
                    .lined
                    .iter()
                    .flatten()
                    .filter(|pod| pod.ready)
                    .map(|pod| pod.since)
                    .max();
                let complete = newest.unwrap_or(applied_at).max(applied_at);
                // Pods that go on becoming ready must not put the end off for ever.
                let complete = complete.min(applied_at + within);
                let took = complete.since(applied_at);
                return self.effect(complete, &format!("rolled out in {took}")).await;
            }
            Rolled::Stuck(why) => {
                return self.take_back(Verdict::Unrealised, None, format!("the rollout is stuck: {why}"), true);
            }
            Rolled::Under(why) => why,
        };
        if late {
            let said = format!("the rollout was not complete within {within}: {why}");
            return self.take_back(Verdict::Unrealised, None, said, true);
        }
        wait(format!("the rollout: {why}"))
    }

    /// The effect, once all have it.
    async fn effect(&self, applied_at: Timestamp, acknowledged: &str) -> Judged {
        let (it, now) = (self.it, self.it.pass.seen.now);
        let frozen = match self.change.spec.verification.as_ref().map(comparison_of_change) {
            Some(Ok(frozen)) => frozen,
            Some(Err(errors)) => return self.keep(Verdict::Inconclusive, crate::reconcile::evidence::joined(&errors)),
            None => return self.keep(Verdict::Inconclusive, "the Change has no verification".to_owned()),
        };
        let verification = &frozen.verification;
        let left = &verification.condition.left;
        let reading = it.reading(&frozen.source, left, verification.max_age).await;
        let asked = format!("{} {}", verification.condition.comparator, verification.condition.right);
        match achieve(verification, applied_at, &frozen.baseline, &reading, now) {
            Achievement::Wait { why, .. } => wait(format!("{acknowledged}; the effect: {why}")),
            Achievement::Achieved { value } => {
                let said = format!("{acknowledged}; {value:.4} {asked} holds");
                self.said(Event::Achieved, Some(value), said)
            }
            Achievement::Not { value } => {
                let within = verification.within;
                let said = format!("{acknowledged}, but {value:.4} {asked} was not achieved within {within}");
                let back = verification.on_ineffective == OnIneffective::RollBack;
                self.take_back(Verdict::Ineffective, Some(value), said, back)
            }
            Achievement::Inconclusive { why } => self.inconclusive(format!("{acknowledged}; the effect: {why}")),
        }
    }

    fn source(&self) -> String {
        let frozen = self
            .change
            .spec
            .verification
            .as_ref()
            .map(|frozen| frozen.source.clone());
        frozen.unwrap_or_else(|| self.it.pass.object.spec.source_ref.name.clone())
    }

    fn said(&self, event: RuntimeEvent, value: Option<f64>, message: String) -> Judged {
        Judged {
            event: Some(event),
            verdict: Some(RecordedVerdict {
                value: value.filter(|value| value.is_finite()),
                at: Some(micro_time(self.it.pass.seen.now)),
                message,
                ..RecordedVerdict::default()
            }),
            waiting: None,
        }
    }

    fn keep(&self, verdict: Verdict, said: String) -> Judged {
        self.said(Event::Keep { verdict }, None, said)
    }

    fn inconclusive(&self, said: String) -> Judged {
        let frozen = self
            .change
            .spec
            .verification
            .as_ref()
            .map(|frozen| frozen.on_inconclusive);
        let back = self.journal.is_trying() || frozen == Some(flyball_crds::OnInconclusive::RollBack);
        self.take_back(Verdict::Inconclusive, None, said, back)
    }

    /// Goes back, where that is wanted and allowed; else what is there is held. A trial is never held.
    fn take_back(&self, verdict: Verdict, value: Option<f64>, said: String, wanted: bool) -> Judged {
        if !wanted {
            return self.said(Event::Keep { verdict }, value, said);
        }
        match self.undoing() {
            Ok(approved) => {
                let to = approved.to().clone();
                self.said(Event::RollBack { to, verdict }, value, said)
            }
            Err(refused) if verdict == Verdict::Requested => wait(format!("{said}; not taken back: {refused}")),
            Err(refused) => self.said(
                Event::Keep { verdict },
                value,
                format!("{said}; not taken back: {refused}"),
            ),
        }
    }

    fn undoing(&self) -> Result<RuntimeApproved, RuntimeRefused> {
        let verified = self.moved.verified.parse().ok().filter(|_| !self.journal.is_trying());
        let to = verified.unwrap_or_else(|| self.journal.before.clone());
        let from = self.journal.goal();
        let world = world(self.it, self.memory, OpenRuntime::None);
        let candidate = undo_runtime(&self.change.spec.action, from, &to, &world)?;
        // Undoing waits for no dry run: an annotation that could be written can be written again.
        candidate.admit(flyball_core::check::DryRun::Skipped("it was written before".to_owned()))
    }
}

fn names(env: &Env) -> Vec<String> {
    env.variables().map(|(name, _)| name.to_owned()).collect()
}

fn wait(why: String) -> Judged {
    Judged {
        event: Some(Event::Undecided),
        verdict: None,
        waiting: Some(why),
    }
}

fn not_fresh(reading: &Reading, late: bool) -> Answer {
    let why = format!(
        "what is applied is not known: {} ({})",
        reading.quality(),
        reading.detail()
    );
    if late {
        Answer::Unknown(why)
    } else {
        Answer::Waiting(why)
    }
}

fn counted(pods: usize) -> String {
    match pods {
        1 => "1 pod".to_owned(),
        many => format!("{many} pods"),
    }
}

/// Why not all pods have it. A pod without an agent is left out, unless it was chosen for the trial.
fn missing(
    goal: &Setting,
    tried: bool,
    pods: &[&str],
    ready: &BTreeMap<&str, Option<&str>>,
    applied: &BTreeMap<String, f64>,
) -> Option<String> {
    let mut missing = Vec::new();
    for pod in pods {
        let applied = applied.get(*pod).copied().and_then(whole);
        let (knobs, reclaim) = goal.of_pod(pod);
        let line = ready.get(pod).copied().flatten().and_then(PodLine::read);
        let why = match (&line, applied) {
            (_, None) if !tried => continue,
            (_, None) => Some("its agent tells nothing".to_owned()),
            // Boot values need no line, and an agent without one has generation 0.
            (None, Some(0)) if knobs.is_boot() && reclaim == 0 => None,
            (None, Some(applied)) if knobs.is_boot() && reclaim == 0 => {
                Some(format!("it still has generation {applied}"))
            }
            (None, _) => Some("it was not given it yet".to_owned()),
            (Some(line), _) if !knobs.stand_in(&line.knobs) || line.reclaim != reclaim => {
                Some("it was not given it yet".to_owned())
            }
            (Some(line), Some(applied)) if line.generation != applied => {
                Some(format!("it has generation {applied}, not {}", line.generation))
            }
            _ => None,
        };
        if let Some(why) = why {
            missing.push(format!("{pod}: {why}"));
        }
    }
    let first = missing.first()?;
    Some(match missing.len() {
        1 => first.clone(),
        more => format!("{first}, and {} more", more - 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_has_it_when_its_agent_says_the_generation_of_its_line() {
        let check = |goal: &str, tried: bool, line: Option<&str>, applied: Option<f64>, expect: Option<&str>| {
            let goal: Setting = goal.parse().expect(goal);
            let ready = BTreeMap::from([("web-1", line)]);
            let applied = applied
                .map(|applied| ("web-1".to_owned(), applied))
                .into_iter()
                .collect();
            let found = missing(&goal, tried, &["web-1"], &ready, &applied);
            assert_eq!(found.as_deref(), expect, "{goal} {line:?}");
        };
        let line = Some("v1 gen=7 ttl=60 exp=1795000000 gogc=200");
        check("gogc=200", true, line, Some(7.0), None);
        check(
            "gogc=200",
            true,
            line,
            Some(6.0),
            Some("web-1: it has generation 6, not 7"),
        );
        check(
            "gogc=200",
            true,
            line,
            Some(0.0),
            Some("web-1: it has generation 0, not 7"),
        );
        check("gogc=200", true, line, None, Some("web-1: its agent tells nothing"));
        check("gogc=200", false, line, None, None);
        check(
            "gogc=200",
            false,
            None,
            Some(0.0),
            Some("web-1: it was not given it yet"),
        );
        check(
            "gogc=100",
            false,
            line,
            Some(7.0),
            Some("web-1: it was not given it yet"),
        );
        check(
            "gogc=200 reclaim=1",
            false,
            line,
            Some(7.0),
            Some("web-1: it was not given it yet"),
        );
        check("boot", false, None, Some(0.0), None);
        check("boot", false, None, Some(7.0), Some("web-1: it still has generation 7"));
        check("boot; try web-1: gogc=200", true, line, Some(7.0), None);
        check(
            "boot; try web-2: gogc=200",
            true,
            line,
            Some(7.0),
            Some("web-1: it was not given it yet"),
        );
    }
}
