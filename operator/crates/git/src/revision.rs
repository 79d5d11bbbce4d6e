//! A commit as it is shown and recorded. Owns the reading of commit metadata; everything in it is other people's text
//! and is escaped here, once.

use crate::escape;
use git2::Commit;
use jiff::Timestamp;

/// One commit and the name it was found under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// `master`, `v1.2.3`, `refs/pull/7/head` or `commit`.
    pub reference: String,
    /// 40 hex digits.
    pub commit: String,
    /// Root tree, 40 hex digits.
    pub tree: String,
    /// Author's name, escaped, at most 200 characters; so are the other names and addresses.
    pub author_name: String,
    /// Author's address.
    pub author_email: String,
    /// Committer's name.
    pub committer_name: String,
    /// Committer's address.
    pub committer_email: String,
    /// Time of the commit as the committer's clock had it (never trusted for decisions).
    pub committed_at: Timestamp,
    /// First line of the message, escaped, at most 200 characters.
    pub subject: String,
    /// The annotated tag that the reference is, 40 hex digits; `None` for a branch or a lightweight tag.
    pub tag: Option<String>,
}

impl Revision {
    pub(crate) fn of(commit: &Commit<'_>, reference: &str) -> Self {
        let show = |raw: &[u8]| escape::bytes(raw, 200);
        let (author, committer) = (commit.author(), commit.committer());
        let message = commit.message_bytes().trim_ascii_start();
        let subject = message.split(|&b| b == b'\n').next().unwrap_or_default();
        Self {
            reference: reference.to_owned(),
            commit: commit.id().to_string(),
            tree: commit.tree_id().to_string(),
            author_name: show(author.name_bytes()),
            author_email: show(author.email_bytes()),
            committer_name: show(committer.name_bytes()),
            committer_email: show(committer.email_bytes()),
            // Clocks in commits may say anything: out of range becomes the epoch.
            committed_at: Timestamp::from_second(commit.time().seconds()).unwrap_or(Timestamp::UNIX_EPOCH),
            subject: show(subject.trim_ascii()),
            tag: None,
        }
    }

    /// The same, found through `object`: a tag, if it is not the commit itself.
    pub(crate) fn through(self, object: &str) -> Self {
        let tag = (object != self.commit).then(|| object.to_owned());
        Self { tag, ..self }
    }
}
