//! `flyball inject`: what an agent needs, added to the pods of a manifest. Answered from the file alone.

mod pod;
mod tree;

use super::{
    check::{
        self,
        yaml::{self, Kind, Node, YamlError},
    },
    screen::{quoted, show},
};
use crate::promql::Position;
use pod::{Added, Loader, Target, Wanted};
use std::{io, path::PathBuf, process::ExitCode};
use tree::{at_mut, list, map, text, text_at};

/// What is injected into what.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A file of YAML or JSON, with one or more workloads; - reads standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// The container whose process has the agent. Where a pod has one only, it is that.
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// At which port the agent can be asked for its metrics; Prometheus has to scrape it.
    #[arg(long, value_name = "PORT", default_value_t = 9465, value_parser = clap::value_parser!(u16).range(1..))]
    metrics_port: u16,
    /// Load the Java agent: where in the container its jar is, such as /opt/flyball/flyball-agent.jar.
    #[arg(long, value_name = "PATH", group = "loader")]
    java: Option<String>,
    /// Load the Node agent: where in the container flyball-agent.js is.
    #[arg(long, value_name = "PATH", group = "loader")]
    node: Option<String>,
    /// Load the Python agent: the folder in the container that holds its sitecustomize.py.
    #[arg(long, value_name = "DIR", group = "loader")]
    python: Option<String>,
    /// Print a strategic merge patch alone.
    #[arg(long)]
    patch: bool,
}

/// Why nothing was printed.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    /// The file can't be read.
    #[error("{file} {reason}")]
    Read {
        /// The file.
        file: String,
        /// What is wrong, with its way out.
        reason: String,
    },
    /// It is no YAML, or has something that would not survive.
    #[error("{file}:{line}: {error}")]
    Yaml {
        /// The file.
        file: String,
        /// Where.
        line: usize,
        /// What.
        error: YamlError,
    },
    /// It holds no workload.
    #[error(
        "{0} holds nothing with a pod template; name the file of a Deployment, StatefulSet, DaemonSet, Job, CronJob or Pod"
    )]
    NoWorkload(String),
    /// Which container is not said.
    #[error("{workload} has the containers {names}; name the one whose process has the agent: --container {first}")]
    Several {
        /// The workload.
        workload: String,
        /// Their names.
        names: String,
        /// One of them.
        first: String,
    },
    /// There is no such container.
    #[error(
        "--container {asked:?}: {workload} has only {names}; name one of them, or take the workload out of the file"
    )]
    NoContainer {
        /// The workload.
        workload: String,
        /// What was asked for.
        asked: String,
        /// What there is.
        names: String,
    },
    /// Something else is where this would be.
    #[error("{workload}: {field} is {value}; {way_out}")]
    Taken {
        /// The workload.
        workload: String,
        /// The field.
        field: String,
        /// What it holds.
        value: String,
        /// The way out.
        way_out: String,
    },
    /// A path that the runtime would not read as one.
    #[error(
        "{flag} {path:?}: {variable} takes a path from / on, without spaces, quotes and separators; put the agent at one"
    )]
    Path {
        /// The flag.
        flag: &'static str,
        /// What was given.
        path: String,
        /// The variable that would hold it.
        variable: &'static str,
    },
    /// A patch that would do harm.
    #[error(
        "{workload}: a patch of kind {kind} replaces lists instead of merging them; run the command without --patch"
    )]
    NoPatch {
        /// The workload.
        workload: String,
        /// Its kind.
        kind: String,
    },
    /// A patch finds its object by its name.
    #[error(
        "{0}: metadata.name is missing, by which a patch finds its object; add it, or run the command without --patch"
    )]
    NoName(String),
    /// It could not be printed.
    #[error("the manifest could not be written: {0}")]
    Write(#[from] io::Error),
}

/// What came of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// The manifests, or the patches.
    pub manifests: String,
    /// What is to be said of it, a line each.
    pub said: Vec<String>,
}

