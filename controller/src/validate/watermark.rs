//! Memory watermarks: what they ask, and the three rules that each of them is.

mod asked;

use asked::asked;

use super::{
    Errors,
    names::{is_label, unique},
    taken::MAX_RULES,
};
use crate::promql::shorten;
use flyball_core::{
    evaluate::{
        Template,
        watermark::{Adapt, Band, By, Foresee, Hold, Level, Options, Watermarks},
    },
    policy::{Comparator, Comparison, Condition, MemoryWatermark as Read, Rule},
    signal::Finite,
    time::Span,
};
use flyball_crds::{MemoryWatermark, WatermarkOf, WatermarkSource};
use std::collections::BTreeMap;

/// The most of them.
const MOST: usize = 4;
/// How far adapting lifts warning and high at most, as ratios.
const LIFT: (f64, f64) = (0.08, 0.04);
/// What lies between the highest that one level becomes and the next.
const APART: f64 = 0.01;
/// A leak is foreseen over so many passes at least.
const PASSES: u64 = 16;

/// Reads all of them, and adds their rules to the policy's.
pub(super) fn read_all(
    written: &[MemoryWatermark],
    interval: Option<Span>,
    rules: &mut BTreeMap<String, Rule>,
    errors: &mut Errors,
) -> Vec<Read> {
    errors.at_most("spec.watermarks", written.len(), MOST);
    let all = written.iter().map(|mark| mark.name.as_str());
    unique(
        |index| format!("spec.watermarks[{index}].name"),
        "watermarks",
        all,
        errors,
    );
    let mut marks = Vec::new();
    for (index, written) in written.iter().enumerate() {
        let path = format!("spec.watermarks[{index}]");
        let Some(mark) = read(&path, written, interval, errors) else {
            continue;
        };
        for (name, rule) in of(&mark) {
            if rules.insert(name.clone(), rule).is_some() {
                errors.add(
                    format!("{path}.name"),
                    format!("makes a rule {name}, and there is one; rename one of the two"),
                );
            }
        }
        marks.push(mark);
    }
    if rules.len() > MAX_RULES && !marks.is_empty() {
        let message = format!(
            "each is three rules, and with them there are {}, at most {MAX_RULES} are allowed; split the policy",
            rules.len()
        );
        errors.add("spec.watermarks", message);
    }
    marks
}

/// Reads one.
fn read(path: &str, written: &MemoryWatermark, interval: Option<Span>, errors: &mut Errors) -> Option<Read> {
    let name = &written.name;
    let capital = name.starts_with(|c: char| c.is_ascii_uppercase());
    if !capital || name.len() > 48 || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
        let message = format!(
            "{} is not of letters and digits that begin with a capital, at most 48; write for example Memory",
            shorten(name)
        );
        errors.add(format!("{path}.name"), message);
    }
    let of = written.of.unwrap_or_default();
    if let Some(container) = &written.container {
        if of == WatermarkOf::Nodes {
            errors.add(format!("{path}.container"), "goes with of: Containers; remove it");
        } else if !is_label(container) {
            let message = format!(
                "{} is not the name of a container; write for example app",
                shorten(container)
            );
            errors.add(format!("{path}.container"), message);
        }
    }
    let asked = asked(path, written, of, errors);
    let marks = marks(path, written, interval?, errors);
    let asked = asked?;
    Some(Read {
        name: name.clone(),
        by: match of {
            WatermarkOf::Containers => By::Container,
            WatermarkOf::Nodes => By::Node,
        },
        container: written.container.clone(),
        ratio: asked.ratio,
        sampled: asked.sampled,
        used: asked.used,
        marks: marks?,
    })
}

fn marks(path: &str, written: &MemoryWatermark, interval: Span, errors: &mut Errors) -> Option<Watermarks> {
    let mut percent = |field: &str, written: Option<i32>, usual: i32, least: i32, most: i32| {
        let read = errors.within(format!("{path}.{field}"), written.unwrap_or(usual), least, most)?;
        Some(f64::from(read) / 100.0)
    };
    // Of memory that is full, and of time that is lost by it.
    let stalls = written.source == Some(WatermarkSource::Pressure);
    let [first, second, third] = if stalls { [10, 20, 40] } else { [80, 90, 95] };
    let warning = percent("warning", written.warning, first, 1, 100);
    let high = percent("high", written.high, second, 1, 100);
    let emergency = percent("emergency", written.emergency, third, 1, 100);
    let margin = percent("margin", written.margin, 3, 1, 50);
    let usual = Options::default();
    let hold = errors.positive(&format!("{path}.hold"), written.hold.as_ref(), usual.hold.time);
    let end = errors.positive(&format!("{path}.end"), written.end.as_ref(), usual.end);
    let (warning, high, emergency, margin, hold) = (warning?, high?, emergency?, margin?, hold?);
    let adapts = written.adaptive != Some(false);
    let band = |level: f64, lift: f64, next: f64| {
        if adapts {
            Band {
                level,
                floor: level,
                ceiling: (level + lift).min(next - APART).max(level),
            }
        } else {
            Band::fixed(level)
        }
    };
    let short = Span::from_millis((hold.as_millis() / 3).max(3000));
    let options = Options {
        warning: band(warning, LIFT.0, high),
        high: band(high, LIFT.1, emergency),
        emergency,
        hold: Hold {
            time: hold,
            ..usual.hold
        },
        hold_emergency: Hold {
            time: short.min(hold),
            ..usual.hold_emergency
        },
        margin,
        end: end?,
        gap: usual.gap.max(Span::from_millis(interval.as_millis() * 4)),
        adapt: usual.adapt.filter(|_| adapts).map(|adapt| Adapt {
            above: adapt.above.max(margin + APART),
            ..adapt
        }),
        foresee: (written.foresee != Some(false) && !stalls).then(|| Foresee {
            window: Span::from_secs(300).max(Span::from_millis(interval.as_millis() * PASSES)),
            pass: interval.max(Span::from_secs(1)),
        }),
    };
    errors.take(path.to_owned(), Watermarks::new(options))
}

/// The rules of a watermark: what actions name, and what is shown of it. Their states are those of the levels.
fn of(mark: &Read) -> BTreeMap<String, Rule> {
    let labels: BTreeMap<String, Template> = BTreeMap::new();
    let rule_of = |level: Level| {
        let right = Finite::new(mark.marks.threshold(level, None))?;
        let alert = mark.alert(level);
        let rule = Rule {
            alert: alert.clone(),
            condition: Condition::Threshold(Comparison {
                left: mark.ratio.clone(),
                comparator: Comparator::GreaterOrEqual,
                right,
            }),
            hold: if level == Level::Emergency {
                mark.marks.options().hold_emergency.time
            } else {
                mark.marks.options().hold.time
            },
            keep_firing_for: Span::ZERO,
            labels: labels.clone(),
            annotations: labels.clone(),
        };
        Some((alert, rule))
    };
    Level::RAISED.into_iter().filter_map(rule_of).collect()
}
