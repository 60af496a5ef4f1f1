//! Spatial values as GeoJSON.
//!
//! In: the bytes of a spatial column: the SRID in four bytes, little-endian, then WKB (OGC Simple Features, 06-103r4,
//! section 8) with X before Y, as the server stores it whatever the axis order of the SRS. Out: the text of `ST_AsGeoJSON(g)`:
//! longitude before latitude; with an SRID other than 0 and 4326, that of `ST_AsGeoJSON(g, …, 2)`, which names it. Counts come
//! from outside: they are checked against the bytes that are left before anything is built (promise 7).

use std::fmt::Write as _;

use super::Fault;
use super::bytes::{Bytes, Truncated};

/// MySQL refuses JSON documents that nest deeper than 100 levels, also those that ST_AsGeoJSON makes
/// (`JSON_DOCUMENT_MAX_DEPTH`); a collection in a collection takes two of them.
const LEVELS_MAX: usize = 100;

/// GeoJSON's own reference system (RFC 7946, section 4), so that it need not be named.
const WGS_84: u64 = 4326;

/// The smallest element of a list, a point without a header, has two coordinates of eight bytes.
const POINT_BYTES: usize = 16;
/// Byte order and type.
const HEADER_BYTES: usize = 5;

/// The value as GeoJSON text.
pub fn geojson(value: &[u8]) -> Result<String, Fault> {
    let mut bytes = Bytes(value);
    let srid = bytes.le(4)?;
    let mut out = String::with_capacity(value.len());
    out.push('{');
    if srid != 0 && srid != WGS_84 {
        push(&mut out, format_args!(r#""crs":{{"type":"name","properties":{{"name":"EPSG:{srid}"}}}},"#));
    }
    members(&mut bytes, LEVELS_MAX - 1, &mut out)?;
    out.push('}');
    if bytes.is_empty() { Ok(out) } else { Err(damaged("bytes after its end")) }
}

fn damaged(what: &str) -> Fault {
    Fault::new(format!("a spatial value with {what}"), "")
}

fn push(out: &mut String, text: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{text}");
}

/// What a geometry's list holds; the WKB type codes are 1 to 7 in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Point,
    LineString,
    Polygon,
    MultiPoint,
    MultiLineString,
    MultiPolygon,
    Collection,
}

impl Shape {
    fn of(code: u64) -> Result<Shape, Fault> {
        Ok(match code {
            1 => Shape::Point,
            2 => Shape::LineString,
            3 => Shape::Polygon,
            4 => Shape::MultiPoint,
            5 => Shape::MultiLineString,
            6 => Shape::MultiPolygon,
            7 => Shape::Collection,
            other => return Err(damaged(&format!("geometry type {other}"))),
        })
    }

    /// The name that GeoJSON has for it, and the levels of JSON that its arrays take.
    fn in_json(self) -> (&'static str, usize) {
        match self {
            Shape::Point => ("Point", 1),
            Shape::LineString => ("LineString", 2),
            Shape::Polygon => ("Polygon", 3),
            Shape::MultiPoint => ("MultiPoint", 2),
            Shape::MultiLineString => ("MultiLineString", 3),
            Shape::MultiPolygon => ("MultiPolygon", 4),
            Shape::Collection => ("GeometryCollection", 1),
        }
    }
}

/// Numbers in the byte order that the header before them says.
#[derive(Debug, Clone, Copy)]
struct Order {
    is_little: bool,
}

impl Order {
    fn number(self, bytes: &mut Bytes<'_>, count: usize) -> Result<u64, Truncated> {
        if self.is_little { bytes.le(count) } else { bytes.be(count) }
    }

    /// How many elements follow, each of at least `element_bytes`.
    fn count(self, bytes: &mut Bytes<'_>, element_bytes: usize) -> Result<usize, Fault> {
        let count = self.number(bytes, 4)? as usize;
        if count > bytes.0.len() / element_bytes { Err(Truncated.into()) } else { Ok(count) }
    }
}

fn header(bytes: &mut Bytes<'_>) -> Result<(Order, Shape), Fault> {
    let order = match bytes.u8()? {
        0 => Order { is_little: false },
        1 => Order { is_little: true },
        other => return Err(damaged(&format!("byte order {other}"))),
    };
    let code = order.number(bytes, 4)?;
    Ok((order, Shape::of(code)?))
}

/// The members `type` and `coordinates` or `geometries`; `levels` is how many more the document may nest.
fn members(bytes: &mut Bytes<'_>, levels: usize, out: &mut String) -> Result<(), Fault> {
    let (order, shape) = header(bytes)?;
    let (name, needed) = shape.in_json();
    if levels < needed {
        let fix = "leave this table out of the rules; ST_AsGeoJSON refuses this value too";
        return Err(Fault::new(format!("a spatial value that nests deeper than {LEVELS_MAX} levels"), fix));
    }
    push(out, format_args!(r#""type":"{name}","#));
    if shape == Shape::Collection {
        out.push_str(r#""geometries":"#);
        let count = order.count(bytes, HEADER_BYTES + 4)?;
        list(count, out, |out| {
            out.push('{');
            members(bytes, levels.saturating_sub(2), out)?;
            out.push('}');
            Ok(())
        })
    } else {
        out.push_str(r#""coordinates":"#);
        coordinates(bytes, order, shape, out)
    }
}

fn coordinates(bytes: &mut Bytes<'_>, order: Order, shape: Shape, out: &mut String) -> Result<(), Fault> {
    match shape {
        Shape::Point => point(bytes, order, out),
        Shape::LineString => points(bytes, order, out),
        Shape::Polygon => {
            let count = some(order.count(bytes, 4)?)?;
            list(count, out, |out| points(bytes, order, out))
        }
        Shape::MultiPoint => parts(bytes, order, Shape::Point, out),
        Shape::MultiLineString => parts(bytes, order, Shape::LineString, out),
        Shape::MultiPolygon => parts(bytes, order, Shape::Polygon, out),
        Shape::Collection => Err(damaged("a collection among coordinates")),
    }
}

/// The parts of a MULTI…, each with a header of its own.
fn parts(bytes: &mut Bytes<'_>, order: Order, part: Shape, out: &mut String) -> Result<(), Fault> {
    let count = some(order.count(bytes, HEADER_BYTES)?)?;
    list(count, out, |out| match header(bytes)? {
        (order, shape) if shape == part => coordinates(bytes, order, part, out),
        (_, other) => Err(damaged(&format!("a {other:?} among parts that are each a {part:?}"))),
    })
}

fn points(bytes: &mut Bytes<'_>, order: Order, out: &mut String) -> Result<(), Fault> {
    let count = some(order.count(bytes, POINT_BYTES)?)?;
    list(count, out, |out| point(bytes, order, out))
}

fn point(bytes: &mut Bytes<'_>, order: Order, out: &mut String) -> Result<(), Fault> {
    list(2, out, |out| {
        let number = f64::from_bits(order.number(bytes, 8)?);
        if !number.is_finite() {
            return Err(Fault::new("a spatial value with a coordinate that is no number", "update the row"));
        }
        // Shortest text that reads back the same, with a fraction, as the server prints it.
        push(out, format_args!("{number:?}"));
        Ok(())
    })
}

/// MySQL's only empty geometry is the empty collection.
fn some(count: usize) -> Result<usize, Fault> {
    if count == 0 { Err(damaged("an empty list of points")) } else { Ok(count) }
}

fn list(
    count: usize,
    out: &mut String,
    mut element: impl FnMut(&mut String) -> Result<(), Fault>,
) -> Result<(), Fault> {
    out.push('[');
    for index in 0..count {
        if index > 0 {
            out.push(',');
        }
        element(out)?;
    }
    out.push(']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: [u8; 21] = [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    fn collections(depth: usize, inner: &[u8]) -> Vec<u8> {
        let mut value = vec![0; 4];
        for _ in 0..depth {
            value.extend([1, 7, 0, 0, 0, 1, 0, 0, 0]);
        }
        value.extend(inner);
        value
    }

    #[test]
    fn both_byte_orders_are_read() {
        let big = [&[0, 0, 0, 0, 0, 0, 0, 0, 1][..], &1_f64.to_be_bytes(), &(-2.5_f64).to_be_bytes()].concat();
        let little = [&[0, 0, 0, 0, 1, 1, 0, 0, 0][..], &1_f64.to_le_bytes(), &(-2.5_f64).to_le_bytes()].concat();
        for value in [big, little] {
            assert_eq!(geojson(&value).expect("a point"), r#"{"type":"Point","coordinates":[1.0,-2.5]}"#);
        }
    }

    #[test]
    fn a_reference_system_is_named_unless_geojson_means_it() {
        for (srid, start) in [
            (0_u32, r#"{"type""#),
            (4326, r#"{"type""#),
            (3857, r#"{"crs":{"type":"name","properties":{"name":"EPSG:3857"}},"type""#),
        ] {
            let text = geojson(&[&srid.to_le_bytes()[..], &ORIGIN].concat()).expect("a point");
            assert!(text.starts_with(start), "{text}");
        }
    }

    #[test]
    fn nesting_ends_where_the_server_ends_it() {
        let empty = [1, 7, 0, 0, 0, 0, 0, 0, 0];
        let line = [&[1, 2, 0, 0, 0, 1, 0, 0, 0][..], &[0; 16]].concat();
        for (inner, depth_max) in [(&ORIGIN[..], 49), (&empty, 49), (&line, 48)] {
            let deepest = geojson(&collections(depth_max, inner)).expect("a collection");
            serde_json::from_str::<serde_json::Value>(&deepest).expect("JSON");
            let fault = geojson(&collections(depth_max + 1, inner)).expect_err("too deep");
            assert!(!fault.fix.is_empty(), "{fault:?}");
            geojson(&collections(1_000_000, inner)).expect_err("far too deep");
        }
    }

    #[test]
    fn a_value_that_no_server_writes_is_a_fault() {
        let not_a_number = [&[0, 0, 0, 0, 1, 1, 0, 0, 0][..], &f64::NAN.to_le_bytes(), &[0; 8]].concat();
        let infinite = [&[0, 0, 0, 0, 1, 1, 0, 0, 0][..], &[0; 8], &f64::INFINITY.to_le_bytes()].concat();
        let longer = [&[0; 4][..], &ORIGIN, &[0]].concat();
        let mixed = [&[0, 0, 0, 0, 1, 5, 0, 0, 0, 1, 0, 0, 0][..], &ORIGIN].concat();
        let empty_line = vec![0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0];
        let huge_count = vec![0, 0, 0, 0, 1, 2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        let with_z = [&[0, 0, 0, 0, 1, 0xe9, 3, 0, 0][..], &[0; 24]].concat();
        let with_wrong_order = [&[0; 4][..], &[2], &ORIGIN[1..]].concat();
        for value in [not_a_number, infinite, longer, mixed, empty_line, huge_count, with_z, with_wrong_order] {
            geojson(&value).expect_err("no geometry");
        }
    }

    #[test]
    fn a_value_cut_anywhere_is_a_fault_and_not_a_panic() {
        let value = collections(3, &[&[1, 4, 0, 0, 0, 1, 0, 0, 0][..], &ORIGIN].concat());
        geojson(&value).expect("a geometry");
        for length in 0..value.len() {
            assert!(geojson(&value[..length]).is_err(), "{length}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_whatever_make_the_reader_panic(
            value in proptest::collection::vec(proptest::sample::select(&[0, 1, 2, 3, 4, 5, 6, 7, 0x40, 0xff][..]), 0..120),
        ) {
            let _ = geojson(&value);
        }
    }
}
