//! Commands on dead letters that need no rules: list, show, resolve, discard.
//!
//! In: a selection. Out: views of the letters that fit, or their removal or closing, made durable. Reads page by page off the async
//! threads (promise 6: memory does not grow with the number of letters), and acts only on letters that were there when it
//! began. Owns no state but the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;

use super::advice::possible_commands;
use super::grouping::Grouping;
use super::letter_view::{head_view, key, whole_view};
use super::selecting::{WrongCondition, filter};
use super::typed::{no_such_rule_among, one_line};
use super::view::saga::{NextView, SagaView};
use super::view::store::{BackupRequest, BackupView, VerifiedView};
use super::view::{
    Discarded, GroupsRequest, GroupsView, LetterView, ListRequest, ListSort, Listing, ResolveRequest, ResolvedLetters,
    Selection,
};
use crate::clock::now_us;
use crate::failure::Reason;
use crate::pipeline::{Command, KnownSaga, LetterUpdate, NotReplayed, UpdatedLetters, delivery_of};
use crate::rules::RuleSet;
use crate::store::{self, DeadLetterHead, Filter, LetterFacts, LetterOrder, LettersVersion, Store};

/// Dead letters read in one page.
const PAGE_LETTERS: usize = 100;

/// The most dead letters in one list; for more, a narrower selection is of more use.
const LIST_LETTERS_MAX: usize = 10_000;

/// Counting by rule that takes no longer is repeated whenever a letter came or went.
const QUICK: Duration = Duration::from_millis(250);

/// Else it takes one part in so many of the time.
const COUNTING_SHARE: u32 = 20;

/// A note has some lines on a screen.
const NOTE_CHARACTERS_MAX: usize = 1_000;

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no dead letters were selected; name numbers or conditions, or say all")]
    NothingSelected,
    #[error("there is no dead letter {}; it may have been replayed or discarded{}", numbers(.missing), .and_then)]
    NoSuchLetter {
        missing: Vec<u64>,
        /// Whether the others that were named were acted on, if any were named.
        and_then: &'static str,
    },
    /// With the name that may have been meant.
    #[error("{0}")]
    NoSuchRule(String),
    #[error(transparent)]
    Selection(#[from] WrongCondition),
    #[error("a dead letter is closed with a note that says why: what was done by hand, and where")]
    NoNote,
    #[error("{0} dead letters fit, and all would be resolved: nothing was done; confirm with --yes")]
    Unconfirmed(u64),
    #[error("dead letter {number} is being sent now: it is not {done}; wait for the outcome, then look again")]
    UnderWay { number: u64, done: &'static str },
    #[error("dead letter {number} is resolved already: nothing was done, its note stays as it was: {note}")]
    ResolvedAlready { number: u64, note: String },
    #[error("dead letter {number} can't be edited: {why}")]
    NotEditable { number: u64, why: String },
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("rowhook is stopping; dead letters that were not reported stay as they were")]
    Stopping,
    #[error("a read of the store was aborted")]
    Aborted,
}

/// The dead letters of one store; clones are the same.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    store: Store,
    /// Of the loop that may be sending them again; none runs: no other process can.
    commands: Option<mpsc::Sender<Command>>,
    /// The newest numbers by rule.
    by_rule: Arc<Mutex<Option<CountedByRule>>>,
}

/// Dead letters of each rule that has any, as they were when they were read.
#[derive(Debug)]
struct CountedByRule {
    version: LettersVersion,
    /// Not read again before this moment: reading them takes a part of the time alone.
    fresh_until: Instant,
    count: BTreeMap<String, u64>,
}

impl DeadLetters {
    /// While no loop runs on the store.
    pub fn new(store: Store) -> DeadLetters {
        DeadLetters { store, commands: None, by_rule: Arc::default() }
    }

    /// While a loop runs on the store: it closes them, and so sends none that is closed.
    pub fn of_loop(store: Store, commands: mpsc::Sender<Command>) -> DeadLetters {
        DeadLetters { store, commands: Some(commands), by_rule: Arc::default() }
    }

    /// Reads all that the store contains, while nothing is written.
    pub async fn verify_store(&self) -> Result<VerifiedView, Error> {
        Ok(VerifiedView::of(&self.store.verify().await?))
    }

    /// Writes all that the store contains into a file, which must not exist yet.
    pub async fn back_up_store(&self, request: &BackupRequest) -> Result<BackupView, Error> {
        let backup = self.store.backup(PathBuf::from(&request.file)).await?;
        Ok(BackupView::of(&request.file, &backup))
    }

