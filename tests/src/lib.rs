//! Worlds, faults and scenarios in which the controller's own code is run.

pub mod authority;
pub mod bed;
pub mod bench;
pub mod boards;
pub mod demo;
pub mod docs;
pub mod gateway;
pub mod helm;
pub mod hpa;
pub mod laws;
pub mod leak;
pub mod operator;
pub mod processes;
pub mod proxy;
pub mod rights;
pub mod runtimes;
pub mod savings;
pub mod scraper;
pub mod traffic;
pub mod world;
