//! What the agents of a workload tell, pod by pod.

use super::RuntimePass;
use crate::apply::PodLine;
use flyball_core::{
    bytes::Bytes,
    decide::{
        AgentFacts, node_prices,
        runtime::{AllocationRate, CycleCost, FactError, Profile},
    },
    policy::{Knob, KnobValue, Query, RuntimeAim, Setting},
    signal::{Finite, Quality, Reading},
    time::Span,
};
use futures::future::join_all;
use std::collections::BTreeMap;
use tracing::debug;

/// The readings behind it.
pub(super) struct AgentReadings {
    pub applied: Reading,
    pub breaker: Reading,
    pub live: Reading,
    pub limit: Reading,
    pub beside: Reading,
}

impl RuntimePass<'_, '_> {
    /// Asks all at once.
    pub(super) async fn ask_agents(&self) -> AgentReadings {
        let queries = &self.agents;
        let all = [
            &queries.applied,
            &queries.breaker,
            &queries.live,
            &queries.limit,
            &queries.beside,
        ];
        let mut read = join_all(all.map(|query| self.ask(query, queries.max_age)))
            .await
            .into_iter();
        let mut next = || {
            read.next()
                .unwrap_or_else(|| Reading::failed(self.pass.seen.now, "it was not read"))
        };
        AgentReadings {
            applied: next(),
            breaker: next(),
            live: next(),
            limit: next(),
            beside: next(),
        }
    }

    /// The processes of the namespace, where an action divides a budget among them or asks what room they leave.
    pub(super) async fn fleet(&self) -> &BTreeMap<String, Profile> {
        self.fleet.get_or_init(|| self.ask_fleet()).await
    }

    async fn ask_fleet(&self) -> BTreeMap<String, Profile> {
        let asked = self.actions.iter().map(|action| match &action.aim {
            RuntimeAim::Budget(budget) => (Some(&budget.queries), None),
            RuntimeAim::Fit(fit) => (None, Some(&fit.queries)),
            RuntimeAim::Set(_) | RuntimeAim::Reclaim { .. } | RuntimeAim::Env(_) => (None, None),
        });
        let (budgets, fits): (Vec<_>, Vec<_>) = asked.unzip();
        // The limit law looks at the most of an hour, which is careful enough for a budget beside it, too.
        let Some(queries) = fits.into_iter().chain(budgets).flatten().next() else {
            return BTreeMap::new();
        };
        let queries = queries.within(&self.pass.namespace);
        let read = join_all(queries.all().map(|query| self.ask(query, self.agents.max_age))).await;
        <[Reading; 7]>::try_from(read)
            .map(|read| profiles(&read.each_ref().map(by_pod)))
            .unwrap_or_default()
    }

    /// The price of each pod's node, where the setting shares headroom by node. The present one is that of the lines
    /// that are there; pods of other policies on the node come to the same, because they read the same agents.
    pub(super) async fn prices(&self, setting: &Setting) -> BTreeMap<String, Finite> {
        let all = [Some(&setting.knobs), setting.trial.as_ref().map(|trial| &trial.knobs)];
        let shared = all.into_iter().flatten().find_map(|knobs| {
            let headroom = Bytes::saturating(knobs.number(Knob::NodeHeadroom)?);
            Some((headroom, knobs.number(Knob::GogcMin)?, knobs.number(Knob::GogcMax)?))
        });
        let places = self.pass.ctx.cluster.pods.places(&self.pass.namespace);
        let (Some((headroom, least, most)), Some(places)) = (shared, places) else {
            return BTreeMap::new();
        };
        let mut before = BTreeMap::new();
        for pod in self.lined.iter().flatten() {
            let line = pod.line.as_deref().and_then(PodLine::read);
            let price = line.and_then(|line| line.knobs.get(Knob::Lambda));
            if let (Some(node), Some(KnobValue::Decimal(price))) = (places.get(&pod.name), price) {
                before.entry(node.clone()).or_insert(price);
            }
        }
        let prices = node_prices(headroom, (least, most), self.fleet().await, &places, &before);
        for (node, why) in prices
            .iter()
            .filter_map(|(node, price)| Some((node, price.as_ref().err()?)))
        {
            debug!(
                policy = self.pass.name,
                node, why, "no price: the pods on it keep what they have"
            );
        }
        let of_node = |node: &String| prices.get(node)?.as_ref().ok().copied();
        let by_pod = places
            .iter()
            .filter_map(|(pod, node)| Some((pod.clone(), of_node(node)?)));
        by_pod.collect()
    }

