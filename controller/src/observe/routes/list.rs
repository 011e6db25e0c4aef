//! Finds a list of weighted backends in an object, and reads its weights.

use super::{
    error::RouteError,
    table::{Form, ListForm, MAX_BACKENDS, Path, Row, Rules},
};
use flyball_core::policy::{Backend, RouteList, RuleRef, Weight, Weights};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::Value;
use std::fmt::Write;

/// A list as an object has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Located {
    /// Its kind.
    pub row: &'static Row,
    /// What it was looked for by.
    pub list: RouteList,
    /// Which of the object's rules it is, from 0; `None` where the object has one list.
    pub rule: Option<usize>,
    /// The name of that rule, where it has one.
    pub rule_name: Option<String>,
    /// What that rule matches.
    pub(super) matches: Option<Value>,
    /// Its backends in their order, without mirrors.
    pub entries: Vec<Entry>,
    /// What the weights add up to by the object itself.
    pub(super) total: Option<u32>,
}

/// A backend of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the list, from 0; mirrors count. The canary of an Ingress has 0, the other backend 1.
    pub index: usize,
    /// Its name; with a subset `name/subset`.
    pub name: String,
    /// Its weight as found, or what its absence stands for.
    pub weight: Weight,
    /// Whether the action manages it.
    pub managed: bool,
}

impl Located {
    /// The weights of the managed backends.
    pub fn weights(&self) -> Weights {
        let managed = self.entries.iter().filter(|entry| entry.managed);
        Weights::new(managed.map(|entry| (entry.name.clone(), entry.weight)))
    }

    /// The sum of the weights of the others.
    pub fn unmanaged(&self) -> u64 {
        let others = self.entries.iter().filter(|entry| !entry.managed);
        others.map(|entry| u64::from(entry.weight.get())).sum()
    }

    /// The names of the others, each once, in their order.
    pub fn others(&self) -> Vec<String> {
        let mut names = Vec::new();
        for entry in self.entries.iter().filter(|entry| !entry.managed) {
            if !names.contains(&entry.name) {
                names.push(entry.name.clone());
            }
        }
        names
    }

    /// What the managed weights must add up to; `None`: anything, as long as others keep their share.
    ///
    /// While others have weight this is `None` also for a kind with a fixed sum: the managed ones then keep the
    /// sum that they have, and with it that of the whole list.
    pub fn fixed_total(&self) -> Option<u32> {
        match &self.row.form {
            Form::List(form) => form.sum.filter(|_| self.unmanaged() == 0),
            Form::CanaryAnnotations => self.total,
        }
    }
}

/// Finds the list in the object and reads it. `managed` are the action's backends.
pub fn locate(object: &DynamicObject, list: &RouteList, managed: &[Backend]) -> Result<Located, RouteError> {
    let row = Row::of(&list.api_version, &list.kind).ok_or_else(|| RouteError::Kind {
        api_version: list.api_version.clone(),
        kind: list.kind.clone(),
    })?;
    let reader = Reader {
        object: format!("{} {}", row.kind, object.name_any()),
        row,
        list,
        managed,
    };
    match &row.form {
        Form::List(form) => reader.list(form, &object.data),
        Form::CanaryAnnotations => reader.canary(object),
    }
}

pub(super) struct Reader<'a> {
    /// As errors name it.
    pub(super) object: String,
    pub(super) row: &'static Row,
    pub(super) list: &'a RouteList,
    pub(super) managed: &'a [Backend],
}

/// A rule: its place and itself.
type Rule<'a> = (usize, &'a Value);

