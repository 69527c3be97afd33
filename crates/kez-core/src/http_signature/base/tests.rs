//! The test cases of RFC 9421: other components than ours, the same base and the same signatures.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use super::super::fields::{Value, dictionary};
use super::*;
use crate::key::{PublicKey, Signature};
use crate::vectors::each;

#[derive(Deserialize)]
struct Case {
    signature_input: String,
    values: BTreeMap<String, String>,
    base: String,
    public_key: Option<String>,
    hmac_key: Option<String>,
    signature: String,
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

#[test]
fn the_test_cases_of_rfc_9421_hold() {
    each("http-signature-base", "valid", |file, case: Case| {
        let base = base_of(&case);
        assert_eq!(base, case.base, "{file}");
        let signature = hex(&case.signature);
        if let Some(key) = &case.public_key {
            let key = PublicKey::from_bytes(hex(key).try_into().unwrap());
            key.verify(base.as_bytes(), &Signature::from_bytes(signature.try_into().unwrap())).unwrap();
        } else {
            let key = hex(case.hmac_key.as_ref().unwrap());
            let mut hmac: Hmac<Sha256> = Hmac::new_from_slice(&key).unwrap();
            hmac.update(base.as_bytes());
            hmac.verify_slice(&signature).unwrap();
        }
    });
}

fn base_of(case: &Case) -> String {
    let members = dictionary(&case.signature_input).unwrap();
    let Value::InnerList(items) = &members[0].value else { panic!("a list") };
    let names: Vec<&str> = items
        .iter()
        .map(|(item, _)| match item {
            Item::String(name) => *name,
            other => panic!("{other:?} is no string"),
        })
        .collect();
    let params = signature_params(names.iter().copied(), &members[0].parameters).unwrap();
    let lines = names.iter().map(|name| (*name, [case.values[*name].as_str(), ""]));
    signature_base(lines, &params).unwrap()
}

#[test]
fn no_part_can_add_a_line() {
    for value in ["a\nb", "a\rb", "a\0", "a\tb", "ä", "\u{7f}"] {
        let lines = [("@path", ["/", value])].into_iter();
        assert_eq!(signature_base(lines, "()"), Err(SignatureError::RequestParts), "{value:?}");
    }
}
