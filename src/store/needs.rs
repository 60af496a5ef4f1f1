//! What each rule needed of tables when it became active.
//!
//! In: rules by name, each with a text of what it needs. Out: one record with all of them, so that at a start a new or
//! changed rule differs from one whose table has changed since. Knows neither rules nor tables.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::chunks::{self, Damage, Framed};
use super::trees::Trees;
use super::{Error, checkpoint};

/// Name of the record, in the tree of checkpoints. Earlier versions ignore it.
pub(super) const NEEDS: &[u8] = b"needs";

/// What one rule needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleNeeds {
    pub rule: Arc<str>,
    /// Equal to an earlier text if the needs are the same.
    pub needs: String,
}

#[derive(Serialize, Deserialize)]
struct NeedsRecord {
    rule: Box<str>,
    needs: String,
}

pub(super) fn encode(needs: &[RuleNeeds]) -> Framed {
    let record = |RuleNeeds { rule, needs }: &RuleNeeds| NeedsRecord { rule: (**rule).into(), needs: needs.clone() };
    Framed::json(&needs.iter().map(record).collect::<Vec<_>>())
}

fn decode(content: &[u8]) -> Result<Vec<RuleNeeds>, Damage> {
    let rule = |NeedsRecord { rule, needs }| RuleNeeds { rule: rule.into(), needs };
    Ok(chunks::decode::<Vec<NeedsRecord>>(content)?.into_iter().map(rule).collect())
}

impl Trees {
    pub(super) fn needs(&self) -> Result<Vec<RuleNeeds>, Error> {
        let called = || "what rules need of tables".to_string();
        let Some(content) = self.record(&self.checkpoints, NEEDS, called)? else { return Ok(Vec::new()) };
        decode(&content).map_err(|damage| Error::record(called(), damage))
    }

    /// The rules that have begun, those that were active last, and those that are paused.
    pub(super) fn rule_names(&self) -> Result<Option<Vec<Arc<str>>>, Error> {
        let called = || "the list of rules".to_string();
        let damaged = |damage| Error::record(called(), damage);
        let known = self.record(&self.checkpoints, checkpoint::KNOWN, called)?;
        let known = known.map(|content| checkpoint::decode_known(&content)).transpose().map_err(damaged)?;
        let needs = self.needs()?;
        let has_begun = self.record(&self.checkpoints, checkpoint::MAIN, called)?.is_some();
        if known.is_none() && needs.is_empty() && has_begun {
            return Ok(None);
        }
        let paused = self.record(&self.checkpoints, checkpoint::PAUSED, called)?;
        let paused = paused.map(|content| checkpoint::decode_paused(&content)).transpose().map_err(damaged)?;
        let names = known.into_iter().flatten().chain(needs.into_iter().map(|needs| needs.rule));
        Ok(Some(names.chain(paused.into_iter().flatten().map(|paused| paused.rule)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Store, Write};
    use super::*;

    #[tokio::test]
    async fn what_rules_need_is_read_after_a_restart_as_it_was_written_last() {
        let directory = tempfile::tempdir().expect("a directory");
        let of = |rule: &str, needs: &str| RuleNeeds { rule: rule.into(), needs: needs.to_string() };
        {
            let store = Store::open(directory.path()).expect("opens");
            assert_eq!(store.saved().expect("read").needs, []);
            for needs in [vec![of("a", "shop.a: id"), of("b", "shop.*: ")], vec![of("b", "shop.*: id, v")]] {
                store.write(Write { needs: Some(needs), ..Write::default() }).await.expect("written");
            }
        }
        let store = Store::open(directory.path()).expect("opens");
        assert_eq!(store.saved().expect("read").needs, [of("b", "shop.*: id, v")]);
    }
}
