//! `?after=&limit=`: where a page of a list begins, and how long it may be; `?after=` alone, where a stream begins.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::RawQuery;

use crate::error::ApiError;

/// The most items of a page.
pub(super) const LIMIT_MAX: u32 = 500;

/// The items of a page, unless the query says otherwise.
const LIMIT: u32 = 100;

/// Which page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor<T> {
    /// The item that the page begins after; `None`: at the beginning.
    pub after: Option<T>,
    /// 1 to [`LIMIT_MAX`].
    pub limit: u32,
}

impl<T: FromStr + Display> Cursor<T> {
    /// Reads a query of `after` and `limit`, each at most once, written in the one way that we write them ourselves;
    /// nothing else may stand in it.
    pub(super) fn parse(RawQuery(query): RawQuery) -> Result<Self, ApiError> {
        let (mut after, mut limit) = (None, None);
        for pair in query.as_deref().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("after", value)) if after.is_none() => after = Some(exactly(value)?),
                Some(("limit", value)) if limit.is_none() => limit = Some(exactly::<u32>(value)?),
                _ => return Err(ApiError::BadCursor),
            }
        }
        let limit = limit.unwrap_or(LIMIT);
        if (1..=LIMIT_MAX).contains(&limit) { Ok(Self { after, limit }) } else { Err(ApiError::BadCursor) }
    }
}

/// Reads a query of `after` alone, at most once and written in the one way that we write it ourselves.
pub(super) fn after<T: FromStr + Display>(RawQuery(query): RawQuery) -> Result<Option<T>, ApiError> {
    match query.as_deref().unwrap_or_default() {
        "" => Ok(None),
        query => query.strip_prefix("after=").ok_or(ApiError::BadCursor).and_then(exactly).map(Some),
    }
}

/// The value with this text, if that is its text.
pub(super) fn exactly<T: FromStr + Display>(text: &str) -> Result<T, ApiError> {
    let value: T = text.parse().map_err(|_| ApiError::BadCursor)?;
    if value.to_string() == text { Ok(value) } else { Err(ApiError::BadCursor) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Option<(Option<u64>, u32)> {
        Cursor::parse(RawQuery(Some(query.to_owned()))).ok().map(|cursor| (cursor.after, cursor.limit))
    }

    #[test]
    fn a_cursor_is_written_in_one_way() {
        assert_eq!(read(""), Some((None, LIMIT)));
        assert_eq!(read("after=7&limit=500"), Some((Some(7), 500)));
        assert_eq!(read("limit=1"), Some((None, 1)));
        for wrong in [
            "after",
            "after=",
            "after=x",
            "after=+7",
            "after=07",
            "after=-1",
            "after=%37",
            "after=7&after=7",
            "after=18446744073709551616",
            "limit=0",
            "limit=501",
            "limit=1&limit=1",
            "before=7",
            "after=7&x=1",
            "=",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_stream_begins_after_one_number() {
        let read = |query: &str| after::<u64>(RawQuery(Some(query.to_owned()))).ok();
        assert_eq!(after::<u64>(RawQuery(None)).ok(), Some(None));
        assert_eq!(read(""), Some(None));
        assert_eq!(read("after=7"), Some(Some(7)));
        for wrong in
            ["after", "after=", "after=07", "after=7&after=7", "after=7&x=1", "x=1", "limit=5", "after=7&"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
