//! The log as text: how the time and the fields of a line are written.
//!
//! In: the fields of an event. Out: the message, then `name=value` for each of the others, as the library writes them, in half of its
//! time: a line for each delivery is a fifth of what a delivery in a batch costs. What steers a terminal is escaped in every field, and
//! not in the message alone.

use std::error::Error;
use std::fmt::{self, Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::clock::now_us;
use crate::column::temporal;
use crate::printable::is_printable;

const TIME_BYTES: usize = "2026-12-01T10:27:39.517633Z".len();

/// Now, to the microsecond, in UTC.
pub(super) struct UtcTime;

impl FormatTime for UtcTime {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        let mut time = Vec::with_capacity(TIME_BYTES);
        temporal::rfc3339(now_us(), &mut time);
        line.write_str(str::from_utf8(&time).map_err(|_| fmt::Error)?)
    }
}

/// The escape sequences (ECMA-48, SGR) of what a coloured line makes italic or faint, and of their end.
const ITALIC: &str = "\x1b[3m";
const FAINT: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// The fields of an event, or of a span.
pub(super) struct EscapedFields;

impl<'w> FormatFields<'w> for EscapedFields {
    fn format_fields<R: RecordFields>(&self, line: Writer<'w>, fields: R) -> fmt::Result {
        let mut writer = FieldWriter { line, has_field: false, written: Ok(()) };
        fields.record(&mut writer);
        writer.written
    }
}

struct FieldWriter<'w> {
    line: Writer<'w>,
    has_field: bool,
    written: fmt::Result,
}

impl FieldWriter<'_> {
    fn write(&mut self, field: &Field, write: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.written.is_ok() {
            self.written = self.name(field.name()).and_then(|()| write(&mut self.line));
        }
    }

    /// The message has none.
    fn name(&mut self, name: &str) -> fmt::Result {
        if std::mem::replace(&mut self.has_field, true) {
            self.line.write_char(' ')?;
        }
        if name == "message" {
            return Ok(());
        }
        styled(&mut self.line, ITALIC, name)?;
        styled(&mut self.line, FAINT, "=")
    }
}

fn styled(line: &mut Writer<'_>, style: &str, text: &str) -> fmt::Result {
    match line.has_ansi_escapes() {
        true => write!(line, "{style}{text}{PLAIN}"),
        false => line.write_str(text),
    }
}

impl Visit for FieldWriter<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, |line| line.write_str(itoa::Buffer::new().format(value)));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, |line| line.write_str(itoa::Buffer::new().format(value)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, |line| match field.name() {
            "message" => Escaping::of(field, line).write_str(value),
            _ => write!(line, "{value:?}"),
        });
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.write(field, |line| {
            write!(Escaping::of(field, line), "{value}")?;
            let Some(first) = value.source() else { return Ok(()) };
            line.write_char(' ')?;
            styled(line, ITALIC, field.name())?;
            styled(line, ITALIC, ".sources")?;
            styled(line, FAINT, "=")?;
            write!(Escaping::of(field, line), "[{first}")?;
            let mut last = first;
            while let Some(source) = last.source() {
                write!(Escaping::of(field, line), ", {source}")?;
                last = source;
            }
            line.write_char(']')
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write(field, |line| write!(Escaping::of(field, line), "{value:?}"));
    }
}

/// Before each further line of a message: so no text in it can pass for a line of the log.
const CONTINUED: &str = "\n    ";

/// Passes text on, with what is not printable as Rust escapes it. Messages of several lines are rowhook's own, and stay so.
struct Escaping<'l, 'w> {
    line: &'l mut Writer<'w>,
    in_message: bool,
}

impl<'l, 'w> Escaping<'l, 'w> {
    fn of(field: &Field, line: &'l mut Writer<'w>) -> Escaping<'l, 'w> {
        Escaping { line, in_message: field.name() == "message" }
    }
}

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return self.line.write_str(text);
        }
        text.chars().try_for_each(|c| match c {
            '\n' if self.in_message => self.line.write_str(CONTINUED),
            _ if is_printable(c) => self.line.write_char(c),
            _ => write!(self.line, "{}", c.escape_default()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'w> MakeWriter<'w> for Lines {
        type Writer = Lines;

        fn make_writer(&'w self) -> Lines {
            self.clone()
        }
    }

    impl Lines {
        fn taken(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().expect("no panic"))).expect("UTF-8")
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{why}")]
    struct Failed {
        why: &'static str,
        #[source]
        cause: Option<Box<Failed>>,
    }

    fn log() {
        let caused = Failed { why: "no answer", cause: Some(Box::new(Failed { why: "no route", cause: None })) };
        let causes = Failed { why: "not sent", cause: Some(Box::new(caused)) };
        let (rule, id, none) = ("a \"rule\"", uuid::Uuid::nil(), None::<u64>);
        tracing::info!(rule, %id, status = 200_u16, below = -7, attempts = 1_u64, is_due = true, ratio = 0.5, none, "delivered");
        tracing::warn!(error = &causes as &(dyn Error + 'static), "größe {}", 3);
        tracing::error!(?rule, table = ?("a", 1));
    }

    #[test]
    fn a_line_is_the_same_as_that_of_the_library() {
        for has_colours in [false, true] {
            let (ours, its) = (Lines::default(), Lines::default());
            let log_to = |lines: &Lines| {
                tracing_subscriber::fmt().with_writer(lines.clone()).with_target(false).with_ansi(has_colours)
            };
            let subscriber = log_to(&ours).without_time().fmt_fields(EscapedFields).finish();
            tracing::subscriber::with_default(subscriber, log);
            tracing::subscriber::with_default(log_to(&its).without_time().finish(), log);
            let (ours, its) = (ours.taken(), its.taken());
            assert_eq!((&ours, its.lines().count()), (&its, 3));
        }
    }

    #[test]
    fn the_time_is_now_to_the_microsecond() {
        let lines = Lines::default();
        let log = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).with_target(false);
        let subscriber = log.with_timer(UtcTime).fmt_fields(EscapedFields).finish();
        let before = now_us();
        tracing::subscriber::with_default(subscriber, || tracing::info!("now"));
        let line = lines.taken();
        let time = humantime::parse_rfc3339(&line[..TIME_BYTES]).expect("a time");
        let time_us = time.duration_since(std::time::UNIX_EPOCH).expect("after the epoch").as_micros() as u64;
        assert!((before..=now_us()).contains(&time_us), "{line}");
        assert_eq!(&line[TIME_BYTES..], "  INFO now\n");
    }

    #[test]
    fn what_steers_a_terminal_is_escaped_in_each_field() {
        let lines = Lines::default();
        let log = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).with_target(false);
        let subscriber = log.without_time().fmt_fields(EscapedFields).finish();
        tracing::subscriber::with_default(subscriber, || {
            let shown = "a\u{1b}[1mb\n";
            tracing::info!(shown, of = %shown, "{shown}\u{202e}ä");
        });
        let expected = r#" INFO a\u{1b}[1mb
    \u{202e}ä shown="a\u{1b}[1mb\n" of=a\u{1b}[1mb\n"#;
        assert_eq!(lines.taken(), format!("{expected}\n"));
    }
}
