//! What a MetricSource says about how it is asked, read from its texts and numbers.

use super::{SourceError, addresses::Addresses};
use crate::promql::shorten;
use flyball_core::{rate::Rate, time::Span};
use flyball_crds::MetricSourceSpec;
use reqwest::Url;
use std::collections::BTreeMap;

/// How long a query may take where the source does not say.
pub const DEFAULT_TIMEOUT: Span = Span::from_secs(10);
/// The longest that a source may let a query take: a pass waits for it.
pub const MAX_TIMEOUT: Span = Span::from_secs(120);
/// The largest answer that is read where the source does not say, in mebibytes.
pub const DEFAULT_MEBIBYTES: i32 = 8;
/// How many queries may be under way at once where the source does not say.
pub const DEFAULT_CONCURRENCY: i32 = 16;
/// The least and the most that a source may allow.
pub const CONCURRENCY: (i32, i32) = (1, 256);
/// The most queries in a second that a namespace may be allowed.
pub const MOST_PER_SECOND: i32 = 1000;
/// The largest burst.
pub const MOST_BURST: i32 = 10_000;
/// The burst where the source does not say, in seconds of the rate: a pass asks all its queries at once.
const BURST_SECONDS: i32 = 10;
/// The shortest and the longest scrape interval.
pub const SCRAPE_INTERVAL: (Span, Span) = (Span::from_secs(1), Span::from_secs(3600));
/// The most parameters of a query or of a request for a token.
pub const MAX_PARAMETERS: usize = 16;
const MAX_PARAMETER: usize = 1024;

/// How a source is asked.
pub(super) struct Settings {
    /// Of instant queries, with the source's own parameters.
    pub url: Url,
    pub timeout: Span,
    pub mebibytes: i32,
    pub concurrency: usize,
    /// Of one namespace.
    pub most_of_one: usize,
    /// Of one namespace.
    pub rate: Option<Rate>,
    pub scrape_interval: Option<Span>,
}

impl Settings {
    pub fn read(spec: &MetricSourceSpec) -> Result<Self, SourceError> {
        parameters("spec.queryParams", &spec.query_params, &["query", "time"])?;
        let mut url = query_url(&spec.url)?;
        {
            let mut pairs = url.query_pairs_mut();
            pairs.extend_pairs(&spec.query_params);
            // Without it VictoriaMetrics evaluates 30 s earlier and dates the answer to the time it was asked
            // for, so that samples look younger than they are. Others know no such parameter.
            if !spec.query_params.contains_key("nocache") {
                pairs.append_pair("nocache", "1");
            }
        }
        Ok(Self {
            url,
            timeout: timeout(spec)?,
            mebibytes: spec.max_response_mebibytes.unwrap_or(DEFAULT_MEBIBYTES).clamp(1, 64),
            concurrency: concurrency(spec)?,
            most_of_one: most_of_one(spec)?,
            rate: rate(spec)?,
            scrape_interval: scrape_interval(spec)?,
        })
    }

    /// Everything that is wrong, not the first alone.
    pub fn check(spec: &MetricSourceSpec) -> Vec<SourceError> {
        let oauth2 = spec.auth.as_ref().and_then(|auth| auth.oauth2.as_ref());
        let token = oauth2.into_iter().flat_map(|oauth2| {
            [
                token_url(&oauth2.token_url).err(),
                parameters(
                    "spec.auth.oauth2.endpointParams",
                    &oauth2.endpoint_params,
                    &TOKEN_PARAMETERS,
                )
                .err(),
            ]
        });
        [
            query_url(&spec.url).err(),
            parameters("spec.queryParams", &spec.query_params, &["query", "time"]).err(),
            timeout(spec).err(),
            concurrency(spec).err(),
            most_of_one(spec).err(),
            rate(spec).err(),
            scrape_interval(spec).err(),
            spec.alertmanager
                .as_ref()
                .and_then(|alertmanager| super::silences::url(&alertmanager.url).err()),
        ]
        .into_iter()
        .chain(token)
        .flatten()
        .collect()
    }
}

/// What a request for a token says in fields of its own.
pub(super) const TOKEN_PARAMETERS: [&str; 5] = ["grant_type", "client_id", "client_secret", "scope", "audience"];

