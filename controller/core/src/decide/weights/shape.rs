//! From shares to weights: floor, step cap, dead band, whole numbers.

use super::{Pass, Pin, Standing, WeightLaw, Wish};
use crate::policy::{Weight, Weights};

/// Below this two numbers of units are the same: sums of floats are not exact.
const EPSILON: f64 = 1e-9;
/// The sum of the weights where nothing fixes it, and the least with which a share of 0.1 % can be written.
const RESOLUTION: i64 = 1000;
const MAX: i64 = Weight::MAX as i64;

/// The least and the most of a weight.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Range {
    low: i64,
    high: i64,
}

impl Range {
    const ZERO: Self = Self { low: 0, high: 0 };

    fn clamp(self, units: f64) -> f64 {
        units.max(real(self.low)).min(real(self.high))
    }
}

/// The sum that the weights must have: what the kind fixes; as it is while others are in the list, whose share
/// would change otherwise; else fine enough for the shares.
pub(super) fn total(pass: &Pass<'_>) -> i64 {
    let sum = i64::try_from(pass.facts.current.total()).unwrap_or(MAX);
    match pass.facts.fixed_total {
        Some(total) => i64::from(total),
        None if pass.facts.unmanaged > 0 => sum,
        None if sum >= RESOLUTION => sum.min(MAX),
        None => RESOLUTION,
    }
}

/// Whether no share is further from where it is heading than the dead band, as a part of what it is.
pub(super) fn in_dead_band(pass: &Pass<'_>, wish: &Wish, standings: &[Standing]) -> bool {
    let limits = &pass.action.limits;
    let total = total(pass);
    let floor = if has_floor(pass) {
        real(floor_units(pass, total)) / real(total.max(1))
    } else {
        0.0
    };
    wish.goals.iter().enumerate().all(|(index, goal)| {
        let is = pass.share(index);
        let goal = match (standings.get(index), wish.pins.get(index)) {
            (Some(Standing::Serving), Some(Pin::Still)) => is,
            (Some(Standing::Serving), Some(Pin::NotLess)) => goal.max(is),
            (Some(Standing::Serving), _) => goal.max(floor),
            _ => *goal,
        };
        (goal - is).abs() <= limits.dead_band.get() * is + EPSILON
    })
}

/// Whether the weights are what there is already, so that writing them would change the resolution alone.
pub(super) fn is_current(pass: &Pass<'_>, to: &[i64]) -> bool {
    are_current(pass, &mut to.iter().map(|weight| real(*weight)))
}

/// The same of shares that nothing but rounding keeps from being written.
pub(super) fn is_wanted(pass: &Pass<'_>, shares: &[f64]) -> bool {
    let total = real(total(pass));
    are_current(pass, &mut shares.iter().map(|share| share * total))
}

fn are_current(pass: &Pass<'_>, units: &mut dyn Iterator<Item = f64>) -> bool {
    let total = real(total(pass));
    let mut units = units.enumerate();
    units.all(|(index, units)| (units - pass.share(index) * total).abs() < 1.0 - EPSILON)
}

/// Whether a weight is a larger share than there is, by more than another resolution may make it.
pub(super) fn gains(pass: &Pass<'_>, index: usize, weight: i64) -> bool {
    real(weight) > pass.share(index) * real(total(pass)) + 1.0 - EPSILON
}

/// The wish in whole numbers: floor and step cap hold where the law has them, one that comes back keeps to its
/// ramp, and one that is out gets nothing. `Err` where that can't be.
pub(super) fn whole(pass: &Pass<'_>, wish: &Wish, standings: &[Standing]) -> Result<Vec<i64>, String> {
    let total = total(pass);
    if !wish.limited {
        return plain(&wish.shares, total).ok_or_else(|| no_room(total));
    }
    let ranges = |capped: bool| -> Vec<Range> {
        let of = |index: usize| {
            let share = wish.shares.get(index).copied().unwrap_or(0.0);
            match standings.get(index) {
                Some(Standing::Serving) => {
                    let pin = wish.pins.get(index).copied().unwrap_or(Pin::Free);
                    serving(pass, index, pin, total, capped)
                }
                Some(Standing::Due | Standing::Returning(_)) => returning(pass, index, share, total),
                Some(Standing::Out) | None => Range::ZERO,
            }
        };
        (0..pass.count()).map(of).collect()
    };
    // Where floor and cap can't both hold, the floor does.
    apportion(&wish.shares, &ranges(wish.capped), total)
        .or_else(|| apportion(&wish.shares, &ranges(false), total))
        .ok_or_else(|| no_room(total))
}

fn no_room(total: i64) -> String {
    format!(
        "a sum of {total} can't be divided as wanted: each backend needs at least its floor and 1, and at most {MAX}; give the backends larger weights in the route, or fewer backends"
    )
}

fn has_floor(pass: &Pass<'_>) -> bool {
    matches!(pass.action.law, WeightLaw::Capacity(_) | WeightLaw::Aimd(_))
}

/// The floor, rounded up, and at least 1.
fn floor_units(pass: &Pass<'_>, total: i64) -> i64 {
    ceil(pass.action.limits.floor.get() * real(total)).max(1)
}

