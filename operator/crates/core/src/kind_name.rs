//! Kinds as people name them in policies: `Namespace`, or with the group `StatefulSet.apps`.

use crate::object::ObjectId;

/// A kind, with or without its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindName {
    kind: String,
    /// `None`: whatever its group.
    group: Option<String>,
}

impl KindName {
    /// Reads `Kind` or `Kind.group`. Without a group the kind is meant in every group: too much is protected rather than
    /// too little.
    ///
    /// # Errors
    /// What is wrong with the name, and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (kind, group) = match text.split_once('.') {
            Some((kind, group)) => (kind, Some(group)),
            None => (text, None),
        };
        let word = |c: char| c.is_ascii_alphanumeric();
        let named = kind.starts_with(|c: char| c.is_ascii_uppercase()) && kind.chars().all(word);
        let label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        if !named || group.is_some_and(|group| !group.split('.').all(label)) {
            return Err(format!(
                "`{text}` is not the name of a kind; write Kind or Kind.group, as in Namespace or StatefulSet.apps"
            ));
        }
        Ok(Self {
            kind: kind.to_owned(),
            group: group.map(str::to_owned),
        })
    }

    /// Whether an object is of this kind.
    pub fn is_of(&self, id: &ObjectId) -> bool {
        *self.kind == *id.kind && self.group.as_deref().is_none_or(|group| group == &*id.group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_narrows_and_its_absence_does_not() {
        let id = ObjectId::new("apps", "StatefulSet", "shop", "db");
        for (text, is) in [
            ("StatefulSet", true),
            ("StatefulSet.apps", true),
            ("StatefulSet.example.com", false),
            ("Deployment.apps", false),
        ] {
            assert_eq!(KindName::parse(text).unwrap().is_of(&id), is, "{text}");
        }
        let core = ObjectId::new("", "Namespace", "", "shop");
        assert!(KindName::parse("Namespace").unwrap().is_of(&core));
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            "namespace",
            "apps/StatefulSet",
            "StatefulSet.",
            "StatefulSet.Apps",
            "*",
            "Pod v1",
            ".apps",
        ] {
            let error = KindName::parse(text).unwrap_err();
            assert!(error.contains("StatefulSet.apps"), "{error}");
        }
    }
}
