//! Names of an installation's keys in Redis.

/// Builds the names of an installation's keys in Redis.
///
/// Names contain a hash tag in braces, so that all keys with the same tag share one slot of a Redis Cluster.
#[derive(Debug, Clone)]
pub struct KeyNames {
    prefix: String,
}

impl KeyNames {
    /// Returns the names for the installation `namespace`; the default installation has the empty namespace.
    pub fn new(namespace: &str) -> Self {
        let prefix =
            if namespace.is_empty() { "tidemark".to_owned() } else { format!("tidemark-{namespace}") };
        Self { prefix }
    }

    /// Returns the prefix of every key of the control log's projection, and of no other key.
    pub fn projection_prefix(&self) -> String {
        format!("{0}:{{{0}}}", self.prefix)
    }

    /// Returns the name of a key outside the projection. Keys with the same `id` share one slot.
    pub fn key(&self, kind: &str, id: &str) -> String {
        format!("{}:{kind}:{{{id}}}", self.prefix)
    }
}
