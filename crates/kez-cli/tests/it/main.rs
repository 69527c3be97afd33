//! The program as a user runs it.

mod identity;
mod kez;
mod usage;
