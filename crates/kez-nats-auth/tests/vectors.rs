//! The vectors of `nats-key` and `nats-callout`: what real servers asked, and forgeries of it.

use std::fs;
use std::path::Path;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use kez_core::{PublicKey, Seed, Timestamp};
use kez_nats_auth::{
    BadJwt, BadRequest, CalloutRequest, CurveSeed, Login, LoginRefusal, Nkey, NkeySeed, Role, open,
};
use serde_json::Value;

fn each(folder: &str, mut check: impl FnMut(&str, &Value)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors").join(folder);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let case = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        check(&path.file_stem().unwrap().to_string_lossy(), &case);
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

fn text<'a>(case: &'a Value, member: &str) -> &'a str {
    case[member].as_str().unwrap_or_else(|| panic!("no text `{member}`"))
}

#[test]
fn keys_are_written_and_read() {
    each("nats-key/valid", |name, case| {
        let key: PublicKey = text(case, "key").parse().unwrap();
        let nkey = Nkey::user(&key);
        assert_eq!(nkey.to_string(), text(case, "nkey"), "{name}");
        assert_eq!(Nkey::of_role(text(case, "nkey"), Role::User).unwrap().ed25519(), Some(key), "{name}");
        let seed = HEXLOWER.decode(text(case, "seed").as_bytes()).unwrap().try_into().unwrap();
        let seed = NkeySeed::new(Role::User, Seed::from_bytes(seed));
        assert_eq!(*seed.expose(), text(case, "nkey_seed"), "{name}");
        assert_eq!(seed.public_key(), nkey, "{name}");
        let again: NkeySeed = text(case, "nkey_seed").parse().unwrap();
        assert_eq!(again.public_key(), nkey, "{name}");
    });
    each("nats-key/invalid", |name, case| {
        assert!(Nkey::of_role(text(case, "nkey"), Role::User).is_err(), "{name}");
    });
}

/// The login of a request, or the first thing that is wrong with it.
fn judge(case: &Value) -> Result<(CalloutRequest, Login), String> {
    let xkey: Nkey = text(case, "xkey").parse().unwrap();
    let ours: CurveSeed = text(case, "xkey_seed").parse().unwrap();
    let issuer: Nkey = text(case, "issuer").parse().unwrap();
    let sealed = BASE64URL_NOPAD.decode(text(case, "sealed").as_bytes()).unwrap();
    let token = open(&ours, &xkey, &sealed).expect("sealed for us");
    let now = case["now"].as_i64().unwrap();
    let request = CalloutRequest::read(&token, &xkey, &issuer, now).map_err(|error| match error {
        BadRequest::Claim(name) => name.to_owned(),
        BadRequest::Expires => "expires".to_owned(),
        BadRequest::Jwt(BadJwt::Alg) => "alg".to_owned(),
        BadRequest::Jwt(BadJwt::Signature) => "signature".to_owned(),
        _ => "malformed".to_owned(),
    })?;
    let server = text(case, "server").parse().unwrap();
    let now = Timestamp::from_unix(now, 0).unwrap();
    let login = Login::check(&request, &server, now).map_err(|refusal| {
        let code = match refusal {
            LoginRefusal::Kind => "kind",
            LoginRefusal::OtherCredential => "other_credential",
            LoginRefusal::Nonce => "nonce",
            LoginRefusal::Nkey => "nkey",
            LoginRefusal::Signature => "signature_over_nonce",
            LoginRefusal::Token => "token",
            other => panic!("{other}"),
        };
        code.to_owned()
    })?;
    Ok((request, login))
}

#[test]
fn what_real_servers_ask_is_understood() {
    each("nats-callout/valid", |name, case| {
        let (request, login) = judge(case).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(request.user.to_string(), text(case, "user_nkey"), "{name}");
        assert_eq!(request.server.to_string(), text(case, "server_nkey"), "{name}");
        let (how, account) = match login {
            Login::Device(enrolment) => ("device", enrolment.primary()),
            Login::Primary(key) => ("primary", key),
        };
        assert_eq!((how, &*account.to_string()), (text(case, "how"), text(case, "account")), "{name}");
    });
}

#[test]
fn each_forgery_is_refused_for_its_flaw() {
    each("nats-callout/invalid", |name, case| {
        assert_eq!(judge(case).unwrap_err(), text(case, "error"), "{name}");
    });
}
