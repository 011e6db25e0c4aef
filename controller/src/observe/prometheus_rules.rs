//! The PrometheusRules, watched only while a policy refers to one.
//!
//! Their definition belongs to the prometheus-operator, and may come and go while we run; so may the right
//! to read them. Both are told apart from an object that is not there, and asked for again.

use crate::{
    client::chain,
    prometheus_rule::{GROUP, KIND, PLURAL, PrometheusRule, resource},
};
use flyball_crds::{FeedbackPolicy, Reason};
use futures::StreamExt;
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, ListParams},
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{info, warn};

/// How many objects of the first list are asked for at once. Each may have a mebibyte.
const PAGE: u32 = 50;
/// How soon it is asked again whether the definition and the right are there by now.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a pass waits for the first list.
const FIRST: Duration = Duration::from_secs(5);

/// Why the PrometheusRule of a policy is not at hand. Each message names the field and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesProblem {
    /// The definition is missing.
    #[error(
        "spec.prometheusRuleRef: the API server does not serve {KIND} of {GROUP}/v1; \
         install the definitions of the prometheus-operator, or write the rules into spec.rules"
    )]
    NotInstalled,
    /// The right is missing.
    #[error(
        "spec.prometheusRuleRef: no right to list and watch {PLURAL} of {GROUP}; \
         give it to the controller, as deploy/manifests/rbac.yaml does"
    )]
    Forbidden,
    /// They could not be read yet.
    #[error("spec.prometheusRuleRef: {KIND} objects could not be read yet: {0}; see what works with: flyball doctor")]
    Unread(String),
    /// There is none of this name.
    #[error(
        "spec.prometheusRuleRef.name: {KIND} {name} does not exist in namespace {namespace}; \
         create it, or correct the name"
    )]
    NotFound {
        /// Its namespace, the policy's own.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl RulesProblem {
    /// The reason as conditions have it.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NotInstalled | Self::NotFound { .. } => Reason::RulesNotFound,
            Self::Forbidden | Self::Unread(_) => Reason::RulesUnavailable,
        }
    }
}

/// What a policy's reference to a PrometheusRule leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Referred {
    /// It refers to none.
    Nothing,
    /// The object.
    Found(Arc<PrometheusRule>),
    /// Why the object is not at hand.
    Problem(RulesProblem),
}

/// How far the watch has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Progress {
    /// No policy refers to any.
    Idle,
    /// The first list is not in.
    Listing,
    /// Everything is there.
    In,
    /// They can't be read.
    Out(RulesProblem),
}

/// An object's namespace and name.
type Key = (String, String);

#[derive(Default)]
struct Known {
    objects: BTreeMap<Key, Arc<PrometheusRule>>,
    /// What a list that comes in has named so far.
    listed: Option<BTreeSet<Key>>,
}

/// The PrometheusRules. Copies are the same ones.
#[derive(Clone)]
pub struct PrometheusRules {
    known: Arc<RwLock<Known>>,
    progress: watch::Receiver<Progress>,
    wanted: Arc<watch::Sender<bool>>,
}

/// Who is told that something changed: one object, or everything.
type OnChange = dyn Fn(Option<(&str, &str)>) + Send + Sync;

impl PrometheusRules {
    /// Watches the objects of a namespace, or of all, from when the first policy refers to one. Ends when
    /// the last copy is dropped.
    pub fn watch(
        client: &Client,
        scope: Option<&str>,
        on_change: impl Fn(Option<(&str, &str)>) + Send + Sync + 'static,
    ) -> Self {
        let api = match scope {
            None => Api::all_with(client.clone(), &resource()),
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource()),
        };
        let (publish, progress) = watch::channel(Progress::Idle);
        let (wanted, mut asked_for) = watch::channel(false);
        let rules = Self {
            known: Arc::default(),
            progress,
            wanted: Arc::new(wanted),
        };
        let watched = Watched {
            api,
            known: Arc::clone(&rules.known),
            publish,
            on_change: Box::new(on_change),
        };
        tokio::spawn(async move {
            while asked_for.wait_for(|wanted| *wanted).await.is_ok() {
                watched.publish.send_replace(Progress::Listing);
                tokio::select! {
                    () = watched.follow() => {}
                    _ = asked_for.wait_for(|wanted| !*wanted) => {}
                }
                watched.publish.send_replace(Progress::Idle);
                watched.forget();
            }
        });
        rules
    }

    /// Where nothing is watched.
    pub fn none() -> Self {
        let (_, progress) = watch::channel(Progress::Out(RulesProblem::Unread("they are not watched".to_owned())));
        Self {
            known: Arc::default(),
            progress,
            wanted: Arc::new(watch::channel(false).0),
        }
    }

    /// Whether any policy refers to one: without, nothing is watched.
    pub fn want(&self, wanted: bool) {
        self.wanted
            .send_if_modified(|old| std::mem::replace(old, wanted) != wanted);
    }

    /// Waits until the first list is in, or can't be had, for some seconds at most. Without a policy that
    /// refers to one there is nothing to wait for.
    pub async fn settled(&self) {
        if *self.wanted.borrow() {
            let settled = |progress: &Progress| matches!(progress, Progress::In | Progress::Out(_));
            drop(timeout(FIRST, self.progress.clone().wait_for(settled)).await);
        }
    }

    /// What a policy's reference leads to. The first time, this waits for the first list.
    pub async fn of(&self, policy: &FeedbackPolicy) -> Referred {
        if policy.spec.prometheus_rule_ref.is_some() {
            self.want(true);
            self.settled().await;
        }
        self.known_of(policy)
    }

    /// The same from memory.
    pub fn known_of(&self, policy: &FeedbackPolicy) -> Referred {
        let Some(reference) = &policy.spec.prometheus_rule_ref else {
            return Referred::Nothing;
        };
        match &*self.progress.borrow() {
            Progress::In => {}
            Progress::Out(problem) => return Referred::Problem(problem.clone()),
            Progress::Idle | Progress::Listing => {
                return Referred::Problem(RulesProblem::Unread("the first list is not in".to_owned()));
            }
        }
        let key = (policy.namespace().unwrap_or_default(), reference.name.clone());
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.objects.get(&key).map_or_else(
            || {
                let (namespace, name) = key.clone();
                Referred::Problem(RulesProblem::NotFound { namespace, name })
            },
            |object| Referred::Found(Arc::clone(object)),
        )
    }
}

