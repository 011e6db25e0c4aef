//! One picture of the screen, 80 columns by 24 lines, from what is known. Pure: text in, text out.

use super::{
    setting::{ALERT, LINE, Part, Setting},
    story::{Outcome, Story, state_name},
    world::{Chapter, Sample, World, phase, seconds},
};
use flyball_crds::{AlertState, Phase};
use jiff::Timestamp;
use std::fmt::Write as _;

/// The columns that a frame takes.
pub const WIDTH: usize = 80;
/// The lines that a frame takes.
pub const HEIGHT: usize = 24;

pub(super) const SPARK: usize = 40;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const LOG: usize = 8;

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// As it is.
    Plain,
    /// Headings.
    Bold,
    /// What matters less.
    Dim,
    /// As it should be.
    Good,
    /// On its way.
    Busy,
    /// Over the line.
    Bad,
}

impl Ink {
    /// Blue, orange and their like: colours that most eyes tell apart. Words say the same.
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Good => "38;5;39",
            Self::Busy => "38;5;220",
            Self::Bad => "1;38;5;208",
        }
    }
}

/// One line: pieces of text, each with its ink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row(Vec<(Ink, String)>);

impl Row {
    pub(super) fn of(ink: Ink, text: impl Into<String>) -> Self {
        Self(vec![(ink, text.into())])
    }

    pub(super) fn and(mut self, ink: Ink, text: impl Into<String>) -> Self {
        self.0.push((ink, text.into()));
        self
    }

    /// The row cut to the width, with or without colours.
    pub fn print(&self, colour: bool) -> String {
        let whole: usize = self.0.iter().map(|(_, text)| text.chars().count()).sum();
        let mut room = if whole > WIDTH { WIDTH - 1 } else { WIDTH };
        let mut out = String::new();
        for (ink, text) in &self.0 {
            let part: String = text.chars().take(room).collect();
            room -= part.chars().count();
            if colour && !ink.code().is_empty() {
                // Writing to a String can't fail.
                let _ = write!(out, "\x1b[{}m{part}\x1b[0m", ink.code());
            } else {
                out.push_str(&part);
            }
        }
        if whole > WIDTH {
            out.push('…');
        }
        out
    }
}

/// The screen at `now`.
pub fn frame(world: &World, story: &Story, setting: &Setting, now: Timestamp) -> Vec<Row> {
    let rule = format!("latency over [{}] > {LINE} s for {}", setting.window, setting.hold);
    let clock = clock(world.elapsed(now));
    let gap = WIDTH.saturating_sub(" flyball demo   ".len() + rule.chars().count() + clock.len() + 1);
    let mut rows = vec![
        Row::of(Ink::Bold, " flyball demo   ")
            .and(Ink::Dim, rule)
            .and(Ink::Plain, " ".repeat(gap))
            .and(Ink::Bold, clock),
    ];
    for part in Part::ALL {
        rows.extend(chapter(part, world.chapter(part), setting, now));
    }
    rows.push(heading("what happened"));
    let first = world.lines.len().saturating_sub(LOG);
    let mut told: Vec<Row> = world.lines[first..]
        .iter()
        .map(|line| {
            let who = line.who.unwrap_or("");
            let at = self::clock(world.elapsed(line.at));
            Row::of(Ink::Dim, format!(" {at:>5} {who:<8} ")).and(Ink::Plain, line.text.clone())
        })
        .collect();
    told.resize(LOG, Row::default());
    rows.extend(told);
    rows.push(progress(story, now));
    rows.resize(HEIGHT, Row::default());
    rows
}

pub(super) fn heading(text: &str) -> Row {
    let rest = WIDTH.saturating_sub(text.chars().count() + 4);
    Row::of(Ink::Dim, "─ ")
        .and(Ink::Bold, text)
        .and(Ink::Dim, format!(" {}", "─".repeat(rest + 1)))
}

