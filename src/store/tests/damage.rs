//! Damage to each file of a store in turn: it opens whole, or is repaired whole, or is refused with a true error. It never contains
//! less than was acknowledged, and is never taken for new.
//!
//! `ROWHOOK_DAMAGE_SAMPLES=2000 cargo test --lib damage -- --nocapture` tests so many samples; `ROWHOOK_SEED=…` tests the same
//! ones again.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use random::Random;

#[path = "../../../tests/support/random.rs"]
pub(super) mod random;

const SAMPLES: u64 = 160;

/// A store's files, and what it acknowledged.
struct Sample {
    name: String,
    files: TempDir,
    letters: Vec<u64>,
    checkpoint: u64,
}

/// A store that was written to and opened again several times. Dead letters are added and removed, so that sled moves
/// what is in its log.
async fn store_of(letters: u64, is_closed: bool) -> Sample {
    let directory = directory();
    let mut there = BTreeSet::new();
    let mut checkpoint = 0;
    for round in 0..3 {
        let store = open(directory.path());
        store.write(Write { paused: Some(paused()), ..Write::default() }).await.expect("written");
        for number in letters * round / 3 + 1..=letters * (round + 1) / 3 {
            checkpoint = number;
            let gone = if number % 3 == 0 { vec![] } else { vec![number - number % 3] };
            let gone: Vec<u64> = gone.into_iter().filter(|gone| there.remove(gone)).collect();
            let size = if number.is_multiple_of(50) { 60_000 } else { 300 };
            let write =
                Write { checkpoint: Some(set(number)), letters_remove: gone, ..add([sized_letter(number, size)]) };
            there.insert(number);
            store.write(write).await.expect("written");
        }
        if round == 2 && !is_closed {
            // As a crash leaves it.
            let files = copy_of(directory.path());
            let name = format!("{letters} letters, crashed");
            return Sample { name, files, letters: there.into_iter().collect(), checkpoint };
        }
    }
    let name = format!("{letters} letters, closed");
    Sample { name, files: directory, letters: there.into_iter().collect(), checkpoint }
}

/// What the operators of each store have paused.
fn paused() -> Vec<PausedRule> {
    vec![PausedRule { rule: "rule-1".into(), since_us: 3, why: "moving house".to_string() }]
}

pub(super) fn copy_of(directory: &Path) -> TempDir {
    let copy = self::directory();
    copy_all(directory, copy.path());
    copy
}

pub(super) fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        let copy = to.join(path.file_name().expect("a name"));
        if path.is_dir() { copy_all(&path, &copy) } else { fs::copy(&path, &copy).map(drop).expect("copied") }
    }
}

/// All files of a store, those in folders too, by their names within it.
fn files_of(directory: &Path, below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory.join(below)).expect("a directory") {
        let name = below.join(entry.expect("an entry").file_name());
        if directory.join(&name).is_dir() {
            found.extend(files_of(directory, &name));
        } else if name != Path::new("lock") {
            found.push(name);
        }
    }
    found.sort();
    found
}

/// Does something to one file, and says what.
fn damage(directory: &Path, file: &Path, others: &Path, random: &mut Random) -> String {
    let path = directory.join(file);
    let mut content = fs::read(&path).expect("a file");
    let length = content.len() as u64;
    let what = match random.below(8) {
        0 | 1 if length > 0 => {
            let (at, bit) = (random.below(length), random.below(8));
            content[at as usize] ^= 1 << bit;
            format!("bit {bit} of byte {at} of {length}")
        }
        2 if length > 0 => {
            let left = random.below(length);
            content.truncate(left as usize);
            format!("cut to {left} of {length} bytes")
        }
        3 => {
            content.clear();
            "emptied".to_string()
        }
        4 => {
            content.fill(0);
            "zeroed".to_string()
        }
        5 if length > 0 => {
            let begin = random.below(length);
            let end = (begin + 1 + random.below(8192)).min(length);
            content[begin as usize..end as usize].fill(0);
            format!("zeroes from {begin} to {end} of {length}")
        }
        6 => match fs::read(others.join(file)) {
            Ok(other) => {
                content = other;
                "that of another store".to_string()
            }
            Err(_) => {
                fs::remove_file(&path).expect("removed");
                return format!("{}: removed", file.display());
            }
        },
        _ => {
            fs::remove_file(&path).expect("removed");
            return format!("{}: removed", file.display());
        }
    };
    fs::write(&path, content).expect("written");
    format!("{}: {what}", file.display())
}

/// Of a store that was refused, what is left can be used, and all of it is true. What was removed last may be there again.
fn left(directory: &Path) -> Result<&'static str, String> {
    let loss = Store::accept_loss(directory).map_err(|error| format!("the loss is not accepted: {error}"))?;
    let store = Store::open(directory).map_err(|error| format!("refused after the loss: {error}"))?;
    let found = verify::all(&store.inner.trees, || {});
    if !found.is_whole() || found.letters != loss.letters_left {
        return Err(format!("after the loss {found:?}, {loss:?}"));
    }
    for number in numbers(&store) {
        match store.dead_letter(number) {
            Ok(Some(letter)) if letter.head.delivery_id == id(number) => {}
            other => return Err(format!("after the loss dead letter {number} is {other:?}")),
        }
    }
    Ok("refused, and used without what is lost")
}

