//! `flyball approve`, `flyball abort` and `flyball rollback`: what a person asks of one Change.
//!
//! The journal stays the controller's. What is asked stands in annotations beside it, and the controller
//! takes it up with its next pass.

use super::{
    args::LeaseArgs,
    fetch::{self, Connection, Controller},
    get::tree::phase_of,
    moves::{self, Moved},
    screen::{plain, quoted, show},
    write::{self, ActError, Edited, edit},
};
use flyball_core::check::Check;
use flyball_crds::{
    APPROVED_BY_ANNOTATION, Change, Direction, FeedbackPolicy, Phase, REQUEST_ANNOTATION, REQUESTED_BY_ANNOTATION,
    Request, TargetRef, approved_by, refusal, requested_by,
};
use kube::ResourceExt;
use serde_json::{Value, json};
use std::{path::Path, process::ExitCode};

/// Which Change.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The Change, as flyball explain and kubectl get changes name it.
    change: String,
    /// The namespace; without it the one of the kubeconfig's context.
    #[arg(short, long)]
    namespace: Option<String>,
    #[command(flatten)]
    lease: LeaseArgs,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Make the change.
    Approve,
    /// Cut it short, or take it back.
    Of(Request),
}

/// Runs one of the commands.
pub async fn run(
    args: Args,
    asked: Asked,
    kubeconfig: Option<&Path>,
    context: Option<String>,
) -> Result<ExitCode, ActError> {
    let connection = fetch::connect(kubeconfig, context).await?;
    let namespace = args.namespace.as_deref().unwrap_or(&connection.namespace);
    let mut said = ask(&connection, namespace, &args.change, asked).await?;
    let (controllers, lease) = (&args.lease.namespace_of_controller, &args.lease.lease_name);
    if let Ok(lease) = fetch::lease(&connection.clients.read, controllers, lease).await {
        let seen = fetch::controller(lease.as_ref(), connection.now());
        if !matches!(seen, Controller::Leads { .. }) {
            said += "No controller seems to lead, so it waits for one: flyball doctor\n";
        }
    }
    show(&said)?;
    Ok(ExitCode::SUCCESS)
}

/// Asks it of a Change, and says what comes of it.
pub async fn ask(connection: &Connection, namespace: &str, name: &str, asked: Asked) -> Result<String, ActError> {
    let by = write::who(connection).await?;
    let missing = || {
        ActError::Refused(format!(
            "there is no Change {:?} in namespace {namespace}; see which there are: kubectl get changes -n {}",
            plain(name),
            quoted(namespace)
        ))
    };
    if asked == Asked::Approve {
        let change = write::object::<Change>(connection, namespace, name)
            .await?
            .ok_or_else(missing)?;
        let change: Change = write::parsed(&change)?;
        let policy = write::object::<FeedbackPolicy>(connection, namespace, &change.spec.policy.name).await?;
        let policy = policy.as_ref().map(write::parsed::<FeedbackPolicy>).transpose()?;
        // Before the edit: what a Change is does not move, what its policy wants does.
        awaits(&change)
            .and_then(|()| is_current(&change, policy.as_ref()))
            .map_err(ActError::Refused)?;
    }
    let decide = |change: &Change| decide(change, asked, &by).map_err(ActError::Refused);
    let Edited { object, changed } = edit::<Change>(connection, namespace, name, missing, decide).await?;
    Ok(told(&object, asked, changed))
}

/// What is written, if anything is to be; or why it makes no sense, with what to do instead.
pub fn decide(change: &Change, asked: Asked, by: &str) -> Result<Option<Value>, String> {
    let annotations = match asked {
        Asked::Approve => {
            awaits(change)?;
            if approved_by(change).is_some() {
                return Ok(None);
            }
            json!({APPROVED_BY_ANNOTATION: by})
        }
        Asked::Of(request) => {
            can(change, request)?;
            if Request::of(change) == Some(request) {
                return Ok(None);
            }
            json!({REQUEST_ANNOTATION: request.as_str(), REQUESTED_BY_ANNOTATION: by})
        }
    };
    Ok(Some(json!({"metadata": {"annotations": annotations}})))
}

