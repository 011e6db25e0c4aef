use crate::{promql::shorten, validate::Errors};
use flyball_core::policy::Notify;

/// The most labels, and the longest value in bytes.
const MOST: usize = 16;
const MAX_VALUE: usize = 1024;

pub(super) fn read(path: &str, written: &flyball_crds::Notify, errors: &mut Errors) -> Option<Notify> {
    let before = errors.0.len();
    errors.at_most(&format!("{path}.labels"), written.labels.len(), MOST);
    for (name, value) in &written.labels {
        let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let plain = first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !plain || name == "alertname" || name.starts_with("__") {
            let message = format!(
                "{} is not the name of a label that may be added; write letters, digits and underscores, such as team",
                shorten(name)
            );
            errors.add(format!("{path}.labels"), message);
        } else if value.is_empty() || value.len() > MAX_VALUE {
            let message = format!(
                "{name} has a value of {} bytes; write one of 1 to {MAX_VALUE}",
                value.len()
            );
            errors.add(format!("{path}.labels"), message);
        }
    }
    (errors.0.len() == before).then(|| Notify {
        labels: written.labels.clone(),
    })
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
        let written = flyball_crds::Notify { labels: labels.clone() };
        let mut errors = Errors::default();
        let found = read("spec.actions[0].notify", &written, &mut errors);
        let said: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        let said = said.join("; ");
        let Some(words) = expect else {
            assert_eq!(found, Some(Notify { labels }), "{said}");
            return;
        };
        assert_eq!(found, None);
        assert!(
            said.contains("spec.actions[0].notify.labels") && said.contains(words),
            "{said}"
        );
    }

    #[test]
    fn labels_are_names_with_a_value() {
        check(&[], None);
        check(&[("severity", "page"), ("_team", "the \u{e9}quipe"), ("a1", "x")], None);
        for name in ["alertname", "__name__", "", "1st", "a-b", "a.b", "\u{e9}"] {
            check(&[(name, "x")], Some("is not the name of a label that may be added"));
        }
        check(&[("severity", "")], Some("has a value of 0 bytes"));
        check(&[("severity", &"x".repeat(1025))], Some("has a value of 1025 bytes"));
        check(&[("severity", &"x".repeat(1024))], None);
    }
}
