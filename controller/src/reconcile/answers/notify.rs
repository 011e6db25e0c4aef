use crate::reconcile::{Pass, memory::Memory};
use flyball_core::policy::{Answer, Notify};

#[allow(clippy::unused_async)]
pub(super) async fn run(_pass: &Pass<'_>, _answer: &Answer, _notify: &Notify, _memory: &mut Memory) {}
