//! People who know each other already.

use std::path::Path;

use rusqlite::Connection;

use crate::net::Net;

impl Net {
    /// [`befriend_everybody`] in the file of this server.
    pub fn befriend_everybody(&self) {
        befriend_everybody(&self.args().db);
    }
}

/// Makes contacts of all people who are strangers to each other and ever took a device in, as if they had asked each
/// other, accepted, and left nothing of it: for tests about something else. Beside a running server.
pub fn befriend_everybody(file: &Path) {
    let db = Connection::open(file).expect("the file");
    db.busy_timeout(crate::DEADLINE).expect("a time");
    db.execute(
        "INSERT INTO contacts (account, peer, state, asked_at, at)
         SELECT one.id, other.id, 2, 0, 0 FROM accounts one JOIN accounts other ON one.id <> other.id
         WHERE one.left_at IS NULL AND other.left_at IS NULL
         ON CONFLICT DO NOTHING",
        [],
    )
    .expect("contacts");
}
