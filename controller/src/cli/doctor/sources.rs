//! Each `MetricSource`: its form, its Secrets, and whether it answers from here.

use super::finding::{Finding, Mark, Section};
use crate::{
    cli::{
        fetch::{self, Connection, ReadError, Scope},
        screen::{plain, quoted},
    },
    observe::{
        credentials::{self, Secrets},
        source::{Source, SourceError, TokenError},
    },
    validate,
};
use flyball_crds::{ConditionType, MetricSource, SecretKey};
use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, api::ListParams};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What was read of the Secrets that a source names: the content, that it is not there, or why it
/// could not be read. It has no `Debug`, for it holds credentials.
pub type Keys = BTreeMap<SecretKey, Result<Option<Vec<u8>>, ReadError>>;

/// What came of asking a source.
pub enum Asked {
    /// It answers; the server's version, if it tells one.
    Answers(Option<String>),
    /// It does not.
    Fails(SourceError),
    /// It was not asked: its Secrets could not be read here.
    Not,
}

/// The sources that were looked at.
pub struct Found {
    /// The findings.
    pub section: Section,
    /// All sources, by name; an error: they could not be read.
    pub sources: Result<BTreeMap<String, MetricSource>, ReadError>,
    /// Those that answer from here.
    pub answering: BTreeMap<String, Arc<Source>>,
}

/// Judges one source. `asked` says what came of asking it from here.
pub fn judge(source: &MetricSource, keys: &Keys, namespace: &str, asked: &Asked) -> Vec<Finding> {
    let mut findings = form(source);
    findings.extend(
        keys.iter()
            .filter_map(|(key, content)| secret(source, key, content, namespace)),
    );
    let (view, here) = (controllers_view(source), from_here(source, asked, namespace));
    // One trouble that both have is told once.
    match view {
        Some(view) if view.mark == Mark::Fail && here.mark == Mark::Fail && view.way_out == here.way_out => {
            findings.push(Finding {
                said: format!("{}; the controller says the same", here.said),
                ..here
            });
        }
        view => findings.extend(view.into_iter().chain([here])),
    }
    findings
}

fn form(source: &MetricSource) -> Vec<Finding> {
    let name = source.name_any();
    let errors = validate::metric_source(&source.spec).err().unwrap_or_default();
    let mut findings: Vec<Finding> = errors
        .iter()
        .map(|error| Finding::message(Mark::Fail, &name, &error.to_string()))
        .collect();
    if source.spec.auth.is_some() && source.spec.url.starts_with("http://") {
        let said = "spec.url is http, so the credentials are sent in clear";
        findings.push(Finding::new(
            Mark::Warn,
            &name,
            said,
            "write an https URL, and spec.tls.ca where its authority is your own",
        ));
    }
    if token_url(source).is_some_and(|url| url.starts_with("http://")) {
        let said = "spec.auth.oauth2.tokenUrl is http, so the client's secret is sent in clear";
        findings.push(Finding::new(
            Mark::Warn,
            &name,
            said,
            "write an https URL, and spec.auth.oauth2.tls.ca where its authority is your own",
        ));
    }
    findings
}

fn token_url(source: &MetricSource) -> Option<&str> {
    let oauth2 = source.spec.auth.as_ref()?.oauth2.as_ref()?;
    Some(&oauth2.token_url)
}

/// Whether a Secret of `kubernetes.io/tls` has the key for a certificate and key that the source names.
fn of_a_pair(source: &MetricSource, key: &SecretKey) -> bool {
    let oauth2 = source.spec.auth.as_ref().and_then(|auth| auth.oauth2.as_ref());
    let tls = source
        .spec
        .tls
        .iter()
        .chain(oauth2.and_then(|oauth2| oauth2.tls.as_ref()));
    let mut pairs = tls.filter_map(|tls| tls.key_pair.as_ref());
    pairs.any(|pair| {
        (&pair.certificate == key || &pair.key == key)
            && (pair.certificate.key.as_str(), pair.key.key.as_str()) == ("tls.crt", "tls.key")
    })
}

