//! What becomes of dead letters that are sent again: replays, and blocked deliveries whose turn has come.
//!
//! In: replays that an operator asks for, dead letters that came to the front of their keys' queues, and the outcomes of
//! both. Out: which letter to send now, and answers to those who wait. Owns which letters are under way. Keeps promise 2 for
//! blocked keys: it sends one letter of a queue at a time, in the order of the numbers, and none while one before it stays.
//! It asks `BlockedKeys`, which follows the store, what it needs to know of the queues; so a crash loses nothing that is
//! kept here. Bounded: a rule's letters under way have a limit in number and bytes, the others are numbers only.

mod held_back;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::pin::Pin;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::oneshot;

use super::command::{NotReplayed, ReplayAnswer};
use crate::delivery::{Origin, Outcome};
use crate::failure::Reason;
use crate::ordering::{BlockedKeys, LaneKeys};
use crate::saga::SagaCommand;
use crate::store::{self, DeadLetter, Store};

use held_back::HeldBack;

/// Dead letters read from the store at a time.
const READS_MAX: usize = 16;

/// Blocked deliveries of one rule that are sent at a time; each is of another key.
const RELEASED_MAX: usize = 16;

/// Memory of the changes of a rule's blocked deliveries that are being sent; a single one may be larger.
const RELEASED_BYTES_MAX: usize = 4 << 20;

/// See the module's header.
pub(super) struct Releases {
    store: Store,
    turns: Turns,
    reads: FuturesUnordered<Pin<Box<dyn Future<Output = InspectedLetter> + Send>>>,
    /// Rules for which the log says already that their dead letters can't be sent.
    complained: HashSet<Box<str>>,
}

/// A dead letter that may have to be sent, as it is in the store.
pub(super) struct InspectedLetter {
    pub number: u64,
    pub letter: Result<Option<DeadLetter>, store::Error>,
}

impl Releases {
    pub(super) fn new(store: Store) -> Releases {
        let turns = Turns::new(store.blocked_keys().clone());
        Releases { store, turns, reads: FuturesUnordered::new(), complained: HashSet::new() }
    }

    /// The next dead letter that may have to be sent; pending for ever while there is none. Cancel-safe.
    pub(super) async fn next(&mut self) -> InspectedLetter {
        loop {
            while self.reads.len() < READS_MAX
                && let Some(number) = self.turns.inspect()
            {
                let store = self.store.clone();
                let read = tokio::task::spawn_blocking(move || store.dead_letter(number));
                self.reads.push(Box::pin(async move {
                    let letter = read.await.unwrap_or(Err(store::Error::Closed));
                    InspectedLetter { number, letter }
                }));
            }
            let blocked = self.turns.blocked.clone();
            tokio::select! {
                () = blocked.moved(), if self.reads.len() < READS_MAX => {}
                Some(inspected) = self.reads.next(), if !self.reads.is_empty() => return inspected,
            }
        }
    }

    /// Takes in a dead letter that an operator replays. True: it is to be sent now; else when its turn comes, or never.
    pub(super) fn replay(&mut self, number: u64, lanes: LaneKeys, saga_command: SagaCommand, awaited: Awaited) -> bool {
        self.turns.replay(number, lanes, saga_command, awaited)
    }

    /// Replays whose operator has gone; the ones that wait for their turn are forgotten.
    pub(super) fn unheard(&mut self) -> Vec<u64> {
        self.turns.unheard()
    }

    /// Replays of rules that are paused, whose operator has no answer; the ones that wait for their turn get it.
    pub(super) fn of_paused(&mut self, is_paused: impl Fn(&str) -> bool) -> Vec<u64> {
        self.turns.of_paused(is_paused)
    }

    /// The dead letter is sent no more: an operator has its answer now, and its turn brings [`Releases::given_back`].
    pub(super) fn withdrawn(&mut self, number: u64, why: impl Fn(&str) -> NotReplayed) {
        self.turns.withdrawn(number, why);
    }

    /// Nothing is left of a dead letter that was withdrawn.
    pub(super) fn given_back(&mut self, number: u64) {
        self.turns.given_back(number);
    }

    /// These dead letters are being resolved, removed or edited by hand: until [`Releases::updated`] none of them is sent. Returns
    /// those that are under way, which are not among those withdrawn: they can't be changed.
    pub(super) fn hold_back(&mut self, numbers: &[u64], withdrawn: &HashSet<Origin>, why: &NotReplayed) -> Vec<u64> {
        self.turns.hold_back(numbers, withdrawn, why)
    }

    /// What was to be written of these dead letters is durable.
    pub(super) fn updated(&mut self, numbers: &[u64]) {
        self.turns.updated(numbers);
    }

