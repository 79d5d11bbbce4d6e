//! The people behind a release: authors, committers and signers of its commits.

/// One commit since the last good release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitFacts {
    /// Full id.
    pub commit: String,
    /// First line of the message.
    pub subject: String,
    /// Name of the author, for people.
    pub author_name: String,
    /// Address of the author.
    pub author_email: String,
    /// Address of the committer.
    pub committer_email: String,
    /// Its signature.
    pub signature: SignatureFacts,
    /// Files that it changes, as paths in the repository.
    pub paths: Vec<String>,
    /// True when it changes more files than are listed.
    pub more_paths: bool,
}

/// A signature as it was verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignatureFacts {
    /// What came of it.
    pub state: SignatureState,
    /// `SHA256:...` of an SSH key, or the fingerprint of an OpenPGP key.
    pub key_id: Option<String>,
    /// Whom the key belongs to, as the keyring says.
    pub identity: Option<String>,
    /// For people: why it is not good.
    pub message: String,
}

/// What came of verifying a signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureState {
    /// By a key of the keyring, and valid.
    Good,
    /// By a key that the keyring does not have.
    Unknown,
    /// Not valid: tampered with, expired, revoked, or of another person.
    Bad,
    /// There is none.
    #[default]
    None,
}