    async fn ask(&self, query: &Query, max_age: Span) -> Reading {
        let now = self.pass.seen.now;
        match &self.pass.seen.source {
            Ok(source) => source.read(query, max_age, now).await,
            Err(problem) => Reading::failed(now, problem.to_string()),
        }
    }

    /// A query of an open Change, asked of the source that it names, unless this pass has asked it.
    pub(super) async fn reading(&self, source: &str, query: &Query, max_age: Span) -> Reading {
        let pass = self.pass;
        if source == pass.object.spec.source_ref.name {
            return match pass.asked(query, max_age) {
                Some(reading) => reading.clone(),
                None => self.ask(query, max_age).await,
            };
        }
        match pass.ctx.sources.get(&pass.ctx.cluster, source, &pass.namespace) {
            Ok(source) => source.read(query, max_age, pass.seen.now).await,
            Err(problem) => Reading::failed(pass.seen.now, problem.to_string()),
        }
    }

    /// The ready pods with what is known of them.
    pub(super) fn pods(&self, read: &AgentReadings) -> BTreeMap<String, AgentFacts> {
        let [applied, breaker, live, limit, beside] =
            [&read.applied, &read.breaker, &read.live, &read.limit, &read.beside].map(by_pod);
        let ready = self.lined.iter().flatten().filter(|pod| pod.ready);
        ready
            .map(|pod| {
                let of = |values: &BTreeMap<String, f64>| values.get(&pod.name).copied();
                let facts = AgentFacts {
                    applied: of(&applied).and_then(whole),
                    tripped: of(&breaker).is_some_and(|state| state > 0.0),
                    live: of(&live).filter(|live| *live > 0.0),
                    limit: of(&limit).filter(|limit| limit.is_finite()),
                    beside: of(&beside).filter(|beside| beside.is_finite()),
                };
                (pod.name.clone(), facts)
            })
            .collect()
    }
}

/// What is known of each process, from values by pod in the order of [`FleetQueries::all`].
///
/// [`FleetQueries::all`]: flyball_core::policy::FleetQueries::all
pub fn profiles(values: &[BTreeMap<String, f64>; 7]) -> BTreeMap<String, Profile> {
    let [allocation, gc_cpu, cycles, live, roots, limit, unmanaged] = values;
    let pods = live.keys();
    pods.map(|pod| {
        let of = |values: &BTreeMap<String, f64>| values.get(pod).copied().ok_or(FactError::NotRead);
        let bytes = |value: f64| Bytes::nearest(value).ok_or(FactError::NotRead);
        let cycle = of(gc_cpu).and_then(|cpu| match of(cycles)? {
            0.0 => Err(FactError::NoCycle),
            cycles => CycleCost::new(cpu / cycles).ok_or(FactError::NotRead),
        });
        let profile = Profile {
            allocation: of(allocation).and_then(|g| AllocationRate::new(g).ok_or(FactError::NotRead)),
            cycle,
            live: of(live).and_then(bytes),
            roots: of(roots).and_then(bytes),
            // Counted with what is unmanaged: for a division only the live heap and the garbage differ.
            other: Ok(Bytes::ZERO),
            unmanaged: of(unmanaged).and_then(bytes),
            limit: of(limit).map(|limit| Bytes::nearest(limit).filter(|_| limit.is_finite())),
            ..Profile::default()
        };
        (pod.clone(), profile)
    })
    .collect()
}

/// The values by pod, where they are to be trusted. No limit is `+Inf`, which is no reason not to trust the others.
pub(crate) fn by_pod(reading: &Reading) -> BTreeMap<String, f64> {
    if !matches!(reading.quality(), Quality::Fresh | Quality::NotFinite) {
        return BTreeMap::new();
    }
    let named = reading
        .samples()
        .iter()
        .filter_map(|sample| Some((sample.labels.get("pod")?.clone(), sample.value)));
    named.filter(|(_, value)| !value.is_nan()).collect()
}

/// A generation as Prometheus has it.
pub(crate) fn whole(value: f64) -> Option<u64> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked right here.
    let number = (0.0..9e15).contains(&value).then_some(value as u64);
    number
}
