//! The API server, the definitions and the controller's lease.

use super::{
    finding::{Finding, Mark, Section},
    schema::{Difference, differences, in_one_line},
};
use crate::{
    cli::{
        fetch::{self, Connection, Controller, ReadError, Scope},
        screen::{plain, span},
    },
    observe::freeze::Frozen,
};
use flyball_core::time::Span;
use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition, apimachinery::pkg::version::Info,
};
use kube::ResourceExt;
use std::time::Duration;

/// The oldest minor version of Kubernetes 1 that is served.
const OLDEST: u32 = 33;
/// A difference of clocks from which on ages mislead, in milliseconds.
const SKEWED: i64 = 5_000;
/// How the definitions are brought up to date.
const APPLY: &str = "flyball crds | kubectl apply --server-side -f -";
/// A lease that looks old is looked at again so often, so far apart: it may be a clock that is wrong.
const LOOKS: u32 = 4;
const BETWEEN_LOOKS: Duration = Duration::from_secs(3);

/// What was read of a definition.
pub type Installed = Result<Option<CustomResourceDefinition>, ReadError>;

/// What was seen of the lease.
pub struct Lease {
    /// What it tells.
    pub controller: Result<Controller, ReadError>,
    /// Whether it was renewed while we looked.
    pub moved: bool,
}

/// Judges the API server by its version.
pub fn version(info: &Info, url: &str) -> Finding {
    let digits = |text: &str| {
        text.chars()
            .take_while(char::is_ascii_digit)
            .collect::<String>()
            .parse::<u32>()
            .ok()
    };
    let said = format!("{} at {}", plain(&info.git_version), plain(url.trim_end_matches('/')));
    match (digits(&info.major), digits(&info.minor)) {
        (Some(1), Some(minor)) if minor >= OLDEST => Finding::ok("API server", said),
        (Some(1), Some(_)) => {
            let way_out = format!("upgrade the cluster: Flyball needs Kubernetes 1.{OLDEST} or later");
            Finding::new(Mark::Fail, "API server", said, way_out)
        }
        _ => {
            let way_out = format!("its version can't be compared; Flyball needs Kubernetes 1.{OLDEST} or later");
            Finding::new(Mark::Warn, "API server", said, way_out)
        }
    }
}

/// Judges this machine's clock, by how many milliseconds it is ahead of the API server's.
pub fn clocks(ahead: Option<i64>) -> Finding {
    let Some(ahead) = ahead else {
        return Finding::new(Mark::Skip, "clock", "the API server did not tell its time", "");
    };
    if ahead.abs() < SKEWED {
        return Finding::ok("clock", "this machine and the API server agree");
    }
    let by = span(Span::from_millis(ahead.unsigned_abs()));
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    Finding::new(
        Mark::Warn,
        "clock",
        format!("this machine is {by} {side} the API server; ages in this report go by the API server"),
        "set this machine's clock, for example by NTP",
    )
}

/// Judges one installed definition.
pub fn definition(ours: &CustomResourceDefinition, installed: &Installed) -> Finding {
    let kind = ours.spec.names.kind.as_str();
    let installed = match installed {
        Err(error) => return Finding::unread(kind, error),
        Ok(None) => return Finding::new(Mark::Fail, kind, "is not installed", format!("install it: {APPLY}")),
        Ok(Some(installed)) => installed,
    };
    let conditions = installed
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let state = |name: &str| conditions.clone().find(|condition| condition.type_ == name);
    if state("Established").is_none_or(|established| established.status != "True") {
        let why = state("NamesAccepted")
            .or_else(|| state("Established"))
            .and_then(|condition| condition.message.clone());
        let said = format!("is installed and not established: {}", plain(&why.unwrap_or_default()));
        return Finding::new(
            Mark::Fail,
            kind,
            said,
            format!("see why: kubectl describe crd {}", ours.name_any()),
        );
    }
    let differences = differences(ours, installed);
    let own = env!("CARGO_PKG_VERSION");
    let line = in_one_line(&differences);
    if line.is_empty() {
        return Finding::ok(kind, format!("installed, established, equal to that of flyball {own}"));
    }
    let only_there = differences
        .iter()
        .all(|difference| matches!(difference, Difference::Unknown(_) | Difference::Words(_)));
    if only_there {
        let said = format!("is newer than that of flyball {own}: {line}");
        return Finding::new(
            Mark::Warn,
            kind,
            said,
            "use the flyball of the version that is installed",
        );
    }
    Finding::new(
        Mark::Fail,
        kind,
        format!("is not that of flyball {own}: {line}"),
        format!("bring it up to date: {APPLY}"),
    )
}

