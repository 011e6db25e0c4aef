//! `flyball takeover`: a field goes from another autoscaler to a policy, and the replicas stay as they are.

pub mod checks;
pub mod facts;
pub mod plan;

use super::{
    args::{LeaseArgs, PolicyArgs},
    doctor::{
        cluster::look,
        rights::{Place as Where, Right, mine, what},
    },
    fetch::{self, Connection, Controller, Scope},
    import::Autoscaler,
    kept::{PAUSED_FOR, pausing},
    moves::Moved,
    screen::{plain, quoted, show},
    write::{self, ActError, Place, confirmed, refuse},
};
use checks::{Around, check};
use facts::{Facts, Other, kind_of};
use flyball_crds::{FeedbackPolicy, TAKEN_FROM_ANNOTATION};
use kube::ResourceExt;
use plan::{Step, next};
use serde_json::json;
use std::{path::Path, process::ExitCode, time::Duration};
use tokio::time::{Instant, sleep};

/// From whom to whom.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    policy: PolicyArgs,
    /// Take the field from this HorizontalPodAutoscaler. Default: the one autoscaler on the target.
    #[arg(long, value_name = "NAME")]
    hpa: Option<String>,
    /// Take the field from this ScaledObject.
    #[arg(long, value_name = "NAME", conflicts_with = "hpa")]
    scaledobject: Option<String>,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    /// How long KEDA may take to let go, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    #[command(flatten)]
    lease: LeaseArgs,
}

/// What is taken over, and how patiently.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The policy's namespace.
    pub namespace: String,
    /// The policy.
    pub policy: String,
    /// The autoscaler, where it is named.
    pub from: Option<(Autoscaler, String)>,
    /// The namespace of the controller.
    pub controllers: String,
    /// The name of its lease.
    pub lease: String,
    /// How long KEDA may take.
    pub limit: Duration,
    /// How often is looked meanwhile.
    pub poll: Duration,
}

/// Runs the command.
pub async fn run(args: Args, kubeconfig: Option<&Path>, context: Option<String>) -> Result<ExitCode, ActError> {
    let connection = fetch::connect(kubeconfig, context).await?;
    let from = match (args.hpa, args.scaledobject) {
        (Some(name), _) => Some((Autoscaler::Hpa, name)),
        (None, Some(name)) => Some((Autoscaler::ScaledObject, name)),
        (None, None) => None,
    };
    let wanted = Wanted {
        namespace: args.policy.namespace.unwrap_or_else(|| connection.namespace.clone()),
        policy: args.policy.policy,
        from,
        controllers: args.lease.namespace_of_controller,
        lease: args.lease.lease_name,
        limit: Duration::from_secs(args.timeout),
        poll: Duration::from_secs(1),
    };
    let yes = args.yes;
    let agree = |question: &str| if yes { Ok(true) } else { confirmed(question) };
    take(&connection, &wanted, agree, |line| Ok(show(line)?)).await?;
    Ok(ExitCode::SUCCESS)
}

