//! The command line.

pub mod args;
pub mod check;
pub mod completion;
mod crds;
pub mod doctor;
mod drain;
pub mod explain;
pub mod fetch;
pub mod freeze;
pub mod get;
pub mod import;
pub mod init;
pub mod inject;
pub mod kept;
pub mod moves;
pub mod output;
pub mod pause;
pub mod release;
pub mod request;
mod run;
pub mod screen;
pub mod suspend;
pub mod takeover;
pub mod write;

use clap::{FromArgMatches, Parser, Subcommand};
use completion::Called;
use flyball_crds::Request;
use output::Output;
use request::Asked;
use std::{io::Write, path::PathBuf, process::ExitCode};

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
    Run(Box<run::Args>),
    /// Print the custom resource definitions.
    Crds,
    /// Print what a shell needs to complete these commands.
    ///
    /// For bash: source <(flyball completion bash). For zsh and fish: write it into a folder of completions. For PowerShell:
    /// flyball completion powershell | Out-String | Invoke-Expression. For kubectl flyball: link this program as
    /// kubectl_complete-flyball beside kubectl-flyball in the PATH; kubectl asks it.
    Completion(completion::Args),
    /// Show policies and their Changes.
    Get(get::Args),
    /// Explain a policy's last decision, what came of it, and what to do next.
    Explain(explain::Args),
    /// Find out what does not work, and what to do about it.
    Doctor(doctor::Args),
    /// Validate policies and sources offline.
    Check(check::CheckArgs),
    /// Print the policy that does the same as an autoscaler.
    ///
    /// Reads a HorizontalPodAutoscaler or a ScaledObject, from the cluster or a file, and prints a
    /// FeedbackPolicy in mode Recommend. What has no equivalent or needs a decision stands in its
    /// comments. Nothing is written to the cluster.
    Import(import::Args),
    /// Draft a policy for a workload from what is there.
    ///
    /// Finds Prometheus, and drafts a FeedbackPolicy in mode Recommend from the workload's HorizontalPodAutoscaler, from an
    /// alert of a PrometheusRule that names it, or from what its containers request and Prometheus knows of it. Comments
    /// say where each value came from and what could not be read. Nothing is written to the cluster without --apply.
    Init(init::Args),
    /// Add the agent's volumes, ports and options to a workload's pods.
    ///
    /// Reads manifests (of workloads, a bare pod, or anything else with a pod template) and
    /// prints them with what an agent needs to hear of the controller and to be asked: the volumes flyball-runtime and
    /// flyball-state with their mounts, two environment variables, the port flyball-agent, and for Java, Node or
    /// Python the option that loads the agent. What is no workload passes through as it is. Twice is
    /// the same as once. Nothing is read from the cluster, nor written to it.
    ///
    /// A workload that is printed has lost its comments and its own layout: where these matter, use --patch, which
    /// prints a strategic merge patch alone, for the patches of a kustomization or for kubectl patch. What was added is said on
    /// standard error. It restarts the pods once; after that the controller moves their knobs without a restart.
    Inject(inject::Args),
    /// Hand a workload's replicas from a HorizontalPodAutoscaler or a ScaledObject to a policy.
    ///
    /// Keeps the other's manifest on the policy, deletes it, and sets mode Enforce; the replicas stay as
    /// they are. A ScaledObject is paused first, so that KEDA lets go of them where they are. A takeover
    /// that was cut short is finished by running it again. Needs the rights of the role flyball-operator:
    /// to patch feedbackpolicies, to list and delete the autoscaler (and to patch a ScaledObject), to get
    /// the target, and to get the controller's Lease.
    Takeover(takeover::Args),
    /// Give a workload's replicas or a runtime's knobs back, also where no controller runs.
    ///
    /// Suspends the policy, waits until its open Change is closed, and makes the autoscaler again from
    /// which the field was taken; the replicas stay as they are. Where no controller leads, the Change is
    /// closed from here, behind a stamp on the target, so that no late write can land. Needs the rights of
    /// the role flyball-operator: to get and patch feedbackpolicies, list changes, create the autoscaler,
    /// and get the target and the controller's Lease; without a controller also those of flyball-recover:
    /// to update the Lease and changes/status, and to patch the target.
    ///
    /// Of a policy that moves a runtime's knobs the setting is taken out of the workload, which needs the right to patch
    /// it; its processes go back to boot values when their leases end, and a command is printed that does it at once.
    Release(release::Args),
    /// Let a policy write nothing until it is resumed, roll-backs excepted.
    ///
    /// Sets spec.suspend. A Change that is under way is cut short: what it wrote stays, unverified.
    /// Needs the right to get and patch feedbackpolicies.
    Suspend(args::PolicyArgs),
    /// Let a suspended policy go on.
    ///
    /// Takes spec.suspend out. Needs the right to get and patch feedbackpolicies.
    Resume(args::PolicyArgs),
    /// Let a policy make no increases or no decreases for a time.
    ///
    /// Sets spec.pause. Taking a change back goes on. Needs the right to get and patch feedbackpolicies.
    Pause(pause::PauseArgs),
    /// Take a pause out before its time is over.
    ///
    /// Needs the right to get and patch feedbackpolicies.
    Unpause(pause::UnpauseArgs),
    /// Let a change be made that waits for approval.
    ///
    /// Writes your name on the record of the decision (annotation flyball.dev/approved-by); the change is
    /// made with the next pass, if the policy still wants that number. Needs the right to get and patch
    /// changes (role flyball-operator).
    Approve(request::Args),
    /// Cut an open Change short: what it wrote stays, unverified.
    ///
    /// Needs the right to get and patch changes (role flyball-operator).
    Abort(request::Args),
    /// Take a Change back whose effect is being verified.
    ///
    /// You answer for the data and the demand. Whether the field is still ours and the number within min and max
    /// is checked all the same; while it can't be taken back, it goes on being verified. Needs the right to get and patch changes (role flyball-operator).
    Rollback(request::Args),
    /// Stop every change in the cluster, or in one namespace, at once, roll-backs excepted.
    ///
    /// Makes the ConfigMap flyball-freeze in the controller's namespace, with your name, the time and
    /// the reason, which needs the right to create configmaps there (Role flyball-freeze). With -n it
    /// annotates that namespace instead, which needs the right to get and patch it, and knobs of its
    /// processes go back. Changes under way are still judged, and taken back where they do harm.
    Freeze(freeze::FreezeArgs),
    /// End every open Change, before an installation is removed or loses its rights to write.
    ///
    /// Freezes the installation, has what is open cut short (what was written stays, unverified), and waits. Where no
    /// controller leads, it stands for election itself and does it; so it takes the arguments of flyball run, and needs
    /// the controller's rights, and those of the Role flyball-freeze. The chart runs it before the release is uninstalled.
    Drain(Box<drain::DrainArgs>),
    /// Let changes be made again.
    ///
    /// Deletes the ConfigMap flyball-freeze, which needs the right to get and delete it (Role
    /// flyball-freeze). With -n it takes the annotation of that namespace out.
    Unfreeze(freeze::UnfreezeArgs),
}

