//! SSH keys that may sign: lines of `ssh-keygen(1)`'s ALLOWED SIGNERS format, and plain public keys. Owns parsing and what
//! one line allows whom, when and for what.

use super::date;
use crate::escape;
use crate::known_hosts::wildcard;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use russh::keys::PublicKey;

/// git signs in this namespace.
pub(super) const NAMESPACE: &str = "git";

/// One key and what it may sign.
#[derive(Debug, Clone)]
pub(super) struct AllowedSigner {
    pub(super) key: PublicKey,
    /// Patterns of addresses as written; `None` for a plain public key, which stands for its comment and is not compared.
    principals: Option<String>,
    comment: String,
    namespaces: Option<String>,
    valid_after: Option<i64>,
    valid_before: Option<i64>,
}

impl AllowedSigner {
    /// Whom it belongs to, for messages.
    pub(super) fn owner(&self) -> &str {
        self.principals.as_deref().unwrap_or(&self.comment)
    }

    /// Whether this line speaks of addresses at all.
    pub(super) fn is_plain(&self) -> bool {
        self.principals.is_none()
    }

    /// Whether an address is one of its principals. Letter case is not looked at, as nowhere with addresses.
    pub(super) fn stands_for(&self, email: &str) -> bool {
        let patterns = self
            .principals
            .as_deref()
            .unwrap_or_default()
            .to_ascii_lowercase();
        in_list(&patterns, &email.to_ascii_lowercase())
    }

    /// `Err` says why it may not sign for git at that time (seconds).
    pub(super) fn allows(&self, at: i64) -> Result<(), String> {
        if let Some(patterns) = &self.namespaces
            && !in_list(patterns, NAMESPACE)
        {
            return Err(format!(
                "the key may sign in the namespaces {patterns:?} only, not in \"{NAMESPACE}\""
            ));
        }
        if let Some(after) = self.valid_after.filter(|after| at < *after) {
            return Err(format!(
                "the key is valid from {}, and it is dated {}",
                date(after),
                date(at)
            ));
        }
        if let Some(before) = self.valid_before.filter(|before| at > *before) {
            return Err(format!(
                "the key was valid until {}, and it is dated {}",
                date(before),
                date(at)
            ));
        }
        Ok(())
    }
}

/// A file of allowed signers; `Err` names the line.
pub(super) fn parse(text: &str) -> Result<Vec<AllowedSigner>, String> {
    lines(text)
        .map(|(number, line)| parse_line(line).map_err(|why| format!("line {number}: {why}")))
        .collect()
}

/// A file of public keys, one a line; `Err` names the line.
pub(super) fn parse_keys(text: &str, name: &str) -> Result<Vec<AllowedSigner>, String> {
    lines(text)
        .map(|(number, line)| {
            let key = PublicKey::from_openssh(line).map_err(|_| {
                format!("line {number}: it is no SSH public key such as `ssh-ed25519 AAAA...`")
            })?;
            let comment = key.comment().as_str_lossy().trim();
            let comment = escape::line(if comment.is_empty() { name } else { comment }, 254);
            Ok(AllowedSigner {
                key,
                principals: None,
                comment,
                namespaces: None,
                valid_after: None,
                valid_before: None,
            })
        })
        .collect()
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// `principals [options] type key [comment]`.
fn parse_line(line: &str) -> Result<AllowedSigner, String> {
    let (principals, rest) = word(line)?;
    let principals = principals.trim_matches('"').to_owned();
    if principals.is_empty() {
        return Err("it has no principals".to_owned());
    }
    let signer = |rest: &str| {
        let key = PublicKey::from_openssh(rest).ok()?;
        Some(AllowedSigner {
            comment: escape::line(key.comment().as_str_lossy(), 254),
            key,
            principals: Some(principals.clone()),
            namespaces: None,
            valid_after: None,
            valid_before: None,
        })
    };
    if let Some(found) = signer(rest) {
        return Ok(found);
    }
    let (options, rest) = word(rest)?;
    let mut found = signer(rest).ok_or_else(|| {
        "after the principals and options there is no SSH public key such as `ssh-ed25519 AAAA...`".to_owned()
    })?;
    for option in split_unquoted(options) {
        take_option(&mut found, option)?;
    }
    Ok(found)
}

fn take_option(signer: &mut AllowedSigner, option: &str) -> Result<(), String> {
    let (name, value) = option
        .split_once('=')
        .map_or((option, None), |(name, value)| (name, Some(value)));
    let quoted = || {
        value
            .and_then(|value| value.strip_prefix('"')?.strip_suffix('"'))
            .ok_or_else(|| {
                format!(
                    "option {:?} needs a value in double quotes",
                    escape::line(name, 40)
                )
            })
    };
    match name.to_ascii_lowercase().as_str() {
        "namespaces" => signer.namespaces = Some(quoted()?.to_owned()),
        "valid-after" => signer.valid_after = Some(time(quoted()?)?),
        "valid-before" => signer.valid_before = Some(time(quoted()?)?),
        "cert-authority" => {
            return Err("cert-authority is not supported; list the keys of the people themselves".to_owned());
        }
        _ => return Err(format!("option {:?} is not known", escape::line(name, 40))),
    }
    Ok(())
}

/// The first word, which may have quoted parts, and what follows it.
fn word(line: &str) -> Result<(&str, &str), String> {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_ascii_whitespace() && !quoted => {
                let (word, rest) = line.split_at(at);
                return Ok((word, rest.trim_start()));
            }
            _ => {}
        }
    }
    let why = if quoted {
        "a quote is not closed"
    } else {
        "there is no key"
    };
    Err(why.to_owned())
}

