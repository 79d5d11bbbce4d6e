//! pkt-line framing (gitprotocol-common): length-prefixed packets with a cap on all bytes together. Owns no meaning.

use crate::Error;
use crate::cancel::Watch;
use std::io::Read;

/// Longest packet the protocol allows, prefix included.
const MAX_PACKET: usize = 65_520;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    Flush,
    Data(&'a [u8]),
}

pub(crate) struct PacketReader<R> {
    inner: R,
    watch: Watch,
    buffer: Vec<u8>,
    taken: u64,
}

impl<R: Read> PacketReader<R> {
    pub(crate) fn new(inner: R, watch: &Watch) -> Self {
        Self {
            inner,
            watch: watch.clone(),
            buffer: Vec::new(),
            taken: 0,
        }
    }

    /// Bytes read so far, prefixes included.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// `None` at a clean end of the stream.
    pub(crate) fn next(&mut self) -> Result<Option<Packet<'_>>, Error> {
        self.watch.check()?;
        let mut prefix = [0_u8; 4];
        let first = self
            .inner
            .read(&mut prefix[..1])
            .map_err(|e| self.watch.io_error(e))?;
        if first == 0 {
            return Ok(None);
        }
        self.inner
            .read_exact(&mut prefix[1..])
            .map_err(|e| self.watch.io_error(e))?;
        let length = std::str::from_utf8(&prefix)
            .ok()
            .filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|text| usize::from_str_radix(text, 16).ok())
            .ok_or_else(|| self.watch.protocol("what comes is not in git's packet format"))?;
        self.taken += 4;
        let size = match length {
            0 => return Ok(Some(Packet::Flush)),
            4..=MAX_PACKET => length - 4,
            _ => return Err(self.watch.protocol("a packet has an impossible length")),
        };
        self.buffer.resize(size, 0);
        self.inner
            .read_exact(&mut self.buffer)
            .map_err(|e| self.watch.io_error(e))?;
        self.taken += size as u64;
        Ok(Some(Packet::Data(&self.buffer)))
    }
}

/// Appends one packet. `data` is ours and short.
pub(crate) fn append(out: &mut Vec<u8>, data: &str) {
    out.extend_from_slice(format!("{:04x}", data.len() + 4).as_bytes());
    out.extend_from_slice(data.as_bytes());
}

/// The flush packet.
pub(crate) const FLUSH: &[u8] = b"0000";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancel;
    use std::sync::Arc;
    use std::time::Duration;

    fn read(bytes: &[u8]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let watch = Watch::start(&Arc::new(Cancel::default()), "u", Duration::from_secs(5));
        let mut reader = PacketReader::new(bytes, &watch);
        let mut all = Vec::new();
        while let Some(packet) = reader.next()? {
            all.push(match packet {
                Packet::Flush => None,
                Packet::Data(data) => Some(data.to_vec()),
            });
        }
        Ok(all)
    }

    #[test]
    fn packets_flushes_and_the_end() {
        assert_eq!(
            read(b"0006a\n00000004").unwrap(),
            [Some(b"a\n".to_vec()), None, Some(Vec::new())]
        );
    }

    #[test]
    fn garbage_and_cuts_are_told_apart() {
        assert_eq!(read(b"<htm").unwrap_err().reason(), "NotAGitServer");
        assert_eq!(read(b"+00a").unwrap_err().reason(), "NotAGitServer");
        assert_eq!(read(b"0002").unwrap_err().reason(), "NotAGitServer");
        assert_eq!(read(b"ffff").unwrap_err().reason(), "NotAGitServer");
        assert_eq!(read(b"00").unwrap_err().reason(), "Truncated");
        assert_eq!(read(b"0010abc").unwrap_err().reason(), "Truncated");
    }
}
