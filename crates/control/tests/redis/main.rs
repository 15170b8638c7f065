//! The control projection and the key cache on a real Redis, each test in its own namespace.

mod installation;
mod keys;
mod plans;