/// Takes the field over, step by step. `agree` is asked once, before the first write; `tell` gets a
/// line for each step that was done.
pub async fn take(
    connection: &Connection,
    wanted: &Wanted,
    agree: impl FnOnce(&str) -> Result<bool, ActError>,
    tell: impl Fn(&str) -> Result<(), ActError>,
) -> Result<(), ActError> {
    let Wanted { namespace, policy, .. } = wanted;
    let place = format!("{} -n {}", quoted(policy), quoted(namespace));
    let read = async || facts::read(connection, namespace, policy).await;
    let facts = read().await?;
    match Moved::by(&facts.policy.spec) {
        Moved::Replicas | Moved::Pod => {}
        Moved::Weights => {
            return refuse(format!(
                "{namespace}/{policy} moves weights, and takeover takes replicas from another autoscaler; nothing was done. What \
                 else writes its routes is said by flyball doctor"
            ));
        }
        Moved::Knobs => {
            return refuse(format!(
                "{namespace}/{policy} moves a runtime's knobs, and takeover takes replicas from another autoscaler; nothing was \
                 done. Knobs need no takeover: set spec.mode to Enforce, and see that agents answer: flyball doctor -n {}",
                quoted(namespace)
            ));
        }
    }
    let other = select(&facts, wanted)?;
    if next(&facts, other).map_err(refused)? == Step::Done {
        return tell(&format!(
            "{namespace}/{policy} has the field already. To follow it: flyball get {place} --watch\n"
        ));
    }
    let around = around(connection, wanted, &facts).await?;
    let warnings = check(&facts, other, &around)
        .map_err(|why| ActError::Refused(format!("{namespace}/{policy} can't take the field over: {why}")))?;
    rights(connection, namespace, other).await?;
    let mut text = intent(&facts, other, namespace);
    text.extend(warnings.iter().map(|warning| format!("  warning: {warning}\n")));
    tell(&text)?;
    if !agree("Go on?")? {
        return refuse("nothing was done");
    }
    let mut waiting: Option<Instant> = None;
    let mut conflicts = 0;
    loop {
        let facts = read().await?;
        let other = select(&facts, wanted)?;
        let step = next(&facts, other).map_err(refused)?;
        let waits = matches!(step, Step::LetGo(_) | Step::Gone);
        if waits {
            let since = *waiting.get_or_insert_with(Instant::now);
            if since.elapsed() > wanted.limit {
                return refuse(late(&step, other, namespace, &place, wanted.limit));
            }
            sleep(wanted.poll).await;
            continue;
        }
        waiting = None;
        match act(connection, namespace, &facts, other, &step).await {
            Ok(Some(line)) => tell(&line)?,
            Ok(None) => break,
            // Somebody wrote it in between: a status, mostly. What is there now decides.
            Err(ActError::Conflict(_)) if conflicts < 20 => {
                conflicts += 1;
                sleep(wanted.poll / 10).await;
            }
            Err(error) => return Err(error),
        }
    }
    tell(&format!(
        "{namespace}/{policy} has the field. To follow it: flyball get {place} --watch\nTo give it back: flyball release {place}\n"
    ))
}

fn refused(error: impl std::fmt::Display) -> ActError {
    ActError::Refused(error.to_string())
}

/// The autoscaler that is meant, if it is there.
fn select<'f>(facts: &'f Facts, wanted: &Wanted) -> Result<Option<&'f Other>, ActError> {
    let titles = || {
        let titles = facts.others.iter().map(|other| plain(&other.title()));
        titles.collect::<Vec<_>>().join(" and ")
    };
    let Wanted { namespace, .. } = wanted;
    let target = &facts.policy.spec.target_ref;
    let target = format!("{} {}", plain(&target.kind), plain(&target.name));
    if let [_, _, ..] = facts.others.as_slice() {
        return refuse(format!(
            "{target} has several autoscalers: {}; they fight, so delete all but one first: kubectl get hpa -n {}",
            titles(),
            quoted(namespace)
        ));
    }
    let found = facts.others.first();
    if let (Some(other), Some((kind, name))) = (found, &wanted.from)
        && (other.autoscaler != *kind || other.object.name_any() != *name)
    {
        return refuse(format!(
            "{} {} does not scale {target}, but {} does; name that one, or none",
            kind.kind(),
            plain(name),
            titles()
        ));
    }
    if found.is_none() && facts.kept.is_none() {
        let place = format!("{} -n {}", quoted(&wanted.policy), quoted(namespace));
        return refuse(format!(
            "no autoscaler scales {target}, so there is nothing to take over; let the policy write: kubectl patch \
             feedbackpolicy {place} --type merge -p '{{\"spec\":{{\"mode\":\"Enforce\"}}}}'"
        ));
    }
    Ok(found)
}

async fn around(connection: &Connection, wanted: &Wanted, facts: &Facts) -> Result<Around, ActError> {
    let target = &facts.policy.spec.target_ref;
    let resource = kind_of(connection, target).await?;
    let (client, scope) = (&connection.clients.read, Scope::Namespace(&wanted.namespace));
    let (seen, frozen, target) = tokio::join!(
        look(connection, &wanted.controllers, &wanted.lease),
        fetch::freeze(client, &wanted.controllers),
        fetch::get(client, scope, &resource, &target.name),
    );
    let controller = match seen.controller {
        // It is renewed, so only a clock is wrong.
        Ok(Controller::Silent { holder, renewed }) if seen.moved => Controller::Leads { holder, renewed },
        Ok(controller) => controller,
        Err(error) => Controller::Unknown(error.to_string()),
    };
    Ok(Around {
        controller,
        lease: format!("{}/{}", wanted.controllers, wanted.lease),
        frozen: frozen.ok().flatten(),
        target: target?,
    })
}

