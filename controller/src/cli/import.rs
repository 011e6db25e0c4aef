//! `flyball import`: an autoscaler that is there, as the policy that does the same.

pub mod behavior;
pub mod draft;
pub(super) mod expressions;
pub mod file;
pub mod hpa;
pub mod keda;
mod quantity;
pub mod scaled_object;
mod triggers;

use super::{
    fetch::{self, ReadError, Scope},
    screen::{quoted, show},
};
use draft::Draft;
use file::FileError;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use keda::ScaledObject;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The kind to import.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Kind {
    /// From a HorizontalPodAutoscaler. Needs the right to get it, or a file.
    Hpa(From),
    /// From KEDA's ScaledObject. Needs the right to get it, or a file.
    #[command(name = "scaledobject", alias = "so")]
    ScaledObject(From),
}

/// What is imported, and from where.
#[derive(Clone, Debug, clap::Args)]
struct From {
    /// Its name. With a file that holds only one it may be left out.
    #[arg(required_unless_present = "file")]
    name: Option<String>,
    /// The namespace; without it the one of the kubeconfig's context, or with a file the object's own.
    #[arg(short, long)]
    namespace: Option<String>,
    /// Read a manifest instead of the cluster; - reads standard input.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The MetricSource that the policy is to ask.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The cluster could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file could not be read, or holds something else.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no such object.
    #[error(
        "there is no {kind} {name:?} in namespace {namespace}; see which there are: kubectl get {plural} -n {namespace}"
    )]
    NotFound {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Where it was looked for.
        namespace: String,
        /// As kubectl takes it.
        plural: &'static str,
    },
    /// The object has another shape than this program knows.
    #[error("{kind} {name} can't be read: {reason}; compare it with: kubectl explain {plural}.spec")]
    Shape {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
        /// As kubectl takes it.
        plural: &'static str,
    },
}

/// A kind that can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Autoscaler {
    /// Kubernetes' own.
    Hpa,
    /// KEDA's.
    ScaledObject,
}

impl Autoscaler {
    /// The kind, as objects name it.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Hpa => "HorizontalPodAutoscaler",
            Self::ScaledObject => "ScaledObject",
        }
    }

    /// As kubectl takes it.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Hpa => "horizontalpodautoscalers",
            Self::ScaledObject => "scaledobjects.keda.sh",
        }
    }

    /// How the API server addresses it.
    pub fn resource(self) -> ApiResource {
        match self {
            Self::Hpa => fetch::resource::<HorizontalPodAutoscaler>(),
            Self::ScaledObject => {
                let kind = GroupVersionKind::gvk("keda.sh", "v1alpha1", "ScaledObject");
                ApiResource::from_gvk_with_plural(&kind, "scaledobjects")
            }
        }
    }
}

/// Runs the command: the policy goes to standard output.
pub async fn run(args: Args, kubeconfig: Option<&Path>, context: Option<String>) -> Result<ExitCode, ImportError> {
    let (autoscaler, from) = match args.kind {
        Kind::Hpa(from) => (Autoscaler::Hpa, from),
        Kind::ScaledObject(from) => (Autoscaler::ScaledObject, from),
    };
    let object = match (&from.file, &from.name) {
        (Some(path), name) => file::find(path, autoscaler, name.as_deref(), from.namespace.as_deref())?,
        (None, name) => {
            let name = name.clone().unwrap_or_default();
            read(autoscaler, &name, from.namespace, kubeconfig, context).await?
        }
    };
    let draft = translate(autoscaler, &object, from.source.as_deref())?;
    show(&draft.print()).map_err(ReadError::from)?;
    if !draft.notes.is_empty() {
        let count = draft.notes.len();
        let (things, stand) = if count == 1 {
            ("thing", "stands")
        } else {
            ("things", "stand")
        };
        eprintln!("flyball: {count} {things} to look at {stand} in the comments of the policy");
    }
    Ok(ExitCode::SUCCESS)
}

async fn read(
    autoscaler: Autoscaler,
    name: &str,
    namespace: Option<String>,
    kubeconfig: Option<&Path>,
    context: Option<String>,
) -> Result<Value, ImportError> {
    let connection = fetch::connect(kubeconfig, context).await.map_err(ReadError::from)?;
    let namespace = namespace.unwrap_or_else(|| connection.namespace.clone());
    let missing = || ImportError::NotFound {
        kind: autoscaler.kind(),
        name: name.to_owned(),
        namespace: quoted(&namespace),
        plural: autoscaler.plural(),
    };
    if !crate::validate::is_subdomain(name) {
        return Err(missing());
    }
    let scope = Scope::Namespace(&namespace);
    let found = fetch::get(&connection.clients.read, scope, &autoscaler.resource(), name).await?;
    let object: DynamicObject = found.ok_or_else(missing)?;
    Ok(serde_json::to_value(object).unwrap_or_default())
}

/// The policy that does the same as this object.
pub fn translate(autoscaler: Autoscaler, object: &Value, source: Option<&str>) -> Result<Draft, ImportError> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str);
    let shape = |error: serde_json::Error| ImportError::Shape {
        kind: autoscaler.kind(),
        name: name.unwrap_or("without a name").to_owned(),
        reason: error.to_string(),
        plural: autoscaler.plural(),
    };
    Ok(match autoscaler {
        Autoscaler::Hpa => {
            let object: HorizontalPodAutoscaler = serde_json::from_value(object.clone()).map_err(shape)?;
            hpa::draft(&object, source)
        }
        Autoscaler::ScaledObject => {
            let object: ScaledObject = serde_json::from_value(object.clone()).map_err(shape)?;
            scaled_object::draft(&object, source)
        }
    })
}
