//! What answers have to be, and what refusals become.

use kez_core::{ClaimId, Device, DeviceCertificate, Envelope, Members, Verified};

use super::*;

#[tokio::test]
async fn refusals_that_callers_act_on_have_names() {
    let stale = answer(409, r#"{"code":"stale_epoch","epoch":5,"seq":9}"#);
    let exists = answer(409, &format!(r#"{{"code":"conversation_exists","cid":"{CID}"}}"#));
    let limited =
        "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 25\r\n\r\n{\"code\":\"claims_limited\"}";
    let without = answer(409, r#"{"code":"stale_epoch"}"#);
    let scene = Scene::plain(vec![
        stale,
        exists,
        answer(410, r#"{"code":"gone","oldest":3}"#),
        limited.to_owned(),
        without,
        refusal(409, "mid_reused"),
        refusal(403, "not_a_member"),
    ])
    .await;
    let client = &scene.client;
    let bundle = bundle();
    let fault = client.commit(CID, &bundle).await.unwrap_err();
    assert!(matches!(fault, CallError::StaleEpoch { epoch: 5, seq: 9 }));
    let fault = client.create_conversation(CID, ConversationKind::Direct, &bundle).await.unwrap_err();
    assert!(matches!(fault, CallError::ConversationExists { cid: CID }));
    assert!(matches!(client.inbox(0).next().await.unwrap_err(), CallError::Gone { oldest: 3 }));
    let claimed = client.claim_key_packages(keys().primary, ClaimId::from_bytes([1; 16])).await;
    assert!(matches!(claimed.unwrap_err(), CallError::ClaimsLimited { retry_after_s: Some(7) }));
    assert_eq!(client.send(CID, &frame()).await.unwrap_err().code(), Some("stale_epoch"));
    assert!(matches!(client.send(CID, &frame()).await.unwrap_err(), CallError::MessageIdReused));
    assert!(matches!(client.conversation(CID).await.unwrap_err(), CallError::NotAMember));
    assert!(scene.waits_ms().is_empty());
}

fn bundle() -> Bundle {
    Bundle {
        id: MessageId::from_bytes([2; 16]),
        epoch: 0,
        commit: b"commit".to_vec(),
        welcomes: Vec::new(),
        group_info: b"info".to_vec(),
        members_after: Members::try_from(vec![keys().primary]).unwrap(),
    }
}

#[tokio::test]
async fn verdicts_belong_to_the_frames_that_were_sent() {
    let mid = frame().mid;
    let results = |mid: MessageId| {
        let taken = format!(r#"{{"mid":"{mid}","status":201,"seq":4,"at":"{NOW}"}}"#);
        let stale = format!(r#"{{"mid":"{mid}","status":409,"code":"stale_epoch","epoch":2,"seq":4}}"#);
        answer(200, &format!(r#"{{"results":[{taken},{stale}]}}"#))
    };
    let scene = Scene::plain(vec![results(mid), results(MessageId::from_bytes([8; 16]))]).await;
    let sent = scene.client.send_all(CID, &[frame(), frame()]).await;
    assert!(sent.stopped.is_none(), "there was nothing left to stop");
    assert!(
        matches!(&sent.verdicts[..], [Ok(sent), Err(CallError::StaleEpoch { epoch: 2, .. })] if sent.seq == 4)
    );
    let sent = scene.client.send_all(CID, &[frame(), frame()]).await;
    assert!(sent.verdicts.is_empty());
    expect_contradiction(&sent.stopped.unwrap(), Contradiction::OtherMessage);
}

/// What a server says to a request with these many frames, all under one id.
fn verdicts(count: usize, last: &str) -> String {
    let (mid, taken) = (frame().mid, r#""status":201,"seq":4,"at":"2026-05-25T03:00:00.125Z""#);
    let each = (1..=count).map(|number| if number == count { last } else { taken });
    let each: Vec<_> = each.map(|verdict| format!(r#"{{"mid":"{mid}",{verdict}}}"#)).collect();
    answer(200, &format!(r#"{{"results":[{}]}}"#, each.join(",")))
}

#[tokio::test]
async fn many_frames_go_in_order_until_one_says_that_the_rest_is_pointless() {
    let taken = r#""status":201,"seq":4,"at":"2026-05-25T03:00:00.125Z""#;
    let bad = r#""status":400,"code":"bad_frame""#;
    let stale = r#""status":409,"code":"stale_epoch","epoch":2,"seq":4"#;
    let frames = vec![frame(); 40];
    let scene = Scene::plain(vec![verdicts(16, bad), verdicts(16, taken), verdicts(8, taken)]).await;
    let sent = scene.client.send_all(CID, &frames).await;
    assert!(sent.stopped.is_none(), "{sent:?}");
    assert_eq!(sent.verdicts.iter().filter(|verdict| verdict.is_ok()).count(), 39);
    assert_eq!(sent.verdicts[15].as_ref().err().and_then(CallError::code), Some("bad_frame"));

    let scene = Scene::plain(vec![verdicts(16, taken), verdicts(16, stale)]).await;
    let sent = scene.client.send_all(CID, &frames).await;
    assert_eq!((sent.verdicts.len(), scene.targets().len()), (32, 3));
    assert!(matches!(sent.stopped, Some(CallError::StaleEpoch { epoch: 2, seq: 4 })), "{sent:?}");

    let scene = Scene::plain(vec![verdicts(16, taken), refusal(403, "not_a_member")]).await;
    let sent = scene.client.send_all(CID, &frames).await;
    assert_eq!((sent.verdicts.len(), scene.targets().len()), (16, 3));
    assert!(matches!(sent.stopped, Some(CallError::NotAMember)), "{sent:?}");

    let scene = Scene::plain(vec![]).await;
    let sent = scene.client.send_all(CID, &[]).await;
    assert!(sent.verdicts.is_empty() && sent.stopped.is_none() && scene.targets().is_empty());
}

#[tokio::test]
async fn a_commit_is_confirmed_as_itself() {
    let committed =
        |status, epoch, seq| answer(status, &format!(r#"{{"epoch":{epoch},"seq":{seq},"at":"{NOW}"}}"#));
    let answers =
        vec![committed(201, 1, 3), committed(200, 1, 3), committed(201, 2, 3), committed(201, 1, 0)];
    let scene = Scene::plain(answers).await;
    for already in [false, true] {
        assert_eq!(scene.client.commit(CID, &bundle()).await.unwrap().already, already);
    }
    for _ in 0..2 {
        let fault = scene.client.commit(CID, &bundle()).await.unwrap_err();
        expect_contradiction(&fault, Contradiction::OtherEpoch);
    }
}

#[tokio::test]
async fn a_creation_is_confirmed_as_itself() {
    let (own, other) = (keys().primary, keys().auth.public_key());
    let created = |kind: &str, member: PublicKey, epoch: u64, seq: u64| {
        let members = format!(r#""members":["{member}"],"generation":1"#);
        let place = format!(r#""epoch":{epoch},"seq":{seq},"at":"{NOW}""#);
        answer(201, &format!(r#"{{"cid":"{CID}","kind":"{kind}","state":"open",{members},{place}}}"#))
    };
    let answers = vec![
        created("group", own, 1, 1),
        created("direct", own, 1, 1),
        created("group", other, 1, 1),
        created("group", own, 0, 1),
        created("group", own, 1, 0),
    ];
    let scene = Scene::plain(answers).await;
    let create = async || scene.client.create_conversation(CID, ConversationKind::Group, &bundle()).await;
    assert!(!create().await.unwrap().already);
    for what in [
        Contradiction::OtherConversation,
        Contradiction::OtherMembers,
        Contradiction::OtherEpoch,
        Contradiction::OtherEpoch,
    ] {
        expect_contradiction(&create().await.unwrap_err(), what);
    }
}

#[tokio::test]
async fn pages_follow_each_other_and_must_rise() {
    let page = |numbers: &[u64]| {
        let frame = |seq| {
            format!(r#"{{"seq":{seq},"at":"{NOW}","mid":"{}","kind":"app","frame":"AAAA"}}"#, frame().mid)
        };
        let frames: Vec<_> = numbers.iter().map(frame).collect();
        answer(200, &format!(r#"{{"frames":[{}],"seq":9,"oldest":1}}"#, frames.join(",")))
    };
    let scene = Scene::plain(vec![page(&[3, 4]), page(&[]), page(&[5]), page(&[5])]).await;
    let mut frames = scene.client.frames(CID, 2);
    assert_eq!(frames.next().await.unwrap().unwrap().frames.len(), 2);
    assert_eq!(frames.next().await.unwrap(), None);
    assert_eq!(frames.next().await.unwrap().unwrap().frames[0].frame, [0, 0, 0]);
    let fault = frames.next().await.unwrap_err();
    assert!(matches!(fault, CallError::Client(ClientError::Contradiction { .. })));
    assert!(scene.targets()[2].ends_with("frames?after=4&limit=500"));
    scene.expect_signed_by_device(2);
}

/// Else a slow line carries the same beginning of a page for ever.
#[tokio::test(start_paused = true)]
async fn a_page_gets_smaller_until_it_passes() {
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n{".to_owned();
    let empty = answer(200, r#"{"events":[],"head":0}"#);
    let answers = [vec![begun; 9], vec![empty.clone(), empty]].concat();
    let scene = Scene::plain_held(answers).await;
    let mut pages = scene.client.inbox(0);
    for _ in 0..2 {
        assert_eq!(pages.next().await.unwrap(), None);
    }
    let asked: Vec<_> = scene.targets().into_iter().skip(1).collect();
    let limits = [500, 250, 125, 62, 31, 15, 7, 3, 1, 1, 1];
    assert_eq!(asked, limits.map(|limit| format!("GET /v1/inbox?after=0&limit={limit}")));
    // One item is as little as there is: that attempt was the first to cost patience.
    assert_eq!(scene.waits_ms().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up_and_asked_for_less() {
    let scene = Scene::plain_held(vec![String::new(); 6]).await;
    let mut pages = scene.client.frames(CID, 0);
    let fault = pages.next().await.unwrap_err();
    assert!(matches!(fault, CallError::Client(ClientError::TimedOut { has_begun: false, .. })), "{fault:?}");
    assert_eq!(scene.waits_ms().len(), 5);
    assert!(scene.targets()[6].ends_with("limit=15"));
}

/// A device of `owner`, taken in by the owner.
fn document(owner: &Seed) -> Verified<Device> {
    let (id, mls) = (keys().device_id, Seed::from_bytes([4; 32]).public_key());
    let (now, until) = (NOW.parse().unwrap(), "2026-08-25T03:00:00Z".parse().unwrap());
    let device = Device {
        server: "kez.lat".to_owned(),
        device_id: id,
        auth_key: keys().auth.public_key(),
        mls_key: mls,
        mls_certificate: DeviceCertificate::issue(owner, id, &mls, now, until).unwrap(),
        expires_at: until,
    };
    Envelope::sign(&device, owner, now).unwrap().verify().unwrap()
}

#[tokio::test]
async fn an_enrolment_is_confirmed_as_itself() {
    let device = document(&Seed::from_bytes([0x42; 32]));
    let enrolled = |auth_key: PublicKey| {
        let DeviceKeys { primary, device_id, .. } = keys();
        let mls_key = device.document().mls_key;
        answer(
            201,
            &format!(
                r#"{{"primary":"{primary}","device_id":"{device_id}","auth_key":"{auth_key}","mls_key":"{mls_key}",
            "enrolled_at":"{NOW}","expires_at":"2026-08-25T03:00:00Z","inbox_head":1}}"#
            ),
        )
    };
    let scene = Scene::with(vec![
        refusal(503, "storage_busy"),
        enrolled(keys().auth.public_key()),
        enrolled(keys().primary),
        refusal(403, "too_many_devices"),
    ])
    .await;
    assert_eq!(scene.client.enrol(&device).await.unwrap().inbox_head, 1);
    assert_eq!(scene.waits_ms().len(), 1);
    let fault = scene.client.enrol(&device).await.unwrap_err();
    assert!(matches!(fault, CallError::Client(ClientError::Contradiction { .. })));
    assert_eq!(scene.client.enrol(&device).await.unwrap_err().code(), Some("too_many_devices"));
}

#[tokio::test]
async fn a_listed_device_is_one_that_the_owner_took_in() {
    let owner = Seed::from_bytes([0x42; 32]);
    let list = |envelope: &str| {
        let primary = owner.public_key();
        let device = format!(r#"{{"envelope":{envelope},"enrolled_at":"{NOW}"}}"#);
        answer(200, &format!(r#"{{"primary":"{primary}","devices":[{device}],"revoked":[]}}"#))
    };
    let good = document(&owner).canonical().to_owned();
    let scene = Scene::with(vec![
        list(&good),
        list(&good.replace("kez.lat", "kez.example")),
        list(document(&Seed::from_bytes([6; 32])).canonical()),
        list(&good),
        refusal(404, "not_found"),
    ])
    .await;
    let home = scene.client.home();
    let (alice, key) = ("alice@kez.lat".parse().unwrap(), owner.public_key());
    let listed = home.devices(&alice, key).await.unwrap().unwrap();
    assert_eq!(listed.devices[0].enrolment.device().device_id, keys().device_id);
    assert_eq!(scene.targets(), ["GET /v1/u/alice/devices"]);
    for asked in [key, key, Seed::from_bytes([6; 32]).public_key()] {
        let fault = home.devices(&alice, asked).await.unwrap_err();
        assert!(matches!(fault, CallError::Client(ClientError::Contradiction { .. })), "{fault:?}");
    }
    assert!(home.devices(&alice, key).await.unwrap().is_none());
}
