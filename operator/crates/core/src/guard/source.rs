//! Addresses of repositories, and patterns of those that are allowed.
//!
//! Both are brought to one form and compared part by part. What a server might read in another way than it is read here
//! (`..`, empty parts, encoded separators, backslashes, names before the host) matches no pattern.

use crate::glob;

/// An address in its one form, or a pattern of such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePattern {
    scheme: String,
    user: String,
    host: Vec<String>,
    port: String,
    path: Vec<String>,
}

impl SourcePattern {
    /// Reads a pattern: `https://git.example.com/shop/**`, `ssh://git@git.example.com/**` or `git@git.example.com:shop/*`.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        read(text)
            .map_err(|why| format!("`{text}` {why}; write a pattern such as https://git.example.com/shop/**"))
    }

    /// Whether the address of a repository is allowed by this pattern. An address that is not plain never is.
    pub fn allows(&self, address: &str) -> bool {
        let Ok(address) = read(address) else {
            return false;
        };
        self.scheme == address.scheme
            && self.port == address.port
            && glob::part(&self.user, &address.user)
            && glob::parts(&self.host, &address.host)
            && glob::parts(&self.path, &address.path)
    }
}

fn read(text: &str) -> Result<SourcePattern, &'static str> {
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("holds something else than printed ASCII characters");
    }
    if text.contains(['\\', '?', '#']) {
        return Err("holds a backslash, a query or a fragment");
    }
    let (scheme, authority, path) = match text.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').ok_or("has no path")?;
            (scheme.to_ascii_lowercase(), authority, path)
        }
        // As git has it: `user@host:path`.
        None => {
            let (authority, path) = text.split_once(':').ok_or("is no address of a repository")?;
            (
                "ssh".to_owned(),
                authority,
                path.strip_prefix('/').unwrap_or(path),
            )
        }
    };
    let default_port = match scheme.as_str() {
        "https" | "oci" => "443",
        "http" => "80",
        "ssh" => "22",
        _ => return Err("begins with none of https://, http://, ssh:// and oci://"),
    };
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (user, place),
        None => ("", authority),
    };
    let (host, port) = split_port(place)?;
    Ok(SourcePattern {
        user: read_user(&scheme, user)?,
        host: read_host(host)?,
        port: if port.is_empty() { default_port } else { port }.to_owned(),
        // Over ssh a percent sign is one.
        path: read_path(path, scheme != "ssh")?,
        scheme,
    })
}

/// Whoever is named before the host decides over ssh whose directories are meant; `git` when nobody is.
fn read_user(scheme: &str, user: &str) -> Result<String, &'static str> {
    if user.contains([':', '@', '%', '/']) || (scheme != "ssh" && !user.is_empty()) {
        return Err("has credentials before its host");
    }
    Ok(if user.is_empty() { "git" } else { user }.to_owned())
}

fn split_port(place: &str) -> Result<(&str, &str), &'static str> {
    if let Some(rest) = place.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("has a host that cannot be read")?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, number(port)?)),
            None if rest.is_empty() => Ok((host, "")),
            None => Err("has a host that cannot be read"),
        };
    }
    match place.split_once(':') {
        Some((host, port)) => Ok((host, number(port)?)),
        None => Ok((place, "")),
    }
}

fn number(port: &str) -> Result<&str, &'static str> {
    let plain = !port.is_empty() && !port.starts_with('0') && port.bytes().all(|b| b.is_ascii_digit());
    plain.then_some(port).ok_or("has a port that is no number")
}

fn read_host(host: &str) -> Result<Vec<String>, &'static str> {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if host.is_empty() {
        return Err("has no host");
    }
    // An IPv6 address is one part.
    if host.contains(':') {
        let plain = host
            .bytes()
            .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
        return plain.then(|| vec![host]).ok_or("has a host that cannot be read");
    }
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'*'))
    };
    let labels: Vec<String> = host.split('.').map(str::to_owned).collect();
    if !labels.iter().all(|l| label(l)) {
        return Err("has a host that cannot be read");
    }
    Ok(labels)
}

fn read_path(path: &str, encoded: bool) -> Result<Vec<String>, &'static str> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let read = |part: &str| {
        if encoded {
            decoded(part)
        } else {
            Some(part.to_owned())
        }
    };
    let mut parts = path
        .split('/')
        .map(read)
        .collect::<Option<Vec<String>>>()
        .ok_or("has a path with encoded characters that can be read in more than one way")?;
    if let Some(last) = parts.last_mut()
        && let Some(bare) = last.strip_suffix(".git")
    {
        *last = bare.to_owned();
    }
    if parts
        .iter()
        .any(|part| part.is_empty() || part == "." || part == "..")
    {
        return Err("has a path with an empty part, `.` or `..`");
    }
    Ok(parts)
}

