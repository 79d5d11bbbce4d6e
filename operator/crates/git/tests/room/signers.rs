//! People with keys made here: OpenPGP certificates and SSH keys in every state that a keyring can have, and commits and
//! tags signed with them.

use crate::fixture::{Origin, Pool, pool, remote};
use crate::web_server::WebServer;
use jiff::Timestamp;
use pgp::composed::{ArmorOptions, DetachedSignature, KeyType, SecretKeyParamsBuilder, SignedPublicKey};
use pgp::composed::{SignedKeyDetails, SignedPublicSubKey, SubkeyParamsBuilder};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    KeyFlags, RevocationCode, SecretKey, SecretSubkey, Signature, SignatureConfig, SignatureType,
};
use pgp::packet::{Subpacket, SubpacketData, UserId};
use pgp::types::{Duration, KeyDetails, KeyVersion, Password, SignedUser, SigningKey, Tag};
use rand::SeedableRng;
use rand::rngs::StdRng;
use russh::keys::ssh_key::{LineEnding, private::Ed25519Keypair};
use russh::keys::{HashAlg, PrivateKey};
use std::collections::BTreeMap;
use tidegate_git::{Keyring, RefSpec, Remote, Verified};

/// When keys are made, in seconds.
pub(crate) const BORN: u32 = 1_700_000_000;
/// When things are looked at.
pub(crate) const NOW: i64 = 1_750_000_000;

/// What signs: the bytes, and when.
pub(crate) type Sign<'a> = &'a dyn Fn(&[u8], u32) -> String;

/// An OpenPGP key that its test gives a past.
pub(crate) struct PgpKey {
    pub(crate) secret: SecretKey,
    user: UserId,
    subkey: Option<SecretSubkey>,
    certified: Option<Signature>,
    revocations: Vec<Signature>,
    bindings: Vec<Signature>,
}

fn subpacket(data: SubpacketData) -> Subpacket {
    Subpacket::regular(data).unwrap()
}

fn config(kind: SignatureType, key: &impl SigningKey, at: u32, hash: HashAlgorithm) -> SignatureConfig {
    let mut config = SignatureConfig::v4(kind, key.algorithm(), hash);
    config.hashed_subpackets = vec![
        subpacket(SubpacketData::SignatureCreationTime(
            pgp::types::Timestamp::from_secs(at),
        )),
        subpacket(SubpacketData::IssuerFingerprint(key.fingerprint())),
    ];
    config
}

fn flags(sign: bool) -> SubpacketData {
    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    flags.set_sign(sign);
    SubpacketData::KeyFlags(flags)
}

impl PgpKey {
    pub(crate) fn new(seed: u64, user: &str) -> Self {
        Self::of(KeyType::Ed25519Legacy, seed, user)
    }

