//! One policy gives its field back.

use super::{Patience, Wanted, fence, knobs, standing::Leads, standing::Standing};
use crate::{
    cli::{
        fetch::{self, Connection, Scope},
        kept::Kept,
        moves::Moved,
        screen::{plain, quoted},
        suspend::{edit_policy, no_policy},
        takeover::facts::{self, Facts, Other, kind_of},
        write::{self, ActError, Place, refuse},
    },
    observe::{is_open, target::Snapshot},
};
use flyball_crds::{Change, ChangeField, FeedbackPolicy, Mode, TAKEN_FROM_ANNOTATION};
use kube::ResourceExt;
use serde_json::json;
use tokio::time::{Instant, sleep};

/// How a release ended, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// What was done.
    pub said: String,
    /// What to do next, where anything is.
    pub next: Vec<String>,
}

/// Keeps a policy from beginning any change.
pub async fn suspend(connection: &Connection, namespace: &str, name: &str) -> Result<FeedbackPolicy, ActError> {
    let decide = |policy: &FeedbackPolicy| Ok((!policy.spec.suspend).then(|| json!({"spec": {"suspend": true}})));
    Ok(edit_policy(connection, namespace, name, decide).await?.object)
}

/// Whether a policy has anything to give back.
pub fn holds(facts: &Facts, open: &[Change]) -> bool {
    facts.policy.spec.mode == Mode::Enforce || facts.kept.is_some() || !open.is_empty()
}

/// The Changes of a policy that may still write.
pub async fn open(connection: &Connection, namespace: &str, name: &str) -> Result<Vec<Change>, ActError> {
    let kind = fetch::resource::<Change>();
    let limits = fetch::of_policy(name);
    let listed = fetch::list(&connection.clients.read, Scope::Namespace(namespace), &kind, limits).await?;
    let (mut changes, unreadable): (Vec<Change>, _) = fetch::parse(&listed);
    if let Some(title) = unreadable.into_iter().next() {
        return Err(fetch::ReadError::Unreadable(title).into());
    }
    changes.retain(|change| change.spec.policy.name == name && is_open(change));
    Ok(changes)
}

/// Gives the field of one policy back.
pub async fn release(
    connection: &Connection,
    wanted: &Wanted,
    namespace: &str,
    name: &str,
) -> Result<Released, ActError> {
    let facts = facts::read(connection, namespace, name).await?;
    let before = open(connection, namespace, name).await?;
    let of_knobs = |change: &Change| change.spec.field == ChangeField::Runtime;
    if Moved::by(&facts.policy.spec) == Moved::Knobs && before.iter().all(of_knobs) {
        return Box::pin(knobs::release(connection, wanted, &facts, &before, (namespace, name))).await;
    }
    only_replicas(&facts.policy, &before, namespace, name)?;
    if !holds(&facts, &before) {
        return Ok(Released {
            said: format!("does not hold the field: its mode is {:?}", facts.policy.spec.mode),
            next: Vec::new(),
        });
    }
    suspend(connection, namespace, name).await?;
    let closed = Box::pin(settle(connection, wanted, namespace, name)).await?;
    let released = hand(connection, wanted, namespace, name).await?;
    Ok(with(released, closed))
}

/// The same, with what was closed from here.
pub(super) fn with(mut released: Released, closed: Vec<Change>) -> Released {
    for change in closed {
        let message = change.status.map(|status| status.message).unwrap_or_default();
        let change = change.metadata.name.unwrap_or_default();
        let (change, message) = (plain(&change), plain(&message));
        released.said = format!("{}; Change {change} was closed from here: {message}", released.said);
    }
    released
}

/// Refuses what moves weights: there is no other autoscaler to hand a route to, and the fence of a Change of
/// weights is the controller's, in each of its routes.
fn only_replicas(policy: &FeedbackPolicy, open: &[Change], namespace: &str, name: &str) -> Result<(), ActError> {
    if Moved::by(&policy.spec) == Moved::Replicas
        && open.iter().all(|change| change.spec.field == ChangeField::Replicas)
    {
        return Ok(());
    }
    let place = format!("{} -n {}", quoted(name), quoted(namespace));
    refuse(format!(
        "{}/{} moves weights, or has a Change of another lever open, and release hands over replicas. To leave its routes \
         alone: flyball suspend {place}; the controller then closes its open Change, and the weights stay as they are",
        plain(namespace),
        plain(name)
    ))
}