impl Cli {
    /// The command line of this process, under the name by which it was called. `None`: kubectl asked for completions,
    /// and has them. A command line that is none ends the process, with its usage and exit code 2.
    pub fn of_process() -> Option<Self> {
        let called = completion::called(std::env::args_os().next().as_deref());
        if called == Called::Completer {
            let words: Vec<String> = std::env::args().skip(1).collect();
            // kubectl reads all of it; were it gone, nobody misses the rest.
            let _ = std::io::stdout().write_all(completion::candidates(&words).as_bytes());
            return None;
        }
        let matches = completion::command(called).get_matches();
        Some(Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()))
    }

    /// Runs the command. An error is one line on standard error and exit code 2.
    pub async fn run(self) -> ExitCode {
        let Self {
            command,
            kubeconfig,
            context,
        } = self;
        let kubeconfig = kubeconfig.as_deref();
        let done = match command {
            Command::Run(args) => said(run::run(*args, kubeconfig, context).await),
            Command::Get(args) => said(get::run(args, kubeconfig, context).await),
            Command::Explain(args) => said(explain::run(args, kubeconfig, context).await),
            Command::Doctor(args) => said(doctor::run(args, kubeconfig, context).await),
            Command::Import(args) => said(import::run(args, kubeconfig, context).await),
            Command::Init(args) => said(Box::pin(init::run(args, kubeconfig, context)).await),
            Command::Takeover(args) => said(Box::pin(takeover::run(args, kubeconfig, context)).await),
            Command::Release(args) => said(Box::pin(release::run(args, kubeconfig, context)).await),
            Command::Suspend(args) => said(suspend::suspend(args, kubeconfig, context).await),
            Command::Resume(args) => said(suspend::resume(args, kubeconfig, context).await),
            Command::Pause(args) => said(pause::pause(args, kubeconfig, context).await),
            Command::Unpause(args) => said(pause::unpause(args, kubeconfig, context).await),
            Command::Approve(args) => said(request::run(args, Asked::Approve, kubeconfig, context).await),
            Command::Abort(args) => said(request::run(args, Asked::Of(Request::Abort), kubeconfig, context).await),
            Command::Rollback(args) => {
                said(request::run(args, Asked::Of(Request::RollBack), kubeconfig, context).await)
            }
            Command::Freeze(args) => said(freeze::freeze(args, kubeconfig, context).await),
            Command::Drain(args) => said(Box::pin(drain::drain(*args, kubeconfig, context)).await),
            Command::Unfreeze(args) => said(freeze::unfreeze(args, kubeconfig, context).await),
            Command::Inject(args) => said(inject::run(&args)),
            Command::Crds => said(crds::print(&mut std::io::stdout().lock()).map(|()| ExitCode::SUCCESS)),
            Command::Completion(args) => {
                said(completion::print(&args, &mut std::io::stdout().lock()).map(|()| ExitCode::SUCCESS))
            }
            Command::Check(args) => {
                let out = &mut std::io::stdout().lock();
                let summary = match args.output {
                    Output::Table => check::run(&args.files, out),
                    output => check::run_for_programs(&args.files, output, out),
                };
                said(summary.map(|summary| ExitCode::from(summary.exit_code())))
            }
        };
        done.unwrap_or_else(|error| {
            eprintln!("flyball: {error}");
            ExitCode::from(2)
        })
    }
}

/// An error as the one line that is said of it.
fn said(done: Result<ExitCode, impl std::fmt::Display>) -> Result<ExitCode, String> {
    done.map_err(|error| error.to_string())
}
