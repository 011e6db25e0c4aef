//! Where in an expression a mistake is: the parser gives texts without positions.

use super::{
    Position, PromqlError,
    scan::{Kind, Token},
    shorten,
};
use promql_parser::parser::{lexer, parse};

/// The parser's message for everything that its grammar does not allow.
const SYNTAX: &str = "invalid promql query";

/// Turns the parser's message into an error with a position.
pub(super) fn explain(message: &str, text: &str, parsable: &str, tokens: &[Token]) -> PromqlError {
    let word = |t: &Token| text.get(t.start..t.end).unwrap_or_default();
    if message != SYNTAX {
        // Such as: unknown function with name 'x', or: expected type ... in call to function 'rate'.
        let names: Vec<&str> = message.split('\'').skip(1).step_by(2).collect();
        let candidates: Vec<usize> = (0..tokens.len())
            .filter(|n| tokens[*n].kind != Kind::Text && names.contains(&word(&tokens[*n])))
            .collect();
        let place = culprit(message, text, tokens, &candidates).and_then(|n| tokens.get(n));
        return PromqlError::Syntax(hint(message), place.map(|t| Position::of(text, t.start)));
    }
    // With raw strings rewritten the offsets differ; their number does not.
    if text.len() != parsable.len() {
        return PromqlError::Syntax(
            "the expression is not PromQL; compare it with the query in Prometheus".into(),
            None,
        );
    }
    // Every beginning of a correct expression can be completed, so the first token after which
    // that fails is the culprit.
    let good = |n: usize| n == 0 || completable(&parsable[..tokens[n - 1].end], &tokens[..n], parsable);
    let (mut low, mut high) = (0, tokens.len() + 1);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if good(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    match (tokens.get(low), low.checked_sub(1).and_then(|n| tokens.get(n))) {
        (Some(bad), _) => PromqlError::Unexpected(shorten(word(bad)), Position::of(text, bad.start)),
        (None, last) => PromqlError::Incomplete(shorten(last.map_or("", word))),
    }
}

/// Of several tokens with the name, the innermost call that fails in the same way by itself.
fn culprit(message: &str, text: &str, tokens: &[Token], named: &[usize]) -> Option<usize> {
    let mut found: Option<(usize, usize)> = None;
    for n in named {
        let call = &tokens[*n..];
        let close = call
            .iter()
            .skip(2)
            .position(|t| t.kind == Kind::Close && t.depth == call[0].depth);
        let end = close.map_or(0, |close| call[close + 2].end);
        let fails = |call: &str| parse(call).err().as_deref() == Some(message);
        let outside = found.is_some_and(|(_, before)| call[0].start >= before);
        if !outside && text.get(call[0].start..end).is_some_and(fails) {
            found = Some((*n, end));
        }
    }
    found.map(|(n, _)| n).or_else(|| named.first().copied())
}

/// Whether some ending makes an expression of `prefix`.
fn completable(prefix: &str, tokens: &[Token], text: &str) -> bool {
    let mut open = Vec::new();
    for token in tokens {
        match (token.kind, text.get(token.start..token.end)) {
            (Kind::Open, Some(bracket)) => open.push(bracket),
            (Kind::Close, _) => drop(open.pop()),
            _ => {}
        }
    }
    let closing: String = open
        .iter()
        .rev()
        .map(|bracket| match *bracket {
            "(" => ')',
            "[" => ']',
            _ => '}',
        })
        .collect();
    let within = [
        "", " x", " 1", " 5m", " (a)", " (x)", " \"\"", " =\"\"", " (a) x", " (a) (x)",
    ];
    let after = ["", " x", " (x)"];
    within.iter().any(|within| {
        after.iter().any(|after| {
            let whole = format!("{prefix}{within}{closing}{after}");
            lexer(&whole).is_ok() && parse(&whole).err().as_deref() != Some(SYNTAX)
        })
    })
}

/// The parser's message, with the way out where it is not in it.
fn hint(message: &str) -> String {
    let way_out = if message.contains("scalars must use BOOL") {
        "compare the vector itself, without scalar(...)"
    } else if message.contains("got vector") && message.contains("matrix") {
        "give it a range, for example [5m]"
    } else if message.contains("unknown function") {
        "correct the name"
    } else if message.contains("non-empty matcher") {
        "name the metric, or a label such as {job=\"...\"}"
    } else {
        return message.to_owned();
    };
    format!("{message}; {way_out}")
}