fn secret(
    source: &MetricSource,
    key: &SecretKey,
    content: &Result<Option<Vec<u8>>, ReadError>,
    namespace: &str,
) -> Option<Finding> {
    let subject = format!("{}: Secret {}", source.name_any(), key.name);
    let what = if of_a_pair(source, key) {
        format!("tls {} -n {namespace} --cert FILE --key FILE", quoted(&key.name))
    } else {
        let file = quoted(&format!("{}=FILE", key.key));
        format!("generic {} -n {namespace} --from-file {file}", quoted(&key.name))
    };
    match content {
        Ok(Some(_)) => None,
        Ok(None) => Some(Finding::new(
            Mark::Fail,
            subject,
            format!(
                "there is no key {} in Secret {} of namespace {namespace}",
                key.key, key.name
            ),
            format!("create it: kubectl create secret {what}"),
        )),
        Err(error) => Some(Finding::unread(subject, error)),
    }
}

/// What the controller found when it asked the source itself.
fn controllers_view(source: &MetricSource) -> Option<Finding> {
    let status = source.status.as_ref()?;
    let ready = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == ConditionType::Ready.as_str())?;
    let name = source.name_any();
    if ready.observed_generation.is_some() && ready.observed_generation != source.metadata.generation {
        let said = "the controller has not asked it since it was edited";
        return Some(Finding::new(
            Mark::Warn,
            name,
            said,
            "see above whether the controller runs",
        ));
    }
    if ready.status == "True" {
        return Some(Finding::ok(
            name,
            format!("the controller says: {}", plain(&ready.message)),
        ));
    }
    let said = format!(
        "the controller says: {}: {}",
        plain(&ready.reason),
        plain(&ready.message)
    );
    Some(Finding::message(Mark::Fail, name, &said))
}

fn controller_reaches(source: &MetricSource) -> bool {
    controllers_view(source).is_some_and(|finding| finding.mark == Mark::Ok)
}

fn from_here(source: &MetricSource, asked: &Asked, namespace: &str) -> Finding {
    let name = source.name_any();
    let inside = format!("ask from within: kubectl exec -n {namespace} deployment/flyball -- flyball doctor");
    match asked {
        Asked::Answers(version) => {
            let version = version
                .as_ref()
                .map(|version| format!(", version {}", plain(version)))
                .unwrap_or_default();
            Finding::ok(name, format!("answers from here{version}"))
        }
        Asked::Not => Finding::new(
            Mark::Skip,
            name,
            "was not asked from here, for want of its Secrets",
            inside,
        ),
        Asked::Fails(error)
            if unreached(source, error).is_some_and(is_inside) || unreached_by_us_alone(source, error) =>
        {
            let why = if unreached(source, error).is_some_and(is_inside) {
                "its address is one within the cluster"
            } else {
                "only the controller reaches it"
            };
            Finding::new(
                Mark::Skip,
                name,
                format!("can't be asked from here, {why}: {}", first(error)),
                inside,
            )
        }
        Asked::Fails(error) => Finding::message(Mark::Fail, name, &format!("asked from here: {error}")),
    }
}

/// The URL of which no answer came, the source's or its token endpoint's, where that is what is wrong.
fn unreached<'a>(source: &'a MetricSource, error: &SourceError) -> Option<&'a str> {
    match error {
        SourceError::Connect { .. } | SourceError::TimedOut(_) => Some(&source.spec.url),
        SourceError::Token(TokenError::Connect { .. } | TokenError::TimedOut { .. }) => token_url(source),
        _ => None,
    }
}

fn unreached_by_us_alone(source: &MetricSource, error: &SourceError) -> bool {
    unreached(source, error).is_some() && controller_reaches(source)
}

/// The error without its way out, which is another one here.
fn first(error: &SourceError) -> String {
    let text = error.to_string();
    text.split_once("; ")
        .map_or_else(|| text.clone(), |(first, _)| first.to_owned())
}

/// Whether a URL's host is a name that only the cluster's own name server knows: a Service with or
/// without its namespace, or with the cluster's suffix.
pub fn is_inside(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.starts_with('[') {
        return false;
    }
    let host = host
        .rsplit_once(':')
        .map_or(host, |(host, _)| host)
        .trim_end_matches('.');
    let labels: Vec<&str> = host.split('.').collect();
    let known = ["svc", "local"].contains(&labels.last().copied().unwrap_or_default()) || labels.contains(&"svc");
    host != "localhost" && host.parse::<std::net::Ipv4Addr>().is_err() && (known || labels.len() <= 2)
}

