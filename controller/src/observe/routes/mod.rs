//! Lists of weighted backends: which kinds have them, where they lie in an object, how their weights are
//! written, and what a proxy tells of them.
//!
//! All but `find` and `kinds`, which read the cluster, is pure: an object in, a list or a patch out.

mod canary;
pub mod error;
pub mod find;
pub mod kinds;
pub mod list;
pub mod owner;
pub mod patch;
pub mod proxies;
pub mod table;

#[cfg(test)]
mod fixtures;

pub use error::RouteError;
pub use find::{Route, RouteProblem};
pub use list::{Entry, Located, locate};
pub use owner::{gitops_owner_of, manager_of};
pub use patch::weights_patch;
pub use proxies::{Proxy, queries};

pub use table::{Form, Row};