fn chapter(part: Part, chapter: &Chapter, setting: &Setting, now: Timestamp) -> Vec<Row> {
    let label = |name: &str, value: &str| format!(" {name:<9}{value:>9}  ");
    let per = setting.times.window.as_secs_f64() / 15.0;
    let of = |value: fn(&Sample) -> Option<f64>| columns(&chapter.samples, |sample| sample.at, now, per, value);
    let latency = of(|sample| sample.measured.latency);
    let load = of(|sample| sample.measured.load);
    let replicas = of(|sample| Some(f64::from(sample.spec)));

    let number = chapter
        .latency()
        .map_or_else(|| "-".to_owned(), |value| format!("{value:.2} s"));
    let over = chapter.latency().is_some_and(|value| value > LINE);
    let ink = if over { Ink::Bad } else { Ink::Good };
    let mut first = Row::of(ink, label("latency", &number));
    let top = latency.iter().flatten().copied().fold(2.0 * LINE, f64::max);
    for value in &latency {
        let ink = if value.is_some_and(|value| value > LINE) {
            Ink::Bad
        } else {
            Ink::Good
        };
        first = first.and(ink, bar(*value, top).to_string());
    }
    let note = chapter
        .latency()
        .map(|_| format!("  {} {LINE} s", if over { "over" } else { "under" }))
        .unwrap_or_default();
    let first = first.and(if over { ink } else { Ink::Dim }, note);

    let number = chapter.last().and_then(|sample| sample.measured.load);
    let number = number.map_or_else(|| "-".to_owned(), |value| format!("{value:.0} /s"));
    let second = Row::of(Ink::Plain, label("load", &number)).and(Ink::Plain, spark(&load, 0.0));

    let (spec, ready) = chapter.replicas;
    let note = if spec == ready {
        "  ready".to_owned()
    } else {
        format!("  {ready} ready")
    };
    let third = Row::of(Ink::Plain, label("replicas", &spec.to_string()))
        .and(Ink::Plain, spark(&replicas, 4.0))
        .and(if spec == ready { Ink::Dim } else { Ink::Busy }, note);

    vec![
        heading(part.title()),
        first,
        second,
        third,
        alert(chapter, setting, now),
        change(chapter, now),
    ]
}

fn alert(chapter: &Chapter, setting: &Setting, now: Timestamp) -> Row {
    if chapter.policy.is_none() {
        return Row::of(Ink::Dim, " alert    no policy yet");
    }
    let (state, since) = chapter.alert(ALERT);
    let text = format!(" alert    {ALERT} {}", state_name(state));
    match (state, since) {
        (AlertState::Inactive, _) => Row::of(Ink::Good, text),
        (AlertState::Firing, _) => Row::of(Ink::Bad, text),
        (AlertState::Pending, None) => Row::of(Ink::Busy, text),
        (AlertState::Pending, Some(since)) => {
            let hold = setting.times.hold.as_secs_f64();
            let for_so_long = seconds(since, now).clamp(0.0, hold);
            let row = Row::of(Ink::Busy, format!("{text} {for_so_long:.0}s/{} ", setting.hold));
            row.and(Ink::Busy, gauge(for_so_long / hold, 20))
        }
    }
}

fn change(chapter: &Chapter, now: Timestamp) -> Row {
    let Some(change) = chapter.current() else {
        return Row::of(Ink::Dim, " change   none");
    };
    let (phase, spec) = (phase(change), &change.spec);
    let text = format!(" change   {} -> {} {phase:?}", spec.before, spec.after);
    let applied = change.status.as_ref().and_then(|status| status.applied_at.as_ref());
    let verification = spec.verification.as_ref();
    let (Phase::Verifying, Some(applied), Some(verification)) = (phase, applied, verification) else {
        let ink = match phase {
            Phase::Committed => Ink::Good,
            Phase::Applying | Phase::Verifying | Phase::RollingBack => Ink::Busy,
            _ => Ink::Bad,
        };
        return Row::of(ink, text);
    };
    let passed = seconds(applied.0, now);
    let left = |limit: &flyball_crds::Duration| span(&limit.0).map(|limit| limit - passed);
    let (settle, within) = (left(&verification.settle), left(&verification.within));
    let ends = |left: Option<f64>| left.map_or_else(|| "?".to_owned(), |left| format!("{:.0} s", left.max(0.0)));
    let row = Row::of(Ink::Busy, text);
    if settle.is_some_and(|left| left > 0.0) {
        row.and(
            Ink::Plain,
            format!("   judged from {} on, deadline in {}", ends(settle), ends(within)),
        )
    } else {
        row.and(Ink::Plain, format!("   being judged, deadline in {}", ends(within)))
    }
}

