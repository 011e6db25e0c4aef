//! The weights of a canary Ingress of ingress-nginx, read as a list of two: the Ingress' own Service with its weight,
//! and the one of the main Ingress with the rest.
//!
//! Rules by header and cookie come before the weight there (`canary-by-header`, `canary-by-cookie`): the requests
//! they send are not shared by weight.

use super::{
    error::RouteError,
    list::{Entry, Located, Reader, said},
    table::{CANARY, CANARY_TOTAL, CANARY_WEIGHT, CANARY_WEIGHT_TOTAL},
};
use flyball_core::policy::Weight;
use kube::{ResourceExt, api::DynamicObject};
use serde_json::Value;

impl Reader<'_> {
    pub(super) fn canary(&self, object: &DynamicObject) -> Result<Located, RouteError> {
        self.no_rule::<()>()?;
        let annotation = |key: &str| object.annotations().get(key).map(String::as_str);
        if annotation(CANARY) != Some("true") {
            return Err(RouteError::NoCanary {
                object: self.object.clone(),
                value: annotation(CANARY).map_or_else(|| "missing".to_owned(), |value| format!("{value:?}")),
            });
        }
        let own = self.canary_service(&object.data)?;
        let names: Vec<&str> = self.managed.iter().map(|backend| backend.name.as_str()).collect();
        let wrong = |way_out: &str| RouteError::CanaryBackends {
            object: self.object.clone(),
            managed: said(&names),
            way_out: way_out.to_owned(),
        };
        let [first, second] = names.as_slice() else {
            return Err(wrong("name exactly two backends"));
        };
        let other = match (*first == own, *second == own) {
            (true, false) => second,
            (false, true) => first,
            _ => return Err(wrong(&format!("name {own:?} and the Service of the main Ingress"))),
        };
        // What is less than 100 counts as 100 there.
        let total = self.number(
            annotation(CANARY_WEIGHT_TOTAL),
            CANARY_WEIGHT_TOTAL,
            CANARY_TOTAL,
            (1, Weight::MAX),
        )?;
        let total = total.max(CANARY_TOTAL);
        let weight = self.number(annotation(CANARY_WEIGHT), CANARY_WEIGHT, 0, (0, total))?;
        let entry = |index, name: &str, weight: u32| Entry {
            index,
            name: name.to_owned(),
            // Both are at most the total.
            weight: Weight::new(i64::from(weight)).unwrap_or_default(),
            managed: true,
        };
        Ok(Located {
            row: self.row,
            list: self.list.clone(),
            rule: None,
            rule_name: None,
            matches: None,
            entries: vec![entry(0, own, weight), entry(1, other, total - weight)],
            total: Some(total),
        })
    }

    /// The one Service that an Ingress leads to.
    fn canary_service<'v>(&self, data: &'v Value) -> Result<&'v str, RouteError> {
        let paths = |rule: &'v Value| {
            rule.pointer("/http/paths")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
        };
        let rules = data
            .pointer("/spec/rules")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let backends = rules.flat_map(paths).filter_map(|path| path.get("backend"));
        let mut services: Vec<&str> = backends
            .chain(data.pointer("/spec/defaultBackend"))
            .filter_map(|backend| backend.pointer("/service/name").and_then(Value::as_str))
            .collect();
        services.sort_unstable();
        services.dedup();
        match services.as_slice() {
            [service] => Ok(service),
            _ => Err(RouteError::CanaryService {
                object: self.object.clone(),
                services: said(&services),
            }),
        }
    }

    fn number(&self, text: Option<&str>, key: &str, absent: u32, (least, most): (u32, u32)) -> Result<u32, RouteError> {
        let Some(text) = text else { return Ok(absent) };
        let number = text
            .parse::<u32>()
            .ok()
            .filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| RouteError::Weight {
            object: self.object.clone(),
            field: format!("metadata.annotations[{key}]"),
            value: format!("{text:?}"),
            least,
            most,
        })
    }
}
