//! Rule files made to take memory, time or stack, or to mean something else than they show.
//!
//! Each is refused with a message, within a limit of memory, on a stack as small as that of a worker thread; one that
//! hangs fails by the deadline.

use std::sync::mpsc;

use super::*;

/// Enough for the tree of the largest file that is taken; an unbounded expansion would pass it at once.
const MEMORY_BYTES_MAX: u64 = 64 << 20;

/// As tokio's worker threads have it.
const STACK_BYTES: usize = 2 << 20;

/// Reached only by a text that hangs.
const DEADLINE: Duration = Duration::from_secs(120);

/// What loading the text says, and the most memory that it took.
fn attacked(text: String) -> (String, u64) {
    let (report, reported) = mpsc::channel();
    let attack = move || {
        let mut said = String::new();
        let taken = allocation_counter::measure(|| {
            said = compile(&text).err().map_or("loads".to_string(), |problems| problems.to_string());
        });
        let _ = report.send((said, taken.bytes_max));
    };
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(attack).expect("a thread");
    reported.recv_timeout(DEADLINE).expect("neither a hang nor an overflow")
}

fn call(keys: &str) -> String {
    format!("table: a.b\nrules:\n  - name: r\n    call:\n      url: http://a.test/\n      {keys}\n")
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(|number| line(number) + "\n").collect()
}

pub(super) fn attacks() -> Vec<(&'static str, String, &'static str)> {
    let laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_string()
        + &lines(8, |n| {
            let (own, last) = ((b'b' + n as u8) as char, (b'a' + n as u8) as char);
            format!("{own}: &{own} [{}]", vec![format!("*{last}"); 9].join(","))
        });
    let nested =
        |open: &str, close: &str, times: usize| format!("table: {}1{}\n", open.repeat(times), close.repeat(times));
    let deep_block: String = lines(1000, |n| format!("{}a:", " ".repeat(n)));
    let expression = |text: String| call(&format!("body: \"{{{{ {text} }}}}\""));
    vec![
        // Size.
        ("a file of more than 1 MiB", " ".repeat((1 << 20) + 1), "larger than 1048576 bytes"),
        ("a long line", format!("table: {}\n", "a".repeat(900_000)), "line 1 is longer than 16384 bytes"),
        ("many keys", lines(100_000, |n| format!("k{n}: 1")), "more than 20000 keys and values"),
        ("many equal keys", lines(100_000, |_| "kk: 1".to_string()), "more than 200 problems"),
        (
            "many list items",
            format!("table: a.b\nrules:\n{}", lines(100_000, |_| "- 1".to_string())),
            "more than 20000 keys",
        ),
        (
            "many empty rules",
            format!("table: a.b\nrules:\n{}", lines(9_000, |_| "- {}".to_string())),
            "more than 200 problems",
        ),
        ("many documents", lines(100_000, |_| "---".to_string()), "one document"),
        (
            "many bad keys in a body",
            call("body:\n") + &lines(9_000, |n| format!("        \"{{{{ {n}\": 1")),
            "more than 200 problems",
        ),
        // Depth.
        ("flow lists in lists", nested("[\n", "]\n", 100), "nested more than 32 levels"),
        ("flow maps in maps", nested("{a: ", "}", 3_000), "nested more than 32 levels"),
        ("block lists in lists", format!("table: {}1\n", "- ".repeat(8_000)), "not YAML"),
        ("block lists below one another", format!("{}1\n", "- ".repeat(8_000)), "nested more than 32 levels"),
        ("block maps in maps", deep_block, "nested more than 32 levels"),
        ("complex keys in keys", format!("{}a\n", "? ".repeat(8_000)), "nested more than 32 levels"),
        ("lists that never end", "[".repeat(16_000), "not YAML"),
        // References.
        ("a billion laughs", laughs, "anchors"),
        ("an alias of itself", "table: a.b\nrules: &r [*r]\n".to_string(), "anchors"),
        ("an alias without an anchor", call("body: *x"), "aliases"),
        ("a merge key", call("body: {<<: {a: 1}, b: 2}"), "merge keys"),
        ("a merge key of an alias", call("<<: *defaults"), "aliases"),
        // Tags.
        ("a tag for code", call("body: !!python/object/apply:os.system ['id']"), "tags"),
        ("a tag for bytes", call("body: !!binary aGVsbG8="), "tags"),
        ("a tag of its own", call("body: !include /etc/passwd"), "tags"),
        ("a tag directive", format!("%TAG ! tag:example.com,2000:app/\n---\n{}", call("body: !x 1")), "tags"),
        // Meaning something else.
        ("a key given twice", call("url: http://b.test/"), "given twice"),
        ("a key given twice in other quotes", call("'url': http://b.test/"), "given twice"),
        ("a key given twice by an escape", call("\"\\x75rl\": http://b.test/"), "given twice"),
        ("a key that looks like another", call("hеaders: {}"), "unknown key"),
        ("a key with a blank", call("'url ': http://b.test/"), "unknown key"),
        ("a second document", call("") + "---\ntable: c.d\n", "one document"),
        ("control characters", call("body: \"a\u{1}\""), "not YAML"),
        ("a byte order mark inside", format!("table: a.b\n\u{feff}{}", "rules: []\n"), ""),
        ("an escape in a key", call("\"a\\x1b[2J\": 1"), "unknown key"),
        // Templates.
        ("a long expression", expression("1 + ".repeat(3_000) + "1"), "longer than 400 words"),
        ("parentheses in parentheses", expression("(".repeat(7_000) + &")".repeat(7_000)), "longer than 400 words"),
        (
            "lists in lists in an expression",
            expression("[".repeat(7_000) + &"]".repeat(7_000)),
            "longer than 400 words",
        ),
        ("filters after filters", expression("row.a".to_string() + &"|upper".repeat(2_000)), "longer than 400 words"),
        ("many expressions", call(&format!("body: \"{}\"", "{{ 1 }}".repeat(2_000))), "more than 1000 expressions"),
        ("many statements", call(&format!("body: \"{}\"", "{% if 1 %}".repeat(1_500))), "more than 200 statements"),
        (
            "chains of comparisons in each other",
            expression("1 < (".repeat(60) + "1" + &") < 1".repeat(60)),
            "a < b and b < c",
        ),
        ("a file that is included", call("body: \"{% include '/etc/passwd' %}\""), "only `if`, `for` and `set`"),
        ("a file that is imported", call("body: \"{% import '/etc/passwd' as x %}\""), "only `if`, `for` and `set`"),
        ("a template that extends", call("body: \"{% extends 'x' %}\""), "only `if`, `for` and `set`"),
        (
            "a macro that calls itself",
            call("body: \"{% macro m() %}{{ m() }}{% endmacro %}\""),
            "only `if`, `for` and `set`",
        ),
        ("a method", expression("''.__class__.__mro__()".to_string()), "no methods"),
        ("the environment as a whole", expression("env".to_string()), "name the variable"),
        ("a variable by a computed name", expression("env['TO' ~ 'KEN']".to_string()), "name the variable"),
        ("a function that is not offered", expression("debug()".to_string()), "unknown function"),
        ("a filter that grows texts", expression("row.a | center(999999999)".to_string()), "unknown filter"),
        ("a format string", expression("'%999999999d' | format(1)".to_string()), "unknown filter"),
        ("an unclosed expression", call("body: \"{{ row.a\""), "template"),
    ]
}

