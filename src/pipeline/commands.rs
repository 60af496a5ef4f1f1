//! Carries out what operators ask of the loop.
//!
//! In: commands. Out: answers, at once or when what was asked for is durable. Each command goes to the owner of what it is
//! about; this module puts together what must be written, and what follows for the other owners.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Pipeline;
use super::blocked_keys::refuse;
use super::command::{Command, CommandRefused, NotReplayed, ReplayAnswer, SentAs};
use super::streams::Vanished;
use crate::delivery::{Delivery, Origin};
use crate::ordering::LaneKeys;
use crate::rules::RuleSet;
use crate::saga::SagaCommand;

type Answer = oneshot::Sender<Result<(), CommandRefused>>;

impl Pipeline {
    pub(super) fn apply(&mut self, command: Command) {
        let dispatcher = &mut self.deliveries.dispatcher;
        match command {
            Command::Replay { delivery, sent_as: SentAs::Letter { lanes, saga_command }, answer } => {
                self.replay_letter(delivery, lanes, saga_command, answer)
            }
            Command::Replay { delivery, sent_as: SentAs::Change, answer } => {
                dispatcher.submit(self.replays.again(delivery, answer))
            }
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
                let _ = answer.send(self.streams.status(dispatcher, &self.binlog_pin));
            }
            Command::Reload { rules, answer } => {
                self.reload(rules);
                let _ = answer.send(());
            }
        }
    }

    /// Sends a dead letter that an operator replays, now or when its turn comes.
    fn replay_letter(&mut self, delivery: Delivery, lanes: LaneKeys, saga_command: SagaCommand, answer: ReplayAnswer) {
        let Origin::Replay { dead_letter } = delivery.origin else { unreachable!("only dead letters are replayed") };
        if self.streams.is_paused(&delivery.rule.name) {
            return refuse(answer, NotReplayed::Paused { rule: delivery.rule.name.clone() });
        }
        let delivery = match self.deliveries.sagas.resume(self.writes.store(), delivery, saga_command) {
            Ok(delivery) => delivery,
            Err(why) => return refuse(answer, NotReplayed::Unsendable(why)),
        };
        if self.replays.releases.replay(dead_letter, lanes, saga_command, answer) {
            self.deliveries.dispatcher.submit(delivery);
        }
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