/// Without percent signs, where they stand for letters, digits and other marks that mean nothing to a server.
fn decoded(part: &str) -> Option<String> {
    let mut plain = String::new();
    let mut rest = part;
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        let code = u8::from_str_radix(after.get(..2)?, 16).ok()?;
        let marks = code.is_ascii_alphanumeric() || matches!(code, b'.' | b'-' | b'_');
        plain.push(marks.then(|| char::from(code))?);
        rest = after.get(2..)?;
    }
    plain.push_str(rest);
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn allows(pattern: &str, address: &str) -> bool {
        SourcePattern::parse(pattern).unwrap().allows(address)
    }

    #[test]
    fn spellings_of_one_repository_are_one() {
        for (pattern, address) in [
            (
                "https://git.example.com/shop/**",
                "https://git.example.com/shop/web",
            ),
            (
                "https://git.example.com/shop/**",
                "https://git.example.com/shop/web.git",
            ),
            (
                "https://git.example.com/shop/web",
                "https://git.example.com/shop/web.git/",
            ),
            (
                "https://git.example.com/shop/web.git",
                "https://git.example.com/shop/web",
            ),
            (
                "https://git.example.com/shop/**",
                "HTTPS://Git.Example.Com:443/shop/a/b",
            ),
            (
                "https://git.example.com:443/shop/**",
                "https://git.example.com./shop/web",
            ),
            (
                "https://git.example.com/shop/**",
                "https://git.example.com/%73hop/web",
            ),
            ("https://*.example.com/**", "https://git.example.com/a/b"),
            (
                "ssh://git.example.com/shop/**",
                "git@git.example.com:shop/web.git",
            ),
            (
                "git@git.example.com:shop/*",
                "ssh://git@git.example.com:22/shop/web",
            ),
            (
                "ssh://*@git.example.com/shop/*",
                "ssh://deploy@git.example.com/shop/web",
            ),
            ("http://[::1]:3000/**", "http://[::1]:3000/a"),
        ] {
            assert!(allows(pattern, address), "{pattern} {address}");
        }
    }

    #[test]
    fn hostile_spellings_do_not_pass() {
        let pattern = "https://git.example.com/shop/**";
        for address in [
            "https://git.example.com/shop",
            "https://git.example.com/shop/",
            "https://git.example.com/shop/.git",
            "https://git.example.com/shop/../evil",
            "https://git.example.com/shop/x/../../evil/y",
            "https://git.example.com/shop/%2e%2e/evil",
            "https://git.example.com/shop/%2E./evil",
            "https://git.example.com/shop/..%2fevil",
            "https://git.example.com/shop%2fweb",
            "https://git.example.com/shop/%252e%252e/evil",
            "https://git.example.com/shop/./web",
            "https://git.example.com//shop/web",
            "https://git.example.com/shop//web",
            "https://git.example.com/shop/..\\evil",
            "https://git.example.com\\@evil.com/shop/web",
            "https://git.example.com@evil.com/shop/web",
            "https://git.example.com:443@evil.com/shop/web",
            "https://evil.com/shop/web?https://git.example.com/shop/web",
            "https://evil.com#@git.example.com/shop/web",
            "https://user@git.example.com/shop/web",
            "https://user:pass@git.example.com/shop/web",
            "https://git.example.com.evil.com/shop/web",
            "https://evil-git.example.com/shop/web",
            "https://git.example.com:8443/shop/web",
            "https://git.example.com:0443/shop/web",
            "https://git.example.com:/shop/web",
            "http://git.example.com/shop/web",
            "ssh://git@git.example.com/shop/web",
            "git@git.example.com:shop/web",
            "https://git.example.com/Shop/web",
            "https://git.example.com/shopping/web",
            "https://git.example.com/shop/w eb",
            "https://git.example.com/shop/web\n",
            "https://git.example.com/sh\u{43e}p/web",
            "https://g\u{456}t.example.com/shop/web",
            "https://git.example.com/shop/web?x=1",
            "https://git.example.com/shop/web#x",
            "https:///git.example.com/shop/web",
            "https:git.example.com/shop/web",
            "file:///shop/web",
            "",
        ] {
            assert!(!allows(pattern, address), "{address:?}");
        }
        assert!(!allows(
            "ssh://git.example.com/shop/**",
            "ssh://mallory@git.example.com/shop/web"
        ));
        assert!(!allows(
            "ssh://git.example.com/shop/**",
            "mallory@git.example.com:shop/web"
        ));
        assert!(!allows("https://*.example.com/**", "https://a.b.example.com/x"));
        assert!(!allows("https://*.example.com/**", "https://example.com/x"));
    }

    #[test]
    fn patterns_that_mean_nothing_are_refused() {
        for text in [
            "",
            "**",
            "https://**",
            "git.example.com/shop",
            "https://git.example.com/shop/../x",
            "https://user:pass@git.example.com/x",
            "ftp://git.example.com/x",
            "https://git.example.com:*/x",
            "https://git.example.com/",
        ] {
            assert!(SourcePattern::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_allowed_lies_under_the_prefix(address in "https://git\\.example\\.com[/a-z.%2eEfF@:\\\\]{0,24}") {
            if allows("https://git.example.com/aa/**", &address) {
                prop_assert!(address.starts_with("https://git.example.com/") || address.starts_with("https://git.example.com./"));
                prop_assert!(!address.contains("..") && !address.contains('@') && !address.contains('\\'));
            }
        }

        #[test]
        fn nothing_panics(pattern in any::<String>(), address in any::<String>()) {
            if let Ok(pattern) = SourcePattern::parse(&pattern) {
                pattern.allows(&address);
            }
        }
    }
}
