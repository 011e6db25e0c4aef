use crate::reconcile::{Pass, memory::Memory};
use flyball_core::policy::{Annotate, Answer};

#[allow(clippy::unused_async)]
pub(super) async fn run(_pass: &Pass<'_>, _answer: &Answer, _annotate: &Annotate, _memory: &mut Memory) {}
