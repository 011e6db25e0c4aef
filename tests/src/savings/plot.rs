//! CPU against memory, as a picture.

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

const SIZE: (u32, u32) = (900, 560);
const LEFT: i32 = 84;
const RIGHT: i32 = 860;
const TOP: i32 = 64;
const BOTTOM: i32 = 490;
const FONT: &str = "Helvetica, Arial, 'DejaVu Sans', sans-serif";

const INK: RGBColor = RGBColor(38, 38, 38);
const GREY: RGBColor = RGBColor(120, 120, 120);
const PALE: RGBColor = RGBColor(228, 228, 228);
// Of the Okabe-Ito colours, which colour-blind eyes tell apart; names stand beside the points.
const BLUE: RGBColor = RGBColor(0, 114, 178);
const VERMILION: RGBColor = RGBColor(213, 94, 0);

/// Whose point it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A fixed setting; a line goes through all of them.
    Fixed,
    /// A tuner.
    Tuner,
    /// Ours.
    Flyball,
}

/// A point of the picture.
#[derive(Clone, Debug)]
pub struct Point {
    /// What stands beside it.
    pub name: String,
    /// Mean resident memory in MB.
    pub memory: f64,
    /// CPU, in what the axis says.
    pub cpu: f64,
    /// Whose it is.
    pub kind: Kind,
}

/// The picture as SVG, or why there is none, in its place.
pub fn scatter(title: &str, axis: &str, points: &[Point]) -> String {
    let mut svg = String::new();
    let drawn = draw(&mut svg, title, axis, points);
    drawn.map_or_else(|error| format!("<!-- {error} -->"), |()| svg)
}

type Drawn = Result<(), DrawingAreaErrorKind<<SVGBackend<'static> as DrawingBackend>::ErrorType>>;

/// The ends of an axis: a tenth beyond what is on it.
fn ends(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let most = values.fold(f64::NEG_INFINITY, f64::max);
    let beyond = ((most - least) / 10.0).max(most.abs() / 100.0);
    (least - beyond, most + beyond)
}

fn draw(svg: &mut String, title: &str, axis: &str, points: &[Point]) -> Drawn {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |words: &str, at: (i32, i32), size: u32, colour: RGBColor, anchor: HPos| {
        let style = TextStyle {
            font: (FONT, size).into_font(),
            color: colour.to_backend_color(),
            pos: Pos::new(anchor, VPos::Center),
        };
        area.draw(&Text::new(words.to_owned(), at, style))
    };
    let line = |from: (i32, i32), to: (i32, i32), colour: RGBColor| {
        area.draw(&PathElement::new(vec![from, to], colour.stroke_width(1)))
    };
    let (x0, x1) = ends(points.iter().map(|point| point.memory));
    let (y0, y1) = ends(points.iter().map(|point| point.cpu));
    #[allow(clippy::cast_possible_truncation)] // Within the picture.
    let on = |share: f64, from: i32, to: i32| (f64::from(from) + share * f64::from(to - from)).round() as i32;
    let x = |memory: f64| on((memory - x0) / (x1 - x0), LEFT, RIGHT);
    let y = |cpu: f64| on((cpu - y0) / (y1 - y0), BOTTOM, TOP);

    text(title, (LEFT, 22), 18, INK, HPos::Left)?;
    text(
        &format!("{axis}; down and left is better"),
        (LEFT, 44),
        13,
        GREY,
        HPos::Left,
    )?;
    for nth in 0..=5 {
        let share = f64::from(nth) / 5.0;
        let (memory, cpu) = (x0 + share * (x1 - x0), y0 + share * (y1 - y0));
        line((LEFT, y(cpu)), (RIGHT, y(cpu)), PALE)?;
        line((x(memory), TOP), (x(memory), BOTTOM), PALE)?;
        text(&format!("{cpu:.2}"), (LEFT - 8, y(cpu)), 12, GREY, HPos::Right)?;
        text(
            &format!("{memory:.0}"),
            (x(memory), BOTTOM + 16),
            12,
            GREY,
            HPos::Center,
        )?;
    }
    text(
        "mean resident memory, MB",
        (i32::midpoint(LEFT, RIGHT), BOTTOM + 42),
        13,
        INK,
        HPos::Center,
    )?;
    let mut fixed: Vec<&Point> = points.iter().filter(|point| point.kind == Kind::Fixed).collect();
    fixed.sort_by(|a, b| a.memory.total_cmp(&b.memory));
    let curve: Vec<(i32, i32)> = fixed.iter().map(|point| (x(point.memory), y(point.cpu))).collect();
    area.draw(&PathElement::new(curve, GREY.stroke_width(2)))?;
    for point in points {
        let colour = match point.kind {
            Kind::Fixed => GREY,
            Kind::Tuner => BLUE,
            Kind::Flyball => VERMILION,
        };
        let at = (x(point.memory), y(point.cpu));
        area.draw(&Circle::new(at, 6, colour.filled()))?;
        text(&point.name, (at.0 + 10, at.1 - 10), 13, colour, HPos::Left)?;
    }
    area.present()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_has_its_name() {
        let point = |name: &str, memory: f64, cpu: f64, kind| Point {
            name: name.to_owned(),
            memory,
            cpu,
            kind,
        };
        let points = [
            point("GOGC 100", 200.0, 1.2, Kind::Fixed),
            point("GOGC 200", 300.0, 1.0, Kind::Fixed),
            point("gctuner", 250.0, 1.1, Kind::Tuner),
            point("Flyball", 240.0, 1.0, Kind::Flyball),
        ];
        let svg = scatter("CPU against memory", "CPU ms", &points);
        assert!(svg.starts_with("<svg"), "{svg}");
        for word in ["CPU against memory", "GOGC 100", "gctuner", "Flyball"] {
            assert!(svg.contains(word), "{word}: {svg}");
        }
        // Points that all lie in one place have a picture as well.
        assert!(scatter("", "", &points[..1]).starts_with("<svg"));
    }
}
