//! Names made of 16 random bytes: of a device, a conversation, a message, a claim. SPEC "Identifiers".

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;

use crate::key::decode_hex;
use crate::text::serde_as_text;

/// The text is not 32 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of 32 lower-case hex digits")]
pub struct BadId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The id with these 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// The first eight hex digits, for logs.
            pub fn short(&self) -> String {
                self.to_string().chars().take(8).collect()
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                decode_hex(text).map(Self).ok_or(BadId)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut hex = [0; 32];
                HEXLOWER.encode_mut(&self.0, &mut hex);
                f.write_str(std::str::from_utf8(&hex).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.short())
            }
        }

        serde_as_text!($name);
    };
}

id! {
    /// A device of an account: 16 bytes, written as 32 lower-case hex digits. Chosen by the device, never used twice.
    DeviceId
}

id! {
    /// A conversation: 16 bytes, written as 32 lower-case hex digits. Also the id of its MLS group.
    ConversationId
}

id! {
    /// A message within a conversation: 16 bytes, written as 32 lower-case hex digits. Chosen by its sender.
    MessageId
}

id! {
    /// A claim of key packages: 16 bytes, written as 32 lower-case hex digits. Chosen by the claimer.
    ClaimId
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn an_id_is_written_in_one_way() {
        for wrong in [
            "",
            "00112233445566778899aabbccddeef",
            "00112233445566778899aabbccddeeff0",
            "00112233445566778899AABBCCDDEEFF",
            "00112233-4455-6677-8899-aabbccddeeff",
            "0x112233445566778899aabbccddeeff",
            " 0112233445566778899aabbccddeeff",
        ] {
            assert_eq!(wrong.parse::<DeviceId>(), Err(BadId), "{wrong:?}");
        }
    }

    #[test]
    fn an_id_keeps_its_text() {
        let id: DeviceId = TEXT.parse().unwrap();
        assert_eq!(DeviceId::from_bytes(*id.as_bytes()), id);
        assert_eq!(id.to_string(), TEXT);
        assert_eq!(format!("{id:?}"), "DeviceId(00112233)");
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{TEXT}\""));
        assert_eq!(serde_json::from_str::<DeviceId>(&json).unwrap(), id);
    }
}
