//! rowhook follows a MySQL primary through its binlog and calls HTTP APIs for the rows that match its rules.
//!
//! The modules stand in the order in which a row meets them; docs/architecture.md draws the picture.

// Vocabulary: plain data and pure functions that all stages share.
pub mod change;
pub mod clock;
pub mod column;
pub mod config;
pub mod failure;
pub mod file;
pub mod operation;
pub mod ordering;
pub mod pattern;
pub mod position;
pub mod printable;
pub mod retry;
pub mod schema;
pub mod suggest;
pub mod telemetry;
pub mod template;

// Stages, each a module of its own paragraph so that the formatter keeps the order in which a row meets them.
pub mod source;

pub mod rules;

pub mod write_back;

pub mod delivery;

pub mod outcome;

pub mod pipeline;

pub mod store;

pub mod admin;

pub mod cli;
