//! Against servers that say what they are told.

mod answers;
mod stream;

use std::collections::VecDeque;

use kez_core::http_signature::{KeyId, SignatureClaim};
use kez_core::{
    ConversationId, ConversationKind, ExchangeKey, ExchangeSecret, MessageId, SessionContext, SessionKey,
};

use super::*;
use crate::canned::Canned;
use crate::{Bundle, Contradiction, OutgoingFrame, Sleep, StreamItem};

const NOW: &str = "2026-05-25T03:00:00Z";
const COUNTS: &str = r#"{"one_time":7,"last_resort":true}"#;
const SENT: &str = r#"{"seq":4,"at":"2026-05-25T03:00:00.125Z"}"#;
const NO_SESSIONS: &str = r#"{"server":"kez.lat","registration":"open"}"#;
const CID: ConversationId = ConversationId::from_bytes([7; 16]);

/// A machine whose clock stands still, and whose waits are over at once.
#[derive(Debug, Default)]
struct Desk {
    waits_ms: Mutex<VecDeque<u128>>,
    drawn: Mutex<u8>,
}

impl Machine for Desk {
    fn now(&self) -> Timestamp {
        NOW.parse().unwrap()
    }

    /// The highest numbers, so that waits are at their ceilings; each draw differs in its last byte.
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0xff);
        let mut drawn = self.drawn.lock().unwrap();
        *drawn = drawn.wrapping_sub(1);
        if let [_, .., last] = bytes {
            *last = *drawn;
        }
    }

    fn sleep(&self, time: Duration) -> Sleep {
        self.waits_ms.lock().unwrap().push_back(time.as_millis());
        Box::pin(std::future::ready(()))
    }
}

struct Scene {
    client: DeviceClient,
    desk: Arc<Desk>,
    server: Canned,
}

impl Scene {
    async fn with(answers: Vec<String>) -> Self {
        Self::at(Canned::start(answers).await)
    }

    /// As [`plain`](Self::plain), with connections that stay open.
    async fn plain_held(mut answers: Vec<String>) -> Self {
        answers.insert(0, answer(200, NO_SESSIONS));
        Self::at(Canned::start_held(answers).await)
    }

    fn at(server: Canned) -> Self {
        let home = HomeServer::new(server.url("/").as_str().parse().unwrap()).unwrap();
        let desk = Arc::new(Desk::default());
        let client = DeviceClient::new(home, keys(), Arc::clone(&desk) as Arc<dyn Machine>).unwrap();
        Self { client, desk, server }
    }

    /// A server that has no sessions.
    async fn plain(mut answers: Vec<String>) -> Self {
        answers.insert(0, answer(200, NO_SESSIONS));
        Self::with(answers).await
    }

    fn waits_ms(&self) -> Vec<u128> {
        self.desk.waits_ms.lock().unwrap().iter().copied().collect()
    }

    /// The first lines of what the server heard, without the version.
    fn targets(&self) -> Vec<String> {
        let heard = self.server.heard();
        heard.iter().map(|head| head.split(" HTTP/").next().unwrap().to_owned()).collect()
    }

    /// What the request with this number claims and covers.
    fn claim(&self, number: usize) -> SignatureClaim {
        let head = self.server.heard().remove(number);
        SignatureClaim::parse(&header(&head, "signature-input"), &header(&head, "signature")).unwrap()
    }

    /// Checks that the request with this number is signed by `verify`.
    fn expect_signed(&self, number: usize, verify: impl Fn(&SignatureClaim, &RequestParts<'_>) -> bool) {
        let claim = self.claim(number);
        claim.check_time(self.client.server_time()).unwrap();
        let head = self.server.heard().remove(number);
        let (line, _) = head.split_once(" HTTP/").unwrap();
        let (method, target) = line.split_once(' ').unwrap();
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let digest = header(&head, "content-digest");
        let parts = RequestParts {
            method,
            authority: &header(&head, "host"),
            path,
            query,
            content_digest: (!digest.is_empty()).then_some(digest.as_str()),
        };
        assert!(verify(&claim, &parts), "{head}");
    }

    fn expect_signed_by_device(&self, number: usize) {
        let key = keys().auth.public_key();
        self.expect_signed(number, |claim, parts| claim.verify_device(&key, parts).is_ok());
        assert_eq!(self.claim(number).key_id(), &self.client.device_signer().key_id());
    }

    fn is_by_session(&self, number: usize) -> bool {
        matches!(self.claim(number).key_id(), KeyId::Session(_))
    }
}

fn keys() -> DeviceKeys {
    DeviceKeys {
        primary: Seed::from_bytes([0x42; 32]).public_key(),
        device_id: DeviceId::from_bytes([9; 16]),
        auth: Seed::from_bytes([3; 32]),
    }
}

fn header(head: &str, name: &str) -> String {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.to_owned())
        .unwrap_or_default()
}

fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} Said\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn refusal(status: u16, code: &str) -> String {
    answer(status, &format!(r#"{{"code":"{code}","status":{status}}}"#))
}

fn server_secret() -> ExchangeSecret {
    ExchangeSecret::from_bytes([5; 32])
}

fn with_sessions() -> String {
    let key = server_secret().public_key();
    answer(200, &format!(r#"{{"server":"kez.lat","registration":"open","session_key":"{key}"}}"#))
}

fn opened(token: &str, expires_at: &str) -> String {
    answer(200, &format!(r#"{{"session":"{token}","expires_at":"{expires_at}"}}"#))
}

#[track_caller]
fn expect_contradiction(fault: &CallError, expected: Contradiction) {
    let is_it =
        matches!(fault, CallError::Client(ClientError::Contradiction { what, .. }) if *what == expected);
    assert!(is_it, "{fault:?}");
}

fn frame() -> OutgoingFrame {
    OutgoingFrame { mid: MessageId::from_bytes([1; 16]), frame: b"frame".to_vec() }
}

#[tokio::test]
async fn a_call_is_signed_by_the_device_where_there_are_no_sessions() {
    let scene = Scene::plain(vec![answer(200, COUNTS), answer(201, SENT), answer(200, COUNTS)]).await;
    assert_eq!(scene.client.key_package_counts().await.unwrap().one_time, 7);
    assert_eq!(scene.client.send(CID, &frame()).await.unwrap().seq, 4);
    scene.client.key_package_counts().await.unwrap();
    let frames = format!("POST /v1/conversations/{CID}/frames");
    let counts = "GET /v1/keypackages/count";
    // The server is asked for sessions once.
    assert_eq!(scene.targets(), ["GET /v1/server", counts, &frames, counts]);
    for number in 1..=3 {
        scene.expect_signed_by_device(number);
    }
    assert!(!scene.claim(1).covers_body() && scene.claim(2).covers_body());
    assert_ne!(scene.claim(1).nonce(), scene.claim(3).nonce());
    assert!(scene.waits_ms().is_empty());
}

#[tokio::test]
async fn a_session_is_opened_once_and_signs_what_follows() {
    let opened = opened("token-1", "2026-05-25T04:00:00Z");
    let scene = Scene::with(vec![with_sessions(), opened, answer(200, COUNTS), answer(200, COUNTS)]).await;
    scene.client.key_package_counts().await.unwrap();
    scene.client.key_package_counts().await.unwrap();
    assert_eq!(scene.targets()[..2], ["GET /v1/server", "POST /v1/session"]);
    scene.expect_signed_by_device(1);
    let key = session_key(&scene);
    for number in [2, 3] {
        assert!(scene.is_by_session(number));
        scene.expect_signed(number, |claim, parts| claim.verify_session(&key, parts).is_ok());
    }
}

/// As the server derives it.
fn session_key(scene: &Scene) -> SessionKey {
    let head = scene.server.heard().remove(1);
    let (_, body) = head.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let client: ExchangeKey = body["key"].as_str().unwrap().parse().unwrap();
    let DeviceKeys { primary, device_id, .. } = keys();
    let context = SessionContext { client, server: server_secret().public_key(), primary, device_id };
    server_secret().session_key(&client, &context).unwrap()
}

#[tokio::test]
async fn a_session_about_to_end_is_not_used() {
    let opened = opened("token-1", "2026-05-25T03:01:00Z");
    let scene = Scene::with(vec![
        with_sessions(),
        opened.clone(),
        answer(200, COUNTS),
        with_sessions(),
        opened,
        answer(200, COUNTS),
    ])
    .await;
    scene.client.key_package_counts().await.unwrap();
    scene.client.key_package_counts().await.unwrap();
    assert_eq!(scene.targets()[3..5], ["GET /v1/server", "POST /v1/session"]);
}

#[tokio::test]
async fn a_session_that_ended_makes_room_for_another_and_two_for_the_device() {
    let until = "2026-05-25T04:00:00Z";
    let scene = Scene::with(vec![
        with_sessions(),
        opened("token-1", until),
        refusal(401, "session_ended"),
        with_sessions(),
        opened("token-2", until),
        refusal(401, "bad_signature"),
        answer(200, COUNTS),
    ])
    .await;
    scene.client.key_package_counts().await.unwrap();
    let sessions: Vec<_> = [2, 5, 6].map(|number| scene.is_by_session(number)).into();
    assert_eq!(sessions, [true, true, false]);
    assert!(scene.waits_ms().is_empty());
}

#[tokio::test]
async fn a_refused_session_leaves_the_device_key() {
    let scene = Scene::with(vec![with_sessions(), refusal(401, "unknown_device"), answer(200, COUNTS)]).await;
    scene.client.key_package_counts().await.unwrap();
    scene.expect_signed_by_device(2);
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_once() {
    let late = answer(401, r#"{"code":"signature_expired","server_time":"2026-05-25T05:00:00Z"}"#);
    let scene =
        Scene::plain(vec![late.clone(), answer(200, COUNTS), late.clone(), late, answer(200, COUNTS)]).await;
    scene.client.key_package_counts().await.unwrap();
    assert_eq!(scene.client.server_time(), "2026-05-25T05:00:00Z".parse().unwrap());
    assert_eq!(scene.claim(2).created() - scene.claim(1).created(), 2 * 60 * 60);
    let fault = scene.client.key_package_counts().await.unwrap_err();
    assert!(matches!(fault, CallError::SignatureExpired { server_time: Some(_) }));
    assert!(scene.waits_ms().is_empty());
}

/// A server could otherwise have things dated as it likes.
#[tokio::test]
async fn a_clock_is_corrected_by_a_day_at_most() {
    let says = |time: &str| answer(401, &format!(r#"{{"code":"signature_expired","server_time":"{time}"}}"#));
    let ok = || answer(200, COUNTS);
    let (day_on, day_back) = ("2026-05-26T03:00:00Z", "2026-05-24T03:00:00Z");
    let scene = Scene::plain(vec![
        says(day_on),
        ok(),
        says("2026-05-26T03:00:01Z"),
        says(day_back),
        ok(),
        says("2026-05-24T02:59:59Z"),
        says("9999-12-31T23:59:59Z"),
    ])
    .await;
    let client = &scene.client;
    for corrected in [day_on, day_back] {
        client.key_package_counts().await.unwrap();
        let known = corrected.parse().unwrap();
        assert_eq!(client.server_time(), known);
        let fault = client.key_package_counts().await.unwrap_err();
        assert!(matches!(fault, CallError::ClockFarOff { server_time } if server_time != known), "{fault:?}");
        assert_eq!(client.server_time(), known, "what is out of bounds changes nothing");
    }
    // Nor does a stream follow it.
    let fault = client.events(0).next().await.unwrap_err();
    assert!(matches!(fault, CallError::ClockFarOff { .. }), "{fault:?}");
    assert!(scene.waits_ms().is_empty());
}

#[tokio::test]
async fn a_session_is_not_opened_by_a_clock_that_is_far_off() {
    let far = answer(401, r#"{"code":"signature_expired","server_time":"2026-06-25T03:00:00Z"}"#);
    let scene = Scene::with(vec![with_sessions(), far, answer(200, COUNTS)]).await;
    scene.client.key_package_counts().await.unwrap();
    assert_eq!(scene.client.server_time(), NOW.parse().unwrap());
    scene.expect_signed_by_device(2);
}

#[tokio::test]
async fn not_now_is_tried_again_as_it_is_and_signed_anew() {
    let slow = "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 23\r\n\r\n{\"code\":\"rate_limited\"}";
    let scene = Scene::plain(vec![
        refusal(503, "storage_busy"),
        slow.to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_owned(),
        answer(502, "<html>"),
        answer(200, SENT),
    ])
    .await;
    scene.client.send(CID, &frame()).await.unwrap();
    assert_eq!(scene.waits_ms().len(), 4);
    assert!(scene.waits_ms()[1] >= 7_000 && scene.waits_ms()[2] <= 800);
    let heard = scene.server.heard();
    let bodies: Vec<_> = heard[1..].iter().map(|head| head.split_once("\r\n\r\n").unwrap().1).collect();
    assert!(bodies.iter().all(|body| *body == bodies[0] && body.contains("mid")));
    assert_ne!(scene.claim(1).nonce(), scene.claim(5).nonce());
}

#[tokio::test]
async fn patience_ends() {
    let scene = Scene::plain(vec![refusal(503, "storage_busy"); 6]).await;
    let fault = scene.client.key_package_counts().await.unwrap_err();
    assert_eq!(fault.code(), Some("storage_busy"));
    assert_eq!(scene.waits_ms().len(), 5);
    let hour =
        "HTTP/1.1 429 Slow\r\nRetry-After: 3600\r\nContent-Length: 23\r\n\r\n{\"code\":\"rate_limited\"}";
    let scene = Scene::plain(vec![hour.to_owned()]).await;
    assert_eq!(scene.client.key_package_counts().await.unwrap_err().code(), Some("rate_limited"));
    assert!(scene.waits_ms().is_empty());
}

#[test]
fn nothing_prints_a_secret() {
    let text = format!("{:?}", keys());
    assert!(text.contains("Seed(..)") && !text.contains("0303"), "{text}");
}
