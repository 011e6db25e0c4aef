//! The commands of a block for a shell, or of words in a line.

/// What stands between two commands.
const BETWEEN: [&str; 4] = ["|", "||", "&&", ";"];

/// The lines that a shell would read as one, pipes and lists included: without comments and blank ones, the breaks of long ones
/// and those within quotes left out.
pub fn lines(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let mut lines: Vec<String> = Vec::new();
    let mut open = String::new();
    for line in joined.lines() {
        let comment = open.is_empty() && line.trim_start().starts_with('#');
        if comment || line.trim().is_empty() {
            continue;
        }
        if !open.is_empty() {
            open.push('\n');
        }
        open.push_str(line.trim_end());
        // A quote that is not closed goes on in the next line.
        if shlex::split(&open).is_some() {
            lines.push(std::mem::take(&mut open));
        }
    }
    assert!(open.is_empty(), "no shell reads this: {open}");
    lines
}

/// The commands of a text, each as its words. Comments and redirections are none of theirs.
pub fn commands(text: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for line in lines(text) {
        let words = shlex::split(&line).unwrap_or_default();
        let mut command: Vec<String> = Vec::new();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if BETWEEN.contains(&word.as_str()) {
                all.push(std::mem::take(&mut command));
            } else if [">", "<", ">>", "2>"].contains(&word.as_str()) {
                words.next();
            } else if let Some(last) = word.strip_suffix(';') {
                command.push(last.to_owned());
                all.push(std::mem::take(&mut command));
            } else {
                command.push(word);
            }
        }
        all.push(command);
    }
    all.retain(|command| !command.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_apart() {
        for (text, expect) in [
            ("a b # c", vec![vec!["a", "b"]]),
            ("# a\n\nb", vec![vec!["b"]]),
            ("a \\\n  b", vec![vec!["a", "b"]]),
            ("a 'b c'; d | e", vec![vec!["a", "b c"], vec!["d"], vec!["e"]]),
            ("a 'b\nc'\nd", vec![vec!["a", "b\nc"], vec!["d"]]),
            ("a > b && c < d", vec![vec!["a"], vec!["c"]]),
        ] {
            assert_eq!(commands(text), expect, "{text}");
        }
    }
}
