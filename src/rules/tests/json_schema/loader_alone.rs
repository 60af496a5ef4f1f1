//! Mistakes that a JSON Schema can't see, by the reason.
//!
//! A problem that the loader reports and the schema does not must be below one of these keys, or say one of these things.

/// Values whose text only the loader reads: the keys above them.
const TEXTS: &[(&str, &[&str])] = &[
    ("a condition, an expression", &["when", "wait"]),
    ("an address with templates, and the hosts that rows may choose", &["url", "allow_hosts"]),
    ("templates, and whether they fit what is sent", &["headers", "body", "form", "multipart", "text", "line", "wrap"]),
    ("values with a name, and whether something reads them", &["vars"]),
    ("a statement and its parameters", &["statement", "params"]),
    ("secrets from the environment and from files, certificates", &["auth", "sign", "tls", "insecure_tls", "proxy"]),
];

/// Parts of messages about values that are right by themselves.
const CONTRADICTIONS: &[(&str, &[&str])] = &[
    (
        "two keys that make no sense together",
        &[
            "leave one of them out",
            "leave `on` out",
            "`idempotent` and `verify` belong to",
            "`calls` go to one target",
            "`on` leaves out",
            "has no keys",
            "is in `success`, too",
            "and `order_by` is `none`",
            "needs them; write another rule",
            "joins JSON bodies",
            "joins texts",
            "and this GET has none",
            "and this DELETE has none",
            "which for `order_by: table` is a single row",
            "has no meaning with `per: transaction`",
            "has a meaning only beside `idempotent: false`",
        ],
    ),
    (
        "an amount with a unit that is out of range, or above another one",
        &[
            "must be between",
            "is longer than `max_delay`",
            "is longer than `max_probe`",
            "is a number of rows such as",
            "the offset must be a number of bytes",
        ],
    ),
    ("names that are unique, in a file or over all files", &["exists already, at", "is set already, at"]),
    ("what all files hold together", &["every rule has `enabled: false`", "no file with rules"]),
    ("`True`, which is true in YAML 1.2 and not in rule files", &["is true or false"]),
];

/// Whether one of the reasons covers a problem with this message, below these keys.
pub(super) fn explains(keys: &[&str], message: &str) -> bool {
    let is_of_text = keys.iter().any(|key| TEXTS.iter().any(|(_, texts)| texts.contains(key)));
    is_of_text || CONTRADICTIONS.iter().flat_map(|(_, parts)| *parts).any(|part| message.contains(part))
}