    /// The dead letter that was to be sent is not the one that was read: it is read again.
    pub(super) fn outdated(&mut self, number: u64) {
        self.turns.outdated(number);
    }

    /// Decides about a dead letter that was read. Returns it if it is to be sent now.
    pub(super) fn inspected(&mut self, inspected: InspectedLetter) -> Option<DeadLetter> {
        let InspectedLetter { number, letter } = inspected;
        let letter = letter.unwrap_or_else(|error| {
            tracing::error!(number, %error, "a blocked delivery can't be read; discard it to release those behind it");
            None
        });
        // A letter that was closed by hand meanwhile has left its queues, like one that is gone.
        let letter = letter.filter(|letter| letter.head.resolved.is_none());
        let seen = letter.as_ref().map(|letter| Seen {
            rule: &letter.head.rule,
            lanes: letter.head.lanes.clone(),
            is_blocked: letter.head.failure.reason == Reason::Blocked,
            bytes: letter.change.weight_bytes(),
        });
        if self.turns.inspected(number, seen) { letter } else { None }
    }

    /// The dead letter that was to be sent can't be sent: it stays in front of its queue.
    pub(super) fn cannot_go(&mut self, number: u64, rule: &str, why: String) {
        if self.complained.insert(rule.into()) {
            tracing::error!(rule, number, why, "blocked deliveries of this rule can't be sent");
        }
        self.turns.ended(number, Err(NotReplayed::Unsendable(why)));
    }

    /// The outcome of a dead letter that was sent is durable.
    pub(super) fn ended(&mut self, number: u64, outcome: Outcome) {
        self.turns.ended(number, Ok(outcome));
    }

    /// Ends the reads under way: none uses the store after that.
    pub(super) async fn finish(&mut self) {
        while self.reads.next().await.is_some() {}
    }

    /// Answers those whose turn will not come. To be called now and then.
    pub(super) fn review(&mut self) {
        self.turns.review();
    }

    /// Reads all dead letters that may be sent: after a reload other letters can be sent, and at the start none was read yet.
    pub(super) fn inspect_all(&mut self) {
        self.complained.clear();
        self.turns.blocked.inspect_all();
    }

    /// Answers with the number of blocked deliveries that were delivered since the start, as soon as none is on its way.
    pub(super) fn when_quiet(&mut self, answer: oneshot::Sender<u64>) {
        self.turns.when_quiet.push(answer);
        self.turns.review();
    }
}

/// The decisions, without I/O.
struct Turns {
    blocked: BlockedKeys,
    /// Letters being read.
    inspecting: BTreeSet<u64>,
    /// Letters that were sent and have no durable outcome yet.
    under_way: HashMap<u64, UnderWay>,
    /// Letters that an operator replays and whose turn comes after others that are under way.
    waiting: BTreeMap<u64, Waiting>,
    /// Letters that are being resolved, removed or edited by hand.
    held_back: HashMap<u64, HeldBack>,
    rules: HashMap<Box<str>, Released>,
    when_quiet: Vec<oneshot::Sender<u64>>,
    delivered: u64,
}

/// The replay of a dead letter, and where its outcome is sent.
pub(super) struct Awaited {
    pub rule: Box<str>,
    pub answer: ReplayAnswer,
}

impl Awaited {
    /// Says that it is not sent, and why, by the name of its rule.
    pub(super) fn refuse(self, why: impl FnOnce(&str) -> NotReplayed) {
        // A receiver that has gone does not need the answer.
        let _ = self.answer.send(Err(why(&self.rule)));
    }
}

/// A letter whose turn will come.
struct Waiting {
    lanes: LaneKeys,
    awaited: Awaited,
}

/// A letter that was sent.
struct UnderWay {
    awaited: Option<Awaited>,
    /// Rule and bytes, if it was sent because its turn came.
    released: Option<(Box<str>, usize)>,
    /// It is not sent any more, and is still in the lanes.
    is_withdrawn: bool,
}

/// The blocked deliveries of one rule that are being sent.
#[derive(Default)]
struct Released {
    letters: usize,
    bytes: usize,
    /// Their turn has come, but there is no room; at most one for each blocked key.
    later: BTreeSet<u64>,
}

/// What reading a dead letter showed.
struct Seen<'a> {
    rule: &'a str,
    lanes: LaneKeys,
    is_blocked: bool,
    bytes: usize,
}

impl Turns {
    fn new(blocked: BlockedKeys) -> Turns {
        Turns {
            blocked,
            inspecting: BTreeSet::new(),
            under_way: HashMap::new(),
            waiting: BTreeMap::new(),
            held_back: HashMap::new(),
            rules: HashMap::new(),
            when_quiet: Vec::new(),
            delivered: 0,
        }
    }

