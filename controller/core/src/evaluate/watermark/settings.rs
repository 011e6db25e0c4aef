//! The levels of a watermark, and how slowly they are believed.

use super::Level;
use crate::time::Span;

/// A level between a floor and a ceiling, as ratios above 0 and at most 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// The level while it is not known what is usual.
    pub level: f64,
    /// The lowest that adapting makes of it.
    pub floor: f64,
    /// The highest that adapting makes of it.
    pub ceiling: f64,
}

impl Band {
    /// A level that is never adapted.
    pub const fn fixed(level: f64) -> Self {
        Self {
            level,
            floor: level,
            ceiling: level,
        }
    }
}

/// How long a ratio has to be above a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// All samples over this time, as a rule's `for`.
    pub time: Span,
    /// At least so many of them.
    pub samples: u32,
}

/// How warning and high follow what is usual for a subject.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adapt {
    /// Over which time.
    pub window: Span,
    /// Which quantile of the ratios in it counts as usual, from 0 to 1.
    pub quantile: f64,
    /// How far above it the level lies.
    pub above: f64,
}

/// How a leak is foreseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foresee {
    /// Over which time.
    pub window: Span,
    /// The time between two passes.
    pub pass: Span,
}

/// What [`Watermarks`] are made of, not validated yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Warning.
    pub warning: Band,
    /// High.
    pub high: Band,
    /// Emergency, never adapted.
    pub emergency: f64,
    /// For warning and high.
    pub hold: Hold,
    /// For emergency.
    pub hold_emergency: Hold,
    /// A level ends so far below it ...
    pub margin: f64,
    /// ... after so long.
    pub end: Span,
    /// Without a sample for longer than this nothing counts as held.
    pub gap: Span,
    /// Whether and how warning and high are adapted.
    pub adapt: Option<Adapt>,
    /// Whether and how a leak raises an emergency early.
    pub foresee: Option<Foresee>,
}

impl Default for Options {
    /// 80 to 88 %, 90 to 94 %, 95 %; held for 30 s and 3 samples, an emergency for 10 s and 2; ended 3 points below
    /// for a minute.
    fn default() -> Self {
        Self {
            warning: Band {
                level: 0.80,
                floor: 0.80,
                ceiling: 0.88,
            },
            high: Band {
                level: 0.90,
                floor: 0.90,
                ceiling: 0.94,
            },
            emergency: 0.95,
            hold: Hold {
                time: Span::from_secs(30),
                samples: 3,
            },
            hold_emergency: Hold {
                time: Span::from_secs(10),
                samples: 2,
            },
            margin: 0.03,
            end: Span::from_secs(60),
            gap: Span::from_secs(120),
            adapt: Some(Adapt {
                window: Span::from_secs(3600),
                quantile: 0.5,
                above: 0.05,
            }),
            foresee: Some(Foresee {
                window: Span::from_secs(300),
                pass: Span::from_secs(15),
            }),
        }
    }
}

/// Watermarks past validation: the levels are in order whatever is adapted, and no peak of two seconds is held.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Watermarks(Options);

/// Why options make no watermarks.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WatermarkError {
    /// A number is out of its range.
    #[error("{field} is {value}; it has to be {expect}")]
    Range {
        /// Which.
        field: &'static str,
        /// What it is.
        value: f64,
        /// What it may be.
        expect: &'static str,
    },
    /// Two numbers are the wrong way round.
    #[error("{low_field} ({low}) has to be {relation} {high_field} ({high}); change one of them")]
    Order {
        /// The one that should be lower.
        low_field: &'static str,
        /// What it is.
        low: f64,
        /// `below` or `at most`.
        relation: &'static str,
        /// The one that should be higher.
        high_field: &'static str,
        /// What it is.
        high: f64,
    },
    /// A time is too short.
    #[error("{field} is {value}; it has to be at least {least}, {why}")]
    Short {
        /// Which.
        field: &'static str,
        /// What it is.
        value: Span,
        /// The shortest.
        least: Span,
        /// Why.
        why: &'static str,
    },
}

/// A peak of two seconds is never held for this long.
const SHORTEST_HOLD: Span = Span::from_secs(3);
/// A leak is foreseen over at least so many passes: see [`super::leak`].
pub(super) const PASSES: u64 = 7;
/// What is kept of a window spans 15/32 of it at least, and that has to be [`PASSES`].
const WINDOW_PASSES: u64 = 16;

