//! `rowhook dead-letters edit`: another body for a dead letter, from a file, from stdin or from an editor.
//!
//! In: the number of the dead letter, and the body or `--revert`. Out: it is stored with the dead letter, and what a replay sends is
//! said. Works the same with and without a running daemon; without one the rules are loaded, to check the body.

use std::fs;
use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::editor::{self, EditedFile};
use super::reach::Reach;
use super::{CommandVerdict, confirm, output, rule_files};
use crate::admin::view::{EditRequest, EditedLetter, LetterBody};
use crate::config::{DataArgs, File, RulesArgs};
use crate::rules::{RuleSet, is_json_document};
use crate::template::TEXT_BYTES_MAX;

pub(super) const EDIT_EXAMPLES: &str = "\
Examples:
  rowhook dead-letters edit 12                     # in $VISUAL or $EDITOR
  rowhook dead-letters edit 12 --body order.json
  jq .amount=100 order.json | rowhook dead-letters edit 12 --body -
  rowhook dead-letters edit 12 --revert

`replay 12` sends this body, with URL, headers, credentials and signature as the rule makes them, under an Idempotency-Key of this edit.
The body is stored in the data directory. Not for rules with `redact`, `batch`, `multipart`, `sql` or `steps`, and not where a secret is
part of the body. A running rowhook uses the rules that it has loaded; --rules is used only when none runs.";

#[derive(Debug, clap::Args)]
pub(super) struct EditArgs {
    /// Number of the dead letter, as `list` shows it
    number: u64,
    /// The body, byte by byte; `-` reads stdin [default: opens $VISUAL or $EDITOR]
    #[arg(long, value_name = "FILE|-")]
    body: Option<PathBuf>,
    /// Send the body that the rule makes again, under the first Idempotency-Key
    #[arg(long, conflicts_with = "body")]
    revert: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    rules: RulesArgs,
}

/// A new body.
enum Typed {
    Body(Vec<u8>),
    InEditor {
        body: Vec<u8>,
        /// The edit that the editor began with; 0: none.
        base: u32,
        file: EditedFile,
    },
    /// The editor was left without a change.
    Unchanged,
}

pub(super) async fn run(args: EditArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let data = args.data.clone().resolve(file);
    let rules = args.rules.clone().resolve(file);
    let number = args.number;
    let load = || rule_files::load_without_secrets(&rules);
    if args.revert {
        let request = EditRequest { number, body_base64: None, base: None };
        let reverted = Reach::open(&data).await?.edit(&request, load).await?;
        let EditedLetter { edit, idempotency_key } = &reverted;
        let said = format!(
            "edit {edit} of dead letter {number} reverted: a replay sends the rule's body under Idempotency-Key {idempotency_key}\n"
        );
        return shown(&args, &reverted, &said);
    }
    let (body, base, in_editor) = match typed(&args, &data, load).await? {
        Typed::Body(body) => (body, None, None),
        Typed::InEditor { body, base, file } => (body, Some(base), Some(file)),
        Typed::Unchanged => {
            output::print("nothing was changed\n")?;
            return Ok(CommandVerdict::Done);
        }
    };
    let request = EditRequest { number, body_base64: Some(STANDARD.encode(body)), base };
    let edited = async { Reach::open(&data).await?.edit(&request, load).await };
    let edited = edited.await.map_err(|error| match in_editor {
        Some(mut file) => anyhow!("{error}\nthe body is kept in {}, for --body", file.keep().display()),
        None => error,
    })?;
    let EditedLetter { edit, idempotency_key } = &edited;
    let said = format!(
        "dead letter {number} edited ({edit}): rowhook dead-letters replay {number} sends this body under Idempotency-Key {idempotency_key}\n"
    );
    shown(&args, &edited, &said)
}

fn shown(args: &EditArgs, edited: &EditedLetter, said: &str) -> anyhow::Result<CommandVerdict> {
    if args.json {
        output::print_json(edited)?
    } else {
        output::print(said)?
    }
    Ok(CommandVerdict::Done)
}

/// The store is not open while a person types: another rowhook can start meanwhile.
async fn typed(args: &EditArgs, data: &Path, rules: impl FnOnce() -> anyhow::Result<RuleSet>) -> anyhow::Result<Typed> {
    match &args.body {
        Some(path) if path == Path::new("-") => Ok(Typed::Body(limited(io::stdin().lock(), "stdin")?)),
        Some(path) => {
            let name = path.display().to_string();
            let file = fs::File::open(path).map_err(|error| anyhow!("{name}: {error}"))?;
            Ok(Typed::Body(limited(file, &name)?))
        }
        None => {
            if !(confirm::can_ask() && io::stdout().is_terminal()) {
                bail!("there is no terminal to edit the body on: give --body FILE, or --body - for stdin");
            }
            let Some(editor) = editor::chosen() else {
                bail!("neither VISUAL nor EDITOR names an editor: set one, or give --body FILE");
            };
            let now = Reach::open(data).await?.body(args.number, rules).await?;
            in_editor(args.number, &now, &editor)
        }
    }
}

fn in_editor(number: u64, now: &LetterBody, editor: &str) -> anyhow::Result<Typed> {
    let is_json = now.content_type.as_deref().is_some_and(is_json_document);
    let name = format!("dead-letter-{number}.{}", if is_json { "json" } else { "txt" });
    let file = EditedFile::create(&name, &now.body)?;
    let mut body = file.edit(editor)?;
    // Editors end a file with a line break.
    if body.ends_with(b"\n") && !now.body.ends_with('\n') {
        body.pop();
    }
    Ok(if body == now.body.as_bytes() { Typed::Unchanged } else { Typed::InEditor { body, base: now.edit, file } })
}

/// All that it reads, if that is not too long for a body.
fn limited(from: impl Read, name: &str) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    from.take(TEXT_BYTES_MAX as u64 + 1).read_to_end(&mut body).map_err(|error| anyhow!("{name}: {error}"))?;
    if body.len() > TEXT_BYTES_MAX {
        bail!("{name} has more than {TEXT_BYTES_MAX} bytes, the most that a body may have");
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_editor_saves_is_the_body_without_the_line_break_that_it_adds() {
        let now =
            LetterBody { content_type: Some("application/json".to_owned()), body: "{\"a\":1}".to_owned(), edit: 3 };
        let Typed::InEditor { body, base: 3, file } = in_editor(1, &now, "sed -i 's/1/2/; $a\\'").expect("edited")
        else {
            panic!("it was changed")
        };
        assert_eq!(body, b"{\"a\":2}");
        drop(file);
        for unchanged in ["true", "sed -i '$a\\'"] {
            assert!(matches!(in_editor(1, &now, unchanged).expect("edited"), Typed::Unchanged), "{unchanged}");
        }
    }

    #[test]
    fn a_body_over_the_limit_is_not_read() {
        assert_eq!(limited(&b"{}\n"[..], "x").expect("read"), b"{}\n");
        limited(&*vec![b' '; TEXT_BYTES_MAX], "x").expect("as long as it may be");
        limited(io::repeat(b' '), "x").expect_err("endless");
    }
}
