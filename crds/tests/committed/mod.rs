//! Files that are written by the tests that look at them.

#![allow(clippy::expect_used)] // What fails here ends a test, and says so.

use std::{fs, path::Path};

/// Holds a committed file to what it must be; `UPDATE=1` writes it so.
pub fn holds(path: &Path, expect: &str) {
    if std::env::var_os("UPDATE").is_some() {
        let folder = path.parent().expect("a file has a folder");
        fs::create_dir_all(folder).expect("the folder can be made");
        fs::write(path, expect).expect("the file can be written");
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == expect,
        "{} is stale: run `make generate` and commit it",
        path.display()
    );
}
