//! Brings the pods nearer to what their workload's annotation says: lines for those that have another one, renewals
//! of leases, nothing else. It decides nothing, so it can be repeated, be interrupted, and be done by two leaders.

use super::RuntimePass;
use crate::{
    apply::{PodLine, PodWrite, write_line},
    observe::pods::Lined,
    record,
};
use flyball_core::{
    evaluate::watermark::Level,
    policy::{Knob, Setting},
    signal::Finite,
    time::{Span, Timestamp},
};
use futures::{StreamExt, stream};
use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};
use tracing::{debug, warn};

/// How many pods are written in one pass, and how many of these at a time.
const PER_PASS: usize = 200;
const AT_A_TIME: usize = 8;
/// Of so many pods one is asked for a collection at a time.
pub(super) const RECLAIM_PART: usize = 10;
/// How far leases differ: each is between 80 % and 120 % of what is asked for, so that they do not end together.
const JITTER_PERCENT: u64 = 40;

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spread {
    /// Ready pods.
    pub ready: usize,
    /// Those that have what they are to have.
    pub given: usize,
    /// Lines written now with other knobs, or taken out.
    pub written: usize,
    /// Leases renewed now.
    pub renewed: usize,
    /// Writes that were not accepted.
    pub failed: usize,
}

/// What may be written to pods now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    /// Whatever they need.
    Write,
    /// The installation is frozen: no pod gets a line that has none.
    Keep,
    /// The namespace is paused: all lines are taken out.
    TakeOut,
}

/// What a pod needs.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Need {
    /// It has it.
    Nothing,
    /// Another line.
    Line(PodLine),
    /// The same with a later end.
    Renewal(PodLine),
    /// No line: boot values.
    Removal,
}

/// What a line depends on beside the setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    /// How long it lasts.
    pub lease: Span,
    /// The price of the pod's node, where its knobs are a share of headroom.
    pub price: Option<Finite>,
    /// Whether the pod may be asked for a collection now.
    pub due: bool,
    /// Whether a policy tells these agents of pressure: what stands of it in a line is that policy's then.
    pub told: bool,
    /// The time.
    pub now: Timestamp,
}

/// What a pod needs.
pub(super) fn need(pod: &Lined, setting: &Setting, around: &Around) -> Need {
    let Around {
        lease,
        price,
        due,
        told,
        now,
    } = *around;
    let (knobs, wanted) = setting.of_pod(&pod.name);
    let knobs = match (knobs.get(Knob::NodeHeadroom), price) {
        (None, _) => knobs.clone(),
        (Some(_), Some(price)) => knobs.priced(price),
        // What is not known moves nothing: a line that is there is renewed as it is.
        (Some(_), None) => match pod.line.as_deref().and_then(PodLine::read) {
            Some(line) if knobs.stand_in(&line.knobs) => line.knobs,
            _ => return Need::Nothing,
        },
    };
    let text = pod.line.as_deref().unwrap_or_default();
    let present = PodLine::read(text);
    // The first count that an agent sees is only remembered, so a pod without a line gets one that asks for nothing.
    let reclaim = match &present {
        None => 0,
        Some(line) if wanted > line.reclaim && !due => line.reclaim,
        Some(_) => wanted,
    };
    let pressure = present
        .as_ref()
        .map(|line| line.pressure)
        .filter(|_| told)
        .unwrap_or_default();
    if knobs.is_boot() && wanted == 0 && pressure == Level::Normal {
        return if pod.line.is_some() {
            Need::Removal
        } else {
            Need::Nothing
        };
    }
    let ttl = jittered(&pod.name, lease);
    let line = |generation: u64| PodLine {
        generation,
        ttl,
        expires: now + ttl,
        knobs: knobs.clone(),
        reclaim,
        pressure,
    };
    match present {
        Some(present) if present.knobs == knobs => {
            let half = Span::from_millis(ttl.as_millis() / 2);
            if present.reclaim != reclaim || present.pressure != pressure {
                Need::Line(line(present.generation))
            } else if present.expires < now + half {
                Need::Renewal(line(present.generation))
            } else {
                Need::Nothing
            }
        }
        // Above all that this pod had, and above what it had before somebody took its line out.
        _ => {
            let seconds = u64::try_from(now.as_millis() / 1000).unwrap_or(0);
            Need::Line(line(seconds.max(PodLine::generation_of(text) + 1)))
        }
    }
}

