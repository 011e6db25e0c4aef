//! What the proxies tell of each backend.
