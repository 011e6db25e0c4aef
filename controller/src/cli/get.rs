//! `flyball get`: policies and their Changes as a tree, a table of lines, or the objects themselves.

pub mod lines;
pub mod tree;
mod watch;

use super::{
    args::ControllerArgs,
    fetch::{self, Connection, ReadError, Scope},
    freeze,
    output::{Output, written},
    screen::{Style, show},
};
use flyball_crds::{Change, FeedbackPolicy};
use kube::api::{DynamicObject, ListParams};
use std::{path::Path, process::ExitCode};
use tree::Shown;

/// What to show, and how.
#[derive(Clone, Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools)] // Each is a flag of its own.
pub struct Args {
    /// One policy; without it all of the namespace.
    policy: Option<String>,
    /// The namespace; without it the one of the kubeconfig's context.
    #[arg(short, long)]
    namespace: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "policy"])]
    all_namespaces: bool,
    /// All Changes of each policy, not only the newest five.
    #[arg(long)]
    all: bool,
    /// Go on showing what changes: drawn anew on a terminal, else one line for each transition.
    #[arg(short, long)]
    watch: bool,
    /// A tree for people, or the objects as the API server has them.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    /// Draw with ASCII, whatever LANG says.
    #[arg(long)]
    ascii: bool,
    // Whether the installation is frozen is read there.
    #[command(flatten)]
    controller: ControllerArgs,
}

/// What was asked for.
struct Asked<'a> {
    scope: Scope<'a>,
    name: Option<&'a str>,
    output: Output,
    shown: Shown,
    /// The controller's namespace.
    controllers: &'a str,
}

impl<'a> Asked<'a> {
    fn namespace(&self) -> Option<&'a str> {
        match self.scope {
            Scope::All | Scope::Cluster => None,
            Scope::Namespace(namespace) => Some(namespace),
        }
    }
}

/// Runs the command.
pub async fn run(args: Args, kubeconfig: Option<&Path>, context: Option<String>) -> Result<ExitCode, ReadError> {
    let connection = fetch::connect(kubeconfig, context).await?;
    let namespace = args.namespace.as_deref().unwrap_or(&connection.namespace);
    let asked = Asked {
        scope: if args.all_namespaces {
            Scope::All
        } else {
            Scope::Namespace(namespace)
        },
        name: args.policy.as_deref(),
        output: args.output,
        shown: Shown {
            all: args.all,
            namespaces: args.all_namespaces,
        },
        controllers: &args.controller.namespace_of_controller,
    };
    let style = Style::of_stdout(args.ascii);
    let (policies, changes) = objects(&connection, &asked).await?;
    if args.watch {
        return match watch::follow(&connection, &asked, style).await {
            Err(ReadError::Write(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
            done => done.map(|()| ExitCode::SUCCESS),
        };
    }
    let text = match asked.output {
        Output::Table => {
            let frozen = freeze::seen(&connection, asked.controllers).await;
            let banner = frozen.map(|frozen| freeze::banner(&frozen, asked.controllers, style));
            let held = freeze::held(&connection, asked.namespace(), style).await;
            banner.unwrap_or_default() + &held + &drawn(&policies, &changes, &asked, style, connection.now())
        }
        output => listed([policies, changes].concat(), output),
    };
    show(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The objects, read once. A policy that was named must be there, or else a Change that it left.
async fn objects(
    connection: &Connection,
    asked: &Asked<'_>,
) -> Result<(Vec<DynamicObject>, Vec<DynamicObject>), ReadError> {
    let client = &connection.clients.read;
    let (of_policies, of_changes) = match asked.name {
        None => (ListParams::default(), ListParams::default()),
        Some(name) => (
            ListParams::default().fields(&format!("metadata.name={name}")),
            fetch::of_policy(name),
        ),
    };
    let (policies, changes) = (fetch::resource::<FeedbackPolicy>(), fetch::resource::<Change>());
    let (policies, changes) = tokio::join!(
        fetch::list(client, asked.scope, &policies, of_policies),
        fetch::list(client, asked.scope, &changes, of_changes),
    );
    let (policies, mut changes) = (policies?, changes?);
    if let Some(name) = asked.name {
        changes.retain(|change| {
            change
                .data
                .pointer("/spec/policy/name")
                .is_none_or(|policy| policy == name)
        });
        if policies.is_empty() && changes.is_empty() {
            let namespace = asked.namespace().unwrap_or_default().to_owned();
            return Err(ReadError::NoPolicy {
                name: name.to_owned(),
                namespace,
            });
        }
    }
    Ok((policies, changes))
}

fn drawn(
    policies: &[DynamicObject],
    changes: &[DynamicObject],
    asked: &Asked<'_>,
    style: Style,
    now: flyball_core::time::Timestamp,
) -> String {
    let (policies, mut unreadable) = fetch::parse(policies);
    let (changes, more) = fetch::parse(changes);
    unreadable.extend(more);
    if policies.is_empty() && changes.is_empty() && unreadable.is_empty() {
        return tree::nothing(asked.namespace());
    }
    tree::tree(&policies, &changes, &unreadable, asked.shown, style, now)
}

/// The objects as one list, as kubectl prints them.
fn listed(objects: Vec<DynamicObject>, output: Output) -> String {
    let objects: Vec<_> = objects.into_iter().map(without_managers).collect();
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
    written(&list, output, true)
}

/// One object of a stream.
fn document(object: &DynamicObject, output: Output) -> String {
    let object = serde_json::to_value(without_managers(object.clone())).unwrap_or_default();
    let text = written(&object, output, false);
    if output == Output::Yaml {
        format!("---\n{text}")
    } else {
        text
    }
}

fn without_managers(mut object: DynamicObject) -> DynamicObject {
    object.metadata.managed_fields = None;
    object
}
