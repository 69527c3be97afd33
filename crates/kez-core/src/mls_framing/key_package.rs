//! Key packages and leaves, RFC 9420 sections 7.2 and 10.

use super::reader::{Numbers, Reader, vector};
use super::{BadMessage, SUITE};
use crate::key::{BadSignature, PublicKey, Signature};

/// `CredentialType basic` (RFC 9420 section 5.3).
pub(super) const BASIC: u16 = 1;

/// A `KeyPackage`. Nothing about it has been believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyPackage<'a> {
    /// Its version of the protocol.
    pub version: u16,
    /// Its cipher suite.
    pub cipher_suite: u16,
    /// The key that a Welcome is encrypted to.
    pub init_key: &'a [u8],
    /// The leaf that is put into a tree.
    pub leaf_node: LeafNode<'a>,
    /// The types of its extensions, sorted.
    pub extensions: Vec<u16>,
    signed: &'a [u8],
    signature: &'a [u8],
}

/// A `LeafNode` with a basic credential.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeafNode<'a> {
    /// The key that path secrets are encrypted to.
    pub encryption_key: &'a [u8],
    /// The key that signs for this leaf.
    pub signature_key: &'a [u8],
    /// What the basic credential holds.
    pub identity: &'a [u8],
    /// What the member understands.
    pub capabilities: Capabilities<'a>,
    /// Where the leaf came from.
    pub source: LeafSource<'a>,
    /// The types of its extensions, sorted.
    pub extensions: Vec<u16>,
    signed: &'a [u8],
    signature: &'a [u8],
}

/// What a member understands (RFC 9420 section 7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities<'a> {
    /// Versions of the protocol.
    pub versions: Numbers<'a>,
    /// Cipher suites.
    pub cipher_suites: Numbers<'a>,
    /// Types of extensions beyond those of RFC 9420 itself.
    pub extensions: Numbers<'a>,
    /// Types of proposals beyond those of RFC 9420 itself.
    pub proposals: Numbers<'a>,
    /// Types of credentials.
    pub credentials: Numbers<'a>,
}

/// Where a leaf came from (`leaf_node_source`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeafSource<'a> {
    /// A key package, valid within this window.
    KeyPackage(Lifetime),
    /// An Update proposal.
    Update,
    /// A commit's path, with its parent hash.
    Commit(&'a [u8]),
}

/// When a key package may be used, in Unix seconds, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// The first second.
    pub not_before: u64,
    /// The last second.
    pub not_after: u64,
}

impl KeyPackage<'_> {
    /// Checks the package's own signature and its leaf's (RFC 9420 sections 10.1 and 7.3), both by the leaf's signature
    /// key, for [`SUITE`] and by the rule of [`PublicKey::verify`].
    ///
    /// The leaf of another source than a key package is signed together with a group: never good here.
    pub fn verify(&self) -> Result<(), BadSignature> {
        let is_package = matches!(self.leaf_node.source, LeafSource::KeyPackage(_));
        if self.cipher_suite != SUITE || !is_package {
            return Err(BadSignature);
        }
        let key = PublicKey::from_bytes(self.leaf_node.signature_key.try_into().map_err(|_| BadSignature)?);
        verify_with_label(&key, "LeafNodeTBS", self.leaf_node.signed, self.leaf_node.signature)?;
        verify_with_label(&key, "KeyPackageTBS", self.signed, self.signature)
    }
}

/// RFC 9420 section 5.1.2: `VerifyWithLabel`.
fn verify_with_label(
    key: &PublicKey,
    label: &str,
    content: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    let signature = Signature::from_bytes(signature.try_into().map_err(|_| BadSignature)?);
    let label = vector(&[b"MLS 1.0 ", label.as_bytes()].concat());
    key.verify(&[label, vector(content)].concat(), &signature)
}

pub(super) fn key_package<'a>(reader: &mut Reader<'a>) -> Result<KeyPackage<'a>, BadMessage> {
    let ((version, cipher_suite, init_key, leaf_node, extensions), signed) = reader.spanned(|reader| {
        Ok((reader.u16()?, reader.u16()?, reader.vector()?, leaf_node(reader)?, extensions(reader)?))
    })?;
    let signature = reader.vector()?;
    Ok(KeyPackage { version, cipher_suite, init_key, leaf_node, extensions, signed, signature })
}

pub(super) fn leaf_node<'a>(reader: &mut Reader<'a>) -> Result<LeafNode<'a>, BadMessage> {
    let (leaf, signed) = reader.spanned(unsigned_leaf_node)?;
    Ok(LeafNode { signed, signature: reader.vector()?, ..leaf })
}

/// Everything before the signature.
fn unsigned_leaf_node<'a>(reader: &mut Reader<'a>) -> Result<LeafNode<'a>, BadMessage> {
    Ok(LeafNode {
        encryption_key: reader.vector()?,
        signature_key: reader.vector()?,
        identity: identity(reader)?,
        capabilities: capabilities(reader)?,
        source: source(reader)?,
        extensions: extensions(reader)?,
        signed: &[],
        signature: &[],
    })
}

/// A basic credential. One of another type cannot be skipped, having no length; KEZ has no other.
fn identity<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], BadMessage> {
    if reader.u16()? != BASIC {
        return Err(BadMessage::UnknownValue);
    }
    reader.vector()
}

fn capabilities<'a>(reader: &mut Reader<'a>) -> Result<Capabilities<'a>, BadMessage> {
    Ok(Capabilities {
        versions: reader.numbers()?,
        cipher_suites: reader.numbers()?,
        extensions: reader.numbers()?,
        proposals: reader.numbers()?,
        credentials: reader.numbers()?,
    })
}

fn source<'a>(reader: &mut Reader<'a>) -> Result<LeafSource<'a>, BadMessage> {
    match reader.u8()? {
        1 => Ok(LeafSource::KeyPackage(Lifetime { not_before: reader.u64()?, not_after: reader.u64()? })),
        2 => Ok(LeafSource::Update),
        3 => reader.vector().map(LeafSource::Commit),
        _ => Err(BadMessage::UnknownValue),
    }
}

/// `Extension extensions<V>`: the types, each at most once (RFC 9420 section 13.4).
pub(super) fn extensions(reader: &mut Reader<'_>) -> Result<Vec<u16>, BadMessage> {
    let mut list = Reader::new(reader.vector()?);
    let mut types = Vec::new();
    while !list.is_empty() {
        types.push(list.u16()?);
        let _data = list.vector()?;
    }
    let count = types.len();
    types.sort_unstable();
    types.dedup();
    if types.len() == count { Ok(types) } else { Err(BadMessage::DuplicateExtension) }
}
