//! The command line.

pub mod args;
pub mod check;
mod crds;
pub mod doctor;
pub mod explain;
pub mod fetch;
pub mod freeze;
pub mod get;
mod run;
pub mod screen;
pub mod write;

use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

/// Feedback control for Kubernetes workloads: a PromQL rule, a checked change, a verified effect.
#[derive(Debug, Parser)]
#[command(name = "flyball", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The kubeconfig to use instead of KUBECONFIG, ~/.kube/config or the pod's service account.
    #[arg(long, global = true)]
    kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context.
    #[arg(long, global = true)]
    context: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controller.
    Run(run::Args),
    /// Print the custom resource definitions.
    Crds,
    /// Show policies and their Changes.
    Get(get::Args),
    /// Explain a policy's last decision, what came of it, and what to do next.
    Explain(explain::Args),
    /// Find out what does not work, and what to do about it.
    Doctor(doctor::Args),
    /// Validate policies and sources offline.
    Check(check::CheckArgs),
    /// Stop every change in the cluster at once, roll-backs excepted.
    ///
    /// Makes the ConfigMap flyball-freeze in the controller's namespace, with your name, the time and
    /// the reason. Changes under way are still judged, and taken back where they do harm. Needs the
    /// right to create configmaps there (Role flyball-freeze).
    Freeze(freeze::FreezeArgs),
    /// Let changes be made again.
    ///
    /// Deletes the ConfigMap flyball-freeze. Needs the right to get and delete it (Role flyball-freeze).
    Unfreeze(args::ControllerArgs),
}

impl Cli {
    /// Runs the command. An error is one line on standard error and exit code 2.
    pub async fn run(self) -> ExitCode {
        let Self {
            command,
            kubeconfig,
            context,
        } = self;
        let done = match command {
            Command::Run(args) => run::run(args, kubeconfig.as_deref(), context)
                .await
                .map_err(|error| error.to_string()),
            Command::Get(args) => get::run(args, kubeconfig.as_deref(), context)
                .await
                .map_err(|error| error.to_string()),
            Command::Explain(args) => explain::run(args, kubeconfig.as_deref(), context)
                .await
                .map_err(|error| error.to_string()),
            Command::Doctor(args) => doctor::run(args, kubeconfig.as_deref(), context)
                .await
                .map_err(|error| error.to_string()),
            Command::Freeze(args) => freeze::freeze(args, kubeconfig.as_deref(), context)
                .await
                .map_err(|error| error.to_string()),
            Command::Unfreeze(args) => freeze::unfreeze(args, kubeconfig.as_deref(), context)
                .await
                .map_err(|error| error.to_string()),
            Command::Crds => crds::print(&mut std::io::stdout().lock())
                .map(|()| ExitCode::SUCCESS)
                .map_err(|error| error.to_string()),
            Command::Check(args) => check::run(&args.files, &mut std::io::stdout().lock())
                .map(|summary| ExitCode::from(summary.exit_code()))
                .map_err(|error| error.to_string()),
        };
        done.unwrap_or_else(|error| {
            eprintln!("flyball: {error}");
            ExitCode::from(2)
        })
    }
}
