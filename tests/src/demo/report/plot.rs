//! The timeline as a picture: for each chapter the states of rule and Change, latency, load and
//! replicas, one below the other on one time axis.

use super::{
    numbers::closed_at,
    scale::{Panel, roof, ticks, time_ticks},
};
use crate::demo::{
    error::DemoError,
    frame::clock,
    setting::{ALERT, LINE, Part, Setting},
    story::state_name,
    world::{Chapter, Sample, World, phase, refusal},
};
use flyball_crds::{AlertState, Change, Phase};
use jiff::Timestamp;
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

pub(super) const WIDTH: u32 = 1200;
pub(super) const LEFT: i32 = 92;
pub(super) const RIGHT: i32 = 1176;
const FONT: &str = "Helvetica, Arial, 'DejaVu Sans', sans-serif";

// The Okabe-Ito colours, which colour-blind eyes tell apart; words say the same.
pub(super) const INK: RGBColor = RGBColor(38, 38, 38);
pub(super) const GREY: RGBColor = RGBColor(120, 120, 120);
pub(super) const PALE: RGBColor = RGBColor(228, 228, 228);
pub(super) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(super) const SKY: RGBColor = RGBColor(86, 180, 233);
pub(super) const ORANGE: RGBColor = RGBColor(230, 159, 0);
pub(super) const VERMILION: RGBColor = RGBColor(213, 94, 0);
pub(super) const GREEN: RGBColor = RGBColor(0, 158, 115);
pub(super) const PURPLE: RGBColor = RGBColor(204, 121, 167);

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Drawn = Result<(), DrawingAreaErrorKind<<SVGBackend<'static> as DrawingBackend>::ErrorType>>;

/// A stretch of time with a name, for a lane.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// When it begins, in seconds.
    pub from: f64,
    /// When it ends.
    pub to: f64,
    /// What is written into it, or beside it if it is too short.
    pub label: String,
    /// Its colour.
    pub colour: RGBColor,
}

/// The picture as SVG.
pub fn svg(world: &World, setting: &Setting, end: Timestamp) -> Result<String, DemoError> {
    let mut text = String::new();
    draw(&mut text, world, setting, end).map_err(|error| DemoError::Plot(error.to_string()))?;
    Ok(text)
}

