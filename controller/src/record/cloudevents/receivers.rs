//! Who takes events: the installation's own receiver, and those that policies name.

use super::{Sink, SinkError};
use crate::{observe::source::addresses::Addresses, promql::shorten, validate};
use flyball_crds::{AllowedNamespaces, EventReceiver, Notification, Reason};
use kube::ResourceExt;
use std::{collections::BTreeMap, path::Path};

/// What the installation's own receiver is called where receivers are counted.
pub const OWN: &str = "default";

/// Why a policy's events are not sent to a receiver that it names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiverProblem {
    /// There is none.
    #[error(
        "no receiver {0} is declared in this installation; its operator can add it to the file of --receivers-file"
    )]
    NotFound(String),
    /// It is for others.
    #[error(
        "receiver {receiver} does not take events of namespace {namespace}; its operator can add it to spec.allowedNamespaces.names"
    )]
    NotAllowed {
        /// The receiver.
        receiver: String,
        /// The policy's namespace.
        namespace: String,
    },
}

impl ReceiverProblem {
    /// The condition's reason.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NotFound(_) => Reason::ReceiverNotFound,
            Self::NotAllowed { .. } => Reason::ReceiverNotAllowed,
        }
    }
}

/// All receivers, as they were declared when the process started.
#[derive(Debug, Default)]
pub struct Receivers {
    own: Option<Sink>,
    named: BTreeMap<String, (Sink, Option<AllowedNamespaces>)>,
}

impl Receivers {
    /// The installation's own, at this address with the token in this file, and those that policies may name. `source` is what each event
    /// says that it comes from.
    pub fn new(
        own: Option<(&str, Option<&Path>)>,
        declared: &[EventReceiver],
        source: &str,
    ) -> Result<Self, SinkError> {
        Self::among(own, declared, source, &Addresses::default())
    }

    /// The same, where the installation says which addresses are asked.
    pub fn among(
        own: Option<(&str, Option<&Path>)>,
        declared: &[EventReceiver],
        source: &str,
        addresses: &Addresses,
    ) -> Result<Self, SinkError> {
        let own = own
            .map(|(url, token)| Sink::new(url, token, source, addresses))
            .transpose()?;
        let mut named = BTreeMap::new();
        for receiver in declared {
            let name = receiver.name_any();
            if name == OWN || !validate::is_label(&name) {
                return Err(SinkError::Name(shorten(&name)));
            }
            let sink = Sink::of(&name, &receiver.spec, source, addresses)?;
            named.insert(name, (sink, receiver.spec.allowed_namespaces.clone()));
        }
        Ok(Self { own, named })
    }

    /// Every one with its name.
    pub(super) fn sinks(&self) -> impl Iterator<Item = (&str, &Sink)> {
        let own = self.own.iter().map(|sink| (OWN, sink));
        own.chain(self.named.iter().map(|(name, (sink, _))| (name.as_str(), sink)))
    }

    /// Whether a policy of this namespace may have its events sent to the receiver of this name.
    pub fn resolve(&self, receiver: &str, namespace: &str) -> Result<(), ReceiverProblem> {
        let Some((_, allowed)) = self.named.get(receiver) else {
            return Err(ReceiverProblem::NotFound(shorten(receiver)));
        };
        if allowed.as_ref().is_none_or(|allowed| allowed.includes(namespace)) {
            return Ok(());
        }
        Err(ReceiverProblem::NotAllowed {
            receiver: receiver.to_owned(),
            namespace: namespace.to_owned(),
        })
    }

    /// What is said of the receivers that a policy of this namespace names; nothing where it names none.
    pub fn said(&self, notifications: &[Notification], namespace: &str) -> Option<(bool, Reason, String)> {
        if notifications.is_empty() {
            return None;
        }
        let problems = notifications.iter().enumerate().filter_map(|(index, notification)| {
            let problem = self.resolve(&notification.receiver, namespace).err()?;
            Some((
                problem.reason(),
                format!("spec.notifications[{index}].receiver: {problem}"),
            ))
        });
        let (reasons, messages): (Vec<Reason>, Vec<String>) = problems.unzip();
        Some(match reasons.first() {
            Some(reason) => (false, *reason, messages.join("; ")),
            None => (
                true,
                Reason::Accepted,
                "every receiver is there and takes events of this namespace".to_owned(),
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_crds::{EventReceiverSpec, NamespacesFrom};

    fn receiver(name: &str, namespaces: &[&str]) -> EventReceiver {
        let names = namespaces.iter().map(|&name| name.to_owned()).collect();
        EventReceiver::new(
            name,
            EventReceiverSpec {
                url: "http://receiver.example".to_owned(),
                allowed_namespaces: (!namespaces.is_empty()).then_some(AllowedNamespaces {
                    from: NamespacesFrom::Names,
                    names,
                }),
                ..EventReceiverSpec::default()
            },
        )
    }

    #[test]
    fn a_receiver_is_for_its_namespaces() {
        let declared = [receiver("everybody", &[]), receiver("shop-team", &["shop", "till"])];
        let receivers = Receivers::new(None, &declared, "/flyball").expect("receivers");
        let check = |named: &[&str], namespace: &str, expect: Option<(bool, Reason, &str)>| {
            let named: Vec<Notification> = named
                .iter()
                .map(|&receiver| Notification {
                    receiver: receiver.to_owned(),
                    ..Notification::default()
                })
                .collect();
            let found = receivers.said(&named, namespace);
            let found = found
                .as_ref()
                .map(|(holds, reason, message)| (*holds, *reason, message.as_str()));
            assert_eq!(found, expect);
        };
        let good = (
            true,
            Reason::Accepted,
            "every receiver is there and takes events of this namespace",
        );
        check(&[], "shop", None);
        check(&["everybody", "shop-team"], "shop", Some(good));
        check(&["everybody"], "bank", Some(good));
        let not_allowed = "spec.notifications[1].receiver: receiver shop-team does not take events of namespace bank; its operator can \
                           add it to spec.allowedNamespaces.names";
        check(
            &["everybody", "shop-team"],
            "bank",
            Some((false, Reason::ReceiverNotAllowed, not_allowed)),
        );
        let both = "spec.notifications[0].receiver: no receiver \"default\" is declared in this installation; its operator can add it to the \
                    file of --receivers-file; spec.notifications[1].receiver: receiver shop-team does not take events of namespace bank; \
                    its operator can add it to spec.allowedNamespaces.names";
        // The installation's own is none that a policy names.
        check(
            &["default", "shop-team"],
            "bank",
            Some((false, Reason::ReceiverNotFound, both)),
        );
    }

    #[test]
    fn a_name_that_no_policy_can_write_is_refused() {
        for name in ["default", "Team", "a.b", ""] {
            let error = Receivers::new(None, &[receiver(name, &[])], "/flyball").expect_err(name);
            assert!(error.to_string().contains("another name"), "{error}");
        }
    }
}
