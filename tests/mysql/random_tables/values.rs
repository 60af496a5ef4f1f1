//! Random values as SQL literals, and the server's answers about them as JSON.
//!
//! In: a seeded source of numbers and what a type's values are like. Out: SQL text; limits and zeros come up often, because
//! that is where decoders go wrong. The same seed gives the same text on every machine.

use std::fmt::Write as _;

use super::types::{Answer, Values};

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is at least 1.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    fn digits(&mut self, count: u32) -> String {
        let all = *self.pick(&[None, None, None, Some('0'), Some('9')]);
        (0..count).map(|_| all.unwrap_or_else(|| char::from(b'0' + self.below(10) as u8))).collect()
    }
}

/// A value as an SQL literal; one in eight is NULL.
pub fn literal(random: &mut Random, values: Values) -> String {
    if random.one_in(8) {
        return "NULL".to_string();
    }
    match values {
        Values::Int(least, most) => int(random, least, most).to_string(),
        Values::Decimal(precision, scale) => decimal(random, precision, scale),
        Values::Float => {
            let number = f32::from_bits(random.next() as u32);
            if number.is_finite() { format!("{number:e}") } else { random.pick(&["0e0", "-0e0", "0.1e0"]).to_string() }
        }
        Values::Double => {
            let number = f64::from_bits(random.next());
            if number.is_finite() { format!("{number:e}") } else { random.pick(&["0e0", "-0e0", "0.1e0"]).to_string() }
        }
        Values::Bits(bits) => {
            let all = u64::MAX >> (64 - bits);
            (*random.pick(&[0, 1, all, 1 << (bits - 1)]) ^ (random.next() & all & 0u64.wrapping_sub(random.next() & 1)))
                .to_string()
        }
        Values::Text(letters, most) => hex("_utf8mb4 ", text(random, letters, most).as_bytes()),
        Values::Bytes(most) => bytes(random, most),
        Values::OneOf(literals) => random.pick(literals).to_string(),
        Values::Date => format!("'{}'", date(random)),
        Values::DateTime(digits) => format!("'{} {}{}'", date(random), clock(random), fraction(random, digits)),
        Values::Timestamp(digits) => {
            let seconds = int(random, 1, i128::from(i32::MAX));
            format!("FROM_UNIXTIME({seconds}) + INTERVAL 0{} SECOND", fraction(random, digits))
        }
        Values::Time(digits) => {
            let sign = random.pick(&["", "-"]);
            let hours = int(random, 0, 837);
            let clock = clock(random);
            format!("'{sign}{hours:02}{}{}'", &clock[2..], fraction(random, digits))
        }
        Values::Json => format!("'{}'", json(random, 0).replace('\\', "\\\\").replace('\'', "''")),
        Values::Vector(length) => {
            let numbers: Vec<String> = (0..length).map(|_| vector_part(random)).collect();
            format!("STRING_TO_VECTOR('[{}]')", numbers.join(","))
        }
        Values::Geometry(srid) => format!("ST_GeomFromText('{}', {srid})", geometry(random, 0)),
    }
}

/// A shape as text.
fn geometry(random: &mut Random, depth: usize) -> String {
    let point = |random: &mut Random| {
        let mut coordinate = |most: i128| int(random, -most * 8, most * 8) as f64 / 8.0;
        format!("{} {}", coordinate(90), coordinate(180))
    };
    let points = |random: &mut Random| {
        let points: Vec<String> = (0..2 + random.below(4)).map(|_| point(random)).collect();
        points.join(", ")
    };
    let kinds = if depth < 2 { 7 } else { 6 };
    match random.below(kinds) {
        0 | 1 => format!("POINT({})", point(random)),
        2 => format!("LINESTRING({})", points(random)),
        3 => format!("MULTIPOINT({})", points(random)),
        4 => format!("MULTILINESTRING(({}), ({}))", points(random), points(random)),
        5 => {
            let (x, y) = (random.below(40), random.below(40));
            let ring = format!("({x} {y}, {0} {y}, {0} {1}, {x} {1}, {x} {y})", x + 8, y + 8);
            let hole = format!("({0} {1}, {0} {2}, {3} {2}, {0} {1})", x + 1, y + 1, y + 2, x + 2);
            random
                .pick(&[format!("POLYGON({ring}, {hole})"), format!("MULTIPOLYGON(({ring}), ({ring}, {hole}))")])
                .clone()
        }
        _ => {
            let parts: Vec<String> = (0..1 + random.below(3)).map(|_| geometry(random, depth + 1)).collect();
            format!("GEOMETRYCOLLECTION({})", parts.join(", "))
        }
    }
}

fn int(random: &mut Random, least: i128, most: i128) -> i128 {
    match random.below(8) {
        0 => least,
        1 => most,
        2 => (-1).clamp(least, most),
        3 => 0.clamp(least, most),
        _ => least + i128::from(random.next()) % (most - least + 1),
    }
}