    /// A page of the letters that fit. An empty selection means all of them here. How many more there are is only said where
    /// that is known without reading them.
    pub async fn list(&self, request: &ListRequest) -> Result<Listing, Error> {
        let filter = filter(&request.selection)?;
        self.require_rule(&request.selection).await?;
        let limit = request.limit.min(LIST_LETTERS_MAX);
        let after = request.after;
        let order = match request.sort {
            ListSort::Oldest => LetterOrder::OldestFirst,
            ListSort::Newest => LetterOrder::NewestFirst,
        };
        let mut heads = self.read(move |store| store.dead_letters_in(order, &filter, after, limit + 1)).await?;
        let has_more = heads.len() > limit;
        heads.truncate(limit);
        let next = heads.last().filter(|_| has_more).map(|head| head.number);
        let is_of_all = after.is_none() && request.selection.is_of_all();
        let more = match has_more {
            false => Some(0),
            true if is_of_all => Some((self.count() + self.blocked_count()).saturating_sub(limit as u64).max(1)),
            true => None,
        };
        Ok(Listing { dead_letters: self.with_keys(heads).await?, more, next })
    }

    /// How many letters there are of each kind. An empty selection means all of them here.
    pub async fn group(&self, request: &GroupsRequest) -> Result<GroupsView, Error> {
        let filter = filter(&request.selection)?;
        self.require_rule(&request.selection).await?;
        let (by, limit) = (request.by.clone(), request.limit);
        let grouped = self.read(move |store| {
            let parts = store.fold_letters(&filter, || Grouping::new(by.clone()), Grouping::add)?;
            let all = parts.into_iter().reduce(Grouping::with);
            Ok(all.unwrap_or_else(|| Grouping::new(by)).largest(limit))
        });
        grouped.await
    }

    /// The heads as they are listed. Reads the change of each: its key is all that is kept.
    async fn with_keys(&self, heads: Vec<DeadLetterHead>) -> Result<Vec<LetterView>, Error> {
        let views = self.read(move |store| {
            // A letter that was removed meanwhile, or is damaged, is listed all the same.
            let key_of = |number| store.dead_letter(number).ok().flatten().map(|letter| key(&letter.change));
            let listed = heads.iter().map(|head| {
                let effect = store.effect(head.delivery_id)?.map(|effect| effect.as_str().to_string());
                Ok(LetterView { key: key_of(head.number), effect, ..head_view(store, head) })
            });
            listed.collect()
        });
        views.await
    }

    /// One letter with its change. None: there is no letter of this number. The rules are asked for where it is of a saga: they
    /// decide what can be done about it.
    pub async fn show(
        &self,
        number: u64,
        rules: impl FnOnce() -> Option<Arc<RuleSet>>,
    ) -> Result<Option<LetterView>, Error> {
        let letter = self.read(move |store| {
            let Some(letter) = store.dead_letter(number)? else { return Ok(None) };
            let known = KnownSaga::read(store, letter.head.delivery_id)?;
            Ok(Some((letter, known, store.paused_rules()?)))
        });
        let Some((letter, known, paused)) = letter.await? else { return Ok(None) };
        let view = LetterView {
            effect: known.log.as_ref().map(|log| log.effect().as_str().to_string()),
            saga: known.log.as_ref().map(SagaView::of),
            ..whole_view(&self.store, &letter)
        };
        let Some(saga) = &view.saga else { return Ok(Some(view)) };
        let rules = if letter.head.resolved.is_none() { rules() } else { None };
        let refused = match view.blocked_by {
            Some(ahead) => Some(NotReplayed::BlockedBy(ahead)),
            None => {
                let paused = paused.iter().find(|paused| *paused.rule == *letter.head.rule);
                paused.map(|paused| NotReplayed::Paused { rule: paused.rule.to_string() })
            }
        };
        let next = rules.map(|rules| match (refused, delivery_of(letter, &rules)) {
            (Some(why), _) => NextView::Refused(why.to_string()),
            (None, Err(why)) => NextView::Refused(why),
            (None, Ok(delivery)) => NextView::Commands(possible_commands(&delivery, &known)),
        });
        Ok(Some(LetterView { saga: Some(SagaView { next, ..saga.clone() }), ..view }))
    }

    /// Closes the letters that fit, which were dealt with by hand: they stay to be read, are not sent again, and block nothing
    /// any more; not those whose replay is under way. One that is closed already keeps its note. Durable when it returns.
    pub async fn resolve(&self, request: &ResolveRequest) -> Result<ResolvedLetters, Error> {
        let ResolveRequest { selection, note, is_confirmed } = request;
        let note = one_line(note, NOTE_CHARACTERS_MAX);
        if note.is_empty() {
            return Err(Error::NoNote);
        }
        let (letters, last) = self.survey(selection).await?;
        if letters > 1 && !is_confirmed {
            return Err(Error::Unconfirmed(letters));
        }
        let at_us = now_us();
        let resolution = |number| store::Resolution { number, note: note.as_str().into(), at_us };
        let closing = |numbers: Vec<u64>| LetterUpdate::Resolve(numbers.into_iter().map(resolution).collect());
        let is_closed = |head: &DeadLetterHead| head.resolved.is_some();
        let EachClosed { closed: resolved, being_sent, left } =
            self.close_each(selection, last, is_closed, closing).await?;
        match (being_sent.as_slice(), left.first()) {
            ([number], _) if letters == 1 => return Err(Error::UnderWay { number: *number, done: "resolved" }),
            (_, Some(head)) if letters == 1 => {
                let note = head.resolved.as_ref().map_or(String::new(), |resolved| resolved.note.to_string());
                return Err(Error::ResolvedAlready { number: head.number, note });
            }
            _ => tracing::info!(resolved, "dead letters resolved by hand"),
        }
        let resolved_already = left.into_iter().map(|head| head.number).collect();
        Ok(ResolvedLetters { resolved, being_sent, resolved_already })
    }

