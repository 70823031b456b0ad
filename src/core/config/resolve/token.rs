//! A bootstrap token that is given by flags, outside a configuration.

use super::defaults;
use crate::config::error::{ConfigError, ConfigErrors, Problems};
use crate::config::types::BootstrapToken;
use crate::config::validate;

/// Fills kubeadm's defaults and checks the token with the rules of a configuration's; problems name the flags of
/// `token create`.
///
/// # Errors
/// Every problem at once.
pub fn resolve_token(mut token: BootstrapToken) -> Result<BootstrapToken, ConfigErrors> {
    defaults::token(&mut token);
    let mut problems = Problems::default();
    validate::node::check_tokens(&mut problems, std::slice::from_ref(&token));
    if problems.errors.is_empty() {
        return Ok(token);
    }
    Err(ConfigErrors(problems.errors.into_iter().map(with_flag).collect()))
}

fn with_flag(error: ConfigError) -> ConfigError {
    let field = error.field_path.strip_prefix("bootstrapTokens[0].").unwrap_or(&error.field_path);
    let flag = match field.split('[').next() {
        Some("token") => "TOKEN",
        Some("ttl") => "--ttl",
        Some("groups") => "--groups",
        _ => field,
    };
    ConfigError { field_path: flag.to_owned(), ..error }
}
