//! `flyball freeze` and `flyball unfreeze`: the red button, and the one of a namespace.

use super::{
    args::ControllerArgs,
    fetch::{self, Connection, ReadError, Scope},
    screen::{Style, Tone, plain, quoted, show},
    write::{self, ActError, Place},
};
use crate::observe::{
    freeze::{AT, BY, CHANGES, CUT_SHORT, Frozen, REASON},
    namespaces,
};
use flyball_crds::{FREEZE_NAME, PAUSE_ANNOTATION};
use k8s_openapi::{
    api::core::v1::{ConfigMap, Namespace},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    ResourceExt,
    api::{DynamicObject, ListParams},
};
use serde_json::{Value, json};
use std::{path::Path, process::ExitCode};

/// How long a reason may be.
const LONGEST: usize = 256;

/// Why the installation is frozen.
#[derive(Clone, Debug, clap::Args)]
pub struct FreezeArgs {
    /// Why, for whoever finds it.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = reason)]
    reason: String,
    /// One namespace only: nothing is written in it, and knobs of running processes go back to boot values.
    #[arg(short, long)]
    namespace: Option<String>,
    /// Freeze nothing; say whether the installation, or the namespace, is frozen, with exit code 1 if it is.
    #[arg(long, conflicts_with = "reason")]
    status: bool,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// What goes on.
#[derive(Clone, Debug, clap::Args)]
pub struct UnfreezeArgs {
    /// The namespace that was frozen for itself.
    #[arg(short, long)]
    namespace: Option<String>,
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
    if let Some(namespace) = &args.namespace {
        if args.status {
            let why = namespace_of(&connection, namespace).await?.as_ref().and_then(why);
            show(&format!("{}\n", why.as_deref().unwrap_or("not frozen")))?;
            return Ok(ExitCode::from(u8::from(why.is_some())));
        }
        show(&pause(&connection, namespace, &args.reason).await?)?;
        return Ok(ExitCode::SUCCESS);
    }
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
    let map = button(connection, namespace, reason).await?;
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

async fn button(connection: &Connection, namespace: &str, reason: &str) -> Result<DynamicObject, ActError> {
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
    Ok(map)
}

/// The button as [`press_to_cut`] presses it.
#[derive(Clone, Debug)]
pub struct Cut<'a> {
    /// Why.
    pub reason: &'a str,
    /// The ConfigMap goes when the last of them does.
    pub owners: Vec<OwnerReference>,
}

/// Who pressed the button.
#[derive(Clone, Debug)]
pub enum Pressed {
    /// We did, by this ConfigMap.
    Now(Box<DynamicObject>),
    /// Somebody else had before; a word was added that has open Changes cut short.
    Before,
}

/// Presses the button so that what is open is cut short, too.
pub async fn press_to_cut(connection: &Connection, namespace: &str, cut: Cut<'_>) -> Result<Pressed, ActError> {
    let mut map = button(connection, namespace, cut.reason).await?;
    map.data["data"][CHANGES] = json!(CUT_SHORT);
    map.metadata.owner_references = Some(cut.owners).filter(|owners| !owners.is_empty());
    let created = write::create(connection, &Place::of::<ConfigMap>(namespace), &map).await;
    if let Some(map) = created.map_err(|error| no_namespace(error, namespace))? {
        return Ok(Pressed::Now(Box::new(map)));
    }
    say(connection, namespace, json!(CUT_SHORT)).await?;
    Ok(Pressed::Before)
}

/// Takes back what [`press_to_cut`] did.
pub async fn let_go(connection: &Connection, namespace: &str, pressed: &Pressed) -> Result<(), ActError> {
    match pressed {
        Pressed::Now(map) => write::delete(connection, &Place::of::<ConfigMap>(namespace), map).await,
        Pressed::Before => say(connection, namespace, Value::Null).await,
    }
}

/// Writes what becomes of open Changes into a button that is pressed already.
async fn say(connection: &Connection, namespace: &str, word: Value) -> Result<(), ActError> {
    let gone = || ActError::Conflict(format!("ConfigMap {namespace}/{FREEZE_NAME}"));
    let changes = json!({"data": {CHANGES: word}});
    let decide = |map: &ConfigMap| {
        let now = map.data.as_ref().and_then(|data| data.get(CHANGES)).map(String::as_str);
        Ok((now != word.as_str()).then(|| changes.clone()))
    };
    write::edit::<ConfigMap>(connection, namespace, FREEZE_NAME, gone, decide).await?;
    Ok(())
}

/// Runs `flyball unfreeze`.
pub async fn unfreeze(
    args: UnfreezeArgs,
    kubeconfig: Option<&Path>,
    context: Option<String>,
) -> Result<ExitCode, ActError> {
    let connection = fetch::connect(kubeconfig, context).await?;
    let text = match &args.namespace {
        Some(namespace) => go_on(&connection, namespace).await?,
        None => lift(&connection, &args.controller.namespace_of_controller).await?,
    };
    show(&text)?;
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

fn place_of_namespaces() -> Place<'static> {
    Place::of::<Namespace>("")
}

async fn namespace_of(connection: &Connection, name: &str) -> Result<Option<DynamicObject>, ReadError> {
    let kind = fetch::resource::<Namespace>();
    fetch::get(&connection.clients.read, Scope::Cluster, &kind, name).await
}

fn missing(name: &str) -> ActError {
    ActError::Refused(format!(
        "there is no namespace {}; see: kubectl get namespaces",
        plain(name)
    ))
}

/// Why nothing is written in a namespace, if it is frozen for itself.
fn why(namespace: &DynamicObject) -> Option<String> {
    let value = namespace.annotations().get(PAUSE_ANNOTATION).map(String::as_str);
    namespaces::why(&namespace.name_any(), value).map(|why| plain(&why))
}

/// Annotates a namespace. Whoever paused it first stays the one whose reason is shown.
pub async fn pause(connection: &Connection, name: &str, reason: &str) -> Result<String, ActError> {
    let namespace = namespace_of(connection, name).await?.ok_or_else(|| missing(name))?;
    let back = format!("flyball unfreeze -n {}", quoted(name));
    if let Some(why) = why(&namespace) {
        return Ok(format!(
            "It is frozen already: {why}; that stays as it is.\nTo go on: {back}\n"
        ));
    }
    // `false` as a reason would pause nothing.
    let value = Some(reason)
        .filter(|reason| !["", "false"].contains(reason))
        .unwrap_or("true");
    let changes = json!({"metadata": {"annotations": {PAUSE_ANNOTATION: value}}});
    write::patch(connection, &place_of_namespaces(), &namespace, &changes).await?;
    Ok(format!(
        "Frozen: no change begins in namespace {0} from now on, and processes there go back to the knobs they were started \
         with. A change under way is still judged, and taken back if it does harm.\nTo see that a controller has noticed: \
         flyball get -n {0}\nTo go on: {back}\n",
        quoted(name)
    ))
}

/// Takes the annotation of a namespace out.
pub async fn go_on(connection: &Connection, name: &str) -> Result<String, ActError> {
    let namespace = namespace_of(connection, name).await?.ok_or_else(|| missing(name))?;
    if !namespace.annotations().contains_key(PAUSE_ANNOTATION) {
        return Ok(format!("Namespace {} was not frozen.\n", quoted(name)));
    }
    let changes = json!({"metadata": {"annotations": {PAUSE_ANNOTATION: null}}});
    write::patch(connection, &place_of_namespaces(), &namespace, &changes).await?;
    Ok(format!(
        "Namespace {0} is not frozen any more. To see what happens: flyball get -n {0} --watch\n",
        quoted(name)
    ))
}

/// Why nothing is written in the namespaces of a scope, one line for each that is frozen for itself; where that may be
/// read: it is an addition to what is shown.
pub(super) async fn held(connection: &Connection, scope: Option<&str>, style: Style) -> String {
    let seen: Vec<DynamicObject> = if let Some(name) = scope {
        let found = namespace_of(connection, name).await.ok().flatten();
        found.into_iter().collect()
    } else {
        let kind = fetch::resource::<Namespace>();
        let listed = fetch::list(&connection.clients.read, Scope::Cluster, &kind, ListParams::default()).await;
        listed.unwrap_or_default()
    };
    let title = style.paint(Tone::Bad, "FROZEN");
    let each = seen.iter().filter_map(|namespace| {
        let (name, why) = (namespace.name_any(), why(namespace)?);
        let back = format!("flyball unfreeze -n {}", quoted(&name));
        Some(format!(
            "{title} {why}. Nothing is written there but roll-backs: {back}\n\n"
        ))
    });
    each.collect::<Vec<_>>().concat()
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
