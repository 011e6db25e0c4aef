//! Memory watermarks: how full each subject is, as a level.
//!
//! **Raised** like a rule with `for`: a level is raised once every sample over the time of its [`Hold`] was at or
//! above its threshold, several samples at least. That is the strictest of the lower quantiles, and the only one that
//! needs no samples to be kept: a time and a count per level are all that has to survive a restart. A single sample
//! below begins it anew, so no peak raises anything, and a saw-tooth of collections is judged by what they leave. A
//! sample counts once, by when it was taken: one scrape that caught a peak is still one, however many passes read it.
//!
//! **Ended** a margin below the threshold, after every sample was there for a time.
//!
//! **Adapted**: warning and high lie a distance above what is usual for the subject (a quantile over a longer window,
//! the median by default), between a floor and a ceiling; so what always sits at 82 % is not in warning for ever.
//! Emergency is never adapted, and the ceiling of one level is below the floor of the next.
//!
//! **Foreseen**: an emergency is raised early where memory grows so that it is full within two passes ([`leak`]).
//!
//! **Absent** data moves nothing: the level stays, and the state says since when and why nothing is known. What was
//! counted towards a level is dropped after a gap.

mod alerts;
pub mod leak;
mod observe;
mod rank;
mod settings;

pub use alerts::{alerts, restored};
pub use observe::{By, Observed, Ratio, Subject, observe};
pub use rank::{Over, PodMemory, furthest_over};
pub use settings::{Adapt, Band, Foresee, Hold, Options, WatermarkError, Watermarks};

use crate::time::{Span, Timestamp};
use leak::{Growth, Point};
use std::{collections::BTreeMap, fmt};

/// How full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing to do.
    #[default]
    Normal,
    /// 80 %.
    Warning,
    /// 90 %.
    High,
    /// 95 %.
    Emergency,
}

impl Level {
    /// Those that are raised, the lowest first.
    pub const RAISED: [Self; 3] = [Self::Warning, Self::High, Self::Emergency];
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::Warning => "warning",
            Self::High => "high",
            Self::Emergency => "emergency",
        })
    }
}

/// The most subjects that are remembered; the fullest are.
pub const SUBJECTS_CAP: usize = 2000;
/// The most ratios that are kept of a subject for what is usual.
pub const USUAL_CAP: usize = 24;
/// They are a window divided by so many apart.
const USUAL_PARTS: u64 = 24;
/// Fewer tell nothing of what is usual: half a window.
const USUAL_FEWEST: usize = USUAL_CAP / 2;

/// How a level of a subject is coming on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Whether it is raised.
    pub raised: bool,
    /// Since which sample all were at or above its threshold ...
    pub above_since: Option<Timestamp>,
    /// ... and how many there were.
    pub above: u32,
    /// Since which sample all were below where it ends.
    pub below_since: Option<Timestamp>,
}

/// That nothing is known of a subject now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub why: String,
}

/// What is remembered of a subject.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubjectState {
    /// Its level.
    pub level: Level,
    /// Since when it has had it.
    pub since: Timestamp,
    /// Its newest ratio.
    pub value: Option<f64>,
    /// When that was sampled.
    pub sampled_at: Option<Timestamp>,
    /// Warning, high, emergency.
    pub marks: [Mark; 3],
    /// Ratios over the window of [`Adapt`], thinned out, at most [`USUAL_CAP`].
    pub usual: Vec<Point>,
    /// Ratios over the window of [`Foresee`], thinned out, at most [`leak::KEPT`].
    pub recent: Vec<Point>,
    /// How it grows, as far as that can be believed.
    pub growth: Option<Growth>,
    /// Whether, and why, nothing is known of it now: its level is the last that was known.
    pub unknown: Option<Unknown>,
}

/// What is remembered of all subjects from pass to pass. Plain, so that it can be stored; what is `Normal` and not
/// stored begins anew.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WatermarkState {
    /// By subject, at most [`SUBJECTS_CAP`].
    pub subjects: BTreeMap<Subject, SubjectState>,
    /// How many more there were, all less full.
    pub crowded: usize,
}

