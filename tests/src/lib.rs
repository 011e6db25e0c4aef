//! Worlds, faults and scenarios in which the controller's own code is run.

pub mod model;
