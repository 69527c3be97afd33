//! The program as a user runs it, with real servers where it needs one.

mod chat;
mod claim;
mod device;
mod identity;
mod kez;
mod lossy;
mod own_chain;
mod publish;
mod register;
mod server_binary;
mod town;
mod usage;
mod whois;
