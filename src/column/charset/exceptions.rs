//! Where the server's multi-byte tables differ from those of the Encoding Standard, which `encoding_rs` holds.
//!
//! In: nothing; data alone. Out: rectangles of codes, given by their first and last code: every lead byte of the range with
//! every trail byte of the range. Taken from MySQL 9.7's `CONVERT(column USING utf8mb4)` of every code there is;
//! `tests/mysql/charsets.rs` asks a server for all of them again and compares.

/// A rectangle of two-byte codes.
#[derive(Debug)]
pub(super) struct Exception {
    pub first: u16,
    pub last: u16,
    pub meaning: Meaning,
}

#[derive(Debug)]
pub(super) enum Meaning {
    /// The server has no character for these codes.
    None,
    /// This character and those that follow it, row by row.
    From(char),
    /// These, row by row.
    Listed(&'static str),
}

const fn none(first: u16, last: u16) -> Exception {
    Exception { first, last, meaning: Meaning::None }
}

const fn from(first: u16, last: u16, character: char) -> Exception {
    Exception { first, last, meaning: Meaning::From(character) }
}

const fn listed(first: u16, last: u16, characters: &'static str) -> Exception {
    Exception { first, last, meaning: Meaning::Listed(characters) }
}

const fn one(code: u16, character: char) -> Exception {
    from(code, code, character)
}

/// The standard has the Hong Kong extensions, which MySQL lacks, and other signs.
pub(super) static BIG5: &[Exception] = &[
    none(0x8740, 0xa0fe),
    none(0xa15a, 0xa15a),
    none(0xa1c3, 0xa1c3),
    none(0xa1c5, 0xa1c5),
    none(0xa1fe, 0xa1fe),
    none(0xa240, 0xa240),
    none(0xa2cc, 0xa2cc),
    none(0xa2ce, 0xa2ce),
    none(0xa3c0, 0xa3e1),
    none(0xc7fd, 0xc7fe),
    none(0xc840, 0xc8fe),
    none(0xf9dd, 0xf9fe),
    none(0xfa40, 0xfefe),
    one(0xa145, '•'),
    one(0xa14e, '､'),
    one(0xa1c2, '‾'),
    one(0xa1e3, '∼'),
    one(0xa1f2, '♁'),
    one(0xa1f3, '☉'),
    one(0xa241, '／'),
    one(0xa242, '＼'),
    one(0xa244, '¥'),
    from(0xa246, 0xa247, '¢'),
    one(0xc6a1, 'ヾ'),
    from(0xc6a2, 0xc6a3, 'ゝ'),
    one(0xc6a4, '々'),
    from(0xc6a5, 0xc6f7, 'ぁ'),
    from(0xc6f8, 0xc6fe, 'ァ'),
    from(0xc740, 0xc77e, 'エ'),
    from(0xc7a1, 0xc7b0, 'ョ'),
    from(0xc7b1, 0xc7b2, 'Д'),
    one(0xc7b3, 'Ё'),
    from(0xc7b4, 0xc7ba, 'Ж'),
    from(0xc7bb, 0xc7cd, 'У'),
    one(0xc7ce, 'ё'),
    from(0xc7cf, 0xc7e8, 'ж'),
    from(0xc7e9, 0xc7f2, '①'),
    from(0xc7f3, 0xc7fc, '⑴'),
];

/// MySQL keeps to JIS X 0208, without the rows that vendors added; some signs are others.
pub(super) static SJIS: &[Exception] = &[
    none(0x8740, 0x879c),
    none(0xed40, 0xfcfc),
    one(0x815f, '\\'),
    one(0x8160, '〜'),
    one(0x8161, '‖'),
    one(0x817c, '−'),
    one(0x8191, '¢'),
    one(0x8192, '£'),
    one(0x81ca, '¬'),
];

/// As for sjis; ten rows are for private use.
pub(super) static UJIS: &[Exception] = &[
    none(0xada1, 0xadfc),
    one(0xa1c0, '\\'),
    one(0xa1c1, '〜'),
    one(0xa1c2, '‖'),
    one(0xa1dd, '−'),
    one(0xa1f1, '¢'),
    one(0xa1f2, '£'),
    one(0xa2cc, '¬'),
    from(0xf5a1, 0xfefe, '\u{e000}'),
];

/// Codes of ujis after the byte 0x8f (JIS X 0212).
pub(super) static UJIS_AFTER_8F: &[Exception] = &[one(0xa2b7, '~'), from(0xf5a1, 0xfefe, '\u{e3ac}')];

/// Ten rows are for private use.
pub(super) static EUCJPMS: &[Exception] = &[from(0xf5a1, 0xfefe, '\u{e000}')];

/// Codes of eucjpms after the byte 0x8f: the extensions of IBM, and rows for private use.
pub(super) static EUCJPMS_AFTER_8F: &[Exception] = &[
    one(0xa2c3, '￤'),
    from(0xf3f3, 0xf3fc, 'ⅰ'),
    from(0xf3fd, 0xf3fe, 'Ⅰ'),
    from(0xf4a1, 0xf4a8, 'Ⅲ'),
    listed(0xf4a9, 0xf4d3, "＇＂㈱№℡炻仼僴凬匇匤﨎咊坙﨏塚增寬峵嵓﨑德悅愠敎昻晥晴朗栁﨓﨔橫櫢淸淲瀨凞猪甁皂皞益"),
    listed(0xf4d4, 0xf4fe, "礰礼神祥福竧靖精綠緖羽荢﨟薰蘒﨡蠇諸譿賴赶﨣﨤逸郞都鄕﨧﨨閒隆﨩霻靍靑飯飼館馞髙魲鶴黑"),
    from(0xf5a1, 0xfefe, '\u{e3ac}'),
];

/// Rows for private use, and gaps that the standard fills.
pub(super) static GBK: &[Exception] = &[
    none(0xa140, 0xa7a0),
    none(0xa2ab, 0xa2b0),
    none(0xa2e3, 0xa2e4),
    none(0xa2ef, 0xa2f0),
    none(0xa2fd, 0xa2fe),
    none(0xa4f4, 0xa4fe),
    none(0xa5f7, 0xa5fe),
    none(0xa6b9, 0xa6c0),
    none(0xa6d9, 0xa6df),
    none(0xa6ec, 0xa6ed),
    none(0xa6f3, 0xa6f3),
    none(0xa6f6, 0xa6fe),
    none(0xa7c2, 0xa7d0),
    none(0xa7f2, 0xa7fe),
    none(0xa896, 0xa8a0),
    none(0xa8bc, 0xa8bc),
    none(0xa8bf, 0xa8bf),
    none(0xa8c1, 0xa8c4),
    none(0xa8ea, 0xa8fe),
    none(0xa958, 0xa958),
    none(0xa95b, 0xa95b),
    none(0xa95d, 0xa95f),
    none(0xa989, 0xa995),
    none(0xa997, 0xa9a3),
    none(0xa9f0, 0xa9fe),
    none(0xaaa1, 0xaffe),
    none(0xd7fa, 0xd7fe),
    none(0xf8a1, 0xfdfe),
    none(0xfe50, 0xfefe),
];

/// Read by GBK, of which it is a part.
pub(super) static GB2312: &[Exception] = &[
    none(0x8140, 0xfea0),
    none(0x81a1, 0xa0fe),
    none(0xa2a1, 0xa2b0),
    none(0xa2e3, 0xa2e4),
    none(0xa2ef, 0xa2f0),
    none(0xa2fd, 0xa2fe),
    none(0xa4f4, 0xa4fe),
    none(0xa5f7, 0xa5fe),
    none(0xa6b9, 0xa6c0),
    none(0xa6d9, 0xa6fe),
    none(0xa7c2, 0xa7d0),
    none(0xa7f2, 0xa7fe),
    none(0xa8bb, 0xa8c4),
    none(0xa8ea, 0xa8fe),
    none(0xa9a1, 0xa9a3),
    none(0xa9f0, 0xa9fe),
    none(0xaaa1, 0xaffe),
    none(0xd7fa, 0xd7fe),
    none(0xf8a1, 0xfefe),
    one(0xa1a4, '・'),
    one(0xa1aa, '―'),
];

/// The edition of 2005, which has private characters where that of 2022 has real ones.
pub(super) static GB18030: &[Exception] = &[
    one(0xa3a0, '\u{e5e5}'),
    from(0xa6d9, 0xa6df, '\u{e78d}'),
    from(0xa6ec, 0xa6ed, '\u{e794}'),
    one(0xa6f3, '\u{e796}'),
    one(0xfe59, '\u{e81e}'),
    one(0xfe61, '\u{e826}'),
    from(0xfe66, 0xfe67, '\u{e82b}'),
    one(0xfe6d, '\u{e832}'),
    one(0xfe7e, '\u{e843}'),
    one(0xfe90, '\u{e854}'),
    one(0xfea0, '\u{e864}'),
];
