//! Who is passed when: one task per policy, each on its own interval, only while we lead.
//!
//! A task that panics takes down nothing but its own pass; the next sweep starts it again.

use super::{Context, memory, memory::Memory, orphans, pass, sources};
use crate::{
    apply::Authority,
    lease::Leadership,
    observe::{cluster::Wake, is_open},
};
use flyball_core::time::{Span, Timestamp};
use flyball_crds::FeedbackPolicy;
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Notify, Semaphore, mpsc, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// How many passes run at once. Each waits mostly for Prometheus.
const CONCURRENT: usize = 16;
/// How often the set of tasks and the Changes of deleted policies are looked after.
const SWEEP: Duration = Duration::from_secs(5);
/// How often the sources are asked whether they answer.
const SOURCES: Duration = Duration::from_secs(30);
/// The pause of a policy that can't be read: an edit wakes it.
const BROKEN: Span = Span::from_secs(60);
/// The interval of a policy that does not say.
const DEFAULT_INTERVAL: Span = Span::from_secs(15);

struct Task {
    handle: JoinHandle<()>,
    wake: Arc<Notify>,
    stop: CancellationToken,
}

/// Runs until `stop` is cancelled, then waits for the passes under way.
pub async fn run(
    ctx: Arc<Context>,
    mut leadership: watch::Receiver<Leadership>,
    mut woken: mpsc::Receiver<Wake>,
    stop: CancellationToken,
) {
    let mut tasks: HashMap<ObjectRef<FeedbackPolicy>, Task> = HashMap::new();
    let permits = Arc::new(Semaphore::new(CONCURRENT));
    let mut sweep = interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let looking = tokio::spawn(look_at_sources(Arc::clone(&ctx), leadership.clone(), stop.clone()));
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = sweep.tick() => {
                let authority = Authority::new(leadership.clone(), Arc::clone(&ctx.recorder.metrics));
                ctx.cluster.want_rules();
                let modes = ctx.cluster.policies.state();
                let open = ctx.cluster.changes.state().iter().filter(|change| is_open(change)).count();
                ctx.recorder.beat(authority.holds(), modes.iter().map(|policy| policy.spec.mode), open);
                if authority.holds() {
                    orphans::sweep(&ctx, &authority).await;
                }
            }
            changed = leadership.changed() => {
                if changed.is_err() {
                    break;
                }
            }
            Some(policy) = woken.recv() => {
                if let Some(task) = tasks.get(&policy) {
                    task.wake.notify_one();
                }
            }
        }
        let leading = leadership.borrow().is_leader(Instant::now());
        match_tasks(&ctx, &mut tasks, leading, &leadership, &permits);
    }
    for task in tasks.values() {
        task.stop.cancel();
    }
    looking.abort();
    for (_, task) in tasks {
        // A pass ends at a point where nothing is half written; its deadline is short.
        if let Err(error) = task.handle.await {
            error!(%error, "a pass ended in a panic");
        }
    }
}

/// Looks at the sources in its own time, since a server that hangs must hold nothing else up.
async fn look_at_sources(ctx: Arc<Context>, leadership: watch::Receiver<Leadership>, stop: CancellationToken) {
    let authority = Authority::new(leadership, Arc::clone(&ctx.recorder.metrics));
    let mut known = BTreeSet::new();
    let looking = async {
        loop {
            if authority.holds() {
                let present = sources::look(&ctx, &authority).await;
                for gone in known.difference(&present) {
                    ctx.recorder.metrics.remove_source(gone);
                }
                known = present;
                tokio::time::sleep(SOURCES).await;
            } else {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    };
    stop.run_until_cancelled(looking).await;
}

/// Starts a task for each policy there is while we lead, and stops the others.
fn match_tasks(
    ctx: &Arc<Context>,
    tasks: &mut HashMap<ObjectRef<FeedbackPolicy>, Task>,
    leading: bool,
    leadership: &watch::Receiver<Leadership>,
    permits: &Arc<Semaphore>,
) {
    let policies = if leading {
        ctx.cluster.policies.state()
    } else {
        Vec::new()
    };
    let wanted: HashMap<_, _> = policies
        .iter()
        .map(|policy| (ObjectRef::from_obj(policy.as_ref()), policy.uid()))
        .collect();
    tasks.retain(|key, task| {
        let keep = wanted.contains_key(key) && !task.handle.is_finished();
        if !keep {
            task.stop.cancel();
            if !wanted.contains_key(key) {
                ctx.recorder.forget(key);
            }
        }
        keep
    });
    for key in wanted.into_keys() {
        tasks.entry(key.clone()).or_insert_with(|| {
            let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
            let following = follow(
                Arc::clone(ctx),
                key,
                Authority::new(leadership.clone(), Arc::clone(&ctx.recorder.metrics)),
                Arc::clone(&wake),
                stop.clone(),
                Arc::clone(permits),
            );
            Task {
                handle: tokio::spawn(following),
                wake,
                stop,
            }
        });
    }
}

/// Passes one policy again and again. Its memory starts anew with each leadership, from what is
/// stored: another leader may have moved it on meanwhile.
async fn follow(
    ctx: Arc<Context>,
    key: ObjectRef<FeedbackPolicy>,
    authority: Authority,
    wake: Arc<Notify>,
    stop: CancellationToken,
    permits: Arc<Semaphore>,
) {
    let mut remembered: Option<(Option<String>, Memory)> = None;
    let mut due = Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep_until(due) => {}
            () = wake.notified() => {}
        }
        let Some(object) = ctx.cluster.policies.get(&key).filter(|_| authority.holds()) else {
            return;
        };
        let Ok(_permit) = permits.acquire().await else { return };
        let lateness = Instant::now().saturating_duration_since(due);
        ctx.recorder.lateness(lateness);
        let same = remembered.as_ref().is_some_and(|(uid, _)| *uid == object.uid());
        if !same {
            let changes = memory::changes_of(&ctx.cluster.changes.state(), &object);
            remembered = Some((object.uid(), Memory::restore(&object, &changes, (ctx.now)())));
            info!(policy = %key, "taking up the policy");
        }
        let Some((_, memory)) = &mut remembered else { return };
        Box::pin(pass(&ctx, &object, memory, &authority)).await;
        due = next(memory, &object, (ctx.now)());
    }
}

/// The next point of the policy's own rhythm. Its phase comes from its UID, so that many policies
/// don't ask the server all at once.
fn next(memory: &Memory, object: &FeedbackPolicy, now: Timestamp) -> Instant {
    let interval = memory.policy.as_ref().map_or(BROKEN, |policy| policy.interval);
    let interval = if interval.is_zero() { DEFAULT_INTERVAL } else { interval }.as_millis();
    let mut hasher = DefaultHasher::new();
    object.uid().hash(&mut hasher);
    let phase = hasher.finish() % interval;
    let since = (u64::try_from(now.as_millis()).unwrap_or(0) + interval - phase) % interval;
    Instant::now() + Duration::from_millis(interval - since)
}
