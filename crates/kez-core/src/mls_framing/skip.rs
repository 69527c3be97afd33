//! The contents of a `PublicMessage`, read only to find where they end.

use super::reader::Reader;
use super::{BadMessage, key_package};

/// `opaque value<V>`.
pub(super) fn opaque(reader: &mut Reader<'_>) -> Result<(), BadMessage> {
    reader.vector().map(drop)
}

/// RFC 9420 section 12.4: `Commit`. The proposals are one vector, the path's nodes another: neither is looked into.
pub(super) fn commit(reader: &mut Reader<'_>) -> Result<(), BadMessage> {
    opaque(reader)?;
    if reader.is_present()? {
        key_package::leaf_node(reader)?;
        opaque(reader)?;
    }
    Ok(())
}

/// RFC 9420 section 12.1: `Proposal`. One of another type cannot be skipped, having no length.
pub(super) fn proposal(reader: &mut Reader<'_>) -> Result<(), BadMessage> {
    match reader.u16()? {
        1 => key_package::key_package(reader).map(drop),
        2 => key_package::leaf_node(reader).map(drop),
        3 => reader.u32().map(drop),
        4 => pre_shared_key(reader),
        5 => re_init(reader),
        6 => opaque(reader),
        7 => key_package::extensions(reader).map(drop),
        _ => Err(BadMessage::UnknownValue),
    }
}

/// RFC 9420 section 8.4: `PreSharedKeyID`.
fn pre_shared_key(reader: &mut Reader<'_>) -> Result<(), BadMessage> {
    match reader.u8()? {
        1 => opaque(reader)?,
        2 => {
            reader.u8()?;
            opaque(reader)?;
            reader.u64()?;
        }
        _ => return Err(BadMessage::UnknownValue),
    }
    opaque(reader)
}

/// RFC 9420 section 12.1.5.
fn re_init(reader: &mut Reader<'_>) -> Result<(), BadMessage> {
    opaque(reader)?;
    reader.u16()?;
    reader.u16()?;
    key_package::extensions(reader).map(drop)
}
