//! All objects that a role needs, and which groups a change concerns.
//!
//! Invariant: a group is built anew if its own object changed, or one that it shows labels of.
//! Changes in fields that nobody reads are none. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::objects::{Key, Kind, Object};
use super::reflector::Scope;
use super::{Attach, Role, endpoints, ingress, node, pod, service, slice};
use crate::discovery::{Group, LabelMap};

/// What happened to objects.
#[derive(Debug)]
pub(super) enum Change {
    /// These are all objects of the scope.
    Listed { scope: Scope, objects: Vec<Object> },
    /// An object is new or another.
    Set(Box<Object>),
    /// An object is gone.
    Deleted(Key),
}

/// The objects.
#[derive(Debug)]
pub(super) struct State {
    role: Role,
    attach: Attach,
    objects: BTreeMap<Key, Object>,
    listed: Vec<Scope>,
    dirty: BTreeSet<Key>,
}

impl State {
    pub(super) fn new(role: Role, attach: Attach) -> Self {
        let (objects, dirty) = (BTreeMap::new(), BTreeSet::new());
        Self { role, attach, objects, listed: Vec::new(), dirty }
    }

    /// Takes a change; true if a scope has been listed for the first time.
    pub(super) fn apply(&mut self, change: Change) -> bool {
        match change {
            Change::Set(object) => self.set(*object),
            Change::Deleted(key) => self.remove(&key),
            Change::Listed { scope, objects } => {
                let present: BTreeSet<Key> = objects.iter().map(Object::key).collect();
                let gone = self.objects.keys().filter(|key| {
                    let inside = scope.namespace.as_ref().is_none_or(|ns| *ns == key.namespace);
                    key.kind == scope.kind && inside && !present.contains(*key)
                });
                let gone: Vec<Key> = gone.cloned().collect();
                gone.iter().for_each(|key| self.remove(key));
                objects.into_iter().for_each(|object| self.set(object));
                if !self.listed.contains(&scope) {
                    self.listed.push(scope);
                    return true;
                }
            }
        }
        false
    }

    /// The groups of all objects.
    pub(super) fn all_groups(&mut self) -> Vec<Group> {
        self.dirty.clear();
        let keys: Vec<&Key> = self.primary().map(|(key, _)| key).collect();
        keys.into_iter().map(|key| self.group(key)).collect()
    }

    /// The groups that changed since the last time; without targets for those that are gone.
    pub(super) fn changed_groups(&mut self) -> Vec<Group> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.iter().map(|key| self.group(key)).collect()
    }

    /// The object of this kind and name.
    pub(super) fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Object> {
        self.objects.get(&Key::new(kind, namespace, name))
    }

    /// The node whose labels are to be attached.
    pub(super) fn node_labels(&self, name: &str) -> LabelMap {
        match self.get(Kind::Node, "", name) {
            Some(Object::Node(node)) if self.attach.node => node::meta_labels(node),
            _ => LabelMap::new(),
        }
    }

    fn set(&mut self, object: Object) {
        let key = object.key();
        if self.objects.get(&key) == Some(&object) {
            return;
        }
        self.objects.insert(key.clone(), object);
        self.touch(key);
    }

    fn remove(&mut self, key: &Key) {
        if self.objects.remove(key).is_some() {
            self.touch(key.clone());
        }
    }

    fn touch(&mut self, key: Key) {
        if key.kind == super::kind(self.role) {
            self.dirty.insert(key);
            return;
        }
        let concerned = self.primary().filter(|(_, object)| object.refers_to(&key));
        let concerned: Vec<Key> = concerned.map(|(key, _)| key.clone()).collect();
        self.dirty.extend(concerned);
    }

    fn primary(&self) -> impl Iterator<Item = (&Key, &Object)> {
        let kind = super::kind(self.role);
        let from = Key::new(kind, "", "");
        self.objects.range(from..).take_while(move |(key, _)| key.kind == kind)
    }

    fn group(&self, key: &Key) -> Group {
        let mut group = match self.objects.get(key) {
            None => Group::default(),
            Some(Object::Pod(pod)) => pod::group(pod, self),
            Some(Object::Service(service)) => service::group(service),
            Some(Object::Endpoints(endpoints)) => endpoints::group(endpoints, self),
            Some(Object::EndpointSlice(slice)) => slice::group(slice, self),
            Some(Object::Node(node)) => node::group(node),
            Some(Object::Ingress(ingress)) => ingress::group(ingress),
            Some(Object::Namespace(_)) => Group::default(),
        };
        group.source = key.source();
        if self.attach.namespace
            && let Some(Object::Namespace(meta)) = self.get(Kind::Namespace, "", &key.namespace)
        {
            group.labels.extend(super::labels::annotations_and_labels("namespace", &meta.metadata));
        }
        group
    }
}
