//! The chapter on weights in the report: its steps, its Changes, and a picture of shares and errors.

use super::{
    markdown::cell,
    numbers::closed_at,
    plot::{
        BLUE, Drawn, GREEN, GREY, INK, LEFT, ORANGE, PALE, PURPLE, RIGHT, SKY, Stretch, VERMILION, WIDTH, frame_of,
        lane, text_width, write,
    },
    scale::{Panel, roof},
};
use crate::demo::{
    error::DemoError,
    frame::clock,
    story::Outcome,
    weights::{BACKENDS, Chapter, OFFERED, TITLE, known::Sample},
    world::{World, phase, seconds},
};
use flyball_crds::Phase;
use jiff::Timestamp;
use plotters::{prelude::*, style::text_anchor::HPos};
use std::fmt::Write as _;

/// The chapter's own section.
pub fn section(out: &mut String, world: &World, chapter: &Chapter) {
    let _ = writeln!(
        out,
        "\n## {TITLE}\n\n{OFFERED} requests/s through the gateway, of 500 that the backends can do.\n\n![weights](weights.svg)\n\n\
         | step | at | |\n|---|---|---|"
    );
    for item in &chapter.story.items {
        let (at, note) = match &item.outcome {
            Outcome::Came(at, note) => (clock(world.elapsed(*at)), cell(note)),
            Outcome::Missing(instead) => ("**did not come**".to_owned(), cell(instead)),
            Outcome::Waiting(_) | Outcome::Ahead => ("not reached".to_owned(), String::new()),
        };
        let _ = writeln!(out, "| {} | {at} | {note} |", item.step.title());
    }
    out.push_str("\n| Change of weights | proposed | why | written after | traffic followed after | verdict | phase |\n|---|---|---|---|---|---|---|\n");
    for change in chapter.known.written() {
        let status = change.status.clone().unwrap_or_default();
        let after = |from: Option<Timestamp>, to: Option<Timestamp>| {
            let both = from.zip(to).map(|(from, to)| format!("{:.1} s", seconds(from, to)));
            both.unwrap_or_default()
        };
        let (applied, realised) = (status.applied_at.map(|at| at.0), status.realised_at.map(|at| at.0));
        let verdict = status
            .verdict
            .map(|verdict| format!("{}: {}", verdict.result, verdict.message));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {:?} |",
            cell(&change.spec.shift),
            clock(world.elapsed(change.spec.proposed_at.0)),
            cell(&change.spec.reason),
            after(Some(change.spec.proposed_at.0), applied),
            after(applied, realised),
            cell(&verdict.unwrap_or_default()),
            phase(change),
        );
    }
}

/// The chapter's series, one row for each look.
pub fn csv(chapter: &Chapter) -> String {
    let mut out = String::from("seconds,time,weight_a,weight_b,weight_c,share_a,share_b,share_c,errors\n");
    for sample in &chapter.known.samples {
        let number = |value: Option<f64>| value.map(|value| format!("{value:.4}")).unwrap_or_default();
        let weights = sample.wanted.map(|part| format!("{part:.4}"));
        let served = sample.served.map(number);
        let _ = writeln!(
            out,
            "{:.1},{},{},{},{}",
            seconds(chapter.began, sample.at),
            sample.at,
            weights.join(","),
            served.join(","),
            number(sample.failing)
        );
    }
    out
}

/// The picture as SVG.
pub fn svg(chapter: &Chapter) -> Result<String, DemoError> {
    let mut text = String::new();
    draw(&mut text, chapter).map_err(|error| DemoError::Plot(error.to_string()))?;
    Ok(text)
}

const COLOURS: [RGBColor; 3] = [BLUE, ORANGE, PURPLE];

