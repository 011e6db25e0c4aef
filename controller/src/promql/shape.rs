use super::{age, span};
use flyball_core::time::Span;
use promql_parser::{
    label::{Labels, MatchOp},
    parser::{Expr, LabelModifier, VectorMatchCardinality, VectorSelector},
};
use std::collections::BTreeSet;

/// Which labels the answer to an expression can carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Any, as far as the expression tells.
    Any,
    /// These at most.
    Only(BTreeSet<String>),
    /// None of these.
    AllBut(BTreeSet<String>),
}

impl Kept {
    /// Whether the answer can carry the label `name`.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(kept) => kept.contains(name),
            Self::AllBut(dropped) => !dropped.contains(name),
        }
    }
}

/// What can be said about an expression beyond its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The labels of its answer.
    pub kept: Kept,
    /// Selectors of a metric without any matcher: they count every workload that exports it.
    pub unscoped: Vec<String>,
    /// The shortest range of a selector.
    pub shortest_range: Option<Span>,
    /// The labels that selectors hold to one value, in the order in which they are written.
    pub equal: Vec<(String, String)>,
}

impl Shape {
    pub(super) fn of(expr: &Expr) -> Self {
        let mut shape = Self {
            kept: kept(expr),
            unscoped: Vec::new(),
            shortest_range: None,
            equal: Vec::new(),
        };
        shape.visit(expr);
        shape
    }

    fn visit(&mut self, expr: &Expr) {
        match expr {
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
            Expr::Paren(paren) => self.visit(&paren.expr),
            Expr::Unary(unary) => self.visit(&unary.expr),
            Expr::Binary(binary) => {
                self.visit(&binary.lhs);
                self.visit(&binary.rhs);
            }
            Expr::Aggregate(aggregate) => self.visit(&aggregate.expr),
            Expr::Call(call) => call.args.args.iter().for_each(|argument| self.visit(argument)),
            Expr::Subquery(subquery) => self.visit(&subquery.expr),
            Expr::VectorSelector(selector) => self.selector(selector),
            Expr::MatrixSelector(matrix) => {
                self.selector(&matrix.vs);
                let range = span(matrix.range);
                self.shortest_range = Some(self.shortest_range.map_or(range, |shortest| shortest.min(range)));
            }
        }
    }

    fn selector(&mut self, selector: &VectorSelector) {
        let matchers = &selector.matchers;
        let mut all = matchers.matchers.iter().chain(matchers.or_matchers.iter().flatten());
        let equal = all
            .clone()
            .filter(|matcher| matcher.op == MatchOp::Equal && matcher.name != "__name__");
        self.equal
            .extend(equal.map(|matcher| (matcher.name.clone(), matcher.value.clone())));
        let text = age::print(selector);
        if all.all(|matcher| matcher.name == "__name__") && !self.unscoped.contains(&text) {
            self.unscoped.push(text);
        }
    }
}

fn set(labels: &Labels) -> BTreeSet<String> {
    labels.labels.iter().cloned().collect()
}

/// Unsure means [`Kept::Any`]: a missing warning is better than a wrong one.
fn kept(expr: &Expr) -> Kept {
    match expr {
        Expr::Paren(paren) => kept(&paren.expr),
        Expr::Unary(unary) => kept(&unary.expr),
        Expr::Subquery(subquery) => kept(&subquery.expr),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Kept::Only(BTreeSet::new()),
        Expr::Aggregate(aggregate) => {
            // These choose among the elements or add a label of their own.
            if ["topk", "bottomk", "limitk", "limit_ratio", "count_values"].contains(&aggregate.op.to_string().as_str())
            {
                return Kept::Any;
            }
            match &aggregate.modifier {
                None => Kept::Only(BTreeSet::new()),
                Some(LabelModifier::Include(by)) => Kept::Only(set(by)),
                Some(LabelModifier::Exclude(without)) => Kept::AllBut(set(without)),
            }
        }
        Expr::Call(call) => {
            let makes_labels = ["label_replace", "label_join", "absent", "absent_over_time", "info"];
            match call.func.name {
                "vector" | "time" | "scalar" => Kept::Only(BTreeSet::new()),
                name if makes_labels.contains(&name) => Kept::Any,
                _ => call
                    .args
                    .args
                    .iter()
                    .map(|a| kept(a))
                    .find(|k| *k != Kept::Only(BTreeSet::new()))
                    .unwrap_or_else(|| {
                        // Only numbers, or an aggregation of everything.
                        Kept::Only(BTreeSet::new())
                    }),
            }
        }
        Expr::Binary(binary) => {
            let (left, right) = (&binary.lhs, &binary.rhs);
            let scalar = |e: &Expr| {
                matches!(e, Expr::NumberLiteral(_))
                    || matches!(e, Expr::Call(c) if c.func.name == "scalar" || c.func.name == "time")
            };
            if scalar(left) {
                return kept(right);
            }
            if scalar(right) {
                return kept(left);
            }
            let modifier = binary.modifier.as_ref();
            match modifier.map(|m| (&m.card, &m.matching)) {
                Some((VectorMatchCardinality::OneToOne, Some(LabelModifier::Include(on)))) => Kept::Only(set(on)),
                None | Some((VectorMatchCardinality::OneToOne, None)) => match (kept(left), kept(right)) {
                    // Both sides must have equal labels to match.
                    (Kept::Only(one), _) | (_, Kept::Only(one)) => Kept::Only(one),
                    (Kept::AllBut(one), _) | (_, Kept::AllBut(one)) => Kept::AllBut(one),
                    _ => Kept::Any,
                },
                _ => Kept::Any,
            }
        }
        Expr::VectorSelector(_) | Expr::MatrixSelector(_) | Expr::Extension(_) => Kept::Any,
    }
}
