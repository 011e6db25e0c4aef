//! YAML as a tree in which every key and value knows its place.
//!
//! Duplicate keys, merge keys, tags and binary keys are refused: the API server's reader keeps one of
//! two equal keys, and what was reviewed would not be what runs.

use crate::promql::{Position, shorten};
use granit_parser::{Event, Options, Parser, ScalarStyle, Span};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// The most nodes of one file, aliases counted as often as they are used.
const MAX_NODES: usize = 100_000;
/// How deep lists and maps may nest.
const MAX_DEPTH: usize = 64;

/// A value and its place in the file, in bytes.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands.
    pub range: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A single value.
    Scalar {
        /// Its text, quotes and escapes resolved.
        text: String,
        /// Whether it was written without quotes, so that `5` is a number.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A map, in the order written.
    Map(Vec<Entry>),
}

/// One entry of a map.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub range: Range<usize>,
    /// The value.
    pub value: Node,
}

/// What a text without quotes means.
#[derive(Clone, Debug, PartialEq)]
pub enum Plain {
    /// Nothing.
    Null,
    /// True or false, also in the spelling of YAML 1.1 that kubectl reads.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// A text.
    Text,
}

/// Why a file is not YAML that can be checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum YamlError {
    /// What the parser says.
    #[error("{0}; correct the YAML")]
    Syntax(String),
    /// A key that stands twice in one map.
    #[error("the key {0} stands twice, first in line {1}; remove one")]
    Duplicate(String, usize),
    /// Something of YAML that is not read here.
    #[error("{0} can't be used here; write it out")]
    Unsupported(&'static str),
    /// Too many nodes, or nested too deep.
    #[error("the YAML is too large or nested too deep; split the file")]
    TooLarge,
}

/// The documents of `text` up to the first error.
pub fn documents(text: &str) -> (Vec<Node>, Option<(YamlError, usize)>) {
    let mut options = Options::default();
    options.emit_comments = false;
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let mut reader = Reader {
        text,
        parser: Parser::new_from_str_with_options(text, options),
        anchors: BTreeMap::new(),
        nodes: 0,
    };
    let mut documents = Vec::new();
    loop {
        match reader.event() {
            Ok((Event::DocumentStart(..), _)) => match reader.next(0) {
                Ok(node) => documents.push(node),
                Err(error) => return (documents, Some(error)),
            },
            Ok((Event::StreamEnd, _)) => return (documents, None),
            Ok(_) => {}
            Err(error) => return (documents, Some(error)),
        }
    }
}

type Failure = (YamlError, usize);

struct Reader<'a> {
    text: &'a str,
    parser: granit_parser::Parser<'a, granit_parser::StrInput<'a>>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn event(&mut self) -> Result<(Event<'a>, Range<usize>), Failure> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, self.range(&span))),
            Some(Err(error)) => {
                let at = error.marker().byte_offset().unwrap_or(self.text.len());
                Err((YamlError::Syntax(error.info().chars().take(200).collect()), at))
            }
            None => Ok((Event::StreamEnd, self.text.len()..self.text.len())),
        }
    }

    fn range(&self, span: &Span) -> Range<usize> {
        span.byte_range().unwrap_or(self.text.len()..self.text.len())
    }

    fn next(&mut self, depth: usize) -> Result<Node, Failure> {
        let (event, range) = self.event()?;
        self.node(event, range, depth)
    }

    fn node(&mut self, event: Event<'a>, range: Range<usize>, depth: usize) -> Result<Node, Failure> {
        let at = range.start;
        self.nodes += 1;
        if self.nodes > MAX_NODES || depth > MAX_DEPTH {
            return Err((YamlError::TooLarge, at));
        }
        if event.tag().is_some() {
            return Err((YamlError::Unsupported("a tag such as !!str"), at));
        }
        let anchor = event.anchor_id();
        let kind = match event {
            Event::Scalar(text, style, ..) => Kind::Scalar {
                text: text.into_owned(),
                plain: style == ScalarStyle::Plain,
            },
            Event::SequenceStart(..) => Kind::List(self.list(depth)?),
            Event::MappingStart(..) => Kind::Map(self.map(depth)?),
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let node = node.ok_or((YamlError::Unsupported("an alias within its own anchor"), at))?;
                let (size, levels) = extent(&node);
                self.nodes += size;
                if depth + levels > MAX_DEPTH {
                    return Err((YamlError::TooLarge, at));
                }
                // Places within an alias are those of its anchor.
                return Ok(Node { range, ..node });
            }
            _ => return Err((YamlError::Unsupported("this part of YAML"), at)),
        };
        let node = Node { range, kind };
        if let Some(anchor) = anchor.filter(|anchor| *anchor != 0) {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Failure> {
        let mut items = Vec::new();
        loop {
            match self.event()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, range) => items.push(self.node(event, range, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<Entry>, Failure> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut keys = BTreeSet::new();
        loop {
            let (event, range) = self.event()?;
            if event == Event::MappingEnd {
                return Ok(entries);
            }
            let at = range.start;
            let key = match event {
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err((YamlError::Unsupported("a key that is not a text"), at)),
            };
            if key == "<<" {
                return Err((YamlError::Unsupported("the merge key <<"), at));
            }
            if !keys.insert(key.clone()) {
                let first = entries
                    .iter()
                    .find(|entry| entry.key == key)
                    .map_or(at, |entry| entry.range.start);
                return Err((
                    YamlError::Duplicate(shorten(&key), Position::of(self.text, first).line),
                    at,
                ));
            }
            let value = self.next(depth + 1)?;
            entries.push(Entry { key, range, value });
        }
    }
}

/// How many nodes, and how deep. The depth of every node is bounded, so this recursion is.
fn extent(node: &Node) -> (usize, usize) {
    let below: Vec<(usize, usize)> = match &node.kind {
        Kind::Scalar { .. } => Vec::new(),
        Kind::List(items) => items.iter().map(extent).collect(),
        Kind::Map(entries) => entries.iter().map(|entry| extent(&entry.value)).collect(),
    };
    let (sizes, depths): (Vec<usize>, Vec<usize>) = below.into_iter().unzip();
    (
        1 + sizes.iter().sum::<usize>(),
        1 + depths.into_iter().max().unwrap_or(0),
    )
}

impl Node {
    /// The value of `key` in a map.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    /// The text of a single value.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// What a single value means; a text where it is quoted.
    pub fn plain(&self) -> Option<Plain> {
        match &self.kind {
            Kind::Scalar { text, plain: true } => Some(meaning(text)),
            Kind::Scalar { .. } => Some(Plain::Text),
            _ => None,
        }
    }
}

/// What a text without quotes means to kubectl.
pub fn meaning(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => return Plain::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => {
            return Plain::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Plain::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Plain::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Plain::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let radix = |prefix: &str, radix| {
        digits
            .strip_prefix(prefix)
            .and_then(|rest| i64::from_str_radix(rest, radix).ok())
    };
    let integer = radix("0x", 16)
        .or_else(|| radix("0o", 8))
        .or_else(|| radix("0b", 2))
        .or_else(|| {
            let octal = digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
            // kubectl reads a leading zero as octal.
            if octal {
                i64::from_str_radix(digits, 8).ok()
            } else {
                digits.parse().ok().filter(|_| !digits.starts_with(['+', '-']))
            }
        });
    if let Some(integer) = integer {
        return Plain::Integer(if text.starts_with('-') { -integer } else { integer });
    }
    let number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    match text.parse::<f64>() {
        Ok(value) if number => Plain::Float(value),
        _ => Plain::Text,
    }
}