fn place(change: &Change) -> String {
    let namespace = change.namespace().unwrap_or_default();
    format!("{} -n {}", quoted(&change.spec.policy.name), quoted(&namespace))
}

/// Whether a Change is the record of a decision that waits for a person.
fn awaits(change: &Change) -> Result<(), String> {
    let (name, place) = (plain(&change.name_any()), place(change));
    let explain = format!("flyball explain {place}");
    if change.spec.sequence > 0 {
        let phase = phase_of(change).unwrap_or_default();
        return Err(if phase.is_open() {
            format!("{name} is under way already ({phase:?}); approval is asked before a change begins, see: {explain}")
        } else {
            format!("{name} is closed already ({phase:?}); see what the policy wants now: {explain}")
        });
    }
    match refusal(&change.spec.evidence.checks) {
        Some(check) if check.name == Check::Approval.name() => Ok(()),
        Some(check) => Err(format!(
            "{name} does not wait for approval: the check {} refused it: {}; see what to do: {explain}",
            plain(&check.name),
            plain(&check.message)
        )),
        None => Err(format!(
            "{name} does not wait for approval: it records what mode {:?} would not write; to let the policy write: kubectl \
             patch feedbackpolicy {place} --type merge -p '{{\"spec\":{{\"mode\":\"Enforce\"}}}}'",
            change.spec.mode
        )),
    }
}

/// An approval is of what the policy wants now: an old record is none.
fn is_current(change: &Change, policy: Option<&FeedbackPolicy>) -> Result<(), String> {
    let name = change.name_any();
    let Some(policy) = policy.filter(|policy| policy.uid().as_deref() == Some(change.spec.policy.uid.as_str())) else {
        return Err(format!(
            "the policy of {} is gone, so nothing comes of it; see which there are: flyball get -n {}",
            plain(&name),
            quoted(&change.namespace().unwrap_or_default())
        ));
    };
    let decisions = policy.status.iter().flat_map(|status| &status.actions);
    let last = decisions
        .filter(|action| action.name == change.spec.action)
        .find_map(|action| action.last_decision.as_ref()?.change.as_ref());
    match last {
        Some(last) if *last == name => Ok(()),
        Some(last) => Err(format!(
            "the policy has decided anew since {}; look at {} instead: flyball explain {}",
            plain(&name),
            plain(last),
            place(change)
        )),
        None => Err(format!(
            "the policy does not ask for {} any more; see what it wants: flyball explain {}",
            plain(&name),
            place(change)
        )),
    }
}