    /// A dead letter to read.
    fn inspect(&mut self) -> Option<u64> {
        let number = self.blocked.take_moved()?;
        self.inspecting.insert(number);
        Some(number)
    }

    /// Whether the letter is to be sent now: it is blocked, or an operator waits for its replay, and nothing is ahead of it.
    fn inspected(&mut self, number: u64, seen: Option<Seen>) -> bool {
        // A replay that began meanwhile counts more than what was read before it.
        let is_awaited = self.inspecting.remove(&number) && !self.under_way.contains_key(&number);
        let is_awaited = is_awaited && !self.misses_its_turn(number);
        let goes = match seen {
            Some(Seen { rule, lanes, is_blocked, bytes }) if is_awaited => {
                let is_next = self.stands(number, &lanes) && self.blocked.ahead_of(number, &lanes).next().is_none();
                let is_meant = is_blocked || self.waiting.contains_key(&number);
                is_next && is_meant && self.has_room(number, rule, bytes)
            }
            Some(_) => false,
            None => {
                if let Some(Waiting { awaited, .. }) = self.waiting.remove(&number) {
                    awaited.refuse(|_| NotReplayed::Gone);
                }
                false
            }
        };
        self.review();
        goes
    }

    /// Whether the letter is still in the queues of its keys.
    fn stands(&self, number: u64, lanes: &LaneKeys) -> bool {
        lanes.iter().all(|key| self.blocked.queue(key).is_some_and(|queue| queue.front <= number))
    }

    /// Takes the room for a blocked delivery of a rule, or puts it off.
    fn has_room(&mut self, number: u64, rule: &str, bytes: usize) -> bool {
        let released = self.rules.entry(rule.into()).or_default();
        if released.letters > 0 && (released.letters >= RELEASED_MAX || released.bytes + bytes > RELEASED_BYTES_MAX) {
            released.later.insert(number);
            return false;
        }
        released.letters += 1;
        released.bytes += bytes;
        let awaited = self.waiting.remove(&number).map(|waiting| waiting.awaited);
        let released = Some((rule.into(), bytes));
        self.under_way.insert(number, UnderWay { awaited, released, is_withdrawn: false });
        true
    }

    fn replay(&mut self, number: u64, lanes: LaneKeys, saga_command: SagaCommand, awaited: Awaited) -> bool {
        let is_resumed = saga_command == SagaCommand::Resume;
        match self.under_way.get_mut(&number) {
            // Sent again when it has left the lanes.
            Some(UnderWay { is_withdrawn: true, .. }) if is_resumed && !self.waiting.contains_key(&number) => {}
            Some(under_way @ UnderWay { awaited: None, is_withdrawn: false, .. }) => {
                under_way.awaited = Some(awaited);
                return false;
            }
            Some(_) => return refused(awaited, NotReplayed::UnderWay),
            None if self.waiting.contains_key(&number) => return refused(awaited, NotReplayed::UnderWay),
            None => {}
        }
        if let Some(held_back) = self.held_back.get(&number) {
            return refused(awaited, held_back.why.clone());
        }
        if !self.stands(number, &lanes) {
            return refused(awaited, NotReplayed::Gone);
        }
        let ahead = self.blocked.ahead_of(number, &lanes).next();
        match ahead {
            None if !self.under_way.contains_key(&number) => {
                self.inspecting.remove(&number);
                self.forget_later(number);
                let awaited = Some(awaited);
                self.under_way.insert(number, UnderWay { awaited, released: None, is_withdrawn: false });
                return true;
            }
            // A letter that waits is sent as a blocked delivery is, and by then another command is forgotten.
            Some(ahead) if !is_resumed => return refused(awaited, NotReplayed::BlockedBy(ahead)),
            _ => {}
        }
        self.waiting.insert(number, Waiting { lanes, awaited });
        self.review();
        false
    }

    fn unheard(&mut self) -> Vec<u64> {
        self.waiting.retain(|_, waiting| !waiting.awaited.answer.is_closed());
        let is_unheard = |awaited: &Awaited| awaited.answer.is_closed();
        self.replayed(is_unheard)
            .filter(|(_, under_way)| under_way.released.is_none())
            .map(|(number, _)| number)
            .collect()
    }

    fn of_paused(&mut self, is_paused: impl Fn(&str) -> bool) -> Vec<u64> {
        let is_waiting = |(_, waiting): &(&u64, &Waiting)| is_paused(&waiting.awaited.rule);
        let numbers: Vec<u64> = self.waiting.iter().filter(is_waiting).map(|(number, _)| *number).collect();
        for waiting in numbers.iter().filter_map(|number| self.waiting.remove(number)).collect::<Vec<_>>() {
            waiting.awaited.refuse(paused);
        }
        // Blocked deliveries go on by themselves when the rule does.
        for under_way in self.under_way.values_mut().filter(|under_way| under_way.released.is_some()) {
            if let Some(awaited) = under_way.awaited.take_if(|awaited| is_paused(&awaited.rule)) {
                awaited.refuse(paused);
            }
        }
        self.replayed(|awaited| is_paused(&awaited.rule)).map(|(number, _)| number).collect()
    }

