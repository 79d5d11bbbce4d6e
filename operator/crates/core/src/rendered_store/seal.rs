//! Sealing: compressed, then encrypted and authenticated, then cut into pieces that a Secret can hold.
//!
//! AES-256-GCM. This room has no randomness, so the nonce is made from the message itself, as in SIV modes: the first 96
//! bits of HMAC-SHA256, under a key of its own, over all that is authenticated and all that is encrypted. Two different
//! messages meet in one nonce with a chance of 2^-96 for each pair, under keys that one Application has for itself; the
//! same message makes the same bytes again, which gives away only that it is the same, and is what lets a set be stored
//! once. The nonce is made from the *compressed* bytes, which are what is encrypted: another version of the compressor
//! never meets an old nonce with other bytes.

use ring::{aead, hkdf, hmac};

use super::StoreError;
use crate::digest::DigestKey;

/// Form of what is stored. A reader refuses any other; a new form is a new number, and the old one stays readable.
pub(super) const VERSION: u8 = 1;
/// Most bytes of a piece: a Secret holds 1 MiB.
pub const PIECE: usize = 900 << 10;
/// Most pieces of a blob that can be read again.
pub const MAX_PIECES: usize = 300;
/// Most bytes that one blob unpacks to.
const MAX_UNPACKED: usize = 256 << 20;
/// version, mark of the key, number of pieces, nonce
const HEAD: usize = 1 + MARK + 2 + aead::NONCE_LEN;
const MARK: usize = 4;
const LEVEL: i32 = 3;

/// Whose sets these are. Nothing that is sealed for one Application opens for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Name of the installation.
    pub installation: String,
    /// UID of the Application.
    pub application_uid: String,
}

impl Binding {
    fn info(&self, purpose: &'static [u8]) -> Vec<u8> {
        joined(&[
            purpose,
            self.installation.as_bytes(),
            self.application_uid.as_bytes(),
        ])
    }
}

/// The keys of one Application's sets, derived from the installation's key.
pub struct SetKey {
    cipher: aead::LessSafeKey,
    nonces: hmac::Key,
    names: hmac::Key,
    /// Tells "another key" from "damaged".
    mark: [u8; MARK],
    binding: Binding,
}

