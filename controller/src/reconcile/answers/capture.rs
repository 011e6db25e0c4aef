use crate::reconcile::{Pass, memory::Memory};
use flyball_core::policy::{Answer, Capture};

#[allow(clippy::unused_async)]
pub(super) async fn run(_pass: &Pass<'_>, _answer: &Answer, _capture: &Capture, _memory: &mut Memory) {}
