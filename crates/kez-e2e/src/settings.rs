//! How KEZ uses MLS: suite, extensions, limits. SPEC "End-to-end encryption".

use kez_core::Timestamp;
use kez_core::mls_framing::KEZ_ROOM;
use openmls::prelude::{
    Capabilities, Ciphersuite, CredentialType, Extension, ExtensionType, Extensions, GroupContext, Lifetime,
    MlsGroupCreateConfig, MlsGroupJoinConfig, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY, ProtocolVersion,
    RequiredCapabilitiesExtension, SenderRatchetConfiguration, UnknownExtension,
};

use crate::fault::Fault;
use crate::room::Room;

/// The one suite, 0x0001.
pub(crate) const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;

/// Messages of one sender that may overtake each other.
const OUT_OF_ORDER: u32 = 64;
/// Messages of one sender that may be missing.
const FORWARD: u32 = 1024;

const DAY_S: i64 = 24 * 60 * 60;

/// What every device understands. A last resort's own mark has to be among it (RFC 9420 section 7.3).
pub(crate) fn capabilities() -> Capabilities {
    Capabilities::new(
        Some(&[ProtocolVersion::Mls10]),
        Some(&[SUITE]),
        Some(&[ExtensionType::Unknown(KEZ_ROOM), ExtensionType::LastResort]),
        Some(&[]),
        Some(&[CredentialType::Basic]),
    )
}

/// From a day before `now`, the server's time, to 83 days after it: the most that OpenMLS takes, with a day for clocks that
/// are behind.
pub(crate) fn lifetime(now: Timestamp) -> Lifetime {
    let seconds = |days: i64| u64::try_from(now.unix_seconds() + days * DAY_S).unwrap_or_default();
    Lifetime::init(seconds(-1), seconds(83))
}

pub(crate) fn creation(room: &Room, now: Timestamp) -> Result<MlsGroupCreateConfig, Fault> {
    let config = MlsGroupCreateConfig::builder()
        .ciphersuite(SUITE)
        .capabilities(capabilities())
        .lifetime(lifetime(now))
        .with_group_context_extensions(context_extensions(room)?)
        .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .sender_ratchet_configuration(SenderRatchetConfiguration::new(OUT_OF_ORDER, FORWARD))
        .max_past_epochs(0)
        .number_of_resumption_psks(0)
        .padding_size(0)
        .use_ratchet_tree_extension(true);
    Ok(config.build())
}

pub(crate) fn joining() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .sender_ratchet_configuration(SenderRatchetConfiguration::new(OUT_OF_ORDER, FORWARD))
        .max_past_epochs(0)
        .number_of_resumption_psks(0)
        .padding_size(0)
        .use_ratchet_tree_extension(true)
        .build()
}

/// `kez_room`, and that every leaf has to understand it: the only two extensions of a group.
pub(crate) fn context_extensions(room: &Room) -> Result<Extensions<GroupContext>, Fault> {
    let required = RequiredCapabilitiesExtension::new(&[ExtensionType::Unknown(KEZ_ROOM)], &[], &[]);
    let extensions = vec![
        Extension::RequiredCapabilities(required),
        Extension::Unknown(KEZ_ROOM, UnknownExtension(room.to_bytes())),
    ];
    Extensions::from_vec(extensions).map_err(|error| Fault::mls("making the group's extensions", error))
}

/// The room of a group, when its extensions are exactly the two that they must be.
pub(crate) fn room_of(extensions: &Extensions<GroupContext>) -> Option<Room> {
    let mut room = None;
    for extension in extensions.iter() {
        match extension {
            Extension::RequiredCapabilities(required)
                if *required
                    == RequiredCapabilitiesExtension::new(&[ExtensionType::Unknown(KEZ_ROOM)], &[], &[]) => {}
            Extension::Unknown(KEZ_ROOM, UnknownExtension(bytes)) => room = Room::parse(bytes).ok(),
            _ => return None,
        }
    }
    (extensions.iter().count() == 2).then_some(room).flatten()
}
