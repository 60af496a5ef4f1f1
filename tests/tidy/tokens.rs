//! Rust sources as tokens, as far as the tidy test needs them.
//!
//! In: the text of a file. Out: its code as tokens with their lines, strings and characters reduced to an empty one, and its
//! comments. Knows nested comments, raw strings and lifetimes; knows nothing of grammar but `use` groups and the extent of
//! an item behind `#[cfg(test)]`.

#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// From 1.
    pub line: usize,
    /// An identifier or number, `::`, `""` for any string, `''` for any character, or one character of punctuation.
    pub text: String,
}

pub struct Source {
    pub tokens: Vec<Token>,
    /// Line of its beginning and text.
    pub comments: Vec<(usize, String)>,
}

/// Code without its `#[cfg(test)]` items, and how many lines those took.
pub struct Code {
    pub tokens: Vec<Token>,
    pub test_lines: usize,
}

impl Source {
    pub fn read(text: &str) -> Source {
        let mut source = Source { tokens: Vec::new(), comments: Vec::new() };
        let (mut rest, mut line) = (text, 1);
        while let Some(first) = rest.chars().next() {
            let length = if let Some(length) = comment(rest) {
                source.comments.push((line, rest[..length].to_owned()));
                length
            } else if let Some(length) = string(rest) {
                source.tokens.push(Token { line, text: "\"\"".to_owned() });
                length
            } else if let Some(length) = character(rest) {
                source.tokens.push(Token { line, text: "''".to_owned() });
                length
            } else {
                let length = word(rest).or_else(|| rest.starts_with("::").then_some(2)).unwrap_or(first.len_utf8());
                if !first.is_whitespace() {
                    source.tokens.push(Token { line, text: rest[..length].to_owned() });
                }
                length
            };
            line += rest[..length].matches('\n').count();
            rest = &rest[length..];
        }
        source
    }

    pub fn without_tests(&self) -> Code {
        let mut code = Code { tokens: Vec::new(), test_lines: 0 };
        let mut at = 0;
        while at < self.tokens.len() {
            if starts_with(&self.tokens[at..], &["#", "[", "cfg", "(", "test", ")", "]"]) {
                let end = item_end(&self.tokens, at + 7);
                code.test_lines += self.tokens[end - 1].line - self.tokens[at].line + 1;
                at = end;
            } else {
                code.tokens.push(self.tokens[at].clone());
                at += 1;
            }
        }
        code
    }
}

/// Every path into this crate: its line and its segments below the root. `module` is the path of the module of this file.
pub fn crate_paths(tokens: &[Token], module: &[&str]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + 1 < tokens.len() {
        let begins = !(at > 0 && tokens[at - 1].text == "::") && tokens[at + 1].text == "::";
        let mut base: Vec<String> = match tokens[at].text.as_str() {
            "crate" if begins => Vec::new(),
            "super" | "self" if begins => module.iter().map(|&segment| segment.to_owned()).collect(),
            _ => {
                at += 1;
                continue;
            }
        };
        while ["super", "self", "crate"].contains(&text(tokens, at)) && text(tokens, at + 1) == "::" {
            if tokens[at].text == "super" {
                base.pop();
            }
            at += 2;
        }
        at = expand(tokens, at, &base, &mut found);
    }
    found.retain(|(_, path)| !path.is_empty());
    found
}

/// The lines on which the crate is named: at the beginning of a path, or alone behind `use`.
pub fn crate_uses<'a>(tokens: &'a [Token], name: &'a str) -> impl Iterator<Item = usize> + 'a {
    let named = move |at: &usize| {
        let before = if *at == 0 { "" } else { text(tokens, at - 1) };
        // In `use ::name::x` and `(::name::x)` the colons begin the path; behind a word they continue one.
        let continues = before == "::" && *at > 1 && is_word(text(tokens, at - 2)) && text(tokens, at - 2) != "use";
        let is_path = text(tokens, at + 1) == "::";
        text(tokens, *at) == name && !continues && before != "." && (is_path || before == "use")
    };
    (0..tokens.len()).filter(named).map(|at| tokens[at].line)
}

/// Follows a path or a group of paths from `at`; returns where it ends.
fn expand(tokens: &[Token], mut at: usize, base: &[String], found: &mut Vec<(usize, Vec<String>)>) -> usize {
    let mut path = base.to_vec();
    let line = tokens.get(at).map_or(0, |token| token.line);
    loop {
        match text(tokens, at) {
            "{" => {
                at += 1;
                while !["}", ""].contains(&text(tokens, at)) {
                    let end = expand(tokens, at, &path, found);
                    at = end.max(at + 1); // over commas and `as name`
                }
                return at + 1;
            }
            word if is_word(word) => {
                if word != "self" {
                    path.push(word.to_owned());
                }
                at += 1;
            }
            _ => break,
        }
        if text(tokens, at) != "::" {
            break;
        }
        at += 1;
    }
    if path.len() > base.len() || base.is_empty() {
        found.push((line, path));
    }
    at
}

/// Where the item ends that begins at `at`: behind its `;` or its closing brace.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    let mut depth = 0;
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                // The group of a `use` is followed by its semicolon.
                if depth == 0 && text(tokens, at + 1) != ";" {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
        at += 1;
    }
    at
}

fn text(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |token| &token.text)
}

fn starts_with(tokens: &[Token], texts: &[&str]) -> bool {
    tokens.len() >= texts.len() && tokens.iter().zip(texts).all(|(token, text)| token.text == *text)
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// The length of the identifier or number that `rest` begins with.
fn word(rest: &str) -> Option<usize> {
    let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    (length > 0).then_some(length)
}

fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let (step, change) = match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            _ => (1, 0),
        };
        at += step;
        depth += change;
        if depth == 0 {
            break;
        }
    }
    Some(at)
}

/// A string of any kind: plain, byte, C, raw.
fn string(rest: &str) -> Option<usize> {
    let prefix = rest.find(|c: char| !matches!(c, 'b' | 'c' | 'r')).filter(|length| *length <= 2)?;
    let hashes = rest[prefix..].find(|c| c != '#')?;
    let opening = prefix + hashes;
    let raw = rest[..prefix].contains('r');
    if !rest[opening..].starts_with('"') || (hashes > 0 && !raw) {
        return None;
    }
    let body = &rest[opening + 1..];
    let length = if raw {
        body.find(&format!("\"{}", "#".repeat(hashes))).map_or(body.len(), |end| end + 1 + hashes)
    } else {
        closing(body, b'"')
    };
    Some(opening + 1 + length)
}

/// A character or byte, as against a lifetime.
fn character(rest: &str) -> Option<usize> {
    let prefix = usize::from(rest.starts_with("b'"));
    let mut inside = rest[prefix..].strip_prefix('\'')?.chars();
    let first = inside.next()?;
    if first != '\\' && inside.next() != Some('\'') {
        return None;
    }
    Some(prefix + 1 + closing(&rest[prefix + 1..], b'\''))
}

/// The length up to and with the closing quote; a backslash takes the next byte with it.
fn closing(body: &str, quote: u8) -> usize {
    let mut bytes = body.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            _ if byte == quote => return at + 1,
            _ => {}
        }
    }
    body.len()
}
