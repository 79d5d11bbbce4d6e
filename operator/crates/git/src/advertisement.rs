//! The reference advertisement of protocol v0 (gitprotocol-pack, "Reference Discovery"). Owns its reading: streamed,
//! capped by bytes and count, and only what the matcher wants is kept.

use crate::cancel::Watch;
use crate::pkt_line::{Packet, PacketReader};
use crate::refs::{Advertised, Matcher};
use crate::{Error, Limits, escape};
use std::io::Read;

#[derive(Default)]
pub(crate) struct Advertisement {
    pub(crate) kept: Vec<Advertised>,
    pub(crate) capabilities: Vec<String>,
    /// Boundary of a server that is itself a shallow clone.
    pub(crate) shallow: Vec<String>,
    count: u64,
}

impl Advertisement {
    pub(crate) fn read(
        stream: impl Read,
        matcher: &Matcher,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<Self, Error> {
        let mut reader = PacketReader::new(stream, watch);
        let mut found = Self::default();
        let mut in_service_header = false;
        let mut started = false;
        loop {
            let too_long = reader.taken() > limits.max_ref_bytes;
            let Some(packet) = reader.next()? else {
                let why = if started {
                    "in the list of references"
                } else {
                    "before the list of references"
                };
                return Err(Error::Truncated {
                    url: watch.url().to_owned(),
                    why: why.to_owned(),
                });
            };
            if too_long {
                let url = watch.url().to_owned();
                return Err(Error::TooManyRefs {
                    url,
                    limit: limits.max_ref_bytes,
                    unit: "bytes",
                });
            }
            match packet {
                Packet::Flush if in_service_header => in_service_header = false,
                Packet::Flush => break,
                Packet::Data(data) if !started && data.starts_with(b"# service=") => in_service_header = true,
                Packet::Data(data) => {
                    found.line(data, !started, matcher, watch)?;
                    started = started || !data.starts_with(b"version ");
                }
            }
            if found.count > limits.max_refs {
                let url = watch.url().to_owned();
                return Err(Error::TooManyRefs {
                    url,
                    limit: limits.max_refs,
                    unit: "pieces",
                });
            }
        }
        if found.count == 0 {
            return Err(Error::EmptyRepository {
                url: watch.url().to_owned(),
            });
        }
        Ok(found)
    }

    pub(crate) fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|c| c == capability)
    }

    fn line(&mut self, data: &[u8], first: bool, matcher: &Matcher, watch: &Watch) -> Result<(), Error> {
        if let Some(message) = data.strip_prefix(b"ERR ") {
            return Err(server_error(message, watch));
        }
        let data = data.strip_suffix(b"\n").unwrap_or(data);
        if first && data.starts_with(b"version ") {
            return Ok(());
        }
        let (data, capabilities) = match data.iter().position(|&b| b == 0) {
            Some(at) if first => (&data[..at], Some(&data[at + 1..])),
            _ => (data, None),
        };
        if let Some(raw) = capabilities {
            self.capabilities = String::from_utf8_lossy(raw)
                .split(' ')
                .map(str::to_owned)
                .collect();
            if self.can("object-format=sha256") {
                return Err(watch.protocol("repositories with SHA-256 objects are not supported"));
            }
        }
        // A name that is not UTF-8 cannot be asked for: it counts and is passed over.
        let Ok(line) = std::str::from_utf8(data) else {
            self.count += 1;
            return Ok(());
        };
        let (object, name) = line
            .split_once(' ')
            .ok_or_else(|| watch.protocol("a reference line has no name"))?;
        if object == "shallow" {
            self.shallow
                .push(crate::refs::full_id(name).map_err(|_| watch.protocol("a shallow line has no id"))?);
            return Ok(());
        }
        let object =
            crate::refs::full_id(object).map_err(|_| watch.protocol("a reference line has no object id"))?;
        if name == "capabilities^{}" {
            return Ok(());
        }
        self.count += 1;
        match name.strip_suffix("^{}") {
            Some(tag) => {
                if let Some(last) = self.kept.last_mut().filter(|last| last.name == tag) {
                    last.peeled = Some(object);
                }
            }
            None if matcher.wants(name) => {
                self.kept.push(Advertised {
                    name: name.to_owned(),
                    object,
                    peeled: None,
                });
            }
            None => {}
        }
        Ok(())
    }
}

