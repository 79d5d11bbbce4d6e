//! Repository URLs: what may be written in `spec.url`. Owns parsing and refusal; sends nothing.

use crate::{Error, escape};
use std::fmt;

/// How a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// `http://`: for servers inside the cluster.
    Http,
    /// `https://`.
    Https,
    /// `ssh://` or `git@host:path`.
    Ssh,
}

/// A checked repository URL without credentials. Two spellings of one address compare equal where that is certain
/// (host case, default port).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepoUrl {
    scheme: Scheme,
    user: Option<String>,
    host: String,
    port: u16,
    path: String,
    scp_like: bool,
}

impl RepoUrl {
    /// Reads `https://`, `http://`, `ssh://[user@]host[:port]/path` or `[user@]host:path`.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`] for everything else: other schemes, `file://`, `ext::` and other remote helpers, local
    /// paths, options (leading `-`), credentials in the URL, control characters, queries and fragments.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |why: &str| Error::InvalidUrl {
            url: redact(text),
            why: why.to_owned(),
        };
        if text.is_empty() {
            return Err(refuse("it is empty"));
        }
        if text.len() > 2048 {
            return Err(refuse("it is longer than 2048 characters"));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(refuse("it holds white space or control characters"));
        }
        if text.starts_with('-') {
            return Err(refuse("it starts with '-', like an option"));
        }
        if is_remote_helper(text) {
            return Err(refuse("remote helpers such as ext:: are never run"));
        }
        match text.split_once("://") {
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => from_url(text, Scheme::Https),
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => from_url(text, Scheme::Http),
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("ssh") => from_url(text, Scheme::Ssh),
            Some(_) => Err("only https://, http://, ssh:// and git@host:path are spoken"),
            None => scp_like(text),
        }
        .map_err(refuse)
    }

    /// How it is reached.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host name or address, lower case, IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port, the scheme's default if none was written.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// ssh user, `git` if none was written.
    pub(crate) fn user(&self) -> &str {
        self.user.as_deref().unwrap_or("git")
    }

    /// Path as the server gets it over ssh.
    pub(crate) fn ssh_path(&self) -> &str {
        // ssh://host/~alice/x means alice's home directory, as git does it.
        match self.path.strip_prefix('/') {
            Some(home) if home.starts_with('~') => home,
            _ => &self.path,
        }
    }

    /// `scheme host port` as one string: the unit of trust for credentials and of fairness between servers.
    pub(crate) fn origin(&self) -> String {
        format!("{} {} {}", self.scheme.name(), self.host, self.port)
    }

    /// The base for HTTP requests, without trailing slash.
    pub(crate) fn http_base(&self) -> String {
        let authority = authority(&self.host, self.port, self.scheme.default_port());
        format!(
            "{}://{authority}{}",
            self.scheme.name(),
            self.path.trim_end_matches('/')
        )
    }
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ssh => "ssh",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Ssh => 22,
        }
    }
}

impl fmt::Display for RepoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = authority(&self.host, self.port, self.scheme.default_port());
        match (&self.user, self.scp_like) {
            (Some(user), true) => write!(f, "{user}@{authority}:{}", self.path),
            (None, true) => write!(f, "{authority}:{}", self.path),
            (Some(user), false) => write!(f, "{}://{user}@{authority}{}", self.scheme.name(), self.path),
            (None, false) => write!(f, "{}://{authority}{}", self.scheme.name(), self.path),
        }
    }
}

impl fmt::Debug for RepoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RepoUrl({self})")
    }
}

fn authority(host: &str, port: u16, default: u16) -> String {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    if port == default {
        host
    } else {
        format!("{host}:{port}")
    }
}

fn is_remote_helper(text: &str) -> bool {
    text.split_once("::").is_some_and(|(name, _)| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    })
}

fn from_url(text: &str, scheme: Scheme) -> Result<RepoUrl, &'static str> {
    let parsed = url::Url::parse(text).map_err(|_| "it cannot be read as a URL")?;
    if parsed.password().is_some() || (scheme != Scheme::Ssh && !parsed.username().is_empty()) {
        return Err("credentials belong into the Secret of spec.secretRef, not into the URL");
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err("a repository URL has no query and no fragment");
    }
    let host = parsed
        .host_str()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .to_ascii_lowercase();
    check_host(&host)?;
    let user = (!parsed.username().is_empty()).then(|| parsed.username().to_owned());
    check_user(user.as_deref())?;
    // Over ssh the path goes to the server as it is; over HTTP it stays percent-encoded.
    let path = match scheme {
        Scheme::Ssh => raw_path(text),
        Scheme::Http | Scheme::Https => parsed.path().to_owned(),
    };
    if path.trim_matches('/').is_empty() {
        return Err("it names no repository");
    }
    check_path(&path)?;
    let port = parsed.port().unwrap_or_else(|| scheme.default_port());
    Ok(RepoUrl {
        scheme,
        user,
        host,
        port,
        path,
        scp_like: false,
    })
}

fn raw_path(text: &str) -> String {
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    rest.find('/')
        .map_or_else(String::new, |at| rest[at..].to_owned())
}

