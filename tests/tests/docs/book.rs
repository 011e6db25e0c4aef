//! Its pages: which there are, and whether their links lead somewhere.

use flyball_tests::{
    bed::skipped,
    docs::{
        self, Page,
        page::{is_a, joined},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

#[test]
fn every_page_is_in_the_summary_once() {
    let chapters = docs::chapters();
    let named: BTreeSet<&String> = chapters.iter().collect();
    assert_eq!(named.len(), chapters.len(), "a page is named twice: {chapters:?}");
    let pages = docs::pages_under_docs();
    let left_out: Vec<&String> = pages.iter().filter(|page| !named.contains(page)).collect();
    assert!(left_out.is_empty(), "not in {}: {left_out:?}", docs::SUMMARY);
}

/// A name in angle brackets outside of code would be a tag that no reader sees.
#[test]
fn no_text_is_taken_for_html() {
    for page in docs::pages() {
        let tag = page.html.iter().find(|it| !it.text.starts_with("<!--"));
        assert!(tag.is_none(), "{}: {tag:?}", page.path);
    }
}

/// A row with more cells than its table has columns loses them, one with less has been split wrongly.
#[test]
fn every_row_of_a_table_has_its_columns() {
    for path in docs::pages().iter().map(|page| &page.path) {
        let text = fs::read_to_string(docs::root().join(path)).unwrap();
        let (mut columns, mut in_code) = (None, false);
        for (n, line) in text.lines().enumerate() {
            in_code ^= line.starts_with("```");
            if in_code || !line.starts_with('|') {
                columns = None;
                continue;
            }
            let bars = line.matches('|').count() - line.matches("\\|").count();
            assert_eq!(*columns.get_or_insert(bars), bars, "{path}:{}: {line}", n + 1);
        }
    }
}

/// What is wrong with the links of a page. Those to other places are not followed.
fn broken(page: &Page, chapters: &BTreeMap<String, Page>, root: &Path) -> Vec<String> {
    let local = page.links.iter().filter(|link| !link.target.contains("://"));
    let wrong = local.filter_map(|link| {
        let (path, anchor) = link.target.split_once('#').unwrap_or((&link.target, ""));
        let path = if path.is_empty() {
            page.path.clone()
        } else {
            joined(&page.path, path)
        };
        let why = if !root.join(&path).is_file() {
            "no such file"
        } else if is_a(&path, "md") && !chapters.contains_key(&path) {
            "a page that is not in the summary, so not in the book"
        } else if !anchor.is_empty() && !chapters[&path].anchors.contains(&anchor.to_owned()) {
            "no such heading"
        } else {
            return None;
        };
        Some(format!("{}:{}: {}: {why}", page.path, link.line, link.target))
    });
    wrong.collect()
}

#[test]
fn every_link_leads_to_something_in_the_book() {
    let chapters: BTreeMap<String, Page> = docs::pages()
        .into_iter()
        .map(|page| (page.path.clone(), page))
        .collect();
    let wrong: Vec<String> = chapters
        .values()
        .flat_map(|page| broken(page, &chapters, &docs::root()))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a broken link is, on pages made for it.
#[test]
fn a_broken_link_is_found() {
    let page = |path: &str, text: &str| (path.to_owned(), Page::parse(path, text));
    let root = docs::root();
    for (link, expect) in [
        ("docs/weights.md", None),
        ("docs/weights.md#kinds", None),
        ("docs/weights.md#none", Some("no such heading")),
        ("docs/none.md", Some("no such file")),
        ("deploy", Some("no such file")),
        ("docs/runtime.md", Some("not in the summary")),
        ("#here", None),
        ("https://example.com/none.md", None),
    ] {
        let pages = BTreeMap::from([
            page("README.md", &format!("# Here\n\n[a]({link})\n")),
            page("docs/weights.md", "# Weights\n\n## Kinds\n"),
        ]);
        let wrong = broken(&pages["README.md"], &pages, &root);
        match expect {
            None => assert!(wrong.is_empty(), "{link}: {wrong:?}"),
            Some(why) => assert!(wrong.len() == 1 && wrong[0].contains(why), "{link}: {wrong:?}"),
        }
    }
}

/// The values of `href`, `src` and `id` in a page of HTML.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let parts = html.split(&format!(" {name}=\"")).skip(1).collect::<Vec<_>>();
    parts.into_iter().filter_map(|rest| rest.split('"').next()).collect()
}

fn html_under(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the built book") {
        let path = entry.unwrap().path();
        if path.is_dir() {
            html_under(&path, found);
        } else if path.extension().is_some_and(|it| it == "html") {
            found.push(path);
        }
    }
}

/// What mdBook made of it: a link that it left alone or turned into something else is found here.
#[test]
fn every_link_of_the_built_book_leads_to_a_file() {
    let Some(folder) = env::var_os("FLYBALL_BOOK").map(PathBuf::from) else {
        skipped::<()>("no FLYBALL_BOOK (make test-docs)");
        return;
    };
    let mut pages = Vec::new();
    html_under(&folder, &mut pages);
    assert!(pages.len() > docs::chapters().len(), "too few pages: {}", pages.len());
    // The page of errors has absolute links, the printed one those of all pages at once, the list in its frame is for readers without scripts.
    pages.retain(|page| {
        !["404.html", "print.html", "toc.html"]
            .iter()
            .any(|name| page.ends_with(name))
    });
    let mut wrong = Vec::new();
    for path in &pages {
        let html = fs::read_to_string(path).unwrap();
        for link in [attributes(&html, "href"), attributes(&html, "src")].concat() {
            if link.contains(':') || link.is_empty() {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                path.parent().unwrap().join(file)
            };
            let found = match fs::read_to_string(&target) {
                Ok(page) => anchor.is_empty() || attributes(&page, "id").contains(&anchor),
                // Pictures and fonts are no text.
                Err(_) => target.is_file(),
            };
            if !found {
                wrong.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
