//! Static pod manifests of the control plane: template, then the configuration's arguments, volumes and variables.
//!
//! Pure functions over values; reading the host and writing files is the caller's. Patches are applied to the result
//! by [`patch`].

pub mod args;
pub mod compare;
pub mod env;
mod health;
pub mod images;
pub mod patch;
pub mod pod;
mod static_pod;
pub mod templates;
pub mod volumes;

pub use compare::{diff, same, to_yaml};
pub use health::{api_server_url, health_target};
pub use static_pod::{Component, EtcdMembership, ManifestError, StaticPodInputs, static_pod};
pub use templates::{Template, TemplateError};
