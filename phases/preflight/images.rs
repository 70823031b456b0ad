//! The images of the control plane.

use futures::future::join_all;
use rkadm_core::{
    config::{Image, types::ImagePullPolicy},
    engine::Step,
    host::Probe,
};

use super::{Found, error};
use crate::init::Cluster;

/// The images that the runtime does not hold, all asked for at once; and what is wrong with that.
pub async fn missing(host: &dyn Probe, cluster: &Cluster) -> (Vec<String>, Vec<Found>) {
    let config = &cluster.config;
    let socket = &config.node_registration.cri_socket;
    let policy = config.node_registration.image_pull_policy.unwrap_or_default();
    let mut wanted: Vec<_> = Image::ALL
        .into_iter()
        .filter(|image| is_used(cluster, *image))
        .map(|image| config.image(image))
        .collect();
    // Without it no pod starts. The runtime would pull it with the first one, where nobody sees that fail.
    let sandbox = host.sandbox_image(socket).await.ok().flatten();
    wanted.extend(sandbox.filter(|sandbox| !wanted.contains(sandbox)));
    if policy == ImagePullPolicy::Always {
        return (wanted, vec![]);
    }
    let present = join_all(wanted.iter().map(|image| host.image_present(socket, image))).await;
    // A runtime that does not answer is reported by its own check; nothing is known about images then.
    if present.iter().any(Result::is_err) {
        return (vec![], vec![]);
    }
    let missing: Vec<_> = wanted
        .into_iter()
        .zip(present)
        .filter(|(_, present)| !present.as_ref().is_ok_and(|present| *present))
        .map(|(image, _)| image)
        .collect();
    if policy == ImagePullPolicy::Never && !missing.is_empty() {
        let message = format!("imagePullPolicy is Never and images are missing: {}", missing.join(", "));
        return (vec![], vec![error("ImagePull", message, "load the images, or allow them to be pulled")]);
    }
    (missing, vec![])
}

fn is_used(cluster: &Cluster, image: Image) -> bool {
    let config = &cluster.config.cluster;
    match image {
        Image::Etcd => config.etcd.external.is_none(),
        Image::CoreDns => !config.dns.disabled,
        Image::Proxy => !config.proxy.disabled,
        Image::ApiServer | Image::ControllerManager | Image::Scheduler | Image::Pause => true,
    }
}

/// The steps that pull them: one by one, unless `imagePullSerial` is false. (Each is a line of progress then.)
pub fn pulls(cluster: &Cluster, missing: Vec<String>) -> Vec<Step> {
    let node = &cluster.config.node_registration;
    let pull = |images| Step::PullImages { socket: node.cri_socket.clone(), images };
    if missing.is_empty() {
        return vec![];
    }
    if node.image_pull_serial == Some(false) {
        return vec![pull(missing)];
    }
    missing.into_iter().map(|image| pull(vec![image])).collect()
}
