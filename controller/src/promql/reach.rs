//! The stretches of time that an expression looks back over.

use super::{Parsed, PromqlError, age, offset, quote, span};
use flyball_core::time::Span;
use promql_parser::{
    label::{MatchOp, Matcher},
    parser::{Expr, VectorSelector},
};
use std::collections::BTreeMap;

/// A stretch of the past of which an expression needs the samples of a selector.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reach {
    /// The selector, without range and offset.
    pub selector: String,
    /// The one metric that it selects.
    pub metric: String,
    /// How long the stretch is: the range, and those of the subqueries around it. Never zero.
    pub range: Span,
    /// How long ago it ends: the offset, and those of the subqueries around it.
    pub offset: Span,
}

impl Reach {
    /// The query for the series that has the most samples in the stretch, with their number.
    pub fn fullest(&self) -> String {
        format!(
            "topk(1, count_over_time({}[{}]{}))",
            self.selector,
            self.range,
            self.offset()
        )
    }

    /// The query for the usual distance of the samples of one series, in seconds; empty where there are
    /// fewer than three distances to judge by. `labels` are those of [`fullest`](Self::fullest)'s answer.
    ///
    /// In steps of a second the newest sample is compared with the one before: a difference is the
    /// distance of two samples. The lower quartile is taken: holes are long distances, and a sample now
    /// and then that comes too soon is a short one. It is looked for over more than the stretch where
    /// that is short, and not over all of it where it is long.
    pub fn distance(&self, labels: &BTreeMap<String, String>) -> String {
        let named = ("__name__", self.metric.as_str());
        let labels = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let matchers: Vec<String> = std::iter::once(named)
            .chain(labels.filter(|(name, _)| *name != "__name__"))
            .map(|(name, value)| format!("{}={}", age::label(name), quote(value)))
            .collect();
        let series = format!("{{{}}}", matchers.join(","));
        let over = self.range.max(Span::from_secs(600)).min(Span::from_secs(3600));
        let distances = format!(
            "((timestamp({series}) - timestamp({series} offset 1s)) > 0)[{over}:1s]{}",
            self.offset()
        );
        format!("quantile_over_time(0.25, {distances}) and count_over_time({distances}) >= 3")
    }

    fn offset(&self) -> String {
        if self.offset.is_zero() {
            String::new()
        } else {
            format!(" offset {}", self.offset)
        }
    }
}

/// The stretches that an expression looks back over: for each selector and offset the longest. Those of a
/// selector whose absence is the answer are left out.
pub fn reaches(text: &str) -> Result<Vec<Reach>, PromqlError> {
    let parsed = Parsed::new(text)?;
    let mut found = BTreeMap::new();
    visit(&parsed.expr, Around::default(), &mut found)?;
    let reach = |((selector, offset), (metric, range))| Reach {
        selector,
        metric,
        range,
        offset,
    };
    Ok(found.into_iter().map(reach).collect())
}

/// By selector and offset: the metric and the range.
type Found = BTreeMap<(String, Span), (String, Span)>;

/// The subqueries around a part of an expression.
#[derive(Clone, Copy, Default)]
struct Around {
    range: Span,
    offset: Span,
}

impl Around {
    /// What lies around a part with this range and offset. `@` binds a part to the time of the query,
    /// whatever lies around it.
    fn with(self, range: Span, offset: Span, bound: bool) -> Self {
        let around = if bound { Self::default() } else { self };
        Self {
            range: around.range + range,
            offset: around.offset + offset,
        }
    }
}

fn visit(expr: &Expr, around: Around, found: &mut Found) -> Result<(), PromqlError> {
    match expr {
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Ok(()),
        Expr::Paren(paren) => visit(&paren.expr, around, found),
        Expr::Unary(unary) => visit(&unary.expr, around, found),
        Expr::Binary(binary) => {
            visit(&binary.lhs, around, found)?;
            visit(&binary.rhs, around, found)
        }
        Expr::Aggregate(aggregate) => {
            if let Some(parameter) = &aggregate.param {
                visit(parameter, around, found)?;
            }
            visit(&aggregate.expr, around, found)
        }
        Expr::Call(call) if call.func.name.starts_with("absent") => Ok(()),
        Expr::Call(call) => call
            .args
            .args
            .iter()
            .try_for_each(|argument| visit(argument, around, found)),
        Expr::Subquery(subquery) => {
            let back = offset(subquery.offset.as_ref(), subquery.at.as_ref())?;
            let inside = around.with(span(subquery.range), back, subquery.at.is_some());
            visit(&subquery.expr, inside, found)
        }
        Expr::VectorSelector(selector) => add(selector, Span::ZERO, around, found),
        Expr::MatrixSelector(matrix) => add(&matrix.vs, span(matrix.range), around, found),
    }
}