impl WatermarkState {
    /// The level of the worst subject, not of their mean: one full container is killed, however empty others are.
    pub fn level(&self) -> Level {
        self.subjects
            .values()
            .map(|state| state.level)
            .max()
            .unwrap_or_default()
    }

    /// At most `n` subjects, the highest level first and the fullest of those.
    pub fn worst(&self, n: usize) -> Vec<(&Subject, &SubjectState)> {
        let mut all: Vec<_> = self.subjects.iter().collect();
        all.sort_by(|(_, a), (_, b)| {
            badness(b)
                .0
                .cmp(&badness(a).0)
                .then(badness(b).1.total_cmp(&badness(a).1))
        });
        all.truncate(n);
        all
    }

    /// Forgets what is known to be gone, such as pods that were deleted. That a reading lacks a subject is no such
    /// knowledge.
    pub fn retain(&mut self, exists: impl Fn(&Subject) -> bool) {
        self.subjects.retain(|subject, _| exists(subject));
    }
}

fn badness(state: &SubjectState) -> (Level, f64) {
    (state.level, state.value.unwrap_or(0.0))
}

/// A level that was raised or ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// Whose.
    pub subject: Subject,
    /// What it was.
    pub from: Level,
    /// What it is.
    pub to: Level,
    /// The newest ratio.
    pub value: f64,
    /// On the way up the threshold of `to`, on the way down where `from` ends.
    pub threshold: f64,
    /// Since which sample all were above, or below, that; when foreseen, the newest.
    pub since: Timestamp,
    /// What led to it, where memory was foreseen to be full and the threshold is not passed.
    pub foreseen: Option<Growth>,
}

impl Transition {
    /// Whether the level rose.
    pub fn is_up(&self) -> bool {
        self.to > self.from
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |ratio: f64| 100.0 * ratio;
        write!(
            f,
            "{}: {} after {}, at {:.1} %",
            self.subject,
            self.to,
            self.from,
            percent(self.value)
        )?;
        match &self.foreseen {
            Some(growth) => write!(f, ": {growth}"),
            None if self.is_up() => write!(f, ", not below {:.1} %", percent(self.threshold)),
            None => write!(f, ", below {:.1} %", percent(self.threshold)),
        }
    }
}

/// The next state, and what changed, by subject.
///
/// `previous` is what the pass before returned, or what was stored of it; a stored time in the future counts as now.
pub fn evaluate(
    watermarks: &Watermarks,
    observed: &Observed,
    previous: &WatermarkState,
    now: Timestamp,
) -> (WatermarkState, Vec<Transition>) {
    let mut next = WatermarkState::default();
    let mut transitions = Vec::new();
    for (subject, state) in &previous.subjects {
        if !observed.subjects.contains_key(subject) {
            let absent = observed.absent.as_deref();
            let mut state = not_after(state.clone(), now);
            unknown(&mut state, absent.unwrap_or("no series is of it"), now);
            next.subjects.insert(subject.clone(), state);
        }
    }
    for (subject, ratio) in &observed.subjects {
        let state = previous.subjects.get(subject).cloned();
        let mut state = state.map_or_else(|| fresh(now), |state| not_after(state, now));
        match ratio {
            Err(why) => unknown(&mut state, why, now),
            Ok(ratio) => transitions.extend(advance(watermarks, subject, &mut state, *ratio, now)),
        }
        next.subjects.insert(subject.clone(), state);
    }
    crowd(&mut next);
    (next, transitions)
}

/// A subject that was never seen before.
fn fresh(now: Timestamp) -> SubjectState {
    SubjectState {
        since: now,
        ..SubjectState::default()
    }
}

