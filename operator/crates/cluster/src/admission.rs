//! What the operator asks about its own admission policies: who it is, what is there, and whether something forged would be
//! taken. Writes nothing; what follows from the answers is core's to say.

use http::Method;
use serde_json::{Value, json};
use tidegate_api::admission::Forgery;
use tidegate_core::admission::Tried;

use crate::call::Call;
use crate::connect::Clients;
use crate::error::Error;
use crate::paths;

const REGISTRATION: (&str, &str) = ("admissionregistration.k8s.io", "v1");

/// Name of the user that the API server takes us for.
pub async fn own_name(clients: &Clients) -> Result<String, Error> {
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let path = paths::collection("authentication.k8s.io", "v1", "", "selfsubjectreviews");
    let (_, answer) = clients
        .json(&question("SelfSubjectReview", path.clone(), &review))
        .await?;
    let name = answer["status"]["userInfo"]["username"].as_str();
    name.map(str::to_owned).ok_or_else(|| Error::Undecodable {
        call: format!("create {path}"),
        cause: "it names no user".to_owned(),
    })
}

/// A ValidatingAdmissionPolicy and its binding of the same name, where they are there.
pub async fn policy(clients: &Clients, name: &str) -> Result<(Option<Value>, Option<Value>), Error> {
    let (group, version) = REGISTRATION;
    let path = |plural: &str| {
        format!(
            "{}/{}",
            paths::collection(group, version, "", plural),
            paths::segment(name)
        )
    };
    let policy = clients
        .find("ValidatingAdmissionPolicy", path("validatingadmissionpolicies"))
        .await?;
    let binding = path("validatingadmissionpolicybindings");
    let binding = clients.find("ValidatingAdmissionPolicyBinding", binding).await?;
    Ok((policy, binding))
}

/// Whether the API server would take something forged: a dry run, of which nothing is kept whatever the answer is, so that
/// it needs no lease.
pub async fn forge(clients: &Clients, namespace: &str, forgery: &Forgery) -> Tried {
    let object = json!({
        "apiVersion": format!("{}/{}", tidegate_api::GROUP, tidegate_api::VERSION),
        "kind": forgery.kind,
        "metadata": { "generateName": "forged-", "namespace": namespace },
        "spec": forgery.spec,
    });
    let collection = paths::collection(
        tidegate_api::GROUP,
        tidegate_api::VERSION,
        namespace,
        forgery.plural,
    );
    let call = question(forgery.kind, format!("{collection}?dryRun=All"), &object);
    match clients.call(&call).await {
        Ok(_) => Tried::Taken,
        Err(Error::Refused { refusal, .. }) if refusal.code < 500 => Tried::Refused(refusal.message),
        Err(error) => Tried::Unanswered(error.to_string()),
    }
}

/// A POST that asks and writes nothing.
fn question<'a>(kind: &'a str, path: String, body: &Value) -> Call<'a> {
    let call = Call {
        verb: "create",
        method: Method::POST,
        ..Call::get(kind, path)
    };
    call.body("application/json", body.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Reply, clients, status};

    fn forgery() -> Forgery {
        Forgery {
            plural: "approvals",
            kind: "Approval",
            spec: json!({ "approver": "somebody" }),
        }
    }

    #[tokio::test]
    async fn a_forgery_is_never_written() {
        let (clients, log) = clients(|_| Reply::Json(201, json!({})));
        assert_eq!(forge(&clients, "tidegate-system", &forgery()).await, Tried::Taken);
        let seen = log.lock().unwrap().clone();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].query, "dryRun=All");
        assert_eq!(
            seen[0].path,
            "/apis/tidegate.io/v1alpha1/namespaces/tidegate-system/approvals"
        );
        assert_eq!(seen[0].body["spec"]["approver"], "somebody");
    }

    #[tokio::test]
    async fn a_refusal_is_told_with_its_message_and_a_failure_is_none() {
        let (clients, _) = clients(|_| status(403, "denied request", "forged", "approvals"));
        let tried = forge(&clients, "x", &forgery()).await;
        assert_eq!(tried, Tried::Refused("denied request".to_owned()));
        let (clients, _) = crate::fake::clients(|_| status(500, "broken", "forged", "approvals"));
        assert!(matches!(
            forge(&clients, "x", &forgery()).await,
            Tried::Unanswered(_)
        ));
    }

    #[tokio::test]
    async fn what_is_not_there_is_no_failure() {
        let (clients, _) = clients(|seen| match seen.path.as_str() {
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/a" => {
                Reply::Json(200, json!({ "spec": {} }))
            }
            _ => status(404, "not found", "a", "validatingadmissionpolicybindings"),
        });
        assert_eq!(
            policy(&clients, "a").await.unwrap(),
            (Some(json!({ "spec": {} })), None)
        );
    }

    #[tokio::test]
    async fn the_own_name_is_the_api_servers_to_say() {
        let (clients, _) =
            clients(|_| Reply::Json(201, json!({ "status": { "userInfo": { "username": "x" } } })));
        assert_eq!(own_name(&clients).await.unwrap(), "x");
    }
}
