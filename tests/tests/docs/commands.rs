//! Its commands: whatever a page tells people to type is a command that there is.

use clap::{CommandFactory, Parser, error::ErrorKind};
use flyball_controller::cli::Cli;
use flyball_tests::docs::{self, shell};

/// Why these words are no command, if they are none.
fn wrong(words: &[String]) -> Option<String> {
    // What may be left out is written in brackets.
    let words = words.iter().map(|word| word.trim_matches(['[', ']']));
    let error = Cli::try_parse_from(words).err()?;
    let shown = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    (!shown).then(|| error.to_string())
}

/// The name of a command alone, as a sentence has it.
fn is_a_name(words: &[String]) -> bool {
    let command = Cli::command();
    words.len() == 2 && command.get_subcommands().any(|it| it.get_name() == words[1])
}

#[test]
fn every_command_of_ours_is_one() {
    let (mut mistakes, mut count) = (Vec::new(), 0);
    for page in docs::pages() {
        let blocks = page.blocks.iter().filter(|block| block.language == "sh");
        let blocks = blocks.map(|block| (block.line, block.text.as_str(), false));
        let spans = page.spans.iter().filter(|span| span.text.starts_with("flyball "));
        for (line, text, in_a_sentence) in blocks.chain(spans.map(|span| (span.line, span.text.as_str(), true))) {
            for command in shell::commands(text) {
                if command[0] != "flyball" || in_a_sentence && is_a_name(&command) {
                    continue;
                }
                count += 1;
                mistakes
                    .extend(wrong(&command).map(|why| format!("{}:{line}: {}\n{why}", page.path, command.join(" "))));
            }
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    assert!(count > 30, "only {count} commands were found");
}

/// The page of the command line has a row for each command, and for nothing else.
#[test]
fn every_command_has_its_row() {
    let text = std::fs::read_to_string(docs::root().join("docs/cli.md")).unwrap();
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `flyball ")?.split_once('`'));
    let mut rows: Vec<&str> = rows.map(|(name, _)| name).collect();
    let command = Cli::command();
    let mut expect: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    rows.sort_unstable();
    expect.sort_unstable();
    assert_eq!(rows, expect);
}

#[test]
fn a_command_that_is_none_is_found() {
    for (text, right) in [
        ("flyball explain checkout -n shop", true),
        ("flyball import hpa checkout -n shop", true),
        ("flyball --help", true),
        ("flyball explain", false),
        ("flyball clarify checkout", false),
        ("flyball get --no-such-flag", false),
    ] {
        assert_eq!(wrong(&shell::commands(text)[0]).is_none(), right, "{text}");
    }
}
