//! Texts of others, made safe to write.

use std::fmt::Display;

/// How much of a text the schemas take.
const TEXT: usize = 500;

/// A text that fits the schemas and forges no line of a log or a terminal: label values come from
/// whoever is scraped.
pub fn clean(text: impl Display) -> String {
    let text = text.to_string();
    let mut out = String::with_capacity(text.len().min(TEXT));
    for character in text.chars() {
        if out.len() >= TEXT {
            out.push_str("...");
            break;
        }
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

/// The name that was probably meant.
pub fn nearest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A long word needs no comparison with names of at most some dozen letters.
    let written: String = written.chars().take(64).collect::<String>().to_lowercase();
    names
        .map(|name| (strsim::osa_distance(&written, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4 && *distance < name.len())
        .min()
        .map(|(_, name)| name)
}
