//! Partial updates as MySQL 9.7 logged them, and ones that no server writes.

use super::*;

const BEFORE: &str =
    r#"{"":{"e":1},"$":2,"a":"x","n":1.10,"1a":5,"é":[1],"b c":{"d":[1,2,3,4]},"q\"k":1,"tab\tx":6,"back\\slash":1}"#;

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// A difference in the log's form; `value` is binary JSON.
fn diff(operation: u8, path: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![operation, path.len() as u8];
    bytes.extend(path.as_bytes());
    if operation < 2 {
        bytes.push(value.len() as u8);
        bytes.extend(value);
    }
    bytes
}

const TRUE: &[u8] = &[4, 1];

#[test]
fn what_the_server_logged_gives_the_document_that_it_stored() {
    // JSON_SET of eight places, JSON_REMOVE of two, JSON_SET of three that did not exist, each upon the one before.
    let set = "000c242e22622063222e645b315d030514000008242e22715c226b22030502000006242e22222e6503050300000f242e226261636b5c5c736c61736822030504000007242ec3a95b305d030505000003242e24030506000006242e2231612203050700000a242e227461625c74782203050800";
    let removed = "020c242e22622063222e645b305d0203242e61";
    let added = "010d242e22622063222e645b31305d050c036170700105242e6e65770a0ff6070b02800000010a0104242e6e321700010016000b0001000f0c007a0b0800000000a0000000";
    let after_set = r#"{"":{"e":3},"$":6,"a":"x","n":1.10,"1a":7,"é":[5],"b c":{"d":[1,20,3,4]},"q\"k":2,"tab\tx":8,"back\\slash":4}"#;
    let after_removed =
        r#"{"":{"e":3},"$":6,"n":1.10,"1a":7,"é":[5],"b c":{"d":[20,3,4]},"q\"k":2,"tab\tx":8,"back\\slash":4}"#;
    let after_added = r#"{"":{"e":3},"$":6,"n":1.10,"1a":7,"n2":{"z":"10:00:00.000000"},"é":[5],"b c":{"d":[20,3,4,"app"]},"new":1.10,"q\"k":2,"tab\tx":8,"back\\slash":4}"#;
    let mut document = BEFORE.to_string();
    for (diffs, expected) in [(set, after_set), (removed, after_removed), (added, after_added), ("", after_added)] {
        document = apply(&document, &unhex(diffs)).expect("a document");
        assert_eq!(document, expected);
    }
}

