//! `rowhook store`: verify, back up, restore and compact what the data directory contains.
//!
//! In: the data directory, a file. Out: what was found or done. `verify` and `backup` work with and without a running daemon; the
//! others replace files, so that no daemon may run. Commands that can't be undone need a confirmation.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Subcommand;

use super::output::{clean, count};
use super::reach::Reach;
use super::{CommandVerdict, output};
use crate::admin::view::rfc3339;
use crate::admin::view::store::{BackupView, VerifiedView};
use crate::config::{DataArgs, File};
use crate::store::{Loss, Restored, Store};

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Read everything in the store, and report what is damaged
    Verify(VerifyArgs),
    /// Write everything in the store to one file
    Backup(BackupArgs),
    /// Replace the store by a backup
    #[command(after_help = RESTORE_HELP)]
    Restore(RestoreArgs),
    /// Rewrite the store without deleted records, to give disk space back
    Compact(CompactArgs),
    /// Continue with what is left of a damaged store
    #[command(after_help = ACCEPT_LOSS_HELP)]
    AcceptLoss(AcceptLossArgs),
}

const RESTORE_HELP: &str = "\
Stop rowhook first. The existing store is kept in the folder set-aside of the data directory.

After a restore, reading continues at the position of the backup. What was delivered since then is delivered again, with the same \
idempotency keys. Calls with `idempotent: false` for changes that were committed before the restore are not repeated: a `verify` \
query decides, and without one they become dead letters with the reason `unknown`.

Dead letters that were replayed, resolved or discarded since the backup are in the store again.";

const ACCEPT_LOSS_HELP: &str = "\
Stop rowhook first, and keep a copy of the data directory. If there is a backup, use `rowhook store restore` instead. \
Without --yes it reports what is missing and changes nothing. With --yes it writes a new store of all that can be read; the damaged \
one is kept in the folder set-aside of the data directory. If the checkpoint is lost, the next `rowhook run` needs --start.";

