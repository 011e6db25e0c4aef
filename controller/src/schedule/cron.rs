//! Cron's five fields.
//!
//! [`croner`] reads them; where it can't, each field is read alone, so that a mistake has a name and a
//! place. Its search for times is not used: it loses the start of a list such as `0 2,14 * * *` on the day on which 2:00 is
//! skipped, and looks for a 30th of February until the year 5000.

use crate::promql::{Position, shorten};
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::{Date, DateTime, Time};

/// The longest expression, in bytes.
pub const MAX_BYTES: usize = 128;

/// As many years hold every date: a 29th of February is missing for eight years around 2100.
const YEARS: i16 = 9;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Why a text is no cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// More bytes than allowed.
    #[error(
        "the expression has {0} bytes, at most {MAX_BYTES} are allowed; write ranges as in 1-5 and steps as in */15"
    )]
    TooLong(usize),
    /// Another number of fields than five.
    #[error(
        "{0} has {1} of the five fields minute, hour, day of month, month and day of week; write for example 0 8 * * 1-5"
    )]
    Fields(String, usize),
    /// A field that can't be read.
    #[error("{text} is no {field}; write {range}, lists as in {example}, ranges with -, steps as in */2, or *")]
    Field {
        /// What was written.
        text: String,
        /// The field's name.
        field: &'static str,
        /// What it holds.
        range: &'static str,
        /// A list of it.
        example: &'static str,
        /// Where.
        at: Position,
    },
    /// No year has such a day.
    #[error("{0} never comes: the months that it names have no such day; correct the day or the month")]
    Never(String),
}

impl CronError {
    /// Where in the expression the mistake is, where that is known.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Field { at, .. } => Some(*at),
            Self::TooLong(_) | Self::Fields(..) | Self::Never(_) => None,
        }
    }
}

/// A field of cron.
struct Field {
    name: &'static str,
    range: &'static str,
    example: &'static str,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        range: "0 to 59",
        example: "0,30",
        names: &[],
    },
    Field {
        name: "hour",
        range: "0 to 23",
        example: "8,20",
        names: &[],
    },
    Field {
        name: "day of month",
        range: "1 to 31",
        example: "1,15",
        names: &[],
    },
    Field {
        name: "month",
        range: "1 to 12 or jan to dec",
        example: "6,12",
        names: &MONTHS,
    },
    Field {
        name: "day of week",
        range: "0 to 7 or sun to sat, where 0 and 7 are Sunday",
        example: "1,3,5",
        names: &WEEKDAYS,
    },
];

/// Times that recur, to the minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    text: String,
    times: Times,
}

/// What an expression names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Times {
    /// The times of a day, in order. Not empty.
    of_day: Vec<Time>,
    /// Days of the month, as bits.
    days: u32,
    /// Months, as bits.
    months: u32,
    /// Days of the week from Sunday = 0, as bits.
    weekdays: u32,
    /// Whether the day of month is `*`.
    any_day: bool,
    /// Whether the day of week is `*`.
    any_weekday: bool,
}

impl Cron {
    /// Reads minute, hour, day of month, month and day of week.
    pub fn read(text: &str) -> Result<Self, CronError> {
        if text.len() > MAX_BYTES {
            return Err(CronError::TooLong(text.len()));
        }
        let written: Vec<&str> = text.split_whitespace().collect();
        if written.len() != FIELDS.len() {
            return Err(CronError::Fields(shorten(text), written.len()));
        }
        let one_line = written.join(" ");
        let shaped = FIELDS.iter().zip(&written).all(|(field, part)| field.shaped(part));
        let read = shaped.then(|| parser().parse(&one_line)).and_then(Result::ok);
        let Some(pattern) = read.map(|cron| cron.pattern) else {
            return Err(first_mistake(text, &written));
        };
        let minutes = pattern.minutes.values();
        let of_day = pattern.hours.values().into_iter().flat_map(|hour| {
            let at = move |minute: &u16| Time::new(i8::try_from(hour).ok()?, i8::try_from(*minute).ok()?, 0, 0).ok();
            minutes.iter().filter_map(at).collect::<Vec<_>>()
        });
        let times = Times {
            of_day: of_day.collect(),
            days: bits(&pattern.days.values()),
            months: bits(&pattern.months.values()),
            weekdays: bits(&pattern.days_of_week.values()),
            any_day: pattern.is_dom_wildcard(),
            any_weekday: pattern.is_dow_wildcard(),
        };
        if !times.come() {
            return Err(CronError::Never(shorten(&one_line)));
        }
        Ok(Self { text: one_line, times })
    }