/// Whether a Change can be cut short or taken back.
fn can(change: &Change, request: Request) -> Result<(), String> {
    let (name, place) = (plain(&change.name_any()), place(change));
    if change.spec.sequence == 0 {
        return Err(format!(
            "{name} is a record, nothing was written; to keep the policy from asking again: flyball pause {place} {}",
            side(change)
        ));
    }
    let phase = phase_of(change).unwrap_or_default();
    match (phase, request) {
        (Phase::Applying | Phase::Verifying, Request::RollBack) if Moved::in_change(change) == Moved::Pod => {
            Err(format!(
                "{name} can't be taken back: a memory limit is never lowered, and an eviction can't be undone; to stop waiting for its \
             effect: flyball abort {name} -n {}",
                quoted(&change.namespace().unwrap_or_default())
            ))
        }
        (Phase::Applying | Phase::Verifying, Request::Abort) | (Phase::Verifying, Request::RollBack) => Ok(()),
        (Phase::Applying, Request::RollBack) => Err(format!(
            "{name} is just being written, so there is nothing to take back yet; cut it short: flyball abort {name} -n {}",
            quoted(&change.namespace().unwrap_or_default())
        )),
        (Phase::RollingBack, _) => Err(format!(
            "{name} is being taken back already; wait for it: flyball get {place} --watch"
        )),
        (phase, _) if moves::is_of_weights(change) => Err(format!(
            "{name} is closed ({phase:?}), and its weights stay; to set others, pause the policy (flyball pause {place} {}) and \
             write them into each of its routes: kubectl edit {} -n {}; they were {}",
            side(change),
            named(&change.spec.target.reference),
            quoted(&change.namespace().unwrap_or_default()),
            moves::before(change)
        )),
        (phase, _) if Moved::in_change(change) == Moved::Pod => Err(format!(
            "{name} is closed ({phase:?}), and a pod is not taken back; the next one has what the template says: kubectl delete pod \
             {} -n {}",
            quoted(&change.spec.target.reference.name),
            quoted(&change.namespace().unwrap_or_default())
        )),
        (phase, _) if Moved::in_change(change) == Moved::Knobs => Err(format!(
            "{name} is closed ({phase:?}), and its knobs stay; to have the boot values: flyball release {place}; to have others, \
             change the policy: kubectl edit feedbackpolicy {place}; they were {}",
            moves::before(change)
        )),
        (phase, _) => {
            let target = &change.spec.target.reference;
            Err(format!(
                "{name} is closed ({phase:?}), and its value stays; to set another one, pause the policy (flyball pause {place} {}) \
                 and: kubectl scale {} {} -n {} --replicas {}",
                side(change),
                quoted(&target.kind.to_lowercase()),
                quoted(&target.name),
                quoted(&change.namespace().unwrap_or_default()),
                change.spec.before
            ))
        }
    }
}

/// An object as kubectl takes it.
fn named(target: &TargetRef) -> String {
    let group = target
        .api_version
        .rsplit_once('/')
        .map(|(group, _)| format!(".{group}"));
    let kind = format!("{}{}", target.kind.to_lowercase(), group.unwrap_or_default());
    format!("{} {}", quoted(&kind), quoted(&target.name))
}

/// The direction, as a flag. Weights and knobs have none, and either flag holds them.
const fn side(change: &Change) -> &'static str {
    match change.spec.direction {
        Direction::Up => "--up",
        Direction::Down => "--down",
    }
}

fn told(change: &Change, asked: Asked, changed: bool) -> String {
    let name = plain(&change.name_any());
    let moved = Moved::in_change(change);
    let kept = moved.stays();
    let by = |who: Option<&str>| plain(who.unwrap_or("somebody"));
    let follow = format!("To follow it: flyball get {} --watch\n", place(change));
    match (asked, changed) {
        (Asked::Approve, true) => {
            let shift = moves::of_change(change);
            let wants = match (moved, &change.spec.runtime) {
                (Moved::Weights, _) => "wants about the same".to_owned(),
                (Moved::Knobs, Some(moved)) => format!("still wants {}", plain(&moved.after)),
                (Moved::Replicas | Moved::Knobs | Moved::Pod, _) => format!("still wants {}", change.spec.after),
            };
            format!("{name} is approved: {shift} is made with the next pass, if the policy {wants} then.\n{follow}")
        }
        (Asked::Approve, false) => format!("{name} is approved already, by {}.\n{follow}", by(approved_by(change))),
        (Asked::Of(Request::Abort), true) => format!(
            "{name} is to be cut short with the next pass: nothing more is written, and {kept}, unverified.\n{follow}"
        ),
        (Asked::Of(Request::RollBack), true) => format!(
            "{name} is to be taken back with the next pass, to {}, as far as the present allows it.\n{follow}",
            moves::verified(change)
        ),
        (Asked::Of(request), false) => format!(
            "{name}: {} was asked for already, by {}.\n{follow}",
            request.as_str(),
            by(requested_by(change))
        ),
    }
}
