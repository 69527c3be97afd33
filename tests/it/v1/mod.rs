//! Below `/v1`.

mod register;
