//! How a pod is relieved.

use crate::{
    promql::shorten,
    validate::{Errors, names::is_label, runtime::bytes},
};
use flyball_core::{
    bytes::Bytes,
    policy::{Evict, Relieve, Resize},
    time::Span,
};
use flyball_crds::{self as crds, Duration};

const DEFAULT_PERCENT: i32 = 25;
const RESIZE_EVERY: Span = Span::from_secs(300);
const RESIZE_WITHIN: Span = Span::from_secs(120);
const EVICT_EVERY: Span = Span::from_secs(600);
const EVICT_WITHIN: Span = Span::from_secs(300);
/// The least of the times of a resize, and of what is waited for.
const SHORT: Span = Span::from_secs(10);
/// The least time between two evictions.
const MIN_EVICT_EVERY: Span = Span::from_secs(60);

pub(super) fn read(path: &str, written: &crds::Relieve, errors: &mut Errors) -> Option<Relieve> {
    if written.resize.is_none() && written.evict.is_none() {
        errors.add(path, "takes resize, evict or both");
        return None;
    }
    let resize = written
        .resize
        .as_ref()
        .map(|resize| self::resize(&format!("{path}.resize"), resize, errors));
    let evict = written
        .evict
        .as_ref()
        .map(|evict| self::evict(&format!("{path}.evict"), evict, errors));
    // Both are read, so that each tells what is wrong.
    Some(Relieve {
        resize: resize.map_or(Some(None), |read| read.map(Some))?,
        evict: evict.map_or(Some(None), |read| read.map(Some))?,
    })
}

fn resize(path: &str, written: &crds::ResizeMemory, errors: &mut Errors) -> Option<Resize> {
    if let Some(container) = written.container.as_ref().filter(|name| !is_label(name)) {
        let message = format!(
            "{} is not the name of a container; write for example app",
            shorten(container)
        );
        errors.add(format!("{path}.container"), message);
    }
    let percent = written.percent.unwrap_or(DEFAULT_PERCENT);
    let percent = errors.within(format!("{path}.percent"), percent, 1, 100);
    let max = bytes(&format!("{path}.max"), &written.max, errors);
    let every = least(
        &format!("{path}.every"),
        written.every.as_ref(),
        (RESIZE_EVERY, SHORT),
        errors,
    );
    let within = least(
        &format!("{path}.within"),
        written.within.as_ref(),
        (RESIZE_WITHIN, SHORT),
        errors,
    );
    Some(Resize {
        container: written.container.clone(),
        percent: percent?,
        max: Bytes::saturating(max?),
        every: every?,
        within: within?,
    })
}

fn evict(path: &str, written: &crds::EvictPod, errors: &mut Errors) -> Option<Evict> {
    let every = least(
        &format!("{path}.every"),
        written.every.as_ref(),
        (EVICT_EVERY, MIN_EVICT_EVERY),
        errors,
    );
    let within = least(
        &format!("{path}.within"),
        written.within.as_ref(),
        (EVICT_WITHIN, SHORT),
        errors,
    );
    Some(Evict {
        every: every?,
        within: within?,
    })
}

/// A duration, its default where it is absent, and not below the least.
fn least(path: &str, written: Option<&Duration>, (default, least): (Span, Span), errors: &mut Errors) -> Option<Span> {
    let span = errors.span(path, written, default)?;
    if span < least {
        errors.add(
            path,
            format!("{span} is less than {least}; write for example {default}"),
        );
        return None;
    }
    Some(span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn found(written: Value) -> Result<Relieve, Vec<String>> {
        let written: crds::Relieve = serde_json::from_value(written).expect("a relieve");
        let mut errors = Errors::default();
        let read = read("relieve", &written, &mut errors);
        let all: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        match read {
            Some(read) if all.is_empty() => Ok(read),
            _ => Err(all),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let check = |written: Value, expect: Relieve| assert_eq!(found(written.clone()), Ok(expect), "{written}");
        let resize = Resize {
            container: None,
            percent: 25,
            max: Bytes::from_mib(2048),
            every: Span::from_secs(300),
            within: Span::from_secs(120),
        };
        let evict = Evict {
            every: Span::from_secs(600),
            within: Span::from_secs(300),
        };
        let of = |resize: Option<&Resize>, evict: Option<&Evict>| Relieve {
            resize: resize.cloned(),
            evict: evict.cloned(),
        };
        check(json!({"resize": {"max": "2Gi"}}), of(Some(&resize), None));
        check(json!({"evict": {}}), of(None, Some(&evict)));
        check(
            json!({"resize": {"max": "2Gi"}, "evict": {}}),
            of(Some(&resize), Some(&evict)),
        );
        let own = Resize {
            container: Some("app".to_owned()),
            percent: 50,
            max: Bytes::new(1_500_000_000).expect("an amount"),
            every: Span::from_secs(30),
            within: Span::from_secs(10),
        };
        check(
            json!({"resize": {"container": "app", "percent": 50, "max": "1500M", "every": "30s", "within": "10s"}}),
            of(Some(&own), None),
        );
        let own = Evict {
            every: Span::from_secs(60),
            within: Span::from_secs(60),
        };
        check(json!({"evict": {"every": "1m", "within": "1m"}}), of(None, Some(&own)));
    }

    #[test]
    fn what_is_wrong_is_named_with_the_way_out() {
        let check = |written: Value, expect: &[&str]| {
            let errors = found(written).expect_err("refused");
            assert_eq!(errors.len(), expect.len(), "{errors:?}");
            for (error, expect) in errors.iter().zip(expect) {
                assert!(error.starts_with(expect), "{errors:?}");
            }
        };
        check(json!({}), &["relieve: takes resize, evict or both"]);
        check(
            json!({"resize": {"max": "much"}}),
            &["relieve.resize.max: \"much\" is no amount of memory; write for example 900Mi"],
        );
        check(
            json!({"resize": {"max": "1Gi", "percent": 0}}),
            &["relieve.resize.percent: 0 is not between 1 and 100"],
        );
        check(
            json!({"resize": {"max": "1Gi", "percent": 101}}),
            &["relieve.resize.percent: 101 is not between"],
        );
        check(
            json!({"resize": {"max": "1Gi", "every": "9s"}}),
            &["relieve.resize.every: 9s is less than 10s; write for example 5m"],
        );
        check(
            json!({"resize": {"max": "1Gi", "within": "soon"}}),
            &["relieve.resize.within: \"soon\" is not a duration"],
        );
        check(
            json!({"resize": {"max": "1Gi", "container": "App"}}),
            &["relieve.resize.container: \"App\" is not the name of a container"],
        );
        check(
            json!({"resize": {"max": "0"}, "evict": {"every": "59s"}}),
            &["relieve.resize.max: ", "relieve.evict.every: 59s is less than 1m"],
        );
    }
}
