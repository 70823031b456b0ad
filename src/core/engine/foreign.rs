//! What another hand made of a file or an object that an operation wrote: a rollback never destroys it.

use std::path::Path;

use serde_json::Value;

use super::{act::StepError, undo::Saver};
use crate::{host::Actuator, text::sha256_hex};

/// What another hand had made of what a rollback took back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// The file, or the object.
    pub what: String,
    /// Where it is kept as it was found; `None` when it was left in its place.
    pub copy: Option<String>,
}

impl std::fmt::Display for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = &self.what;
        match &self.copy {
            Some(copy) => {
                write!(f, "{what} was changed after rkadm wrote it: that content is kept as {copy}")
            }
            None => write!(f, "{what} is not what rkadm would have written: it is left as it is"),
        }
    }
}

/// Whether an object still says all that was written. What the API server adds by itself, and what it leaves out for being empty, is no
/// other hand's.
pub(super) fn says(live: &Value, written: &Value) -> bool {
    match (live, written) {
        (Value::Object(live), Value::Object(written)) => {
            written.iter().all(|(field, value)| says(live.get(field).unwrap_or(&Value::Null), value))
        }
        (Value::Array(live), Value::Array(written)) => {
            live.len() == written.len() && live.iter().zip(written).all(|(live, written)| says(live, written))
        }
        (Value::Null, Value::Object(written)) => written.values().all(|value| says(&Value::Null, value)),
        (Value::Null, Value::Array(written)) => written.is_empty(),
        (Value::Null, Value::String(written)) => written.is_empty(),
        (Value::Null, Value::Bool(written)) => !written,
        (live, written) => live == written,
    }
}

/// Keeps the file's content when it has none of the expected digests; where the step may never have acted, it is left
/// in its place.
pub(super) async fn keep_foreign(
    host: &dyn Actuator,
    saver: &dyn Saver,
    path: &Path,
    acted: bool,
    expected: &[Option<&str>],
) -> Result<Option<Foreign>, StepError> {
    let Some(bytes) = host.read(path).await? else { return Ok(None) };
    let found = sha256_hex(&bytes);
    if expected.contains(&Some(found.as_str())) {
        return Ok(None);
    }
    let copy = || saver.save(&bytes).map_err(|error| StepError::saved(&path.display().to_string(), error));
    let copy = if acted { Some(copy()?) } else { None };
    Ok(Some(Foreign { what: path.display().to_string(), copy }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_server_adds_is_no_other_hands() {
        let written = json!({
            "data": {"Corefile": ".:53 {}"}, "metadata": {"labels": {}, "name": "coredns"},
            "spec": {"containers": [{"name": "a", "args": []}], "hostNetwork": false},
        });
        let mut live = json!({
            "data": {"Corefile": ".:53 {}"}, "metadata": {"name": "coredns", "uid": "1"},
            "spec": {"containers": [{"name": "a", "terminationMessagePath": "/x"}]}, "status": {},
        });
        assert!(says(&live, &written));
        live["data"]["Corefile"] = ".:53 { log }".into();
        assert!(!says(&live, &written));
        live["data"]["Corefile"] = ".:53 {}".into();
        live["spec"]["containers"] = json!([{"name": "a"}, {"name": "sidecar"}]);
        assert!(!says(&live, &written));
    }
}
