//! What is shown while dead letters are sent again.
//!
//! In: reports. Out: on a terminal a bar with the rate and the time to go, and the letters that stay; else a line per letter, and now and
//! then one on stderr about the progress; with `--json` a document per report.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::super::output::{self, clean, count, span};
use crate::admin::view::{ReplayProgress, ReplayReport, Replayed};

/// Letters that stay are named on a terminal up to this number; `list` has them all.
const NAMED_MAX: u64 = 20;

/// In a file of lines, the progress is of use this often.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// What is shown, and of how many letters.
pub(super) struct Display {
    form: Form,
    limit: Option<u64>,
}

enum Form {
    Bar { bar: ProgressBar, named: u64 },
    Lines(Progress),
    Json,
}

impl Display {
    /// `limit`: of the letters that are sent.
    pub(super) fn new(json: bool, limit: Option<u64>) -> Display {
        let form = match json {
            true => Form::Json,
            false if io::stderr().is_terminal() => Form::Bar { bar: bar(), named: 0 },
            false => Form::Lines(Progress::new(Instant::now())),
        };
        Display { form, limit }
    }

    pub(super) fn show(&mut self, report: &ReplayReport) -> anyhow::Result<()> {
        match (&mut self.form, report) {
            (Form::Json, report) => output::print_json_line(report)?,
            (Form::Bar { bar, .. }, ReplayReport::Started { letters }) => {
                bar.set_length(self.limit.map_or(*letters, |limit| limit.min(*letters)));
            }
            (Form::Lines(progress), ReplayReport::Started { letters }) => {
                progress.letters = self.limit.map_or(*letters, |limit| limit.min(*letters));
            }
            (Form::Bar { bar, named }, ReplayReport::Progress(progress)) => {
                if !matches!(progress.result, Replayed::Delivered { .. }) {
                    *named += 1;
                    if *named <= NAMED_MAX {
                        bar.println(line(progress));
                    }
                }
                bar.inc(1);
            }
            (Form::Lines(progress), ReplayReport::Progress(report)) => {
                output::print(&format!("{}\n", line(report)))?;
                if let Some(text) = progress.ended(Instant::now()) {
                    output::complain(&text);
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn end(self) {
        if let Form::Bar { bar, named } = self.form {
            bar.finish_and_clear();
            if named > NAMED_MAX {
                output::complain(&format!(
                    "… and {} stay as well",
                    count(named - NAMED_MAX, "more letter", "more letters")
                ));
            }
        }
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {rate}  {elapsed} gone, about {eta} left");
    let rate = |state: &ProgressState, text: &mut dyn std::fmt::Write| {
        // A bar that can't be written has nowhere to say so.
        let _ = write!(text, "{:.0}/s", state.per_sec());
    };
    let style = style.expect("the template is literal").with_key("rate", rate);
    ProgressBar::new(0).with_style(style.progress_chars("━━─"))
}

/// How far a replay is, for a line now and then.
struct Progress {
    letters: u64,
    done: u64,
    began: Instant,
    said: Instant,
}

impl Progress {
    fn new(now: Instant) -> Progress {
        Progress { letters: 0, done: 0, began: now, said: now }
    }

    /// One more letter has ended.
    fn ended(&mut self, now: Instant) -> Option<String> {
        self.done += 1;
        if now.saturating_duration_since(self.said) < PROGRESS_INTERVAL {
            return None;
        }
        self.said = now;
        let per_second = self.done as f64 / now.saturating_duration_since(self.began).as_secs_f64();
        let left = self.letters.saturating_sub(self.done);
        let to_go = span(Duration::from_secs((left as f64 / per_second) as u64));
        let Progress { letters, done, .. } = self;
        Some(format!("{done} of {letters} done, {left} left, {per_second:.1}/s, about {to_go} to go"))
    }
}

fn line(progress: &ReplayProgress) -> String {
    let ReplayProgress { number, rule, result, .. } = progress;
    match result {
        Replayed::Delivered { status } => format!("{number}  {rule}  delivered  {status}"),
        Replayed::StillDead { message } => format!("{number}  {rule}  still dead  {}", clean(message)),
        Replayed::NotReplayed { why } => format!("{number}  {rule}  not replayed  {}", clean(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_replay_says_now_and_then_how_far_it_is() {
        let began = Instant::now();
        let mut progress = Progress { letters: 1_000, ..Progress::new(began) };
        let mut ended = |seconds| progress.ended(began + Duration::from_secs(seconds));
        for second in 0..10 {
            assert_eq!(ended(second), None);
        }
        assert_eq!(ended(10).as_deref(), Some("11 of 1000 done, 989 left, 1.1/s, about 14m 59s to go"));
        assert_eq!(ended(19), None);
        assert_eq!(ended(22).as_deref(), Some("13 of 1000 done, 987 left, 0.6/s, about 27m 50s to go"));
    }
}
