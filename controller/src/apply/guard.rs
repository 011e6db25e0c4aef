//! What the hands on every kind of target have: whether forward writes are held now, and why the last write was refused.

use crate::observe::freeze::Freeze;
use kube::Client;
use std::sync::{Mutex, PoisonError};

/// The red button and a namespace's pause, as far as these hands look at them, and the last refusal.
#[derive(Default)]
pub(super) struct Guard<'a> {
    freeze: Option<(&'a Freeze, &'a str)>,
    refusal: Mutex<Option<String>>,
}

impl<'a> Guard<'a> {
    /// Looks at the red button, and at the pause of this namespace, from now on.
    pub fn look_at(&mut self, freeze: &'a Freeze, namespace: &'a str) {
        self.freeze = Some((freeze, namespace));
    }

    /// Whether nothing may be written but roll-backs: asked of the API server, right before the write.
    pub async fn holds(&self, client: &Client) -> bool {
        match self.freeze {
            Some((freeze, namespace)) => freeze.holds_now(client, namespace).await,
            None => false,
        }
    }

    /// Keeps why a write was refused.
    pub fn refuse(&self, message: String) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(message);
    }

    /// Why the last write was refused, if it was.
    pub fn refusal(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
