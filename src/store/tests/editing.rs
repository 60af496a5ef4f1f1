//! Bodies of dead letters that were edited by hand.

use bytes::Bytes;

use super::*;

/// On top of the newest edit.
fn edit(store: &Store, number: u64, body: Option<&[u8]>) -> Write {
    let base = store.open_head(number).expect("readable").map_or(0, |head| head.newest_edit());
    edit_of(base, number, body)
}

fn edit_of(base: u32, number: u64, body: Option<&[u8]>) -> Write {
    let new = NewBody { number, body: body.map(Bytes::copy_from_slice), at_us: 50, base };
    Write { letters_edit: vec![new], ..Write::default() }
}

/// The number of the newest edit, whether it is reverted, and the body.
fn edited(store: &Store, number: u64) -> (Option<(u32, bool)>, Option<Bytes>) {
    let letter = store.dead_letter(number).expect("readable").expect("there");
    (letter.head.edit.map(|edit| (edit.number, edit.is_reverted)), letter.body)
}

#[tokio::test]
async fn each_edit_has_the_next_number_and_its_body_also_after_one_was_reverted() {
    let directory = directory();
    let store = open(directory.path());
    store.write(add([letter(1), letter(2)])).await.expect("written");
    assert_eq!(edited(&store, 1), (None, None));
    // Of one chunk and of many, the longer one first: nothing of it is left.
    let long = vec![b'x'; crate::template::TEXT_BYTES_MAX];
    let empty: &[u8] = b"";
    for (number, body) in [(1, &long[..]), (2, b"{\"a\": 1}"), (3, empty)] {
        assert_eq!(store.write(edit(&store, 1, Some(body))).await.expect("written").edited, 1);
        assert_eq!(edited(&store, 1), (Some((number, false)), Some(Bytes::copy_from_slice(body))));
    }
    assert_eq!(walk::all(&store.inner.trees.bodies).count(), 1);
    assert_eq!(store.write(edit(&store, 1, None)).await.expect("written").edited, 1);
    assert_eq!((edited(&store, 1), walk::all(&store.inner.trees.bodies).count()), ((Some((3, true)), None), 0));
    assert_eq!(store.write(edit(&store, 1, Some(b"again"))).await.expect("written").edited, 1);
    assert_eq!((edited(&store, 1).0, edited(&store, 2)), (Some((4, false)), (None, None)));
    // An edit of what was there before an edit changes nothing.
    for (base, body) in [(3, Some(&b"late"[..])), (0, Some(b"late")), (3, None)] {
        assert_eq!(store.write(edit_of(base, 1, body)).await.expect("written").edited, 0);
    }
    for of_nothing in [edit(&store, 9, Some(b"x")), edit(&store, 9, None)] {
        assert_eq!(store.write(of_nothing).await.expect("written").edited, 0);
    }
    drop(store);
    assert_eq!(edited(&open(directory.path()), 1), (Some((4, false)), Some("again".into())));
}

#[tokio::test]
async fn an_edit_outlives_a_failed_replay_and_goes_with_its_letter() {
    let directory = directory();
    let store = open(directory.path());
    store.write(add([letter(1), letter(2)])).await.expect("written");
    for number in [1, 2] {
        store.write(edit(&store, number, Some(b"{}"))).await.expect("written");
    }
    let failed = FailedReplay { number: 1, failure: failure(Reason::Refused), replayed_at_us: 1 };
    store.write(Write { letters_replayed: vec![failed], ..Write::default() }).await.expect("written");
    assert_eq!(edited(&store, 1), (Some((1, false)), Some("{}".into())));

    // One that is resolved keeps it, and gets no other.
    let resolution = Resolution { number: 2, note: "by hand".into(), at_us: 60 };
    store.write(Write { letters_resolve: vec![resolution], ..Write::default() }).await.expect("written");
    for body in [Some(&b"x"[..]), None] {
        assert_eq!(store.write(edit(&store, 2, body)).await.expect("written").edited, 0);
    }
    assert_eq!(edited(&store, 2), (Some((1, false)), Some("{}".into())));
    store.write(remove([1, 2])).await.expect("written");
    assert_eq!(walk::all(&store.inner.trees.bodies).count(), 0);
}

