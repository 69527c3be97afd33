//! The program as a user runs it, with real servers where it needs one.

mod identity;
mod kez;
mod lossy;
mod register;
mod town;
mod usage;
mod whois;
