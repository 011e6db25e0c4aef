//! `flyball crds`: the definitions that this version serves, ready for `kubectl apply`.

use std::io::{self, Write};

/// Prints all definitions as YAML documents.
pub fn print(out: &mut impl Write) -> io::Result<()> {
    for definition in flyball_crds::definitions() {
        let yaml = serde_yaml::to_string(&definition).map_err(io::Error::other)?;
        writeln!(out, "---\n{}", yaml.trim_start_matches("---\n").trim_end())?;
    }
    Ok(())
}
