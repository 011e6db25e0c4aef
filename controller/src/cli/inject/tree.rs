//! A manifest as a tree that can be changed and printed again. What was written without quotes is printed without,
//! so `defaultMode: 0644` and `yes` stay what kubectl reads of them.

use crate::cli::check::yaml::{Entry, Kind, Node, Plain, meaning};
use std::fmt::Write as _;

/// A text, quoted where it must be.
pub fn text(text: impl Into<String>) -> Node {
    node(Kind::Scalar {
        text: text.into(),
        plain: false,
    })
}

/// A value that is no text, such as a number.
pub fn bare(value: &impl ToString) -> Node {
    node(Kind::Scalar {
        text: value.to_string(),
        plain: true,
    })
}

/// A list.
pub fn list(items: impl IntoIterator<Item = Node>) -> Node {
    node(Kind::List(items.into_iter().collect()))
}

/// A map.
pub fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Node)>) -> Node {
    let entry = |(key, value): (&str, Node)| Entry {
        key: key.to_owned(),
        range: 0..0,
        value,
    };
    node(Kind::Map(entries.into_iter().map(entry).collect()))
}

/// What is made here stands nowhere in a file.
fn node(kind: Kind) -> Node {
    Node { range: 0..0, kind }
}

/// The text at the end of a path.
pub fn text_at<'a>(node: &'a Node, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(node, |node, key| node.get(key))?.text()
}

/// The node at the end of a path, to be changed.
pub fn at_mut<'a>(node: &'a mut Node, path: &[&str]) -> Option<&'a mut Node> {
    path.iter().try_fold(node, |node, key| match &mut node.kind {
        Kind::Map(entries) => entries
            .iter_mut()
            .find(|entry| entry.key == *key)
            .map(|entry| &mut entry.value),
        _ => None,
    })
}

/// The items under a key, which is made where it is missing. `None`: it holds something else.
pub fn items_of<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Vec<Node>> {
    let Kind::Map(entries) = &mut node.kind else {
        return None;
    };
    if !entries.iter().any(|entry| entry.key == key) {
        entries.push(Entry {
            key: key.to_owned(),
            range: 0..0,
            value: list([]),
        });
    }
    let value = entries
        .iter_mut()
        .find(|entry| entry.key == key)
        .map(|e| &mut e.value)?;
    if value.plain() == Some(Plain::Null) {
        *value = list([]);
    }
    match &mut value.kind {
        Kind::List(items) => Some(items),
        _ => None,
    }
}

/// Whether `whole` says all that `part` says; an API server adds defaults of its own.
pub fn covers(whole: &Node, part: &Node) -> bool {
    match (&whole.kind, &part.kind) {
        (Kind::Scalar { text: a, .. }, Kind::Scalar { text: b, .. }) => a == b && whole.plain() == part.plain(),
        (Kind::List(a), Kind::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| covers(a, b)),
        (Kind::Map(_), Kind::Map(entries)) => entries
            .iter()
            .all(|entry| whole.get(&entry.key).is_some_and(|value| covers(value, &entry.value))),
        _ => false,
    }
}

/// A document, in block style.
pub fn print(node: &Node) -> String {
    let mut out = String::new();
    match &node.kind {
        Kind::Map(entries) if !entries.is_empty() => print_map(entries, 0, false, &mut out),
        Kind::List(items) if !items.is_empty() => print_list(items, 0, false, &mut out),
        _ => single(node, 0, &mut out),
    }
    out
}

/// `begun`: the first entry goes on in a line that is begun. The depth of what was read is bounded, so this recursion is.
fn print_map(entries: &[Entry], indent: usize, begun: bool, out: &mut String) {
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 || !begun {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        out.push_str(&scalar(&entry.key, false, None));
        out.push(':');
        match &entry.value.kind {
            Kind::Map(below) if !below.is_empty() => {
                out.push('\n');
                print_map(below, indent + 2, false, out);
            }
            Kind::List(items) if !items.is_empty() => {
                out.push('\n');
                print_list(items, indent, false, out);
            }
            _ => {
                out.push(' ');
                single(&entry.value, indent + 2, out);
            }
        }
    }
}

