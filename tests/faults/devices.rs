//! Devices of people, and their signed calls.

use std::net::SocketAddr;

use kez_core::http_signature::Signer;
use kez_core::{Envelope, Registration, Seed};
use kez_serve::clock::{Clock as _, SystemClock};
use kez_testkit::{Answer, Call, MlsDevice};
use serde_json::Value;

use crate::people::SERVER;

/// A call with a body, signed now.
pub(crate) fn signed(addr: SocketAddr, signer: &Signer, method: &str, target: &str, body: &Value) -> Call {
    let call = Call::to(addr, method, target).json(body.to_string());
    call.signed(signer, SystemClock::new().now())
}

/// `GET target`, signed now.
pub(crate) async fn read(addr: SocketAddr, signer: &Signer, target: &str) -> Answer {
    Call::to(addr, "GET", target).signed(signer, SystemClock::new().now()).send().await
}

/// Registers `owner` and takes a device of it in.
pub(crate) async fn settle(addr: SocketAddr, owner: &Seed, handle: &str) -> MlsDevice {
    let now = SystemClock::new().now();
    let registration = Registration { handle: handle.to_owned(), server: SERVER.to_owned() };
    let registration = Envelope::sign(&registration, owner, now).unwrap().canonical().to_owned();
    post(addr, "/v1/register", registration).await.expect_status(201);
    let device = MlsDevice::new(owner, "phone", now);
    post(addr, "/v1/devices", device.enrolment(SERVER, now)).await.expect_status(201);
    device
}

async fn post(addr: SocketAddr, target: &str, body: String) -> Answer {
    Call::to(addr, "POST", target).json(body).send().await
}
