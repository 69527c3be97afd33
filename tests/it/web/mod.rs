//! `GET /` and everything that no other route answers.

mod built_in;
mod folder;
mod placeholder;
