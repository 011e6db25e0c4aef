//! The written report.

use super::{
    audit::Request,
    numbers::{closed_at, costs, in_quiet, latencies, reactions},
};
use crate::demo::{
    controller::Memory,
    frame::clock,
    setting::{ALERT, LINE, Part, Setting},
    story::{Outcome, Story},
    weights,
    world::{World, phase, refusal},
};
use flyball_crds::{Change, CheckVerdict};
use jiff::Timestamp;
use kube::ResourceExt;
use std::fmt::Write as _;

/// What the report is made of.
pub struct Material<'a> {
    /// What was seen.
    pub world: &'a World,
    /// What came of the story.
    pub story: &'a Story,
    /// How it was run.
    pub setting: &'a Setting,
    /// When it ended.
    pub end: Timestamp,
    /// The controller's requests; `None` where there is no audit log.
    pub requests: Option<&'a [Request]>,
    /// The controller's memory.
    pub memory: Memory,
    /// Which build the controller is.
    pub build: &'a str,
    /// Where the demo ran.
    pub place: &'a str,
    /// Why it ended before its story did.
    pub failure: Option<&'a str>,
    /// What the load saw, one line for each.
    pub loads: &'a [String],
    /// The chapter on weights, if it was told.
    pub weights: Option<&'a weights::Chapter>,
    /// Why it was left out.
    pub left_out: Option<&'a str>,
}

/// The report as Markdown.
pub fn report(material: &Material<'_>) -> String {
    let mut out = String::from("# Flyball demo\n\n");
    let more = material.weights.map(|chapter| &chapter.story);
    let told = material.story.ended() == Some(true)
        && more.is_none_or(|story| story.ended() == Some(true))
        && material.failure.is_none();
    let came = material.story.came() + more.map_or(0, weights::story::Story::came);
    let all = material.story.items.len() + more.map_or(0, |story| story.items.len());
    let verdict = if told {
        "The story came as it should"
    } else {
        "The story did not come as it should"
    };
    let took = clock(material.world.elapsed(material.end));
    let _ = writeln!(
        out,
        "{verdict}: {came} of {all} steps, in {took} on {}.",
        material.place
    );
    if let Some(why) = material.failure {
        let _ = writeln!(out, "It ended early: {why}.");
    }
    let (window, hold) = (material.setting.window, material.setting.hold);
    let _ = writeln!(
        out,
        "\nThe rule of both policies{}:\n\n```yaml\n- alert: {ALERT}\n  expr: rate(http_request_duration_seconds_sum[{window}]) / \
         rate(http_requests_total[{window}]) > {LINE}\n  for: {hold}\n  labels: {{severity: warning}}\n  \
         annotations: {{summary: \"High latency detected\"}}\n```\n\n![timeline](timeline.svg)\n",
        if material.setting.verbatim {
            ""
        } else {
            ", with a short window and a short `for`"
        },
    );
    steps(&mut out, material);
    changes(&mut out, material);
    if let Some(chapter) = material.weights {
        super::weights::section(&mut out, material.world, chapter);
    }
    if let Some(why) = material.left_out {
        let _ = writeln!(out, "\nThe chapter on weights was left out: {why}.");
    }
    numbers(&mut out, material);
    out.push_str("\n## What happened\n\n| at | service | |\n|---|---|---|\n");
    for line in &material.world.lines {
        let at = clock(material.world.elapsed(line.at));
        let _ = writeln!(out, "| {at} | {} | {} |", line.who.unwrap_or(""), cell(&line.text));
    }
    out.push_str(
        "\nRaw data: `series.csv` (one row a second and service), `events.jsonl`, `objects.yaml` (policies and Changes as \
         they ended), `controller.log`.\n",
    );
    out
}

fn steps(out: &mut String, material: &Material<'_>) {
    for part in Part::ALL {
        let _ = writeln!(out, "\n## {}\n\n| step | at | |\n|---|---|---|", part.title());
        for item in material.story.items.iter().filter(|item| item.part == part) {
            let (at, note) = match &item.outcome {
                Outcome::Came(at, note) => (clock(material.world.elapsed(*at)), cell(note)),
                Outcome::Missing(instead) => ("**did not come**".to_owned(), cell(instead)),
                Outcome::Waiting(_) | Outcome::Ahead => ("not reached".to_owned(), String::new()),
            };
            let _ = writeln!(out, "| {} | {at} | {note} |", item.step.title());
        }
    }
}

