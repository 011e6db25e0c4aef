//! Whom a policy's events are sent to, and who takes them.

use super::{Errors, FieldError, names::unique};
use crate::{promql::shorten, record::cloudevents};
use flyball_crds::{EventReceiverSpec, MAX_NOTIFICATIONS, NamespacesFrom, Notification, Reason};

/// Checks what a policy says. That a receiver is there only the installation knows.
pub(super) fn check(written: &[Notification], errors: &mut Errors) {
    errors.at_most("spec.notifications", written.len(), MAX_NOTIFICATIONS);
    let all = written.iter().map(|one| one.receiver.as_str());
    unique(
        |index| format!("spec.notifications[{index}].receiver"),
        "notifications",
        all,
        errors,
    );
    for (index, one) in written.iter().enumerate() {
        let path = format!("spec.notifications[{index}]");
        if !super::is_label(&one.receiver) {
            let message = format!(
                "{} is not the name of a receiver; write at most 63 lower-case letters, digits and dashes",
                shorten(&one.receiver)
            );
            errors.add(format!("{path}.receiver"), message);
        }
        if one.severity.is_some() && !one.reasons.is_empty() {
            errors.add(
                format!("{path}.severity"),
                "stands beside reasons, which say it already; write one of the two",
            );
        }
        for (at, reason) in one.reasons.iter().enumerate() {
            if !Reason::TOLD.iter().any(|told| told.as_str() == reason) {
                let known: Vec<&str> = Reason::TOLD.iter().map(|told| told.as_str()).collect();
                let message = format!(
                    "{} is not a reason of which events tell; write one of {}",
                    shorten(reason),
                    known.join(", ")
                );
                errors.add(format!("{path}.reasons[{at}]"), message);
            }
        }
    }
}

/// Checks a receiver, and says everything that is wrong with it.
pub fn event_receiver(spec: &EventReceiverSpec) -> Result<(), Vec<FieldError>> {
    let mut errors = Errors::default();
    if cloudevents::url(&spec.url).is_none() {
        let message = format!(
            "{} is no address to post events to; write http:// or https:// with a host, without user, password and fragment",
            shorten(&spec.url)
        );
        errors.add("spec.url", message);
    }
    if let Some(per_minute) = spec.max_per_minute {
        errors.within("spec.maxPerMinute", per_minute, 1, cloudevents::MOST_PER_MINUTE);
    }
    let none =
        |allowed: &flyball_crds::AllowedNamespaces| allowed.from == NamespacesFrom::Names && allowed.names.is_empty();
    if spec.allowed_namespaces.as_ref().is_some_and(none) {
        errors.add(
            "spec.allowedNamespaces.names",
            "is empty, so no policy could name the receiver; name a namespace or write from: All",
        );
    }
    if errors.0.is_empty() { Ok(()) } else { Err(errors.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_crds::{AllowedNamespaces, EventSeverity};

    fn said(errors: &[FieldError]) -> String {
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn notifications_are_checked() {
        let one = |receiver: &str, severity: Option<EventSeverity>, reasons: &[&str]| Notification {
            receiver: receiver.to_owned(),
            severity,
            reasons: reasons.iter().map(|&reason| reason.to_owned()).collect(),
        };
        let check = |written: &[Notification], expect: Option<&str>| {
            let mut errors = Errors::default();
            super::check(written, &mut errors);
            let said = said(&errors.0);
            match expect {
                None => assert_eq!(said, ""),
                Some(words) => assert!(said.contains(words), "{said}"),
            }
        };
        let warning = Some(EventSeverity::Warning);
        check(&[], None);
        check(
            &[
                one("a", None, &[]),
                one("b", warning, &[]),
                one("c-1", None, &["Committed", "RolledBack"]),
            ],
            None,
        );
        check(
            &[one("a", None, &[]), one("a", warning, &[])],
            Some("spec.notifications[1].receiver"),
        );
        check(
            &[one("http://a", None, &[])],
            Some("spec.notifications[0].receiver: \"http://a\" is not the name of a receiver"),
        );
        check(
            &[one("a", warning, &["Committed"])],
            Some("spec.notifications[0].severity: stands beside reasons"),
        );
        check(
            &[one("a", None, &["Committed", "Idle"])],
            Some(
                "spec.notifications[0].reasons[1]: \"Idle\" is not a reason of which events tell; write one of Verifying, ",
            ),
        );
        let many: Vec<Notification> = (0..9).map(|n| one(&format!("r{n}"), None, &[])).collect();
        check(&many, Some("spec.notifications: 9 entries, at most 8"));
        check(&many[..8], None);
    }

    #[test]
    fn receivers_are_checked() {
        let check = |url: &str, most: Option<i32>, names: Option<&[&str]>, expect: Option<&str>| {
            let spec = EventReceiverSpec {
                url: url.to_owned(),
                max_per_minute: most,
                allowed_namespaces: names.map(|names| AllowedNamespaces {
                    from: NamespacesFrom::Names,
                    names: names.iter().map(|&name| name.to_owned()).collect(),
                }),
                ..EventReceiverSpec::default()
            };
            let said = event_receiver(&spec)
                .err()
                .map(|errors| said(&errors))
                .unwrap_or_default();
            match expect {
                None => assert_eq!(said, ""),
                Some(words) => assert!(said.contains(words), "{said}"),
            }
        };
        check("http://broker.events:8080/shop?key=1", None, None, None);
        check("https://broker.example", Some(6000), Some(&["shop"]), None);
        for url in ["broker", "ftp://broker", "http://a:b@broker", "http://broker#x", ""] {
            check(url, None, None, Some("spec.url"));
        }
        check(
            "http://broker",
            Some(0),
            None,
            Some("spec.maxPerMinute: 0 is not between 1 and 6000"),
        );
        check("http://broker", Some(6001), None, Some("spec.maxPerMinute"));
        check("http://broker", None, Some(&[]), Some("spec.allowedNamespaces.names"));
    }
}