/// Runs the command: manifests go to standard output, what was added to standard error.
pub fn run(args: &Args) -> Result<ExitCode, InjectError> {
    let file = args.file.to_string_lossy().escape_debug().to_string();
    let read = check::load(&args.file);
    let text = read.map_err(|reason| InjectError::Read {
        file: file.clone(),
        reason,
    })?;
    let injected = inject(&file, &text, &wanted(args)?, args.patch)?;
    show(&injected.manifests)?;
    for line in injected.said {
        eprintln!("flyball: {line}");
    }
    Ok(ExitCode::SUCCESS)
}

fn wanted(args: &Args) -> Result<Wanted, InjectError> {
    let loader = match (&args.java, &args.node, &args.python) {
        (Some(path), _, _) => Some(Loader::Java(path.clone())),
        (None, Some(path), _) => Some(Loader::Node(path.clone())),
        (None, None, Some(path)) => Some(Loader::Python(path.clone())),
        (None, None, None) => None,
    };
    Ok(Wanted {
        container: args.container.clone(),
        port: args.metrics_port,
        loader: loader.map(Loader::checked).transpose()?,
    })
}

/// What an agent needs, added to every workload of a text. What holds none is left as it is written.
fn inject(file: &str, text: &str, wanted: &Wanted, patch: bool) -> Result<Injected, InjectError> {
    let (mut manifests, mut patches) = (String::new(), Vec::new());
    let (mut said, mut found) = (Vec::new(), false);
    let mut before = 0;
    for part in parts(text) {
        let (mut documents, failure) = yaml::documents(part);
        if failure.is_some() {
            // Once more where it stands in the file, for the lines that the error names.
            let text = "\n".repeat(before) + part;
            if let (_, Some((error, at))) = yaml::documents(&text) {
                return Err(InjectError::Yaml {
                    file: file.to_owned(),
                    line: Position::of(&text, at).line,
                    error,
                });
            }
        }
        before += part.matches('\n').count();
        let mut here = false;
        for document in &mut documents {
            for object in objects(document) {
                let Some(workload) = Workload::of(object) else {
                    continue;
                };
                here = true;
                if patch {
                    patches.push(workload.patch(object, wanted)?);
                }
                said.extend(workload.inject(object, wanted)?);
            }
        }
        found |= here;
        if here {
            let marked = part.starts_with("---");
            for (index, document) in documents.iter().enumerate() {
                if index > 0 || marked {
                    manifests.push_str("---\n");
                }
                manifests.push_str(&tree::print(document));
            }
        } else {
            manifests.push_str(part);
        }
    }
    if !found {
        return Err(InjectError::NoWorkload(file.to_owned()));
    }
    if patch {
        manifests = patches.iter().map(tree::print).collect::<Vec<_>>().join("---\n");
    }
    Ok(Injected { manifests, said })
}

/// A text cut before each line that begins a document.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut begin, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        let rest = line.strip_prefix("---");
        if at > begin && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])) {
            parts.extend(text.get(begin..at));
            begin = at;
        }
        at += line.len();
    }
    parts.extend(text.get(begin..));
    parts
}

/// The object of a document, or those of a list.
fn objects(document: &mut Node) -> Vec<&mut Node> {
    if document.get("items").is_some() {
        return match at_mut(document, &["items"]).map(|items| &mut items.kind) {
            Some(Kind::List(items)) => items.iter_mut().collect(),
            _ => Vec::new(),
        };
    }
    vec![document]
}

/// Something that makes pods, or is one.
struct Workload {
    /// Such as `Deployment web`.
    named: String,
    kind: String,
    /// Whether Kubernetes itself has the kind, and so knows how its lists merge.
    built_in: bool,
    /// Where the pod's spec is.
    path: &'static [&'static str],
}

