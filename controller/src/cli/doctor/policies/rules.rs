//! The PrometheusRule that a policy refers to, and the rules that are taken from it.

use crate::{
    cli::{
        doctor::finding::{Finding, Mark},
        fetch::ReadError,
        screen::plain,
    },
    observe::prometheus_rules::RulesProblem,
    prometheus_rule::PrometheusRule,
    validate::{self, FieldError},
};
use flyball_crds::FeedbackPolicy;
use kube::ResourceExt;

/// What was read of the object that a policy refers to; `None`: it refers to none, or its name is none.
pub type Read<'r> = Option<&'r Result<Option<PrometheusRule>, ReadError>>;

/// Judges the reference by what was read.
pub fn rules(policy: &FeedbackPolicy, read: Read<'_>) -> Option<Finding> {
    let reference = policy.spec.prometheus_rule_ref.as_ref()?;
    let failed = |problem: &RulesProblem| Some(Finding::message(Mark::Fail, "rules", &problem.to_string()));
    match read? {
        Ok(Some(object)) => {
            // What is wrong with it stands under spec.
            let resolved = validate::policy_with(&policy.spec, object).ok()?;
            let names: Vec<String> = resolved.origins.keys().map(|name| plain(name)).collect();
            Some(Finding::ok("rules", format!("{object}: takes {}", names.join(", "))))
        }
        Ok(None) => failed(&RulesProblem::NotFound {
            namespace: policy.namespace().unwrap_or_default(),
            name: reference.name.clone(),
        }),
        Err(ReadError::NotServed(_)) => failed(&RulesProblem::NotInstalled),
        // Whether the controller may read it stands under Rights.
        Err(error @ ReadError::Forbidden { .. }) => Some(Finding::message(Mark::Skip, "rules", &error.to_string())),
        Err(error) => Some(Finding::message(Mark::Fail, "rules", &error.to_string())),
    }
}

/// The object, where it was read.
pub(super) fn object(read: Read<'_>) -> Option<&PrometheusRule> {
    read?.as_ref().ok()?.as_ref()
}

/// What is wrong with a spec together with the object, and what is worth a second look.
pub(super) fn judged(policy: &FeedbackPolicy, object: Option<&PrometheusRule>) -> (Vec<FieldError>, Vec<FieldError>) {
    let spec = &policy.spec;
    match (validate::policy(spec), object) {
        (Ok(_), Some(object)) => (
            validate::policy_with(spec, object).err().unwrap_or_default(),
            validate::warnings_with(spec, object),
        ),
        (own, _) => (own.err().unwrap_or_default(), validate::warnings(spec)),
    }
}
