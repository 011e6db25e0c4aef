//! What a decision on weights rests on: the rules as the action hears them, the routes, the traffic, the endpoints.

use super::{WeightsPass, memory::WeightsMemory};
use crate::observe::{
    TrafficReadings,
    routes::{Located, find},
};
use flyball_core::{
    decide::RouteFacts,
    evaluate::RuleState,
    policy::{Query, Traffic, WeightLaw},
    signal::Reading,
    time::Span,
};
use std::{borrow::Cow, collections::BTreeMap};
use tracing::warn;

impl WeightsPass<'_, '_> {
    /// The rules' states as the action hears them: without the alerts that are silenced, where those move nothing.
    /// Silences that can't be read silence nothing.
    pub(super) async fn heard<'m>(
        &self,
        rules: &'m BTreeMap<String, RuleState>,
    ) -> Cow<'m, BTreeMap<String, RuleState>> {
        let ignores = matches!(&self.action.law, WeightLaw::Step(law) if law.ignores_silenced);
        let mut own = self.action.when.iter().filter_map(|name| rules.get(name));
        if !ignores || own.all(|rule| rule.alerts.is_empty()) {
            return Cow::Borrowed(rules);
        }
        let Ok(source) = &self.pass.seen.source else {
            return Cow::Borrowed(rules);
        };
        let silences = match source.silences(self.pass.seen.now).await {
            Ok(silences) => silences,
            Err(error) => {
                warn!(policy = self.pass.name, %error, "silenced alerts count");
                return Cow::Borrowed(rules);
            }
        };
        let mut heard = rules.clone();
        for rule in heard.values_mut() {
            rule.alerts
                .retain(|alert| !silences.iter().any(|silence| silence.silences(&alert.labels)));
        }
        Cow::Owned(heard)
    }

    /// What the decision rests on.
    pub(super) async fn facts(&self, memory: &WeightsMemory) -> RouteFacts {
        let routes = self.routes.as_ref().map(Vec::as_slice).unwrap_or_default();
        let first = routes.first().map(|route| &route.located);
        let TrafficReadings {
            requests,
            errors,
            unserved,
        } = self.pass.seen.traffic.clone().unwrap_or_else(|| {
            let unread = || Reading::failed(self.pass.seen.now, "it was not read");
            TrafficReadings {
                requests: unread(),
                errors: unread(),
                unserved: None,
            }
        });
        let mut others: Vec<String> = routes.iter().flat_map(|route| route.located.others()).collect();
        others.dedup();
        let mut facts = RouteFacts {
            current: first.map(Located::weights).unwrap_or_default(),
            unmanaged: routes.iter().map(|route| route.located.unmanaged()).max().unwrap_or(0),
            others,
            fixed_total: routes.iter().find_map(|route| route.located.fixed_total()),
            requests,
            errors,
            unserved,
            ready: BTreeMap::new(),
            history: memory.history.clone(),
        };
        for backend in self.asked_for_endpoints(&facts) {
            let client = &self.pass.ctx.clients.read;
            if let Some(ready) = find::has_ready_endpoint(client, &self.pass.namespace, &backend).await {
                facts.ready.insert(backend, ready);
            }
        }
        facts
    }

    /// The backends of which it matters now whether they have endpoints: those without traffic that might get
    /// some. In a quiet minute there are none.
    fn asked_for_endpoints(&self, facts: &RouteFacts) -> Vec<String> {
        let out = |name: &str| {
            let known = facts.history.backends.get(name);
            known.is_some_and(|known| known.out_since.is_some())
        };
        let names = self.action.backends.iter().map(|backend| backend.name.as_str());
        let unserved = facts.unserved.as_ref().and_then(|reading| reading.number().ok());
        if unserved.is_some_and(|rate| rate.get() > 0.0) {
            return names.map(ToOwned::to_owned).collect();
        }
        let WeightLaw::Failover(law) = &self.action.law else {
            return names.filter(|name| out(name)).map(ToOwned::to_owned).collect();
        };
        let value = |reading: &Reading, name: &str| {
            let of = |sample: &&flyball_core::signal::Sample| {
                sample.labels.get("backend").is_some_and(|found| found == name)
            };
            reading.samples().iter().find(of).map(|sample| sample.value)
        };
        let serving = |name: &str| facts.current.of(name).get() > 0;
        let active = names.clone().find(|name| serving(name));
        let bad = active.is_some_and(|name| {
            let failed = value(&facts.errors, name).unwrap_or(0.0);
            value(&facts.requests, name).is_none_or(|asked| asked <= 0.0 || failed / asked > law.bad_above.get())
        });
        let before_active = names.clone().take_while(|name| Some(*name) != active);
        if bad {
            names.map(ToOwned::to_owned).collect()
        } else {
            before_active.map(ToOwned::to_owned).collect()
        }
    }

    /// The reading of the traffic of a Change, which this pass has asked already unless the policy was edited.
    pub(super) async fn traffic_of(&self, frozen: &Traffic) -> Reading {
        if let Some(traffic) = &self.pass.seen.traffic
            && frozen.requests.text == self.traffic.requests.text
        {
            return traffic.requests.clone();
        }
        let source = &self.pass.object.spec.source_ref.name;
        self.reading(source, &frozen.requests, frozen.max_age).await
    }

    /// A reading, asked unless this pass has it.
    pub(super) async fn reading(&self, source: &str, query: &Query, max_age: Span) -> Reading {
        let pass = self.pass;
        let same_source = source == pass.object.spec.source_ref.name;
        if let Some(reading) = pass.asked(query, max_age).filter(|_| same_source) {
            return reading.clone();
        }
        match pass.ctx.sources.get(&pass.ctx.cluster, source, &pass.namespace) {
            Ok(source) => source.read(query, max_age, pass.seen.now).await,
            Err(problem) => Reading::failed(pass.seen.now, problem.to_string()),
        }
    }
}