fn serving(pass: &Pass<'_>, index: usize, pin: Pin, total: i64, capped: bool) -> Range {
    let floor = floor_units(pass, total);
    let is = pass.share(index) * real(total);
    let step = pass.action.limits.most_step.get();
    // The factor of AIMD is the cap of its own decreases.
    let down_by = match &pass.action.law {
        WeightLaw::Aimd(law) => step.max(1.0 - law.factor.get()),
        _ => step,
    };
    // From nothing there is no relative step; and one unit is always allowed, or a small weight could never move.
    let cap = if pass.weight(index) == 0 || !capped {
        Range { low: 0, high: MAX }
    } else {
        Range {
            low: ceil(is * (1.0 - down_by)).min(ceil(is - 1.0)),
            high: down(is * (1.0 + step)).max(down(is + 1.0)),
        }
    };
    let low = cap.low.max(floor);
    let range = match pin {
        Pin::Free => Range { low, high: cap.high },
        Pin::NotLess => Range {
            low: low.max(ceil(is)),
            high: cap.high,
        },
        Pin::Still => Range {
            low: down(is).max(floor),
            high: ceil(is),
        },
    };
    Range {
        low: range.low.min(MAX),
        high: range.high.max(range.low).min(MAX),
    }
}

/// At least 1, no less than it has unless the law wants less, and no more than the ramp gives.
fn returning(pass: &Pass<'_>, index: usize, share: f64, total: i64) -> Range {
    let is = pass.share(index) * real(total);
    let wanted = share * real(total);
    let low = down(is.min(wanted)).clamp(1, MAX);
    Range {
        low,
        high: ceil(wanted).clamp(low, MAX),
    }
}

/// Shares in whole numbers, without floor or cap; but what is more than nothing stays so, if there is room.
pub(super) fn plain(shares: &[f64], total: i64) -> Option<Vec<i64>> {
    let ranges = |least: i64| -> Vec<Range> {
        let of = |share: &f64| {
            if *share > 0.0 {
                Range { low: least, high: MAX }
            } else {
                Range::ZERO
            }
        };
        shares.iter().map(of).collect()
    };
    apportion(shares, &ranges(1), total).or_else(|| apportion(shares, &ranges(0), total))
}

/// Whole numbers in their ranges that sum to `total`: the shares are scaled alike until they do, each held in
/// its range, and the largest remainders are rounded up, of equal ones the first. `None` where no such numbers are.
fn apportion(shares: &[f64], ranges: &[Range], total: i64) -> Option<Vec<i64>> {
    let least: i64 = ranges.iter().map(|range| range.low).sum();
    let most: i64 = ranges.iter().map(|range| range.high).sum();
    if least > total || most < total || total <= 0 {
        return None;
    }
    // None is so small that no scale could reach the top of its range.
    let wanted: Vec<f64> = shares.iter().map(|share| (share * real(total)).max(EPSILON)).collect();
    let scaled = |scale: f64| -> Vec<f64> {
        let pairs = wanted.iter().zip(ranges);
        pairs.map(|(units, range)| range.clamp(units * scale)).collect()
    };
    let exact = real(total);
    let sum = |units: &[f64]| units.iter().sum::<f64>();
    let mut units = scaled(1.0);
    if (sum(&units) - exact).abs() > EPSILON {
        let (mut low, mut high) = (0.0, real(MAX) / EPSILON);
        // Half of what is left each time, as a power, because the scale may be of any size.
        for _ in 0..200 {
            let middle = if low == 0.0 { high / 1024.0 } else { (low * high).sqrt() };
            if sum(&scaled(middle)) < exact {
                low = middle;
            } else {
                high = middle;
            }
            if low == 0.0 && high < 1e-12 {
                break;
            }
        }
        units = scaled(high);
    }
    let mut whole: Vec<i64> = units
        .iter()
        .zip(ranges)
        .map(|(u, range)| down(*u).clamp(range.low, range.high))
        .collect();
    let rest = |index: usize, whole: &[i64]| units[index] - real(whole[index]);
    loop {
        let have: i64 = whole.iter().sum();
        let indexes = 0..whole.len();
        let next = match have.cmp(&total) {
            std::cmp::Ordering::Equal => return Some(whole),
            std::cmp::Ordering::Less => indexes
                .filter(|index| whole[*index] < ranges[*index].high)
                .min_by(|a, b| rest(*b, &whole).total_cmp(&rest(*a, &whole)))
                .map(|index| (index, 1)),
            std::cmp::Ordering::Greater => indexes
                .filter(|index| whole[*index] > ranges[*index].low)
                .min_by(|a, b| rest(*a, &whole).total_cmp(&rest(*b, &whole)))
                .map(|index| (index, -1)),
        };
        let (index, change) = next?;
        whole[index] += change;
    }
}

/// The weights by name. Each was made within the range of a weight.
pub(super) fn weights(pass: &Pass<'_>, to: &[i64]) -> Weights {
    let of = |(name, weight): (&str, &i64)| (name.to_owned(), Weight::new(*weight).unwrap_or_default());
    Weights::new(pass.names().zip(to).map(of))
}

#[allow(clippy::cast_precision_loss)] // At most 16 weights of a million each.
pub(super) fn real(units: i64) -> f64 {
    units as f64
}

#[allow(clippy::cast_possible_truncation)] // As above.
fn down(units: f64) -> i64 {
    (units + EPSILON).floor() as i64
}

#[allow(clippy::cast_possible_truncation)] // As above.
fn ceil(units: f64) -> i64 {
    (units - EPSILON).ceil() as i64
}