impl Reader<'_> {
    fn list(&self, form: &ListForm, data: &Value) -> Result<Located, RouteError> {
        let rule = match &form.rules {
            None => self.no_rule()?,
            Some(rules) => Some((rules, self.rule(rules, data)?)),
        };
        let (within, mut field) = match rule {
            Some((rules, (index, rule))) => (rule, format!("{}[{index}].", rules.path.join("."))),
            None => (data, String::new()),
        };
        field.push_str(&form.list.join("."));
        let entries = self.array(within, form.list, &field, MAX_BACKENDS)?;
        let entries: Vec<Entry> = entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| form.mirror.is_none_or(|key| entry.get(key) != Some(&Value::Bool(true))))
            .map(|(index, entry)| self.entry(form, index, entry, &format!("{field}[{index}]")))
            .collect::<Result<_, _>>()?;
        for Backend { name, .. } in self.managed {
            let (object, backend) = (self.object.clone(), name.clone());
            match entries.iter().filter(|entry| entry.name == *name).count() {
                1 => {}
                0 => {
                    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
                    let there = said(&names);
                    return Err(RouteError::NoBackend {
                        object,
                        field,
                        backend,
                        there,
                    });
                }
                _ => return Err(RouteError::Duplicate { object, field, backend }),
            }
        }
        let value = |key: &dyn Fn(&Rules) -> Option<&'static str>| {
            let (rules, (_, rule)) = rule?;
            rule.get(key(rules)?).filter(|value| !value.is_null())
        };
        Ok(Located {
            row: self.row,
            list: self.list.clone(),
            rule: rule.map(|(_, (index, _))| index),
            rule_name: value(&|rules| rules.name)
                .and_then(Value::as_str)
                .map(ToOwned::to_owned),
            matches: value(&|rules| Some(rules.matches)).cloned(),
            entries,
            total: None,
        })
    }

    /// There is no rule to look for, so none may be asked for.
    pub(super) fn no_rule<T>(&self) -> Result<Option<T>, RouteError> {
        match &self.list.rule {
            RuleRef::Only => Ok(None),
            rule => Err(RouteError::NoRules {
                object: self.object.clone(),
                rule: rule.to_string(),
            }),
        }
    }

    fn rule<'v>(&self, rules: &Rules, data: &'v Value) -> Result<Rule<'v>, RouteError> {
        let (object, field) = (self.object.clone(), rules.path.join("."));
        let all = self.array(data, rules.path, &field, rules.most)?;
        let name_of = |rule: &'v Value| rules.name.and_then(|key| rule.get(key)).and_then(Value::as_str);
        let names = || {
            let called = |(index, rule)| {
                name_of(rule).map_or_else(|| format!("rule {index} without a name"), |name| format!("{name:?}"))
            };
            let names: Vec<String> = all.iter().enumerate().map(called).collect();
            said(&names)
        };
        match &self.list.rule {
            RuleRef::Name(name) if rules.name.is_none() => {
                let name = name.clone();
                Err(RouteError::NamelessRules { object, field, name })
            }
            RuleRef::Name(name) => {
                let mut found = all.iter().enumerate().filter(|(_, rule)| name_of(rule) == Some(name));
                match (found.next(), found.next()) {
                    (Some(rule), None) => Ok(rule),
                    (Some(_), Some(_)) => {
                        let name = name.clone();
                        Err(RouteError::AmbiguousRule { object, field, name })
                    }
                    (None, _) => {
                        let (name, rules) = (name.clone(), names());
                        Err(RouteError::NoSuchRule {
                            object,
                            field,
                            name,
                            rules,
                        })
                    }
                }
            }
            RuleRef::Index(index) => {
                let found = usize::try_from(*index)
                    .ok()
                    .and_then(|place| Some((place, all.get(place)?)));
                let (index, count) = (*index, all.len());
                found.ok_or(RouteError::RuleIndex {
                    object,
                    field,
                    index,
                    count,
                })
            }
            RuleRef::Only => match all {
                [rule] => Ok((0, rule)),
                [] => Err(RouteError::NoList { object, field }),
                _ => {
                    let (count, rules) = (all.len(), names());
                    Err(RouteError::WhichRule {
                        object,
                        field,
                        count,
                        rules,
                    })
                }
            },
        }
    }

    fn array<'v>(&self, within: &'v Value, path: Path, field: &str, most: usize) -> Result<&'v [Value], RouteError> {
        let (object, field) = (self.object.clone(), field.to_owned());
        match at(within, path).and_then(Value::as_array) {
            None => Err(RouteError::NoList { object, field }),
            Some(array) if array.len() > most => {
                let count = array.len();
                Err(RouteError::TooMany {
                    object,
                    field,
                    count,
                    most,
                })
            }
            Some(array) => Ok(array),
        }
    }

    fn entry(&self, form: &ListForm, index: usize, entry: &Value, field: &str) -> Result<Entry, RouteError> {
        let text = |path: Path| at(entry, path).and_then(Value::as_str).filter(|text| !text.is_empty());
        let mut name = text(form.name)
            .map(ToOwned::to_owned)
            .ok_or_else(|| RouteError::Nameless {
                object: self.object.clone(),
                field: format!("{field}.{}", form.name.join(".")),
            })?;
        if let Some(subset) = form.subset.and_then(text) {
            // Writing into a string can't fail.
            let _ = write!(name, "/{subset}");
        }
        let weight = match entry.get(form.weight).filter(|weight| !weight.is_null()) {
            None => Weight::new(i64::from(form.absent)),
            Some(weight) => weight
                .as_i64()
                .and_then(Weight::new)
                .filter(|weight| weight.get() <= form.max),
        };
        let weight = weight.ok_or_else(|| RouteError::Weight {
            object: self.object.clone(),
            field: format!("{field}.{}", form.weight),
            value: entry.get(form.weight).map_or_else(String::new, ToString::to_string),
            least: 0,
            most: form.max,
        })?;
        let managed = self.managed.iter().any(|backend| backend.name == name);
        Ok(Entry {
            index,
            name,
            weight,
            managed,
        })
    }
}

/// The value that a path leads to.
pub(super) fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

/// Names, as an error lists them.
pub(super) fn said<T: AsRef<str>>(names: &[T]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests;
