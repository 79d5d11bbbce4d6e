//! A look into a pack while it streams past: how many objects it claims, how large each becomes. libgit2 rebuilds
//! deltas in memory and allocates its index from the claimed count, so both are checked before it sees the bytes.
//! Owns no storage; hashes and checksums are libgit2's work.

use crate::{Error, Limits};
use flate2::{Decompress, FlushDecompress, Status};

/// Delta headers are two variable-length sizes of at most 10 bytes each.
const DELTA_HEAD: usize = 20;

pub(crate) struct PackScan {
    url: String,
    max_object: u64,
    max_objects: u32,
    state: State,
    left: u32,
    inflater: Decompress,
    scratch: Vec<u8>,
}

enum State {
    Header(Vec<u8>),
    ObjectHead {
        kind: u8,
        size: u64,
        shift: u32,
        started: bool,
    },
    OffsetBase {
        size: u64,
    },
    NamedBase {
        size: u64,
        left: u8,
    },
    Body {
        size: u64,
        produced: u64,
        delta_head: Option<Vec<u8>>,
    },
    Trailer,
}

const NEXT_OBJECT: State = State::ObjectHead {
    kind: 0,
    size: 0,
    shift: 0,
    started: false,
};

impl PackScan {
    pub(crate) fn new(url: &str, limits: &Limits) -> Self {
        Self {
            url: url.to_owned(),
            max_object: limits.max_object_bytes,
            max_objects: limits.max_objects,
            state: State::Header(Vec::with_capacity(12)),
            left: 0,
            inflater: Decompress::new(true),
            scratch: vec![0; 32 * 1024],
        }
    }

    /// Whether every object has been seen to its end.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.state, State::Trailer)
    }

    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let state = std::mem::replace(&mut self.state, State::Trailer);
            let (next, used) = self.step(state, bytes)?;
            self.state = next;
            bytes = &bytes[used..];
            if matches!(self.state, State::Trailer) {
                break;
            }
        }
        Ok(())
    }

    /// Consumes at least one byte or changes state.
    fn step(&mut self, state: State, bytes: &[u8]) -> Result<(State, usize), Error> {
        let byte = bytes[0];
        match state {
            State::Header(mut head) => {
                let used = bytes.len().min(12 - head.len());
                head.extend_from_slice(&bytes[..used]);
                let next = if head.len() < 12 {
                    State::Header(head)
                } else {
                    self.header(&head)?
                };
                Ok((next, used))
            }
            State::ObjectHead { started: false, .. } => {
                let (kind, size) = ((byte >> 4) & 7, u64::from(byte & 15));
                Ok((self.after_head(byte, kind, size, 4)?, 1))
            }
            State::ObjectHead {
                kind, size, shift, ..
            } => {
                let size = size | shl(byte, shift).ok_or_else(|| self.corrupt("an object size overflows"))?;
                Ok((self.after_head(byte, kind, size, shift + 7)?, 1))
            }
            State::OffsetBase { size } if byte & 128 != 0 => Ok((State::OffsetBase { size }, 1)),
            State::OffsetBase { size } => Ok((body(size, true), 1)),
            State::NamedBase { size, left: 1 } => Ok((body(size, true), 1)),
            State::NamedBase { size, left } => Ok((State::NamedBase { size, left: left - 1 }, 1)),
            State::Body {
                size,
                produced,
                delta_head,
            } => self.inflate(size, produced, delta_head, bytes),
            State::Trailer => Ok((State::Trailer, bytes.len())),
        }
    }

    fn header(&mut self, head: &[u8]) -> Result<State, Error> {
        if &head[..4] != b"PACK" {
            return Err(self.corrupt("the pack has no PACK signature"));
        }
        let mut count = [0_u8; 4];
        count.copy_from_slice(&head[8..12]);
        self.left = u32::from_be_bytes(count);
        if self.left > self.max_objects {
            return Err(self.too_large(
                format!("a pack of {} objects", self.left),
                self.max_objects.into(),
            ));
        }
        Ok(if self.left == 0 {
            State::Trailer
        } else {
            NEXT_OBJECT
        })
    }

    fn after_head(&self, byte: u8, kind: u8, size: u64, shift: u32) -> Result<State, Error> {
        if byte & 128 != 0 {
            return Ok(State::ObjectHead {
                kind,
                size,
                shift,
                started: true,
            });
        }
        self.within(size)?;
        match kind {
            1..=4 => Ok(body(size, false)),
            6 => Ok(State::OffsetBase { size }),
            7 => Ok(State::NamedBase { size, left: 20 }),
            _ => Err(self.corrupt("an object has an unknown type")),
        }
    }

    fn inflate(
        &mut self,
        size: u64,
        produced: u64,
        head: Option<Vec<u8>>,
        bytes: &[u8],
    ) -> Result<(State, usize), Error> {
        let (in_before, out_before) = (self.inflater.total_in(), self.inflater.total_out());
        let status = self
            .inflater
            .decompress(bytes, &mut self.scratch, FlushDecompress::None)
            .map_err(|_| self.corrupt("an object cannot be inflated"))?;
        let used = usize::try_from(self.inflater.total_in() - in_before).unwrap_or(bytes.len());
        let fresh = usize::try_from(self.inflater.total_out() - out_before).unwrap_or(0);
        let produced = produced + fresh as u64;
        if produced > size {
            return Err(self.corrupt("an object is longer than its header says"));
        }
        let ended = status == Status::StreamEnd;
        let head = match head {
            Some(mut head) => {
                head.extend_from_slice(&self.scratch[..fresh.min(DELTA_HEAD - head.len())]);
                if head.len() == DELTA_HEAD || ended {
                    self.delta_sizes(&head)?;
                    None
                } else {
                    Some(head)
                }
            }
            None => None,
        };
        if !ended {
            if used == 0 && fresh == 0 {
                return Err(self.corrupt("an object cannot be inflated"));
            }
            return Ok((
                State::Body {
                    size,
                    produced,
                    delta_head: head,
                },
                used,
            ));
        }
        if produced != size {
            return Err(self.corrupt("an object is shorter than its header says"));
        }
        self.inflater.reset(true);
        self.left -= 1;
        Ok((
            if self.left == 0 {
                State::Trailer
            } else {
                NEXT_OBJECT
            },
            used,
        ))
    }

    /// A delta starts with the size of its base and of its result.
    fn delta_sizes(&self, head: &[u8]) -> Result<(), Error> {
        let mut rest = head;
        for _ in 0..2 {
            let (mut size, mut shift) = (0_u64, 0);
            loop {
                let (&byte, tail) = rest
                    .split_first()
                    .ok_or_else(|| self.corrupt("a delta is cut off"))?;
                rest = tail;
                size |= shl(byte, shift).ok_or_else(|| self.corrupt("a delta size overflows"))?;
                shift += 7;
                if byte & 128 == 0 {
                    break;
                }
            }
            self.within(size)?;
        }
        Ok(())
    }

    fn within(&self, size: u64) -> Result<(), Error> {
        if size > self.max_object {
            return Err(self.too_large(format!("an object of {size} bytes"), self.max_object));
        }
        Ok(())
    }

    fn too_large(&self, what: String, limit: u64) -> Error {
        Error::TooLarge {
            url: self.url.clone(),
            what,
            limit,
        }
    }

    fn corrupt(&self, why: &str) -> Error {
        Error::Corrupt {
            url: self.url.clone(),
            why: format!("in the pack from the server: {why}"),
        }
    }
}

