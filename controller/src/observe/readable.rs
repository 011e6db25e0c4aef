//! A watch that one object can't break.
//!
//! A typed list fails as a whole where one of its objects can't be read: a field written by a newer version, or
//! a value that a schema lets through and a type does not. Then every tenant would wait for one. So each
//! object is read on its own, and one that can't be is left out, said, and remembered: what it was about is
//! not known, and must not be taken for gone.

use futures::{Stream, StreamExt, future};
use kube::{Resource, ResourceExt, core::DeserializeGuard, runtime::reflector::ObjectRef, runtime::watcher::Event};
use std::{
    collections::BTreeMap,
    fmt,
    hash::Hash,
    mem,
    sync::{Arc, Mutex, PoisonError},
};
use tracing::{error, info};

/// An object that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its namespace; empty where it has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What is wrong with it.
    pub error: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} can't be read: {}; mend or delete it, or run the version of Flyball that wrote it",
            self.name, self.error
        )
    }
}

/// The objects of one kind that can't be read, by UID.
#[derive(Clone, Debug, Default)]
pub struct AllUnreadable(Arc<Mutex<BTreeMap<String, Unreadable>>>);

impl AllUnreadable {
    /// Their UIDs.
    pub fn uids(&self) -> Vec<String> {
        self.with(|all| all.keys().cloned().collect())
    }

    /// The first one with this label.
    pub fn labelled(&self, label: &str, value: &str) -> Option<Unreadable> {
        self.with(|all| {
            all.values()
                .find(|one| one.labels.get(label).map(String::as_str) == Some(value))
                .cloned()
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<String, Unreadable>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The readable objects of a watch. `known` gives what is kept of an object so far, so that one that becomes
/// unreadable is not acted on as it was before.
pub fn readable<K, E>(
    events: impl Stream<Item = Result<Event<DeserializeGuard<K>>, E>>,
    unreadable: AllUnreadable,
    known: impl Fn(&ObjectRef<K>) -> Option<Arc<K>>,
) -> impl Stream<Item = Result<Event<K>, E>>
where
    K: Resource<DynamicType = ()> + Clone,
    K::DynamicType: Eq + Hash,
{
    let mut listed = BTreeMap::new();
    events.filter_map(move |event| {
        let event = match event {
            Ok(event) => event,
            Err(error) => return future::ready(Some(Err(error))),
        };
        future::ready(
            match event {
                Event::Init => {
                    listed.clear();
                    Some(Event::Init)
                }
                Event::InitApply(object) => keep(object, &mut listed).map(Event::InitApply),
                Event::InitDone => {
                    unreadable.with(|all| *all = mem::take(&mut listed));
                    Some(Event::InitDone)
                }
                Event::Apply(object) => {
                    let of = reference(&object);
                    match unreadable.with(|all| keep(object, all)) {
                        Some(object) => Some(Event::Apply(object)),
                        None => known(&of).map(|old| Event::Delete(K::clone(&old))),
                    }
                }
                Event::Delete(object) => {
                    let of = reference(&object);
                    unreadable.with(|all| all.remove(&object.uid().unwrap_or_default()));
                    object
                        .0
                        .ok()
                        .or_else(|| known(&of).map(|old| K::clone(&old)))
                        .map(Event::Delete)
                }
            }
            .map(Ok),
        )
    })
}

fn reference<K: Resource<DynamicType = ()>>(object: &DeserializeGuard<K>) -> ObjectRef<K> {
    let reference = ObjectRef::new(&object.name_any());
    match object.namespace() {
        Some(namespace) => reference.within(&namespace),
        None => reference,
    }
}

/// The object, if it can be read; else it is kept among those that can't.
fn keep<K>(object: DeserializeGuard<K>, all: &mut BTreeMap<String, Unreadable>) -> Option<K>
where
    K: Resource<DynamicType = ()>,
{
    let uid = object.uid().unwrap_or_default();
    match object.0 {
        Ok(object) => {
            if all.remove(&uid).is_some() {
                info!(kind = %K::kind(&()), name = object.name_any(), "it can be read again");
            }
            Some(object)
        }
        Err(invalid) => {
            let one = Unreadable {
                namespace: invalid.metadata.namespace.unwrap_or_default(),
                name: invalid.metadata.name.unwrap_or_default(),
                labels: invalid.metadata.labels.unwrap_or_default(),
                error: crate::text::clean(invalid.error),
            };
            error!(kind = %K::kind(&()), namespace = one.namespace, "{one}");
            all.insert(uid, one);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_crds::{FeedbackPolicy, POLICY_LABEL};
    use futures::stream;
    use serde_json::{Value, json};
    use std::convert::Infallible;

    type Guarded = Event<DeserializeGuard<FeedbackPolicy>>;

    fn policy(name: &str, mode: &Value) -> DeserializeGuard<FeedbackPolicy> {
        serde_json::from_value(json!({
            "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy",
            "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "labels": {POLICY_LABEL: name}},
            "spec": {
                "mode": mode, "sourceRef": {"name": "prometheus"}, "actions": [],
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            },
        }))
        .unwrap()
    }

    fn good(name: &str) -> DeserializeGuard<FeedbackPolicy> {
        policy(name, &json!("Enforce"))
    }

    /// A mode that a later version may know.
    fn bad(name: &str) -> DeserializeGuard<FeedbackPolicy> {
        policy(name, &json!("Dream"))
    }

    /// What gets through, and who can't be read in the end.
    fn check(events: Vec<Guarded>, through: &[&str], unreadable: &[&str]) {
        let all = AllUnreadable::default();
        let events = stream::iter(events.into_iter().map(Ok::<_, Infallible>));
        let known = |of: &ObjectRef<FeedbackPolicy>| good(&of.name).0.ok().map(Arc::new);
        let seen: Vec<String> = futures::executor::block_on(
            readable(events, all.clone(), known)
                .map(|event| match event.unwrap() {
                    Event::Init => "init".to_owned(),
                    Event::InitApply(one) => format!("listed {}", one.name_any()),
                    Event::InitDone => "done".to_owned(),
                    Event::Apply(one) => format!("applied {}", one.name_any()),
                    Event::Delete(one) => format!("deleted {}", one.name_any()),
                })
                .collect(),
        );
        assert_eq!(seen, through);
        assert_eq!(all.uids().len(), unreadable.len());
        for name in unreadable {
            assert!(all.uids().contains(&format!("uid-{name}")), "{name}");
            let one = all.labelled(POLICY_LABEL, name).unwrap();
            assert!(one.to_string().contains("Dream"), "{one}");
        }
    }

    #[test]
    fn one_object_does_not_keep_a_list_from_being_read() {
        let list = vec![
            Event::Init,
            Event::InitApply(bad("a")),
            Event::InitApply(good("b")),
            Event::InitDone,
        ];
        check(list, &["init", "listed b", "done"], &["a"]);
    }

    #[test]
    fn an_object_that_becomes_unreadable_is_not_acted_on_as_it_was() {
        check(vec![Event::Apply(bad("a"))], &["deleted a"], &["a"]);
        check(
            vec![Event::Apply(bad("a")), Event::Apply(good("a"))],
            &["deleted a", "applied a"],
            &[],
        );
        check(
            vec![Event::Apply(bad("a")), Event::Delete(bad("a"))],
            &["deleted a", "deleted a"],
            &[],
        );
    }

    #[test]
    fn a_new_list_forgets_who_is_gone() {
        let again = vec![Event::Apply(bad("a")), Event::Init, Event::InitDone];
        check(again, &["deleted a", "init", "done"], &[]);
    }
}
