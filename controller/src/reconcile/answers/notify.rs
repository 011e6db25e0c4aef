//! Posts the alerts of a policy's `notify` to Alertmanager. All of the policy's together: an alert that several answers tell of
//! in the same words is posted once.

use crate::{
    observe::source::{NotifyError, Source},
    reconcile::{Pass, memory::Memory},
    record,
};
use flyball_core::{
    decide::notify::{Telling, Told, due, fires, forget, learn},
    policy::{AnswerKind, Mode},
    signal::Labels,
};
use flyball_crds::Reason;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{Instant, timeout_at};
use tracing::info;

/// How many alerts one request holds.
const BATCH: usize = 256;
/// How long a pass waits for Alertmanager in all. What was not told by then is told by the next pass.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of telling: all was told, or why not.
pub(crate) type Outcome = Result<(), (Reason, String)>;

/// What is remembered of the alerts that were told.
#[derive(Clone, Debug, Default)]
pub(crate) struct NotifyMemory {
    /// What was told last, by the labels.
    told: BTreeMap<Labels, Told>,
    /// What came of it; `None`: the policy does not notify.
    pub outcome: Option<Outcome>,
}

pub(super) async fn run(pass: &Pass<'_>, memory: &mut Memory) {
    let policy = pass.policy;
    let notifies = policy.mode != Mode::Observe
        && policy
            .answers
            .iter()
            .any(|answer| matches!(answer.kind, AnswerKind::Notify(_)));
    let fires = if notifies {
        fires(policy, &memory.rules, (&pass.namespace, &pass.name))
    } else {
        BTreeMap::new()
    };
    let now = pass.seen.now;
    let NotifyMemory { told, outcome } = &mut memory.notify;
    forget(told, &fires, now);
    if !notifies && told.is_empty() {
        *outcome = None;
        return;
    }
    let came = match &pass.seen.source {
        Err(problem) => Err((problem.reason(), problem.to_string())),
        Ok(source) => {
            let due = due(&fires, told, policy.interval, now);
            let end = Instant::now() + PATIENCE;
            let (taken, came) = post(source, &due, end).await;
            for batch in &taken {
                learn(told, batch, now);
            }
            let sent = taken.iter().map(|batch| batch.len()).sum();
            let named = record::name(&pass.namespace, &pass.name);
            for (count, failed) in [(sent, false), (due.len() - sent, true)] {
                pass.ctx.recorder.metrics.posted(named, count, failed);
            }
            came
        }
    };
    let before = outcome.as_ref().and_then(|outcome| outcome.as_ref().err());
    match &came {
        Err((reason, why)) if before.is_none_or(|(before, _)| before != reason) => {
            pass.ctx.recorder.not_posted(pass.object, *reason, why);
        }
        Ok(()) if before.is_some() => info!(policy = pass.name, "alerts are posted again"),
        _ => {}
    }
    *outcome = notifies.then_some(came);
}

/// Posts alerts until `end`, and says which were taken. Of a batch that is refused nothing is known, so all of it counts as not
/// told; the others go on, for what is wrong may be one alert of it. A server that does not answer is asked no further.
async fn post<'t>(source: &Source, due: &'t [Telling], end: Instant) -> (Vec<&'t [Telling]>, Outcome) {
    if !source.has_alertmanager() {
        let none = NotifyError::None(source.name().to_owned());
        return (Vec::new(), Err((Reason::NoAlertmanager, none.to_string())));
    }
    let (mut taken, mut outcome) = (Vec::new(), Ok(()));
    for batch in due.chunks(BATCH) {
        let failed = match timeout_at(end, source.notify(batch)).await {
            Ok(Ok(())) => {
                taken.push(batch);
                continue;
            }
            Ok(Err(error)) => error,
            Err(_) => NotifyError::Late(PATIENCE.as_secs()),
        };
        outcome = Err((Reason::NotPosted, failed.to_string()));
        if !matches!(failed, NotifyError::Refused { .. }) {
            break;
        }
    }
    (taken, outcome)
}
