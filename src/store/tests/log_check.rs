//! Damage to what sled reads again after a crash and the counters do not cover: low-water marks and the ledger.

use std::os::unix::fs::FileExt as _;

use super::super::log_check::first_damage;
use super::damage::copy_of;
use super::damage::random::Random;
use super::files::LOG_FILE;
use super::*;

const SEGMENT_BYTES: u64 = 512 << 10;

/// What a crash leaves after many writes without a dead letter. Sled reuses what it does not need any more, many times.
struct Crashed {
    files: TempDir,
    log: PathBuf,
    /// Up to where sled's snapshot contains all.
    from: u64,
    /// The file's segments: the log position of each.
    places: Vec<u64>,
    /// Up to where all was durable when the newest segment was begun.
    durable: u64,
}

impl Crashed {
    async fn new() -> Crashed {
        let directory = directory();
        drop(open(directory.path()));
        let store = open(directory.path());
        for number in 1..=1500 {
            let ledger_add = vec![entry(number)];
            let ledger_remove = vec![id(number.saturating_sub(100))];
            let write = Write { checkpoint: Some(set(number)), ledger_add, ledger_remove, ..Write::default() };
            store.write(write).await.expect("written");
        }
        let files = copy_of(directory.path());
        let log = files.path().join(LOG_FILE);
        let content = fs::read(&log).expect("a log");
        let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("eight")) ^ i64::MAX;
        let headers =
            content.chunks(SEGMENT_BYTES as usize).map(|chunk| (number(&chunk[4..12]), number(&chunk[12..20])));
        let (places, durable): (Vec<i64>, Vec<i64>) = headers.unzip();
        let durable = durable.into_iter().max().expect("a segment") as u64;
        let places: Vec<u64> = places.into_iter().map(|place| place as u64).collect();
        let from = kept::reaches(files.path()).expect("readable");
        assert!(places.iter().filter(|place| **place + SEGMENT_BYTES < durable).count() > 2, "{places:?} {durable}");
        Crashed { files, log, from, places, durable }
    }

    fn place_of(&self, at: u64) -> u64 {
        self.places[(at / SEGMENT_BYTES) as usize] + at % SEGMENT_BYTES
    }

    fn first_damage(&self) -> Option<u64> {
        first_damage(&self.log, self.from).expect("readable")
    }
}

fn flip(log: &Path, at: u64, bit: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(log).expect("a log");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("there");
    file.write_all_at(&[byte[0] ^ 1 << bit], at).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_flipped_bit_of_durable_log_is_found_before_sled_reads_it() {
    let crashed = Crashed::new().await;
    assert_eq!(crashed.first_damage(), None);
    let mut random = Random::new();
    let length = fs::metadata(&crashed.log).expect("there").len();
    let at_random = (0..300).map(|_| random.below(length));
    let old = crashed.places.iter().position(|place| place + SEGMENT_BYTES < crashed.durable).expect("an old one");
    let of_a_header = (0..20).map(|byte| old as u64 * SEGMENT_BYTES + byte);
    for at in at_random.chain(of_a_header) {
        flip(&crashed.log, at, at % 8);
        let found = crashed.first_damage();
        // The rest after the last message of a segment is never read.
        let counts = crashed.place_of(at) < crashed.durable && SEGMENT_BYTES - at % SEGMENT_BYTES > 32;
        let is_found = found.is_some_and(|found| found <= at && at - found < SEGMENT_BYTES);
        assert!(is_found || !counts, "{at}: {found:?}");
        flip(&crashed.log, at, at % 8);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_marks_are_damaged_is_refused_and_stays_as_it_was() {
    let crashed = Crashed::new().await;
    let old = crashed.places.iter().position(|place| place + SEGMENT_BYTES < crashed.durable).expect("an old one");
    flip(&crashed.log, old as u64 * SEGMENT_BYTES + SEGMENT_BYTES / 2, 3);
    let before = fs::read(&crashed.log).expect("a log");
    let error = Store::open(crashed.files.path()).expect_err("damaged").to_string();
    assert!(error.contains("is damaged at byte ") && error.contains("accept-loss"), "{error}");
    assert_eq!(fs::read(&crashed.log).expect("a log"), before);
    Store::accept_loss(crashed.files.path()).expect("accepted");
    drop(open(crashed.files.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_tears_at_the_end_is_no_damage() {
    let crashed = Crashed::new().await;
    let mut content = fs::read(&crashed.log).expect("a log");
    // The message that ends there is whole.
    let torn = |at: &usize| crashed.place_of(*at as u64) > crashed.durable && at % SEGMENT_BYTES as usize >= 20;
    for at in (0..content.len()).filter(torn) {
        content[at] = 0;
    }
    fs::write(&crashed.log, content).expect("written");
    assert_eq!(crashed.first_damage(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_whose_second_half_is_reused_is_no_damage() {
    let crashed = Crashed::new().await;
    let mut content = fs::read(&crashed.log).expect("a log");
    let mut old_to_new: Vec<usize> = (0..crashed.places.len()).collect();
    old_to_new.sort_by_key(|segment| crashed.places[*segment]);
    let [old, newer] = [old_to_new[0], old_to_new[1]].map(|segment| segment * SEGMENT_BYTES as usize);
    let half = SEGMENT_BYTES as usize / 2;
    content.copy_within(newer + half..newer + half * 2, old + half);
    fs::write(&crashed.log, content).expect("written");
    assert_eq!(crashed.first_damage(), None);
}
