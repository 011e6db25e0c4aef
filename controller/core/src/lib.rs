//! The pure part of Flyball.
//!
//! Nothing in this crate reads a clock, opens a socket, knows a Kubernetes type or draws a random
//! number: `now` is always an argument. So the same functions run in the controller, over recorded
//! history, against a plant model, and in the tests. The modules read in the order of the loop:
//! a [`signal`] is read, rules are evaluated ([`evaluate`]), an action proposes ([`decide`]), the
//! proposal is checked ([`check`]), moved through the [`transaction`], and its effect judged
//! ([`verify`]). Beside it, [`breaker`] says when a server that fails is left alone, and [`places`], [`rate`] and
//! [`costly`] how it is shared by tenants.

pub mod breaker;
pub mod bytes;
pub mod check;
pub mod costly;
pub mod decide;
mod decimal;
pub mod evaluate;
pub mod places;
pub mod policy;
pub mod rate;
pub mod signal;
pub mod time;
pub mod transaction;
pub mod verify;