/// Waits until no Change is open and none can begin, or closes what is open where no controller does.
/// Returns what was closed from here.
pub(super) async fn settle(
    connection: &Connection,
    wanted: &Wanted,
    namespace: &str,
    name: &str,
) -> Result<Vec<Change>, ActError> {
    let Patience { limit, poll, .. } = wanted.patience;
    let lease = (wanted.controllers.as_str(), wanted.lease.as_str());
    let until = Instant::now() + limit;
    let mut standing = Standing::new(&wanted.patience.timing);
    loop {
        let leads = standing.look(connection, lease.0, lease.1).await?;
        // The policy before its Changes: a pass that ended with this generation has begun none since.
        let policy = write::object::<FeedbackPolicy>(connection, namespace, name).await?;
        let policy: FeedbackPolicy = write::parsed(&policy.ok_or_else(|| no_policy(namespace, name))?)?;
        let open = open(connection, namespace, name).await?;
        let status = policy.status.as_ref();
        let observed = status.and_then(|status| status.observed_generation) == policy.metadata.generation;
        match leads {
            Leads::Yes if observed && open.is_empty() => return Ok(Vec::new()),
            Leads::No if open.is_empty() => return Ok(Vec::new()),
            Leads::No => {
                fence::rights(connection, namespace, &open, lease).await?;
                if let Some(led) = fence::lead(connection, lease, &wanted.patience, until).await? {
                    let closed = Box::pin(close_all(connection, &led, namespace, name)).await;
                    led.end().await;
                    return closed;
                }
            }
            Leads::Yes | Leads::Perhaps => {}
        }
        if Instant::now() > until {
            return refuse(late(&open, observed, namespace, name, wanted));
        }
        sleep(poll).await;
    }
}

async fn close_all(
    connection: &Connection,
    led: &fence::Led,
    namespace: &str,
    name: &str,
) -> Result<Vec<Change>, ActError> {
    let mut closed = Vec::new();
    // Listed anew: only now that we lead can nobody add to them.
    for change in open(connection, namespace, name).await? {
        closed.push(Box::pin(fence::close(connection, led, &change)).await?);
    }
    Ok(closed)
}

fn late(open: &[Change], observed: bool, namespace: &str, name: &str, wanted: &Wanted) -> String {
    let place = format!("{} -n {}", quoted(name), quoted(namespace));
    let seconds = wanted.patience.limit.as_secs();
    let what = match open.first() {
        Some(change) => format!("its Change {} is still open", plain(&change.name_any())),
        None if !observed => "the controller has not seen yet that it is suspended".to_owned(),
        None => "it is not known yet whether a controller leads".to_owned(),
    };
    format!(
        "{what} after {seconds} s; it is suspended and nothing else was done. See why: flyball explain {place}; then run \
         the command again, with a longer --timeout"
    )
}

