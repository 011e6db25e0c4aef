use crate::{promql::shorten, validate::Errors};
use flyball_core::policy::Notify;

/// The most labels.
const MAX_LABELS: usize = 32;
/// The longest name and the longest value, in bytes.
const MAX_NAME: usize = 128;
const MAX_VALUE: usize = 1024;
/// What names the alert itself.
const RESERVED: &[&str] = &["__name__", "alertname"];

pub(super) fn read(path: &str, written: &flyball_crds::Notify, errors: &mut Errors) -> Option<Notify> {
    let path = format!("{path}.labels");
    let mut well = true;
    let mut wrong = |message: String| {
        errors.add(&path, message);
        well = false;
    };
    if written.labels.len() > MAX_LABELS {
        wrong(format!(
            "has {} labels; {MAX_LABELS} are the most",
            written.labels.len()
        ));
    }
    for (name, value) in written.labels.iter().take(MAX_LABELS) {
        if RESERVED.contains(&name.as_str()) {
            wrong(format!("can't hold {name}; the alert has it from its rule, remove it"));
        } else if !is_name(name) {
            wrong(format!(
                "{} is not the name of a label, 1 to {MAX_NAME} letters, digits and underscores; write for example severity",
                shorten(name)
            ));
        }
        if value.trim().is_empty() || value.len() > MAX_VALUE {
            wrong(format!(
                "{} is {}, which is not of 1 to {MAX_VALUE} bytes; write for example page",
                shorten(name),
                shorten(value)
            ));
        }
    }
    well.then(|| Notify {
        labels: written.labels.clone(),
    })
}

/// Whether every version of Alertmanager takes it as the name of a label.
fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|first| first == b'_' || first.is_ascii_alphabetic())
        && bytes.all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
        && text.len() <= MAX_NAME
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn check(labels: &[(&str, &str)], expect: Option<&str>) {
        let pairs = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let labels: BTreeMap<String, String> = pairs.collect();
        let mut errors = Errors::default();
        let found = read(
            "spec.actions[0].notify",
            &flyball_crds::Notify { labels: labels.clone() },
            &mut errors,
        );
        let said = errors.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        match expect {
            None => {
                assert_eq!(found, Some(Notify { labels }), "{said}");
                assert_eq!(said, "");
            }
            Some(words) => {
                assert_eq!(found, None);
                assert!(
                    said.contains("spec.actions[0].notify.labels") && said.contains(words),
                    "{said}"
                );
            }
        }
    }

    #[test]
    fn labels_are_names_with_a_value() {
        check(&[], None);
        check(&[("severity", "page"), ("_team", "the \u{e9}quipe"), ("a1", "x")], None);
        check(&[("alertname", "Mine")], Some("can't hold alertname"));
        check(&[("__name__", "up")], Some("can't hold __name__"));
        for name in ["", "1st", "a-b", "a.b", "\u{e9}", &"a".repeat(129)] {
            check(&[(name, "x")], Some("is not the name of a label"));
        }
        check(&[("severity", "")], Some("not of 1 to 1024 bytes"));
        check(&[("severity", " ")], Some("not of 1 to 1024 bytes"));
        check(&[("severity", &"x".repeat(1025))], Some("not of 1 to 1024 bytes"));
        check(&[("severity", &"x".repeat(1024))], None);
    }
}