    pub(crate) fn of(kind: KeyType, seed: u64, user: &str) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let born = pgp::types::Timestamp::from_secs(BORN);
        let mut subkey = SubkeyParamsBuilder::default();
        subkey
            .key_type(KeyType::Ed25519Legacy)
            .can_sign(true)
            .created_at(born);
        let mut params = SecretKeyParamsBuilder::default();
        params
            .version(KeyVersion::V4)
            .key_type(kind)
            .can_certify(true)
            .can_sign(true)
            .created_at(born)
            .primary_user_id(user.to_owned())
            .subkey(subkey.build().unwrap());
        let made = params.build().unwrap().generate(&mut rng).unwrap();
        let mut key = Self {
            subkey: made.secret_subkeys.first().map(|subkey| subkey.key.clone()),
            secret: made.primary_key,
            user: UserId::from_str(pgp::types::PacketHeaderVersion::New, user).unwrap(),
            certified: None,
            revocations: Vec::new(),
            bindings: Vec::new(),
        };
        key.certify(BORN, None, true, HashAlgorithm::Sha256);
        key
    }

    /// The self-signature, in place of the one before.
    pub(crate) fn certify(&mut self, at: u32, lifetime: Option<u32>, sign: bool, hash: HashAlgorithm) {
        let mut config = config(SignatureType::CertPositive, &self.secret, at, hash);
        config.hashed_subpackets.push(subpacket(flags(sign)));
        config.hashed_subpackets.extend(
            lifetime.map(|seconds| subpacket(SubpacketData::KeyExpirationTime(Duration::from_secs(seconds)))),
        );
        let public = self.secret.public_key().clone();
        let signed =
            config.sign_certification(&self.secret, &public, &Password::empty(), Tag::UserId, &self.user);
        self.certified = Some(signed.unwrap());
    }

    pub(crate) fn expiring(mut self, lifetime: u32) -> Self {
        self.certify(BORN, Some(lifetime), true, HashAlgorithm::Sha256);
        self
    }

    pub(crate) fn revoked(mut self, at: u32, code: RevocationCode) -> Self {
        let mut config = config(
            SignatureType::KeyRevocation,
            &self.secret,
            at,
            HashAlgorithm::Sha256,
        );
        let reason = SubpacketData::RevocationReason(code, Vec::new().into());
        config.hashed_subpackets.push(subpacket(reason));
        let public = self.secret.public_key().clone();
        let signed = config.sign_key(&self.secret, &Password::empty(), &public);
        self.revocations.push(signed.unwrap());
        self
    }

    /// Binds the subkey; it may sign, and it may have confirmed that it belongs here.
    pub(crate) fn bound(mut self, sign: bool, confirmed: bool, lifetime: Option<u32>) -> Self {
        let subkey = self.subkey.as_ref().unwrap();
        let (primary, public) = (self.secret.public_key().clone(), subkey.public_key().clone());
        let mut config = config(
            SignatureType::SubkeyBinding,
            &self.secret,
            BORN,
            HashAlgorithm::Sha256,
        );
        config.hashed_subpackets.push(subpacket(flags(sign)));
        config.hashed_subpackets.extend(
            lifetime.map(|seconds| subpacket(SubpacketData::KeyExpirationTime(Duration::from_secs(seconds)))),
        );
        if confirmed {
            let rng = StdRng::seed_from_u64(9);
            let back = subkey
                .sign_primary_key_binding(rng, &primary, &Password::empty())
                .unwrap();
            config
                .hashed_subpackets
                .push(subpacket(SubpacketData::EmbeddedSignature(Box::new(back))));
        }
        let signed = config.sign_subkey_binding(&self.secret, &primary, &Password::empty(), &public);
        self.bindings = vec![signed.unwrap()];
        self
    }

    pub(crate) fn certificate(&self) -> String {
        let user = SignedUser::new(self.user.clone(), self.certified.iter().cloned().collect());
        let details = SignedKeyDetails::new(self.revocations.clone(), Vec::new(), vec![user], Vec::new());
        let subkeys = self.subkey.iter().filter(|_| !self.bindings.is_empty());
        let subkeys = subkeys
            .map(|subkey| SignedPublicSubKey::new(subkey.public_key().clone(), self.bindings.clone()))
            .collect();
        SignedPublicKey::new(self.secret.public_key().clone(), details, subkeys)
            .to_armored_string(ArmorOptions::default())
            .unwrap()
    }

    pub(crate) fn fingerprint(&self) -> String {
        format!("{:X}", self.secret.fingerprint())
    }

    pub(crate) fn sign(&self, payload: &[u8], at: u32) -> String {
        armored(&self.secret, payload, at, HashAlgorithm::Sha256)
    }

    pub(crate) fn sign_with_subkey(&self, payload: &[u8], at: u32) -> String {
        armored(self.subkey.as_ref().unwrap(), payload, at, HashAlgorithm::Sha512)
    }

    pub(crate) fn sign_over(&self, hash: HashAlgorithm, payload: &[u8], at: u32) -> String {
        armored(&self.secret, payload, at, hash)
    }
}

