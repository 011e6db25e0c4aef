//! Arguments that several commands share.

/// One policy.
#[derive(Clone, Debug, clap::Args)]
pub struct PolicyArgs {
    /// The policy.
    pub policy: String,
    /// The namespace; without it the one of the kubeconfig's context.
    #[arg(short, long)]
    pub namespace: Option<String>,
}

/// Where the controller is.
#[derive(Clone, Debug, clap::Args)]
pub struct ControllerArgs {
    /// The namespace in which the controller runs.
    #[arg(long, value_name = "NAMESPACE", default_value = "flyball-system")]
    pub namespace_of_controller: String,
}

/// Where the controller's lease is.
#[derive(Clone, Debug, clap::Args)]
pub struct LeaseArgs {
    /// The namespace in which the controller runs.
    #[arg(long, value_name = "NAMESPACE", default_value = "flyball-system")]
    pub namespace_of_controller: String,
    /// The name of the controller's Lease.
    #[arg(long, default_value = "flyball")]
    pub lease_name: String,
}
