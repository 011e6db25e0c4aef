//! What a pod needs for an agent in one of its containers (agents/CONTRACT.md), and how it is added.

use super::{
    InjectError,
    tree::{bare, covers, items_of, list, map, text, text_at},
};
use crate::cli::{
    check::yaml::{Kind, Node},
    screen::quoted,
};
use flyball_crds::RUNTIME_PREFIX;

/// The volume with the file that an agent reads.
const FILE: &str = "flyball-runtime";
/// The volume with what survives a restart of the container.
const STATE: &str = "flyball-state";
/// The port at which an agent is asked.
const PORT: &str = "flyball-agent";
/// Where the agents look for their file.
const FILE_PATH: &str = "/etc/flyball";
/// Where what must survive is kept.
const STATE_PATH: &str = "/var/run/flyball";

/// How a runtime is told to load its agent, and from where in the container. A Go program has it by an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loader {
    /// The jar.
    Java(String),
    /// The script.
    Node(String),
    /// The folder.
    Python(String),
}

impl Loader {
    /// The variable that the runtime reads.
    pub const fn variable(&self) -> &'static str {
        match self {
            Self::Java(_) => "JAVA_TOOL_OPTIONS",
            Self::Node(_) => "NODE_OPTIONS",
            Self::Python(_) => "PYTHONPATH",
        }
    }

    const fn flag(&self) -> &'static str {
        match self {
            Self::Java(_) => "--java",
            Self::Node(_) => "--node",
            Self::Python(_) => "--python",
        }
    }

    fn path(&self) -> &str {
        match self {
            Self::Java(path) | Self::Node(path) | Self::Python(path) => path,
        }
    }

    /// Whether the runtime takes the path as it stands: all three cut their variable into words.
    pub fn checked(self) -> Result<Self, InjectError> {
        let path = self.path();
        let cut = |c: char| c.is_whitespace() || c.is_control() || "\"'\\$,".contains(c);
        let list = matches!(self, Self::Python(_)) && path.contains(':');
        if !path.starts_with('/') || path.contains(cut) || list {
            return Err(InjectError::Path {
                flag: self.flag(),
                path: path.to_owned(),
                variable: self.variable(),
            });
        }
        Ok(self)
    }

    /// The variable with what loads the agent, beside what it held. `None`: it does so already.
    fn beside(&self, held: &str) -> Option<String> {
        let mut words = held.split_whitespace();
        match self {
            Self::Java(path) => {
                let option = format!("-javaagent:{path}");
                let has = words.any(|word| {
                    word.strip_prefix(&option)
                        .is_some_and(|o| o.is_empty() || o.starts_with('='))
                });
                (!has).then(|| format!("{held} {option}").trim_start().to_owned())
            }
            Self::Node(path) => {
                let words: Vec<&str> = words.collect();
                let apart = words
                    .windows(2)
                    .any(|pair| matches!(pair, ["--require" | "-r", file] if file == path));
                let has = apart || words.contains(&format!("--require={path}").as_str());
                (!has).then(|| format!("{held} --require {path}").trim_start().to_owned())
            }
            // First: of several files sitecustomize.py Python reads one, and the agent's goes on with the next.
            Self::Python(path) => {
                let has = held
                    .split(':')
                    .any(|part| part.trim_end_matches('/') == path.trim_end_matches('/'));
                (!has).then(|| format!("{path}:{held}").trim_end_matches(':').to_owned())
            }
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The container's name, where there are several.
    pub container: Option<String>,
    /// The agent's port.
    pub port: u16,
    /// What loads the agent.
    pub loader: Option<Loader>,
}

/// A workload that is being changed, and where its pod's spec is.
pub struct Target<'a> {
    /// Such as `Deployment web`.
    pub workload: &'a str,
    /// Such as `spec.template.spec`.
    pub path: String,
}

/// What was done to a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The container.
    pub container: String,
    /// What is new, in words.
    pub what: Vec<String>,
    /// What somebody should look at.
    pub notes: Vec<String>,
}

