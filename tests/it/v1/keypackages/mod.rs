//! `PUT /v1/keypackages`, `GET /v1/keypackages/count`, `POST /v1/keypackages/claim`.

mod abuse;
mod claim;
mod storms;
mod upload;

use data_encoding::BASE64URL_NOPAD;
use kez_core::PublicKey;
use kez_testkit::{Answer, Call, MlsDevice, Net};
use serde_json::{Value, json};

/// Registers `owner` under its own name and takes these devices of it in.
async fn settle<const N: usize>(net: &Net, owner: &str, devices: [&str; N]) -> [MlsDevice; N] {
    net.actor(owner).register(owner).await.expect_status(201);
    let devices = devices.map(|name| device(net, owner, name));
    for device in &devices {
        net.enrol(device).await.expect_status(201);
    }
    devices
}

/// A device of `owner`, certified now.
fn device(net: &Net, owner: &str, name: &str) -> MlsDevice {
    MlsDevice::new(net.actor(owner).seed(), name, net.now())
}

/// The body of an upload.
fn packages(one_time: &[Vec<u8>], last_resort: Option<&[u8]>) -> Value {
    let one_time: Vec<_> = one_time.iter().map(|package| BASE64URL_NOPAD.encode(package)).collect();
    let mut body = json!({ "one_time": one_time });
    if let Some(package) = last_resort {
        body["last_resort"] = BASE64URL_NOPAD.encode(package).into();
    }
    body
}

async fn put(net: &Net, device: &MlsDevice, body: &Value) -> Answer {
    net.signed(device, "PUT", "/v1/keypackages", body).send().await
}

/// Makes and uploads one-time packages and a last-resort one.
async fn fill(net: &Net, device: &MlsDevice, count: usize) {
    let last_resort = device.last_resort(net.now());
    let body = packages(&device.key_packages(count, net.now()), Some(&last_resort));
    put(net, device, &body).await.expect_status(200);
}

/// The call that claims under the id number `n`.
fn claiming(net: &Net, device: &MlsDevice, target: PublicKey, n: u64) -> Call {
    let body = json!({ "primary": target, "id": format!("{n:032x}") });
    net.signed(device, "POST", "/v1/keypackages/claim", &body)
}

async fn claim(net: &Net, device: &MlsDevice, target: PublicKey, n: u64) -> Answer {
    claiming(net, device, target, n).send().await
}

async fn counts(net: &Net, device: &MlsDevice) -> Value {
    net.get_signed(device, "/v1/keypackages/count").await.expect_status(200).json()
}

/// Makes a call that has to be refused, and checks that it changed nothing.
async fn refused(net: &Net, call: Call, status: u16, code: &str) -> Answer {
    let before = net.check_key_packages();
    let answer = call.send().await.expect_problem(status, code);
    assert_eq!(net.check_key_packages(), before, "{answer}");
    answer
}