fn split_unquoted(options: &str) -> Vec<&str> {
    let mut quoted = false;
    options
        .split(|c| {
            quoted ^= c == '"';
            c == ',' && !quoted
        })
        .collect()
}

/// `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, with or without `Z`. OpenSSH takes one without as local time; here
/// local is UTC.
fn time(text: &str) -> Result<i64, String> {
    let digits = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let bad = || {
        format!(
            "{:?} is not a time such as 20260131 or 20260131120000Z",
            escape::line(text, 40)
        )
    };
    if ![8, 12, 14].contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let part = |from: usize, to: usize| {
        digits
            .get(from..to)
            .and_then(|d| d.parse::<i8>().ok())
            .unwrap_or(0)
    };
    let year = digits
        .get(..4)
        .and_then(|d| d.parse::<i16>().ok())
        .ok_or_else(bad)?;
    let civil = DateTime::new(
        year,
        part(4, 6),
        part(6, 8),
        part(8, 10),
        part(10, 12),
        part(12, 14),
        0,
    );
    let zoned = civil
        .and_then(|civil| civil.to_zoned(TimeZone::UTC))
        .map_err(|_| bad())?;
    Ok(zoned.timestamp().as_second())
}

/// OpenSSH's pattern lists: one pattern must match, and none of the negated ones.
fn in_list(patterns: &str, text: &str) -> bool {
    let mut found = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(negated) if wildcard(negated, text) => return false,
            Some(_) => {}
            None => found |= wildcard(pattern, text),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    #[test]
    fn lines_with_and_without_options() {
        let text = format!(
            "# team\n\nalice@example.com {KEY} laptop\n\
             *@example.com,!eve@example.com namespaces=\"git,file\",valid-after=\"20260101\",valid-before=\"202602011200Z\" {KEY}\n\
             \"bob@example.com\" NAMESPACES=\"file\" {KEY}\n"
        );
        let all = parse(&text).unwrap();
        assert_eq!(all.len(), 3);
        assert!(all[0].stands_for("Alice@Example.com") && !all[0].stands_for("bob@example.com"));
        assert!(all[1].stands_for("bob@example.com") && !all[1].stands_for("eve@example.com"));
        assert!(!all[1].stands_for("EVE@example.com"));
        assert!(all[2].stands_for("bob@example.com"));
        let start = 1_767_225_600;
        assert!(all[1].allows(start).is_ok());
        assert!(
            all[1]
                .allows(start - 1)
                .unwrap_err()
                .contains("valid from 2026-01-01")
        );
        let end = 1_769_947_200;
        assert!(all[1].allows(end).is_ok());
        assert!(
            all[1]
                .allows(end + 1)
                .unwrap_err()
                .contains("valid until 2026-02-01T12")
        );
        assert!(all[2].allows(0).unwrap_err().contains("namespaces"));
    }

    #[test]
    fn broken_lines_are_named() {
        for (text, part) in [
            ("alice@example.com".to_owned(), "line 1"),
            (format!("\n* cert-authority {KEY}"), "line 2: cert-authority"),
            (format!("* valid-after=\"tomorrow\" {KEY}"), "not a time"),
            (format!("* valid-after=20260101 {KEY}"), "double quotes"),
            (format!("* valid-after=\"20261301\" {KEY}"), "not a time"),
            (format!("* no-such-thing {KEY}"), "is not known"),
            ("* ssh-ed25519 AAAA".to_owned(), "no SSH public key"),
            (format!("\"a {KEY}"), "not closed"),
        ] {
            let why = parse(&text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
        assert!(parse_keys("nonsense", "x.pub").unwrap_err().contains("line 1"));
        let plain = parse_keys(&format!("{KEY}\n{KEY} alice@laptop\n"), "x.pub").unwrap();
        assert_eq!((plain[0].owner(), plain[1].owner()), ("x.pub", "alice@laptop"));
    }
}
