//! The YAML templates, embedded, and the one way to fill them in.
//!
//! Templates hold interpolated text inside double quotes. The formatter escapes it for exactly that place, so a value
//! with quotes, newlines or a leading `*` stays one YAML string and cannot add keys to a manifest.

use crate::yaml::{self, YamlError};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;
use serde_json::Value;

/// A template of `manifests-templates/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// `static-pods/etcd.yaml`
    Etcd,
    /// `static-pods/kube-apiserver.yaml`
    ApiServer,
    /// `static-pods/kube-controller-manager.yaml`
    ControllerManager,
    /// `static-pods/kube-scheduler.yaml`
    Scheduler,
    /// `addons/coredns.yaml`
    CoreDns,
    /// `addons/Corefile`
    Corefile,
    /// `addons/kube-proxy.yaml`
    KubeProxy,
    /// `addons/kube-proxy-kubeconfig.yaml`
    KubeProxyKubeconfig,
}

/// A template that could not be filled in, or that gave no YAML.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A value is missing, or the template is wrong.
    #[error("template {template:?} cannot be filled in")]
    Render {
        /// Which template.
        template: Template,
        /// What minijinja says.
        source: minijinja::Error,
    },
    /// The filled-in text is no YAML.
    #[error("template {template:?} does not give YAML")]
    Yaml {
        /// Which template.
        template: Template,
        /// What the YAML reader says.
        source: YamlError,
    },
}

impl Template {
    /// The text of the template.
    pub fn source(self) -> &'static str {
        macro_rules! embedded {
            ($path:literal) => {
                include_str!(concat!("../../../manifests-templates/", $path))
            };
        }
        match self {
            Self::Etcd => embedded!("static-pods/etcd.yaml"),
            Self::ApiServer => embedded!("static-pods/kube-apiserver.yaml"),
            Self::ControllerManager => embedded!("static-pods/kube-controller-manager.yaml"),
            Self::Scheduler => embedded!("static-pods/kube-scheduler.yaml"),
            Self::CoreDns => embedded!("addons/coredns.yaml"),
            Self::Corefile => embedded!("addons/Corefile"),
            Self::KubeProxy => embedded!("addons/kube-proxy.yaml"),
            Self::KubeProxyKubeconfig => embedded!("addons/kube-proxy-kubeconfig.yaml"),
        }
    }

    /// Fills the template in. A name the context lacks is an error, never an empty text.
    pub fn render(self, context: impl Serialize) -> Result<String, TemplateError> {
        let wrap = |source| TemplateError::Render { template: self, source };
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build().map_err(wrap)?);
        environment.set_formatter(|out, _, value| {
            let text = value.to_string();
            let quoted = Value::String(text).to_string();
            out.write_str(&quoted[1..quoted.len() - 1]).map_err(Into::into)
        });
        environment.render_str(self.source(), Serde(context)).map_err(wrap)
    }

    /// Fills the template in and reads every document of it.
    pub fn documents(self, context: impl Serialize) -> Result<Vec<Value>, TemplateError> {
        let text = self.render(context)?;
        yaml::documents(&text).map_err(|source| TemplateError::Yaml { template: self, source })
    }

    /// Fills in a template of one document.
    pub fn document(self, context: impl Serialize) -> Result<Value, TemplateError> {
        Ok(self.documents(context)?.into_iter().next().unwrap_or(Value::Null))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_cannot_break_out_of_its_quotes() {
        let evil = "x\"\nkind: Secret\nb: \"*\\";
        let document = Template::KubeProxyKubeconfig.document(json!({"server": evil})).unwrap();
        assert_eq!(document["kind"], "Config");
        assert_eq!(document["clusters"][0]["cluster"]["server"], evil);
    }

    #[test]
    fn a_missing_value_is_an_error() {
        assert!(matches!(Template::Scheduler.render(json!({})), Err(TemplateError::Render { .. })));
    }
}