fn changes(out: &mut String, material: &Material<'_>) {
    out.push_str("\n## Changes\n\n| Change | proposed | from | to | evidence | checks | verdict | phase | closed |\n|---|---|---|---|---|---|---|---|---|\n");
    for part in Part::ALL {
        let chapter = material.world.chapter(part);
        let mut all: Vec<&Change> = chapter.changes.values().collect();
        all.sort_by_key(|change| change.spec.proposed_at.0);
        for change in all {
            let spec = &change.spec;
            let at = |time: Timestamp| clock(material.world.elapsed(time));
            let evidence: Vec<&str> = spec.evidence.arithmetic.iter().map(String::as_str).collect();
            let passed = spec
                .evidence
                .checks
                .iter()
                .filter(|check| check.verdict == CheckVerdict::Passed)
                .count();
            let checks = refusal(change).map_or_else(
                || format!("{passed} of {} passed", spec.evidence.checks.len()),
                |name| format!("refused by {name}"),
            );
            let verdict = change.status.as_ref().and_then(|status| status.verdict.as_ref());
            let verdict = verdict
                .map(|verdict| format!("{}: {}", verdict.result, verdict.message))
                .unwrap_or_default();
            let _ = writeln!(
                out,
                "| `{}` | {} | {} | {} | {}; {} | {checks} | {} | {:?} | {} |",
                change.name_any(),
                at(spec.proposed_at.0),
                spec.before,
                spec.after,
                cell(&spec.reason),
                cell(&evidence.join("; ")),
                cell(&verdict),
                phase(change),
                closed_at(change).map(at).unwrap_or_default(),
            );
        }
    }
}

fn numbers(out: &mut String, material: &Material<'_>) {
    out.push_str("\n## Measured\n\n| | |\n|---|---|\n");
    let mut row = |name: &str, value: String| {
        let _ = writeln!(out, "| {name} | {value} |");
    };
    for part in Part::ALL {
        if let Some((worst, last)) = latencies(material.world.chapter(part)) {
            row(
                &format!("{}: latency as the rule sees it", part.name()),
                format!("worst {worst:.2} s, at the end {last:.2} s"),
            );
        }
    }
    for reaction in reactions(material.world, material.setting) {
        row(
            &format!(
                "`{}`: breach seen and `for` over, until the write was accepted",
                reaction.change
            ),
            format!(
                "{:.2} s ({:.2} s to the proposal, then {:.3} s to the accepted write)",
                reaction.to_proposal + reaction.to_write,
                reaction.to_proposal,
                reaction.to_write
            ),
        );
    }
    match material.requests {
        None => row(
            "API requests",
            "not known: the cluster's audit log is not ours to read".to_owned(),
        ),
        Some(requests) => {
            for cost in costs(material.world, requests) {
                let count = &cost.count;
                row(
                    &format!(
                        "`{}`: API requests about its namespace, from proposal to commit",
                        cost.change
                    ),
                    format!(
                        "{} writes ({}), {} reads, {} watches opened, in {:.0} s",
                        count.written(),
                        count.writes_in_words(),
                        count.reads,
                        count.watches,
                        cost.lasted
                    ),
                );
            }
            if let Some((length, count)) = in_quiet(material.world, requests, material.end) {
                let minute = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX)) * 60.0 / length;
                row(
                    "API requests in a quiet minute, both policies",
                    format!(
                        "{:.1} writes{}, {:.1} reads, {:.1} watches opened, {:.1} for the lease (from {length:.0} quiet seconds)",
                        minute(count.written()),
                        if count.written() == 0 {
                            String::new()
                        } else {
                            format!(" (seen: {})", count.writes_in_words())
                        },
                        minute(count.reads),
                        minute(count.watches),
                        minute(count.lease)
                    ),
                );
            }
        }
    }
    let mebibytes = |kib: u64| f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0;
    let memory = material.memory;
    row(
        &format!("controller's resident memory ({} build)", material.build),
        format!(
            "{:.1} MiB at most, {:.1} MiB at the end",
            mebibytes(memory.peak),
            mebibytes(memory.last)
        ),
    );
    for load in material.loads {
        row("load", cell(load));
    }
}

/// A text that breaks no table.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}
