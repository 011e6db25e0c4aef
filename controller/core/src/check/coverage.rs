//! After an outage the ranges of PromQL are half empty and read low: no decrease on the strength of that.

use super::{Coverage, Finding};
use crate::{decide::Direction, decimal::plain};

/// A decrease needs the ranges that it rests on to be filled at least to this fraction.
pub const LEAST_COVERAGE: f64 = 0.9;

pub(super) fn coverage(direction: Direction, coverage: &Coverage) -> Finding {
    if direction == Direction::Up {
        return Finding::Pass("an increase needs no filled range".to_owned());
    }
    match coverage {
        Coverage::NotNeeded => Finding::Pass("nothing looks back over a range".to_owned()),
        Coverage::Filled { query, fraction } => {
            // Cut off and not rounded: 89.96 % are fewer than 90 %.
            let percent = plain((fraction.get() * 1000.0).floor() / 10.0);
            let what = format!("the longest range of {query} is filled to {percent} %");
            if fraction.get() < LEAST_COVERAGE {
                let least = plain(LEAST_COVERAGE * 100.0);
                Finding::Refuse(format!(
                    "{what}, and a decrease needs {least} %; wait until it is filled"
                ))
            } else {
                Finding::Pass(what)
            }
        }
        Coverage::Unknown(why) => Finding::Refuse(format!(
            "how far the ranges are filled is not known: {why}; nothing is taken away until it is"
        )),
    }
}