impl SetKey {
    /// Derives the keys by HKDF-SHA256; the installation's key itself is used for digests only.
    pub fn derive(key: &DigestKey, binding: Binding) -> Result<Self, StoreError> {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, b"tidegate rendered sets").extract(key.bytes());
        let cipher = binding.info(b"cipher");
        let cipher = [cipher.as_slice()];
        let cipher = secret
            .expand(&cipher, &aead::AES_256_GCM)
            .map_err(|_| StoreError::NoKey)?;
        let nonces = mac_key(&secret, &binding.info(b"nonces"))?;
        let names = mac_key(&secret, &binding.info(b"names"))?;
        let mut mark = [0; MARK];
        mark.copy_from_slice(&hmac::sign(&names, b"mark").as_ref()[..MARK]);
        Ok(Self {
            cipher: aead::LessSafeKey::new(aead::UnboundKey::from(cipher)),
            nonces,
            names,
            mark,
            binding,
        })
    }

    /// Whose keys these are.
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// 128 bits that name a content: nobody without the key can tell from it what the content is.
    pub(super) fn name_of(&self, content: &[u8]) -> String {
        hex(&hmac::sign(&self.names, content).as_ref()[..16])
    }

    /// Where an object stands in the order of cuts. Keyed: nobody can choose names that make bad cuts.
    pub(super) fn rank_of(&self, identity: &[u8]) -> u64 {
        let tag = hmac::sign(&self.names, &joined(&[b"rank", identity]));
        tag.as_ref()
            .iter()
            .take(8)
            .fold(0, |rank, byte| (rank << 8) | u64::from(*byte))
    }

    /// Seals a blob under its full name, and cuts it.
    pub(super) fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        let failed = |cause: &str| StoreError::NotStorable {
            name: name.to_owned(),
            cause: cause.to_owned(),
        };
        let length = u32::try_from(plain.len()).map_err(|_| failed("it is larger than 4 GiB"))?;
        if plain.len() > MAX_UNPACKED {
            return Err(failed("it is larger than can be read again"));
        }
        let mut message = length.to_be_bytes().to_vec();
        message.extend(zstd::bulk::compress(plain, LEVEL).map_err(|e| failed(&e.to_string()))?);
        let whole = HEAD + message.len() + aead::AES_256_GCM.tag_len();
        let pieces = u16::try_from(whole.div_ceil(PIECE)).map_err(|_| failed("it has too many pieces"))?;
        let mut sealed = vec![VERSION];
        sealed.extend(self.mark);
        sealed.extend(pieces.to_be_bytes());
        let bound = self.bound(name, &sealed);
        let tag = hmac::sign(&self.nonces, &joined(&[&bound, &message]));
        let mut nonce = [0; aead::NONCE_LEN];
        nonce.copy_from_slice(&tag.as_ref()[..aead::NONCE_LEN]);
        self.cipher
            .seal_in_place_append_tag(
                aead::Nonce::assume_unique_for_key(nonce),
                aead::Aad::from(&bound),
                &mut message,
            )
            .map_err(|_| failed("it cannot be encrypted"))?;
        sealed.extend(nonce);
        sealed.extend(message);
        Ok(sealed.chunks(PIECE).map(<[u8]>::to_vec).collect())
    }

    /// Opens what [`SetKey::seal`] made under the same name; the pieces in their order.
    pub(super) fn open(&self, name: &str, pieces: &[Vec<u8>]) -> Result<Vec<u8>, StoreError> {
        let damaged = || StoreError::Damaged {
            name: name.to_owned(),
        };
        let mut sealed = pieces.concat();
        let head = sealed.get(..HEAD).ok_or_else(damaged)?;
        let (version, rest) = head.split_first().ok_or_else(damaged)?;
        if *version != VERSION {
            return Err(StoreError::OtherVersion {
                name: name.to_owned(),
                version: *version,
            });
        }
        let (mark, rest) = rest.split_at_checked(MARK).ok_or_else(damaged)?;
        if mark != self.mark {
            return Err(StoreError::OtherKey {
                name: name.to_owned(),
            });
        }
        let nonce = rest.get(2..).ok_or_else(damaged)?;
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let bound = self.bound(name, &head[..HEAD - aead::NONCE_LEN]);
        let message = sealed.get_mut(HEAD..).ok_or_else(damaged)?;
        let plain = self
            .cipher
            .open_in_place(nonce, aead::Aad::from(&bound), message)
            .map_err(|_| damaged())?;
        let (length, packed) = plain.split_at_checked(4).ok_or_else(damaged)?;
        let length = length.iter().fold(0, |n, byte| (n << 8) | usize::from(*byte));
        if length > MAX_UNPACKED {
            return Err(damaged());
        }
        zstd::bulk::decompress(packed, length).map_err(|_| damaged())
    }

    /// What is authenticated beside the content: whose it is, what it is, and the head that is read before it is opened.
    fn bound(&self, name: &str, head: &[u8]) -> Vec<u8> {
        joined(&[
            b"tidegate rendered set",
            self.binding.installation.as_bytes(),
            self.binding.application_uid.as_bytes(),
            name.as_bytes(),
            head,
        ])
    }
}

/// How many pieces a blob has, by its first one. Only a hint until the whole is opened.
pub fn pieces_of(first: &[u8]) -> Option<u16> {
    let count = first.get(1 + MARK..1 + MARK + 2)?;
    Some(u16::from_be_bytes([count[0], count[1]]))
}

fn mac_key(secret: &hkdf::Prk, info: &[u8]) -> Result<hmac::Key, StoreError> {
    let info = [info];
    let key = secret
        .expand(&info, hmac::HMAC_SHA256)
        .map_err(|_| StoreError::NoKey)?;
    Ok(hmac::Key::from(key))
}

/// Parts with their lengths, so that ("ab", "c") differs from ("a", "bc").
fn joined(parts: &[&[u8]]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        whole.extend((part.len() as u64).to_be_bytes());
        whole.extend(*part);
    }
    whole
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