/// Refuses parameters that can't be sent or that `taken` names.
pub(super) fn parameters(
    field: &'static str,
    parameters: &BTreeMap<String, String>,
    taken: &[&str],
) -> Result<(), SourceError> {
    if parameters.len() > MAX_PARAMETERS {
        let count = parameters.len();
        return Err(SourceError::Parameters { field, count });
    }
    for (name, value) in parameters {
        let wrong = |reason| {
            Err(SourceError::Parameter {
                field,
                name: shorten(name),
                reason,
            })
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.[]".contains(c);
        if name.is_empty() || name.len() > 128 || !name.chars().all(plain) {
            return wrong("a name has 1 to 128 letters, digits and _ - . [ ]; rename it");
        }
        if taken.contains(&name.as_str()) {
            return wrong("the controller sets this parameter itself; remove it");
        }
        if value.len() > MAX_PARAMETER || value.contains(char::is_control) {
            return wrong("a value has at most 1024 bytes and no control characters; shorten it");
        }
    }
    Ok(())
}

fn timeout(spec: &MetricSourceSpec) -> Result<Span, SourceError> {
    let timeout = spec
        .timeout
        .as_ref()
        .map_or(Ok(DEFAULT_TIMEOUT), |timeout| timeout.0.parse())?;
    if timeout.is_zero() || timeout > MAX_TIMEOUT {
        return Err(SourceError::TimeoutRange(timeout));
    }
    Ok(timeout)
}

fn concurrency(spec: &MetricSourceSpec) -> Result<usize, SourceError> {
    let limit = spec.max_concurrent_queries.unwrap_or(DEFAULT_CONCURRENCY);
    if limit < CONCURRENCY.0 || limit > CONCURRENCY.1 {
        return Err(SourceError::Concurrency(limit));
    }
    usize::try_from(limit).map_err(|_| SourceError::Concurrency(limit))
}

/// How many queries of one namespace may be under way.
fn most_of_one(spec: &MetricSourceSpec) -> Result<usize, SourceError> {
    let all = spec.max_concurrent_queries.unwrap_or(DEFAULT_CONCURRENCY);
    // What is wrong with it is told of itself.
    let all = all.clamp(CONCURRENCY.0, CONCURRENCY.1);
    let most = spec.per_namespace.and_then(|each| each.max_concurrent_queries);
    within("maxConcurrentQueries", most.unwrap_or(all), all)
}

fn rate(spec: &MetricSourceSpec) -> Result<Option<Rate>, SourceError> {
    let Some(each) = spec.per_namespace else {
        return Ok(None);
    };
    let Some(written) = each.queries_per_second else {
        return match each.burst {
            Some(_) => Err(SourceError::BurstAlone),
            None if each.max_concurrent_queries.is_none() => Err(SourceError::NoLimit),
            None => Ok(None),
        };
    };
    let per_second = within("queriesPerSecond", written, MOST_PER_SECOND)?;
    let burst = each.burst.unwrap_or_else(|| written.saturating_mul(BURST_SECONDS));
    let burst = within("burst", burst, MOST_BURST)?;
    let rate = |per_second: usize, burst: usize| {
        Some(Rate {
            per_second: u32::try_from(per_second).ok()?,
            burst: u32::try_from(burst).ok()?,
        })
    };
    Ok(rate(per_second, burst))
}

/// A limit of each namespace, from 1 to `max`.
fn within(field: &'static str, value: i32, max: i32) -> Result<usize, SourceError> {
    let wrong = SourceError::PerNamespace { field, value, max };
    match usize::try_from(value) {
        Ok(limit) if (1..=max).contains(&value) => Ok(limit),
        _ => Err(wrong),
    }
}

fn scrape_interval(spec: &MetricSourceSpec) -> Result<Option<Span>, SourceError> {
    let Some(text) = &spec.scrape_interval else {
        return Ok(None);
    };
    let interval = text.0.parse().map_err(SourceError::ScrapeInterval)?;
    if interval < SCRAPE_INTERVAL.0 || interval > SCRAPE_INTERVAL.1 {
        return Err(SourceError::ScrapeIntervalRange(interval));
    }
    Ok(Some(interval))
}

fn query_url(text: &str) -> Result<Url, SourceError> {
    let mut url = checked(text).map_err(SourceError::Url)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(SourceError::Url("a base URL has neither a query nor a fragment"));
    }
    let path = format!("{}/api/v1/query", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

/// The address of a token endpoint, which may have a query (RFC 6749, section 3.2).
pub(super) fn token_url(text: &str) -> Result<Url, SourceError> {
    let url = checked(text).map_err(SourceError::TokenUrl)?;
    if url.fragment().is_some() {
        return Err(SourceError::TokenUrl("it has no fragment"));
    }
    Ok(url)
}

fn checked(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "this is not a URL")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the scheme must be http or https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user or password does not belong here but into spec.auth");
    }
    if Addresses::default().check_url(&url).is_err() {
        return Err(
            "this is a link-local, multicast or unspecified address, or a cloud's metadata, where no server of this kind is",
        );
    }
    Ok(url)
}
