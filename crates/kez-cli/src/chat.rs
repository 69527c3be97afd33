//! Conversations: what this device knows of them, and how it takes part.

pub(crate) mod files;
pub(crate) mod history;
pub(crate) mod intake;
pub(crate) mod lines;
pub(crate) mod model;
pub(crate) mod people;
pub(crate) mod safety;
pub(crate) mod session;
pub(crate) mod talk;
pub(crate) mod tui;
pub(crate) mod words;