    /// What is under way for an operator.
    fn replayed(&self, is_meant: impl Fn(&Awaited) -> bool) -> impl Iterator<Item = (u64, &UnderWay)> {
        let replayed =
            self.under_way.iter().filter(move |(_, under_way)| under_way.awaited.as_ref().is_some_and(&is_meant));
        replayed.map(|(number, under_way)| (*number, under_way))
    }

    fn withdrawn(&mut self, number: u64, why: impl Fn(&str) -> NotReplayed) {
        // What had its turn at once has gone already.
        let Some(under_way) = self.under_way.get_mut(&number) else { return };
        under_way.is_withdrawn = true;
        if let Some(awaited) = under_way.awaited.take() {
            awaited.refuse(why);
        }
    }

    fn given_back(&mut self, number: u64) {
        self.finish(number, Err(NotReplayed::Gone));
        // A blocked delivery is still to be sent, and so is what is replayed again meanwhile.
        self.blocked.name_again(number);
        self.review();
    }

    fn ended(&mut self, number: u64, outcome: Result<Outcome, NotReplayed>) {
        self.finish(number, outcome);
        self.review();
    }

    fn finish(&mut self, number: u64, outcome: Result<Outcome, NotReplayed>) {
        let Some(UnderWay { awaited, released, .. }) = self.under_way.remove(&number) else { return };
        if let Some((rule, bytes)) = released {
            self.delivered += u64::from(matches!(outcome, Ok(Outcome::Delivered { .. })));
            self.give_room(&rule, bytes);
        }
        if let Some(awaited) = awaited {
            // The operator may have gone; the outcome is in the store all the same.
            let _ = awaited.answer.send(outcome);
        }
    }

    fn give_room(&mut self, rule: &str, bytes: usize) {
        let Some(released) = self.rules.get_mut(rule) else { return };
        released.letters -= 1;
        released.bytes -= bytes;
        if let Some(next) = released.later.pop_first() {
            self.blocked.name_again(next);
        }
    }

    fn forget_later(&mut self, number: u64) {
        for released in self.rules.values_mut() {
            released.later.remove(&number);
        }
    }

    /// Answers those whose turn will not come: a letter ahead of theirs stays, or theirs has gone.
    fn review(&mut self) {
        self.fill_empty_room();
        // In ascending number: letters ahead have been reviewed before.
        let numbers: Vec<u64> = self.waiting.keys().copied().collect();
        for number in numbers {
            let lanes = &self.waiting[&number].lanes;
            let why = match self.blocked.ahead_of(number, lanes).find(|ahead| !self.is_coming(*ahead)) {
                _ if !self.stands(number, lanes) => NotReplayed::Gone,
                Some(ahead) => NotReplayed::BlockedBy(ahead),
                None => continue,
            };
            let waiting = self.waiting.remove(&number).expect("no one else takes it meanwhile");
            waiting.awaited.refuse(|_| why);
        }
        if self.is_quiet() {
            for answer in self.when_quiet.drain(..) {
                // A receiver that has gone does not need the answer.
                let _ = answer.send(self.delivered);
            }
        }
    }

    /// Continues with letters that were put off, when the ones that were to make room for them are gone.
    fn fill_empty_room(&mut self) {
        for released in self.rules.values_mut().filter(|released| released.letters == 0) {
            while let Some(next) = released.later.pop_first() {
                self.blocked.name_again(next);
            }
        }
        self.rules.retain(|_, released| released.letters > 0);
    }

    /// Whether a letter is sent without a command.
    fn is_coming(&self, number: u64) -> bool {
        self.under_way.contains_key(&number)
            || self.waiting.contains_key(&number)
            || self.inspecting.contains(&number)
            || self.blocked.is_moved(number)
            || self.is_later(number)
    }

    fn is_later(&self, number: u64) -> bool {
        self.rules.values().any(|released| released.later.contains(&number))
    }

    fn is_quiet(&self) -> bool {
        self.inspecting.is_empty() && self.under_way.is_empty() && !self.blocked.has_moved()
    }
}

fn refused(awaited: Awaited, why: NotReplayed) -> bool {
    awaited.refuse(|_| why);
    false
}

/// Why nothing of a rule is replayed that is paused.
pub(super) fn paused(rule: &str) -> NotReplayed {
    NotReplayed::Paused { rule: rule.to_owned() }
}

#[cfg(test)]
mod tests;
