//! Sagas as they are on disk: a log, and which dead letters it belongs to, each a JSON record of its own.
//!
//! In: saga logs. Out: records, and back, exactly: the body of an answer as text where it is text, else as base64.
//! These types are the format; names in them never change. The change of a saga is written like that of a dead letter.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::chunks::{self, Damage, Framed};
use super::former_words;
use crate::saga::{ActionLog, ActionState, Direction, KeptAnswer, SagaEffect, SagaLog, StepLog};

#[derive(Serialize, Deserialize)]
struct LogRecord<'a> {
    rule: Cow<'a, str>,
    direction: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    steps: Vec<StepRecord<'a>>,
    callback: ActRecord<'a>,
}

#[derive(Serialize, Deserialize)]
struct StepRecord<'a> {
    name: Cow<'a, str>,
    act: ActRecord<'a>,
    undo: ActRecord<'a>,
    // The name in records that are on disk already.
    #[serde(rename = "queries")]
    failed_calls: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<KeptRecord<'a>>,
}

#[derive(Serialize, Deserialize)]
struct ActRecord<'a> {
    state: Cow<'a, str>,
    attempts: u64,
    #[serde(alias = "said")]
    message: Cow<'a, str>,
    in_doubt: bool,
    round: u32,
}

#[derive(Serialize, Deserialize)]
struct KeptRecord<'a> {
    status: u16,
    headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    body: BodyRecord<'a>,
    cut: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    problem: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum BodyRecord<'a> {
    Text(Cow<'a, str>),
    Base64(Cow<'a, str>),
}

/// Which dead letters a saga belongs to, and what a person may have to do about it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OfLetters {
    pub effect: SagaEffect,
    /// Numbers of dead letters. More than one only where a binlog range was replayed.
    pub letters: Vec<u64>,
    /// Those of them that were not resolved.
    pub open: Vec<u64>,
}

#[derive(Serialize, Deserialize)]
struct OfLettersRecord<'a> {
    #[serde(alias = "standing")]
    effect: Cow<'a, str>,
    letters: Vec<u64>,
    open: Vec<u64>,
}

pub(super) fn encode_log(rule: &str, log: &SagaLog) -> Framed {
    let SagaLog { steps, direction, callback, reason } = log;
    Framed::json(&LogRecord {
        rule: rule.into(),
        direction: direction.as_str().into(),
        reason: reason.map(|reason| reason.as_str().into()),
        steps: steps.iter().map(step_record).collect(),
        callback: act_record(callback),
    })
}

/// The name of the rule, and the log.
pub(super) fn decode_log(content: &[u8]) -> Result<(Box<str>, SagaLog), Damage> {
    let record: LogRecord = chunks::decode(content)?;
    let log = SagaLog {
        steps: record.steps.into_iter().map(step).collect::<Result<_, _>>()?,
        direction: Direction::parse(&record.direction)
            .ok_or_else(|| Damage::unknown("direction", &record.direction))?,
        callback: act(record.callback)?,
        reason: record
            .reason
            .map(|word| former_words::reason(&word).ok_or_else(|| Damage::unknown("reason", &word)))
            .transpose()?,
    };
    Ok((record.rule.into(), log))
}

fn step_record(step: &StepLog) -> StepRecord<'_> {
    let StepLog { name, act, undo, failed_calls, answer } = step;
    StepRecord {
        name: (&**name).into(),
        act: act_record(act),
        undo: act_record(undo),
        failed_calls: *failed_calls,
        answer: answer.as_ref().map(kept_record),
    }
}

fn step(record: StepRecord) -> Result<StepLog, Damage> {
    Ok(StepLog {
        name: record.name.into(),
        act: act(record.act)?,
        undo: act(record.undo)?,
        failed_calls: record.failed_calls,
        answer: record.answer.map(kept).transpose()?,
    })
}

fn act_record(act: &ActionLog) -> ActRecord<'_> {
    let ActionLog { state, attempts, message, is_in_doubt, round } = act;
    ActRecord {
        state: state.as_str().into(),
        attempts: *attempts,
        message: message.into(),
        in_doubt: *is_in_doubt,
        round: *round,
    }
}

fn act(record: ActRecord) -> Result<ActionLog, Damage> {
    Ok(ActionLog {
        state: ActionState::parse(&record.state).ok_or_else(|| Damage::unknown("state", &record.state))?,
        attempts: record.attempts,
        message: record.message.into(),
        is_in_doubt: record.in_doubt,
        round: record.round,
    })
}

fn kept_record(kept: &KeptAnswer) -> KeptRecord<'_> {
    let KeptAnswer { status, headers, body, is_cut, problem } = kept;
    KeptRecord {
        status: *status,
        headers: headers.iter().map(|(name, value)| ((&**name).into(), (&**value).into())).collect(),
        body: match std::str::from_utf8(body) {
            Ok(text) => BodyRecord::Text(text.into()),
            Err(_) => BodyRecord::Base64(BASE64.encode(body).into()),
        },
        cut: *is_cut,
        problem: problem.as_deref().map(Cow::from),
    }
}

