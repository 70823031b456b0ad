//! Waiting for the other machines.

use async_trait::async_trait;

/// Where the run of one machine waits until the others have got as far.
#[async_trait]
pub trait Gate: Send + Sync {
    /// Returns when all have come to this point.
    ///
    /// # Errors
    /// Why this machine must not go on: one of the others failed, or nobody can say any more how they are.
    async fn pass(&self, point: &str) -> Result<(), String>;
}

/// There is nobody to wait for.
#[derive(Debug, Default)]
pub struct Open;

#[async_trait]
impl Gate for Open {
    async fn pass(&self, _point: &str) -> Result<(), String> {
        Ok(())
    }
}
