//! Its inbox, with the Welcomes that only it needs.

use rusqlite::Connection;

use super::{Area, Leaver, PAGE_BYTES, PAGE_ROWS, PORTION_ROWS, Piece};
use crate::store::sqlite::{inbox, retention};
use crate::store::{Exhibit, Exported, InboxLimits};

pub(super) const AREA: Area = Area { tables: &["inbox", "welcome_recipients", "welcomes"], erase, export };

/// As a sweep for which every event is old.
fn erase(db: &Connection, leaver: &Leaver) -> rusqlite::Result<bool> {
    if retention::drop_any(db, leaver.account)? {
        return Ok(true);
    }
    // Those that no event of its inbox led to.
    let welcomes: Vec<i64> = db
        .prepare_cached("SELECT welcome FROM welcome_recipients WHERE account = ?1 LIMIT ?2")?
        .query_map([leaver.account.0, PORTION_ROWS], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for welcome in &welcomes {
        retention::let_go_of_welcome(db, *welcome, leaver.account.0)?;
    }
    Ok(!welcomes.is_empty())
}

fn export(db: &Connection, whose: &Exported, (after, _): (i64, i64)) -> rusqlite::Result<Piece> {
    let limits = InboxLimits { events: PAGE_ROWS, bytes: PAGE_BYTES };
    let inbox::Page { events, missing } = inbox::page(db, whose.account, after.cast_unsigned(), limits)?;
    // One that is damaged is passed over.
    let last = if events.is_empty() { missing } else { events.last().map(|event| event.n) };
    let next = last.map(|n| (n.cast_signed(), 0));
    Ok(Piece { exhibits: events.into_iter().map(Exhibit::Event).collect(), next })
}