fn armored(key: &impl SigningKey, payload: &[u8], at: u32, hash: HashAlgorithm) -> String {
    let signed = config(SignatureType::Binary, key, at, hash).sign(key, &Password::empty(), payload);
    DetachedSignature::new(signed.unwrap())
        .to_armored_string(ArmorOptions::default())
        .unwrap()
}

/// An SSH key.
pub(crate) struct SshKey(PrivateKey);

impl SshKey {
    pub(crate) fn new(seed: u8) -> Self {
        Self(PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32])))
    }

    /// Type and key, as in every file.
    pub(crate) fn public(&self) -> String {
        self.0.public_key().to_openssh().unwrap().trim().to_owned()
    }

    pub(crate) fn id(&self) -> String {
        self.0.public_key().fingerprint(HashAlg::Sha256).to_string()
    }

    pub(crate) fn sign_for(&self, namespace: &str, payload: &[u8]) -> String {
        let signature = self.0.sign(namespace, HashAlg::Sha512, payload).unwrap();
        signature.to_pem(LineEnding::LF).unwrap()
    }

    pub(crate) fn sign(&self, payload: &[u8], _at: u32) -> String {
        self.sign_for("git", payload)
    }
}

pub(crate) fn keyring(entries: &[(&str, &str)]) -> Keyring {
    let data: BTreeMap<String, Vec<u8>> = entries
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
        .collect();
    Keyring::from_secret(&data).unwrap()
}

/// Makes the text of a commit, signed or not.
pub(crate) fn commit_text(
    tree: &str,
    parents: &[&str],
    who: &str,
    at: u32,
    sign: Option<Sign<'_>>,
) -> String {
    let parents: String = parents.iter().map(|id| format!("parent {id}\n")).collect();
    let person = format!("{who} <{who}@example.com> {at} +0000");
    let head = format!("tree {tree}\n{parents}author {person}\ncommitter {person}\n");
    let tail = "\nA change\n";
    let Some(sign) = sign else {
        return format!("{head}{tail}");
    };
    let block = sign(format!("{head}{tail}").as_bytes(), at);
    format!("{head}gpgsig {}\n{tail}", block.trim_end().replace('\n', "\n "))
}

/// Makes the text of a tag on a commit.
pub(crate) fn tag_text(commit: &str, name: &str, who: &str, at: u32, sign: Option<Sign<'_>>) -> String {
    let text = format!(
        "object {commit}\ntype commit\ntag {name}\ntagger {who} <{who}@example.com> {at} +0000\n\nRelease\n"
    );
    let block = sign.map(|sign| sign(text.as_bytes(), at)).unwrap_or_default();
    format!("{text}{block}")
}

/// A repository, its server and a pool that reads it.
pub(crate) struct Lab {
    pub(crate) origin: Origin,
    _server: WebServer,
    pub(crate) pool: Pool,
    pub(crate) remote: Remote,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let origin = Origin::empty();
        let server = WebServer::git(origin.root());
        let remote = remote(&server.url());
        Self {
            origin,
            _server: server,
            pool: pool(),
            remote,
        }
    }

    /// A commit, written but on no branch.
    pub(crate) fn commit(
        &self,
        files: &[(&str, &str)],
        parents: &[&str],
        who: &str,
        at: u32,
        sign: Option<Sign<'_>>,
    ) -> String {
        let tree = self.origin.files(files);
        self.origin
            .object("commit", &commit_text(&tree, parents, who, at, sign))
    }

    pub(crate) fn point(&self, reference: &str, at: &str) {
        self.origin.git(&["update-ref", reference, at]);
    }

    /// Fetches a reference and judges what it leads to.
    pub(crate) async fn verify(&self, spec: &RefSpec, keyring: &Keyring) -> Verified {
        let fetched = self.pool.git.fetch(&self.remote, spec, None).await.unwrap();
        let now = Timestamp::from_second(NOW).unwrap();
        self.pool
            .git
            .verify(&self.remote, fetched.revision(), keyring, now)
            .await
            .unwrap()
    }
}