/// Looks at all sources, a few at a time.
pub async fn examine(connection: &Connection, namespace: &str) -> Found {
    let title = "Sources".to_owned();
    let kind = fetch::resource::<MetricSource>();
    let objects = match fetch::list(&connection.clients.read, Scope::Cluster, &kind, ListParams::default()).await {
        Ok(objects) => objects,
        Err(error) => {
            let findings = vec![Finding::unread("MetricSources", &error)];
            return Found {
                section: Section { title, findings },
                sources: Err(error),
                answering: BTreeMap::new(),
            };
        }
    };
    let (sources, unreadable): (Vec<MetricSource>, _) = fetch::parse(&objects);
    let mut findings: Vec<Finding> = unreadable
        .iter()
        .map(|title| Finding::message(Mark::Fail, title, &ReadError::Unreadable(title.clone()).to_string()))
        .collect();
    if sources.is_empty() && findings.is_empty() {
        let way_out = "create one with the URL of your Prometheus: kubectl explain metricsource.spec";
        findings.push(Finding::new(
            Mark::Warn,
            "MetricSources",
            "there is none, so no policy can ask anything",
            way_out,
        ));
    }
    let asked = futures::future::join_all(sources.iter().map(|source| ask(connection, namespace, source))).await;
    let mut answering = BTreeMap::new();
    for (source, (keys, asked, built)) in sources.iter().zip(asked) {
        findings.extend(judge(source, &keys, namespace, &asked));
        if let (Asked::Answers(_), Some(built)) = (&asked, built) {
            answering.insert(source.name_any(), built);
        }
    }
    let sources = sources.into_iter().map(|source| (source.name_any(), source)).collect();
    Found {
        section: Section { title, findings },
        sources: Ok(sources),
        answering,
    }
}

async fn ask(connection: &Connection, namespace: &str, source: &MetricSource) -> (Keys, Asked, Option<Arc<Source>>) {
    let keys = keys(connection, namespace, source).await;
    let known: Secrets = keys
        .iter()
        .filter_map(|(key, content)| Some((key.clone(), content.as_ref().ok()?.clone()?)))
        .collect();
    if known.len() < keys.len() {
        return (keys, Asked::Not, None);
    }
    let built = match Source::new(source.name_any(), &source.spec, &known) {
        Ok(built) => Arc::new(built),
        Err(error) => return (keys, Asked::Fails(error), None),
    };
    match built.ready(connection.now()).await {
        Ok(()) => {
            let version = built.version().await;
            (keys, Asked::Answers(version), Some(built))
        }
        Err(error) => (keys, Asked::Fails(error), None),
    }
}

/// Reads each Secret once.
async fn keys(connection: &Connection, namespace: &str, source: &MetricSource) -> Keys {
    let needed = credentials::needed(&source.spec);
    let names: BTreeSet<String> = needed.iter().map(|key| key.name.clone()).collect();
    let mut secrets = BTreeMap::new();
    for name in names {
        let kind = fetch::resource::<Secret>();
        let object = fetch::get(&connection.clients.read, Scope::Namespace(namespace), &kind, &name).await;
        let secret = object.map(|object| object.and_then(|object| object.try_parse::<Secret>().ok()));
        secrets.insert(name, secret);
    }
    let content = |key: &SecretKey| match secrets.get(&key.name) {
        Some(Ok(secret)) => {
            let data = secret.as_ref().and_then(|secret| secret.data.as_ref());
            Ok(data
                .and_then(|data| data.get(&key.key))
                .map(|content| content.0.clone()))
        }
        Some(Err(error)) => Err(again(error)),
        None => Ok(None),
    };
    needed.iter().map(|key| (key.clone(), content(key))).collect()
}

/// One error for several keys of the same Secret.
fn again(error: &ReadError) -> ReadError {
    match error {
        ReadError::Forbidden {
            what,
            verb,
            resource,
            flags,
        } => ReadError::Forbidden {
            what: what.clone(),
            verb,
            resource: resource.clone(),
            flags: flags.clone(),
        },
        error => ReadError::Failed {
            what: "get secrets".to_owned(),
            reason: error.to_string(),
        },
    }
}