#[test]
fn later_differences_see_what_earlier_ones_did() {
    let (empty_array, array) = ([2, 0, 0, 4, 0], [2, 1, 0, 7, 0, 4, 2, 0]);
    let diffs = [
        diff(1, "$.x", &empty_array),
        diff(1, "$.x[0]", TRUE),
        diff(1, "$.x[9]", &array),
        diff(0, "$.x[1][0]", &[5, 7, 0]),
        diff(2, "$.x[0]", &[]),
        diff(1, "$.x[0]", TRUE),
    ];
    assert_eq!(apply("{}", &diffs.concat()).as_deref(), Ok(r#"{"x":[true,[7]]}"#));
}

#[test]
fn places_may_be_counted_from_the_end() {
    for (diff, expected) in [
        (diff(0, "$[last]", TRUE), "[1,2,true]"),
        (diff(0, "$[last-2]", TRUE), "[true,2,3]"),
        (diff(2, "$[last-1]", &[]), "[1,3]"),
        (diff(1, "$[last-1]", TRUE), "[1,true,2,3]"),
        (diff(1, "$[last-7]", TRUE), "[true,1,2,3]"),
        (diff(1, "$[7]", TRUE), "[1,2,3,true]"),
    ] {
        assert_eq!(apply("[1,2,3]", &diff).as_deref(), Ok(expected));
    }
    assert_eq!(apply("[]", &diff(1, "$[last]", TRUE)).as_deref(), Ok("[true]"));
}

#[test]
fn what_is_not_on_the_path_stays_as_it_is() {
    let exact = r#"[123456789012345678901234567890.10,1e300,{"k":-0.0}]"#;
    assert_eq!(
        apply(exact, &diff(1, "$[2].l", TRUE)).as_deref(),
        Ok(r#"[123456789012345678901234567890.10,1e300,{"k":-0.0,"l":true}]"#)
    );
}

#[test]
fn a_difference_that_does_not_fit_is_a_fault() {
    for diffs in [
        diff(0, "$.no", TRUE),
        diff(0, "$.a.b", TRUE),
        diff(0, "$[0]", TRUE),
        diff(0, "$.l[2]", TRUE),
        diff(0, "$", TRUE),
        diff(0, "$.l[last-2]", TRUE),
        diff(2, "$.l[last-2]", &[]),
        diff(1, "$", TRUE),
        diff(1, "$.a", TRUE),
        diff(1, "$.a[0]", TRUE),
        diff(1, "$.l.a", TRUE),
        diff(1, "$.no.b", TRUE),
        diff(2, "$", &[]),
        diff(2, "$.no", &[]),
        diff(2, "$.l[2]", &[]),
        diff(3, "$.a", TRUE),
        diff(0, "$.a", &[]),
        diff(0, "$.*", TRUE),
        diff(0, "$.a", &[99]),
    ] {
        apply(r#"{"a":1,"l":[1,2]}"#, &diffs).expect_err(&format!("{diffs:?}"));
    }
}

#[test]
fn differences_cut_anywhere_are_a_fault_and_not_a_panic() {
    let diffs = diff(1, r#"$."b c""#, &[0x0c, 1, b'x']);
    apply("{}", &diffs).expect("a document");
    for length in 1..diffs.len() {
        apply("{}", &diffs[..length]).expect_err("cut");
    }
}

const JSON: ColumnKind = ColumnKind::Json { length_bytes: 4 };
const INT: ColumnKind = ColumnKind::Int { bytes: 4, unsigned: false };

#[test]
fn the_bitmap_counts_all_json_columns_and_nothing_else() {
    let kinds = [JSON, INT, JSON, JSON];
    // Two options with a NULL bitmap behind them: partial with the bits of the first and third JSON column, and not.
    for (image, expected) in [
        (&[1, 0b101, 0xee][..], vec![true, false, false, true]),
        (&[1, 0b010, 0xee], vec![false, false, true, false]),
        (&[0, 0xee], vec![false; 4]),
    ] {
        let mut bytes = Bytes(image);
        assert_eq!(partial_columns(&mut bytes, &kinds), Ok(expected));
        assert_eq!(bytes.0, [0xee]);
    }
    let ten = vec![JSON; 10];
    let mut bytes = Bytes(&[1, 0, 0b10]);
    assert_eq!(partial_columns(&mut bytes, &ten).map(|partial| partial[9]), Ok(true));
    for image in [&[][..], &[1], &[2, 0], &[3, 0], &[0xfc, 1]] {
        partial_columns(&mut Bytes(image), &kinds).expect_err("no row");
    }
}

#[test]
fn a_partial_value_is_absent_without_the_document_before() {
    let diffs = diff(1, "$.a", TRUE);
    let image = [&(diffs.len() as u32).to_le_bytes()[..], &diffs, &[0xee]].concat();
    let before = Cell::Value(Value::Json("{}".into()));
    let mut bytes = Bytes(&image);
    assert_eq!(cell(4, &before, &mut bytes), Ok(Cell::Value(Value::Json(r#"{"a":true}"#.into()))));
    assert_eq!(bytes.0, [0xee]);
    let mut bytes = Bytes(&image[..]);
    assert_eq!((cell(4, &Cell::Absent, &mut bytes), bytes.0), (Ok(Cell::Absent), &[0xee][..]));
    cell(4, &Cell::Value(Value::Null), &mut Bytes(&image)).expect_err("no document");
    cell(4, &before, &mut Bytes(&image[..5])).expect_err("cut");
}

proptest::proptest! {
    #[test]
    fn no_bytes_whatever_make_it_panic(
        diffs in proptest::collection::vec(proptest::sample::select(&b"\x00\x01\x02\x03\x04\x05$.[]\"\\0a*"[..]), 0..60),
    ) {
        let _ = apply(BEFORE, &diffs);
        let _ = apply("[[1,2],[]]", &diffs);
        let _ = partial_columns(&mut Bytes(&diffs), &[JSON, INT]);
    }
}