impl Workload {
    fn of(object: &Node) -> Option<Self> {
        let (api, kind) = (text_at(object, &["apiVersion"])?, text_at(object, &["kind"])?);
        let path: &[&str] = match kind {
            "Pod" if api == "v1" => &["spec"],
            "CronJob" => &["spec", "jobTemplate", "spec", "template", "spec"],
            _ => &["spec", "template", "spec"],
        };
        let spec = path.iter().try_fold(object, |node, key| node.get(key))?;
        spec.get("containers")?;
        let name = text_at(object, &["metadata", "name"]);
        Some(Self {
            named: format!("{kind} {}", name.map_or_else(|| "without a name".to_owned(), quoted)),
            kind: kind.to_owned(),
            built_in: api == "v1" || ["apps/", "batch/"].iter().any(|group| api.starts_with(group)),
            path,
        })
    }

    fn add(&self, object: &mut Node, wanted: &Wanted) -> Result<Added, InjectError> {
        let target = Target {
            workload: &self.named,
            path: self.path.join("."),
        };
        let spec = at_mut(object, self.path).ok_or_else(|| InjectError::NoWorkload(self.named.clone()))?;
        target.add(spec, wanted)
    }

    /// Adds it, and says what.
    fn inject(&self, object: &mut Node, wanted: &Wanted) -> Result<Vec<String>, InjectError> {
        let added = self.add(object, wanted)?;
        let (named, container) = (&self.named, &added.container);
        if added.what.is_empty() {
            return Ok(vec![format!(
                "{named}: container {container} has all that an agent needs"
            )]);
        }
        let mut said = vec![format!("{named}: container {container} gets {}", added.what.join(", "))];
        said.extend(added.notes.iter().map(|note| format!("{named}: {note}")));
        said.push(match self.kind.as_str() {
            "Pod" => format!(
                "{named}: a pod's volumes can't be changed, so it has to be made anew; after that nothing restarts"
            ),
            "Job" => format!(
                "{named}: a Job's template can't be changed, so it has to be made anew; after that nothing restarts"
            ),
            "CronJob" => format!("{named}: it takes effect with its next Job; after that nothing restarts"),
            _ => format!("{named}: one rollout follows when this is applied; after that nothing restarts"),
        });
        Ok(said)
    }

    /// A patch that adds it: the same done to an object with nothing in it but names and what is added to.
    fn patch(&self, object: &Node, wanted: &Wanted) -> Result<Node, InjectError> {
        if !self.built_in {
            return Err(InjectError::NoPatch {
                workload: self.named.clone(),
                kind: self.kind.clone(),
            });
        }
        let mut whole = object.clone();
        let container = self.add(&mut whole, wanted)?.container;
        let name = text_at(object, &["metadata", "name"]).ok_or_else(|| InjectError::NoName(self.named.clone()))?;
        let mut metadata = vec![("name", text(name))];
        metadata.extend(text_at(object, &["metadata", "namespace"]).map(|namespace| ("namespace", text(namespace))));
        let mut bare = vec![("name", text(&container))];
        bare.extend(self.held(object, &container, wanted).map(|held| ("env", list([held]))));
        let mut spec = map([("containers", list([map(bare)]))]);
        for key in self.path.iter().skip(1).rev() {
            spec = map([(*key, spec)]);
        }
        let head = |key: &str| text(text_at(object, &[key]).unwrap_or_default());
        let mut patch = map([
            ("apiVersion", head("apiVersion")),
            ("kind", head("kind")),
            ("metadata", map(metadata)),
            ("spec", spec),
        ]);
        self.add(&mut patch, wanted)?;
        Ok(patch)
    }

    /// The variable, as it is, to which what loads the agent is added.
    fn held(&self, object: &Node, container: &str, wanted: &Wanted) -> Option<Node> {
        let variable = wanted.loader.as_ref()?.variable();
        let spec = self.path.iter().try_fold(object, |node, key| node.get(key))?;
        let named = |items: &Node, name: &str| match &items.kind {
            Kind::List(items) => items
                .iter()
                .find(|item| text_at(item, &["name"]) == Some(name))
                .cloned(),
            _ => None,
        };
        named(named(spec.get("containers")?, container)?.get("env")?, variable)
    }
}

#[cfg(test)]
mod tests;
