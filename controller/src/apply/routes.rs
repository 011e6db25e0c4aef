//! Writes to routes: their stamps and their weights, place by place, each with the resourceVersion it was
//! decided on and tests of what it must not hit by mistake.

use super::{Authority, Handle, guard::Guard};
use crate::{
    client::{CallError, CallKind, WRITE_LIMIT, within},
    metrics::Verb,
    observe::{
        freeze::Freeze,
        routes::{find, locate, weights_patch},
    },
};
use flyball_core::{
    check::DryRun,
    policy::{Backend, RouteList, Weights},
    transaction::{Event, Places, Stamp, Target, Tx},
};
use flyball_crds::{FIELD_MANAGER, STAMP_ANNOTATION};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
};
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;
use tracing::{debug, warn};

/// How often one write is sent, if nothing but the target's version moves on.
const WRITES: usize = 5;

/// A transaction over weights.
pub type WeightsTx = Tx<Places<Weights>, Vec<String>>;
/// What happened to it.
pub type WeightsEvent = Event<Places<Weights>, Vec<String>>;
/// The routes as a transaction sees them.
pub type WeightsTarget = Target<Places<Weights>, Vec<String>>;

/// One route in the hands of a transaction.
pub struct Place {
    /// Which list.
    pub list: RouteList,
    /// How to address its kind.
    pub resource: ApiResource,
    /// The object as it was seen.
    pub object: DynamicObject,
}

/// The hands on all routes of a transaction.
pub struct RouteHands<'a> {
    client: Client,
    namespace: &'a str,
    managed: &'a [Backend],
    /// The number of the transaction in the stamps.
    sequence: u64,
    authority: &'a Authority,
    guard: Guard<'a>,
    places: Vec<(RouteList, ApiResource)>,
    /// The objects as they were last seen or returned, in the order of the places.
    objects: Mutex<Vec<DynamicObject>>,
}

impl<'a> RouteHands<'a> {
    /// Hands on these routes.
    pub fn new(
        client: &Client,
        namespace: &'a str,
        managed: &'a [Backend],
        sequence: u64,
        places: Vec<Place>,
        authority: &'a Authority,
    ) -> Self {
        let (places, objects) = places
            .into_iter()
            .map(|place| ((place.list, place.resource), place.object))
            .unzip();
        Self {
            client: client.clone(),
            namespace,
            managed,
            sequence,
            authority,
            guard: Guard::default(),
            places,
            objects: Mutex::new(objects),
        }
    }

    /// The same hands, which write nothing forward while the installation is frozen or this namespace paused.
    #[must_use]
    pub fn unless(mut self, freeze: &'a Freeze, namespace: &'a str) -> Self {
        self.guard.look_at(freeze, namespace);
        self
    }

    /// The routes as they are known now.
    pub fn target(&self) -> WeightsTarget {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = self.places.iter().zip(objects.iter());
        find::joined(
            seen.map(|((list, _), object)| find::seen(object, list, self.managed)),
            self.sequence,
        )
    }

    fn object(&self, place: usize) -> Option<DynamicObject> {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.get(place).cloned()
    }