fn progress(story: &Story, now: Timestamp) -> Row {
    let (came, all) = (story.came(), story.items.len());
    let mut waits = Part::ALL
        .into_iter()
        .filter_map(|part| story.awaited(part))
        .map(|item| {
            let left = match &item.outcome {
                Outcome::Waiting(since) => item.limit.as_secs_f64() - seconds(*since, now),
                _ => item.limit.as_secs_f64(),
            };
            format!("{} ({:.0} s left)", item.step.title(), left.max(0.0))
        });
    let share = ratio(came, all);
    let text = waits.next().unwrap_or_else(|| "the story is told".to_owned());
    Row::of(Ink::Good, format!(" {} ", gauge(share, 12)))
        .and(Ink::Plain, format!("{came}/{all} "))
        .and(Ink::Dim, text)
}

/// The newest [`SPARK`] columns of `per` seconds each, oldest first: the mean of the values in each.
pub(super) fn columns<T>(
    samples: &[T],
    taken: impl Fn(&T) -> Timestamp,
    now: Timestamp,
    per: f64,
    value: impl Fn(&T) -> Option<f64>,
) -> Vec<Option<f64>> {
    let mut sums = vec![(0.0, 0_u32); SPARK];
    for sample in samples.iter().rev() {
        let age = seconds(taken(sample), now).max(0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an age in columns is small and not negative"
        )]
        let column = (age / per) as usize;
        let Some(at) = SPARK.checked_sub(column + 1) else { break };
        if let Some(value) = value(sample) {
            sums[at].0 += value;
            sums[at].1 += 1;
        }
    }
    sums.into_iter()
        .map(|(sum, count)| (count > 0).then(|| sum / f64::from(count)))
        .collect()
}

fn spark(values: &[Option<f64>], least_top: f64) -> String {
    let top = values.iter().flatten().copied().fold(least_top, f64::max);
    values.iter().map(|value| bar(*value, top)).collect()
}

pub(super) fn bar(value: Option<f64>, top: f64) -> char {
    let Some(value) = value else { return ' ' };
    let share = if top > 0.0 { (value / top).clamp(0.0, 1.0) } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 7")]
    let step = (share * 7.0).round() as usize;
    BARS[step.min(7)]
}

pub(super) fn gauge(share: f64, width: u32) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the width"
    )]
    let full = (share.clamp(0.0, 1.0) * f64::from(width)).round() as usize;
    let width = usize::try_from(width).unwrap_or(0);
    format!("{}{}", "█".repeat(full), "░".repeat(width.saturating_sub(full)))
}

pub(super) fn ratio(part: usize, whole: usize) -> f64 {
    let number = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    if whole == 0 { 0.0 } else { number(part) / number(whole) }
}

/// Minutes and seconds.
pub fn clock(elapsed: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a run lasts minutes"
    )]
    let whole = elapsed.max(0.0) as u64;
    format!("{}:{:02}", whole / 60, whole % 60)
}

/// Seconds of a duration in Prometheus' notation, as far as the demo's policies use it.
pub fn span(text: &str) -> Option<f64> {
    let (mut total, mut digits) = (0.0, String::new());
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        if next.is_ascii_digit() {
            digits.push(next);
            continue;
        }
        let number: f64 = std::mem::take(&mut digits).parse().ok()?;
        total += number
            * match (next, rest.peek()) {
                ('m', Some('s')) => {
                    rest.next();
                    0.001
                }
                ('s', _) => 1.0,
                ('m', _) => 60.0,
                ('h', _) => 3600.0,
                _ => return None,
            };
    }
    digits.is_empty().then_some(total)
}