    /// As it was written, with single blanks.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether another expression names the same times.
    pub fn same_times(&self, other: &Self) -> bool {
        self.times == other.times
    }

    /// The last time, on the day `from` or before, for which `come` holds. Where it holds for a time, it
    /// must hold for all before.
    pub(super) fn last(&self, from: Date, come: impl Fn(DateTime) -> bool) -> Option<DateTime> {
        let Times { of_day, months, .. } = &self.times;
        let mut day = from;
        while from.year() - day.year() <= YEARS {
            if !has(*months, day.month()) {
                day = day.first_of_month().yesterday().ok()?;
                continue;
            }
            if self.times.on(day) {
                let passed = of_day.partition_point(|time| come(day.to_datetime(*time)));
                if let Some(time) = passed.checked_sub(1).and_then(|last| of_day.get(last)) {
                    return Some(day.to_datetime(*time));
                }
            }
            day = day.yesterday().ok()?;
        }
        None
    }
}

impl Times {
    /// Whether a day of a month that is named is one of them. As cron has it: where both the day of month
    /// and the day of week are restricted, one of them is enough.
    fn on(&self, day: Date) -> bool {
        let of_month = has(self.days, day.day());
        let of_week = has(self.weekdays, day.weekday().to_sunday_zero_offset());
        match (self.any_day, self.any_weekday) {
            (true, _) => of_week,
            (false, true) => of_month,
            (false, false) => of_month || of_week,
        }
    }

    /// Whether there ever is such a time.
    fn come(&self) -> bool {
        let longest = |month: i8| match month {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        !self.of_day.is_empty()
            && (1..=12).any(|month| {
                let by_day = (1..=longest(month)).any(|day| has(self.days, day));
                // A restricted day of week comes in every month.
                has(self.months, month) && (by_day || !self.any_weekday)
            })
    }
}

impl Field {
    /// Whether a field consists of what every cron knows: numbers, names, `*`, `,`, `-` and `/`.
    fn shaped(&self, text: &str) -> bool {
        text.split([',', '-', '/']).all(|word| {
            let number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
            number || word == "*" || self.names.iter().any(|name| name.eq_ignore_ascii_case(word))
        })
    }
}

/// Which field can't be read, each of them alone.
fn first_mistake(text: &str, written: &[&str]) -> CronError {
    let mut end = 0;
    for (index, (field, part)) in FIELDS.iter().zip(written).enumerate() {
        let start = end + text.get(end..).and_then(|rest| rest.find(part)).unwrap_or(0);
        end = start + part.len();
        let mut alone = ["*"; FIELDS.len()];
        alone[index] = part;
        if !field.shaped(part) || parser().parse(&alone.join(" ")).is_err() {
            return CronError::Field {
                text: shorten(part),
                field: field.name,
                range: field.range,
                example: field.example,
                at: Position::of(text, start),
            };
        }
    }
    CronError::Fields(shorten(text), written.len())
}

fn parser() -> CronParser {
    CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
}

fn bits(values: &[u16]) -> u32 {
    values.iter().fold(0, |bits, value| {
        bits | 1_u32.checked_shl(u32::from(*value)).unwrap_or(0)
    })
}

fn has(bits: u32, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| bits.checked_shr(value).unwrap_or(0) & 1 == 1)
}