fn kept(record: KeptRecord) -> Result<KeptAnswer, Damage> {
    Ok(KeptAnswer {
        status: record.status,
        headers: record.headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        body: match record.body {
            BodyRecord::Text(text) => text.as_bytes().into(),
            BodyRecord::Base64(text) => {
                BASE64.decode(&*text).map_err(|error| Damage::Content(error.to_string()))?.into()
            }
        },
        is_cut: record.cut,
        problem: record.problem.map(|problem| (*problem).into()),
    })
}

pub(super) fn encode_of_letters(of: &OfLetters) -> Framed {
    let OfLetters { effect, letters, open } = of.clone();
    Framed::json(&OfLettersRecord { effect: effect.as_str().into(), letters, open })
}

pub(super) fn decode_of_letters(content: &[u8]) -> Result<OfLetters, Damage> {
    let OfLettersRecord { effect, letters, open } = chunks::decode(content)?;
    Ok(OfLetters {
        effect: former_words::effect(&effect).ok_or_else(|| Damage::unknown("effect", &effect))?,
        letters,
        open,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Reason;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn any_act() -> impl Strategy<Value = ActionLog> {
        let state = prop::sample::select(ActionState::ALL.to_vec());
        let parts = (state, any::<u64>(), ".{0,12}", any::<bool>(), any::<u32>());
        parts.prop_map(|(state, attempts, said, is_in_doubt, round)| ActionLog {
            state,
            attempts,
            message: said,
            is_in_doubt,
            round,
        })
    }

    fn any_kept() -> impl Strategy<Value = KeptAnswer> {
        let text = || ".{0,12}".prop_map(Box::from);
        let body = prop_oneof![vec(any::<u8>(), 0..60), ".{0,60}".prop_map(String::into_bytes)];
        let parts = (any::<u16>(), vec((text(), text()), 0..4), body, any::<bool>(), proptest::option::of(text()));
        parts.prop_map(|(status, headers, body, is_cut, problem)| {
            let body = body.into();
            KeptAnswer { status, headers, body, is_cut, problem }
        })
    }

    fn any_step() -> impl Strategy<Value = StepLog> {
        let parts = (".{0,12}", any_act(), any_act(), any::<u32>(), proptest::option::of(any_kept()));
        parts.prop_map(|(name, act, undo, failed_calls, answer)| StepLog {
            name: name.into(),
            act,
            undo,
            failed_calls,
            answer,
        })
    }

    fn any_log() -> impl Strategy<Value = SagaLog> {
        let direction = prop::sample::select(Direction::ALL.to_vec());
        let reason = proptest::option::of(prop::sample::select(Reason::ALL.to_vec()));
        let parts = (vec(any_step(), 0..5), direction, any_act(), reason);
        parts.prop_map(|(steps, direction, callback, reason)| SagaLog { steps, direction, callback, reason })
    }

    proptest! {
        #[test]
        fn every_log_reads_back_exactly(rule in ".{0,12}", log in any_log()) {
            let content = encode_log(&rule, &log).read_back();
            prop_assert_eq!(decode_log(&content), Ok((rule.into(), log)));
        }

        #[test]
        fn which_dead_letters_have_a_saga_reads_back_exactly(
            effect in prop::sample::select(vec![SagaEffect::Complete, SagaEffect::None, SagaEffect::Partial]),
            letters in vec(any::<u64>(), 0..4),
            open in vec(any::<u64>(), 0..4),
        ) {
            let of = OfLetters { effect, letters, open };
            prop_assert_eq!(decode_of_letters(&encode_of_letters(&of).read_back()), Ok(of));
        }
    }

    /// Stores written by earlier releases contain this text: it must stay readable.
    #[test]
    fn the_format_of_version_1_is_still_read() {
        let text = r#"{"rule":"signup","direction":"back","reason":"refused","steps":[{"name":"account",
            "act":{"state":"done","attempts":2,"said":"answered 201","in_doubt":false,"round":0},
            "undo":{"state":"unknown","attempts":1,"said":"timed out","in_doubt":true,"round":0},"queries":3,
            "answer":{"status":201,"headers":[["etag","x"]],"body":{"base64":"AP8="},"cut":true}},{"name":"mail",
            "act":{"state":"waiting","attempts":0,"said":"","in_doubt":false,"round":7},
            "undo":{"state":"begun","attempts":0,"said":"","in_doubt":false,"round":0},"queries":0,
            "answer":{"status":200,"headers":[],"body":{"text":"{}"},"cut":false}}],
            "callback":{"state":"failed","attempts":4,"said":"answered 500","in_doubt":false,"round":1}}"#;
        let (rule, log) = decode_log(text.as_bytes()).expect("readable");
        assert_eq!((&*rule, log.direction, log.reason), ("signup", Direction::Back, Some(Reason::Refused)));
        let [account, mail] = log.steps.as_slice() else { panic!("{log:?}") };
        let bodies = [account, mail].map(|step| step.answer.as_ref().expect("kept").body.to_vec());
        assert_eq!(bodies, [vec![0, 255], b"{}".to_vec()]);
        assert_eq!(
            (account.undo.state, account.undo.is_in_doubt, account.failed_calls),
            (ActionState::Unknown, true, 3)
        );
        assert_eq!((mail.act.round, log.callback.attempts), (7, 4));
        let of = decode_of_letters(br#"{"standing":"open","letters":[3,9],"open":[9]}"#).expect("readable");
        assert_eq!(of, OfLetters { effect: SagaEffect::Partial, letters: vec![3, 9], open: vec![9] });
    }
}
