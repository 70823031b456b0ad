//! A client of etcd's JSON gateway: many writes in little time, and calls that etcdctl has not.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

pub struct Client {
    /// `127.0.0.1:2379`
    pub address: String,
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// The gateway writes 64-bit numbers as strings.
pub fn number(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default()
}

impl Client {
    /// Calls `/v3/…`.
    pub fn call(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.request(&format!("POST /v3/{path}"), &body.to_string())?;
        serde_json::from_str(&answer).with_context(|| format!("{path}: {answer}"))
    }

    fn request(&self, what: &str, body: &str) -> Result<String> {
        let len = body.len();
        let head = format!(
            "{what} HTTP/1.0\r\nHost: etcd\r\nContent-Type: application/json\r\nContent-Length: {len}\r\n\r\n"
        );
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        if !head.lines().next().unwrap_or_default().contains(" 200 ") {
            bail!("{what}: {body}");
        }
        Ok(body.to_owned())
    }

    /// Writes keys in one transaction, and answers with its revision.
    pub fn put_all(&self, pairs: &[(String, Vec<u8>)]) -> Result<i64> {
        let put = |(key, value): &(String, Vec<u8>)| json!({ "requestPut": { "key": base64(key), "value": base64(value) } });
        let answer = self.call("kv/txn", &json!({ "success": pairs.iter().map(put).collect::<Vec<_>>() }))?;
        Ok(number(&answer["header"]["revision"]))
    }

    pub fn put(&self, key: &str, value: &[u8]) -> Result<i64> {
        self.put_all(&[(key.to_owned(), value.to_vec())])
    }

    pub fn put_with_lease(&self, key: &str, lease: i64) -> Result<()> {
        let body = json!({ "key": base64(key), "value": base64("leased"), "lease": lease.to_string() });
        self.call("kv/put", &body).map(drop)
    }

    /// Deletes all keys that begin with `prefix`.
    pub fn delete(&self, prefix: &str) -> Result<i64> {
        let mut end = prefix.as_bytes().to_vec();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        let answer =
            self.call("kv/deleterange", &json!({ "key": base64(prefix), "range_end": base64(end) }))?;
        Ok(number(&answer["header"]["revision"]))
    }

    /// Gives up the history before `revision`. `physical`: and waits until it is gone.
    pub fn compact(&self, revision: i64, physical: bool) -> Result<()> {
        let body = json!({ "revision": revision.to_string(), "physical": physical });
        self.call("kv/compaction", &body).map(drop)
    }

    pub fn revision(&self) -> Result<i64> {
        let answer = self.call("kv/range", &json!({ "key": base64("none") }))?;
        Ok(number(&answer["header"]["revision"]))
    }

    /// How many keys there are.
    pub fn count(&self) -> Result<u64> {
        // From the key with one zero byte to the end.
        let all = json!({ "key": base64([0]), "range_end": base64([0]), "count_only": true });
        Ok(number(&self.call("kv/range", &all)?["count"]).unsigned_abs())
    }

    pub fn grant(&self, seconds: i64) -> Result<i64> {
        Ok(number(&self.call("lease/grant", &json!({ "TTL": seconds.to_string() }))?["ID"]))
    }

    pub fn member_id(&self) -> Result<u64> {
        let answer = self.call("maintenance/status", &json!({}))?;
        Ok(answer["header"]["member_id"].as_str().unwrap_or_default().parse()?)
    }

    /// Whether it serves, which it does not without a quorum. Alarms are another matter.
    pub fn is_healthy(&self) -> bool {
        self.request("GET /health?exclude=NOSPACE&exclude=CORRUPT", "").is_ok()
    }

    pub fn raise_alarm(&self, kind: &str) -> Result<()> {
        let member = self.member_id()?.to_string();
        let body = json!({ "action": "ACTIVATE", "memberID": member, "alarm": kind });
        self.call("maintenance/alarm", &body).map(drop)
    }
}
