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