#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct BackupArgs {
    /// File to write; it must not exist yet. It contains rows, as the store does: its mode is 0600
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    /// The backup
    file: PathBuf,
    /// Confirm that the existing store is replaced
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct CompactArgs {
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct AcceptLossArgs {
    /// Confirm
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    data: DataArgs,
}

pub(super) async fn run(command: StoreCommand, file: &File) -> anyhow::Result<CommandVerdict> {
    match command {
        StoreCommand::Verify(args) => verify(args, file).await,
        StoreCommand::Backup(args) => backup(args, file).await,
        StoreCommand::Restore(args) => restore(args, file).await,
        StoreCommand::Compact(args) => compact(args, file).await,
        StoreCommand::AcceptLoss(args) => accept_loss(args, file).await,
    }
}

async fn verify(args: VerifyArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let found = Reach::open(&args.data.resolve(file)).await?.verify().await?;
    if args.json {
        output::print_json(&found)?;
    } else {
        output::print(&verified_text(&found))?;
    }
    Ok(if found.is_whole { CommandVerdict::Done } else { CommandVerdict::Problems })
}

fn verified_text(found: &VerifiedView) -> String {
    let VerifiedView { dead_letters, blocked, resolved, sagas, entries, bytes, .. } = found;
    let text = format!(
        "read: {} ({blocked} blocked, {resolved} resolved), {}, {entries} entries, {}\n",
        count(*dead_letters, "dead letter", "dead letters"),
        count(*sagas, "saga", "sagas"),
        output::bytes(*bytes)
    );
    if found.is_whole {
        return text + "the store is whole\n";
    }
    text + &problems_text(found) + FIX
}

const FIX: &str = "\
fix: rowhook store restore BACKUP, or without one rowhook store accept-loss; a single dead letter that can't be read can be discarded
";

fn problems_text(VerifiedView { problems, problem_count, .. }: &VerifiedView) -> String {
    let mut text = format!("{}:\n", count(*problem_count, "problem", "problems"));
    problems.iter().for_each(|problem| text += &format!("  {}\n", clean(problem)));
    if *problem_count > problems.len() as u64 {
        text += &format!("  and {} more\n", problem_count - problems.len() as u64);
    }
    text
}

async fn backup(args: BackupArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    // The daemon may run in another directory.
    let path = std::path::absolute(&args.file)?;
    let made = Reach::open(&args.data.resolve(file)).await?.backup(&path).await?;
    if args.json {
        output::print_json(&made)?;
    } else {
        let BackupView { file, dead_letters, place, bytes, .. } = &made;
        let place = place.as_ref().map_or(String::new(), |place| format!(", reading had got to {place}"));
        let text = format!(
            "{file}: {}, {}{place}\n",
            output::bytes(*bytes),
            count(*dead_letters, "dead letter", "dead letters")
        );
        output::print(&text)?;
    }
    Ok(CommandVerdict::Done)
}

async fn restore(args: RestoreArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let data = args.data.resolve(file);
    if Store::is_in(&data) && !args.yes {
        output::print(&format!(
            "the store in {} would be replaced, and kept in {}; to do it: rowhook store restore {} --yes\n",
            data.display(),
            data.join("set-aside").display(),
            args.file.display()
        ))?;
        return Ok(CommandVerdict::Problems);
    }
    let backup = args.file;
    let restored = blocking(&data, move |data| Store::restore(data, &backup)).await?;
    output::print(&restored_text(&restored))?;
    Ok(CommandVerdict::Done)
}

fn restored_text(restored: &Restored) -> String {
    let Restored { head, place_before, old_store } = restored;
    let at = rfc3339(head.made_at_us);
    let mut text =
        format!("restored: the backup of {at} with {}\n", count(head.letters, "dead letter", "dead letters"));
    let until = place_before.as_ref().map_or(String::new(), |place| format!(" (it had got to {place})"));
    text += &match &head.place {
        Some(place) => format!(
            "reading goes on after {place}{until}: what was delivered since is delivered once more, with the same keys\n"
        ),
        None => "it has no checkpoint: rowhook run begins as at a first start; say --start WHERE\n".to_string(),
    };
    text += "calls with `idempotent: false` for changes up to now become `unknown`, or are verified\n";
    if let Some(old) = old_store {
        text += &format!("the store that was there is in {}\n", old.display());
    }
    text
}

async fn compact(args: CompactArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let data = args.data.resolve(file);
    Reach::require_store(&data)?;
    let (before, after) = blocking(&data, Store::compact).await?;
    output::print(&format!("{} before, {} now\n", output::bytes(before), output::bytes(after)))?;
    Ok(CommandVerdict::Done)
}

async fn accept_loss(args: AcceptLossArgs, file: &File) -> anyhow::Result<CommandVerdict> {
    let data = args.data.resolve(file);
    Reach::require_store(&data)?;
    if !args.yes {
        let text = match blocking(&data, Store::open).await {
            Ok(store) => match VerifiedView::of(&store.verify().await?) {
                found if found.is_whole => "the store lacks nothing that is known\n".to_string(),
                found => problems_text(&found),
            },
            Err(error) => clean(&error.to_string()) + "\n",
        };
        output::print(&(text + "nothing is changed; to do it: rowhook store accept-loss --yes\n"))?;
        return Ok(CommandVerdict::Problems);
    }
    let loss = blocking(&data, Store::accept_loss).await?;
    output::print(&loss_text(&loss))?;
    Ok(CommandVerdict::Done)
}

fn loss_text(loss: &Loss) -> String {
    let Loss { problems, writes, letters, unreadable, letters_left, sagas, place, old_store } = loss;
    let mut text = String::new();
    problems.iter().for_each(|problem| text += &format!("damaged: {}\n", clean(problem)));
    text += &format!(
        "{} lost; {} left\n",
        count(*writes, "write", "writes"),
        count(*letters_left, "dead letter", "dead letters")
    );
    if !unreadable.is_empty() {
        text += &format!("dead letters that can't be read are dropped: {unreadable}\n");
    }
    if !letters.is_empty() {
        text += &format!("dead letters {} to {} are lost\n", letters.start, letters.end - 1);
    }
    if let Some(place) = place {
        text += &format!("the checkpoint is lost; reading had got to {place}: rowhook run --start {place}\n");
        text += "a rule that was behind that position leaves out what is between: give an earlier one if there was such a rule\n";
    }
    if *sagas > 0 {
        text += &format!("what was done of {} is not known any more\n", count(*sagas, "saga", "sagas"));
    }
    text += "calls whose record is lost are made again, with the same keys; those with `idempotent: false` become `unknown`, or are verified\n";
    if let Some(old) = old_store {
        text += &format!("the damaged store is in {}\n", old.display());
    }
    text
}

async fn blocking<T: Send + 'static>(
    data: &Path,
    work: impl FnOnce(&Path) -> Result<T, crate::store::Error> + Send + 'static,
) -> anyhow::Result<T> {
    let data = data.to_path_buf();
    let done = tokio::task::spawn_blocking(move || work(&data)).await;
    Ok(done.map_err(|_| anyhow!("the work on the store was aborted"))??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_said_with_the_way_on() {
        let place = Some("binlog.000003:4711".to_string());
        let loss = Loss { writes: 3, letters: 5..7, letters_left: 1, place, ..Loss::default() };
        let text = loss_text(&loss);
        assert!(text.contains("3 writes lost; 1 dead letter left"), "{text}");
        assert!(text.contains("dead letters 5 to 6 are lost"), "{text}");
        assert!(text.contains("rowhook run --start binlog.000003:4711"), "{text}");
    }
}
