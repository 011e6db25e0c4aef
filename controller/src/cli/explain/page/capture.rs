//! Evidence on the page: where it is, and the commands that open and compare it.

use super::Pen;
use crate::{
    cli::screen::{Tone, plain},
    evidence::quoted,
    validate::capture_kind,
};
use flyball_crds::{CaptureFile, CaptureMoment, CaptureStatus};

/// What the policy remembers of it.
pub(super) fn draw(pen: &mut Pen, known: &CaptureStatus) {
    if !known.message.is_empty() {
        pen.field("Evidence", Tone::Bad, &plain(&known.message));
    }
    let files: Vec<&CaptureFile> = known.files.iter().rev().map(|known| &known.file).collect();
    list(pen, &files);
}

/// What a Change names of it, with the comparison of its pairs.
pub(super) fn draw_of_change(pen: &mut Pen, files: &[CaptureFile]) {
    let all: Vec<&CaptureFile> = files.iter().collect();
    list(pen, &all);
    let last = |moment: CaptureMoment, of: &CaptureFile| {
        let mut fits = files.iter().rev();
        fits.find(|file| file.when == moment && file.kind == of.kind).cloned()
    };
    for after in files.iter().filter(|file| file.when == CaptureMoment::After) {
        let Some(before) = last(CaptureMoment::Before, after) else {
            continue;
        };
        let compared = capture_kind(after.kind).compare(&at_hand(&before.location), &at_hand(&after.location));
        if let Some(command) = compared {
            pen.field("Compare", Tone::Plain, &format!("{:?}, before and after:", after.kind));
            pen.page.line(&format!("      {}", plain(&command)));
        }
    }
}

fn list(pen: &mut Pen, files: &[&CaptureFile]) {
    for file in files {
        let when = match file.when {
            CaptureMoment::Alert => "",
            CaptureMoment::Before => ", before",
            CaptureMoment::After => ", after",
        };
        let text = format!(
            "{:?} of {}{when}, {}, {} bytes:",
            file.kind,
            plain(&file.pod),
            pen.when(file.at.as_ref()),
            file.bytes
        );
        pen.field("Captured", Tone::Plain, &text);
        // A command is copied, so it is not broken.
        pen.page.line(&format!("      {}", plain(&file.open)));
    }
}

/// A file where it can be opened: one in a bucket was copied to the folder one is in.
fn at_hand(location: &str) -> String {
    if location.starts_with("s3://") {
        quoted(location.rsplit('/').next().unwrap_or(location))
    } else {
        quoted(location)
    }
}
