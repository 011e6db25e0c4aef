//! `flyball pause` and `flyball unpause`: one direction of a policy's changes, for a time.

use super::{
    args::PolicyArgs,
    fetch::{self, Connection},
    freeze::reason,
    moves::Moved,
    screen::{quoted, show, when},
    suspend::edit_policy,
    write::{ActError, Edited},
};
use crate::clock::{read, written};
use flyball_core::time::Span;
use flyball_crds::{FeedbackPolicy, PauseFor};
use kube::ResourceExt;
use serde_json::{Map, Value, json};
use std::{path::Path, process::ExitCode};

/// What is paused, and for how long.
#[derive(Clone, Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("direction").required(true).multiple(true).args(["up", "down"])))]
pub struct PauseArgs {
    #[command(flatten)]
    policy: PolicyArgs,
    /// No increases.
    #[arg(long)]
    up: bool,
    /// No decreases.
    #[arg(long)]
    down: bool,
    /// For how long, such as 2h. Without it: until flyball unpause.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    lasts: Option<Span>,
    /// Why, for whoever finds it.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = reason)]
    reason: String,
}

/// Which pauses are taken out.
#[derive(Clone, Debug, clap::Args)]
pub struct UnpauseArgs {
    #[command(flatten)]
    policy: PolicyArgs,
    /// Of increases. Without a direction: of both.
    #[arg(long)]
    up: bool,
    /// Of decreases.
    #[arg(long)]
    down: bool,
}

/// Which directions are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Which {
    /// Increases.
    pub up: bool,
    /// Decreases.
    pub down: bool,
}

impl Which {
    fn named(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        [(self.up, "up", "increases"), (self.down, "down", "decreases")]
            .into_iter()
            .filter_map(|(meant, field, words)| meant.then_some((field, words)))
    }

    fn words(self) -> String {
        self.named().map(|(_, words)| words).collect::<Vec<_>>().join(" and ")
    }
}

fn duration(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|error| format!("{error}; write for example 2h"))?;
    if span.is_zero() {
        return Err("is zero; write for example 2h, or leave --for out".to_owned());
    }
    Ok(span)
}

/// Runs `flyball pause`.
pub async fn pause(args: PauseArgs, kubeconfig: Option<&Path>, context: Option<String>) -> Result<ExitCode, ActError> {
    let connection = fetch::connect(kubeconfig, context).await?;
    let PolicyArgs { policy, namespace } = &args.policy;
    let namespace = namespace.as_deref().unwrap_or(&connection.namespace);
    let which = Which {
        up: args.up,
        down: args.down,
    };
    show(&set(&connection, namespace, policy, which, args.lasts, &args.reason).await?)?;
    Ok(ExitCode::SUCCESS)
}

/// Pauses directions of a policy. One that is paused already is paused anew, as is said now.
pub async fn set(
    connection: &Connection,
    namespace: &str,
    name: &str,
    which: Which,
    lasts: Option<Span>,
    reason: &str,
) -> Result<String, ActError> {
    let now = connection.now();
    let until = lasts.map(|lasts| now + lasts);
    let wanted = PauseFor {
        until: until.map(written),
        reason: reason.to_owned(),
    };
    let decide = |policy: &FeedbackPolicy| {
        let pause = policy.spec.pause.clone().unwrap_or_default();
        let mut fields = Map::new();
        for (field, _) in which.named() {
            let found = if field == "up" { &pause.up } else { &pause.down };
            if found.as_ref() != Some(&wanted) {
                fields.insert(field.to_owned(), change(found.as_ref(), &wanted));
            }
        }
        Ok((!fields.is_empty()).then(|| json!({"spec": {"pause": fields}})))
    };
    let Edited { object, changed } = edit_policy(connection, namespace, name, decide).await?;
    let over = until.map_or_else(
        || "until flyball unpause".to_owned(),
        |until| format!("until {}", when(until, now)),
    );
    let verb = if changed { "are paused" } else { "are paused already" };
    let weights = match Moved::by(&object.spec) {
        Moved::Weights => " Weights go both ways at once, so none moves, and no backend is taken out.",
        Moved::Knobs => " Knobs have no up and down, so none moves; leases are renewed.",
        Moved::Replicas | Moved::Pod => "",
    };
    Ok(format!(
        "{namespace}/{}: {} {verb}, {over}. Undoing a change goes on.{weights}\nTo go on before that: flyball unpause {} -n {}\n",
        object.name_any(),
        which.words(),
        quoted(name),
        quoted(namespace),
    ))
}