/// The watching end.
struct Watched {
    api: Api<DynamicObject>,
    known: Arc<RwLock<Known>>,
    publish: watch::Sender<Progress>,
    on_change: Box<OnChange>,
}

impl Watched {
    /// Watches again and again.
    async fn follow(&self) {
        loop {
            // Asked before it is watched: the watch itself logs every refusal.
            match self.api.list(&ListParams::default().limit(1)).await {
                Ok(_) => {
                    if let Some(problem) = self.until_refused().await {
                        self.out(problem);
                    }
                }
                Err(error) => self.out(out_of_reach(&error).unwrap_or_else(|| RulesProblem::Unread(chain(&error)))),
            }
            sleep(AGAIN).await;
        }
    }

    /// Watches until the server says that the kind is not there, or not for us.
    async fn until_refused(&self) -> Option<RulesProblem> {
        let config = watcher::Config::default().page_size(PAGE);
        let mut events = pin!(watcher(self.api.clone(), config).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.apply(&event),
                Err(error) => {
                    warn!(error = chain(&error), kind = KIND, "a watch failed; trying again");
                    if let Some(problem) = refused(&error) {
                        return Some(problem);
                    }
                    // Once they were read, what was known last is still the best there is.
                    if *self.publish.borrow() != Progress::In {
                        self.out(RulesProblem::Unread(chain(&error)));
                    }
                }
            }
        }
        None
    }

    fn apply(&self, event: &Event<DynamicObject>) {
        match event {
            Event::Init => self.known().listed = Some(BTreeSet::new()),
            Event::InitApply(seen) | Event::Apply(seen) => self.put(seen),
            Event::Delete(seen) => {
                let key = key(seen);
                if self.known().objects.remove(&key).is_some() {
                    self.changed(&key);
                }
            }
            Event::InitDone => {
                let gone: Vec<Key> = {
                    let known = &mut *self.known();
                    let listed = known.listed.take().unwrap_or_default();
                    let gone = known.objects.keys().filter(|key| !listed.contains(*key)).cloned();
                    let gone = gone.collect();
                    known.objects.retain(|key, _| listed.contains(key));
                    gone
                };
                if self.publish.send_replace(Progress::In) == Progress::In {
                    for key in &gone {
                        self.changed(key);
                    }
                } else {
                    info!(kind = KIND, "may be read now");
                    (self.on_change)(None);
                }
            }
        }
    }

    /// Keeps an object. One that says what it said before stays the same one, and wakes nobody.
    fn put(&self, seen: &DynamicObject) {
        let key = key(seen);
        let object = PrometheusRule::read(&key.1, seen.data.get("spec"));
        let known = &mut *self.known();
        if let Some(listed) = &mut known.listed {
            listed.insert(key.clone());
        }
        if known.objects.get(&key).is_some_and(|known| **known == object) {
            return;
        }
        known.objects.insert(key.clone(), Arc::new(object));
        // The whole first list is told of at its end.
        if *self.publish.borrow() == Progress::In {
            self.changed(&key);
        }
    }

    fn out(&self, problem: RulesProblem) {
        self.forget();
        let new = Progress::Out(problem);
        let told = self.publish.send_if_modified(|old| {
            let moved = *old != new;
            *old = new;
            moved
        });
        if told {
            if let Progress::Out(problem) = &*self.publish.borrow() {
                warn!(%problem, "rules of PrometheusRules can't be taken");
            }
            (self.on_change)(None);
        }
    }

    fn forget(&self) {
        *self.known() = Known::default();
    }

    fn changed(&self, (namespace, name): &Key) {
        (self.on_change)(Some((namespace, name)));
    }

    fn known(&self) -> std::sync::RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(object: &DynamicObject) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn out_of_reach(error: &kube::Error) -> Option<RulesProblem> {
    match error {
        kube::Error::Api(status) => of_code(status.code),
        _ => None,
    }
}

fn refused(error: &watcher::Error) -> Option<RulesProblem> {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => out_of_reach(error),
        watcher::Error::WatchError(status) => of_code(status.code),
        watcher::Error::NoResourceVersion => None,
    }
}

/// A list of a kind that is not served is answered with 404.
fn of_code(code: u16) -> Option<RulesProblem> {
    match code {
        403 => Some(RulesProblem::Forbidden),
        404 => Some(RulesProblem::NotInstalled),
        _ => None,
    }
}
