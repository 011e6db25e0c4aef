//! Times at which the smallest number is higher.

use super::{Errors, names, replicas::raised_to};
use crate::{
    promql::shorten,
    schedule::{Cron, Recurring, zone},
};
use flyball_core::policy::Schedule;
use flyball_crds as crds;
use jiff::tz::TimeZone;
use std::sync::Arc;

pub(super) fn read(path: &str, written: &[crds::Schedule], max: i32, errors: &mut Errors) -> Option<Vec<Schedule>> {
    errors.at_most(path, written.len(), 16);
    let all_names = written.iter().map(|schedule| schedule.name.as_str());
    names::unique(|index| format!("{path}[{index}].name"), "schedules", all_names, errors);
    let each = written.iter().enumerate();
    let schedules: Vec<Option<Schedule>> = each
        .map(|(index, written)| one(&format!("{path}[{index}]"), written, max, errors))
        .collect();
    schedules.into_iter().collect()
}

fn one(path: &str, written: &crds::Schedule, max: i32, errors: &mut Errors) -> Option<Schedule> {
    names::plain(format!("{path}.name"), &written.name, "working-hours", errors);
    let start = cron(format!("{path}.start"), &written.start, errors);
    let end = cron(format!("{path}.end"), &written.end, errors);
    let zone = match &written.time_zone {
        Some(name) => errors.take(format!("{path}.timeZone"), zone(name)),
        None => Some(TimeZone::UTC),
    };
    let replicas = raised_to(format!("{path}.replicas"), written.replicas, max, errors);
    let window = Recurring::new(start?, end?, zone?);
    if window.is_none() {
        errors.add(
            format!("{path}.end"),
            format!(
                "{} comes whenever start does, so nothing lies between them; write when the time is over",
                shorten(&written.end)
            ),
        );
    }
    Some(Schedule {
        name: written.name.clone(),
        window: Arc::new(window?),
        replicas: replicas?,
    })
}

fn cron(path: String, text: &str, errors: &mut Errors) -> Option<Cron> {
    Cron::read(text)
        .map_err(|error| {
            let position = error.position();
            errors.placed(path, error, position);
        })
        .ok()
}
