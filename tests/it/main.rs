//! The home server over real HTTP. The tree of these modules is the tree of its URLs.

mod support;
mod v1;
