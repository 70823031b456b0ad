//! Pulls images, several at once.

use std::time::Duration;

use futures::{StreamExt as _, stream};

use super::{Actuator, HostError};
use crate::cri::CriError;

/// Images pulled at the same time: enough to fill a line, few enough for a registry that limits connections.
const AT_ONCE: usize = 4;
/// How often a pull is tried, as kubeadm does, and how long between two tries.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);

/// What came of an image that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pull {
    /// The runtime held it before.
    Present,
    /// It was pulled.
    Pulled,
}

/// Pulls the images that the container runtime does not hold, or with `always` all of them. The answers are in the order
/// of the images; one that fails does not keep the others from being pulled.
pub async fn pull_images(
    host: &dyn Actuator,
    socket: &str,
    images: &[String],
    always: bool,
) -> Vec<Result<Pull, HostError>> {
    stream::iter(images).map(|image| pull(host, socket, image, always)).buffered(AT_ONCE).collect().await
}

async fn pull(host: &dyn Actuator, socket: &str, image: &str, always: bool) -> Result<Pull, HostError> {
    if !always && host.image_present(socket, image).await? {
        return Ok(Pull::Present);
    }
    for _ in 1..TRIES {
        match host.pull_image(socket, image).await {
            Ok(()) => return Ok(Pull::Pulled),
            // One that hung for a quarter of an hour has had its time.
            Err(HostError::Cri(error @ CriError::Timeout { .. })) => return Err(error.into()),
            Err(HostError::Cri(error)) if error.is_transient() => host.pause(PAUSE).await,
            Err(error) => return Err(error),
        }
    }
    host.pull_image(socket, image).await.map(|()| Pull::Pulled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::FakeHost;

    #[tokio::test]
    async fn what_is_missing_is_pulled_and_one_failure_keeps_none_from_it() {
        let host = FakeHost::new(crate::host::fake::World {
            images: ["here".to_owned()].into(),
            registry: ["here", "there"].map(str::to_owned).into(),
            ..crate::host::fake::World::ready()
        });
        let images = ["here", "nowhere", "there"].map(str::to_owned);
        let pulled = pull_images(&host, "unix:///s", &images, false).await;
        assert!(matches!(&pulled[..], [Ok(Pull::Present), Err(_), Ok(Pull::Pulled)]), "{pulled:?}");
        let again = pull_images(&host, "unix:///s", &images[..1], true).await;
        assert!(matches!(&again[..], [Ok(Pull::Pulled)]), "{again:?}");
    }
}
