//! How KEZ uses MLS: suite, extensions, limits.

use kez_core::mls_framing::KEZ_ROOM;
use kez_core::{PublicKey, Timestamp};
use kez_serve::clock::{Clock as _, SystemClock};
use openmls::prelude::{
    Capabilities, Ciphersuite, CredentialType, Extension, ExtensionType, Extensions, GroupContext, Lifetime,
    MlsGroupCreateConfig, MlsGroupJoinConfig, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY, ProtocolVersion,
    RequiredCapabilitiesExtension, SenderRatchetConfiguration, UnknownExtension,
};
use serde_json::json;

/// The one suite, 0x0001.
pub(super) const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;

/// Messages of one sender that may overtake each other.
const OUT_OF_ORDER: u32 = 64;
/// Messages of one sender that may be missing.
const FORWARD: u32 = 1024;

const DAY: i64 = 24 * 60 * 60;

/// What every device understands.
pub(super) fn capabilities() -> Capabilities {
    Capabilities::new(
        Some(&[ProtocolVersion::Mls10]),
        Some(&[SUITE]),
        // A last resort's own mark has to be among what its leaf understands (RFC 9420 section 7.3).
        Some(&[ExtensionType::Unknown(KEZ_ROOM), ExtensionType::LastResort]),
        Some(&[]),
        Some(&[CredentialType::Basic]),
    )
}

/// From a day before `now` to 83 days after it, when the machine's clock agrees.
///
/// `now` is the server's time, which a test moves by hand; but OpenMLS 0.9.2 compares what is added with the machine's
/// own clock, on both sides and without a switch. So what is made in the server's future begins a day before the
/// machine's time. The two clocks must not be 83 days apart, or no window holds both: whoever adds devices by key
/// packages begins at the machine's time, by [`Net::today`](crate::Net::today).
pub(super) fn lifetime(now: Timestamp) -> Lifetime {
    let machine = SystemClock::new().now();
    let distance = (now.unix_seconds() - machine.unix_seconds()).clamp(0, 83 * DAY);
    let not_before = now.unix_seconds() - distance - DAY;
    let seconds = |time: i64| u64::try_from(time).expect("a time after 1970");
    Lifetime::init(seconds(not_before), seconds(not_before + 84 * DAY))
}

pub(super) fn creation(kind: &str, creator: PublicKey, now: Timestamp) -> MlsGroupCreateConfig {
    MlsGroupCreateConfig::builder()
        .ciphersuite(SUITE)
        .capabilities(capabilities())
        .lifetime(lifetime(now))
        .with_group_context_extensions(group_context(kind, creator))
        .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .sender_ratchet_configuration(SenderRatchetConfiguration::new(OUT_OF_ORDER, FORWARD))
        .max_past_epochs(0)
        .number_of_resumption_psks(0)
        .padding_size(0)
        .use_ratchet_tree_extension(true)
        .build()
}

pub(super) fn joining() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .sender_ratchet_configuration(SenderRatchetConfiguration::new(OUT_OF_ORDER, FORWARD))
        .max_past_epochs(0)
        .number_of_resumption_psks(0)
        .padding_size(0)
        .use_ratchet_tree_extension(true)
        .build()
}

/// `kez_room`, and that every leaf has to understand it.
fn group_context(kind: &str, creator: PublicKey) -> Extensions<GroupContext> {
    let required = RequiredCapabilitiesExtension::new(&[ExtensionType::Unknown(KEZ_ROOM)], &[], &[]);
    // A key for tests, the same in every group: they do not seal the group information.
    let gi_key = "A".repeat(43);
    let room = json!({"v": 1, "kind": kind, "admins": [creator.to_string()], "gi_key": gi_key});
    Extensions::from_vec(vec![
        Extension::RequiredCapabilities(required),
        Extension::Unknown(KEZ_ROOM, UnknownExtension(room.to_string().into_bytes())),
    ])
    .expect("two different extensions")
}
