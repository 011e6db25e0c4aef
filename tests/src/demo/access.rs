//! Kubeconfigs with the token of one account: what runs beside the cluster gets no more rights
//! than it has in it.

use super::error::DemoError;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{AuthInfo, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedContext},
};
use std::{io::Write, os::unix::fs::OpenOptionsExt, path::Path};

/// How long a token is good for: longer than any run.
const LIFETIME: i64 = 2 * 3600;

/// The cluster that a kubeconfig points to, and how it is reached.
#[derive(Clone)]
pub struct Access {
    /// A client with the user's own rights.
    pub client: Client,
    /// The name of the context.
    pub context: String,
    kubeconfig: Kubeconfig,
}

impl Access {
    /// By the file, or as kubectl would find it.
    pub async fn open(file: Option<&Path>) -> Result<Self, DemoError> {
        let bad = |error: &dyn std::error::Error| DemoError::Kubeconfig(error.to_string());
        let kubeconfig = match file {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        let kubeconfig = kubeconfig.map_err(|error| bad(&error))?;
        let context = kubeconfig.current_context.clone().unwrap_or_default();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig.clone(), &options)
            .await
            .map_err(|error| bad(&error))?;
        let client = Client::try_from(config).map_err(DemoError::api("connect to the cluster"))?;
        Ok(Self {
            client,
            context,
            kubeconfig,
        })
    }

    /// Writes a kubeconfig, for its owner's eyes only, with a fresh token of an account.
    pub async fn write_for(&self, namespace: &str, account: &str, file: &Path) -> Result<(), DemoError> {
        let spec = TokenRequestSpec {
            expiration_seconds: Some(LIFETIME),
            ..TokenRequestSpec::default()
        };
        let request = TokenRequest {
            spec,
            ..TokenRequest::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let answer = accounts
            .create_token_request(account, &PostParams::default(), &request)
            .await;
        let answer = answer.map_err(DemoError::api(format!("a token for {namespace}/{account}")))?;
        let token = answer.status.map(|status| status.token).unwrap_or_default();
        let text = self.kubeconfig_with(namespace, account, token)?;
        // A file of an earlier run may be there, with other rights.
        let _ = std::fs::remove_file(file);
        let mut options = std::fs::OpenOptions::new();
        let mut out = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(file)
            .map_err(DemoError::file(file))?;
        out.write_all(text.as_bytes()).map_err(DemoError::file(file))
    }

    fn kubeconfig_with(&self, namespace: &str, account: &str, token: String) -> Result<String, DemoError> {
        let known = &self.kubeconfig;
        let context = known.contexts.iter().find(|context| context.name == self.context);
        let wanted = context
            .and_then(|context| context.context.as_ref())
            .map(|context| context.cluster.clone());
        let cluster = known
            .clusters
            .iter()
            .find(|cluster| Some(&cluster.name) == wanted.as_ref());
        let Some(cluster) = cluster else {
            return Err(DemoError::Kubeconfig(format!(
                "the context {:?} names no cluster",
                self.context
            )));
        };
        let context = Context {
            cluster: cluster.name.clone(),
            user: Some(account.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..Context::default()
        };
        let user = AuthInfo {
            token: Some(token.into()),
            ..AuthInfo::default()
        };
        let written = Kubeconfig {
            clusters: vec![cluster.clone()],
            auth_infos: vec![NamedAuthInfo {
                name: account.to_owned(),
                auth_info: Some(user),
                ..NamedAuthInfo::default()
            }],
            contexts: vec![NamedContext {
                name: account.to_owned(),
                context: Some(context),
                ..NamedContext::default()
            }],
            current_context: Some(account.to_owned()),
            api_version: Some("v1".to_owned()),
            kind: Some("Config".to_owned()),
            ..Kubeconfig::default()
        };
        serde_yaml::to_string(&written).map_err(|error| DemoError::Kubeconfig(error.to_string()))
    }
}
