//! rowhook follows a MySQL primary through its binlog and calls HTTP APIs for the rows that match its rules.
//!
//! The way of a row, with the file to begin at:
//!
//! | | | |
//! |---|---|---|
//! | 1 | `source/wire.rs` | packets of a replica's connection become events, each verified |
//! | 2 | `source/transaction.rs` | events become rows of watched tables and, for every transaction, its commit |
//! | 3 | `source/follow.rs` | which travel over a channel, from a task that reconnects for ever |
//! | 4 | `pipeline/streams/main_stream.rs` | the loop takes a change when every rule that it is for has room |
//! | 5 | `rules/matching.rs` | the rules whose `on`, `changed` and `when` hold |
//! | 6 | `outcome/tracker.rs` | each opens an entry above its low-water mark |
//! | 7 | `delivery/dispatcher.rs` | and submits a delivery, which queues behind others of its key (`lane.rs`) |
//! | 8 | `delivery/admission.rs` | until its target may be called: rate, requests at a time, breaker |
//! | 9 | `delivery/sink.rs` | a task makes it ready for its sink, sends it and has the answer judged |
//! | 10 | `delivery/answer.rs` | which means done, once more later (`retry.rs`), or given up |
//! | 11 | `outcome/mod.rs` | what must be durable first: a dead letter, a step of a saga |
//! | 12 | `store/writer.rs` | one thread writes it to sled, and answers when it is on the disk |
//! | 13 | `pipeline/streams/checkpoint.rs` | every 100 ms the low-water marks of all rules become a checkpoint |
//!
//! A rule that can't keep up leaves step 4 and gets a reader of its own (`pipeline/streams/catching_up.rs`). Not on this way are
//! [`journal`], which keeps what was delivered, [`admin`], which answers operators and probes, [`write_back`], which runs the statements of rules, and [`cli`], which puts
//! all of it together.
//! docs/architecture.md draws the picture, and says who may import whom.

// Vocabulary: plain data and pure functions that all stages share.
pub mod alert;
pub mod barrier;
pub mod change;
pub mod clock;
pub mod column;
pub mod config;
pub mod failure;
pub mod file;
pub mod in_words;
pub mod lag;
pub mod ordering;
pub mod pattern;
pub mod position;
pub mod printable;
pub mod retry;
pub mod saga;
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

pub mod fixtures;

pub mod journal;

pub mod pipeline;

pub mod store;

pub mod admin;

pub mod cli;

// For `fuzz/` and its test; no part of the program.
#[doc(hidden)]
pub mod fuzzing;
