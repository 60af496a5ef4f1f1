//! Where changes come from: readers of the binlog, opened for each stream that needs one.
//!
//! In: the settings of the source, and positions. Out: readers, each with the identity of the stream that it is for, and the
//! connections that pin the binlog. Owns none of them.

use std::sync::Arc;

use tokio::sync::watch;

use super::rule_stream::{DetachedStream, RuleStream};
use crate::outcome::reached::Reached;
use crate::position::{Position, Start};
use crate::rules::{IfMissing, RuleSet};
use crate::source::{self, Following, PinnedBinlog, Settings};
use crate::telemetry::Metrics;

/// Where changes come from.
#[derive(Debug)]
pub struct ChangeSource {
    pub settings: Settings,
    /// Where the very first start begins.
    pub start: Start,
    /// What it means for the start that a table is missing.
    pub if_missing: IfMissing,
    /// Gets the state of the main stream's reader, and of each reader that replaces it.
    pub status: watch::Sender<Option<source::Watch>>,
}

impl ChangeSource {
    /// A reader for the main stream.
    pub(super) fn follow(&self, place: Option<&Reached>, rules: &RuleSet, metrics: Arc<Metrics>) -> Following {
        let from = match place {
            Some(place) => source::From::Resume(place.resume()),
            None => source::From::Start(self.start.clone()),
        };
        let reader = source::follow(self.settings.clone(), from, rules.patterns(), metrics);
        self.status.send_replace(Some(reader.watch()));
        reader
    }

    /// A reader for one detached rule. The server ends the older one of two readers with the same identity, so it has its own,
    /// the same one each time. What it counts is not the main stream's.
    pub(super) fn follow_alone(&self, stream: &RuleStream, detached: &DetachedStream) -> Option<Following> {
        let from = match (&detached.start, detached.feed.reached()) {
            (Some(start), _) => source::From::Start(start.clone()),
            (None, Some(place)) => source::From::Resume(place.resume()),
            (None, None) => return None,
        };
        Some(source::follow(self.settings_of(&stream.name), from, detached.feed.rules().patterns(), Arc::default()))
    }

    /// Keeps the server from purging from this position on. Two at a time have different files, and so two identities; no
    /// rule's name has a colon.
    pub(super) fn pin(&self, place: &Position) -> PinnedBinlog {
        // Part of an identity that the server knows from earlier versions: the word stays.
        let name = format!("hold_binlog:{}:{}", place.server_uuid(), place.oldest_needed().file);
        source::pin_binlog(self.settings_of(&name), place.clone())
    }

    /// For a connection beside the main stream's.
    fn settings_of(&self, name: &str) -> Settings {
        let instance = uuid::Uuid::new_v5(&self.settings.instance, name.as_bytes());
        // A server id that was set is the main stream's.
        let first_connect = source::FirstConnect::Wait;
        Settings { instance, server_id: None, first_connect, names_tables: false, ..self.settings.clone() }
    }
}