/// The server's own words, sorted: the usual ones are not "an error of the server" but an answer.
pub(crate) fn server_error(message: &[u8], watch: &Watch) -> Error {
    let url = watch.url().to_owned();
    let why = escape::bytes(message.trim_ascii(), 200);
    let lower = why.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&[
        "permission denied",
        "access denied",
        "not authorized",
        "unauthorized",
        "forbidden",
    ]) {
        return Error::AuthenticationFailed { url, why };
    }
    if says(&[
        "not found",
        "does not exist",
        "does not appear to be a git repository",
        "not exported",
    ]) {
        return Error::RepositoryNotFound { url, why };
    }
    if says(&["not our ref", "not a valid ref"]) {
        return Error::CommitNotFound {
            url,
            commit: why.rsplit(' ').next().unwrap_or_default().to_owned(),
        };
    }
    if says(&[
        "corrupt",
        "bad object",
        "unable to read",
        "missing blob",
        "missing tree",
    ]) {
        return Error::Corrupt {
            url,
            why: format!("the server says: {why}"),
        };
    }
    Error::ServerError { url, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RefSpec;
    use crate::cancel::Cancel;
    use crate::pkt_line::{FLUSH, append};
    use std::sync::Arc;
    use std::time::Duration;

    fn read(lines: &[&str], limits: Limits) -> Result<Advertisement, Error> {
        let mut bytes = Vec::new();
        for line in lines {
            if line.is_empty() {
                bytes.extend_from_slice(FLUSH);
            } else {
                append(&mut bytes, line);
            }
        }
        let watch = Watch::start(&Arc::new(Cancel::default()), "u", Duration::from_secs(5));
        let matcher = RefSpec::Tag("v1".to_owned()).matcher()?;
        Advertisement::read(bytes.as_slice(), &matcher, &limits, &watch)
    }

    const ID: &str = "1111111111111111111111111111111111111111";

    #[test]
    fn keeps_what_is_wanted_with_capabilities_peeled_id_and_boundary() {
        let head = format!("{ID} HEAD\0multi_ack side-band-64k\n");
        let (tag, peeled) = (
            format!("{ID} refs/tags/v1\n"),
            format!("{} refs/tags/v1^{{}}\n", "2".repeat(40)),
        );
        let shallow = format!("shallow {ID}");
        let lines = [
            "# service=git-upload-pack\n",
            "",
            "version 1\n",
            &head,
            &tag,
            &peeled,
            &shallow,
            "",
        ];
        let found = read(&lines, Limits::default()).unwrap();
        assert_eq!(found.kept.len(), 1);
        assert_eq!(found.kept[0].peeled.as_deref(), Some("2".repeat(40).as_str()));
        assert!(found.can("side-band-64k") && found.shallow == [ID]);
    }

    #[test]
    fn odd_answers_get_their_own_reason() {
        let zero = format!("{} capabilities^{{}}\0x\n", "0".repeat(40));
        let many = format!("{ID} refs/heads/a\n");
        let small = Limits {
            max_refs: 1,
            ..Limits::default()
        };
        let tight = Limits {
            max_ref_bytes: 10,
            ..Limits::default()
        };
        for (lines, limits, reason) in [
            (vec![zero.as_str(), ""], Limits::default(), "EmptyRepository"),
            (vec![""], Limits::default(), "EmptyRepository"),
            (vec![many.as_str()], Limits::default(), "Truncated"),
            (
                vec!["ERR Repository not found.\n"],
                Limits::default(),
                "RepositoryNotFound",
            ),
            (
                vec!["ERR access denied\n"],
                Limits::default(),
                "AuthenticationFailed",
            ),
            (vec!["ERR busy\u{1b}[2J\n"], Limits::default(), "ServerError"),
            (vec!["hello"], Limits::default(), "NotAGitServer"),
            (vec![many.as_str(), many.as_str(), ""], small, "TooManyReferences"),
            (vec![many.as_str(), many.as_str(), ""], tight, "TooManyReferences"),
        ] {
            let error = read(&lines, limits).err().unwrap();
            assert_eq!(error.reason(), reason, "{error}");
            assert!(!error.to_string().contains('\u{1b}'));
        }
    }
}