fn jittered(name: &str, lease: Span) -> Span {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let percent = 100 - JITTER_PERCENT / 2 + hasher.finish() % (JITTER_PERCENT + 1);
    Span::from_secs((lease.as_millis() / 1000 * percent / 100).max(1))
}

/// Does it.
pub(super) async fn spread(it: &RuntimePass<'_, '_>, setting: &Setting, may: May) -> Spread {
    let now = it.pass.seen.now;
    let pods = it.lined.as_deref().unwrap_or_default();
    let out = |pod: &Lined| pod.paused || may == May::TakeOut;
    let ready: Vec<&Lined> = pods.iter().filter(|pod| pod.ready).collect();
    let mut reclaims = (ready.len() / RECLAIM_PART).max(1);
    let prices = it.prices(setting).await;
    let told = it.is_told_of_pressure();
    let mut result = Spread {
        ready: ready.len(),
        ..Spread::default()
    };
    let paused = pods.iter().filter(|pod| out(pod) && pod.line.is_some());
    let mut writes: Vec<(&Lined, Need)> = paused.map(|pod| (pod, Need::Removal)).take(PER_PASS).collect();
    for pod in ready.into_iter().filter(|_| may != May::TakeOut) {
        let around = Around {
            lease: it.lease,
            price: prices.get(&pod.name).copied(),
            due: reclaims > 0,
            told,
            now,
        };
        let need = match need(pod, setting, &around) {
            // While it is frozen the workload's setting moves by a roll-back only, and that has to reach whoever has
            // something to give back.
            Need::Line(_) if may == May::Keep && pod.line.is_none() => Need::Nothing,
            need => need,
        };
        if let Need::Line(line) = &need {
            let had = pod
                .line
                .as_deref()
                .and_then(PodLine::read)
                .map_or(0, |line| line.reclaim);
            reclaims = reclaims.saturating_sub(usize::from(line.reclaim > had));
        }
        match need {
            Need::Nothing => result.given += 1,
            need if writes.len() < PER_PASS => writes.push((pod, need)),
            _ => {}
        }
    }
    let write = |(pod, need): (&Lined, Need)| {
        let (name, version) = (pod.name.clone(), pod.version.clone());
        async move {
            let line = match &need {
                Need::Line(line) | Need::Renewal(line) => Some(line),
                Need::Nothing | Need::Removal => None,
            };
            let (client, namespace) = (&it.pass.ctx.clients.write, &it.pass.namespace);
            let target = (name.as_str(), version.as_str());
            let written = write_line(client, namespace, target, &it.container, line, it.pass.authority).await;
            (name, need, written)
        }
    };
    let paused_ones: BTreeSet<String> = pods.iter().filter(|pod| out(pod)).map(|pod| pod.name.clone()).collect();
    let mut done = stream::iter(writes).map(write).buffer_unordered(AT_A_TIME);
    while let Some((name, need, written)) = done.next().await {
        match (written, need) {
            (PodWrite::Written, Need::Renewal(_)) => {
                result.renewed += 1;
                result.given += 1;
            }
            (PodWrite::Written, need) => {
                debug!(pod = name, ?need, "a pod's line was written");
                result.written += 1;
                result.given += usize::from(!paused_ones.contains(&name));
            }
            (PodWrite::Changed, _) => debug!(pod = name, "the pod changed meanwhile; the next pass looks again"),
            (PodWrite::Failed(error), _) => {
                result.failed += 1;
                warn!(pod = name, %error, "a pod's line was not written; the next pass tries again");
            }
        }
    }
    let policy = record::name(&it.pass.namespace, &it.pass.name);
    it.pass.ctx.recorder.metrics.lines(
        policy,
        (result.ready, result.given),
        (result.written, result.renewed, result.failed),
    );
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000;

    fn pod(line: Option<&str>) -> Lined {
        Lined {
            name: "web-1".to_owned(),
            version: "7".to_owned(),
            ready: true,
            paused: false,
            since: Timestamp::default(),
            line: line.map(ToOwned::to_owned),
        }
    }

    fn check(line: Option<&str>, setting: &str, due: bool, expect: &str) {
        priced(line, setting, None, due, expect);
    }

    fn priced(line: Option<&str>, setting: &str, price: Option<f64>, due: bool, expect: &str) {
        let price = price.map(|price| Finite::new(price).expect("a price"));
        let setting: Setting = setting.parse().expect(setting);
        let around = Around {
            lease: Span::from_secs(3600),
            price,
            due,
            told: true,
            now: Timestamp::from_millis(NOW * 1000),
        };
        let need = need(&pod(line), &setting, &around);
        let said = match &need {
            Need::Nothing => "nothing".to_owned(),
            Need::Removal => "removal".to_owned(),
            Need::Line(line) | Need::Renewal(line) => {
                assert!((2880..=4320).contains(&(line.ttl.as_millis() / 1000)), "{}", line.ttl);
                assert_eq!(
                    line.expires.as_millis(),
                    NOW * 1000 + i64::try_from(line.ttl.as_millis()).expect("ms")
                );
                let kind = if matches!(need, Need::Renewal(_)) {
                    "renewal"
                } else {
                    "line"
                };
                let pressure = match line.pressure {
                    Level::Normal => String::new(),
                    level => format!(" pressure={level}"),
                };
                format!(
                    "{kind} gen={} {} reclaim={}{pressure}",
                    line.generation, line.knobs, line.reclaim
                )
            }
        };
        assert_eq!(said, expect, "{line:?} {setting}");
    }

    #[test]
    fn a_pod_gets_what_it_lacks() {
        let fresh = format!("v1 gen=5 ttl=3600 exp={} gogc=200", NOW + 3500);
        let late = format!("v1 gen=5 ttl=3600 exp={} gogc=200", NOW + 1000);
        let newer = format!("v1 gen={} ttl=3600 exp={} gogc=200", NOW + 9, NOW + 3500);
        check(None, "boot", true, "nothing");
        check(None, "gogc=200", true, "line gen=1795000000 gogc=200 reclaim=0");
        check(Some(&fresh), "gogc=200", true, "nothing");
        check(Some(&late), "gogc=200", true, "renewal gen=5 gogc=200 reclaim=0");
        check(Some(&fresh), "gogc=100", true, "line gen=1795000000 gogc=100 reclaim=0");
        // The clock of an earlier leader was ahead.
        check(Some(&newer), "gogc=100", true, "line gen=1795000010 gogc=100 reclaim=0");
        check(Some(&fresh), "boot", true, "removal");
        check(Some("rubbish"), "boot", true, "removal");
        check(
            Some("rubbish gen=1795000007"),
            "gogc=100",
            true,
            "line gen=1795000008 gogc=100 reclaim=0",
        );
    }

    /// What another answer told stays, as long as a policy tells it.
    #[test]
    fn pressure_rides_on_a_line_of_knobs() {
        let of = |left: i64, words: &str| format!("v1 gen=5 ttl=3600 exp={}{words} pressure=high", NOW + left);
        check(Some(&of(3500, " gogc=200")), "gogc=200", true, "nothing");
        check(
            Some(&of(1000, " gogc=200")),
            "gogc=200",
            true,
            "renewal gen=5 gogc=200 reclaim=0 pressure=high",
        );
        check(
            Some(&of(3500, " gogc=200")),
            "gogc=100",
            true,
            "line gen=1795000000 gogc=100 reclaim=0 pressure=high",
        );
        check(
            Some(&of(3500, " gogc=200")),
            "boot",
            true,
            "line gen=1795000000  reclaim=0 pressure=high",
        );
        check(Some(&of(3500, "")), "boot", true, "nothing");
        let around = Around {
            lease: Span::from_secs(3600),
            price: None,
            due: true,
            told: false,
            now: Timestamp::from_millis(NOW * 1000),
        };
        let alone = |line: &str, setting: &str| need(&pod(Some(line)), &setting.parse().expect("a setting"), &around);
        assert_eq!(alone(&of(3500, ""), "boot"), Need::Removal);
        let Need::Line(line) = alone(&of(3500, " gogc=200"), "gogc=200") else {
            panic!("a line without it");
        };
        assert_eq!(line.pressure, Level::Normal);
    }

    #[test]
    fn a_share_of_headroom_is_the_price_of_the_pods_node() {
        const SHARE: &str = "node-headroom=1073741824 gogc-min=50 gogc-max=400";
        let check = |line: Option<&str>, price: Option<f64>, expect: &str| priced(line, SHARE, price, true, expect);
        let line = |price: &str, left: i64| {
            format!(
                "v1 gen=5 ttl=3600 exp={} lambda={price} gogc-min=50 gogc-max=400",
                NOW + left
            )
        };
        let (fresh, late) = (line("2.5e-9", 3500), line("2.5e-9", 1000));
        check(
            None,
            Some(2.5e-9),
            "line gen=1795000000 lambda=2.5e-9 gogc-min=50 gogc-max=400 reclaim=0",
        );
        check(Some(&fresh), Some(2.5e-9), "nothing");
        check(
            Some(&fresh),
            Some(5e-9),
            "line gen=1795000000 lambda=5e-9 gogc-min=50 gogc-max=400 reclaim=0",
        );
        // Without a price nothing moves, and what is there is looked after.
        check(None, None, "nothing");
        check(Some(&fresh), None, "nothing");
        check(
            Some(&late),
            None,
            "renewal gen=5 lambda=2.5e-9 gogc-min=50 gogc-max=400 reclaim=0",
        );
        let other = format!("v1 gen=5 ttl=3600 exp={} gogc=100", NOW + 3500);
        check(Some(&other), None, "nothing");
    }

    #[test]
    fn a_pod_that_is_tried_gets_what_is_tried() {
        let fresh = format!("v1 gen=5 ttl=3600 exp={} gogc=100", NOW + 3500);
        check(
            Some(&fresh),
            "gogc=100; try web-1: gogc=200",
            true,
            "line gen=1795000000 gogc=200 reclaim=0",
        );
        check(Some(&fresh), "gogc=100; try web-2: gogc=200", true, "nothing");
    }

    #[test]
    fn a_collection_is_asked_for_within_a_generation_and_when_it_is_due() {
        let fresh = format!("v1 gen=5 ttl=3600 exp={} gogc=200", NOW + 3500);
        check(
            Some(&fresh),
            "gogc=200 reclaim=1",
            true,
            "line gen=5 gogc=200 reclaim=1",
        );
        check(Some(&fresh), "gogc=200 reclaim=1", false, "nothing");
        // What a process sees first it only remembers: the collection comes with the line after that.
        check(None, "boot reclaim=1", true, "line gen=1795000000  reclaim=0");
        let asked = format!("v1 gen=5 ttl=3600 exp={}", NOW + 3500);
        check(Some(&asked), "boot reclaim=1", true, "line gen=5  reclaim=1");
        let done = format!("v1 gen=5 ttl=3600 exp={} reclaim=1", NOW + 3500);
        check(Some(&done), "boot reclaim=1", true, "nothing");
    }
}
