//! Bytes in the JSON of a body. SPEC "HTTP behaviour".

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bytes, written as base64url without padding (RFC 4648 section 5). One spelling only: no padding, no white space, no
/// bits beyond the last byte. The body limit of the call bounds their length.
#[derive(Clone, PartialEq, Eq)]
pub struct Base64Url(pub Vec<u8>);

impl Serialize for Base64Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

struct Text;

impl de::Visitor<'_> for Text {
    type Value = Base64Url;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64url without padding")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Base64Url, E> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes());
        bytes.map(Base64Url).map_err(|_| E::custom("not base64url without padding"))
    }
}

/// The length alone: bytes of a body are not for logs.
impl fmt::Debug for Base64Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Base64Url({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<Vec<u8>> {
        serde_json::from_str::<Base64Url>(json).ok().map(|bytes| bytes.0)
    }

    #[test]
    fn bytes_are_written_in_one_way() {
        assert_eq!(read(r#""-_8""#), Some(vec![0xfb, 0xff]));
        assert_eq!(read(r#""""#), Some(Vec::new()));
        assert_eq!(serde_json::to_string(&Base64Url(vec![0xfb, 0xff])).unwrap(), r#""-_8""#);
        for wrong in [r#""+/8""#, r#""-_8=""#, r#""-_9""#, r#""-_8 ""#, r#""-""#, "[1]", "1", "null"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
