//! One page of Markdown.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use std::{fs, path::Path};

/// A page, in parts.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// From the root of the repository, such as `docs/weights.md`.
    pub path: String,
    /// The anchors of its headings.
    pub anchors: Vec<String>,
    /// What it links to, images included.
    pub links: Vec<Link>,
    /// Its fenced blocks.
    pub blocks: Vec<Block>,
    /// Its words of code within a line.
    pub spans: Vec<Span>,
    /// What is taken for HTML.
    pub html: Vec<Span>,
}

/// A link as it is written.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its line, from 1.
    pub line: usize,
    /// Where it leads.
    pub target: String,
}

/// A fenced block.
#[derive(Clone, Debug)]
pub struct Block {
    /// The line of its fence, from 1.
    pub line: usize,
    /// What stands behind the fence, such as `yaml`.
    pub language: String,
    /// What is in it.
    pub text: String,
}

/// A few words within a line.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its line, from 1.
    pub line: usize,
    /// The words.
    pub text: String,
}

impl Page {
    /// Reads the page at this path from the root.
    pub fn read(root: &Path, path: &str) -> Self {
        let text = fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self::parse(path, &text)
    }

    /// The parts of a text.
    pub fn parse(path: &str, text: &str) -> Self {
        let mut page = Self {
            path: path.to_owned(),
            ..Self::default()
        };
        let mut heading: Option<String> = None;
        let mut block: Option<Block> = None;
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            let line = 1 + text[..range.start].matches('\n').count();
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => page.anchors.extend(heading.take().map(|text| anchor(&text))),
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => page.links.push(Link {
                    line,
                    target: dest_url.into_string(),
                }),
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                    block = Some(Block {
                        line,
                        language: language.into_string(),
                        text: String::new(),
                    });
                }
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
                Event::Html(words) | Event::InlineHtml(words) => page.html.push(Span {
                    line,
                    text: words.into_string(),
                }),
                Event::Text(words) => {
                    if let Some(block) = &mut block {
                        block.text.push_str(&words);
                    } else if let Some(heading) = &mut heading {
                        heading.push_str(&words);
                    }
                }
                Event::Code(words) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&words);
                    }
                    page.spans.push(Span {
                        line,
                        text: words.into_string(),
                    });
                }
                _ => {}
            }
        }
        page
    }
}

/// The anchor of a heading, as the book and forges make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|c| match c {
        c if c.is_alphanumeric() || c == '_' || c == '-' => Some(c.to_ascii_lowercase()),
        c if c.is_whitespace() => Some('-'),
        _ => None,
    });
    kept.collect()
}

/// Whether a path ends like this, such as `md`.
pub fn is_a(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|it| it == extension)
}

/// Where a relative link of the page at `from` leads, as a path from the root.
pub fn joined(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                assert!(parts.pop().is_some(), "{from}: {target} leads out of the repository");
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_falls_into_parts() {
        let text =
            "# What `it` is, now\n\n[a](b.md#c) ![d](e.svg)\n\n```yaml\nx: 1\n```\n\n| |\n|---|\n| `flyball get` |\n";
        let page = Page::parse("docs/x.md", text);
        assert_eq!(page.anchors, ["what-it-is-now"]);
        let links: Vec<(usize, &str)> = page.links.iter().map(|it| (it.line, it.target.as_str())).collect();
        assert_eq!(links, [(3, "b.md#c"), (3, "e.svg")]);
        let block = &page.blocks[0];
        assert_eq!(
            (block.line, block.language.as_str(), block.text.as_str()),
            (5, "yaml", "x: 1\n")
        );
        assert!(page.spans.iter().any(|it| it.text == "flyball get" && it.line == 11));
    }

    #[test]
    fn a_link_is_joined_to_its_page() {
        for (from, target, expect) in [
            ("README.md", "docs/a.md", "docs/a.md"),
            ("docs/a.md", "b.md", "docs/b.md"),
            ("docs/reference/a.md", "../b.md", "docs/b.md"),
            ("docs/a.md", "../agents/go/README.md", "agents/go/README.md"),
        ] {
            assert_eq!(joined(from, target), expect);
        }
    }
}
