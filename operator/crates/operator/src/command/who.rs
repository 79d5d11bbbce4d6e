//! Who the API server takes the user for: what Approvals, Overrides and Freezes must say of their maker.

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{Api, PostParams};

use super::Failure;
use super::connect::Cluster;

/// Most groups in an Approval or Override.
const MAX_GROUPS: usize = 64;

/// The user.
pub(crate) struct Who {
    pub(crate) name: String,
    groups: Vec<String>,
}

/// Asks the API server.
pub(crate) async fn ask(cluster: &Cluster) -> Result<Who, Failure> {
    let api: Api<SelfSubjectReview> = Api::all(cluster.client.clone());
    let what = "ask who you are (create selfsubjectreviews.authentication.k8s.io)";
    let (params, nothing) = (PostParams::default(), SelfSubjectReview::default());
    let answer = cluster.within(what, api.create(&params, &nothing)).await?;
    let user = answer.status.and_then(|s| s.user_info).unwrap_or_default();
    let name = user.username.filter(|name| !name.is_empty());
    Ok(Who {
        name: name.ok_or_else(|| Failure::No(format!("{what}: the answer has no name")))?,
        groups: user.groups.unwrap_or_default(),
    })
}

impl Who {
    /// The groups to count for: those asked for, or all of the user's own but the one that everybody is in.
    pub(crate) fn groups(&self, asked: &[String]) -> Result<Vec<String>, Failure> {
        if let Some(foreign) = asked.iter().find(|group| !self.groups.contains(group)) {
            return Err(Failure::No(format!(
                "{} is not in group {foreign}, but in {}",
                self.name,
                self.groups.join(", ")
            )));
        }
        let own = self
            .groups
            .iter()
            .filter(|group| *group != "system:authenticated");
        let groups: Vec<String> = if asked.is_empty() {
            own.cloned().collect()
        } else {
            asked.to_vec()
        };
        if groups.len() > MAX_GROUPS {
            return Err(Failure::No(format!(
                "{} is in {} groups, at most {MAX_GROUPS} can be named; say with --group which ones count",
                self.name,
                groups.len()
            )));
        }
        Ok(groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_of_ones_own_are_named() {
        let who = |groups: &[&str]| Who {
            name: "bob".into(),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        };
        let bob = who(&["sre", "system:authenticated", "dev"]);
        assert_eq!(bob.groups(&[]).unwrap(), ["sre", "dev"]);
        assert_eq!(bob.groups(&["dev".to_owned()]).unwrap(), ["dev"]);
        let error = bob.groups(&["boss".to_owned()]).unwrap_err().to_string();
        assert_eq!(
            error,
            "bob is not in group boss, but in sre, system:authenticated, dev"
        );
        let many: Vec<String> = (0..65).map(|n| format!("g{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(who(&many).groups(&[]).is_err());
        assert!(who(&many).groups(&["g1".to_owned()]).is_ok());
    }
}
