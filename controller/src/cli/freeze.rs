//! `flyball freeze` and `flyball unfreeze`: the red button.

use super::{
    args::ControllerArgs,
    fetch::{self, Connection, ReadError, Scope},
    screen::{Style, Tone, plain, quoted, show},
    write::{self, ActError, Place},
};
use crate::observe::freeze::{AT, BY, Frozen, REASON};
use flyball_crds::FREEZE_NAME;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::DynamicObject;
use serde_json::json;
use std::{path::Path, process::ExitCode};

/// How long a reason may be.
const LONGEST: usize = 256;

/// Why the installation is frozen.
#[derive(Clone, Debug, clap::Args)]
pub struct FreezeArgs {
    /// Why, for whoever finds it.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = reason)]
    reason: String,
    /// Freeze nothing; say whether the installation is frozen, with exit code 1 if it is.
    #[arg(long, conflicts_with = "reason")]
    status: bool,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// A reason of a length that fits everywhere it is shown.
pub(super) fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    let length = text.chars().count();
    if length > LONGEST {
        return Err(format!("{length} characters, at most {LONGEST} are kept; shorten it"));
    }
    Ok(text.to_owned())
}

/// What is said where the installation is frozen. `elsewhere` is the controller's namespace, where
/// that is not the usual one.
pub fn banner(frozen: &Frozen, namespace: &str, style: Style) -> String {
    let title = style.paint(Tone::Bad, "FROZEN");
    format!(
        "{title} {}. Nothing is written but roll-backs. To go on: flyball unfreeze{}\n\n",
        plain(&frozen.to_string()),
        flag(namespace)
    )
}

fn flag(namespace: &str) -> String {
    if namespace == "flyball-system" {
        return String::new();
    }
    format!(" --namespace-of-controller {}", quoted(namespace))
}

/// Runs `flyball freeze`.
pub async fn freeze(
    args: FreezeArgs,
    kubeconfig: Option<&Path>,
    context: Option<String>,
) -> Result<ExitCode, ActError> {
    let connection = fetch::connect(kubeconfig, context).await?;
    let namespace = args.controller.namespace_of_controller.as_str();
    if args.status {
        return status(&connection, namespace).await;
    }
    show(&press(&connection, namespace, &args.reason).await?)?;
    Ok(ExitCode::SUCCESS)
}

async fn status(connection: &Connection, namespace: &str) -> Result<ExitCode, ActError> {
    let frozen = fetch::freeze(&connection.clients.read, namespace).await?;
    let (text, code) = match &frozen {
        Some(frozen) => (
            banner(frozen, namespace, Style::of_stdout(false)).trim_end().to_owned(),
            1,
        ),
        None => ("not frozen".to_owned(), 0),
    };
    show(&format!("{text}\n"))?;
    Ok(ExitCode::from(code))
}

/// Makes the ConfigMap. Whoever pressed first stays the one who is named.
pub async fn press(connection: &Connection, namespace: &str, reason: &str) -> Result<String, ActError> {
    let by = write::who(connection).await?;
    let at = crate::clock::time(connection.now()).0;
    let at = at.strftime("%FT%TZ").to_string();
    let kind = fetch::resource::<ConfigMap>();
    let mut map = DynamicObject::new(FREEZE_NAME, &kind).within(namespace).data(json!({
        "data": {REASON: reason, BY: by, AT: at},
    }));
    map.metadata.labels = Some(
        [("app.kubernetes.io/part-of", "flyball")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
    );
    let created = write::create(connection, &Place::of::<ConfigMap>(namespace), &map).await;
    let created = created.map_err(|error| no_namespace(error, namespace))?;
    let back = format!("flyball unfreeze{}", flag(namespace));
    if created.is_some() {
        return Ok(format!(
            "Frozen: no controller of {namespace} begins a change from now on. A change under way is still judged, \
             and taken back if it does harm.\nTo go on: {back}\n"
        ));
    }
    let already = fetch::freeze(&connection.clients.read, namespace)
        .await?
        .unwrap_or_default();
    Ok(format!(
        "It is frozen already, {}; that stays as it is.\nTo go on: {back}\n",
        plain(&already.to_string())
    ))
}

/// Runs `flyball unfreeze`.
pub async fn unfreeze(
    args: ControllerArgs,
    kubeconfig: Option<&Path>,
    context: Option<String>,
) -> Result<ExitCode, ActError> {
    let connection = fetch::connect(kubeconfig, context).await?;
    show(&lift(&connection, &args.namespace_of_controller).await?)?;
    Ok(ExitCode::SUCCESS)
}

/// Deletes the ConfigMap.
pub async fn lift(connection: &Connection, namespace: &str) -> Result<String, ActError> {
    let kind = fetch::resource::<ConfigMap>();
    let scope = Scope::Namespace(namespace);
    let Some(map) = fetch::get(&connection.clients.read, scope, &kind, FREEZE_NAME).await? else {
        return Ok("It was not frozen.\n".to_owned());
    };
    let frozen = Frozen::of(&write::parsed::<ConfigMap>(&map)?);
    write::delete(connection, &Place::of::<ConfigMap>(namespace), &map).await?;
    Ok(format!(
        "Not frozen any more; it was, {}. To see what happens: flyball get -A --watch\n",
        plain(&frozen.to_string())
    ))
}

/// The server says of a namespace that is not there only that something was not found.
fn no_namespace(error: ActError, namespace: &str) -> ActError {
    match error {
        ActError::Rejected { reason, .. } if reason.contains("namespaces") && reason.contains("not found") => {
            ActError::Refused(format!(
                "there is no namespace {namespace}; say where the controller runs with --namespace-of-controller"
            ))
        }
        error => error,
    }
}

/// Whether the installation is frozen, where that may be read: it is an addition to what is shown.
pub(super) async fn seen(connection: &Connection, namespace: &str) -> Option<Frozen> {
    let read: Result<_, ReadError> = fetch::freeze(&connection.clients.read, namespace).await;
    read.ok().flatten()
}
