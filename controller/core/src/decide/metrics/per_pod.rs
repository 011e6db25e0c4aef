//! A number for each pod: HPA's Pods, Resource and `ContainerResource` metrics.
//!
//! What is cut off, and where, is HPA's: a utilisation is a whole percentage, and a mean counts in
//! thousandths, before it is compared with its target. Exact ones would disagree with HPA at every bound
//! of a tolerance, for less than a percent of the request or a thousandth of what is measured. Only
//! against a very small target is a thousandth much, and could take replicas away for nothing: below
//! [`CUT_FROM`] the mean of a signal is compared as it is. Usage is never finer than a thousandth.

use super::{
    Ask, Present,
    group::Groups,
    ratio::{Ratio, Side, count, verdict},
    read::{PerPod, usage_of},
    sure,
};
use crate::{
    decide::Pod,
    decimal::Decimal,
    policy::{PodNumbers, PodTarget, Replicas, ResourceOf},
};
use std::cmp::Ordering;

/// A mean of a signal against a target below this is not cut to thousandths: that would be more than a
/// hundredth of the target.
const CUT_FROM: Decimal = Decimal::milli(100);

/// What the pods of one pass measure, as far as it is counted.
struct Tally<'a> {
    of: &'a PodNumbers,
    target: &'a PodTarget,
    numbers: Vec<Decimal>,
    /// What the same pods request, in thousandths; only for a utilisation.
    request: i128,
}

/// What the numbers of each pod ask for. `Err` says why they ask for nothing.
pub(super) fn ask(
    present: &Present<'_>,
    of: &PodNumbers,
    target: &PodTarget,
    per_pod: &PerPod<'_>,
) -> Result<Ask, String> {
    let pods = present.facts.pods.as_ref().ok_or("the target's pods are not known")?;
    if pods.0.is_empty() {
        return Err("the target has no pods; see why they are not created".to_owned());
    }
    let groups = Groups::of(pods, |pod| per_pod.sample(pod), present.warm_up, present.now);
    if groups.ready.is_empty() {
        return Err(format!("{groups}, so there is nothing to measure"));
    }
    let mut lines = vec![groups.to_string()];
    let mut tally = Tally {
        of,
        target,
        numbers: groups.ready.iter().map(|(_, number)| *number).collect(),
        request: 0,
    };
    if let PodTarget::Utilization { of, .. } = target {
        // Every pod that may come to count must say what it requests.
        for pod in groups.others() {
            pod.request(of).map_err(|error| error.to_string())?;
        }
        for (pod, _) in &groups.ready {
            tally.request += i128::from(pod.request(of).map_err(|error| error.to_string())?);
        }
    }
    let first = tally.ratio(&mut lines)?;
    let reason = tally.reason(first);
    let desired = desired(present, &groups, tally, first, &mut lines)?;
    Ok(Ask { desired, reason, lines })
}

fn desired(
    present: &Present<'_>,
    groups: &Groups<'_>,
    mut tally: Tally<'_>,
    first: Ratio,
    lines: &mut Vec<String>,
) -> Result<Replicas, String> {
    let current = present.facts.current;
    let (way, tolerances) = (first.against_one(), &present.tolerances);
    let starting = groups.unready.len() + groups.warming.len();
    let fill_starting = starting > 0 && way == Ordering::Greater;
    if groups.missing.is_empty() && !fill_starting {
        let side = first.side(tolerances);
        lines.push(verdict(&first, side, tolerances));
        if side == Side::Within {
            return Ok(current);
        }
        return answer(present, groups, groups.ready.len(), first, lines);
    }
    match way {
        Ordering::Equal => {
            lines.push(format!("{first} is 1, whatever the others measure"));
            return Ok(current);
        }
        Ordering::Less => tally.fill_down(&groups.missing, lines)?,
        Ordering::Greater => {
            let others = || groups.missing.iter().chain(&groups.unready).chain(&groups.warming);
            tally.fill(others().copied(), Decimal::ZERO);
            lines.push(format!("on the way up those {} count as 0", others().count()));
        }
    }
    let second = tally.ratio(lines)?;
    let side = second.side(tolerances);
    lines.push(verdict(&second, side, tolerances));
    if side == Side::Within {
        return Ok(current);
    }
    if second.against_one() != way {
        lines.push(format!("the direction flips, so {current} stay"));
        return Ok(current);
    }
    answer(present, groups, tally.numbers.len(), second, lines)
}