fn add(selector: &VectorSelector, range: Span, around: Around, found: &mut Found) -> Result<(), PromqlError> {
    let back = offset(selector.offset.as_ref(), selector.at.as_ref())?;
    let reach = around.with(range, back, selector.at.is_some());
    let Some(metric) = metric(selector).filter(|_| !reach.range.is_zero()) else {
        return Ok(());
    };
    let known = found
        .entry((age::print(selector), reach.offset))
        .or_insert((metric, Span::ZERO));
    known.1 = known.1.max(reach.range);
    Ok(())
}

/// The one metric of a selector; one of several was refused before.
fn metric(selector: &VectorSelector) -> Option<String> {
    let name = |matchers: &[Matcher]| {
        let mut names = matchers
            .iter()
            .filter(|matcher| matcher.name == "__name__" && matches!(matcher.op, MatchOp::Equal));
        names.next().map(|matcher| matcher.value.clone())
    };
    let matchers = &selector.matchers;
    selector
        .name
        .clone()
        .or_else(|| name(&matchers.matchers))
        .or_else(|| name(matchers.or_matchers.first()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each stretch as `selector[range] offset`.
    fn check(text: &str, expect: &[&str]) {
        let seen: Vec<String> = reaches(text)
            .expect(text)
            .iter()
            .map(|reach| format!("{}[{}]{}", reach.selector, reach.range, reach.offset()))
            .collect();
        assert_eq!(seen, expect, "{text}");
    }

    #[test]
    fn every_range_is_found_with_its_offset() {
        check("up", &[]);
        check("vector(1)", &[]);
        check("up offset 5m", &[]);
        check("rate(x[5m])", &["x[5m]"]);
        check(r#"sum by (pod) (rate(x{job="web"}[5m]))"#, &[r#"x{job="web"}[5m]"#]);
        check("rate(x[5m]) / rate(y[10m])", &["x[5m]", "y[10m]"]);
        check("rate(x[5m]) / rate(x[10m])", &["x[10m]"]);
        check("rate(x[5m]) - rate(x[5m] offset 1w)", &["x[5m]", "x[5m] offset 7d"]);
        check("-(rate(x[90s]))", &["x[1m30s]"]);
        check("topk(scalar(max_over_time(k[1h])), x)", &["k[1h]"]);
        check("quantile_over_time(0.9, x[30m])", &["x[30m]"]);
        check(
            r#"rate({__name__="x", job="web"}[5m])"#,
            &[r#"{__name__="x",job="web"}[5m]"#],
        );
    }

    #[test]
    fn ranges_and_offsets_of_subqueries_add_up() {
        check("max_over_time(x[1h:1m])", &["x[1h]"]);
        check("max_over_time(rate(x[5m])[1h:1m])", &["x[1h5m]"]);
        check(
            "max_over_time(rate(x[5m] offset 2m)[1h:1m] offset 10m)",
            &["x[1h5m] offset 12m"],
        );
        check(
            "max_over_time(avg_over_time(rate(x[5m])[10m:1m])[1h:1m])",
            &["x[1h15m]"],
        );
        check("rate(x[5m]) + max_over_time(rate(x[5m])[1h:1m])", &["x[1h5m]"]);
    }

    #[test]
    fn what_is_bound_to_the_time_of_the_query_looks_no_further_back() {
        check("rate(x[5m] @ end())", &["x[5m]"]);
        check(
            "max_over_time(rate(x[5m] @ end() offset 1m)[1h:1m])",
            &["x[5m] offset 1m"],
        );
        check("max_over_time((x @ start())[1h:1m])", &[]);
        check(
            "max_over_time(avg_over_time(rate(x[5m])[10m:1m] @ end())[1h:1m] offset 1d)",
            &["x[15m]"],
        );
    }

    #[test]
    fn absence_that_is_the_answer_is_no_hole() {
        check("absent_over_time(x[5m])", &[]);
        check("rate(y[5m]) unless absent(rate(x[5m]))", &["y[5m]"]);
    }

    #[test]
    fn the_questions_are_these() {
        let of = |text: &str| reaches(text).expect(text).remove(0);
        let plain = of(r#"rate(x{job="web"}[5m])"#);
        assert_eq!(plain.fullest(), r#"topk(1, count_over_time(x{job="web"}[5m]))"#);
        let labels = [("pod", r#"a"b"#), ("__name__", "x")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let series = r#"{__name__="x",pod="a\"b"}"#;
        let distances = format!("((timestamp({series}) - timestamp({series} offset 1s)) > 0)[10m:1s]");
        assert_eq!(
            plain.distance(&labels.into()),
            format!("quantile_over_time(0.25, {distances}) and count_over_time({distances}) >= 3")
        );
        let far = of("max_over_time(x[1d:1m] offset 1w)");
        assert_eq!(far.fullest(), "topk(1, count_over_time(x[1d] offset 7d))");
        let asked = far.distance(&BTreeMap::new());
        assert_eq!(asked.matches("[1h:1s] offset 7d").count(), 2, "{asked}");
        for question in [plain.fullest(), far.fullest(), asked] {
            assert!(super::super::query(&question).is_ok(), "{question}");
        }
    }
}
