//! The documentation as its tests read it: pages with their headings, links, blocks and commands.

#![allow(clippy::expect_used, clippy::panic, clippy::missing_panics_doc)] // What is missing here ends a test, and says so.

pub mod fragment;
pub mod page;
pub mod script;
pub mod shell;
pub mod written;

pub use page::{Block, Page};

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The folder of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The summary of the book, whose links are from docs.
pub const SUMMARY: &str = "docs/SUMMARY.md";

/// The pages of the book in their order, as paths from the root, each as often as it is named.
pub fn chapters() -> Vec<String> {
    let summary = Page::read(&root(), SUMMARY);
    let links = summary.links.iter();
    links.map(|link| page::joined(SUMMARY, &link.target)).collect()
}

/// Every page under docs, as paths from the root.
pub fn pages_under_docs() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    under("docs", &mut found);
    found.remove(SUMMARY);
    found
}

fn under(folder: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(root().join(folder)).expect("a folder of the documentation") {
        let entry = entry.expect("an entry of it");
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        let path = format!("{folder}/{name}");
        if entry.path().is_dir() {
            under(&path, found);
        } else if page::is_a(&path, "md") {
            found.insert(path);
        }
    }
}

/// All of them, read: the chapters and what else is under docs.
pub fn pages() -> Vec<Page> {
    let all: BTreeSet<String> = chapters().into_iter().chain(pages_under_docs()).collect();
    all.iter().map(|path| Page::read(&root(), path)).collect()
}
