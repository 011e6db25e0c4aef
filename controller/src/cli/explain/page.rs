//! The page: facts in, text out.

mod alerts;
mod capture;
mod change;
mod runtime;
mod weights;

use super::{Facts, next};
use crate::{
    cli::{
        fetch::Controller,
        moves,
        screen::{Page, Style, Tone, number, plain, span, stored_number, when, widths},
    },
    clock::from_micro_time,
};
use flyball_core::time::Timestamp;
use flyball_crds::{
    ActionStatus, CheckStatus, CheckVerdict, DecisionStatus, Direction, FeedbackPolicyStatus, SignalStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::ResourceExt;

/// The width of the column of titles.
const TITLES: usize = 12;

/// A page with its style and the time.
struct Pen {
    page: Page,
    style: Style,
    now: Timestamp,
}

impl Pen {
    fn section(&mut self, title: &str) {
        self.page.gap();
        let title = self.style.paint(Tone::Strong, title);
        self.page.line(&title);
    }

    /// A title and its text.
    fn field(&mut self, title: &str, tone: Tone, text: &str) {
        let first = format!("  {}", self.style.paint(Tone::Dim, &format!("{title:TITLES$}")));
        self.page.toned(&first, &" ".repeat(TITLES + 2), tone, text);
    }

    /// Rows of two short columns and a sentence.
    fn rows(&mut self, rows: &[([(Tone, String); 2], String)]) {
        let widths: [usize; 2] = widths(rows.iter().map(|(cells, _)| [&*cells[0].1, &cells[1].1]));
        for (cells, sentence) in rows {
            let cells = [(cells[0].0, &*cells[0].1), (cells[1].0, &*cells[1].1)];
            self.page.row("    ", "    ", &cells, &widths, sentence);
        }
    }

    fn when(&self, at: Option<&MicroTime>) -> String {
        at.map_or_else(
            || "an unknown time".to_owned(),
            |at| when(from_micro_time(at), self.now),
        )
    }
}

/// Explains a policy.
pub fn page(facts: &Facts, style: Style) -> String {
    let mut pen = Pen {
        page: Page::new(style),
        style,
        now: facts.now,
    };
    let status = facts.policy.status.clone().unwrap_or_default();
    head(&mut pen, facts, &status);
    for action in &status.actions {
        draw_action(&mut pen, facts, action);
    }
    for change in facts.shown() {
        change::draw(&mut pen, change);
    }
    alerts::draw(&mut pen, &status.rules);
    conditions(&mut pen, &status);
    pen.section("What next");
    for step in next(facts) {
        pen.page.sentence("  ", "  ", &step.why);
        for command in step.commands {
            // A command is copied, so it is not broken.
            pen.page.line(&format!("      {command}"));
        }
    }
    pen.page.finish()
}

fn head(pen: &mut Pen, facts: &Facts, status: &FeedbackPolicyStatus) {
    let (policy, spec) = (&facts.policy, &facts.policy.spec);
    pen.section(&format!(
        "FeedbackPolicy {}/{}",
        policy.namespace().unwrap_or_default(),
        policy.name_any()
    ));
    let target = &spec.target_ref;
    let suspended = if spec.suspend { ", suspended" } else { "" };
    pen.field("Mode", Tone::Plain, &format!("{:?}{suspended}", spec.mode));
    let target = format!(
        "{}/{} ({})",
        plain(&target.kind),
        plain(&target.name),
        plain(&target.api_version)
    );
    pen.field("Target", Tone::Plain, &target);
    pen.field("Source", Tone::Plain, &plain(&spec.source_ref.name));
    if status.observed_generation.is_some() {
        pen.field("Doing", Tone::Strong, &plain(&status.doing));
        pen.field("Why", Tone::Plain, &plain(&status.why));
    }
    let (tone, controller) = controller(&facts.controller, &facts.lease);
    pen.field("Controller", tone, &controller);
    match (facts.unseen(), status.observed_generation) {
        (Some(_), None) => pen.field("Attention", Tone::Bad, "No controller has looked at this policy yet."),
        (Some(generation), Some(observed)) => pen.field(
            "Attention",
            Tone::Bad,
            &format!("The policy is at generation {generation}, and what follows is about generation {observed}: the last edit has not been looked at yet."),
        ),
        (None, _) => {}
    }
}

/// What is said of the controller.
fn controller(controller: &Controller, lease: &str) -> (Tone, String) {
    match controller {
        Controller::Leads { holder, renewed } => (
            Tone::Plain,
            format!("{} leads; its lease was renewed {} ago", plain(holder), span(*renewed)),
        ),
        Controller::Silent { holder, renewed } => (
            Tone::Bad,
            format!(
                "None seems to run: {} held the lease {lease} and has not renewed it for {}. What follows is as old.",
                plain(holder),
                span(*renewed)
            ),
        ),
        Controller::Vacant => (
            Tone::Bad,
            format!("None runs: nobody holds the lease {lease}. What follows is old."),
        ),
        Controller::Missing => (Tone::Bad, format!("None seems to run: there is no lease {lease}.")),
        Controller::Unknown(why) => (Tone::Busy, format!("Not known whether one runs: {}", plain(why))),
    }
}

fn draw_action(pen: &mut Pen, facts: &Facts, action: &ActionStatus) {
    pen.section(&format!("Action {}", plain(&action.name)));
    match &action.last_decision {
        Some(decision) => draw_decision(pen, decision),
        // It decides nothing.
        None if action.capture.is_some() => {}
        None => pen.field("Decision", Tone::Dim, "none yet"),
    }
    if let Some(verified) = action.verified {
        pen.field("Verified", Tone::Plain, &format!("{verified}, where a roll-back goes"));
    }
    if let Some(known) = &action.weights {
        weights::draw(pen, facts, &action.name, known);
    }
    if let Some(known) = &action.runtime {
        runtime::draw(pen, known);
    }
    if let Some(known) = &action.capture {
        capture::draw(pen, known);
    }
    if let Some(latch) = &action.latch {
        let over = latch
            .until
            .as_ref()
            .is_some_and(|until| from_micro_time(until) <= pen.now);
        let known = |what: &str, value: Option<f64>| value.map(|value| format!("{what} of {}", number(value)));
        let at: Vec<String> = [known("a demand", latch.demand), known("a verified value", latch.signal)]
            .into_iter()
            .flatten()
            .collect();
        let at = if at.is_empty() {
            String::new()
        } else {
            format!(" at {}", at.join(" and "))
        };
        let text = format!(
            "the last {} did not help{at}, so it is not repeated until {}",
            noun(latch.direction),
            pen.when(latch.until.as_ref())
        );
        pen.field(
            "Latch",
            if over { Tone::Dim } else { Tone::Bad },
            &if over { format!("over: {text}") } else { text },
        );
    }
    if let Some(yielded) = &action.yielded {
        let what = match (&action.weights, &action.runtime) {
            (Some(_), _) => "the weights are",
            (None, Some(_)) => "the knobs are",
            (None, None) => "the field is",
        };
        let text = format!(
            "{what} left to {} until {}",
            plain(&yielded.manager),
            pen.when(yielded.until.as_ref())
        );
        pen.field("Yielded", Tone::Bad, &text);
    }
}

/// A change in this direction.
pub(super) fn noun(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "increase",
        Direction::Down => "decrease",
    }
}

