//! The arithmetic of the comparisons.

use std::fmt;

/// The median of repetitions, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The lowest.
    pub least: f64,
    /// The highest.
    pub most: f64,
}

impl Spread {
    /// Of at least one value.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        Self {
            median: f64::midpoint(at(sorted.len().saturating_sub(1) / 2), at(sorted.len() / 2)),
            least: at(0),
            most: at(sorted.len().saturating_sub(1)),
        }
    }

    /// Each value times a factor.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self {
            median: self.median * factor,
            least: self.least * factor,
            most: self.most * factor,
        }
    }
}

/// `3.214 (3.1..3.4)`, with the precision that is asked for.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let Self { median, least, most } = self;
        write!(f, "{median:.digits$} ({least:.digits$}..{most:.digits$})")
    }
}

/// What a fixed setting costs at so much memory: between the two measured ones on each side, by straight lines. A curve
/// of cost over memory hangs below them, so this is kind to whoever is compared with it. `None` beyond the curve.
pub fn at_memory(curve: &[(f64, f64)], memory: f64) -> Option<f64> {
    let mut sorted = curve.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    sorted.windows(2).find_map(|pair| {
        let [(m0, c0), (m1, c1)] = *pair else { return None };
        let within = (m0..=m1).contains(&memory) && m1 > m0;
        within.then(|| c0 + (c1 - c0) * (memory - m0) / (m1 - m0))
    })
}

/// One GOGC for all, as two measurements tell it: CPU is W + A 100 / GOGC, and memory goes straight with GOGC.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Uniform {
    /// CPU without any collection.
    pub work: f64,
    /// CPU of collections at GOGC 100.
    pub collections: f64,
    low: (f64, f64),
    high: (f64, f64),
}

impl Uniform {
    /// From GOGC, CPU and memory, twice.
    pub fn of(low: (f64, f64, f64), high: (f64, f64, f64)) -> Self {
        let collections = (low.1 - high.1) / (100.0 / low.0 - 100.0 / high.0);
        Self {
            work: low.1 - collections * 100.0 / low.0,
            collections,
            low: (low.0, low.2),
            high: (high.0, high.2),
        }
    }

    /// The GOGC that takes so much memory.
    pub fn gogc(&self, memory: f64) -> f64 {
        let (low, high) = (self.low, self.high);
        low.0 + (high.0 - low.0) * (memory - low.1) / (high.1 - low.1)
    }

    /// What it costs there.
    pub fn cpu(&self, memory: f64) -> f64 {
        self.work + self.collections * 100.0 / self.gogc(memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_median_and_both_ends() {
        let check = |values: &[f64], median: f64, least: f64, most: f64| {
            let spread = Spread::of(values.iter().copied());
            assert_eq!(spread, Spread { median, least, most }, "{values:?}");
        };
        check(&[3.0], 3.0, 3.0, 3.0);
        check(&[4.0, 1.0], 2.5, 1.0, 4.0);
        check(&[5.0, 1.0, 2.0], 2.0, 1.0, 5.0);
        assert_eq!(format!("{:.1}", Spread::of([1.0, 2.0, 4.0])), "2.0 (1.0..4.0)");
    }

    #[test]
    fn a_fixed_setting_costs_what_lies_between_its_neighbours() {
        let curve = [(300.0, 2.0), (100.0, 5.0), (200.0, 3.0)];
        let check = |memory: f64, expect: Option<f64>| assert_eq!(at_memory(&curve, memory), expect, "{memory}");
        check(100.0, Some(5.0));
        check(150.0, Some(4.0));
        check(275.0, Some(2.25));
        check(99.0, None);
        check(301.0, None);
    }

    #[test]
    fn two_measurements_tell_a_uniform_gogc() {
        // Work 2 and collections 4 at GOGC 100: 6 at 100, 4 at 200. Memory 100 and 150, so GOGC 150 is at 125.
        let uniform = Uniform::of((100.0, 6.0, 100.0), (200.0, 4.0, 150.0));
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        near(uniform.work, 2.0);
        near(uniform.collections, 4.0);
        near(uniform.gogc(125.0), 150.0);
        near(uniform.cpu(125.0), 2.0 + 4.0 / 1.5);
    }
}
