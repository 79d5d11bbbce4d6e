//! How an object is applied: annotation `tidegate.io/apply`.

/// What git says about applying an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApplyRule {
    /// Applied, and kept as it was applied.
    #[default]
    Always,
    /// Created when it is absent, and never changed after that. What was there before is nobody's business.
    IfNotPresent,
    /// As though git did not have it; what was applied before stays.
    Ignore,
    /// Applied without force: fields that others have set otherwise are left to them.
    Merge,
}

impl ApplyRule {
    /// Reads an annotation's value.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "IfNotPresent" => Some(Self::IfNotPresent),
            "Ignore" => Some(Self::Ignore),
            "Merge" => Some(Self::Merge),
            _ => None,
        }
    }

    /// The annotation's value, `None` for the default.
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Always => None,
            Self::IfNotPresent => Some("IfNotPresent"),
            Self::Ignore => Some("Ignore"),
            Self::Merge => Some("Merge"),
        }
    }
}
