//! Stores whose objects are known from the start and never change.

use kube::{
    api::{ApiResource, DynamicObject},
    runtime::{
        reflector,
        reflector::{Store, store::Writer},
        watcher::Event,
    },
};
use std::{fmt::Debug, hash::Hash};

/// These objects, once and for all.
pub fn store<K>(objects: Vec<K>) -> Store<K>
where
    K: reflector::Lookup<DynamicType = ()> + Clone + Debug + 'static,
{
    let (store, mut writer) = reflector::store();
    fill(&mut writer, objects);
    store
}

/// The same of a kind that is found by discovery.
pub fn dynamic_store(resource: &ApiResource, objects: Vec<DynamicObject>) -> Store<DynamicObject> {
    let mut writer = Writer::new(resource.clone());
    fill(&mut writer, objects);
    writer.as_reader()
}

fn fill<K>(writer: &mut Writer<K>, objects: Vec<K>)
where
    K: reflector::Lookup + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    writer.apply_watcher_event(&Event::Init);
    for object in objects {
        writer.apply_watcher_event(&Event::InitApply(object));
    }
    writer.apply_watcher_event(&Event::InitDone);
}