impl Target<'_> {
    fn taken(&self, field: impl Into<String>, value: impl Into<String>, way_out: impl Into<String>) -> InjectError {
        InjectError::Taken {
            workload: self.workload.to_owned(),
            field: format!("{}.{}", self.path, field.into()),
            value: value.into(),
            way_out: way_out.into(),
        }
    }

    fn items<'n>(&self, node: &'n mut Node, of: &str, key: &str) -> Result<&'n mut Vec<Node>, InjectError> {
        let way_out = "make it one";
        items_of(node, key).ok_or_else(|| self.taken(format!("{of}{key}"), "no list", way_out))
    }

    /// The container that is meant.
    pub fn container(&self, spec: &Node, asked: Option<&str>) -> Result<String, InjectError> {
        let name_of = |node: &Node| text_at(node, &["name"]).map(ToOwned::to_owned);
        let there: Vec<String> = match spec.get("containers").map(|node| &node.kind) {
            Some(Kind::List(items)) => items.iter().filter_map(name_of).collect(),
            _ => Vec::new(),
        };
        match (asked, there.as_slice()) {
            (_, []) => Err(self.taken("containers", "none that has a name", "name the container")),
            (Some(asked), there) if there.iter().any(|name| name == asked) => Ok(asked.to_owned()),
            (Some(asked), there) => Err(InjectError::NoContainer {
                workload: self.workload.to_owned(),
                asked: asked.to_owned(),
                names: there.join(", "),
            }),
            (None, [only]) => Ok(only.clone()),
            (None, [first, ..]) => Err(InjectError::Several {
                workload: self.workload.to_owned(),
                names: there.join(", "),
                first: quoted(first),
            }),
        }
    }

    /// Adds to a pod's spec what is not there yet. What stands in the way is somebody's, and is left.
    pub fn add(&self, spec: &mut Node, wanted: &Wanted) -> Result<Added, InjectError> {
        let name = self.container(spec, wanted.container.as_deref())?;
        let mut added = Added {
            container: name.clone(),
            what: Vec::new(),
            notes: Vec::new(),
        };
        let of = format!("containers[{name}].");
        let containers = self.items(spec, "", "containers")?;
        let Some(container) = containers
            .iter_mut()
            .find(|node| text_at(node, &["name"]) == Some(&name))
        else {
            return Err(self.taken("containers", "none of this name", "name the container"));
        };
        self.environment(container, &of, wanted, &mut added)?;
        self.port(container, &of, wanted.port, &mut added)?;
        let mounts = [(FILE, FILE_PATH, true), (STATE, STATE_PATH, false)];
        for (volume, path, read_only) in mounts {
            self.mount(container, &of, (volume, path, read_only), &mut added)?;
        }
        self.volumes(spec, &name, &mut added)?;
        Ok(added)
    }

    fn environment(
        &self,
        container: &mut Node,
        of: &str,
        wanted: &Wanted,
        added: &mut Added,
    ) -> Result<(), InjectError> {
        let from = container.get("envFrom").is_some();
        let variables = self.items(container, of, "env")?;
        let set = [
            ("FLYBALL_STATE_DIR", STATE_PATH.to_owned(), "remove it"),
            (
                "FLYBALL_METRICS_ADDRESS",
                format!(":{}", wanted.port),
                "remove it, or name its port with --metrics-port",
            ),
        ];
        for (name, value, way_out) in set {
            match self.held(variables, of, name, way_out)? {
                Some(held) if *held == value => {}
                Some(held) => return Err(self.taken(format!("{of}env[{name}].value"), quoted(held), way_out)),
                None => {
                    added.what.push(format!("env {name}={value}"));
                    variables.push(map([("name", text(name)), ("value", text(value))]));
                }
            }
        }
        let Some(loader) = &wanted.loader else {
            return Ok(());
        };
        let name = loader.variable();
        let way_out = format!(
            "write its text as value, or add to where it comes from what loads the agent, and leave {} out",
            loader.flag()
        );
        let held = self.held(variables, of, name, &way_out)?.map(|held| &*held);
        let Some(value) = loader.beside(held.map_or("", |held| held)) else {
            return Ok(());
        };
        added.what.push(format!("env {name}={value}"));
        let there = held.is_some();
        if !there && from {
            added.notes.push(format!(
                "{}.{of}envFrom: if it holds {name} too, that text counts no more; write it as a value of env and inject again",
                self.path
            ));
        }
        match self.held(variables, of, name, &way_out)? {
            Some(held) => *held = value,
            None => variables.push(map([("name", text(name)), ("value", text(value))])),
        }
        Ok(())
    }

    /// The text of a variable, if there is one of this name.
    fn held<'n>(
        &self,
        variables: &'n mut [Node],
        of: &str,
        name: &str,
        way_out: &str,
    ) -> Result<Option<&'n mut String>, InjectError> {
        let Some(variable) = variables.iter_mut().find(|node| text_at(node, &["name"]) == Some(name)) else {
            return Ok(None);
        };
        if let Some(from) = variable.get("valueFrom") {
            let kind = match &from.kind {
                Kind::Map(entries) => entries.first().map_or("", |entry| entry.key.as_str()),
                _ => "",
            };
            return Err(self.taken(format!("{of}env[{name}].valueFrom"), quoted(kind), way_out));
        }
        let Kind::Map(entries) = &mut variable.kind else {
            return Ok(None);
        };
        if !entries.iter().any(|entry| entry.key == "value") {
            entries.extend(value_entry());
        }
        let value = entries.iter_mut().find(|entry| entry.key == "value");
        Ok(value.and_then(|entry| match &mut entry.value.kind {
            Kind::Scalar { text, plain } => {
                *plain = false;
                Some(text)
            }
            _ => None,
        }))
    }

    fn port(&self, container: &mut Node, of: &str, port: u16, added: &mut Added) -> Result<(), InjectError> {
        let number = port.to_string();
        let ports = self.items(container, of, "ports")?;
        for held in &*ports {
            let (name, at) = (text_at(held, &["name"]), text_at(held, &["containerPort"]));
            let (named, there) = (name == Some(PORT), at == Some(&number));
            if named && there {
                return Ok(());
            }
            if there {
                let way_out = format!("choose another with --metrics-port, or name it {PORT} if it is the agent's");
                return Err(self.taken(
                    format!("{of}ports"),
                    format!("{number} named {:?}", name.unwrap_or_default()),
                    way_out,
                ));
            }
            if named {
                let at = at.unwrap_or_default();
                let way_out = format!("keep it with --metrics-port {at}, or remove it");
                return Err(self.taken(format!("{of}ports[{PORT}].containerPort"), at, way_out));
            }
        }
        ports.push(map([("name", text(PORT)), ("containerPort", bare(&port))]));
        added.what.push(format!("port {PORT} {port}"));
        Ok(())
    }

    fn mount(
        &self,
        container: &mut Node,
        of: &str,
        (volume, path, read_only): (&str, &str, bool),
        added: &mut Added,
    ) -> Result<(), InjectError> {
        let mut wanted = vec![("name", text(volume)), ("mountPath", text(path))];
        if read_only {
            wanted.push(("readOnly", bare(&true)));
        }
        let wanted = map(wanted);
        let mounts = self.items(container, of, "volumeMounts")?;
        let at = |node: &&Node| text_at(node, &["mountPath"]).is_some_and(|held| held.trim_end_matches('/') == path);
        if let Some(held) = mounts.iter().find(at) {
            // A subPath is never updated.
            if covers(held, &wanted) && held.get("subPath").is_none() {
                return Ok(());
            }
            let other = text_at(held, &["name"]).unwrap_or_default();
            return Err(self.taken(
                format!("{of}volumeMounts[{path}]"),
                quoted(other),
                "mount that elsewhere, or remove it if it is an earlier one of Flyball's",
            ));
        }
        mounts.push(wanted);
        added.what.push(format!("mount {path} of {volume}"));
        Ok(())
    }

    fn volumes(&self, spec: &mut Node, container: &str, added: &mut Added) -> Result<(), InjectError> {
        let annotation = format!("metadata.annotations['{RUNTIME_PREFIX}{container}']");
        let item = map([
            ("path", text("runtime")),
            ("fieldRef", map([("fieldPath", text(annotation))])),
        ]);
        let file = map([("name", text(FILE)), ("downwardAPI", map([("items", list([item]))]))]);
        let state = map([("name", text(STATE)), ("emptyDir", map([]))]);
        let volumes = self.items(spec, "", "volumes")?;
        for (name, wanted) in [(FILE, file), (STATE, state)] {
            match volumes.iter().find(|node| text_at(node, &["name"]) == Some(name)) {
                Some(held) if covers(held, &wanted) => {}
                Some(_) => {
                    let way_out = "a pod has one container with an agent: inject from a manifest in which no other has \
                                   it, or rename that volume";
                    return Err(self.taken(format!("volumes[{name}]"), "another volume than the agent's", way_out));
                }
                None => {
                    volumes.push(wanted);
                    added.what.push(format!("volume {name}"));
                }
            }
        }
        Ok(())
    }
}

/// A variable without a value is an empty one.
fn value_entry() -> Option<crate::cli::check::yaml::Entry> {
    match map([("value", text(""))]).kind {
        Kind::Map(entries) => entries.into_iter().next(),
        _ => None,
    }
}
