//! A number against its target.

use crate::{
    decimal::Decimal,
    policy::{Metrics, Replicas},
};
use std::{cmp::Ordering, fmt};

/// How far a ratio may lie from 1.
pub(super) struct Tolerances {
    down: Decimal,
    up: Decimal,
    least: Decimal,
    most: Decimal,
}

impl Tolerances {
    pub(super) fn of(law: &Metrics) -> Self {
        Self {
            down: Decimal::of(law.tolerance_down),
            up: Decimal::of(law.tolerance_up),
            least: Decimal::below_one(law.tolerance_down),
            most: Decimal::above_one(law.tolerance_up),
        }
    }
}

/// Where a ratio lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Below,
    Within,
    Above,
}

/// `have / want`. It is never divided: everything is multiplied out before it is compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ratio {
    pub have: Decimal,
    /// Above 0.
    pub want: Decimal,
}

impl Ratio {
    /// As HPA 1.33 and later: within are both bounds, so a ratio of exactly 1.1 changes nothing.
    pub(super) fn side(self, tolerances: &Tolerances) -> Side {
        if self.have.compare(self.want.times(tolerances.most)) == Ordering::Greater {
            Side::Above
        } else if self.have.compare(self.want.times(tolerances.least)) == Ordering::Less {
            Side::Below
        } else {
            Side::Within
        }
    }

    /// Which way it lies from 1, without a tolerance.
    pub(super) fn against_one(self) -> Ordering {
        self.have.compare(self.want)
    }

    /// `ceil(self * base)`.
    pub(super) fn of(self, base: usize) -> Option<Replicas> {
        self.have.times(count(base)).ceil_div(self.want)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.have, self.want)
    }
}

pub(super) fn count(number: usize) -> Decimal {
    Decimal::whole(i128::try_from(number).unwrap_or(i128::MAX))
}

/// `quotient` and where it lies, in words.
pub(super) fn verdict(quotient: &impl fmt::Display, side: Side, tolerances: &Tolerances) -> String {
    let Tolerances { down, up, .. } = tolerances;
    match side {
        Side::Above => format!("{quotient} is more than 1 + {up}"),
        Side::Below => format!("{quotient} is less than 1 - {down}"),
        Side::Within => format!("{quotient} lies from 1 - {down} to 1 + {up}"),
    }
}