fn draw_decision(pen: &mut Pen, decision: &DecisionStatus) {
    let numbers = moves::of_decision(decision);
    let refused = decision
        .checks
        .iter()
        .find(|check| check.verdict == CheckVerdict::Refused);
    let refused = refused
        .map(|check| format!(", refused by {}", plain(&check.name)))
        .unwrap_or_default();
    let since = pen.when(decision.at.as_ref());
    let tone = if refused.is_empty() { Tone::Strong } else { Tone::Bad };
    pen.field("Decision", tone, &format!("{numbers}{refused}, since {since}"));
    pen.field("Because", Tone::Plain, &plain(&decision.reason));
    let mut title = "Arithmetic";
    for line in &decision.arithmetic {
        pen.field(title, Tone::Plain, &plain(line));
        title = "";
    }
    if let Some(change) = &decision.change {
        pen.field("Recorded", Tone::Plain, &format!("as Change {}", plain(change)));
    }
    draw_readings(pen, &decision.signals);
    draw_checks(pen, &decision.checks);
}

fn draw_readings(pen: &mut Pen, readings: &[SignalStatus]) {
    if readings.is_empty() {
        return;
    }
    pen.page.line("  Readings at that time");
    let named: Vec<_> = readings
        .iter()
        .map(|reading| (reading, plain(&reading.name), plain(&reading.quality)))
        .collect();
    let widths: [usize; 2] = widths(named.iter().map(|(_, name, quality)| [&**name, quality]));
    for (reading, name, quality) in &named {
        let tone = if reading.quality == "fresh" {
            Tone::Good
        } else {
            Tone::Bad
        };
        let value = if reading.value.is_empty() {
            "no value".to_owned()
        } else {
            stored_number(&reading.value)
        };
        let cells = [(Tone::Plain, &**name), (tone, &**quality)];
        let detail = if reading.detail.is_empty() {
            String::new()
        } else {
            format!(": {}", plain(&reading.detail))
        };
        pen.page
            .row("    ", "    ", &cells, &widths, &format!("{value}{detail}"));
        pen.page
            .toned("        ", "        ", Tone::Dim, &plain(&one_line(&reading.query)));
    }
}

