//! `flyball doctor`: does everything that a policy needs work, and if not, what to do about it.
//!
//! Reading and judging are apart: each check's judgement is a pure function of what was read.

pub mod cluster;
pub mod finding;
pub mod policies;
pub mod readings;
pub mod rights;
pub mod runtime;
pub mod schema;
pub mod settle;
pub mod sources;
pub mod traffic;
mod world;

use super::{
    fetch::{self, ReadError, Scope},
    output::{Output, written},
    screen::{Style, show},
};
use crate::observe::cluster::{DEFAULT_KINDS, ScaleKind};
use finding::{Finding, Mark, Section, Tally};
use rights::{Installation, Lever};
use serde::Serialize;
use std::{path::Path, process::ExitCode};

/// What to look at.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Look at the policies of this namespace only. Default: all namespaces.
    #[arg(short, long)]
    namespace: Option<String>,
    /// The namespace in which the controller runs.
    #[arg(long, value_name = "NAMESPACE", default_value = "flyball-system")]
    namespace_of_controller: String,
    /// The name of the controller's Lease. Default: as its Deployment says, else flyball.
    #[arg(long, value_name = "NAME")]
    lease_name: Option<String>,
    /// The controller's service account. Default: as its Deployment says, else flyball.
    #[arg(long, value_name = "NAME")]
    service_account: Option<String>,
    /// The kinds that the controller may move; may be given several times. Default: as its Deployment
    /// says, else those that it moves by itself.
    #[arg(long = "scale-kind", value_name = "GROUP/VERSION/KIND")]
    scale_kinds: Vec<ScaleKind>,
    /// The controller has no right to move these, on purpose; may be given several times.
    #[arg(long, value_enum, value_name = "LEVER")]
    without: Vec<Lever>,
    /// Show only what is not ok.
    #[arg(short, long)]
    quiet: bool,
    /// Lines for people as they are found, or an object with all of them.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    /// The arguments with which the controller runs. Default: as its Deployment says.
    #[arg(last = true, value_name = "ARGUMENTS")]
    controller: Vec<String>,
}

/// Runs the command. The exit code is 1 if anything failed.
pub async fn run(args: Args, kubeconfig: Option<&Path>, context: Option<String>) -> Result<ExitCode, ReadError> {
    crate::observe::source::install_crypto_provider();
    let style = Style::of_stdout(false);
    let mut report = Report {
        style,
        quiet: args.quiet,
        output: args.output,
        found: Vec::new(),
        tally: Tally::default(),
    };
    let connection = match fetch::connect(kubeconfig, context).await {
        Ok(connection) => connection,
        Err(error) => {
            let findings = vec![Finding::message(Mark::Fail, "API server", &error.to_string())];
            report.add(&Section {
                title: "Cluster".to_owned(),
                findings,
            })?;
            return report.end();
        }
    };
    let place = &args.namespace_of_controller;
    report.add(&cluster::examine(&connection).await)?;

    let words: Vec<&str> = args.controller.iter().map(String::as_str).collect();
    let found = if words.is_empty() {
        rights::installation(&connection, place).await
    } else {
        Installation::of_words(&words)
    };
    let default = || DEFAULT_KINDS.iter().filter_map(|kind| kind.parse().ok()).collect();
    let kinds = [args.scale_kinds, found.kinds]
        .into_iter()
        .find(|kinds| !kinds.is_empty())
        .unwrap_or_else(default);
    let installation = Installation {
        account: args.service_account.or(found.account),
        kinds,
        scope: found.scope,
        lease: args.lease_name.or(found.lease),
        observes: found.observes,
        sources: found.sources,
        without: args.without,
        reviews: found.reviews,
    };
    report.add(&cluster::examine_controller(&connection, place, installation.lease()).await)?;
    let keda = world::keda(&connection.clients.read).await;
    let namespace = args.namespace.as_deref();
    let world = world::read(&connection, Scope::of(namespace), &installation.kinds, keda.as_ref()).await;
    let routes = world.route_kinds();
    let levers = (routes.as_slice(), world.moves_knobs());
    report.add(&rights::examine(&connection, namespace, place, &installation, keda.is_some(), levers).await)?;

    let sources = sources::examine(&connection, place).await;
    report.add(&sources.section)?;
    for section in policies::examine(&connection, &world, &sources, connection.now()).await {
        report.add(&section)?;
    }
    report.end()
}

/// The report as an object.
#[derive(Debug, Serialize)]
pub struct Diagnosis<'a> {
    /// What was looked at, in order; with `--quiet` without what is well.
    pub sections: &'a [Section],
    /// How many of each mark.
    pub summary: Tally,
}

/// The report so far; each section is shown as soon as it is there, for people.
struct Report {
    style: Style,
    quiet: bool,
    output: Output,
    /// Kept where an object is asked for.
    found: Vec<Section>,
    tally: Tally,
}

impl Report {
    fn add(&mut self, section: &Section) -> Result<(), ReadError> {
        self.tally.add(section);
        if self.output == Output::Table {
            return Ok(show(&section.draw(self.style, self.quiet))?);
        }
        let mut section = section.clone();
        section
            .findings
            .retain(|finding| !self.quiet || finding.mark != Mark::Ok);
        if !section.findings.is_empty() {
            self.found.push(section);
        }
        Ok(())
    }

    fn end(&self) -> Result<ExitCode, ReadError> {
        let diagnosis = Diagnosis {
            sections: &self.found,
            summary: self.tally,
        };
        show(&match self.output {
            Output::Table => format!("{}\n", self.tally.line()),
            output => written(&diagnosis, output, true),
        })?;
        Ok(ExitCode::from(self.tally.exit_code()))
    }
}
