use data_encoding::HEXLOWER;
use serde::Deserialize;

use super::*;
use crate::vectors::each;

#[derive(Deserialize)]
struct Exchange {
    secret: String,
    peer: String,
    public_key: Option<String>,
    shared: Option<String>,
}

fn hex(text: &str) -> [u8; 32] {
    HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
}

fn shared(case: &Exchange) -> Option<String> {
    let shared = ExchangeSecret::from_bytes(hex(&case.secret)).shared(&ExchangeKey(hex(&case.peer)))?;
    Some(HEXLOWER.encode(shared.as_slice()))
}

#[test]
fn the_vectors_of_x25519_hold() {
    each("x25519", "valid", |file, case: Exchange| {
        let public = ExchangeSecret::from_bytes(hex(&case.secret)).public_key();
        assert_eq!(Some(HEXLOWER.encode(public.as_bytes())), case.public_key, "{file}");
        assert_eq!(shared(&case), case.shared, "{file}");
    });
    each("x25519", "invalid", |file, case: Exchange| assert_eq!(shared(&case), None, "{file}"));
}

/// RFC 7748 section 5.2, the iteration of a thousand rounds.
#[test]
fn a_thousand_rounds_of_x25519_end_where_the_rfc_says() {
    let (mut scalar, mut point) = ([0; 32], [0; 32]);
    (scalar[0], point[0]) = (9, 9);
    for _ in 0..1000 {
        let next = ExchangeSecret::from_bytes(scalar).shared(&ExchangeKey(point)).unwrap();
        (scalar, point) = (*next, scalar);
    }
    let end = "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51";
    assert_eq!(HEXLOWER.encode(&scalar), end);
}

#[test]
fn secrets_never_print() {
    let secret = ExchangeSecret::from_bytes([0x42; 32]);
    assert_eq!(format!("{secret:?}"), "ExchangeSecret(..)");
    assert_eq!(format!("{:?}", SessionKey::from_bytes([0x42; 32])), "SessionKey(..)");
    assert_eq!(format!("{:?}", "abc".parse::<SessionToken>().unwrap()), "SessionToken(..)");
}

#[test]
fn a_token_and_a_key_are_written_in_one_way() {
    for wrong in ["", "a.b", "a=", "a/b", "a b", "ä", "a\n", &"a".repeat(257)] {
        assert_eq!(wrong.parse::<SessionToken>(), Err(BadSessionToken), "{wrong:?}");
    }
    let key = ExchangeKey::from_bytes([0xff; 32]);
    let text = key.to_string();
    assert_eq!(text.parse(), Ok(key));
    assert_eq!(serde_json::from_str::<ExchangeKey>(&serde_json::to_string(&key).unwrap()).unwrap(), key);
    for wrong in ["", &text[1..], &format!("{text}A"), &format!("{text}="), &text.replace('8', "9")] {
        assert_eq!(wrong.parse::<ExchangeKey>(), Err(BadExchangeKey), "{wrong:?}");
    }
}