fn decimal(random: &mut Random, precision: u32, scale: u32) -> String {
    let sign = random.pick(&["", "-"]);
    // Short ones too: leading groups of zeros are a case of their own.
    let whole_digits = random.below((precision - scale) as usize + 1) as u32;
    let (whole, fraction) = (random.digits(whole_digits), random.digits(scale));
    if fraction.is_empty() { format!("{sign}0{whole}") } else { format!("{sign}0{whole}.{fraction}") }
}

fn text(random: &mut Random, letters: &str, most: usize) -> String {
    let letters: Vec<char> = letters.chars().collect();
    let length = *random.pick(&[0, 1, most, most / 2, most / 3]);
    (0..length).map(|_| *random.pick(&letters)).collect()
}

fn bytes(random: &mut Random, most: usize) -> String {
    let length = *random.pick(&[0, 1, most, most / 2]);
    let mut bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
    if random.one_in(3) {
        // Zeros at the end are what the log leaves out of BINARY.
        bytes.iter_mut().rev().take(length / 2 + 1).for_each(|byte| *byte = 0);
    }
    hex("", &bytes)
}

fn hex(introducer: &str, bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "''".to_string();
    }
    let mut out = format!("{introducer}0x");
    bytes.iter().for_each(|byte| write!(out, "{byte:02x}").expect("writing to a string can't fail"));
    out
}

fn date(random: &mut Random) -> String {
    match random.below(10) {
        0 => "0000-00-00".to_string(),
        1 => format!("{:04}-00-00", random.below(10_000)),
        2 => format!("{:04}-{:02}-00", random.below(10_000), 1 + random.below(12)),
        3 => random.pick(&["1000-01-01", "9999-12-31", "2024-02-29", "1970-01-01"]).to_string(),
        _ => format!("{:04}-{:02}-{:02}", 1 + random.below(9999), 1 + random.below(12), 1 + random.below(28)),
    }
}

fn clock(random: &mut Random) -> String {
    match random.below(6) {
        0 => "00:00:00".to_string(),
        1 => "23:59:59".to_string(),
        _ => format!("{:02}:{:02}:{:02}", random.below(24), random.below(60), random.below(60)),
    }
}

fn fraction(random: &mut Random, digits: usize) -> String {
    if digits == 0 { String::new() } else { format!(".{}", random.digits(digits as u32)) }
}

fn json(random: &mut Random, depth: usize) -> String {
    let kinds = if depth < 4 { 9 } else { 7 };
    match random.below(kinds) {
        0 => random.pick(&["null", "true", "false"]).to_string(),
        1 => int(random, i128::from(i64::MIN), i128::from(u64::MAX)).to_string(),
        2 => int(random, -70_000, 70_000).to_string(),
        // Halves and eighths in the range where MySQL and Rust print the same digits.
        3 => format!("{:?}", int(random, -1_000_000, 1_000_000) as f64 / 8.0),
        4..=6 => serde_json::Value::from(text(random, "aZ '\"\\/\u{0}\u{8}\n\u{1f}é中😀", 20)).to_string(),
        7 => {
            let items: Vec<String> = (0..random.below(5)).map(|_| json(random, depth + 1)).collect();
            format!("[{}]", items.join(","))
        }
        _ => {
            let member = |random: &mut Random| {
                format!("{}:{}", serde_json::Value::from(text(random, "abé\"", 6)), json(random, depth + 1))
            };
            let members: Vec<String> = (0..random.below(5)).map(|_| member(random)).collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

fn vector_part(random: &mut Random) -> String {
    let number = f32::from_bits(random.next() as u32);
    if number.is_normal() { format!("{number:e}") } else { "0.1".to_string() }
}

/// The JSON form of what the server answered.
pub fn json_of(answer: Answer, text: &str) -> String {
    match answer {
        Answer::Json => text.to_string(),
        Answer::SpacedJson => without_spaces(text),
        Answer::Float => format!("{:?}", text.parse::<f64>().expect("a number") as f32),
        Answer::Double => format!("{:?}", text.parse::<f64>().expect("a number")),
        Answer::Floats => {
            let number = |digits: &[u8]| {
                let digits = std::str::from_utf8(digits).expect("hexadecimal digits");
                f32::from_bits(u32::from_str_radix(digits, 16).expect("hexadecimal digits").swap_bytes()).to_string()
            };
            let numbers: Vec<String> = text.as_bytes().chunks(8).map(number).collect();
            format!("[{}]", numbers.join(","))
        }
    }
}

/// Without the spaces that stand outside strings.
fn without_spaces(json: &str) -> String {
    let (mut is_in_string, mut is_escaped) = (false, false);
    let keep = |letter: &char| {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_in_string = !is_in_string,
            _ => {}
        }
        is_in_string || *letter != ' '
    };
    json.chars().filter(keep).collect()
}
