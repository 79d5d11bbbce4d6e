//! Keyed digests. What people can read is keyed: a plain hash of a set with one short password in it is an oracle.

use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;

/// The installation's digest key, made once and kept in a Secret of the operator's namespace.
#[derive(Clone)]
pub struct DigestKey([u8; 32]);

impl DigestKey {
    /// Wraps 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// For deriving other keys; never used for anything else.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Starts a digest.
    pub fn start(&self) -> Digester {
        // A key of HMAC-SHA256 is one block of 64 bytes; shorter keys are padded with zeros (RFC 2104).
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.0);
        Digester(<Hmac<Sha256> as hmac::digest::KeyInit>::new((&block).into()))
    }

    /// Digest of a JSON value in canonical form: object keys sorted, numbers as serde_json prints them.
    pub fn of_value(&self, value: &Value) -> String {
        let mut digester = self.start();
        digester.value(value);
        digester.finish()
    }
}

/// A digest under way.
pub struct Digester(Hmac<Sha256>);

impl Digester {
    /// Adds one part; parts are length-prefixed, so that ("ab", "c") differs from ("a", "bc").
    pub fn part(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a JSON value in canonical form.
    pub fn value(&mut self, value: &Value) -> &mut Self {
        match value {
            Value::Null => self.0.update(b"n"),
            Value::Bool(b) => self.0.update(if *b { b"t" } else { b"f" }),
            Value::Number(n) => {
                self.0.update(b"#");
                self.part(n.to_string().as_bytes());
            }
            Value::String(s) => {
                self.0.update(b"s");
                self.part(s.as_bytes());
            }
            Value::Array(items) => {
                self.0.update(b"[");
                self.0.update(&(items.len() as u64).to_be_bytes());
                for item in items {
                    self.value(item);
                }
            }
            Value::Object(map) => {
                self.0.update(b"{");
                self.0.update(&(map.len() as u64).to_be_bytes());
                let mut keys: Vec<&String> = map.keys().collect();
                keys.sort_unstable();
                for key in keys {
                    self.part(key.as_bytes());
                    self.value(&map[key]);
                }
            }
        }
        self
    }

    /// 128 bits as 32 hexadecimal digits.
    pub fn finish(self) -> String {
        self.0.finalize().into_bytes()[..16]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect()
    }
}
