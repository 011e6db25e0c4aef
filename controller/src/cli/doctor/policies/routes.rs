//! The routes whose weights a policy moves: whether they are there, have the list, and whose that is.

use super::gitops;
use crate::{
    cli::{
        doctor::{
            finding::{Finding, Mark},
            world::Read,
        },
        fetch::ReadError,
        screen::plain,
    },
    observe::routes::{Route, RouteProblem, find, manager_of},
};
use flyball_core::policy::{Backend, OnReset, RouteList, Weights, WeightsAction};
use flyball_crds::{FIELD_MANAGER, FeedbackPolicy};
use kube::{ResourceExt, api::DynamicObject};

/// A list as people name it.
fn named(list: &RouteList) -> String {
    plain(&format!("{}/{} {}", list.kind, list.name, list.rule))
}

/// Looks at the lists of an action, and returns the weights of the first one that has some.
pub(super) fn examine(
    policy: &FeedbackPolicy,
    action: &WeightsAction,
    world: &super::World,
) -> (Vec<Finding>, Option<Weights>) {
    let namespace = policy.namespace().unwrap_or_default();
    let found: Vec<_> = action
        .routes
        .iter()
        .map(|list| {
            let one = find::find(&world.cluster, &namespace, std::slice::from_ref(list), &action.backends);
            let route = one.map(|mut routes| routes.pop());
            (list, route, unread(&world.routes, &namespace, list))
        })
        .collect();
    let mut findings = Vec::new();
    let mut routes = Vec::new();
    for (list, route, error) in found {
        match (route, error) {
            (_, Some(error)) => findings.push(Finding::unread("route", error)),
            (Ok(Some(route)), None) => {
                findings.push(there(&route, &action.backends));
                routes.push(route);
            }
            (Ok(None), None) => {}
            (Err(problem), None) => findings.push(problem_of(list, &problem)),
        }
    }
    findings.extend(alike(&routes));
    findings.extend(rivals(policy, action, &world.policies));
    for route in &routes {
        findings.push(owner(&route.object));
        findings.extend(gitops::judge(&route.object, &route.located, action.on_reset));
    }
    let weights = routes.first().map(|route| route.located.weights());
    (findings, weights)
}

/// Why an object could not be read; one that is not served is told by the search.
fn unread<'r>(routes: &'r Read, namespace: &str, list: &RouteList) -> Option<&'r ReadError> {
    let key = (
        namespace.to_owned(),
        list.api_version.clone(),
        list.kind.clone(),
        list.name.clone(),
    );
    let error = routes.get(&key)?.as_ref().err()?;
    (!matches!(error, ReadError::NotServed(_))).then_some(error)
}

/// A list that is there, with the weights of all its backends.
pub fn there(route: &Route, managed: &[Backend]) -> Finding {
    let others = route.located.others();
    let beside = if others.is_empty() {
        String::new()
    } else {
        format!("; beside them {}, which are left alone", plain(&others.join(", ")))
    };
    let text = format!(
        "{} has {} of {} managed{beside}",
        named(&route.list),
        plain(&route.located.weights().to_string()),
        managed.len()
    );
    Finding::ok("route", text)
}

/// Why a list can't be moved, as the controller would say it.
pub fn problem_of(list: &RouteList, problem: &RouteProblem) -> Finding {
    match problem {
        RouteProblem::Kind { .. } => Finding::new(
            Mark::Fail,
            "route",
            format!(
                "the API server does not serve {} {}",
                plain(&list.api_version),
                plain(&list.kind)
            ),
            "install its definition; the controller looks for it every minute",
        ),
        RouteProblem::Paused(_) => Finding::message(Mark::Warn, "route", &problem.to_string()),
        RouteProblem::Missing { .. } | RouteProblem::Invalid(_) => {
            Finding::message(Mark::Fail, "route", &problem.to_string())
        }
    }
}

/// Several lists are one target, so they must have the same weights.
pub fn alike(routes: &[Route]) -> Option<Finding> {
    let first = routes.first()?;
    let other = routes
        .iter()
        .find(|route| route.located.weights() != first.located.weights())?;
    Some(Finding::new(
        Mark::Fail,
        "routes",
        format!(
            "{} has {} and {} has {}, so nothing is moved",
            named(&first.list),
            plain(&first.located.weights().to_string()),
            named(&other.list),
            plain(&other.located.weights().to_string())
        ),
        "write the same weights into all of them",
    ))
}

/// Other policies that move a list of one of these routes.
pub fn rivals(policy: &FeedbackPolicy, action: &WeightsAction, all: &[FeedbackPolicy]) -> Vec<Finding> {
    let mine = |kind: &str, name: &str| action.routes.iter().any(|list| list.kind == kind && list.name == name);
    let others = all.iter().filter(|other| {
        let lever = other.spec.actions.iter().find_map(|action| action.weights.as_ref());
        other.uid() != policy.uid()
            && other.namespace() == policy.namespace()
            && lever.is_some_and(|lever| {
                let target = &other.spec.target_ref;
                mine(&target.kind, &target.name) || lever.also.iter().any(|route| mine(&route.kind, &route.name))
            })
    });
    let judged = others.map(|other| {
        let name = plain(&other.name_any());
        let first = crate::observe::owners::comes_before(other, policy);
        let (mark, order) = if first {
            (Mark::Fail, "comes first, so this one moves nothing")
        } else {
            (Mark::Warn, "comes behind this one")
        };
        Finding::new(
            mark,
            "other owners",
            format!("FeedbackPolicy {name} moves a list of the same route, and {order}"),
            "remove one of the two",
        )
    });
    judged.collect()
}

/// Who wrote the lists of the object last, by its managedFields.
pub fn owner(object: &DynamicObject) -> Finding {
    let ours = object
        .managed_fields()
        .iter()
        .any(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER));
    let name = plain(&object.name_any());
    match manager_of(object) {
        Some((manager, operation)) => Finding::ok(
            "owner",
            format!(
                "the lists of {name} are owned by {} ({}){}",
                plain(&manager),
                plain(&operation),
                if ours { ", beside Flyball" } else { "" }
            ),
        ),
        None if ours => Finding::ok("owner", format!("the lists of {name} were written by Flyball last")),
        None => Finding::ok("owner", format!("nobody owns the lists of {name} by its managedFields")),
    }
}

/// How often what was put back is written again, in words.
pub(super) fn again(on_reset: OnReset) -> String {
    match on_reset {
        OnReset::Reapply { per_hour } => format!("Flyball then writes its own again, at most {per_hour} times an hour"),
        OnReset::Stop => "Flyball then leaves them alone (onReset: Stop)".to_owned(),
    }
}
