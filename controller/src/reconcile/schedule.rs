//! Who is passed when: one task per policy, each on its own interval, only while we lead.
//!
//! A task that panics takes down nothing but its own pass; the next sweep starts it again.

use super::{Context, memory::Memory, orphans, pass, sources};
use crate::{
    apply::Authority,
    clock::from_micro_time,
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
/// How often the set of tasks is looked after, and how long the Changes that nobody carries are left alone.
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
    let ending = stop.child_token();
    let sweeping = tokio::spawn(look_after_changes(Arc::clone(&ctx), leadership.clone(), ending.clone()));
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = sweep.tick() => {
                let authority = Authority::new(leadership.clone(), Arc::clone(&ctx.recorder.metrics)).observing(ctx.observe_only);
                ctx.cluster.want_rules();
                let modes = ctx.cluster.policies.state();
                let changes = ctx.cluster.changes.state();
                let open = changes.iter().filter(|change| is_open(change));
                let ages = open.map(|change| (ctx.now)().since(from_micro_time(&change.spec.proposed_at)));
                ctx.recorder.beat(authority.holds(), modes.iter().map(|policy| policy.spec.mode), ages);
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
    ending.cancel();
    // It ends after the Change that it is at.
    if let Err(error) = sweeping.await {
        error!(%error, "the sweep of Changes ended in a panic");
    }
    for (_, task) in tasks {
        // A pass ends at a point where nothing is half written; its deadline is short.
        if let Err(error) = task.handle.await {
            error!(%error, "a pass ended in a panic");
        }
    }
}

/// Looks at the sources in its own time, since a server that hangs must hold nothing else up.
async fn look_at_sources(ctx: Arc<Context>, leadership: watch::Receiver<Leadership>, stop: CancellationToken) {
    let authority = Authority::new(leadership, Arc::clone(&ctx.recorder.metrics)).observing(ctx.observe_only);
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

/// Looks after the Changes that nobody carries in its own time, for the same reason: in a brownout a dozen slow
/// deletions take longer than the heartbeat may be silent.
async fn look_after_changes(ctx: Arc<Context>, leadership: watch::Receiver<Leadership>, stop: CancellationToken) {
    let authority = Authority::new(leadership, Arc::clone(&ctx.recorder.metrics)).observing(ctx.observe_only);
    let leads = || authority.holds();
    let sweep = |turn| orphans::sweep(Arc::clone(&ctx), authority.clone(), turn, stop.clone());
    one_by_one(SWEEP, &stop, leads, sweep).await;
}

/// Runs a piece of work again and again while we lead, with a pause after each: never two at once. One that panics
/// ends nothing but itself, and one under way is waited for.
async fn one_by_one<W>(
    pause: Duration,
    stop: &CancellationToken,
    leads: impl Fn() -> bool,
    mut work: impl FnMut(usize) -> W,
) where
    W: Future<Output = ()> + Send + 'static,
{
    let mut turn = 0_usize;
    loop {
        if leads() {
            if let Err(error) = tokio::spawn(work(turn)).await {
                error!(%error, "a sweep ended in a panic");
            }
            turn = turn.wrapping_add(1);
        }
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
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
                Authority::new(leadership.clone(), Arc::clone(&ctx.recorder.metrics)).observing(ctx.observe_only),
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
            remembered = Some((object.uid(), Memory::restore(&object, (ctx.now)())));
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    #[tokio::test(start_paused = true)]
    async fn sweeps_follow_one_another_and_end_with_the_process() {
        let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let leads = Arc::new(AtomicUsize::new(1));
        let stop = CancellationToken::new();
        let running = {
            let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
            let (leads, stop) = (Arc::clone(&leads), stop.clone());
            tokio::spawn(async move {
                let leads = || leads.load(SeqCst) == 1;
                let work = |turn| {
                    let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
                    async move {
                        assert_eq!(begun.fetch_add(1, SeqCst), turn, "each has its turn");
                        tokio::time::sleep(Duration::from_secs(100)).await;
                        assert_ne!(turn, 1, "one panics");
                        ended.fetch_add(1, SeqCst);
                    }
                };
                one_by_one(Duration::from_secs(5), &stop, leads, work).await;
            })
        };
        let counts = || (begun.load(SeqCst), ended.load(SeqCst));
        let sleep = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
        // From 0 to 100, 105 to 205 (which panics), 210 to 310.
        sleep(99).await;
        assert_eq!(counts(), (1, 0), "slow as it is, no second one is begun");
        sleep(112).await;
        assert_eq!(counts(), (3, 1), "211: the second panicked, and the third is under way");
        leads.store(0, SeqCst);
        sleep(300).await;
        assert_eq!(counts(), (3, 2), "511: none is begun without the leadership");
        leads.store(1, SeqCst);
        sleep(10).await;
        assert_eq!(counts(), (4, 2));
        stop.cancel();
        running.await.expect("no panic");
        assert_eq!(counts(), (4, 3), "the one under way is waited for");
    }
}