/// What turns one pause into another. What is not wanted any more is taken out; an absent field is not
/// named at all.
fn change(found: Option<&PauseFor>, wanted: &PauseFor) -> Value {
    let mut fields = Map::new();
    if wanted.until.is_some() || found.is_some_and(|found| found.until.is_some()) {
        fields.insert("until".to_owned(), json!(wanted.until));
    }
    let reason = &wanted.reason;
    if !reason.is_empty() {
        fields.insert("reason".to_owned(), json!(reason));
    } else if found.is_some_and(|found| !found.reason.is_empty()) {
        fields.insert("reason".to_owned(), Value::Null);
    }
    Value::Object(fields)
}

/// Runs `flyball unpause`.
pub async fn unpause(
    args: UnpauseArgs,
    kubeconfig: Option<&Path>,
    context: Option<String>,
) -> Result<ExitCode, ActError> {
    let connection = fetch::connect(kubeconfig, context).await?;
    let PolicyArgs { policy, namespace } = &args.policy;
    let namespace = namespace.as_deref().unwrap_or(&connection.namespace);
    let both = !args.up && !args.down;
    let which = Which {
        up: args.up || both,
        down: args.down || both,
    };
    show(&lift(&connection, namespace, policy, which).await?)?;
    Ok(ExitCode::SUCCESS)
}

/// Takes pauses out.
pub async fn lift(connection: &Connection, namespace: &str, name: &str, which: Which) -> Result<String, ActError> {
    let decide = |policy: &FeedbackPolicy| {
        let pause = policy.spec.pause.clone().unwrap_or_default();
        let is = |field: &str| {
            if field == "up" {
                pause.up.is_some()
            } else {
                pause.down.is_some()
            }
        };
        let out: Vec<&str> = which
            .named()
            .map(|(field, _)| field)
            .filter(|field| is(field))
            .collect();
        let left = ["up", "down"]
            .into_iter()
            .any(|field| is(field) && !out.contains(&field));
        Ok(match (out.is_empty(), left) {
            (true, _) => None,
            (false, false) => Some(json!({"spec": {"pause": null}})),
            (false, true) => {
                let fields: Map<String, Value> = out.into_iter().map(|field| (field.to_owned(), Value::Null)).collect();
                Some(json!({"spec": {"pause": fields}}))
            }
        })
    };
    let Edited { object, changed } = edit_policy(connection, namespace, name, decide).await?;
    if !changed {
        return Ok(format!("{namespace}/{name}: no pause of {} is set.\n", which.words()));
    }
    let pause = object.spec.pause.unwrap_or_default();
    let now = connection.now();
    let in_force = |pause: &Option<PauseFor>| {
        let until = pause
            .as_ref()
            .map(|pause| pause.until.as_deref().and_then(|until| read(until).ok()));
        until.is_some_and(|until| until.is_none_or(|until| until > now))
    };
    let still = Which {
        up: in_force(&pause.up),
        down: in_force(&pause.down),
    };
    let rest = if still.up || still.down {
        format!(" Still paused: {}.", still.words())
    } else {
        String::new()
    };
    let suspended = if object.spec.suspend {
        format!(
            " The policy is suspended: flyball resume {} -n {}",
            quoted(name),
            quoted(namespace)
        )
    } else {
        String::new()
    };
    Ok(format!(
        "{namespace}/{name}: the pause is taken out.{rest}{suspended}\n"
    ))
}