/// Drops the least full beyond [`SUBJECTS_CAP`].
fn crowd(state: &mut WatermarkState) {
    let over = state.subjects.len().saturating_sub(SUBJECTS_CAP);
    if over == 0 {
        return;
    }
    let all = state.worst(usize::MAX);
    let least: Vec<Subject> = all
        .into_iter()
        .skip(SUBJECTS_CAP)
        .map(|(subject, _)| subject.clone())
        .collect();
    for subject in least {
        state.subjects.remove(&subject);
    }
    state.crowded = over;
}

/// Brings times that lie in the future to now: a clock that stepped back must not stop everything.
fn not_after(mut state: SubjectState, now: Timestamp) -> SubjectState {
    let bring = |time: &mut Timestamp| *time = (*time).min(now);
    bring(&mut state.since);
    state.sampled_at.iter_mut().for_each(bring);
    for mark in &mut state.marks {
        mark.above_since.iter_mut().chain(&mut mark.below_since).for_each(bring);
    }
    for (time, _) in state.usual.iter_mut().chain(&mut state.recent) {
        bring(time);
    }
    if let Some(unknown) = &mut state.unknown {
        bring(&mut unknown.since);
    }
    state
}

/// Nothing is known: all stays as it is.
fn unknown(state: &mut SubjectState, why: &str, now: Timestamp) {
    let since = state.unknown.as_ref().map_or(now, |unknown| unknown.since);
    state.unknown = Some(Unknown {
        since,
        why: why.to_owned(),
    });
}

/// Takes one ratio in.
fn advance(
    watermarks: &Watermarks,
    subject: &Subject,
    state: &mut SubjectState,
    ratio: Ratio,
    now: Timestamp,
) -> Option<Transition> {
    let options = watermarks.options();
    let at = ratio.sampled_at.min(now);
    let age = now.since(at);
    if age > options.gap {
        unknown(
            state,
            &format!("its newest sample is {age} old, more than {}", options.gap),
            now,
        );
        return None;
    }
    state.unknown = None;
    if let Some(last) = state.sampled_at {
        if at <= last {
            return None;
        }
        if at.since(last) > options.gap {
            state.recent.clear();
            for mark in &mut state.marks {
                (mark.above_since, mark.above, mark.below_since) = (None, 0, None);
            }
        }
    }
    (state.value, state.sampled_at) = (Some(ratio.value), Some(at));
    let thresholds = thresholds(watermarks, state, at);
    count(options, state, ratio, at, thresholds);
    let from = state.level;
    let marks = state.marks;
    let growth = foresee(options, state, ratio.value, at);
    let soon = growth.filter(|growth| growth.soon);
    let held = raise(watermarks, state, at);
    let foreseen = soon.filter(|_| held < Level::Emergency);
    if soon.is_some() {
        raise_to(state, Level::Emergency);
    } else if ratio.may_lower {
        end(options, state, at);
    }
    state.growth = growth;
    remember(options, state, ratio, at);
    let to = highest(state);
    if to == from {
        return None;
    }
    (state.level, state.since) = (to, now);
    let up = to > from;
    let (threshold, since) = if up {
        let index = index(to)?;
        (
            thresholds[index],
            marks[index].above_since.filter(|_| foreseen.is_none()),
        )
    } else {
        let index = index(from)?;
        (thresholds[index] - options.margin, marks[index].below_since)
    };
    Some(Transition {
        subject: subject.clone(),
        from,
        to,
        value: ratio.value,
        threshold,
        since: since.unwrap_or(at),
        foreseen: foreseen.filter(|_| up),
    })
}

/// Where a level's mark is.
fn index(level: Level) -> Option<usize> {
    Level::RAISED.iter().position(|raised| *raised == level)
}

/// The thresholds now, by what was usual before this sample.
fn thresholds(watermarks: &Watermarks, state: &mut SubjectState, at: Timestamp) -> [f64; 3] {
    let usual = watermarks.options().adapt.and_then(|adapt| {
        state.usual.retain(|(time, _)| at.since(*time) <= adapt.window);
        usual(&state.usual, adapt.quantile)
    });
    Level::RAISED.map(|level| watermarks.threshold(level, usual))
}

