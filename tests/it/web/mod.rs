//! `GET /` and everything that no other route answers.

mod folder;
mod placeholder;
