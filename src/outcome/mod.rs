//! Outcomes.
pub mod tracker;
