//! Random values for columns, as SQL expressions.
//!
//! In: a generator of random numbers with a fixed start. Out: text for INSERT. One value in eight is NULL, one in four is an
//! edge of its type; the rest is anything that the type holds.

use std::fmt::Write as _;

use super::columns::{Charset, Kind};

/// SplitMix64 (Steele, Lea, Flood 2014): the same rows in every run, so that a failure can be looked at again.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// A value as an SQL expression.
pub fn literal(kind: Kind, random: &mut Random) -> String {
    if random.one_in(8) {
        return "NULL".to_string();
    }
    let edge = random.one_in(4);
    match kind {
        Kind::Int { bits, unsigned: true } => {
            let max = u64::MAX >> (64 - bits);
            if edge { random.pick(&[0, 1, max, max / 2, max / 2 + 1]) } else { random.next() & max }.to_string()
        }
        Kind::Int { bits, unsigned: false } => {
            let max = i64::MAX >> (64 - bits);
            let any = (random.next() as i64) >> (64 - bits);
            if edge { random.pick(&[0, 1, -1, max, -max - 1]) } else { any }.to_string()
        }
        Kind::Year => if edge { random.pick(&[0, 1901, 2155]) } else { 1901 + random.below(255) }.to_string(),
        Kind::Decimal { precision, scale, unsigned } => decimal_literal(precision, scale, unsigned, edge, random),
        Kind::Float => {
            let any = f32::from_bits(random.next() as u32);
            let edges = [0.0, 0.1, -3.402_823_4e38, f32::MIN_POSITIVE, 16_777_216.0];
            format!("{:e}", if edge || !any.is_finite() { random.pick(&edges) } else { any })
        }
        Kind::Double => {
            let any = f64::from_bits(random.next());
            let edges = [0.0, -0.1, 5e-324, f64::MAX, f64::MIN, 9_007_199_254_740_993.0];
            format!("{:e}", if edge || !any.is_finite() { random.pick(&edges) } else { any })
        }
        Kind::Bit { bits } => {
            let max = u64::MAX >> (64 - bits);
            if edge { random.pick(&[0, 1, max]) } else { random.next() & max }.to_string()
        }
        Kind::Date if edge => {
            random.pick(&["'0000-00-00'", "'2024-00-00'", "'2024-02-29'", "'9999-12-31'"]).to_string()
        }
        Kind::Date => format!("'{}'", day(random)),
        Kind::DateTime { .. } if edge => {
            random.pick(&["'0000-00-00 00:00:00'", "'9999-12-31 23:59:59'", "'2024-01-00 00:00:00'"]).to_string()
        }
        Kind::DateTime { digits } => format!("'{} {}'", day(random), clock(random.below(24), digits, random)),
        Kind::Timestamp { .. } if edge => random.pick(&["'0000-00-00 00:00:00'", "FROM_UNIXTIME(1)"]).to_string(),
        Kind::Timestamp { digits } => {
            format!("FROM_UNIXTIME({}{})", 1 + random.below(i32::MAX as usize), fraction(digits, random))
        }
        Kind::Time { digits, negative } => {
            let sign = if negative && random.one_in(2) { "-" } else { "" };
            let hours = if edge { random.pick(&[0, 23, 24, 837]) } else { random.below(838) };
            format!("'{sign}{}'", clock(hours, digits, random))
        }
        Kind::Text { charset, chars_max } => quoted(&any_text(charset, chars_max, edge, random)),
        Kind::Bytes { bytes_max } => bytes_literal(if edge { bytes_max } else { random.below(bytes_max + 1) }, random),
        Kind::Padded { bytes } if edge => format!("X'{}'", "00".repeat(bytes)),
        // Trailing zeros are what the binlog leaves out.
        Kind::Padded { bytes } => bytes_literal(1 + random.below(bytes), random),
        Kind::Enum(labels) => {
            if edge {
                String::from("''")
            } else {
                quoted(random.pick(labels))
            }
        }
        Kind::Set(labels) => {
            let mask = random.next();
            let chosen = labels.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1).map(|(_, label)| *label);
            quoted(&chosen.collect::<Vec<_>>().join(","))
        }
        Kind::Json { with_sql_values } if with_sql_values && edge => json_of_sql_values(random),
        Kind::Json { .. } => format!("CAST({} AS JSON)", quoted(&json(0, random))),
        Kind::Vector { numbers } => {
            let numbers: Vec<String> =
                (0..numbers).map(|_| format!("{}.5e-{}", random.below(99), random.below(30))).collect();
            format!("STRING_TO_VECTOR('[{}]')", numbers.join(","))
        }
    }
}

