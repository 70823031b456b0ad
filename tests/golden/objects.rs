//! API objects.

use crate::fixture::{self, Scenario};
use rkadm_core::config::{GoDuration, Secret};
use rkadm_core::kube::objects::{self, CoreDnsInputs, KubeProxyInputs};
use rkadm_core::yaml;
use serde_json::{Value, json};

const HASH: &str = "kubeadm.kubernetes.io/component-config.hash";
/// What `refresh.py` puts in place of every expiry.
const EXPIRES: &str = "2030-01-02T03:04:05Z";

/// Everything that init creates, in its order.
fn created(scenario: &Scenario) -> Vec<Value> {
    let (init, cluster) = (&scenario.init, &scenario.init.cluster);
    let server = init.control_plane_endpoint();
    let expires = EXPIRES.parse().unwrap();
    let mut all = objects::kubeadm_config(cluster);
    all.extend(objects::kubelet_config(&init.kubelet, scenario.kubelet_generated));
    if init.certificate_key.is_some() {
        all.extend(uploaded_certs(scenario));
    }
    for token in &init.bootstrap_tokens {
        let lives_on = token.ttl.is_some_and(GoDuration::is_zero);
        all.push(objects::bootstrap_token(token, (!lives_on).then_some(expires)).unwrap());
    }
    all.extend(objects::bootstrap_rbac());
    all.extend(objects::cluster_info(&server, b"CA\n"));
    if !cluster.dns.disabled {
        let inputs = CoreDnsInputs { cluster, row: scenario.row, replicas: None, corefile: None };
        all.extend(objects::coredns(&inputs).unwrap());
    }
    if !cluster.proxy.disabled {
        let inputs = KubeProxyInputs {
            cluster,
            config: &init.kube_proxy,
            generated: scenario.kube_proxy_generated,
            server: &server,
            proxy_env: &scenario.proxy_env,
        };
        all.extend(objects::kube_proxy(&inputs).unwrap());
    }
    all
}

/// The token that owns the uploaded certificates is random: the recorded one is used again.
fn uploaded_certs(scenario: &Scenario) -> Vec<Value> {
    let recorded = scenario.recorded_objects();
    let secret = recorded.iter().find(|object| object["metadata"]["name"] == "kubeadm-certs").unwrap();
    let owner = secret["metadata"]["ownerReferences"][0]["name"].as_str().unwrap();
    let id = owner.trim_start_matches("bootstrap-token-");
    let token = recorded.iter().find(|object| object["metadata"]["name"] == owner).unwrap();
    let token = text_of(&token["data"]["token-secret"]);
    let encrypted = secret["data"].as_object().unwrap().keys();
    let encrypted = encrypted.map(|key| (key.clone(), b"encrypted".to_vec())).collect();
    let token = Secret::new(format!("{id}.{token}"));
    let mut all = vec![objects::certs_token(&token, EXPIRES.parse().unwrap()).unwrap()];
    all.extend(objects::uploaded_certs(&encrypted, owner, ""));
    all
}

fn text_of(base64: &Value) -> String {
    // Kept free of a dependency: the alphabet of tokens needs no padding rules.
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut bytes) = (0u32, 0, Vec::new());
    for digit in base64.as_str().unwrap().chars().filter_map(|c| ALPHABET.find(c)) {
        bits = bits << 6 | u32::try_from(digit).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Takes out what may differ, and parses YAML that is stored as text.
fn comparable(mut object: Value) -> Value {
    let map = object.as_object_mut().unwrap();
    // The server owns both: an applied object must not claim them. kubeadm prints Go's empty structs.
    map.remove("status");
    map["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    // The hash is over the text of the data, which quotes empty strings as '' here and as "" in kubeadm. Only its
    // agreement with its own data counts, and that it is there exactly when kubeadm has one.
    if let Some(hash) = map["metadata"].pointer_mut(&format!("/annotations/{}", HASH.replace('/', "~1"))) {
        *hash = "sha256:…".into();
    }
    if map["kind"] == "ConfigMap" {
        for text in map["data"].as_object_mut().unwrap().values_mut() {
            if let Ok(parsed @ Value::Object(_)) = yaml::from_str::<Value>(text.as_str().unwrap()) {
                *text = parsed;
            }
        }
    }
    // kubeadm 1.36 and later write the default of `httpEndpoints` out, which is `endpoints`. rkadm leaves it empty, which
    // means the same to them; whether the kubeadm of older minors accepts the field is not verified.
    if let Some(external) = object.pointer_mut("/data/ClusterConfiguration/etcd/external")
        && external.get("httpEndpoints") == external.get("endpoints")
    {
        external.as_object_mut().unwrap().remove("httpEndpoints");
    }
    object
}

#[test]
fn objects_are_those_of_kubeadm_in_its_order() {
    for scenario in fixture::all() {
        let ours = created(&scenario);
        let recorded = scenario.recorded_objects();
        let names = |objects: &[Value]| {
            objects.iter().map(|o| format!("{} {}", o["kind"], o["metadata"]["name"])).collect::<Vec<_>>()
        };
        assert_eq!(names(&ours), names(&recorded), "{}", scenario.name);
        for (ours, recorded) in ours.into_iter().zip(recorded) {
            assert_eq!(comparable(ours), comparable(recorded), "{}", scenario.name);
        }
    }
}

#[test]
fn a_config_map_is_signed_with_the_hash_of_its_own_text() {
    let scenario = fixture::all().remove(1);
    let signed: Vec<_> = created(&scenario)
        .into_iter()
        .filter(|object| object["metadata"]["annotations"][HASH].is_string())
        .map(|object| object["metadata"]["name"].clone())
        .collect();
    assert_eq!(signed, [json!("kubelet-config"), json!("kube-proxy")]);
}
