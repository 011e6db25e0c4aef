//! The soft memory limit of a workload: the limit law for each of its pods, and the least that it leaves, because all
//! pods have one line.

use super::{
    AgentFacts,
    runtime::{NeedsMemory, NoLimit, Profile, limit},
};
use crate::{
    bytes::Bytes,
    policy::{Knob, KnobValue, Knobs, LimitFit},
};
use std::collections::BTreeMap;

/// A limit that differs by less than so many percent is no other.
const DEAD_BAND_PERCENT: u64 = 10;
/// A limit is a whole number of these.
const STEP: Bytes = Bytes::from_mib(1);

/// The ready pods whose agents answer, with what is known of their processes.
fn known<'f>(
    pods: &'f BTreeMap<String, AgentFacts>,
    fleet: &'f BTreeMap<String, Profile>,
) -> impl Iterator<Item = (&'f str, Option<&'f Profile>)> {
    let answering = pods.iter().filter(|(_, agent)| agent.applied.is_some());
    answering.map(|(pod, _)| (pod.as_str(), fleet.get(pod)))
}

/// The knobs with the limit, and the arithmetic. `Err`: nothing is moved, and why. Where a pod has no room for a limit
/// that would hold there is none for all: a limit is no shield against being killed, and below the live heap
/// collections never end.
pub(super) fn fitted(
    fit: &LimitFit,
    pods: &BTreeMap<String, AgentFacts>,
    fleet: &BTreeMap<String, Profile>,
    current: &Knobs,
) -> Result<(Knobs, Vec<String>), String> {
    let mut least: Option<(Bytes, Vec<String>)> = None;
    for (pod, profile) in known(pods, fleet) {
        let worked = limit(profile.ok_or_else(|| format!("of {pod} it is not known what its process holds"))?);
        match worked.answer {
            Ok(limited) if least.as_ref().is_none_or(|(least, _)| limited.limit < *least) => {
                let told = worked.arithmetic.into_iter();
                least = Some((limited.limit, told.map(|line| format!("{pod}: {line}")).collect()));
            }
            Ok(_) => {}
            Err(why @ (NoLimit::NeedsMemory(_) | NoLimit::Spiral(_))) => {
                let knobs = with(fit, KnobValue::Unlimited)?;
                return Ok((knobs, vec![format!("{pod}: {why}")]));
            }
            Err(why @ (NoLimit::NotKnown(_) | NoLimit::Unlimited)) => return Err(format!("{pod}: {why}")),
        }
    }
    let (limit, arithmetic) = least.ok_or_else(|| "no agent of the workload answers".to_owned())?;
    let limit = limit.get() / STEP.get() * STEP.get();
    let limit = match current.number(Knob::MemoryLimit) {
        Some(before) if before.abs_diff(limit) * 100 <= before * DEAD_BAND_PERCENT => before,
        _ => limit,
    };
    Ok((with(fit, KnobValue::Number(limit))?, arithmetic))
}

fn with(fit: &LimitFit, limit: KnobValue) -> Result<Knobs, String> {
    let beside = fit.knobs.iter();
    Knobs::new(beside.chain([(Knob::MemoryLimit, limit)])).map_err(|error| error.to_string())
}

/// The pod that is shortest of memory for a limit that would hold, if one is.
pub fn needs_memory(
    pods: &BTreeMap<String, AgentFacts>,
    fleet: &BTreeMap<String, Profile>,
) -> Option<(String, NeedsMemory)> {
    let short = known(pods, fleet).filter_map(|(pod, profile)| match limit(profile?).answer {
        Err(NoLimit::NeedsMemory(needs)) => Some((pod.to_owned(), needs)),
        _ => None,
    });
    short.max_by_key(|(_, needs)| needs.need.minus(needs.have))
}
