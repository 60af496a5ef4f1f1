//! Retention: dead letters of rules that say so (`dead_letters`) are dropped when they are too old, too many or too large.
//!
//! In: the current rules and the store. Out: a warning of what will be dropped, at least an hour before, and of what is too old a day before;
//! then their removal by the loop, as of a discard, so that none is dropped while it is sent; a count. Without such a rule nothing is read.
//! Owns what was announced, which a restart or another limit forgets: then it is announced again. Reads page by page (promise 6: memory
//! does not grow with the number of letters); what goes is decided in `limits`.

mod limits;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::RulesNow;
use super::dead_letters::{DeadLetters, Error};
use super::view::rfc3339;
use super::view::status::RetentionView;
use crate::clock::now_us;
use crate::in_words::short;
use crate::pipeline::{LetterUpdate, UpdatedLetters};
use crate::rules::LetterRetention;
use crate::store::{Closed, Filter};
use crate::telemetry::{Metrics, RuleLabel};
use limits::{Excess, SeenLetter, Usage, in_us};

/// Dead letters read in one page.
const PAGE_LETTERS: usize = 100;

/// When what is done. All but `ahead` by a clock that can't be set.
#[derive(Debug, Clone, Copy)]
pub struct DropTimes {
    /// Between looks at the rules and at what was announced.
    pub check: Duration,
    /// Between looks at the dead letters.
    pub walk: Duration,
    /// From the warning to the first drop.
    pub notice: Duration,
    /// What will be too old is announced so long ahead.
    pub ahead: Duration,
}

impl Default for DropTimes {
    fn default() -> DropTimes {
        let hour = Duration::from_secs(60 * 60);
        DropTimes { check: Duration::from_secs(5 * 60), walk: hour, notice: hour, ahead: 24 * hour }
    }
}

/// What was announced and dropped, by rule; clones are the same.
#[derive(Debug, Clone)]
pub struct LetterDrops(watch::Receiver<BTreeMap<String, RetentionView>>);

impl LetterDrops {
    /// What was announced, and the task that drops it until it is dropped itself.
    pub fn new(
        letters: DeadLetters,
        rules: RulesNow,
        metrics: Arc<Metrics>,
        times: DropTimes,
    ) -> (LetterDrops, impl Future<Output = ()> + Send) {
        let (sender, receiver) = watch::channel(BTreeMap::new());
        let keeper = Keeper { letters, rules, metrics, times, kept: BTreeMap::new(), begin: None, walked_at: None };
        (LetterDrops(receiver), keeper.run(sender))
    }

    pub(super) fn of(&self, rule: &str) -> Option<RetentionView> {
        self.0.borrow().get(rule).cloned()
    }

    /// Returns when this holds of what was announced and dropped; false: it will not any more.
    pub async fn wait_for(&self, is_so: impl FnMut(&BTreeMap<String, RetentionView>) -> bool) -> bool {
        self.0.clone().wait_for(is_so).await.is_ok()
    }
}

/// The task.
struct Keeper {
    letters: DeadLetters,
    rules: RulesNow,
    metrics: Arc<Metrics>,
    times: DropTimes,
    kept: BTreeMap<String, KeptLetters>,
    /// No letter up to this number is of a rule that drops by age.
    begin: Option<u64>,
    walked_at: Option<Instant>,
}

/// A rule with limits.
struct KeptLetters {
    limits: LetterRetention,
    by_age: Option<Announced>,
    by_size: Option<Announced>,
    /// Of the letters up to `counted_to`, some of which may have gone since.
    usage: Usage,
    counted_to: Option<u64>,
    /// Since the start.
    dropped: u64,
}

/// Letters that will be dropped.
#[derive(Clone, Copy)]
struct Announced {
    at: Instant,
    /// The first of them goes at this moment, in microseconds since the Unix epoch.
    from_us: u64,
    letters: u64,
    /// The highest number among them.
    last: u64,
}

impl Announced {
    fn is_due(&self, notice: Duration) -> bool {
        self.at.elapsed() >= notice
    }
}

/// What a walk met of one rule.
#[derive(Default)]
struct Met {
    /// Not announced yet: how many, and the highest number.
    letters: u64,
    last: u64,
    /// Announced, and not dropped yet.
    pending: u64,
    /// When the first of these, or of those that are not announced yet, is too old.
    from_us: Option<u64>,
    dropped: u64,
}