fn decimal_literal(precision: usize, scale: usize, unsigned: bool, edge: bool, random: &mut Random) -> String {
    let mut digits = |count: usize| -> String {
        (0..count).map(|_| if edge { '9' } else { char::from(b'0' + random.below(10) as u8) }).collect()
    };
    let (whole, after) = (digits(precision - scale), digits(scale));
    // Few digits are as usual as many, and have zeros in front.
    let shown = if edge { whole.len() } else { random.below(whole.len() + 1) };
    let sign = if !unsigned && random.one_in(2) { "-" } else { "" };
    format!("{sign}0{}{}{after}", &whole[..shown], if scale > 0 { "." } else { "" })
}

fn day(random: &mut Random) -> String {
    format!("{:04}-{:02}-{:02}", 1 + random.below(9999), 1 + random.below(12), 1 + random.below(28))
}

fn clock(hours: usize, digits: usize, random: &mut Random) -> String {
    format!("{hours:02}:{:02}:{:02}{}", random.below(60), random.below(60), fraction(digits, random))
}

fn fraction(digits: usize, random: &mut Random) -> String {
    if digits == 0 || random.one_in(4) {
        return String::new();
    }
    format!(".{:0digits$}", random.below(10_usize.pow(digits as u32)))
}

fn any_text(charset: Charset, chars_max: usize, edge: bool, random: &mut Random) -> String {
    const ASCII: &[char] = &['a', 'B', '7', ' ', '\'', '"', '\\', '\n', '\0', '%', '{'];
    const LATIN1: &[char] = &['a', ' ', '\'', 'é', 'ÿ', 'Ä', '¿'];
    const ALL: &[char] = &['a', 'B', ' ', '\'', '"', '\\', '\n', 'é', '€', '漢', '😀', '\u{10ffff}'];
    let palette = match charset {
        Charset::Ascii => ASCII,
        Charset::Latin1 => LATIN1,
        Charset::Utf8 | Charset::Utf16 | Charset::Utf32 => ALL,
    };
    let chars = if edge { random.pick(&[0, chars_max]) } else { random.below(chars_max.min(50) + 1) };
    (0..chars).map(|_| random.pick(palette)).collect()
}

fn bytes_literal(count: usize, random: &mut Random) -> String {
    let mut literal = String::from("X'");
    for _ in 0..count {
        // Zero is the byte that gets lost.
        let byte = if random.one_in(4) { 0 } else { random.next() as u8 };
        write!(literal, "{byte:02x}").expect("writing to a string");
    }
    literal + "'"
}

fn json(depth: usize, random: &mut Random) -> String {
    let shapes = if depth == 3 { 6 } else { 8 };
    match random.below(shapes) {
        0 => random.pick(&["true", "false", "null", "[]", "{}", "\"\""]).to_string(),
        1 => ((random.next() as i64) >> random.below(64)).to_string(),
        2 => (random.next() >> random.below(64)).to_string(),
        3 => format!("{}.5e{}", random.below(1000), random.below(200)),
        4 | 5 => serde_json::to_string(&any_text(Charset::Utf8, 200, false, random)).expect("a string"),
        6 => {
            let members: Vec<String> = (0..random.below(5)).map(|_| json(depth + 1, random)).collect();
            format!("[{}]", members.join(","))
        }
        _ => {
            let members: Vec<String> = (0..random.below(5))
                .map(|at| format!("\"k{at}{}\":{}", "x".repeat(random.below(9)), json(depth + 1, random)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

fn json_of_sql_values(random: &mut Random) -> String {
    let sign = random.pick(&["", "-"]);
    format!(
        "JSON_OBJECT('d', CAST('{sign}{}' AS DECIMAL(12,3)), 't', CAST('{sign}{}' AS TIME(6)), 'at', TIMESTAMP'{} {}', 'on', DATE'{}', 'b', {})",
        decimal_literal(12, 3, true, false, random),
        clock(random.below(800), 6, random),
        day(random),
        clock(random.below(24), 6, random),
        day(random),
        bytes_literal(random.below(40), random),
    )
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''").replace('\0', "\\0"))
}
