//! The files of the two machines.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::Node;
use serde_json::{Value, json};

use super::same::{self, Expected};

const EXPECTED: &[Expected] = &[];

/// Every file, by path.
type Files = BTreeMap<String, Value>;

pub fn compare(kubeadm: &Node, rkadm: &Node) -> Result<Vec<String>> {
    Ok(same::differences("", &json!(files(kubeadm)?), &json!(files(rkadm)?), EXPECTED))
}

/// Mode, owner and meaning of every file that init writes.
fn files(node: &Node) -> Result<Files> {
    let listing = node.sh_ok(
        "find /etc/kubernetes /var/lib/kubelet -maxdepth 1 -printf '%p %M %u:%g\n'
         find /etc/kubernetes/pki /etc/kubernetes/manifests -mindepth 1 -printf '%p %M %u:%g\n'
         stat -c '%n %A %U:%G' /var/lib/etcd",
    )?;
    let mut files = Files::new();
    for line in listing.lines() {
        let (path, mode) = line.split_once(' ').context("a line without a mode")?;
        files.insert(path.to_owned(), json!({"mode": mode, "content": content(node, path)?}));
    }
    ensure!(files.len() > 50, "too little to compare: {:?}", files.keys());
    Ok(files)
}

fn content(node: &Node, path: &str) -> Result<Value> {
    let name = path.rsplit('/').next().unwrap_or_default();
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("crt") => certificate(node, &format!("cat {path}")),
        Some("key") => {
            Ok(json!(node.sh_ok(&format!("head -1 {path}; openssl pkey -in {path} -noout -text | head -1"))?))
        }
        Some("pub") => Ok(json!(
            node.sh_ok(&format!("head -1 {path}; openssl pkey -pubin -in {path} -noout -text | head -1"))?
        )),
        Some("conf") => kubeconfig(node, path),
        Some("yaml") => Ok(rkadm_core::yaml::from_str(&text(node, path)?)?),
        Some("env") => Ok(json!(text(node, path)?)),
        // Directories, and the kubelet's own state.
        _ => Ok(Value::Null),
    }
}

fn text(node: &Node, path: &str) -> Result<String> {
    Ok(String::from_utf8(node.read(path)?)?)
}

/// All that a certificate says but keys, serial number, signature and the exact time.
fn certificate(node: &Node, source: &str) -> Result<Value> {
    let shown = node.sh_ok(&format!(
        "set -o pipefail; {source} | openssl x509 -noout -text -nameopt RFC2253 -certopt no_serial,no_sigdump,no_validity,no_pubkey"
    ))?;
    let extensions: Vec<_> = shown.lines().map(str::trim).filter(|line| !is_key_id(line)).collect();
    let dates = node.sh_ok(&format!("{source} | openssl x509 -noout -startdate -enddate"))?;
    let key = node.sh_ok(&format!("{source} | openssl x509 -noout -text | grep 'Public-Key:'"))?;
    let dates =
        dates.lines().filter_map(|line| line.split_once('=')).map(|(name, date)| (name, day(node, date)));
    let dates: BTreeMap<_, _> = dates.map(|(name, day)| Ok((name, day?))).collect::<Result<_>>()?;
    Ok(json!({"text": extensions, "dates": dates, "key": key.trim()}))
}

/// `AB:CD:…`, which differs with the key.
fn is_key_id(line: &str) -> bool {
    let hex = line.strip_prefix("keyid:").unwrap_or(line);
    hex.len() > 40 && hex.split(':').all(|pair| pair.len() == 2 && u8::from_str_radix(pair, 16).is_ok())
}

/// How many days from now: both ran within minutes of each other.
fn day(node: &Node, date: &str) -> Result<i64> {
    let seconds = node.sh_ok(&format!("echo $(( $(date -d '{date}' +%s) - $(date +%s) ))"))?;
    // Half a day up, so that a few minutes are not one day less.
    Ok((seconds.trim().parse::<i64>()? + 43_200).div_euclid(86_400))
}

/// The file, with the certificates in it read.
fn kubeconfig(node: &Node, path: &str) -> Result<Value> {
    let mut file: Value = rkadm_core::yaml::from_str(&text(node, path)?)?;
    for (list, inner, field) in
        [("clusters", "cluster", "certificate-authority-data"), ("users", "user", "client-certificate-data")]
    {
        if let Some(data) = file[list][0][inner].get_mut(field) {
            let encoded = data.as_str().unwrap_or_default().to_owned();
            *data = certificate(node, &format!("echo {encoded} | base64 -d"))?;
        }
    }
    if let Some(key) = file["users"][0]["user"].get_mut("client-key-data") {
        let encoded = key.as_str().unwrap_or_default().to_owned();
        *key = json!(node.sh_ok(&format!("echo {encoded} | base64 -d | head -1"))?);
    }
    Ok(file)
}
