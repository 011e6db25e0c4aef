//! From seconds and values to pixels. Pure.

/// A panel of the plot: a range of values in a rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Panel {
    /// Its left edge, in pixels.
    pub left: i32,
    /// Its right edge.
    pub right: i32,
    /// Its upper edge.
    pub top: i32,
    /// Its lower edge.
    pub bottom: i32,
    /// The time at the right edge, in seconds; at the left it is 0.
    pub until: f64,
    /// The value at the upper edge; at the lower it is 0.
    pub most: f64,
}

impl Panel {
    /// Where a time is.
    pub fn x(&self, seconds: f64) -> i32 {
        self.left + part(seconds, self.until, self.right - self.left)
    }

    /// Where a value is.
    pub fn y(&self, value: f64) -> i32 {
        self.bottom - part(value, self.most, self.bottom - self.top)
    }
}

fn part(value: f64, most: f64, pixels: i32) -> i32 {
    let share = if most > 0.0 {
        (value / most).clamp(0.0, 1.0)
    } else {
        0.0
    };
    #[expect(clippy::cast_possible_truncation, reason = "within the picture")]
    let whole = (share * f64::from(pixels)).round() as i32;
    whole
}

/// Steps at which an axis is marked: 1, 2 or 5 times a power of ten, at most `count` of them.
pub fn ticks(most: f64, count: u32) -> Vec<f64> {
    let least = most / f64::from(count.max(1));
    if !least.is_finite() || least <= 0.0 {
        return vec![0.0];
    }
    let magnitude = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * magnitude)
        .into_iter()
        .find(|step| *step >= least * 0.999);
    every(step.unwrap_or(magnitude * 10.0), most)
}

/// Steps at which a time axis is marked: whole parts or multiples of a minute.
pub fn time_ticks(until: f64, count: u32) -> Vec<f64> {
    let least = until / f64::from(count.max(1));
    let step = [10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0]
        .into_iter()
        .find(|step| *step >= least);
    every(step.unwrap_or(1800.0), until)
}

fn every(step: f64, most: f64) -> Vec<f64> {
    let mut all = Vec::new();
    let mut index = 0_u32;
    while f64::from(index) * step <= most * 1.0001 && index < 1000 {
        all.push(f64::from(index) * step);
        index += 1;
    }
    all
}

/// A round number that is not below `value` and leaves a little room above it.
pub fn roof(value: f64, least: f64) -> f64 {
    let wanted = (value * 1.08).max(least);
    let step = ticks(wanted, 4).get(1).copied().unwrap_or(wanted);
    (wanted / step).ceil() * step
}

#[cfg(test)]
mod tests {
    use super::{Panel, roof, ticks, time_ticks};

    #[test]
    fn a_panel_maps_its_corners_and_keeps_what_lies_beyond_inside() {
        let panel = Panel {
            left: 100,
            right: 300,
            top: 10,
            bottom: 110,
            until: 60.0,
            most: 2.0,
        };
        assert_eq!(
            [panel.x(0.0), panel.x(30.0), panel.x(60.0), panel.x(99.0)],
            [100, 200, 300, 300]
        );
        assert_eq!(
            [panel.y(0.0), panel.y(1.0), panel.y(2.0), panel.y(9.0)],
            [110, 60, 10, 10]
        );
    }

    #[rstest::rstest]
    #[case(2.0, 4, &[0.0, 0.5, 1.0, 1.5, 2.0])]
    #[case(100.0, 4, &[0.0, 50.0, 100.0])]
    #[case(3.0, 4, &[0.0, 1.0, 2.0, 3.0])]
    #[case(0.0, 4, &[0.0])]
    fn ticks_are_round(#[case] most: f64, #[case] count: u32, #[case] expected: &[f64]) {
        assert_eq!(ticks(most, count), expected);
    }

    #[rstest::rstest]
    #[case(310.0, 12, 30.0)]
    #[case(1080.0, 12, 120.0)]
    fn times_are_parts_of_a_minute(#[case] until: f64, #[case] count: u32, #[case] step: f64) {
        assert_eq!(time_ticks(until, count).get(1), Some(&step));
    }

    #[rstest::rstest]
    #[case(1.7, 1.0, 2.0)]
    #[case(0.1, 1.0, 1.0)]
    #[case(95.0, 10.0, 150.0)]
    fn a_roof_is_round_and_above(#[case] value: f64, #[case] least: f64, #[case] expected: f64) {
        assert!((roof(value, least) - expected).abs() < 1e-9, "{}", roof(value, least));
    }
}
