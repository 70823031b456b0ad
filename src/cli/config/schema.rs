//! `rkadm config schema`.

use rkadm_core::config::schema::json_schema;

use crate::output;

/// Prints the schema. It is for editors, and JSON whatever `--output` says.
pub fn run() {
    output::plain(&(serde_json::to_string_pretty(&json_schema()).unwrap_or_default() + "\n"));
}
