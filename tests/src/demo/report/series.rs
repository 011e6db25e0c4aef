//! The raw series, as text that other tools read.

use crate::demo::{
    setting::{ALERT, Part},
    story::state_name,
    world::{Moved, World, phase},
};
use flyball_crds::AlertState;
use std::fmt::Write as _;

/// One line for each sample of each chapter.
pub fn csv(world: &World) -> String {
    let mut out = String::from(
        "seconds,time,service,latency_seconds,latency_10s_seconds,requests_per_second,replicas,replicas_ready,alert,change\n",
    );
    for part in Part::ALL {
        let chapter = world.chapter(part);
        for sample in &chapter.samples {
            let number = |value: Option<f64>| value.map(|value| format!("{value:.4}")).unwrap_or_default();
            let before = |moved: &&Moved| moved.alert == ALERT && moved.at <= sample.at;
            let alert = chapter
                .moves
                .iter()
                .rfind(before)
                .map_or(AlertState::Inactive, |moved| moved.state);
            let open = chapter.changes.values().find(|change| {
                let status = change.status.as_ref();
                let closed = status.and_then(|status| status.closed_at.as_ref());
                change.spec.sequence > 0
                    && change.spec.proposed_at.0 <= sample.at
                    && closed.is_none_or(|closed| closed.0 > sample.at)
            });
            let change = open
                .map(|change| format!("{}->{}", change.spec.before, change.spec.after))
                .unwrap_or_default();
            // Writing to a String can't fail.
            let _ = writeln!(
                out,
                "{:.1},{},{},{},{},{},{},{},{},{change}",
                world.elapsed(sample.at),
                sample.at,
                part.name(),
                number(sample.measured.latency),
                number(sample.measured.recent),
                number(sample.measured.load),
                sample.spec,
                sample.ready,
                state_name(alert),
            );
        }
    }
    out
}

/// One JSON object for each line of the story.
pub fn events(world: &World) -> String {
    let mut out = String::new();
    for line in &world.lines {
        let event = serde_json::json!({
            "seconds": (world.elapsed(line.at) * 10.0).round() / 10.0,
            "time": line.at.to_string(),
            "service": line.who,
            "text": line.text,
        });
        let _ = writeln!(out, "{event}");
    }
    out
}

/// The Changes and policies as YAML.
pub fn objects(world: &World) -> String {
    let mut documents = Vec::new();
    for chapter in &world.chapters {
        documents.extend(
            chapter
                .policy
                .iter()
                .filter_map(|policy| serde_yaml::to_string(policy).ok()),
        );
        let mut changes: Vec<_> = chapter.changes.values().collect();
        changes.sort_by_key(|change| (change.spec.proposed_at.0, phase(change).is_open()));
        documents.extend(
            changes
                .into_iter()
                .filter_map(|change| serde_yaml::to_string(change).ok()),
        );
    }
    documents.join("---\n")
}
