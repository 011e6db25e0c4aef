//! `flyball completion`: what a shell needs to complete our commands; and the names that we are called by.

use super::Cli;
use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};
use std::{
    ffi::OsStr,
    io::{self, Write},
    path::Path,
};

/// The program as it is called by itself.
const OWN: &str = "flyball";
/// The program as kubectl finds it: a plugin is a file of this name in the PATH.
const PLUGIN: &str = "kubectl-flyball";
/// What kubectl runs to complete the words behind `kubectl flyball`.
const COMPLETER: &str = "kubectl_complete-flyball";

/// The shell.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// For which shell.
    shell: Shell,
}

/// As what we were started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// As `flyball`, or as anything else that is no plugin's name.
    Own,
    /// As a plugin, through kubectl.
    Plugin,
    /// As what kubectl asks for completions.
    Completer,
}

/// Tells it from the path of the program.
pub fn called(program: Option<&OsStr>) -> Called {
    let stem = program.and_then(|program| Path::new(program).file_stem());
    match stem.and_then(OsStr::to_str) {
        // kubectl's own name for a dash within a plugin's name is an underscore, so there is one spelling only.
        Some(PLUGIN) => Called::Plugin,
        Some(COMPLETER) => Called::Completer,
        _ => Called::Own,
    }
}

/// The commands under the name by which they were called: usage lines can be copied.
pub fn command(called: Called) -> Command {
    match called {
        Called::Own => Cli::command().bin_name(OWN),
        Called::Plugin | Called::Completer => Cli::command().name(PLUGIN).bin_name("kubectl flyball"),
    }
}

/// Writes the script of a shell.
pub fn print(args: &Args, out: &mut impl Write) -> io::Result<()> {
    // Into memory first: the generator panics where a pipe was closed.
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), OWN, &mut script);
    match out.write_all(&script).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// What may stand in place of the last of these words, as kubectl takes it: one a line with what it is, and at the end
/// a directive: 4, names of files are none, or 0, they may be.
pub fn candidates(words: &[String]) -> String {
    let root = Cli::command();
    let (last, before) = words
        .split_last()
        .map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut command = &root;
    let mut expects = None;
    for word in before {
        if let Some(flag) = word.strip_prefix('-') {
            expects = flag_of(&root, command, flag).filter(|_| !word.contains('='));
        } else if expects.take().is_none()
            && let Some(found) = command.find_subcommand(word)
        {
            command = found;
        }
    }
    let mut lines: Vec<String> = Vec::new();
    let mut offer = |word: &str, about: Option<String>| {
        if word.starts_with(last) {
            let about = about.and_then(|text| text.lines().next().map(|line| format!("\t{line}")));
            lines.push(word.to_owned() + &about.unwrap_or_default());
        }
    };
    let help = |arg: &clap::Arg| arg.get_help().map(ToString::to_string);
    let values = |arg: &clap::Arg| -> Vec<_> {
        let values = arg.get_possible_values();
        values
            .iter()
            .map(|value| (value.get_name().to_owned(), value.get_help().map(ToString::to_string)))
            .collect()
    };
    let mut files = false;
    if let Some(flag) = expects {
        files = values(flag).is_empty();
        for (value, about) in values(flag) {
            offer(&value, about);
        }
    } else if last.starts_with('-') {
        let shared = root.get_arguments().filter(|arg| arg.is_global_set());
        for arg in command.get_arguments().chain(shared).filter(|arg| !arg.is_hide_set()) {
            if let Some(long) = arg.get_long() {
                offer(&format!("--{long}"), help(arg));
            }
        }
    } else {
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            offer(sub.get_name(), sub.get_about().map(ToString::to_string));
        }
        for arg in command.get_positionals() {
            files |= arg.get_value_hint() == clap::ValueHint::AnyPath;
            for (value, about) in values(arg) {
                offer(&value, about);
            }
        }
    }
    lines.dedup();
    lines.push(if files { ":0" } else { ":4" }.to_owned());
    lines.join("\n") + "\n"
}

/// The flag of this name that still waits for its value.
fn flag_of<'a>(root: &'a Command, command: &'a Command, flag: &str) -> Option<&'a clap::Arg> {
    let mut all = command.get_arguments().chain(root.get_arguments());
    let found = match flag.strip_prefix('-') {
        Some(long) => all.find(|arg| arg.get_long() == Some(long)),
        None => all.find(|arg| arg.get_short().is_some_and(|short| flag == short.to_string())),
    };
    found.filter(|arg| arg.get_action().takes_values())
}

#[cfg(test)]
mod tests {
    // Helpers outside #[test] may fail loudly too.
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_name_of_the_program_says_who_calls() {
        let check = |program: &str, expect| assert_eq!(called(Some(OsStr::new(program))), expect, "{program}");
        check("flyball", Called::Own);
        check("/usr/local/bin/flyball", Called::Own);
        check("/home/user/.krew/bin/kubectl-flyball", Called::Plugin);
        check("kubectl-flyball.exe", Called::Plugin);
        check("kubectl_complete-flyball", Called::Completer);
        check("kubectl-flyballs", Called::Own);
        assert_eq!(called(None), Called::Own);
    }

    #[test]
    fn a_plugin_calls_itself_as_people_call_it() {
        let check = |called, expect: &str| {
            let usage = command(called)
                .try_get_matches_from(["x", "explain"])
                .unwrap_err()
                .to_string();
            assert!(usage.contains(&format!("Usage: {expect} explain ")), "{usage}");
        };
        check(Called::Own, "flyball");
        check(Called::Plugin, "kubectl flyball");
    }

    #[test]
    fn every_shell_has_its_script() {
        for (shell, expect) in [
            (Shell::Bash, "complete -F _flyball"),
            (Shell::Zsh, "#compdef flyball"),
            (Shell::Fish, "complete -c flyball"),
            (
                Shell::PowerShell,
                "Register-ArgumentCompleter -Native -CommandName 'flyball'",
            ),
        ] {
            let mut script = Vec::new();
            print(&Args { shell }, &mut script).unwrap();
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains(expect) && script.contains("takeover"), "{shell}");
        }
    }

    #[test]
    fn kubectl_is_told_what_may_follow() {
        let check = |words: &[&str], expect: &[&str], directive: &str| {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            let said = candidates(&words);
            let mut lines: Vec<&str> = said
                .lines()
                .map(|line| line.split('\t').next().unwrap_or(line))
                .collect();
            assert_eq!(lines.pop(), Some(directive), "{words:?}");
            assert_eq!(lines, expect, "{words:?}");
        };
        check(&["unf"], &["unfreeze"], ":4");
        check(&["un"], &["unpause", "unfreeze"], ":4");
        check(&["import", "h"], &["hpa"], ":4");
        check(&["check", ""], &[], ":0");
        check(&["get", "--out"], &["--output"], ":4");
        check(&["get", "-n", "shop", "--con"], &["--context"], ":4");
        check(&["get", "-o", "y"], &["yaml"], ":4");
        check(&["get", "-o"], &[], ":4");
        // The value of a flag that is spelled as a command is none.
        check(&["--context", "explain", "unf"], &["unfreeze"], ":4");
        check(&["completion", "z"], &["zsh"], ":4");
        check(&["no-such-thing-"], &[], ":4");
    }
}
