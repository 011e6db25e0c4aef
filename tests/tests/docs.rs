//! The documentation is right: links, YAML, commands, and what it says of the code. Needs no cluster; the built book is looked
//! at where `FLYBALL_BOOK` names its folder (make test-docs).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "docs/alerts.rs"]
mod alerts;
#[path = "docs/book.rs"]
mod book;
#[path = "docs/commands.rs"]
mod commands;
#[path = "docs/says.rs"]
mod says;
#[path = "docs/threats.rs"]
mod threats;
#[path = "docs/yaml.rs"]
mod yaml;