    /// Removes the letters that fit, but for those whose replay is under way. Durable when it returns. What waits behind them
    /// and is not meant is sent after that, if rowhook runs, else when it starts.
    pub async fn discard(&self, selection: &Selection) -> Result<Discarded, Error> {
        let (_, last) = self.survey(selection).await?;
        let EachClosed { closed: discarded, being_sent, .. } =
            self.close_each(selection, last, |_| false, LetterUpdate::Remove).await?;
        tracing::info!(discarded, "dead letters discarded");
        Ok(Discarded { discarded, being_sent })
    }

    /// Closes the letters that fit, up to the last one, but for those that are left as they are.
    async fn close_each(
        &self,
        selection: &Selection,
        last: u64,
        is_left: impl Fn(&DeadLetterHead) -> bool,
        closing: impl Fn(Vec<u64>) -> LetterUpdate,
    ) -> Result<EachClosed, Error> {
        let mut each = EachClosed::default();
        // Blocked deliveries first: they must not be sent because the one in front of them was closed with an earlier page.
        for blocked_ones in [true, false] {
            let mut pages = Pages::new(self, filter(selection)?, last);
            while let Some(page) = pages.next().await? {
                let meant = page.into_iter().filter(|head| (head.failure.reason == Reason::Blocked) == blocked_ones);
                let (left, closed): (Vec<_>, Vec<_>) = meant.partition(&is_left);
                each.left.extend(left);
                let numbers: Vec<u64> = closed.iter().map(|head| head.number).collect();
                if numbers.is_empty() {
                    continue;
                }
                let UpdatedLetters { written, mut under_way } = self.update(closing(numbers)).await?;
                each.closed += written.removed + written.resolved;
                each.being_sent.append(&mut under_way);
            }
        }
        Ok(each)
    }

    /// Has the letters resolved, removed or edited; durable when it returns.
    pub(super) async fn update(&self, update: LetterUpdate) -> Result<UpdatedLetters, Error> {
        let Some(commands) = &self.commands else {
            let written = self.store.write(update.write_without(&[])).await?;
            return Ok(UpdatedLetters { written, under_way: Vec::new() });
        };
        let (answer, answered) = oneshot::channel();
        commands.send(Command::Update { update, answer }).await.map_err(|_| Error::Stopping)?;
        Ok(answered.await.map_err(|_| Error::Stopping)??)
    }

    /// How many there are; blocked deliveries do not count.
    pub(super) fn count(&self) -> u64 {
        self.store.dead_letter_count()
    }

    /// How many deliveries wait behind one.
    pub(super) fn blocked_count(&self) -> u64 {
        self.store.blocked_count()
    }

    /// How many wait for a person, because their saga has an effect that is partial.
    pub(super) fn awaiting_count(&self) -> u64 {
        self.store.awaiting_count()
    }

    /// How many there are of each rule that has any, without blocked deliveries. Reads them all, unless none came or went since; where
    /// that takes long, the numbers may be some seconds old.
    pub(super) async fn count_by_rule(&self) -> Result<BTreeMap<String, u64>, Error> {
        // Who asks meanwhile waits for the same numbers.
        let mut by_rule = self.by_rule.lock().await;
        let (version, begun_at) = (self.store.letters_version(), Instant::now());
        if let Some(known) = by_rule.as_ref().filter(|known| known.version == version || begun_at < known.fresh_until) {
            return Ok(known.count.clone());
        }
        let count = self.read_by_rule().await?;
        let counting = begun_at.elapsed();
        let fresh_until = if counting < QUICK { begun_at } else { begun_at + counting * COUNTING_SHARE };
        *by_rule = Some(CountedByRule { version, fresh_until, count: count.clone() });
        Ok(count)
    }