/// Judges the lease. `name` is where it is, as `namespace/name`.
pub fn lease(seen: &Lease, name: &str) -> Finding {
    let (namespace, _) = name.split_once('/').unwrap_or((name, ""));
    let controller = match &seen.controller {
        Ok(controller) => controller,
        Err(error) => return Finding::unread("lease", error),
    };
    match controller {
        Controller::Leads { holder, renewed } => Finding::ok(
            "lease",
            format!("{name} is held by {}, renewed {} ago", plain(holder), span(*renewed)),
        ),
        Controller::Silent { holder, renewed } if seen.moved => Finding::new(
            Mark::Warn,
            "lease",
            format!(
                "{name} is renewed by {}, whose clock is {} behind",
                plain(holder),
                span(*renewed)
            ),
            "set the clock of its node: what it compares with Prometheus' samples is wrong by as much",
        ),
        Controller::Silent { holder, renewed } => Finding::new(
            Mark::Fail,
            "lease",
            format!(
                "{name} was held by {}, and was not renewed for {}: no controller runs",
                plain(holder),
                span(*renewed)
            ),
            format!("see why: kubectl get pods -n {namespace}"),
        ),
        Controller::Vacant => Finding::new(
            Mark::Fail,
            "lease",
            format!("{name} is held by nobody: the controller was stopped"),
            format!("start it: kubectl get deployments -n {namespace}"),
        ),
        Controller::Missing | Controller::Unknown(_) => Finding::new(
            Mark::Fail,
            "lease",
            format!("there is no lease {name}: no controller ever ran there"),
            "install it, or name its place with --namespace-of-controller and --lease-name",
        ),
    }
}

/// Judges whether changes are made at all.
pub fn freeze(seen: &Result<Option<Frozen>, ReadError>) -> Finding {
    match seen {
        Ok(None) => Finding::ok("freeze", "not frozen"),
        Ok(Some(frozen)) => Finding::new(
            Mark::Warn,
            "freeze",
            format!(
                "frozen {}; nothing is written but roll-backs",
                plain(&frozen.to_string())
            ),
            "let changes be made again: flyball unfreeze",
        ),
        Err(error) => Finding::unread("freeze", error),
    }
}

/// Reads the definitions.
async fn installed(connection: &Connection, ours: &CustomResourceDefinition) -> Installed {
    let kind = fetch::resource::<CustomResourceDefinition>();
    let object = fetch::get(&connection.clients.read, Scope::Cluster, &kind, &ours.name_any()).await?;
    let parsed = object.map(|object| {
        object
            .clone()
            .try_parse()
            .map_err(|_| ReadError::Unreadable(fetch::title(&object)))
    });
    parsed.transpose()
}

/// Reads the lease; one that looks old is looked at for some seconds.
pub(in crate::cli) async fn look(connection: &Connection, namespace: &str, name: &str) -> Lease {
    let read = async || fetch::lease(&connection.clients.read, namespace, name).await;
    let first = match read().await {
        Ok(first) => first,
        Err(error) => {
            return Lease {
                controller: Err(error),
                moved: false,
            };
        }
    };
    let controller = fetch::controller(first.as_ref(), connection.now());
    let mut moved = false;
    if matches!(controller, Controller::Silent { .. }) {
        for _ in 0..LOOKS {
            tokio::time::sleep(BETWEEN_LOOKS).await;
            let again = read().await.ok().flatten();
            let version = |lease: &Option<_>| lease.as_ref().and_then(ResourceExt::resource_version);
            moved = again.is_some() && version(&again) != version(&first);
            if moved {
                break;
            }
        }
    }
    Lease {
        controller: Ok(controller),
        moved,
    }
}

/// Looks at the API server and the definitions.
pub async fn examine(connection: &Connection) -> Section {
    let ours = flyball_crds::definitions();
    let mut findings = vec![version(&connection.version, &connection.url), clocks(connection.ahead)];
    let found = futures::future::join_all(ours.iter().map(|ours| installed(connection, ours))).await;
    findings.extend(
        ours.iter()
            .zip(&found)
            .map(|(ours, installed)| definition(ours, installed)),
    );
    Section {
        title: "Cluster".to_owned(),
        findings,
    }
}

/// Looks at the controller.
pub async fn examine_controller(connection: &Connection, namespace: &str, name: &str) -> Section {
    let (seen, frozen) = tokio::join!(
        look(connection, namespace, name),
        fetch::freeze(&connection.clients.read, namespace),
    );
    let findings = vec![lease(&seen, &format!("{namespace}/{name}")), freeze(&frozen)];
    Section {
        title: "Controller".to_owned(),
        findings,
    }
}
