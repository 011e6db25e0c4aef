//! What an account may do, as the API server is asked.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};

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
