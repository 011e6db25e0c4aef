//! What an account may do, as the API server is asked, and its tokens.

#![allow(clippy::expect_used, clippy::missing_panics_doc)] // What fails here ends a test, and says so.

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, Client, api::PostParams};

/// A right: the verb, the group and the resource (with its subresource behind a slash), and where.
#[derive(Clone, Copy, Debug)]
pub struct Right<'a> {
    /// Such as `update`.
    pub verb: &'a str,
    /// Empty for the core group.
    pub group: &'a str,
    /// Such as `deployments/scale`.
    pub resource: &'a str,
    /// Of one object; `None`: of all.
    pub name: Option<&'a str>,
    /// Empty: in all of them.
    pub namespace: &'a str,
}

impl Right<'_> {
    /// The question whether the service account of this user name has it.
    pub fn of(self, account: &str) -> SubjectAccessReview {
        let (resource, subresource) = match self.resource.split_once('/') {
            Some((resource, rest)) => (resource, Some(rest.to_owned())),
            None => (self.resource, None),
        };
        let attributes = ResourceAttributes {
            verb: Some(self.verb.to_owned()),
            group: Some(self.group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource,
            name: self.name.map(ToOwned::to_owned),
            namespace: Some(self.namespace.to_owned()),
            ..ResourceAttributes::default()
        };
        let groups = ["system:serviceaccounts", "system:authenticated"];
        SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(account.to_owned()),
                groups: Some(groups.map(ToOwned::to_owned).to_vec()),
                resource_attributes: Some(attributes),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        }
    }
}

/// A token of a `ServiceAccount`, which is made if it is not there.
pub async fn token(client: &Client, namespace: &str, account: &str, audiences: &[&str]) -> String {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    if api.get_opt(account).await.expect("an answer").is_none() {
        let made = serde_json::json!({"metadata": {"name": account}});
        let made: ServiceAccount = serde_json::from_value(made).expect("a ServiceAccount");
        api.create(&PostParams::default(), &made).await.expect("it is made");
    }
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: audiences.iter().map(|&one| one.to_owned()).collect(),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let answer = api
        .create_token_request(account, &PostParams::default(), &request)
        .await;
    answer.expect("a token").status.expect("a token").token
}