/// Makes the other autoscaler again.
async fn hand(connection: &Connection, wanted: &Wanted, namespace: &str, name: &str) -> Result<Released, ActError> {
    let facts = facts::read(connection, namespace, name).await?;
    let current = current(connection, namespace, &facts).await?;
    let at = current.map_or_else(String::new, |replicas| format!(", at {replicas} replicas"));
    let already = |other: &Other| Released {
        said: format!("released: {} scales it already{at}", plain(&other.title())),
        next: Vec::new(),
    };
    let Some(kept) = &facts.kept else {
        return Ok(match facts.others.first() {
            Some(other) => already(other),
            None => Released {
                said: format!("released; nothing scales it now{at}"),
                next: by_hand(&facts, namespace),
            },
        });
    };
    if let Some(other) = facts.others.first() {
        let same = other.autoscaler == kept.autoscaler && other.object.name_any() == kept.name();
        if !same {
            // Two would fight.
            let place = format!("{} -n {}", quoted(name), quoted(namespace));
            return Ok(Released {
                said: format!(
                    "{}; the manifest of {} is kept",
                    already(other).said,
                    plain(&kept.title())
                ),
                next: vec![format!(
                    "kubectl annotate feedbackpolicy {place} {TAKEN_FROM_ANNOTATION}-"
                )],
            });
        }
        forget(connection, namespace, name).await?;
        return Ok(already(other));
    }
    if let (Some(current), Some(max)) = (current, kept.max())
        && current > max
        && !wanted.allow_dip
    {
        return refuse(format!(
            "{} allows at most {max} replicas and there are {current}, so it would take {} away at once; it is suspended and \
             nothing else was done. Scale down first, or run the command again with --allow-dip",
            plain(&kept.title()),
            current - max
        ));
    }
    make(connection, namespace, kept).await?;
    forget(connection, namespace, name).await?;
    let mut released = Released {
        said: format!("released to {}{at}", plain(&kept.title())),
        next: Vec::new(),
    };
    if kept.cools_down_first() {
        released.said += ", with a first cooldown (initialCooldownPeriod), so that KEDA does not take all away at once";
    }
    if current == Some(0) && !kept.wakes() {
        released.said +=
            "; it stays at 0 until somebody scales it up, for a HorizontalPodAutoscaler does nothing there";
        let target = &facts.policy.spec.target_ref;
        let kind = quoted(&target.kind.to_lowercase());
        released.next = vec![format!(
            "kubectl scale {kind} {} -n {} --replicas 1",
            quoted(&target.name),
            quoted(namespace)
        )];
    }
    Ok(released)
}

async fn make(connection: &Connection, namespace: &str, kept: &Kept) -> Result<(), ActError> {
    let object = kept
        .anew(namespace)
        .map_err(|error| ActError::Refused(error.to_string()))?;
    let place = Place {
        resource: kept.autoscaler.resource(),
        namespace,
    };
    if write::create(connection, &place, &object).await?.is_some() {
        return Ok(());
    }
    refuse(format!(
        "there is a {} already, and it scales something else; its kept manifest stays on the policy: kubectl get {} {} -n {} -o yaml",
        plain(&kept.title()),
        kept.autoscaler.plural(),
        quoted(kept.name()),
        quoted(namespace)
    ))
}

/// What was made again needs not be kept.
async fn forget(connection: &Connection, namespace: &str, name: &str) -> Result<(), ActError> {
    let decide = |policy: &FeedbackPolicy| {
        let kept = policy.annotations().contains_key(TAKEN_FROM_ANNOTATION);
        Ok(kept.then(|| json!({"metadata": {"annotations": {TAKEN_FROM_ANNOTATION: null}}})))
    };
    edit_policy(connection, namespace, name, decide).await?;
    Ok(())
}

/// How many replicas there are now; `None`: the target is gone.
async fn current(connection: &Connection, namespace: &str, facts: &Facts) -> Result<Option<i64>, ActError> {
    let target = &facts.policy.spec.target_ref;
    let Ok(resource) = kind_of(connection, target).await else {
        return Ok(None);
    };
    let scope = Scope::Namespace(namespace);
    let object = fetch::get(&connection.clients.read, scope, &resource, &target.name).await?;
    let snapshot = object.as_ref().map(Snapshot::of).transpose();
    let snapshot = snapshot.map_err(|error| ActError::Refused(error.to_string()))?;
    Ok(snapshot.map(|snapshot| snapshot.target.value.get().into()))
}

/// How an autoscaler is made where none was kept.
fn by_hand(facts: &Facts, namespace: &str) -> Vec<String> {
    let target = &facts.policy.spec.target_ref;
    let kind = quoted(&target.kind.to_lowercase());
    let name = quoted(&target.name);
    let namespace = quoted(namespace);
    let lever = facts
        .policy
        .spec
        .actions
        .iter()
        .find_map(|action| action.replicas.as_ref());
    let bounds = lever.map_or_else(String::new, |lever| {
        format!(" --min {} --max {}", lever.min.max(1), lever.max)
    });
    vec![
        format!("kubectl autoscale {kind} {name} -n {namespace}{bounds} --cpu-percent 80"),
        format!("kubectl apply -n {namespace} -f autoscaler.yaml"),
    ]
}