fn within(field: &'static str, value: f64, ok: bool, expect: &'static str) -> Result<(), WatermarkError> {
    if value.is_finite() && ok {
        Ok(())
    } else {
        Err(WatermarkError::Range { field, value, expect })
    }
}

fn at_least(field: &'static str, value: Span, least: Span, why: &'static str) -> Result<(), WatermarkError> {
    if value >= least {
        Ok(())
    } else {
        Err(WatermarkError::Short {
            field,
            value,
            least,
            why,
        })
    }
}

impl Watermarks {
    /// Checks what can be wrong with them.
    pub fn new(options: Options) -> Result<Self, WatermarkError> {
        let Options {
            warning,
            high,
            emergency,
            hold,
            hold_emergency,
            margin,
            end,
            gap,
            ..
        } = options;
        let ratios = [
            ("warning.floor", warning.floor),
            ("warning.level", warning.level),
            ("warning.ceiling", warning.ceiling),
            ("high.floor", high.floor),
            ("high.level", high.level),
            ("high.ceiling", high.ceiling),
            ("emergency", emergency),
        ];
        for (field, value) in ratios {
            within(
                field,
                value,
                value > 0.0 && value <= 1.0,
                "above 0 and at most 1, as a ratio",
            )?;
        }
        // The ceiling of one level lies below the floor of the next, so no adapting exchanges them.
        for (index, ((low_field, low), (high_field, high))) in
            ratios.into_iter().zip(ratios.into_iter().skip(1)).enumerate()
        {
            let strict = matches!(index, 2 | 5);
            if low > high || (strict && low >= high) {
                return Err(WatermarkError::Order {
                    low_field,
                    low,
                    relation: if strict { "below" } else { "at most" },
                    high_field,
                    high,
                });
            }
        }
        let positive = margin > 0.0 && margin < warning.floor;
        within(
            "margin",
            margin,
            positive,
            "above 0 and below warning.floor, or a level never ends",
        )?;
        let peak = "so that a peak of 2s raises and ends nothing";
        at_least("hold.time", hold.time, SHORTEST_HOLD, peak)?;
        at_least("holdEmergency.time", hold_emergency.time, SHORTEST_HOLD, peak)?;
        at_least("end", end, SHORTEST_HOLD, peak)?;
        at_least("gap", gap, SHORTEST_HOLD, "as long as samples are apart")?;
        if let Some(adapt) = options.adapt {
            let Adapt {
                window,
                quantile,
                above,
            } = adapt;
            let quantiles = (0.0..=1.0).contains(&quantile);
            within("adapt.quantile", quantile, quantiles, "from 0 to 1")?;
            at_least("adapt.window", window, end, "the time after which a level ends")?;
            // Or a level that was raised would never end on what is usual.
            if above <= margin || !above.is_finite() {
                return Err(WatermarkError::Order {
                    low_field: "margin",
                    low: margin,
                    relation: "below",
                    high_field: "adapt.above",
                    high: above,
                });
            }
        }
        if let Some(Foresee { window, pass }) = options.foresee {
            at_least("foresee.pass", pass, Span::from_secs(1), "as passes are")?;
            let least = Span::from_millis(pass.as_millis().saturating_mul(WINDOW_PASSES));
            at_least("foresee.window", window, least, "16 passes, or noise looks like a leak")?;
        }
        Ok(Self(options))
    }

    /// What they are made of.
    pub const fn options(&self) -> &Options {
        &self.0
    }

    /// How long a level has to be held.
    pub(super) fn hold(&self, level: Level) -> Hold {
        if level == Level::Emergency {
            self.0.hold_emergency
        } else {
            self.0.hold
        }
    }

    /// The threshold of a level, where `usual` is what is usual for the subject, as far as that is known.
    pub fn threshold(&self, level: Level, usual: Option<f64>) -> f64 {
        let band = match level {
            Level::Normal => return 0.0,
            Level::Warning => self.0.warning,
            Level::High => self.0.high,
            Level::Emergency => return self.0.emergency,
        };
        match (usual, self.0.adapt) {
            (Some(usual), Some(adapt)) => (usual + adapt.above).clamp(band.floor, band.ceiling),
            _ => band.level,
        }
    }
}
