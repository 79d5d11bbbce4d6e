use serde_json::json;

use super::*;

fn kubeconfig(cluster: &Value, user: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": cluster}, {"name": "other", "cluster": {"server": "http://x"}}],
        "users": [{"name": "u", "user": user}, {"name": "other", "user": {"exec": {"command": "sh"}}}],
    })
}

fn good_cluster() -> Value {
    json!({"server": "https://10.0.0.1:6443", "certificate-authority-data": "QQ=="})
}

fn refusal(value: Value) -> String {
    read(value).expect_err("it was taken").to_string()
}

#[test]
fn what_stands_in_it_is_taken_and_contexts_that_are_not_used_do_not_matter() {
    for user in [
        json!({"token": "t"}),
        json!({"client-certificate-data": "QQ==", "client-key-data": "QQ=="}),
        json!({"username": "u", "password": "p"}),
    ] {
        read(kubeconfig(&good_cluster(), &user)).unwrap();
    }
}

#[test]
fn programs_files_and_unverified_servers_are_refused_each_by_name() {
    let users = [
        (
            json!({"exec": {"apiVersion": "v1", "command": "sh", "args": ["-c", "id"]}}),
            "exec",
        ),
        (
            json!({"auth-provider": {"name": "gcp", "config": {}}}),
            "auth-provider",
        ),
        (json!({"tokenFile": "/var/run/secrets/token"}), "tokenFile"),
        (
            json!({"client-certificate": "/etc/tls.crt"}),
            "client-certificate names",
        ),
        (json!({"client-key": "/etc/tls.key"}), "client-key names"),
        (json!({"token": "t", "as": "system:admin"}), "as-groups"),
        (
            json!({"token": "t", "as-groups": ["system:masters"]}),
            "as-groups",
        ),
    ];
    for (user, named) in users {
        let said = refusal(kubeconfig(&good_cluster(), &user));
        assert!(said.contains(named), "{said}");
    }
    let clusters = [
        (json!({"server": "http://10.0.0.1"}), "https://"),
        (json!({}), "https://"),
        (
            json!({"server": "https://a", "insecure-skip-tls-verify": true}),
            "insecure-skip-tls-verify",
        ),
        (
            json!({"server": "https://a", "certificate-authority": "/etc/ca.crt"}),
            "certificate-authority names",
        ),
        (
            json!({"server": "https://a", "proxy-url": "socks5://b"}),
            "proxy-url",
        ),
    ];
    for (cluster, named) in clusters {
        let said = refusal(kubeconfig(&cluster, &json!({"token": "t"})));
        assert!(said.contains(named), "{said}");
    }
}

#[test]
fn all_faults_are_said_at_once_and_no_secret_is() {
    let cluster = json!({"server": "http://a", "proxy-url": "http://b"});
    let user = json!({"token": "hunter2", "client-key-data": "hunter3", "exec": {"command": "sh"}});
    let said = refusal(kubeconfig(&cluster, &user));
    assert!(
        said.contains("https://") && said.contains("proxy-url") && said.contains("exec"),
        "{said}"
    );
    assert!(!said.contains("hunter"), "{said}");
}

#[test]
fn a_context_that_leads_nowhere_is_named() {
    let mut value = kubeconfig(&good_cluster(), &json!({"token": "t"}));
    value["current-context"] = json!("d");
    assert!(refusal(value.clone()).contains("current-context is d"));
    value["current-context"] = Value::Null;
    assert!(refusal(value.clone()).contains("current-context is missing"));
    value["current-context"] = json!("c");
    value["users"] = json!([]);
    assert!(refusal(value).contains("user u"));
    for secret in [
        json!("hunter2"),
        kubeconfig(&good_cluster(), &json!({"token": 12345})),
    ] {
        let said = refusal(secret);
        assert!(said.contains("has not the form of one"), "{said}");
        assert!(!said.contains("hunter2") && !said.contains("12345"), "{said}");
    }
}