fn draw(text: &mut String, world: &World, setting: &Setting, end: Timestamp) -> Drawn {
    const BLOCK: i32 = 472;
    const HEAD: i32 = 56;
    let height = u32::try_from(HEAD + 2 * BLOCK).unwrap_or(1000);
    let area = SVGBackend::with_string(text, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let until = world.elapsed(end).max(60.0);
    let title = format!(
        "rate(http_request_duration_seconds_sum[{0}]) / rate(http_requests_total[{0}]) > {LINE}, for {1}",
        setting.window, setting.hold
    );
    write(
        &area,
        "Flyball: a change is a transaction",
        (LEFT, 20),
        19,
        INK,
        HPos::Left,
    )?;
    write(&area, &title, (LEFT, 42), 13, GREY, HPos::Left)?;
    for part in Part::ALL {
        let top = HEAD + BLOCK * i32::try_from(part.index()).unwrap_or(0);
        block(&area, world, part, top, until, end)?;
    }
    area.present()
}

fn block(area: &Area<'_>, world: &World, part: Part, top: i32, until: f64, end: Timestamp) -> Drawn {
    let chapter = world.chapter(part);
    write(area, part.title(), (LEFT, top + 16), 15, INK, HPos::Left)?;
    let alerts = alert_lane(world, chapter, until);
    let changes = change_lane(world, chapter, end);
    let panel = |from: i32, to: i32, most: f64| Panel {
        left: LEFT,
        right: RIGHT,
        top: top + from,
        bottom: top + to,
        until,
        most,
    };
    let most = |value: fn(&Sample) -> Option<f64>| chapter.samples.iter().filter_map(value).fold(0.0, f64::max);
    let latency = panel(
        90,
        240,
        roof(most(|s| s.measured.latency).max(most(|s| s.measured.recent)), 1.0),
    );
    let load = panel(258, 328, roof(most(|s| s.measured.load), 10.0));
    let replicas = panel(346, 416, roof(most(|s| Some(f64::from(s.spec.max(s.ready)))), 5.0));

    let whole = Panel {
        bottom: replicas.bottom,
        ..latency
    };
    for at in alerts
        .iter()
        .map(|stretch| stretch.from)
        .chain(changes.iter().map(|stretch| stretch.from))
    {
        let x = whole.x(at);
        area.draw(&PathElement::new(
            vec![(x, top + 28), (x, whole.bottom)],
            PALE.stroke_width(1),
        ))?;
    }
    lane(area, &alerts, "alert", whole, top + 28)?;
    lane(area, &changes, "change", whole, top + 56)?;

    frame_of(area, latency, "latency (s)", false)?;
    frame_of(area, load, "load (1/s)", false)?;
    frame_of(area, replicas, "replicas", true)?;
    let x_of = |sample: &Sample| world.elapsed(sample.at);
    curve(area, latency, chapter, x_of, |s| s.measured.recent, SKY, 1)?;
    curve(area, latency, chapter, x_of, |s| s.measured.latency, BLUE, 3)?;
    let y = latency.y(LINE);
    for x in (LEFT..RIGHT).step_by(12) {
        area.draw(&PathElement::new(
            vec![(x, y), ((x + 7).min(RIGHT), y)],
            VERMILION.stroke_width(2),
        ))?;
    }
    write(area, "0.5 s", (RIGHT - 4, y - 9), 12, VERMILION, HPos::Right)?;
    write(
        area,
        "as the rule sees it",
        (RIGHT - 130, latency.top + 11),
        12,
        BLUE,
        HPos::Right,
    )?;
    write(
        area,
        "of the last 10 s",
        (RIGHT - 8, latency.top + 11),
        12,
        SKY,
        HPos::Right,
    )?;
    curve(area, load, chapter, x_of, |s| s.measured.load, GREEN, 2)?;
    stairs(area, replicas, chapter, x_of, |s| s.ready, PURPLE, 2)?;
    stairs(area, replicas, chapter, x_of, |s| s.spec, INK, 2)?;
    write(area, "ready", (RIGHT - 70, replicas.top + 11), 12, PURPLE, HPos::Right)?;
    write(area, "asked for", (RIGHT - 8, replicas.top + 11), 12, INK, HPos::Right)
}

/// The states of the rule as stretches.
pub fn alert_lane(world: &World, chapter: &Chapter, until: f64) -> Vec<Stretch> {
    let Some(adopted) = chapter.adopted else {
        return Vec::new();
    };
    let mut states = vec![(world.elapsed(adopted), AlertState::Inactive)];
    for moved in chapter.moves.iter().filter(|moved| moved.alert == ALERT) {
        let began = if moved.state == AlertState::Pending {
            moved.since.unwrap_or(moved.at)
        } else {
            moved.at
        };
        states.push((world.elapsed(began), moved.state));
    }
    let ends = states
        .iter()
        .skip(1)
        .map(|(at, _)| *at)
        .chain([until])
        .collect::<Vec<_>>();
    let stretches = states.iter().zip(ends).map(|((from, state), to)| Stretch {
        from: *from,
        to,
        label: state_name(*state).to_owned(),
        colour: match state {
            AlertState::Inactive => PALE,
            AlertState::Pending => ORANGE,
            AlertState::Firing => VERMILION,
        },
    });
    stretches.filter(|stretch| stretch.to > stretch.from).collect()
}

/// The Changes as stretches: what is open, and how it ended until the next one.
pub fn change_lane(world: &World, chapter: &Chapter, end: Timestamp) -> Vec<Stretch> {
    let mut changes: Vec<&Change> = chapter
        .changes
        .values()
        .filter(|change| change.spec.sequence > 0)
        .collect();
    changes.sort_by_key(|change| change.spec.proposed_at.0);
    let mut found = Vec::new();
    for (index, change) in changes.iter().enumerate() {
        let next = changes.get(index + 1).map_or(end, |next| next.spec.proposed_at.0);
        let from = change.spec.proposed_at.0;
        let closed = closed_at(change).unwrap_or(next).max(from);
        let mut add = |from: Timestamp, to: Timestamp, label: String, colour: RGBColor| {
            if to > from {
                found.push(Stretch {
                    from: world.elapsed(from),
                    to: world.elapsed(to),
                    label,
                    colour,
                });
            }
        };
        add(
            from,
            closed.min(end),
            format!("{} to {}: verifying", change.spec.before, change.spec.after),
            SKY,
        );
        // A record without a write; the pass that closes a Change may be the one that refuses to repeat it.
        let refused = chapter.changes.values().any(|record| {
            let at = record.spec.proposed_at.0;
            refusal(record) == Some("Ineffective") && at > from && at <= next
        });
        let (mut label, colour) = match phase(change) {
            Phase::Committed => ("committed".to_owned(), GREEN),
            Phase::RolledBack => ("rolled back".to_owned(), PURPLE),
            other => (format!("{other:?}").to_lowercase(), PALE),
        };
        if refused {
            label.push_str(", repeat refused");
        }
        if !phase(change).is_open() {
            add(closed, next, label, colour);
        }
    }
    found
}

/// Draws stretches side by side. A name that does not fit into its own stretch is written at the end of
/// the one before, if there is room.
pub(super) fn lane(area: &Area<'_>, stretches: &[Stretch], name: &str, panel: Panel, top: i32) -> Drawn {
    const HEIGHT: i32 = 22;
    let middle = top + HEIGHT / 2;
    write(area, name, (LEFT - 10, middle), 13, INK, HPos::Right)?;
    let ink = |stretch: &Stretch| {
        if [VERMILION, GREEN].contains(&stretch.colour) {
            WHITE
        } else {
            INK
        }
    };
    let mut before: Option<(i32, RGBColor)> = None;
    for stretch in stretches {
        let (from, to) = (panel.x(stretch.from), panel.x(stretch.to));
        area.draw(&Rectangle::new(
            [(from, top), (to, top + HEIGHT)],
            stretch.colour.filled(),
        ))?;
        let edge = vec![(from, top), (from, top + HEIGHT)];
        area.draw(&PathElement::new(edge, WHITE.stroke_width(2)))?;
        let width = text_width(&stretch.label, 12) + 10;
        if to - from >= width {
            write(area, &stretch.label, (from + 6, middle), 12, ink(stretch), HPos::Left)?;
            before = Some((to - from - width, ink(stretch)));
        } else {
            if let Some((_, colour)) = before.filter(|(room, _)| *room >= width) {
                write(area, &stretch.label, (from - 6, middle), 12, colour, HPos::Right)?;
            }
            before = None;
        }
    }
    Ok(())
}

pub(super) fn frame_of(area: &Area<'_>, panel: Panel, name: &str, last: bool) -> Drawn {
    for value in ticks(panel.most, 4) {
        let y = panel.y(value);
        area.draw(&PathElement::new(
            vec![(panel.left, y), (panel.right, y)],
            PALE.stroke_width(1),
        ))?;
        write(area, &format!("{value}"), (panel.left - 8, y), 12, GREY, HPos::Right)?;
    }
    area.draw(&PathElement::new(
        vec![(panel.left, panel.top), (panel.left, panel.bottom)],
        GREY.stroke_width(1),
    ))?;
    area.draw(&PathElement::new(
        vec![(panel.left, panel.bottom), (panel.right, panel.bottom)],
        GREY.stroke_width(1),
    ))?;
    let style = text_style(13, INK, HPos::Center).transform(FontTransform::Rotate270);
    area.draw(&Text::new(
        name.to_owned(),
        (30, i32::midpoint(panel.top, panel.bottom)),
        style,
    ))?;
    if last {
        for at in time_ticks(panel.until, 12) {
            let x = panel.x(at);
            area.draw(&PathElement::new(
                vec![(x, panel.bottom), (x, panel.bottom + 5)],
                GREY.stroke_width(1),
            ))?;
            write(area, &clock(at), (x, panel.bottom + 15), 12, GREY, HPos::Center)?;
        }
    }
    Ok(())
}

/// A line through the values; it breaks where there are none.
fn curve(
    area: &Area<'_>,
    panel: Panel,
    chapter: &Chapter,
    x_of: impl Fn(&Sample) -> f64,
    value: impl Fn(&Sample) -> Option<f64>,
    colour: RGBColor,
    width: u32,
) -> Drawn {
    let points: Vec<Option<(i32, i32)>> = chapter
        .samples
        .iter()
        .map(|sample| Some((panel.x(x_of(sample)), panel.y(value(sample)?))))
        .collect();
    for run in points.split(Option::is_none) {
        let line: Vec<(i32, i32)> = run.iter().flatten().copied().collect();
        if line.len() > 1 {
            area.draw(&PathElement::new(line, colour.stroke_width(width)))?;
        }
    }
    Ok(())
}

fn stairs(
    area: &Area<'_>,
    panel: Panel,
    chapter: &Chapter,
    x_of: impl Fn(&Sample) -> f64,
    value: impl Fn(&Sample) -> i32,
    colour: RGBColor,
    width: u32,
) -> Drawn {
    let mut line: Vec<(i32, i32)> = Vec::new();
    // Before the Deployment was seen there is nothing to draw.
    for sample in chapter.samples.iter().filter(|sample| sample.spec > 0) {
        let (x, y) = (panel.x(x_of(sample)), panel.y(f64::from(value(sample))));
        if let Some(&(_, before)) = line.last()
            && before != y
        {
            line.push((x, before));
        }
        line.push((x, y));
    }
    area.draw(&PathElement::new(line, colour.stroke_width(width)))
}

pub(super) fn write(area: &Area<'_>, text: &str, at: (i32, i32), size: u32, colour: RGBColor, anchor: HPos) -> Drawn {
    area.draw(&Text::new(text.to_owned(), at, text_style(size, colour, anchor)))
}

fn text_style(size: u32, colour: RGBColor, anchor: HPos) -> TextStyle<'static> {
    let font = (FONT, size).into_font();
    TextStyle {
        font,
        color: colour.to_backend_color(),
        pos: Pos::new(anchor, VPos::Center),
    }
}

/// About how wide a text gets: fonts are not read for it.
pub(super) fn text_width(text: &str, size: i32) -> i32 {
    i32::try_from(text.chars().count()).unwrap_or(0) * size * 56 / 100
}
