//! `POST /v1/conversations/{cid}/frames`, `GET /v1/conversations/{cid}/frames`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use kez_core::{ConversationId, FRAMES_BODY_BYTES_MAX, FRAMES_MAX, MessageId};
use kez_serve::problem::Problem;
use kez_serve::reply::{Json, Stored};

use super::conversation_bodies::{
    AppendedBody, FrameBody, FramesBody, PageBody, PlacedBody, ResultBody, ResultsBody,
};
use super::conversations::{author, conversation, unless_stranger};
use super::cursor::Cursor;
use super::lookup::Param;
use super::schema::ProblemBody;
use crate::app::App;
use crate::caller::{Caller, Signed, SignedJson};
use crate::conversations::{FrameFault, check_frame};
use crate::error::ApiError;
use crate::sending::weight;
use crate::store::{AcceptedFrame, NotAdmitted, PageLimits, Placed};

/// The most bytes of frames in a page, but for its first one: what an answer holds in memory.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Appends an application message, or several, in the epoch of the head.
///
/// Of several each has a verdict of its own, as if it had been sent alone. The same frame sent again under its id is
/// answered 200 with what was answered first.
#[utoipa::path(
    post, path = "/v1/conversations/{cid}/frames", tag = "conversations",
    params(("cid" = String, Path, description = "The conversation", pattern = "^[0-9a-f]{32}$")),
    request_body = FramesBody,
    security(("signature" = [])),
    responses(
        (status = 201, description = "The one frame is accepted, durably", body = PlacedBody),
        (status = 200, description = "The one frame was accepted before; or the verdicts on several", body = AppendedBody),
        (status = 400, description = "`malformed`, `digest_mismatch`, `bad_frame`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`, `not_a_member`, `request_pending`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "`body_timeout`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`conversation_closed`, `stale_epoch` with `epoch` and `seq` of the head, `mid_reused`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`, `quota_exceeded`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`, `sending_limited`, `too_many_writes`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`busy`, `storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "`storage_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn append_frames(
    State(app): State<Arc<App>>,
    cid: Param,
    signed: SignedJson<FRAMES_BODY_BYTES_MAX>,
) -> Result<Stored<AppendedBody>, ApiError> {
    let cid = conversation(cid)?;
    match frames(signed.parse()?)? {
        Frames::One(frame) => {
            let placed = one(&app, &signed.caller, cid, frame).await?;
            let body = AppendedBody::One(PlacedBody { seq: placed.seq, at: placed.at });
            Ok(if placed.is_repeated { Stored::Before(body) } else { Stored::New(body) })
        }
        Frames::Many(frames) => {
            let results = many(&app, &signed.caller, cid, frames).await?;
            Ok(Stored::Before(AppendedBody::Many(ResultsBody { results })))
        }
    }
}

/// What stands in a body.
enum Frames {
    One(FrameBody),
    Many(Vec<FrameBody>),
}

fn frames(body: FramesBody) -> Result<Frames, ApiError> {
    match body {
        FramesBody { mid: Some(mid), frame: Some(frame), frames: None } => {
            Ok(Frames::One(FrameBody { mid, frame }))
        }
        FramesBody { mid: None, frame: None, frames: Some(frames) }
            if (1..=FRAMES_MAX).contains(&frames.len()) =>
        {
            Ok(Frames::Many(frames))
        }
        _ => Err(ApiError::Shape),
    }
}

async fn one(app: &App, caller: &Caller, cid: ConversationId, frame: FrameBody) -> Result<Placed, ApiError> {
    let frame = match check_frame(cid, frame.mid, frame.frame.0) {
        Ok(frame) => frame,
        Err(fault) => return Err(unless_stranger(app, caller, cid, fault.into()).await),
    };
    let mut verdicts = store(app, caller, cid, vec![frame]).await?.into_iter();
    // invariant: the store answers a verdict for each frame.
    verdicts.next().unwrap_or(Err(ApiError::Shape))
}

async fn many(
    app: &App,
    caller: &Caller,
    cid: ConversationId,
    frames: Vec<FrameBody>,
) -> Result<Vec<ResultBody>, ApiError> {
    let (mut checked, mut accepted) = (Vec::with_capacity(frames.len()), Vec::with_capacity(frames.len()));
    for FrameBody { mid, frame } in frames {
        checked.push((mid, check_frame(cid, mid, frame.0).map(|frame| accepted.push(frame))));
    }
    let mut verdicts = match accepted.is_empty() {
        // There is nothing to write, but whether the caller may ask at all is still to be said.
        true if app.store.is_member(caller.account, cid).await? => Vec::new(),
        true => return Err(NotAdmitted::NotAMember.into()),
        false => store(app, caller, cid, accepted).await?,
    }
    .into_iter();
    let verdict = |(mid, checked): (MessageId, Result<(), FrameFault>)| match checked {
        // invariant: the store answers a verdict for each frame.
        Ok(()) => result(mid, verdicts.next().unwrap_or(Err(ApiError::Shape))),
        Err(fault) => result(mid, Err(fault.into())),
    };
    Ok(checked.into_iter().map(verdict).collect())
}

/// Stores frames and tells who waits for them; a verdict for each.
async fn store(
    app: &App,
    caller: &Caller,
    cid: ConversationId,
    frames: Vec<AcceptedFrame>,
) -> Result<Vec<Result<Placed, ApiError>>, ApiError> {
    let (by, at) = (author(caller), app.clock.now().truncated_to_millis());
    app.admit_sending(by.account, cid, frames.iter().map(|frame| weight(frame.bytes.len())).sum())?;
    let bus = Arc::clone(&app.bus);
    let store = Arc::clone(&app.store);
    let appended = app.write(by.account, async move {
        let appended = store.append(by, cid, frames, at, Box::new(move |woken| bus.wake(woken))).await?;
        Ok::<_, ApiError>(appended?)
    });
    Ok(appended.await?.verdicts.into_iter().map(|verdict| verdict.map_err(ApiError::from)).collect())
}

fn result(mid: MessageId, verdict: Result<Placed, ApiError>) -> ResultBody {
    match verdict {
        Ok(placed) => ResultBody {
            mid,
            status: if placed.is_repeated { 200 } else { 201 },
            code: None,
            seq: Some(placed.seq),
            at: Some(placed.at),
            more: serde_json::Map::new(),
        },
        Err(error) => {
            let problem = Problem::from(error);
            ResultBody {
                mid,
                status: problem.status().as_u16(),
                code: Some(problem.code()),
                seq: None,
                at: None,
                more: problem.extensions().clone(),
            }
        }
    }
}

/// The log of a conversation that the caller is or was in, as far as it may read it.
#[utoipa::path(
    get, path = "/v1/conversations/{cid}/frames", tag = "conversations",
    params(
        ("cid" = String, Path, description = "The conversation", pattern = "^[0-9a-f]{32}$"),
        ("after" = Option<u64>, Query, description = "The number that the page begins after; from the beginning when it is missing"),
        ("limit" = Option<u32>, Query, description = "1 to 500; 100 when it is missing", minimum = 1, maximum = 500),
    ),
    security(("signature" = [])),
    responses(
        (status = 200, description = "A page of at most 1 MiB of frames, and at least one where there is one", body = PageBody),
        (status = 400, description = "`bad_cursor`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "`signature_missing`, `signature_malformed`, `signature_expired`, `wrong_authority`, `unknown_device`, `bad_signature`, `session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`account_suspended`, `not_a_member`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "`gone` with `oldest`: frames after `after` were dropped", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`storage_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn read_frames(
    State(app): State<Arc<App>>,
    cid: Param,
    query: RawQuery,
    Signed(caller): Signed,
) -> Result<Json<PageBody>, ApiError> {
    let cid = conversation(cid)?;
    let Cursor { after, limit } = Cursor::<u64>::parse(query)?;
    let limits = PageLimits { frames_max: limit, bytes_max: PAGE_BYTES_MAX };
    let page = app.store.frames(caller.account, cid, after.unwrap_or(0), limits).await??;
    Ok(Json(page.into()))
}