/// A query as it is read: its line breaks and indents are blanks.
fn one_line(query: &str) -> String {
    // A comment would swallow the lines that follow it.
    if query.contains('#') {
        query.to_owned()
    } else {
        query.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

fn draw_checks(pen: &mut Pen, checks: &[CheckStatus]) {
    if checks.is_empty() {
        return;
    }
    pen.page.line("  Checks");
    let rows: Vec<_> = checks
        .iter()
        .map(|check| {
            let tone = match check.verdict {
                CheckVerdict::Passed => Tone::Good,
                CheckVerdict::Clamped => Tone::Busy,
                CheckVerdict::Refused => Tone::Bad,
                CheckVerdict::Skipped => Tone::Dim,
            };
            let cells = [
                (Tone::Plain, plain(&check.name)),
                (tone, format!("{:?}", check.verdict)),
            ];
            (cells, plain(&check.message))
        })
        .collect();
    pen.rows(&rows);
}

fn conditions(pen: &mut Pen, status: &FeedbackPolicyStatus) {
    if status.conditions.is_empty() {
        return;
    }
    pen.section("Conditions");
    let rows: Vec<_> = status
        .conditions
        .iter()
        .map(|condition| {
            let good = condition.status == "True" || condition.type_ != "Ready";
            let value = format!("{} {}", plain(&condition.status), plain(&condition.reason));
            let since = Timestamp::from_millis(condition.last_transition_time.0.as_millisecond());
            let cells = [
                (Tone::Plain, plain(&condition.type_)),
                (if good { Tone::Plain } else { Tone::Bad }, value),
            ];
            (
                cells,
                format!("since {}: {}", when(since, pen.now), plain(&condition.message)),
            )
        })
        .collect();
    let widths: [usize; 2] = widths(rows.iter().map(|(cells, _)| [&*cells[0].1, &cells[1].1]));
    for (cells, sentence) in &rows {
        let cells = [(cells[0].0, &*cells[0].1), (cells[1].0, &*cells[1].1)];
        pen.page.row("  ", "  ", &cells, &widths, sentence);
    }
}