#[tokio::test]
async fn an_edit_is_in_backups_and_in_what_is_left_of_a_damaged_store() {
    let directory = directory();
    let (data, file) = (directory.path().join("data"), directory.path().join("backup"));
    let body = vec![b'y'; 3 * chunks::CHUNK_BYTES_MAX];
    let expected = (Some((1, false)), Some(Bytes::from(body.clone())));
    {
        let store = open(&data);
        store.write(add([letter(1), letter(2)])).await.expect("written");
        store.write(edit(&store, 1, Some(&body))).await.expect("written");
        store.backup(file.clone()).await.expect("made");
        // The other one is damaged.
        let first_chunk = chunks::key(&2_u64.to_be_bytes(), 0);
        store.inner.trees.heads.insert(&first_chunk, &b"\x01damaged beyond its frame"[..]).expect("inserted");
    }
    let loss = Store::accept_loss(&data).expect("accepted");
    assert_eq!((loss.letters_left, loss.unreadable.to_string().as_str()), (1, "2"));
    let store = open(&data);
    assert_eq!(edited(&store, 1), expected);
    drop(store);
    Store::compact(&data).expect("compacted");
    assert_eq!(edited(&open(&data), 1), expected);
    Store::restore(&data, &file).expect("restored");
    let store = open(&data);
    assert_eq!(edited(&store, 1), expected);
    assert!(store.verify().await.expect("read").is_whole());
}

#[tokio::test]
async fn what_a_letter_takes_is_its_head_its_row_and_its_edited_body() {
    let directory = directory();
    let store = open(directory.path());
    store.write(add([letter(1), sized_letter(2, 100_000)])).await.expect("written");
    let bytes = |number| store.letter_bytes(number).expect("readable");
    let (short, long) = (bytes(1), bytes(2));
    assert!((100..2_000).contains(&short) && (99_000..102_000).contains(&long), "{short} {long}");
    store.write(edit(&store, 1, Some(&[b'x'; 50_000]))).await.expect("written");
    assert!((50_000..50_100).contains(&(bytes(1) - short)), "{}", bytes(1));
    assert_eq!(bytes(9), 0);
}

#[tokio::test]
async fn a_body_that_is_missing_is_damage_and_never_that_of_another_edit() {
    let directory = directory();
    let store = open(directory.path());
    store.write(add([letter(1)])).await.expect("written");
    store.write(edit(&store, 1, Some(b"first"))).await.expect("written");
    let chunk = chunks::key(&1_u64.to_be_bytes(), 0);
    let first = walk::get(&store.inner.trees.bodies, &chunk).expect("read").expect("there");
    store.write(edit(&store, 1, Some(b"second"))).await.expect("written");
    store.inner.trees.bodies.insert(&chunk, first).expect("inserted");
    for _ in 0..2 {
        let error = store.dead_letter(1).expect_err("damaged").to_string();
        assert!(error.contains("dead letter 1") && error.contains("the body of its edit 2 is missing"), "{error}");
        let verified = store.verify().await.expect("read");
        assert_eq!((verified.unreadable.to_string().as_str(), verified.is_whole()), ("1", false));
        store.inner.trees.bodies.remove(&chunk).expect("removed");
    }
    // It can still be edited, reverted and discarded.
    store.write(edit(&store, 1, Some(b"third"))).await.expect("written");
    assert_eq!(edited(&store, 1), (Some((3, false)), Some("third".into())));
}

#[tokio::test]
async fn a_store_of_the_format_before_goes_on_and_is_refused_by_the_release_before() {
    let directory = directory();
    let format = directory.path().join("format");
    open(directory.path()).write(add([letter(1)])).await.expect("written");
    fs::write(&format, "rowhook store format 5\n").expect("written");
    let store = open(directory.path());
    assert_eq!(edited(&store, 1), (None, None));
    store.write(edit(&store, 1, Some(b"{}"))).await.expect("written");
    assert_eq!(edited(&store, 1).0, Some((1, false)));
    assert_eq!(fs::read_to_string(format).expect("there"), "rowhook store format 8\n");
}