/// A takeover that lacks a right in the middle would leave the workload to nobody.
async fn rights(connection: &Connection, namespace: &str, other: Option<&Other>) -> Result<(), ActError> {
    let right = |verb, group: &str, resource: &str| Right {
        verb,
        group: group.to_owned(),
        resource: resource.to_owned(),
        name: None,
        place: Where::In(namespace.to_owned()),
        without: "",
    };
    let mut needed = vec![right("patch", "flyball.dev", "feedbackpolicies")];
    match other.map(|other| other.autoscaler) {
        Some(Autoscaler::Hpa) => needed.push(right("delete", "autoscaling", "horizontalpodautoscalers")),
        Some(Autoscaler::ScaledObject) => {
            needed.push(right("patch", "keda.sh", "scaledobjects"));
            needed.push(right("delete", "keda.sh", "scaledobjects"));
        }
        None => {}
    }
    let answers = mine(connection, needed).await;
    let lacking = answers.iter().find(|(_, given)| *given == Ok(false));
    match lacking {
        Some((right, _)) => refuse(format!(
            "you may not {} {}, and nothing was done; ask for the role flyball-operator in namespace {namespace}",
            right.verb,
            what(right)
        )),
        None => Ok(()),
    }
}

fn intent(facts: &Facts, other: Option<&Other>, namespace: &str) -> String {
    let policy = facts.policy.name_any();
    match other {
        Some(other) if other.autoscaler == Autoscaler::ScaledObject => format!(
            "{0} is paused and deleted, its manifest is kept on the policy, and {namespace}/{policy} is set to Enforce. \
             The replicas stay as they are.\n",
            plain(&other.title())
        ),
        Some(other) => format!(
            "{0} is deleted, its manifest is kept on the policy, and {namespace}/{policy} is set to Enforce. The \
             replicas stay as they are.\n",
            plain(&other.title())
        ),
        None => format!("The other autoscaler is gone already; {namespace}/{policy} is set to Enforce.\n"),
    }
}

/// Takes a step. `None`: there is none left.
async fn act(
    connection: &Connection,
    namespace: &str,
    facts: &Facts,
    other: Option<&Other>,
    step: &Step,
) -> Result<Option<String>, ActError> {
    let policies = Place::of::<FeedbackPolicy>(namespace);
    let at = |other: &Other| Place {
        resource: other.autoscaler.resource(),
        namespace,
    };
    Ok(match (step, other) {
        (Step::Keep(text), _) => {
            let changes = json!({"metadata": {"annotations": {TAKEN_FROM_ANNOTATION: text}}});
            write::patch(connection, &policies, &facts.object, &changes).await?;
            Some("the manifest is kept on the policy\n".to_owned())
        }
        (Step::Pause, Some(other)) => {
            let changes = pausing(&facts.policy.name_any());
            write::patch(connection, &at(other), &other.object, &changes).await?;
            Some(format!("{} is paused\n", plain(&other.title())))
        }
        (Step::Delete, Some(other)) => {
            write::delete(connection, &at(other), &other.object).await?;
            Some(format!("{} is deleted\n", plain(&other.title())))
        }
        (Step::Enforce, _) => {
            let changes = json!({"spec": {"mode": "Enforce", "suspend": null}});
            write::patch(connection, &policies, &facts.object, &changes).await?;
            Some("the policy is set to Enforce\n".to_owned())
        }
        _ => None,
    })
}

/// KEDA does not do its part.
fn late(step: &Step, other: Option<&Other>, namespace: &str, place: &str, limit: Duration) -> String {
    let name = other.map(|other| other.object.name_any()).unwrap_or_default();
    let name = format!("{} -n {}", quoted(&name), quoted(namespace));
    let again = format!("go on with flyball takeover {place}");
    let seconds = limit.as_secs();
    match step {
        Step::LetGo(behind) => format!(
            "KEDA has not taken away HorizontalPodAutoscaler {} within {seconds} s of being paused; see whether its operator \
             runs, and {again}, or take the pause back: kubectl annotate scaledobject.keda.sh {name} \
             autoscaling.keda.sh/paused- {PAUSED_FOR}-",
            plain(behind)
        ),
        _ => format!(
            "the deletion is not carried out within {seconds} s, a finalizer holds it; see which: kubectl get {} {name} -o \
             yaml; then {again}",
            other.map_or("hpa", |other| other.autoscaler.plural())
        ),
    }
}