impl Met {
    fn note(&mut self, old_at_us: u64) {
        self.from_us = Some(self.from_us.map_or(old_at_us, |from_us| from_us.min(old_at_us)));
    }
}

impl Keeper {
    async fn run(mut self, sender: watch::Sender<BTreeMap<String, RetentionView>>) {
        let mut ticks = tokio::time::interval(self.times.check);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.check().await {
                tracing::warn!(%error, "dead letters could not be compared with the limits of `dead_letters`");
            }
            sender.send_if_modified(|views| {
                let now = self.views();
                let is_other = *views != now;
                *views = now;
                is_other
            });
        }
    }

    fn views(&self) -> BTreeMap<String, RetentionView> {
        let view = |kept: &KeptLetters| {
            let announced = [kept.by_age, kept.by_size].into_iter().flatten();
            RetentionView {
                to_drop: announced.clone().map(|announced| announced.letters).sum(),
                drop_from: announced.map(|announced| announced.from_us).min().map(rfc3339),
                dropped: kept.dropped,
            }
        };
        self.kept.iter().map(|(rule, kept)| (rule.clone(), view(kept))).collect()
    }

    async fn check(&mut self) -> Result<(), Error> {
        let is_other = self.follow_rules();
        if self.kept.is_empty() || !(is_other || self.is_time()) {
            return Ok(());
        }
        self.walked_at = Some(Instant::now());
        self.by_age().await?;
        let rules: Vec<String> = self.kept.keys().cloned().collect();
        for rule in rules {
            self.by_size(&rule).await?;
        }
        Ok(())
    }

    /// Whether dead letters are to be looked at: since the last time, an hour has gone by, or something that was announced became due.
    fn is_time(&self) -> bool {
        let DropTimes { walk, notice, .. } = self.times;
        let Some(since) = self.walked_at.map(|walked_at| walked_at.elapsed()) else { return true };
        let became_due =
            |announced: &Announced| announced.is_due(notice) && announced.at.elapsed().saturating_sub(since) < notice;
        let mut announced = self.kept.values().flat_map(|kept| [kept.by_age, kept.by_size]).flatten();
        since >= walk || announced.any(|announced| became_due(&announced))
    }

    /// Takes over the limits of the current rules. Returns whether any is another; what was announced under another is forgotten.
    fn follow_rules(&mut self) -> bool {
        let rules = (self.rules)();
        let limits = rules.rules().iter().filter_map(|rule| Some((rule.name.clone(), rule.settings.retention?)));
        let limits: BTreeMap<String, LetterRetention> = limits.collect();
        if limits.iter().eq(self.kept.iter().map(|(rule, kept)| (rule, &kept.limits))) {
            return false;
        }
        let mut before = std::mem::take(&mut self.kept);
        let kept = |(rule, limits): (String, LetterRetention)| {
            let kept = match before.remove(&rule) {
                Some(kept) if kept.limits == limits => kept,
                other => KeptLetters {
                    limits,
                    by_age: None,
                    by_size: None,
                    usage: Usage::default(),
                    counted_to: None,
                    dropped: other.map_or(0, |kept| kept.dropped),
                },
            };
            (rule, kept)
        };
        self.kept = limits.into_iter().map(kept).collect();
        // From 0 on, so that the first drop is seen as a rise.
        for rule in self.kept.keys() {
            drop(self.metrics.letters_dropped.get_or_create(&RuleLabel { rule: rule.clone() }));
        }
        self.begin = None;
        true
    }

    /// Goes over all letters that are old enough for any rule: drops those that were announced and are too old now, and announces
    /// those that will be, where a rule has none announced.
    async fn by_age(&mut self) -> Result<(), Error> {
        let Some(shortest) = self.kept.values().filter_map(|kept| kept.limits.keep).min() else { return Ok(()) };
        let (now_us, ahead_us) = (now_us(), in_us(self.times.ahead));
        let horizon_us = (now_us + ahead_us).saturating_sub(in_us(shortest));
        let mut met = BTreeMap::<Box<str>, Met>::new();
        let (mut after, mut is_at_begin, mut is_at_end) = (self.begin, true, false);
        while !is_at_end {
            let page = self.page(None, after, false).await?;
            is_at_end = page.len() < PAGE_LETTERS;
            let mut going = BTreeMap::<Box<str>, Vec<u64>>::new();
            for letter in &page {
                // Later ones are younger.
                if letter.created_at_us > horizon_us {
                    is_at_end = true;
                    break;
                }
                let kept = self.kept.get(&*letter.rule);
                let Some((kept, keep)) = kept.and_then(|kept| Some((kept, kept.limits.keep?))) else {
                    self.begin = if is_at_begin { Some(letter.number) } else { self.begin };
                    continue;
                };
                is_at_begin = false;
                let of_rule = met.entry(letter.rule.clone()).or_default();
                match kept.by_age {
                    _ if !letter.may_go => {}
                    Some(announced) if letter.number > announced.last => {}
                    Some(announced) if announced.is_due(self.times.notice) && letter.is_older_than(keep, now_us) => {
                        going.entry(letter.rule.clone()).or_default().push(letter.number);
                    }
                    Some(_) => {
                        of_rule.pending += 1;
                        of_rule.note(letter.created_at_us + in_us(keep));
                    }
                    None if letter.is_older_than(keep, now_us + ahead_us) => {
                        of_rule.letters += 1;
                        of_rule.last = letter.number;
                        of_rule.note(letter.created_at_us + in_us(keep));
                    }
                    None => {}
                }
            }
            after = page.last().map(|letter| letter.number);
            for (rule, numbers) in going {
                let (dropped, under_way) = self.drop_letters(&rule, numbers).await?;
                let of_rule = met.entry(rule).or_default();
                of_rule.dropped += dropped;
                of_rule.pending += under_way;
            }
        }
        self.conclude_by_age(met);
        Ok(())
    }

    fn conclude_by_age(&mut self, mut met: BTreeMap<Box<str>, Met>) {
        let notice = self.times.notice;
        for (rule, kept) in &mut self.kept {
            let met = met.remove(&**rule).unwrap_or_default();
            let keep = kept.limits.keep.map(short).unwrap_or_default();
            if met.dropped > 0 {
                tracing::info!(rule, letters = met.dropped, "dead letters older than {keep} dropped (`dead_letters`)");
            }
            if let Some(announced) = kept.by_age.as_mut().filter(|announced| announced.is_due(notice)) {
                announced.letters = met.pending;
                announced.from_us = met.from_us.unwrap_or(announced.from_us);
            }
            kept.by_age.take_if(|announced| announced.letters == 0);
            if met.letters > 0 {
                let announced = Announced::of(met.letters, met.last, met.from_us.unwrap_or(0), notice);
                kept.by_age = Some(announced);
                warn(rule, &announced, &format!("older than {keep} by then"));
            }
        }
    }

    /// Drops of a rule what was announced, as far as it is still above the limits of number and bytes; or announces what is above them.
    async fn by_size(&mut self, rule: &str) -> Result<(), Error> {
        let Some(KeptLetters { limits, by_size, usage, counted_to, .. }) = self.kept.get(rule) else { return Ok(()) };
        let (limits, announced, notice) = (*limits, *by_size, self.times.notice);
        let is_limited = limits.letters_max.or(limits.bytes_max).is_some();
        if !is_limited || announced.is_some_and(|announced| !announced.is_due(notice)) {
            return Ok(());
        }
        let (mut usage, mut counted_to) = self.count(rule, *usage, *counted_to).await?;
        // Some of what was counted earlier may have gone.
        if !usage.above(&limits).is_none() || announced.is_some() {
            (usage, counted_to) = self.count(rule, Usage::default(), None).await?;
        }
        let last = announced.map_or(u64::MAX, |announced| announced.last);
        let (taken, last, dropped) = self.take(rule, usage.above(&limits), last, announced.is_some()).await?;
        let Some(kept) = self.kept.get_mut(rule) else { return Ok(()) };
        (kept.usage, kept.counted_to) = (usage, counted_to);
        if announced.is_some() {
            kept.by_size = None;
            // What is left is counted when there may be too much of it again.
            kept.usage.letters = usage.letters.saturating_sub(dropped.letters);
            kept.usage.bytes = usage.bytes.saturating_sub(dropped.bytes);
            if dropped.letters > 0 {
                let letters = dropped.letters;
                tracing::info!(rule, letters, "dead letters above {} dropped (`dead_letters`)", in_words(&limits));
            }
        } else if taken > 0 {
            let announced = Announced::of(taken, last, now_us(), notice);
            kept.by_size = Some(announced);
            warn(rule, &announced, &format!("above {}", in_words(&limits)));
        }
        Ok(())
    }

    /// Goes over the letters of a rule up to a number, the oldest first, until nothing is in excess. Returns how many it takes, the last
    /// of them, and what was dropped of them.
    async fn take(
        &mut self,
        rule: &str,
        mut excess: Excess,
        last: u64,
        drops: bool,
    ) -> Result<(u64, u64, Usage), Error> {
        let (mut taken, mut last_taken, mut dropped, mut after) = (0, 0, Usage::default(), None);
        while !excess.is_none() {
            let page = self.page(Some(rule), after, true).await?;
            after = page.last().map(|letter| letter.number);
            let going: Vec<&SeenLetter> =
                page.iter().filter(|letter| letter.number <= last && excess.takes(letter)).collect();
            taken += going.len() as u64;
            last_taken = going.last().map_or(last_taken, |letter| letter.number);
            if drops && !going.is_empty() {
                let bytes: u64 = going.iter().map(|letter| letter.bytes).sum();
                let (letters, _) = self.drop_letters(rule, going.iter().map(|letter| letter.number).collect()).await?;
                dropped.letters += letters;
                dropped.bytes += bytes;
            }
            if page.len() < PAGE_LETTERS || after.is_none_or(|after| after >= last) {
                break;
            }
        }
        Ok((taken, last_taken, dropped))
    }

    /// Adds the letters of a rule behind a number.
    async fn count(&self, rule: &str, mut usage: Usage, mut after: Option<u64>) -> Result<(Usage, Option<u64>), Error> {
        loop {
            let page = self.page(Some(rule), after, true).await?;
            page.iter().for_each(|letter| usage.add(letter));
            after = page.last().map(|letter| letter.number).or(after);
            if page.len() < PAGE_LETTERS {
                return Ok((usage, after));
            }
        }
    }

    /// The next letters behind a number, those that are resolved among them.
    async fn page(&self, rule: Option<&str>, after: Option<u64>, with_bytes: bool) -> Result<Vec<SeenLetter>, Error> {
        let filter = Filter { rule: rule.map(str::to_owned), closed: Closed::With, ..Filter::default() };
        let page = self.letters.read(move |store| {
            let heads = store.dead_letters(&filter, after, PAGE_LETTERS)?;
            let seen = heads.iter().map(|head| {
                let bytes = if with_bytes { store.letter_bytes(head.number)? } else { 0 };
                Ok(SeenLetter::of(head, store.effect(head.delivery_id)?, bytes))
            });
            seen.collect()
        });
        page.await
    }

    /// Has letters of a rule removed, but for those that are being sent. Returns how many were, and how many stay.
    async fn drop_letters(&mut self, rule: &str, numbers: Vec<u64>) -> Result<(u64, u64), Error> {
        let UpdatedLetters { written, under_way } = self.letters.update(LetterUpdate::Drop(numbers)).await?;
        self.metrics.letters_dropped.get_or_create(&RuleLabel { rule: rule.to_owned() }).inc_by(written.removed);
        if let Some(kept) = self.kept.get_mut(rule) {
            kept.dropped += written.removed;
        }
        Ok((written.removed, under_way.len() as u64))
    }
}

impl Announced {
    /// From now on. None goes before the notice is over, whatever its age.
    fn of(letters: u64, last: u64, from_us: u64, notice: Duration) -> Announced {
        let from_us = from_us.max(now_us() + in_us(notice));
        Announced { at: Instant::now(), from_us, letters, last }
    }
}

fn warn(rule: &str, announced: &Announced, why: &str) {
    let (letters, from) = (announced.letters, rfc3339(announced.from_us));
    tracing::warn!(
        rule,
        letters,
        from,
        "dead letters will be dropped (`dead_letters`): {why}; replay or export what is still needed"
    );
}

/// The limits of number and bytes.
fn in_words(limits: &LetterRetention) -> String {
    let letters = limits.letters_max.map(|max| format!("{max} dead letters"));
    let bytes = limits.bytes_max.map(crate::in_words::bytes);
    letters.into_iter().chain(bytes).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests;