    fn keep(&self, place: usize, object: DynamicObject) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = objects.get_mut(place) {
            *known = object;
        }
    }

    fn api(&self, place: usize) -> Option<Api<DynamicObject>> {
        let (_, resource) = self.places.get(place)?;
        Some(Api::namespaced_with(self.client.clone(), self.namespace, resource))
    }

    /// Asks the API server what it would say to these weights in each route.
    pub async fn dry_run(&self, to: &Weights) -> DryRun {
        for place in 0..self.places.len() {
            let (Some(api), Some(object)) = (self.api(place), self.object(place)) else {
                continue;
            };
            let patch = match self.patch(place, &object, to) {
                Ok(patch) => patch,
                Err(why) => return DryRun::Refused(why),
            };
            let parameters = PatchParams {
                dry_run: true,
                ..parameters()
            };
            let name = object.name_any();
            let patch = Patch::<()>::Json(patch);
            let request = api.patch(&name, &parameters, &patch);
            let Err(error) = self.authority.to_target(Verb::DryRun, request).await else {
                continue;
            };
            return match error.kind() {
                CallKind::Conflict => DryRun::Skipped(format!("a route changed meanwhile: {error}")),
                CallKind::Invalid | CallKind::Forbidden | CallKind::Unauthorized | CallKind::NotFound => {
                    DryRun::Refused(error.to_string())
                }
                _ => DryRun::Skipped(format!("the API server gave no answer to the trial: {error}")),
            };
        }
        DryRun::Accepted
    }

    fn patch(&self, place: usize, object: &DynamicObject, to: &Weights) -> Result<json_patch::Patch, String> {
        let Some((list, _)) = self.places.get(place) else {
            return Err("there is no such place".to_owned());
        };
        let located = locate(object, list, self.managed).map_err(|error| error.to_string())?;
        let (uid, version) = (
            object.uid().unwrap_or_default(),
            object.resource_version().unwrap_or_default(),
        );
        weights_patch(object, &located, &uid, &version, to).map_err(|error| error.to_string())
    }

    /// Writes one place. Whoever runs the proxy may write the status of a route at any time, so a conflict is
    /// looked into as that of a scale is: as long as stamp and weights are those that were seen, only the
    /// version moved on.
    async fn write_place(&self, place: usize, to: &Weights) -> WeightsEvent {
        for _ in 0..WRITES {
            let (Some(api), Some(object)) = (self.api(place), self.object(place)) else {
                return Event::Lost;
            };
            // The list is another than it was: nothing was sent, and the next pass reads it again.
            let patch = match self.patch(place, &object, to) {
                Ok(patch) => Patch::<()>::Json(patch),
                Err(why) => {
                    debug!(namespace = self.namespace, route = object.name_any(), why, "no patch");
                    return Event::Conflict;
                }
            };
            let (name, parameters) = (object.name_any(), parameters());
            let request = api.patch(&name, &parameters, &patch);
            let error = match self.authority.to_target(Verb::Patch, request).await {
                Ok(written) => {
                    self.keep(place, written);
                    return Event::Accepted(self.target());
                }
                Err(error) => error,
            };
            // A test that fails is answered as an invalid object is.
            if !matches!(error.kind(), CallKind::Conflict | CallKind::Invalid) {
                return self.failed("write", &name, &error);
            }
            match self.looked_again(&api, place, &object).await {
                Again::OnlyTheVersion => {}
                Again::Nothing if error.kind() == CallKind::Invalid => return self.failed("write", &name, &error),
                Again::Nothing | Again::Another => return Event::Conflict,
            }
        }
        Event::Conflict
    }

    async fn looked_again(&self, api: &Api<DynamicObject>, place: usize, before: &DynamicObject) -> Again {
        let Some((list, _)) = self.places.get(place) else {
            return Again::Another;
        };
        let read = within(Instant::now() + WRITE_LIMIT, api.get(&before.name_any())).await;
        let Ok(now) = read else { return Again::Another };
        let ((weights, version, stamp), (weights_now, version_now, stamp_now)) = (
            find::seen(before, list, self.managed),
            find::seen(&now, list, self.managed),
        );
        if version == version_now {
            return Again::Nothing;
        }
        if now.uid() != before.uid() || weights != weights_now || stamp != stamp_now || stamp.is_none() {
            return Again::Another;
        }
        self.keep(place, now);
        Again::OnlyTheVersion
    }

    fn failed(&self, what: &str, name: &str, error: &CallError) -> WeightsEvent {
        warn!(namespace = self.namespace, route = name, what, %error, "a write was not accepted");
        match error.kind() {
            CallKind::Conflict | CallKind::NotFound => Event::Conflict,
            CallKind::Invalid | CallKind::Forbidden | CallKind::Unauthorized => {
                self.guard.refuse(error.to_string());
                Event::Refused
            }
            _ => Event::Lost,
        }
    }
}

/// What a second look at a route found.
enum Again {
    /// Somebody wrote another part of it.
    OnlyTheVersion,
    /// It is as it was.
    Nothing,
    /// It is another.
    Another,
}

fn parameters() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

impl Handle<Places<Weights>, Vec<String>> for RouteHands<'_> {
    /// The merge patch carries the resourceVersion as its precondition, as that of a workload does.
    async fn stamp(&self, stamp: Stamp, at: &Vec<String>) -> WeightsEvent {
        for place in 0..self.places.len() {
            let (Some(api), Some(object), Some(version)) = (self.api(place), self.object(place), at.get(place)) else {
                return Event::Lost;
            };
            let text = stamp.to_string();
            if object.annotations().get(STAMP_ANNOTATION) == Some(&text) {
                continue;
            }
            let patch = serde_json::json!({"metadata": {
                "uid": object.uid(),
                "resourceVersion": version,
                "annotations": {STAMP_ANNOTATION: text},
            }});
            let (name, parameters, patch) = (object.name_any(), parameters(), Patch::Merge(&patch));
            let request = api.patch(&name, &parameters, &patch);
            return match self.authority.to_target(Verb::Patch, request).await {
                Ok(stamped) => {
                    self.keep(place, stamped);
                    Event::Accepted(self.target())
                }
                Err(error) => self.failed("stamp", &name, &error),
            };
        }
        Event::Accepted(self.target())
    }

    async fn write(&self, value: Places<Weights>, _at: &Vec<String>, seen: &WeightsTarget) -> WeightsEvent {
        let places = value.0.iter().zip(&seen.value.0).enumerate();
        for (place, (to, found)) in places {
            if to != found {
                return self.write_place(place, to).await;
            }
        }
        Event::Accepted(self.target())
    }

    async fn is_frozen(&self) -> bool {
        self.guard.holds(&self.client).await
    }

    fn refusal(&self) -> Option<String> {
        self.guard.refusal()
    }
}
