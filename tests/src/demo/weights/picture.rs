//! One picture of the chapter on the screen, 80 columns by 24 lines. Pure: text in, text out.

use super::{BACKENDS, Chapter, OFFERED, TITLE, known::Sample};
use crate::demo::{
    frame::{HEIGHT, Ink, Row, WIDTH, bar, clock, columns, gauge, heading, ratio},
    story::Outcome,
    world::{World, phase, seconds},
};
use flyball_crds::Phase;
use jiff::Timestamp;

/// How many lines of what happened are shown.
const LOG: usize = 12;
/// Each column of the curves, in seconds: 40 of them are two minutes.
const COLUMN: f64 = 3.0;

/// The screen at `now`.
pub fn frame(world: &World, chapter: &Chapter, now: Timestamp) -> Vec<Row> {
    let clock_now = clock(world.elapsed(now));
    let what = format!("{OFFERED} requests/s, 72 % of what the backends can do");
    let gap = WIDTH.saturating_sub(" flyball demo   ".len() + what.chars().count() + clock_now.len() + 1);
    let mut rows = vec![
        Row::of(Ink::Bold, " flyball demo   ")
            .and(Ink::Dim, what)
            .and(Ink::Plain, " ".repeat(gap))
            .and(Ink::Bold, clock_now),
        heading(TITLE),
    ];
    for (index, (name, _)) in BACKENDS.into_iter().enumerate() {
        rows.push(backend(chapter, name, index, now));
    }
    rows.push(errors(chapter, now));
    rows.push(Row::of(Ink::Plain, format!(" policy   {}", chapter.known.doing)));
    rows.push(change(chapter));
    rows.push(heading("what happened"));
    let first = world.lines.len().saturating_sub(LOG);
    let mut told: Vec<Row> = world.lines[first..]
        .iter()
        .map(|line| {
            let at = clock(world.elapsed(line.at));
            Row::of(Ink::Dim, format!(" {at:>5} {:<8} ", line.who.unwrap_or(""))).and(Ink::Plain, line.text.clone())
        })
        .collect();
    told.resize(LOG, Row::default());
    rows.extend(told);
    rows.resize(HEIGHT - 1, Row::default());
    rows.push(progress(chapter, now));
    rows
}

fn backend(chapter: &Chapter, name: &str, index: usize, now: Timestamp) -> Row {
    let samples = &chapter.known.samples;
    let served = |sample: &Sample| sample.served.get(index).copied().flatten();
    let last = samples.last().and_then(served);
    let number = last.map_or_else(|| "-".to_owned(), |part| format!("{:.0} %", part * 100.0));
    let mut row = Row::of(Ink::Plain, format!(" {name:<9}{number:>9}  "));
    for value in columns(samples, |sample| sample.at, now, COLUMN, served) {
        row = row.and(Ink::Good, bar(value, 0.6).to_string());
    }
    let weight = samples
        .last()
        .and_then(|sample| sample.wanted.get(index).copied())
        .unwrap_or(0.0);
    row.and(Ink::Dim, format!("  weight {:.1} %", weight * 100.0))
}

fn errors(chapter: &Chapter, now: Timestamp) -> Row {
    let samples = &chapter.known.samples;
    let failing = chapter.known.failing();
    let number = failing.map_or_else(|| "-".to_owned(), |part| format!("{:.1} %", part * 100.0));
    let ink = |part: Option<f64>| {
        if part.is_some_and(|part| part > 0.0) {
            Ink::Bad
        } else {
            Ink::Good
        }
    };
    let mut row = Row::of(ink(failing), format!(" {:<9}{number:>9}  ", "errors"));
    for value in columns(samples, |sample| sample.at, now, COLUMN, |sample| sample.failing) {
        row = row.and(ink(value), bar(value, 0.2).to_string());
    }
    row
}

fn change(chapter: &Chapter) -> Row {
    let written = chapter.known.written();
    let Some(change) = written.last() else {
        return Row::of(Ink::Dim, " change   none");
    };
    let phase = phase(change);
    let ink = match phase {
        Phase::Committed => Ink::Good,
        Phase::Applying | Phase::Verifying | Phase::RollingBack => Ink::Busy,
        _ => Ink::Bad,
    };
    Row::of(ink, format!(" change   {} {phase:?}", change.spec.shift))
}

fn progress(chapter: &Chapter, now: Timestamp) -> Row {
    let (came, all) = (chapter.story.came(), chapter.story.items.len());
    let text = chapter.story.awaited().map_or_else(
        || "the chapter is told".to_owned(),
        |item| {
            let left = match &item.outcome {
                Outcome::Waiting(since) => item.limit.as_secs_f64() - seconds(*since, now),
                _ => item.limit.as_secs_f64(),
            };
            format!("{} ({:.0} s left)", item.step.title(), left.max(0.0))
        },
    );
    Row::of(Ink::Good, format!(" {} ", gauge(ratio(came, all), 12)))
        .and(Ink::Plain, format!("{came}/{all} "))
        .and(Ink::Dim, text)
}
