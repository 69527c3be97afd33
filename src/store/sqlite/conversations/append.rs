//! Application messages: the path that every message takes.

use kez_core::{ConversationId, FrameKind, Timestamp};
use kez_serve::sqlite::JobError;
use rusqlite::{Connection, params};

use super::{Admitted, Row, admit, earlier, insert, spent};
use crate::contacts::{REQUEST_FRAME_BYTES_MAX, Writable};
use crate::sending::{Bounds, weight};
use crate::store::sqlite::sending::{self, Gauge};
use crate::store::sqlite::{contacts, inbox};
use crate::store::{AcceptedFrame, Appended, Author, FrameRefusal, NotAdmitted, Placed};

/// What a frame came to.
type Verdict = Result<Placed, FrameRefusal>;

pub(super) fn append(
    db: &Connection,
    gauge: &Gauge,
    by: Author,
    cid: ConversationId,
    frames: &[AcceptedFrame],
    at: Timestamp,
) -> Result<Appended, JobError<NotAdmitted>> {
    let mut admitted = admit(db, by, cid)?.map_err(JobError::Refused)?;
    let writable = contacts::writable(db, by.account, admitted.conversation, admitted.state, at)?;
    let (mut verdicts, mut placed) = (Vec::with_capacity(frames.len()), Vec::with_capacity(frames.len()));
    let all = frames.iter().map(|frame| weight(frame.bytes.len())).sum();
    let bounds = gauge.bounds(db, admitted.sender, all)?;
    let before = admitted.sender.sent.counts(&bounds, at);
    for frame in frames {
        let refusal = refusal(db, &admitted, writable, frame)?;
        verdicts.push(match refusal {
            None => place(db, &mut admitted, &bounds, by, frame, at, &mut placed)?,
            Some(refusal) => repeated(db, admitted.conversation, by, frame)?.unwrap_or(Err(refusal)),
        });
    }
    if placed.is_empty() {
        return Ok(Appended { verdicts, woken: Vec::new() });
    }
    db.prepare_cached("UPDATE conversations SET seq = ?2 WHERE id = ?1")?
        .execute(params![admitted.conversation, admitted.head.seq.cast_signed()])?;
    sending::note(db, by.account, admitted.sender.sent)?;
    gauge.grows(admitted.sender.sent.bytes.saturating_sub(before));
    let woken = inbox::put_frames(db, admitted.conversation, &placed)?;
    Ok(Appended { verdicts, woken })
}

/// Why a frame is refused unless it was accepted before.
fn refusal(
    db: &Connection,
    admitted: &Admitted,
    writable: Writable,
    frame: &AcceptedFrame,
) -> rusqlite::Result<Option<FrameRefusal>> {
    let is_stale = frame.epoch != admitted.head.epoch;
    Ok(match writable {
        Writable::Freely if is_stale => Some(FrameRefusal::StaleEpoch(admitted.head)),
        Writable::Freely => None,
        // The creating commit is number 1.
        Writable::OneFrame if admitted.head.seq > 1 => Some(FrameRefusal::RequestPending),
        Writable::OneFrame if is_stale => Some(FrameRefusal::StaleEpoch(admitted.head)),
        Writable::OneFrame if frame.bytes.len() > REQUEST_FRAME_BYTES_MAX => {
            Some(FrameRefusal::RequestFrameTooLarge)
        }
        Writable::OneFrame => None,
        Writable::Pending => Some(FrameRefusal::RequestPending),
        Writable::Closed => {
            let replaced_by = contacts::replaced_by(db, admitted.conversation)?;
            Some(FrameRefusal::Closed { replaced_by })
        }
    })
}

/// Stores one frame behind the head; adds its row to `placed`.
fn place(
    db: &Connection,
    admitted: &mut Admitted,
    bounds: &Bounds,
    by: Author,
    frame: &AcceptedFrame,
    at: Timestamp,
    placed: &mut Vec<i64>,
) -> rusqlite::Result<Verdict> {
    let sent = match admitted.sender.sent.and(weight(frame.bytes.len()), bounds, at) {
        Ok(sent) => sent,
        // What was accepted before goes on to be.
        Err(no_room) => {
            return Ok(repeated(db, admitted.conversation, by, frame)?.unwrap_or(Err(no_room.into())));
        }
    };
    let seq = admitted.head.seq + 1;
    let row = Row {
        conversation: admitted.conversation,
        seq,
        mid: frame.id,
        kind: FrameKind::App,
        at,
        sender: by.account,
        request_sha256: None,
        bytes: &frame.bytes,
    };
    let Some(row) = insert(db, &row)? else {
        return Ok(repeated(db, admitted.conversation, by, frame)?.unwrap_or(Err(FrameRefusal::MidReused)));
    };
    admitted.head.seq = seq;
    admitted.sender.sent = sent;
    placed.push(row);
    Ok(Ok(Placed { seq, at, is_repeated: false }))
}

/// The verdict on a frame whose id is used.
fn repeated(
    db: &Connection,
    conversation: i64,
    by: Author,
    frame: &AcceptedFrame,
) -> rusqlite::Result<Option<Verdict>> {
    let Some(earlier) = earlier(db, conversation, frame.id)? else {
        return spent::verdict(db, conversation, by, frame);
    };
    Ok(Some(if earlier.sender == by.account && earlier.bytes == frame.bytes {
        Ok(Placed { seq: earlier.seq, at: earlier.at, is_repeated: true })
    } else {
        Err(FrameRefusal::MidReused)
    }))
}
