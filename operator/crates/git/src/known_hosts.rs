//! known_hosts: which ssh host keys are trusted. Owns parsing and the decision; format as in sshd(8).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use russh::keys::{Algorithm, PublicKey};

/// What known_hosts says about an offered key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Trusted,
    /// No line for this host.
    Unknown,
    /// Lines for this host, none with this key; or the key is marked `@revoked`.
    Mismatch,
}

#[derive(Clone)]
pub(crate) struct KnownHosts(Vec<Line>);

#[derive(Clone)]
struct Line {
    hosts: String,
    key: PublicKey,
    revoked: bool,
}

impl KnownHosts {
    /// Reads the file; `Err` says which line is broken. Certificate authorities are not supported and said so.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut lines = Vec::new();
        for (at, raw) in text.lines().enumerate() {
            let raw = raw.trim();
            if raw.is_empty() || raw.starts_with('#') {
                continue;
            }
            lines.push(parse_line(raw).map_err(|why| format!("line {}: {why}", at + 1))?);
        }
        if lines.is_empty() {
            return Err(
                "it has no entry; run ssh-keyscan and compare with the server's published keys".to_owned(),
            );
        }
        Ok(Self(lines))
    }

    pub(crate) fn judge(&self, host: &str, port: u16, offered: &PublicKey) -> Verdict {
        let same = |line: &Line| line.key.key_data() == offered.key_data();
        let lines: Vec<&Line> = self.0.iter().filter(|line| line.names(host, port)).collect();
        if lines.iter().any(|line| line.revoked && same(line)) {
            return Verdict::Mismatch;
        }
        let mut trusted = lines.iter().filter(|line| !line.revoked).peekable();
        if trusted.peek().is_none() {
            return Verdict::Unknown;
        }
        if trusted.any(|line| same(line)) {
            Verdict::Trusted
        } else {
            Verdict::Mismatch
        }
    }

    /// Key types known for the host: only these are negotiated, so that a server with several keys offers a known one.
    pub(crate) fn algorithms(&self, host: &str, port: u16) -> Vec<Algorithm> {
        let known = self
            .0
            .iter()
            .filter(|line| !line.revoked && line.names(host, port));
        known.map(|line| line.key.algorithm()).collect()
    }
}

impl Line {
    fn names(&self, host: &str, port: u16) -> bool {
        let name = if port == 22 {
            host.to_owned()
        } else {
            format!("[{host}]:{port}")
        };
        let mut found = false;
        for pattern in self.hosts.split(',') {
            match pattern.strip_prefix('!') {
                Some(negated) if wildcard(negated, &name) => return false,
                Some(_) => {}
                None => found |= hashed(pattern, &name).unwrap_or_else(|| wildcard(pattern, &name)),
            }
        }
        found
    }
}

fn parse_line(raw: &str) -> Result<Line, &'static str> {
    let mut fields = raw.split_ascii_whitespace().peekable();
    let revoked = match fields.peek() {
        Some(&"@revoked") => fields.next().is_some(),
        Some(&"@cert-authority") => return Err("@cert-authority is not supported, list the host's own key"),
        _ => false,
    };
    let hosts = fields
        .next()
        .ok_or("no host name")?
        .to_ascii_lowercase_unless_hashed();
    let kind = fields.next().ok_or("no key type")?;
    let blob = fields.next().ok_or("no key")?;
    let key = PublicKey::from_openssh(&format!("{kind} {blob}")).map_err(|_| "the key cannot be read")?;
    Ok(Line { hosts, key, revoked })
}

trait HostList {
    fn to_ascii_lowercase_unless_hashed(&self) -> String;
}

impl HostList for str {
    fn to_ascii_lowercase_unless_hashed(&self) -> String {
        // Base64 of a hashed name is case-sensitive, a host name is not.
        if self.starts_with('|') {
            self.to_owned()
        } else {
            self.to_ascii_lowercase()
        }
    }
}

/// `Some(matches)` if the pattern is a hashed name `|1|salt|hash`.
fn hashed(pattern: &str, name: &str) -> Option<bool> {
    let (salt, hash) = pattern.strip_prefix("|1|")?.split_once('|')?;
    let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else {
        return Some(false);
    };
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    Some(ring::hmac::verify(&key, name.as_bytes(), &hash).is_ok())
}

/// `*` and `?` as in OpenSSH's files, without backtracking explosion (the last star is enough).
pub(crate) fn wildcard(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(&c) if c == b'?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((after, from)) => {
                    p = after;
                    n = from + 1;
                    star = Some((after, n));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7i0X+Qd0B1lPp2yD8X0nJ4kAq5v8rM0fQm1k0f3hGk";

    fn key(text: &str) -> PublicKey {
        PublicKey::from_openssh(text).unwrap()
    }

    #[test]
    fn plain_port_and_wildcard_entries() {
        let known = KnownHosts::parse(&format!(
            "# c\ngit.example.com,10.0.0.1 {A} x\n[h]:2222 {A}\n*.w,!no.w {A}\n"
        ))
        .unwrap();
        for (host, port, want) in [
            ("git.example.com", 22, Verdict::Trusted),
            ("10.0.0.1", 22, Verdict::Trusted),
            ("git.example.com", 2222, Verdict::Unknown),
            ("h", 2222, Verdict::Trusted),
            ("h", 22, Verdict::Unknown),
            ("a.w", 22, Verdict::Trusted),
            ("no.w", 22, Verdict::Unknown),
        ] {
            assert_eq!(known.judge(host, port, &key(A)), want, "{host}:{port}");
        }
        assert_eq!(known.judge("h", 2222, &key(B)), Verdict::Mismatch);
    }

    #[test]
    fn hashed_and_revoked_entries() {
        let salt = [7_u8; 20];
        let mac = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
        let hash = STANDARD.encode(ring::hmac::sign(&mac, b"secret.host"));
        let text = format!("|1|{}|{hash} {A}\n@revoked * {B}\n", STANDARD.encode(salt));
        let known = KnownHosts::parse(&text).unwrap();
        assert_eq!(known.judge("secret.host", 22, &key(A)), Verdict::Trusted);
        assert_eq!(known.judge("other.host", 22, &key(A)), Verdict::Unknown);
        assert_eq!(known.judge("secret.host", 22, &key(B)), Verdict::Mismatch);
    }

    #[test]
    fn broken_files_name_the_line() {
        for (text, part) in [
            ("", "no entry"),
            ("\nhost", "line 2"),
            ("h ssh-ed25519 xx", "line 1"),
            ("@cert-authority * x y", "not supported"),
        ] {
            let why = KnownHosts::parse(text).err().unwrap();
            assert!(why.contains(part), "{why}");
        }
    }
}