fn draw(text: &mut String, chapter: &Chapter) -> Drawn {
    let area = SVGBackend::with_string(text, (WIDTH, 560)).into_drawing_area();
    area.fill(&WHITE)?;
    let last = chapter.known.samples.last().map_or(chapter.began, |sample| sample.at);
    let until = seconds(chapter.began, chapter.ended.unwrap_or(last).max(last)).max(30.0);
    let elapsed = |at: Timestamp| seconds(chapter.began, at);
    write(
        &area,
        "Flyball: weights follow what the backends can do",
        (LEFT, 20),
        19,
        INK,
        HPos::Left,
    )?;
    let subtitle = format!("{OFFERED} requests/s through a gateway; a and b can do 200, c can do 100");
    write(&area, &subtitle, (LEFT, 42), 13, GREY, HPos::Left)?;
    let panel = |top: i32, bottom: i32, most: f64| Panel {
        left: LEFT,
        right: RIGHT,
        top,
        bottom,
        until,
        most,
    };
    let shares = panel(146, 386, 60.0);
    let worst = chapter
        .known
        .samples
        .iter()
        .filter_map(|sample| sample.failing)
        .fold(0.0, f64::max);
    let errors = panel(412, 512, roof(worst * 100.0, 5.0));
    // What was done, as lines through everything, each named at its head.
    let lines: Vec<(i32, &str)> = chapter
        .known
        .marks
        .iter()
        .map(|(at, act)| (shares.x(elapsed(*at)), act.words()))
        .collect();
    for (index, (x, words)) in lines.iter().enumerate() {
        let line = vec![(*x, 66), (*x, errors.bottom)];
        area.draw(&PathElement::new(line, GREY.stroke_width(1)))?;
        let room = lines.get(index + 1).map_or(RIGHT, |(next, _)| *next) - x;
        let (x, side) = if room > text_width(words, 12) + 12 {
            (x + 4, HPos::Left)
        } else {
            (x - 4, HPos::Right)
        };
        write(&area, words, (x, 72), 12, VERMILION, side)?;
    }
    lane(&area, &changes(chapter, until), "change", shares, 90)?;
    frame_of(&area, shares, "share (%)", false)?;
    frame_of(&area, errors, "errors (%)", true)?;
    for (index, (name, _)) in BACKENDS.into_iter().enumerate() {
        let colour = COLOURS.get(index).copied().unwrap_or(INK);
        let served = |sample: &Sample| Some(sample.served.get(index).copied().flatten()? * 100.0);
        curve(&area, shares, chapter, served, colour, 1)?;
        stairs(&area, shares, chapter, |sample| sample.wanted[index] * 100.0, colour)?;
        let x = RIGHT - 60 + 24 * i32::try_from(index).unwrap_or(0);
        write(&area, name, (x, shares.top - 14), 14, colour, HPos::Left)?;
    }
    let mut x = LEFT;
    for phase in [Phase::Committed, Phase::Inconclusive, Phase::Ineffective] {
        let (words, colour) = ending(phase);
        area.draw(&Rectangle::new([(x, 120), (x + 12, 132)], colour.filled()))?;
        write(&area, words, (x + 18, 126), 12, GREY, HPos::Left)?;
        x += text_width(words, 12) + 44;
    }
    let legend = "thick: by weight, thin: as the gateway served";
    write(&area, legend, (RIGHT - 80, shares.top - 14), 12, GREY, HPos::Right)?;
    curve(
        &area,
        errors,
        chapter,
        |sample| Some(sample.failing? * 100.0),
        VERMILION,
        2,
    )?;
    write(&area, "time since the chapter began", (LEFT, 548), 12, GREY, HPos::Left)?;
    area.present()
}

/// The Changes as stretches from proposal to end, each with how it ended.
fn changes(chapter: &Chapter, until: f64) -> Vec<Stretch> {
    let elapsed = |at: Timestamp| seconds(chapter.began, at);
    let each = chapter.known.written().into_iter().map(|change| {
        let from = elapsed(change.spec.proposed_at.0);
        let (label, colour) = ending(phase(change));
        Stretch {
            from,
            to: closed_at(change).map_or(until, elapsed).max(from),
            label: label.to_owned(),
            colour,
        }
    });
    each.filter(|stretch| stretch.to > stretch.from).collect()
}

/// How a Change ended, in a word and a colour.
const fn ending(phase: Phase) -> (&'static str, RGBColor) {
    match phase {
        Phase::Committed => ("verified", GREEN),
        Phase::Ineffective => ("no effect, held", ORANGE),
        Phase::Inconclusive => ("can't be told, held", PALE),
        Phase::Superseded => ("superseded", PALE),
        Phase::RolledBack => ("rolled back", PURPLE),
        _ => ("under way", SKY),
    }
}

/// A line through the values; it breaks where there are none.
fn curve(
    area: &super::plot::Area<'_>,
    panel: Panel,
    chapter: &Chapter,
    value: impl Fn(&Sample) -> Option<f64>,
    colour: RGBColor,
    width: u32,
) -> Drawn {
    let point = |sample: &Sample| Some((panel.x(seconds(chapter.began, sample.at)), panel.y(value(sample)?)));
    let points: Vec<Option<(i32, i32)>> = chapter.known.samples.iter().map(point).collect();
    for run in points.split(Option::is_none) {
        let line: Vec<(i32, i32)> = run.iter().flatten().copied().collect();
        if line.len() > 1 {
            area.draw(&PathElement::new(line, colour.stroke_width(width)))?;
        }
    }
    Ok(())
}

fn stairs(
    area: &super::plot::Area<'_>,
    panel: Panel,
    chapter: &Chapter,
    value: impl Fn(&Sample) -> f64,
    colour: RGBColor,
) -> Drawn {
    let mut line: Vec<(i32, i32)> = Vec::new();
    for sample in &chapter.known.samples {
        let (x, y) = (panel.x(seconds(chapter.began, sample.at)), panel.y(value(sample)));
        if let Some(&(_, before)) = line.last()
            && before != y
        {
            line.push((x, before));
        }
        line.push((x, y));
    }
    area.draw(&PathElement::new(line, colour.stroke_width(3)))
}