/// The quantile, as the value of nearest rank; `None` where too few are known.
fn usual(points: &[Point], quantile: f64) -> Option<f64> {
    if points.len() < USUAL_FEWEST {
        return None;
    }
    let mut values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    values.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )] // A few dozen.
    let rank = (quantile * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied()
}

/// Counts a sample towards the levels, and towards their ends.
fn count(options: &Options, state: &mut SubjectState, ratio: Ratio, at: Timestamp, thresholds: [f64; 3]) {
    for (mark, threshold) in state.marks.iter_mut().zip(thresholds) {
        if ratio.value >= threshold {
            mark.above_since = mark.above_since.or(Some(at));
            mark.above = mark.above.saturating_add(1);
        } else {
            (mark.above_since, mark.above) = (None, 0);
        }
        if ratio.value >= threshold - options.margin {
            mark.below_since = None;
        } else if ratio.may_lower {
            mark.below_since = mark.below_since.or(Some(at));
        }
    }
}

/// Raises what was held for long enough, and says which is the highest of it.
fn raise(watermarks: &Watermarks, state: &mut SubjectState, at: Timestamp) -> Level {
    let mut highest = Level::Normal;
    for (level, mark) in Level::RAISED.into_iter().zip(state.marks) {
        let hold = watermarks.hold(level);
        let long = mark.above_since.is_some_and(|since| at.since(since) >= hold.time);
        if long && mark.above >= hold.samples {
            highest = level;
        }
    }
    raise_to(state, highest);
    highest
}

/// Raises a level and all below it: their thresholds are passed too, though maybe not yet for their time.
fn raise_to(state: &mut SubjectState, highest: Level) {
    for (level, mark) in Level::RAISED.into_iter().zip(&mut state.marks) {
        if level <= highest {
            (mark.raised, mark.below_since) = (true, None);
        }
    }
}

/// Ends what was below its end for long enough. Where a lower level ends, so does each above it.
fn end(options: &Options, state: &mut SubjectState, at: Timestamp) {
    let mut ended = false;
    for mark in &mut state.marks {
        ended |= mark.below_since.is_some_and(|since| at.since(since) >= options.end);
        mark.raised &= !ended;
    }
}

fn highest(state: &SubjectState) -> Level {
    let raised = Level::RAISED
        .into_iter()
        .zip(state.marks)
        .filter(|(_, mark)| mark.raised);
    raised.map(|(level, _)| level).max().unwrap_or_default()
}

/// How the ratio grows, this sample included.
fn foresee(options: &Options, state: &mut SubjectState, value: f64, at: Timestamp) -> Option<Growth> {
    let foresee = options.foresee?;
    state.recent.retain(|(time, _)| at.since(*time) <= foresee.window);
    let mut points = state.recent.clone();
    points.push((at, value));
    // Half as far apart as the window has room for, or passes a little shorter than that would count by halves.
    keep(
        &mut state.recent,
        (at, value),
        part(foresee.window, leak::PARTS),
        leak::KEPT,
    );
    leak::growth(&points, foresee)
}

/// Remembers a ratio for what is usual, where all of the reading was fresh.
fn remember(options: &Options, state: &mut SubjectState, ratio: Ratio, at: Timestamp) {
    if let Some(adapt) = options.adapt.filter(|_| ratio.may_lower) {
        let apart = part(adapt.window, USUAL_PARTS);
        keep(&mut state.usual, (at, ratio.value), apart, USUAL_CAP);
    }
}

/// Keeps a point where the last is at least `apart` old; at most `cap` of them.
fn keep(points: &mut Vec<Point>, point: Point, apart: Span, cap: usize) {
    if points.last().is_none_or(|(last, _)| point.0.since(*last) >= apart) {
        points.push(point);
        let over = points.len().saturating_sub(cap);
        points.drain(..over);
    }
}

/// So many of it make the span.
fn part(span: Span, parts: u64) -> Span {
    Span::from_millis(span.as_millis() / parts)
}
