//! What the tests, the benches and the demo stand on: a real MySQL server, a scripted HTTP receiver, the real program.
//!
//! Taken in by `#[path = "../support/mod.rs"] mod support;`. Nothing here knows the library: it deals with servers,
//! processes and sockets only, all of them on the loopback address, on ports that the system gave. Whatever is started
//! here ends with the process that started it, also when that process is killed.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

pub mod authorization_server;
pub mod fetched;
pub mod mysql;
pub mod process;
pub mod program;
pub mod proxy;
pub mod random;
pub mod receiver;