    async fn read_by_rule(&self) -> Result<BTreeMap<String, u64>, Error> {
        let counted = self.read(|store| {
            let count = |by_rule: &mut BTreeMap<String, u64>, facts: &LetterFacts| match by_rule.get_mut(&*facts.rule) {
                _ if facts.reason == Reason::Blocked => {}
                Some(count) => *count += 1,
                None => drop(by_rule.insert(facts.rule.to_string(), 1)),
            };
            let mut by_rule = BTreeMap::new();
            for (rule, count) in store.fold_letters(&Filter::default(), BTreeMap::new, count)?.into_iter().flatten() {
                *by_rule.entry(rule).or_default() += count;
            }
            Ok(by_rule)
        });
        counted.await
    }

    /// How many letters a selection means now, and the highest number among them. All that it names must be there.
    pub(super) async fn survey(&self, selection: &Selection) -> Result<(u64, u64), Error> {
        if selection.is_empty() {
            return Err(Error::NothingSelected);
        }
        let filter = filter(selection)?;
        self.require_rule(selection).await?;
        if selection.is_of_all() {
            return Ok((self.count() + self.blocked_count(), self.newest().await?));
        }
        let mut missing: BTreeSet<u64> = selection.numbers.iter().copied().collect();
        let surveyed = self.read(move |store| {
            let is_named = !missing.is_empty();
            let parts = store.fold_letters(&filter, Surveyed::default, |part, facts| {
                part.letters += 1;
                part.last = facts.number;
                part.found.extend(is_named.then_some(facts.number));
            })?;
            let (mut letters, mut last) = (0, 0);
            for part in parts {
                letters += part.letters;
                last = last.max(part.last);
                for number in &part.found {
                    missing.remove(number);
                }
            }
            Ok((letters, last, missing))
        });
        let (letters, last, missing) = surveyed.await?;
        if !missing.is_empty() {
            let and_then = if letters > 0 { "; nothing was done about the others" } else { "" };
            return Err(Error::NoSuchLetter { missing: missing.into_iter().collect(), and_then });
        }
        Ok((letters, last))
    }

    /// The highest number; 0: there is none.
    pub(super) async fn newest(&self) -> Result<u64, Error> {
        let all = Filter { closed: store::Closed::With, ..Filter::default() };
        let newest = self.read(move |store| store.dead_letters_in(LetterOrder::NewestFirst, &all, None, 1));
        Ok(newest.await?.first().map_or(0, |head| head.number))
    }

    /// Refuses the name of a rule that the store does not know. One that is gone from the files may have letters.
    pub(super) async fn require_rule(&self, selection: &Selection) -> Result<(), Error> {
        let Some(rule) = selection.rule.clone() else { return Ok(()) };
        let refused = self.read(move |store| {
            let Some(names) = store.rule_names()? else { return Ok(None) };
            let of_rule = Filter { rule: Some(rule.clone()), closed: store::Closed::With, ..Filter::default() };
            let is_known = names.iter().any(|name| **name == *rule);
            if is_known || !store.dead_letters(&of_rule, None, 1)?.is_empty() {
                return Ok(None);
            }
            Ok(Some(no_such_rule_among(&rule, names.iter().map(|name| &**name))))
        });
        refused.await?.map_or(Ok(()), |message| Err(Error::NoSuchRule(message)))
    }

    /// Reads the store on a thread that may block.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, store::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = self.store.clone();
        let read = tokio::task::spawn_blocking(move || read(&store)).await;
        Ok(read.map_err(|_| Error::Aborted)??)
    }
}

/// What became of letters that were to be closed.
#[derive(Debug, Default)]
struct EachClosed {
    closed: u64,
    /// They stay, because they are being sent.
    being_sent: Vec<u64>,
    /// They were left as they are.
    left: Vec<DeadLetterHead>,
}

/// What a selection means of a part of the letters.
#[derive(Debug, Default)]
struct Surveyed {
    letters: u64,
    /// The highest number.
    last: u64,
    /// Numbers that were named and are there.
    found: Vec<u64>,
}

/// The heads of the letters that fit, page by page, in ascending number.
pub(super) struct Pages<'a> {
    letters: &'a DeadLetters,
    filter: Filter,
    after: Option<u64>,
    /// Letters with higher numbers came later and are not meant.
    last: u64,
    at_end: bool,
}

impl<'a> Pages<'a> {
    pub(super) fn new(letters: &'a DeadLetters, filter: Filter, last: u64) -> Pages<'a> {
        Pages { letters, filter, after: None, last, at_end: false }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Vec<DeadLetterHead>>, Error> {
        if self.at_end {
            return Ok(None);
        }
        let (filter, after) = (self.filter.clone(), self.after);
        let mut page = self.letters.read(move |store| store.dead_letters(&filter, after, PAGE_LETTERS)).await?;
        self.at_end = page.len() < PAGE_LETTERS;
        self.after = page.last().map(|head| head.number);
        page.retain(|head| head.number <= self.last);
        Ok((!page.is_empty()).then_some(page))
    }
}

fn numbers(numbers: &[u64]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
