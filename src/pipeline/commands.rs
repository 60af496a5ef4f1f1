//! Carries out what operators ask of the loop.
//!
//! In: commands. Out: answers, at once or when what was asked for is durable. Each command goes to the owner of what it is
//! about; this module puts together what must be written, and what follows for the other owners.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::Pipeline;
use super::blocked_keys::{Awaited, paused};
use super::command::{Command, CommandRefused, LetterUpdate, LoopStatus, NotReplayed, SentAs, UpdatedLetters};
use super::letters::{EDITED, RESOLVED};
use super::streams::Vanished;
use crate::delivery::{Delivery, Origin, Withdraw};
use crate::ordering::LaneKeys;
use crate::rules::RuleSet;
use crate::saga::SagaCommand;
use crate::store;

type Answer = oneshot::Sender<Result<(), CommandRefused>>;

impl Pipeline {
    pub(super) fn apply(&mut self, command: Command) {
        let dispatcher = &mut self.deliveries.dispatcher;
        match command {
            // The operator has gone.
            Command::Replay { answer, .. } if answer.is_closed() => {}
            Command::Replay { delivery, sent_as, answer } => {
                let awaited = Awaited { rule: delivery.rule.name.as_str().into(), answer };
                match sent_as {
                    _ if self.streams.is_paused(&awaited.rule) => awaited.refuse(paused),
                    SentAs::Letter { lanes, saga_command } => {
                        self.replay_letter(delivery, lanes, saga_command, awaited);
                    }
                    SentAs::Change => dispatcher.submit(self.replays.again(delivery, awaited)),
                }
            }
            Command::WithdrawUnheard => {
                let meant = self.replays.unheard();
                self.withdraw(Withdraw::Untried, &meant, |_| NotReplayed::Gone);
            }
            Command::Update { update, answer } => self.update_letters(update, answer),
            Command::AwaitReleases { answer } => self.replays.releases.when_quiet(answer),
            Command::Pause { rule, why, answer } => {
                let done = self.streams.pause(&rule, why, dispatcher);
                self.answer_when_durable(done, answer);
            }
            Command::Resume { rule, from, answer } => {
                let done = self.streams.resume(&rule, from, dispatcher);
                self.answer_when_durable(done, answer);
            }
            // The operator may have gone.
            Command::Status { answer } => {
                let journal = self.writes.journal_status();
                let status = self.streams.status(dispatcher, &self.binlog_pin);
                let _ = answer.send(LoopStatus { journal, ..status });
            }
            Command::ResetTarget { target, answer } => {
                let before = dispatcher.reset_target(&target).ok_or_else(|| {
                    let known = dispatcher.targets().into_iter().map(|status| status.target).collect();
                    CommandRefused::NoSuchTarget { target, known }
                });
                let _ = answer.send(before);
            }
            Command::Reload { rules, answer } => {
                self.reload(rules);
                let _ = answer.send(());
            }
        }
    }

    /// Sends a dead letter that an operator replays, now or when its turn comes.
    fn replay_letter(&mut self, delivery: Delivery, lanes: LaneKeys, saga_command: SagaCommand, awaited: Awaited) {
        let Origin::Replay { dead_letter } = delivery.origin else { unreachable!("only dead letters are replayed") };
        let store = self.writes.store();
        // It was read before this command came.
        let edit = delivery.edited.as_ref().map(|edited| edited.edit);
        let delivery = match store.open_head(dead_letter) {
            Ok(Some(head)) if head.standing_edit().map(|edit| edit.number) != edit => Err(EDITED.to_owned()),
            Ok(Some(_)) => self.deliveries.sagas.resume(store, delivery, saga_command),
            Ok(None) => return awaited.refuse(|_| NotReplayed::Gone),
            Err(error) => Err(error.to_string()),
        };
        let delivery = match delivery {
            Ok(delivery) => delivery,
            Err(why) => return awaited.refuse(|_| NotReplayed::Unsendable(why)),
        };
        if self.replays.releases.replay(dead_letter, lanes, saga_command, awaited) {
            self.deliveries.dispatcher.submit(delivery);
        }
    }

    /// Replays of a rule that was paused meanwhile end, so that no operator waits for an unknown time.
    pub(super) fn withdraw_paused(&mut self) {
        let streams = &self.streams;
        let meant = self.replays.of_paused(|rule| streams.is_paused(rule));
        self.withdraw(Withdraw::Idle, &meant, paused);
    }

    /// Takes back what is meant, as far as nothing is under way of it, and says why to who waits for it.
    fn withdraw(&mut self, what: Withdraw, meant: &HashSet<Origin>, why: impl Fn(&str) -> NotReplayed) {
        if !meant.is_empty() {
            let withdrawn = self.deliveries.dispatcher.withdraw(what, |origin| meant.contains(&origin));
            self.replays.withdrawn(withdrawn, why);
        }
    }

    /// Resolves, removes or edits dead letters. What waits for its turn meanwhile is not sent as it was; what is under way stays.
    fn update_letters(&mut self, update: LetterUpdate, answer: oneshot::Sender<Result<UpdatedLetters, store::Error>>) {
        let numbers = update.numbers();
        let meant: HashSet<Origin> = numbers.iter().map(|number| Origin::Replay { dead_letter: *number }).collect();
        let dispatcher = &mut self.deliveries.dispatcher;
        let withdrawn = match update {
            LetterUpdate::Remove(_) | LetterUpdate::Resolve(_) => {
                dispatcher.withdraw(Withdraw::Idle, |origin| meant.contains(&origin))
            }
            // An attempt that failed may have been carried out: it is to be in the dead letter before another key is used.
            LetterUpdate::Edit(_) => dispatcher.withdraw(Withdraw::Untried, |origin| meant.contains(&origin)),
            LetterUpdate::Drop(_) => HashSet::new(),
        };
        let why = match update {
            LetterUpdate::Remove(_) | LetterUpdate::Drop(_) => NotReplayed::Gone,
            LetterUpdate::Resolve(_) => NotReplayed::Unsendable(RESOLVED.to_owned()),
            LetterUpdate::Edit(_) => NotReplayed::Unsendable(EDITED.to_owned()),
        };
        let under_way = self.replays.releases.hold_back(&numbers, &withdrawn, &why);
        let write = update.write_without(&under_way);
        self.writes.update_letters(write, numbers, under_way, answer);
    }

    fn answer_when_durable(&mut self, done: Result<(), CommandRefused>, answer: Answer) {
        match done {
            Ok(()) => self.writes.pauses_for(self.streams.paused_rules(), answer),
            // The operator may have gone.
            Err(refused) => drop(answer.send(Err(refused))),
        }
    }

    /// Goes on with other rules.
    fn reload(&mut self, rules: Arc<RuleSet>) {
        let needs = self.needs.record(&rules);
        if self.streams.reload(rules, &mut self.deliveries.dispatcher) == Vanished::Paused {
            self.writes.pauses(self.streams.paused_rules());
        }
        if let Some(needs) = needs {
            self.writes.write(needs);
        }
        self.replays.releases.inspect_all();
    }
}