fn print_list(items: &[Node], indent: usize, begun: bool, out: &mut String) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 || !begun {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        out.push_str("- ");
        match &item.kind {
            Kind::Map(entries) if !entries.is_empty() => print_map(entries, indent + 2, true, out),
            Kind::List(below) if !below.is_empty() => print_list(below, indent + 2, true, out),
            _ => single(item, indent + 2, out),
        }
    }
}

fn single(node: &Node, indent: usize, out: &mut String) {
    match &node.kind {
        Kind::Map(_) => out.push_str("{}"),
        Kind::List(_) => out.push_str("[]"),
        Kind::Scalar { text, plain } => out.push_str(&scalar(text, *plain, Some(indent))),
    }
    out.push('\n');
}

/// A single value. `indent`: where the lines of a long text may begin; `None`: it stays on its line.
fn scalar(text: &str, plain: bool, indent: Option<usize>) -> String {
    if plain && !text.contains('\n') {
        return if meaning(text) == Plain::Null { "null" } else { text }.to_owned();
    }
    if is_safe(text) {
        return text.to_owned();
    }
    if let Some(indent) = indent.filter(|_| is_block(text)) {
        let (body, mark) = text.strip_suffix('\n').map_or((text, "|-"), |body| (body, "|"));
        let mut out = mark.to_owned();
        for line in body.split('\n') {
            out.push('\n');
            if !line.is_empty() {
                out.extend(std::iter::repeat_n(' ', indent));
                out.push_str(line);
            }
        }
        return out;
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_printable(c) => out.push(c),
            c => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}

/// Whether it reads as the same text without quotes, in every version of YAML.
fn is_safe(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let usual = |c: char| c.is_ascii_alphanumeric() || "_./-:@".contains(c);
    begins && text.chars().all(usual) && !text.ends_with(':') && meaning(text) == Plain::Text
}

/// Whether its lines can be written as they are.
fn is_block(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let blank = |line: Option<&str>| line.is_none_or(|line| line.trim().is_empty());
    text.contains('\n')
        && !text.starts_with([' ', '\t'])
        && !blank(body.split('\n').next())
        && !blank(body.rsplit('\n').next())
        && text.chars().all(|c| c == '\n' || is_printable(c))
}

fn is_printable(c: char) -> bool {
    c >= ' '
        && !matches!(
            c,
            '\u{7f}'..='\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::yaml::documents;

    /// A document and how it is printed.
    fn check(read: &str, printed: &str) {
        let (nodes, failure) = documents(read);
        assert_eq!(failure, None, "{read}");
        assert_eq!(print(&nodes[0]), printed, "{read}");
    }

    #[test]
    fn what_kubectl_would_read_is_printed() {
        check("defaultMode: 0644", "defaultMode: 0644\n");
        check("a: yes", "a: yes\n");
        // The quotes make these texts.
        check("a: 'yes'", "a: \"yes\"\n");
        check("a: '0644'", "a: \"0644\"\n");
        check("a: \"1_000\"", "a: \"1_000\"\n");
        check("a: '2026-01-01'", "a: \"2026-01-01\"\n");
        check("a: '/etc/flyball'", "a: /etc/flyball\n");
        check("a: ':9465'", "a: \":9465\"\n");
        check("a: 'b:'", "a: \"b:\"\n");
        check("a:", "a: null\n");
        check("a: ''", "a: \"\"\n");
        check("a: 1.5", "a: 1.5\n");
        check("80: b", "\"80\": b\n");
        check("a: \"\\x07\\u2028\\\"\"", "a: \"\\U00000007\\U00002028\\\"\"\n");
    }

    #[test]
    fn lists_and_maps_are_printed_in_block_style() {
        check(
            "{a: {b: [1, {c: d, e: []}], f: {}}}",
            "a:\n  b:\n  - 1\n  - c: d\n    e: []\n  f: {}\n",
        );
        check("a: [[1, 2], [3]]", "a:\n- - 1\n  - 2\n- - 3\n");
        check("[]", "[]\n");
    }

    #[test]
    fn long_texts_keep_their_lines() {
        check("a:\n  b: |\n    x\n\n      y\n", "a:\n  b: |\n    x\n\n      y\n");
        check("a:\n- |-\n  x\n  y\n", "a:\n- |-\n  x\n  y\n");
        // Two line ends at the end, and a first line that is indented, have no simple form.
        check("a: |+\n  x\n\n", "a: \"x\\n\\n\"\n");
        check("a: \" x\\ny\"", "a: \" x\\ny\"\n");
    }
}