fn body(size: u64, delta: bool) -> State {
    State::Body {
        size,
        produced: 0,
        delta_head: delta.then(Vec::new),
    }
}

fn shl(byte: u8, shift: u32) -> Option<u64> {
    let bits = u64::from(byte & 127);
    let shifted = bits.checked_shl(shift)?;
    (shifted >> shift == bits).then_some(shifted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use proptest::prelude::*;
    use std::io::Write;

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn varint(first_bits: u32, kind: u8, mut size: u64) -> Vec<u8> {
        let mut out = vec![(kind << 4) | (size & ((1 << first_bits) - 1)) as u8];
        size >>= first_bits;
        while size > 0 {
            *out.last_mut().unwrap() |= 128;
            out.push((size & 127) as u8);
            size >>= 7;
        }
        out
    }

    fn pack(objects: &[Vec<u8>]) -> Vec<u8> {
        let mut out = b"PACK\0\0\0\x02".to_vec();
        out.extend((objects.len() as u32).to_be_bytes());
        objects.iter().for_each(|o| out.extend(o));
        out.extend([0; 20]);
        out
    }

    fn blob(data: &[u8]) -> Vec<u8> {
        [varint(4, 3, data.len() as u64), zlib(data)].concat()
    }

    fn delta(base: u64, result: u64) -> Vec<u8> {
        let data = [varint(7, 0, base), varint(7, 0, result), b"rest".to_vec()].concat();
        [varint(4, 7, data.len() as u64), vec![9; 20], zlib(&data)].concat()
    }

    fn scan(bytes: &[u8], chunk: usize) -> Result<bool, Error> {
        let mut scan = PackScan::new(
            "u",
            &Limits {
                max_object_bytes: 1000,
                max_objects: 3,
                ..Limits::default()
            },
        );
        for part in bytes.chunks(chunk) {
            scan.feed(part)?;
        }
        Ok(scan.is_complete())
    }

    #[test]
    fn honest_packs_pass_in_any_chunking() {
        let bytes = pack(&[blob(b""), blob(&[7; 900]), delta(100, 1000)]);
        for chunk in [1, 2, 3, 7, 64, 4096] {
            assert!(scan(&bytes, chunk).unwrap(), "{chunk}");
            assert!(!scan(&bytes[..bytes.len() - 25], chunk).unwrap());
        }
    }

    #[test]
    fn bombs_are_refused_by_their_headers() {
        let lying = [varint(4, 3, 10), zlib(&[0; 500])].concat();
        for (objects, reason) in [
            (vec![blob(&[0; 1001])], "TooLarge"),
            (vec![delta(10, 1 << 40)], "TooLarge"),
            (vec![delta(1 << 40, 10)], "TooLarge"),
            (vec![blob(b"1"), blob(b"2"), blob(b"3"), blob(b"4")], "TooLarge"),
            (vec![lying], "Corrupt"),
            (vec![[varint(4, 5, 1), zlib(b"x")].concat()], "Corrupt"),
            (vec![[varint(4, 3, 5), b"not zlib".to_vec()].concat()], "Corrupt"),
        ] {
            assert_eq!(scan(&pack(&objects), 16).unwrap_err().reason(), reason);
        }
        assert_eq!(scan(b"<html><head><title>", 16).unwrap_err().reason(), "Corrupt");
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), chunk in 1_usize..32) {
            let _ = scan(&bytes, chunk);
            let _ = scan(&[b"PACK\0\0\0\x02\0\0\0\x02", bytes.as_slice()].concat(), chunk);
        }
    }
}