/// `ceil(ratio * counted)`, for a ratio outside of the tolerance.
///
/// On the way down the pods that are warming up are kept among those that the ratio is applied to: they
/// carry their share, and would otherwise be taken away as if they did not.
fn answer(
    present: &Present<'_>,
    groups: &Groups<'_>,
    counted: usize,
    ratio: Ratio,
    lines: &mut Vec<String>,
) -> Result<Replicas, String> {
    let way = ratio.against_one();
    let counted = if way == Ordering::Less {
        counted + groups.warming.len()
    } else {
        counted
    };
    let base = present.base(counted, way, lines);
    let needed = sure(ratio.of(base))?;
    lines.push(format!("ceil({base} x {ratio}) = {needed}"));
    Ok(present.same_way(needed, way, lines))
}

impl Tally<'_> {
    /// Adds pods that count as measuring `number`.
    fn fill<'p>(&mut self, pods: impl Iterator<Item = &'p Pod> + Clone, number: Decimal) {
        self.numbers.extend(pods.clone().map(|_| number));
        if let PodTarget::Utilization { of, .. } = self.target {
            self.request += requests(pods, of);
        }
    }

    /// Adds pods that measure nothing, as if they measured the target, or all of their request.
    fn fill_down(&mut self, missing: &[&Pod], lines: &mut Vec<String>) -> Result<(), String> {
        let as_what = match self.target {
            PodTarget::AverageValue(target) => {
                let target = Decimal::of(*target);
                self.fill(missing.iter().copied(), target);
                format!("the target of {target}")
            }
            PodTarget::Utilization { percent, of } => {
                let percent = i128::from((*percent).max(100));
                for pod in missing {
                    let request = pod.request(of).map_err(|error| error.to_string())?;
                    // Thousandths are as fine as HPA counts.
                    let number = Decimal::milli(i128::from(request) * percent / 100);
                    self.fill(std::iter::once(*pod), number);
                }
                format!("{percent} % of their request")
            }
        };
        lines.push(format!(
            "on the way down those {} that measure nothing count as {as_what}",
            missing.len()
        ));
        Ok(())
    }

    fn ratio(&self, lines: &mut Vec<String>) -> Result<Ratio, String> {
        let sum = Decimal::sum(self.numbers.iter().copied());
        if sum.is_negative() {
            return Err(format!(
                "the sum over the pods is {sum}, and a ratio needs 0 or more; write for example clamp_min(..., 0)"
            ));
        }
        let pods = self.numbers.len();
        match self.target {
            PodTarget::Utilization { percent, .. } => {
                let request = Decimal::milli(self.request);
                let used = sum.times(Decimal::whole(100)).floor_div(request);
                let used = used.ok_or("the pods request 0 in all, so there is no percentage of it")?;
                lines.push(format!("floor(100 x {sum} used / {request} requested) = {used} %"));
                Ok(Ratio {
                    have: Decimal::whole(used),
                    want: Decimal::whole(i128::from(*percent)),
                })
            }
            PodTarget::AverageValue(target) => {
                let want = Decimal::of(*target);
                if self.is_cut(want) {
                    let thousandths = sum.times(Decimal::whole(1000)).floor_div(count(pods));
                    let have = thousandths.map(Decimal::milli).ok_or("there are no pods")?;
                    lines.push(format!("{sum} / {pods} pods = {have}, cut to thousandths"));
                    Ok(Ratio { have, want })
                } else {
                    lines.push(format!("{sum} over {pods} pods"));
                    Ok(Ratio {
                        have: sum,
                        want: want.times(count(pods)),
                    })
                }
            }
        }
    }

    fn is_cut(&self, target: Decimal) -> bool {
        matches!(self.of, PodNumbers::Usage(_)) || target.compare(CUT_FROM) != Ordering::Less
    }

    fn reason(&self, Ratio { have, want }: Ratio) -> String {
        let what = match self.of {
            PodNumbers::Signal(name) => format!("signal {name}"),
            PodNumbers::Usage(of) => usage_of(of),
        };
        match self.target {
            PodTarget::Utilization { of, .. } => {
                format!(
                    "{what} is {have} % of the requested {}, with a target of {want} %",
                    of.resource
                )
            }
            PodTarget::AverageValue(_) if self.is_cut(want) => {
                format!("{what} is {have} in the mean, with a target of {want}")
            }
            PodTarget::AverageValue(_) => format!("{what} is {have} over all pods, with a target of {want}"),
        }
    }
}

/// What pods request in all, in thousandths. That each says so was asked before.
fn requests<'p>(pods: impl Iterator<Item = &'p Pod>, of: &ResourceOf) -> i128 {
    pods.filter_map(|pod| pod.request(of).ok()).map(i128::from).sum()
}
