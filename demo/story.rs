//! How the quickstart looks: numbered steps, below each what was written and which calls came of it.
//!
//! Aligned, at most 100 columns wide, coloured on a terminal unless `NO_COLOR` is set. Knows nothing of what happens.

use std::io::IsTerminal;
use std::thread;
use std::time::Duration;

use crate::support::receiver::Request;

/// Between steps on a terminal, so that a person can follow.
const PACE: Duration = Duration::from_millis(800);
const COLUMNS_MAX: usize = 100;

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";

pub struct Story {
    steps: usize,
    for_people: bool,
    coloured: bool,
}

impl Story {
    pub fn begin(title: &str) -> Story {
        let for_people = std::io::stdout().is_terminal();
        let coloured = for_people && std::env::var_os("NO_COLOR").is_none();
        let story = Story { steps: 0, for_people, coloured };
        println!("\n{}\n", story.painted(BOLD, title));
        story
    }

    /// One of the three that take part, and where it is.
    pub fn part(&self, name: &str, place: &str, what: &str) {
        println!("   {}  {place:<17}  {}", self.painted(CYAN, &format!("{name:<8}")), self.painted(DIM, what));
    }

    pub fn step(&mut self, title: &str) {
        self.steps += 1;
        if self.for_people {
            thread::sleep(PACE);
        }
        println!("\n{}  {}", self.painted(BOLD, &self.steps.to_string()), self.painted(BOLD, title));
    }

    pub fn sql(&self, statement: &str) {
        println!("   {}  {statement}", self.painted(DIM, "sql "));
    }

    /// A call that arrived, and how long after the last write.
    pub fn call(&self, request: &Request, after: Option<Duration>) {
        let after = after.map_or(String::new(), |after| format!("{:>6} ms", after.as_millis()));
        let status = request.status().map_or("---".to_owned(), |status| status.to_string());
        let colour = if request.took_effect() { GREEN } else { YELLOW };
        println!(
            "   {}  {:<4} {:<42} attempt {:<2} {}   {}",
            self.painted(CYAN, "call"),
            request.method,
            request.path,
            request.attempt,
            self.painted(colour, &status),
            self.painted(DIM, &after)
        );
    }

    /// A command that a person would type.
    pub fn command(&self, line: &str) {
        println!("   {}  {line}", self.painted(DIM, "$   "));
    }

    pub fn output(&self, text: &str) {
        for line in text.lines() {
            let line: String = line.chars().take(COLUMNS_MAX - 9).collect();
            println!("         {line}");
        }
    }

    pub fn note(&self, text: &str) {
        println!("   {}", self.painted(DIM, text));
    }

    /// The last line.
    pub fn end(&self, text: &str) {
        println!("\n{}\n", self.painted(GREEN, text));
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