/// What became of it: "whole", "named" where something can't be read and says so, or "refused".
fn outcome(sample: &Sample, directory: &Path) -> Result<&'static str, String> {
    let store = match Store::open(directory) {
        Ok(store) => store,
        Err(error) => {
            let text = error.to_string();
            let is_true = matches!(
                error,
                Error::Incomplete { .. }
                    | Error::Corrupt { .. }
                    | Error::Foreign { .. }
                    | Error::Record { .. }
                    | Error::Read { .. }
                    | Error::NewerFormat { .. }
            );
            // Refused again, and not as something that is new.
            let again = Store::open(directory).is_err();
            if !is_true || !again {
                return Err(format!("refused with {text}; again: {again}"));
            }
            return if matches!(error, Error::Incomplete { .. }) { left(directory) } else { Ok("refused") };
        }
    };
    let mut is_named = false;
    match store.saved() {
        Ok(saved) if saved.paused != paused() => return Err(format!("paused are {:?}", saved.paused)),
        Ok(saved) => match saved.checkpoint.map(|checkpoint| checkpoint.main) {
            Some(main) if main == resume(sample.checkpoint) => {}
            other => return Err(format!("the checkpoint is {:?}", other.map(|main| main.position.to_string()))),
        },
        Err(_) => is_named = true,
    }
    for number in &sample.letters {
        match store.dead_letter(*number) {
            Ok(Some(letter)) if letter.head.delivery_id == id(*number) => {}
            Ok(other) => return Err(format!("dead letter {number} is {other:?}")),
            Err(_) => is_named = true,
        }
    }
    match store.dead_letters(&Filter::default(), None, usize::MAX) {
        Ok(heads) if heads.iter().map(|head| head.number).eq(sample.letters.iter().copied()) => {}
        Ok(heads) if !is_named => return Err(format!("{} letters are listed", heads.len())),
        _ => is_named = true,
    }
    Ok(if is_named { "named" } else { "whole" })
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "the figures are for the person who asked for them")]
async fn no_damage_to_one_file_makes_a_store_smaller_or_new() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let samples = number("ROWHOOK_DAMAGE_SAMPLES").unwrap_or(SAMPLES);
    let mut random = number("ROWHOOK_SEED").map_or_else(Random::new, Random::seeded);
    let mut stores = Vec::new();
    for letters in [2, 40, 400, 1500] {
        for is_closed in [true, false] {
            stores.push(store_of(letters, is_closed).await);
        }
    }
    let other = store_of(60, true).await;
    let mut counts = std::collections::BTreeMap::new();
    let mut failures = Vec::new();
    for round in 0..samples {
        let sample = &stores[random.below(stores.len() as u64) as usize];
        let copy = copy_of(sample.files.path());
        let files = files_of(copy.path(), Path::new(""));
        let file = &files[(round % files.len() as u64) as usize];
        let what = damage(copy.path(), file, other.files.path(), &mut random);
        let result = catch_unwind(AssertUnwindSafe(|| outcome(sample, copy.path())));
        let result = result.unwrap_or_else(|_| Err("a panic".to_string()));
        match result {
            Ok(kind) => {
                let file = file.to_string_lossy().split('.').next().unwrap_or_default().to_string();
                *counts.entry(format!("{file} {kind}")).or_insert(0) += 1;
            }
            Err(problem) => failures.push(format!("{}: {what}: {problem}", sample.name)),
        }
    }
    println!("{samples} samples: {counts:#?}");
    assert!(failures.is_empty(), "{} of {samples}: {failures:#?}", failures.len());
}

/// The log itself has all that counts.
#[tokio::test(flavor = "multi_thread")]
async fn each_file_beside_the_log_may_be_lost_alone() {
    let sample = store_of(40, true).await;
    let other = store_of(60, true).await;
    let names = files_of(sample.files.path(), Path::new(""));
    let beside: Vec<&PathBuf> = names.iter().filter(|name| *name != Path::new(files::LOG_FILE)).collect();
    assert!(beside.iter().any(|name| *name == Path::new(tally::FILE)), "{beside:?}");
    for name in beside {
        let whole = fs::read(sample.files.path().join(name)).expect("a file");
        let others = fs::read(other.files.path().join(name)).ok();
        let contents =
            [None, Some(Vec::new()), Some(vec![0; whole.len()]), Some(whole[..whole.len() / 2].to_vec()), others];
        for (nth, content) in contents.into_iter().enumerate() {
            let copy = copy_of(sample.files.path());
            let path = copy.path().join(name);
            match content {
                Some(content) => fs::write(path, content).expect("written"),
                None => fs::remove_file(path).expect("removed"),
            }
            outcome(&sample, copy.path())
                .unwrap_or_else(|problem| panic!("{}, damage {nth}: {problem}", name.display()));
        }
    }
}