#[test]
fn a_rule_file_that_is_an_attack_is_refused_in_little_memory() {
    let attacks = attacks();
    assert!(attacks.len() >= 20);
    let mut surprises = String::new();
    for (name, text, expected) in attacks {
        let (said, bytes_max) = attacked(text);
        let short: String = said.chars().take(300).collect();
        if said == "loads" || !said.contains(expected) {
            surprises += &format!("{name}: expected {expected:?}, found {short}\n");
        }
        if bytes_max > MEMORY_BYTES_MAX {
            surprises += &format!("{name}: {bytes_max} bytes\n");
        }
        if said.len() > 256 * 1024 || said.contains('\u{1b}') {
            surprises += &format!("{name}: {} bytes of messages, or an escape in them: {short:?}\n", said.len());
        }
    }
    assert!(surprises.is_empty(), "{surprises}");
}

/// The largest that a rule file may be is read, so that the limits are not what stops a file in use.
#[test]
fn a_rule_file_up_to_the_limits_loads() {
    let rules =
        lines(1_400, |n| format!("  - {{name: r{n}, call: {{url: 'http://a.test/{{{{ row.id }}}}', timeout: 5s}}}}"));
    let large = format!("table: a.b\nrules:\n{rules}");
    let comments = lines(60, |_| format!("# {}", "x".repeat(16_000)));
    for text in [large, format!("{comments}{}", call("body: {a: 1}"))] {
        let (said, bytes_max) = attacked(text);
        assert_eq!(said, "loads");
        assert!(bytes_max < MEMORY_BYTES_MAX, "{bytes_max}");
    }
}