fn scp_like(text: &str) -> Result<RepoUrl, &'static str> {
    let (head, path) = text
        .split_once(':')
        .ok_or("local paths are refused: write https://, ssh:// or git@host:path")?;
    if head.contains('/') {
        return Err("local paths are refused: write https://, ssh:// or git@host:path");
    }
    let (user, host) = match head.split_once('@') {
        Some((user, host)) => (Some(user.to_owned()), host.to_ascii_lowercase()),
        None => (None, head.to_ascii_lowercase()),
    };
    check_host(&host)?;
    check_user(user.as_deref())?;
    check_path(path)?;
    if user.is_none() && path.contains('@') {
        return Err("credentials belong into the Secret of spec.secretRef, not into the URL");
    }
    if path.is_empty() {
        return Err("it names no repository");
    }
    if host.len() == 1 {
        return Err("it looks like a drive letter: local paths are refused");
    }
    Ok(RepoUrl {
        scheme: Scheme::Ssh,
        user,
        host,
        port: 22,
        path: path.to_owned(),
        scp_like: true,
    })
}

fn check_host(host: &str) -> Result<(), &'static str> {
    if host.is_empty() {
        return Err("it names no host");
    }
    if host.starts_with('-') {
        return Err("the host starts with '-', like an option");
    }
    if !host
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || ".-_:".contains(c))
    {
        return Err("the host holds characters no host name has");
    }
    Ok(())
}

fn check_user(user: Option<&str>) -> Result<(), &'static str> {
    let Some(user) = user else { return Ok(()) };
    if user.contains(':') {
        return Err("credentials belong into the Secret of spec.secretRef, not into the URL");
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    if user.is_empty() || user.starts_with('-') || !user.chars().all(plain) {
        return Err("the user name holds characters that are refused");
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), &'static str> {
    if path.trim_start_matches('/').starts_with('-') {
        return Err("the path starts with '-', like an option");
    }
    if path.split('/').any(|part| part == "..") {
        return Err("the path holds '..'");
    }
    Ok(())
}

/// The URL for a message: whatever stands where credentials could stand is cut out, up to the last '@' (a password may
/// hold slashes), as are query and fragment.
fn redact(text: &str) -> String {
    let (scheme, rest) = text
        .split_once("://")
        .map_or(("", text), |(scheme, rest)| (scheme, rest));
    let shown = match rest.rsplit_once('@') {
        Some((user, host)) if scheme.is_empty() && !user.contains(':') => format!("{user}@{host}"),
        Some((_, host)) => format!("***@{host}"),
        None => rest.to_owned(),
    };
    let shown = shown.split(['?', '#']).next().unwrap_or_default();
    let shown = if scheme.is_empty() {
        shown.to_owned()
    } else {
        format!("{scheme}://{shown}")
    };
    escape::line(&shown, 200)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_spelling_people_use_is_read() {
        for (text, shown) in [
            (
                "https://git.example.com/a/b.git",
                "https://git.example.com/a/b.git",
            ),
            ("HTTPS://Git.Example.com:443/a", "https://git.example.com/a"),
            ("http://git.svc:3000/a", "http://git.svc:3000/a"),
            ("http://[::1]:3000/a", "http://[::1]:3000/a"),
            (
                "ssh://git@host:2222/a b.git".trim_end_matches(" b.git"),
                "ssh://git@host:2222/a",
            ),
            ("ssh://host/~alice/a", "ssh://host/~alice/a"),
            ("git@github.com:o/r.git", "git@github.com:o/r.git"),
            ("host.example:r", "host.example:r"),
        ] {
            assert_eq!(RepoUrl::parse(text).unwrap().to_string(), shown);
        }
        assert_eq!(
            RepoUrl::parse("ssh://host/~alice/a").unwrap().ssh_path(),
            "~alice/a"
        );
        assert_eq!(RepoUrl::parse("https://h/a/").unwrap().http_base(), "https://h/a");
    }

    #[test]
    fn hostile_urls_are_refused() {
        for text in [
            "",
            "-oProxyCommand=x",
            "--upload-pack=x",
            "ext::sh -c x",
            "ext::sh",
            "fd::17",
            "file:///etc",
            "/etc/passwd",
            "./x",
            "../x",
            "C:\\repo",
            "git://host/x",
            "ssh://-oProxyCommand=x/y",
            "ssh://-x/y",
            "git@-x:y",
            "git@host:--upload-pack=touch",
            "-git@host:x",
            "ssh://host/--upload-pack=x",
            "https://user:hunter2@host/x",
            "https://token@host/x",
            "ssh://git:hunter2@host/x",
            "git:hunter2@host:x",
            "https://host/x?token=hunter2",
            "https://host/x#y",
            "https://host",
            "https:///x",
            "https://host/\u{1b}[31m",
            "https://ho st/x",
            "https://host/x\n",
            "ssh://host/../x",
            "javascript:alert(1)//@:",
        ] {
            let error = RepoUrl::parse(text).expect_err(text);
            assert_eq!(error.reason(), "InvalidURL", "{text}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert!(!error.to_string().contains('\u{1b}'), "{error}");
        }
    }

    #[test]
    fn passwords_with_slashes_and_ats_stay_hidden() {
        for text in [
            "https://u:hun/ter2@host/x",
            "https://u:hun@ter2@host/x",
            "foo://u:hunter2@host/x",
        ] {
            let shown = RepoUrl::parse(text).expect_err(text).to_string();
            assert!(!shown.contains("hun") && !shown.contains("ter2"), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_parses_again_from_its_display(text in "[a-z@:/.~-]{1,30}") {
            if let Ok(url) = RepoUrl::parse(&text) {
                prop_assert_eq!(RepoUrl::parse(&url.to_string()).unwrap(), url);
            }
        }

        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = RepoUrl::parse(&text);
        }
    }
}
