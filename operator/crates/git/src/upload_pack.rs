//! The fetch half of git-upload-pack, protocol v0, in one round: wants, haves and `done` together. One round costs a
//! few haves too many or too few, and saves a negotiation that a hostile server could draw out. Owns the messages;
//! stores nothing.

use crate::Error;
use crate::advertisement::{Advertisement, server_error};
use crate::cancel::Watch;
use crate::pkt_line::{FLUSH, Packet, PacketReader, append};
use std::io::Read;

/// What is asked for. Ids are 40 hex digits.
pub(crate) struct Request<'a> {
    pub(crate) wants: &'a [String],
    pub(crate) haves: &'a [String],
    /// Boundary of our mirror, if it came from a shallow server.
    pub(crate) shallow: &'a [String],
}

impl Request<'_> {
    pub(crate) fn encode(&self, server: &Advertisement, watch: &Watch) -> Result<Vec<u8>, Error> {
        if !server.can("side-band-64k") {
            return Err(watch.protocol("the server lacks side-band-64k, it is older than git 1.5"));
        }
        let useful = [
            "multi_ack_detailed",
            "side-band-64k",
            "thin-pack",
            "ofs-delta",
            "no-progress",
        ];
        let mut capabilities: Vec<&str> = useful.into_iter().filter(|c| server.can(c)).collect();
        capabilities.push("agent=tidegate");
        let mut body = Vec::new();
        for (at, want) in self.wants.iter().enumerate() {
            match at {
                0 => append(&mut body, &format!("want {want} {}\n", capabilities.join(" "))),
                _ => append(&mut body, &format!("want {want}\n")),
            }
        }
        if server.can("shallow") {
            self.shallow
                .iter()
                .for_each(|id| append(&mut body, &format!("shallow {id}\n")));
        }
        body.extend_from_slice(FLUSH);
        self.haves
            .iter()
            .for_each(|id| append(&mut body, &format!("have {id}\n")));
        append(&mut body, "done\n");
        Ok(body)
    }
}

/// Reads acknowledgements and the side-banded pack, handing its bytes to `sink`.
pub(crate) fn receive(
    stream: impl Read,
    watch: &Watch,
    mut sink: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut reader = PacketReader::new(stream, watch);
    let mut any = false;
    loop {
        match reader.next()? {
            // The flush ends the pack; without one the answer was cut at a packet boundary.
            Some(Packet::Flush) if any => return Ok(()),
            Some(Packet::Flush) => {}
            None => {
                let why = if any {
                    "in the middle of the pack"
                } else {
                    "before the pack"
                };
                return Err(Error::Truncated {
                    url: watch.url().to_owned(),
                    why: why.to_owned(),
                });
            }
            Some(Packet::Data(data)) => match data.split_first() {
                Some((1, pack)) => {
                    any = true;
                    sink(pack)?;
                }
                Some((2, _)) | None => {}
                Some((3, message)) => return Err(server_error(message, watch)),
                Some(_) if data.starts_with(b"ERR ") => return Err(server_error(&data[4..], watch)),
                Some(_) if data.starts_with(b"ACK ") || data.starts_with(b"NAK") => {}
                Some(_) if data.starts_with(b"shallow ") || data.starts_with(b"unshallow ") => {}
                Some(_) => return Err(watch.protocol("an unknown message instead of a pack")),
            },
        }
    }
}
