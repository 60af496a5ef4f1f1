//! Settings: a flag over the environment over `rowhook.yaml` over the default.
//!
//! In: what was typed, set and written. Out: for each part of the program the settings it needs, checked. Each group of
//! flags is in the help of the commands that use it, and no other. Reads the settings file and nothing else; below
//! `cli` no module takes a whole group.

mod error;
mod journal;
mod log;
mod malformed;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::file;
use crate::position::Start;

pub use error::{Error, GivenBy};
pub use journal::{JournalArgs, JournalGroup, JournalSettings};
pub use log::{DeliveryLogArgs, DeliveryLogSettings, LogArgs, LogFormat, LogSettings};

/// The JSON Schema (2020-12) of the settings file, for editors; `call` and others are defined in that of rule files.
pub const SETTINGS_JSON_SCHEMA: &str = include_str!("config/settings.json");

/// The keys that `rowhook.yaml` may contain: the long flags' names, with `_` for `-`.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// Where it is, for messages.
    #[serde(skip)]
    path: PathBuf,
    /// Its text, for the places of values.
    #[serde(skip)]
    text: String,
    mysql: Option<String>,
    mysql_user: Option<String>,
    mysql_password_file: Option<PathBuf>,
    mysql_password_command: Option<String>,
    tls: Option<String>,
    tls_ca: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    mysql_public_key: Option<PathBuf>,
    write_url: Option<String>,
    write_password_file: Option<PathBuf>,
    write_public_key: Option<PathBuf>,
    server_id: Option<u32>,
    proxy: Option<String>,
    proxy_password_file: Option<PathBuf>,
    start: Option<String>,
    rules: Option<PathBuf>,
    data: Option<PathBuf>,
    admin: Option<String>,
    admin_token_file: Option<PathBuf>,
    window: Option<usize>,
    window_mib: Option<usize>,
    shutdown_timeout: Option<String>,
    watch: Option<bool>,
    allow_missing_table: Option<bool>,
    journal: Option<JournalGroup>,
    alerts: Option<IgnoredAny>,
    log: Option<String>,
    log_format: Option<String>,
    log_deliveries: Option<String>,
    log_keys: Option<bool>,
}

/// Where the settings file is.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Settings and log")]
pub struct FileArgs {
    /// Settings file; `rowhook.yaml` in the current directory is read when it is there
    #[arg(long, env = "ROWHOOK_CONFIG", value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
}

/// How the source is reached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "MySQL")]
pub struct SourceArgs {
    /// MySQL to follow: mysql://user:password@host:3306
    #[arg(long, env = "ROWHOOK_MYSQL", value_name = "URL", hide_env_values = true)]
    mysql: Option<String>,
    /// Account to log in with, instead of the URL
    #[arg(long, env = "ROWHOOK_MYSQL_USER", value_name = "USER")]
    mysql_user: Option<String>,
    /// File with the password, instead of the URL; read at every connect
    #[arg(long, env = "ROWHOOK_MYSQL_PASSWORD_FILE", value_name = "FILE")]
    mysql_password_file: Option<PathBuf>,
    /// Command that prints the password, such as a cloud token; run at every connect, without a shell
    #[arg(long, env = "ROWHOOK_MYSQL_PASSWORD_COMMAND", value_name = "COMMAND")]
    mysql_password_command: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
    /// Replica id to use, unique among the source's replicas [default: chosen at random once per data directory]
    #[arg(long, env = "ROWHOOK_SERVER_ID", value_name = "NUMBER")]
    server_id: Option<u32>,
}

/// Encryption towards MySQL, of the reader and of what is written back.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "MySQL")]
pub struct TlsArgs {
    /// Encryption of the connections to MySQL [default: preferred]
    #[arg(long, env = "ROWHOOK_TLS", value_enum, value_name = "MODE")]
    tls: Option<TlsMode>,
    /// Certificates of the authorities to trust, PEM (for verify-ca and verify-identity)
    #[arg(long, env = "ROWHOOK_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Client certificate to show MySQL, PEM
    #[arg(long, env = "ROWHOOK_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Key of the client certificate, PEM
    #[arg(long, env = "ROWHOOK_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// MySQL's RSA public key, PEM: without TLS the password is sent only encrypted with this key, or to a loopback address
    #[arg(long, env = "ROWHOOK_MYSQL_PUBLIC_KEY", value_name = "FILE")]
    mysql_public_key: Option<PathBuf>,
}

/// Where rules write back to.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Writing back")]
pub struct WriteArgs {
    /// MySQL for the SQL statements of rules, with its own account: mysql://user:password@host:3306
    #[arg(long, env = "ROWHOOK_WRITE_URL", value_name = "URL", hide_env_values = true)]
    write_url: Option<String>,
    /// File with that account's password, instead of the URL; read at every connect
    #[arg(long, env = "ROWHOOK_WRITE_PASSWORD_FILE", value_name = "FILE")]
    write_password_file: Option<PathBuf>,
    /// RSA public key of that MySQL, PEM [default: that of --mysql-public-key]
    #[arg(long, env = "ROWHOOK_WRITE_PUBLIC_KEY", value_name = "FILE")]
    write_public_key: Option<PathBuf>,
}

/// How calls leave this machine.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Calls")]
pub struct CallArgs {
    /// HTTP proxy for all calls whose target names no other: http://user:password@host:3128, or `none`
    #[arg(long, env = "ROWHOOK_PROXY", value_name = "URL", hide_env_values = true)]
    proxy: Option<String>,
    /// File with the password for that proxy, instead of the URL; read at the start
    #[arg(long, env = "ROWHOOK_PROXY_PASSWORD_FILE", value_name = "FILE")]
    proxy_password_file: Option<PathBuf>,
}

/// Where the rule files are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Files")]
pub struct RulesArgs {
    /// Directory of rule files [default: rules]
    #[arg(long, env = "ROWHOOK_RULES", value_name = "DIR")]
    rules: Option<PathBuf>,
}

/// Where the store is.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Files")]
pub struct DataArgs {
    /// Data directory: checkpoints and dead letters [default: data]
    #[arg(long, env = "ROWHOOK_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
}

/// How `run` behaves.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Running")]
pub struct RunArgs {
    /// Where to begin at the first start: latest, earliest, a GTID set, or file:offset [default: latest]
    #[arg(long, env = "ROWHOOK_START", value_name = "WHERE")]
    start: Option<String>,
    /// Address of health checks and metrics, or `off` [default: 127.0.0.1:8055]
    #[arg(long, env = "ROWHOOK_ADMIN", value_name = "ADDRESS")]
    admin: Option<String>,
    /// File with the token that /metrics requires; needed for addresses that are not loopback
    #[arg(long, env = "ROWHOOK_ADMIN_TOKEN_FILE", value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// Unresolved deliveries of one rule at most, in number [default: 8192]
    #[arg(long, env = "ROWHOOK_WINDOW", value_name = "NUMBER")]
    window: Option<usize>,
    /// Memory in MiB for unresolved deliveries of all rules, shared equally among the rules [default: 64]
    #[arg(long, env = "ROWHOOK_WINDOW_MIB", value_name = "MIB")]
    window_mib: Option<usize>,
    /// Time for attempts under way to finish at shutdown [default: 30s]
    #[arg(long, env = "ROWHOOK_SHUTDOWN_TIMEOUT", value_name = "DURATION")]
    shutdown_timeout: Option<String>,
    /// Reload rule files only on SIGHUP and `rowhook reload`, not when they change; `watch: false` in the settings file
    #[arg(long, env = "ROWHOOK_NO_WATCH", value_parser = FalseyValueParser::new())]
    no_watch: bool,
    /// Start even if tables of rules are missing: a later migration creates them
    #[arg(long, env = "ROWHOOK_ALLOW_MISSING_TABLE", value_parser = FalseyValueParser::new())]
    allow_missing_table: bool,
}

/// As large as a rule file may be.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Deliveries, or MiB: more would only move a backlog from the binlog, where it is safe, into memory.
const WINDOW_MAX: usize = 1 << 16;

/// Modes as MySQL's own clients name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum TlsMode {
    /// Never encrypted
    Disabled,
    /// Encrypted if the server supports it
    #[default]
    Preferred,
    /// Always encrypted; the server's certificate is not verified
    Required,
    /// As required, and the certificate must come from a trusted authority
    VerifyCa,
    /// As verify-ca, and the certificate must name the host
    VerifyIdentity,
}

/// The source's settings, checked.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    pub mysql: String,
    pub mysql_user: Option<String>,
    pub mysql_password_file: Option<PathBuf>,
    pub mysql_password_command: Option<String>,
    pub tls: TlsSettings,
    pub server_id: Option<u32>,
}

/// Encryption, checked.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    pub mode: TlsMode,
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub public_key: Option<PathBuf>,
}

/// Where to write back to, checked.
#[derive(Debug, Clone)]
pub struct WriteSettings {
    pub url: String,
    pub password_file: Option<PathBuf>,
    pub tls: TlsSettings,
}

/// The proxy of calls.
pub struct ProxySettings {
    /// Perhaps with a password.
    pub url: String,
    /// Whose password counts instead.
    pub password_file: Option<PathBuf>,
}

/// `run`'s settings, checked.
#[derive(Debug, Clone)]
pub struct RunSettings {
    pub start: Start,
    /// Whether `start` was given, and is not the default.
    pub start_is_given: bool,
    /// None: no admin address at all.
    pub admin: Option<SocketAddr>,
    pub admin_token_file: Option<PathBuf>,
    pub window_deliveries: usize,
    pub window_bytes: usize,
    pub shutdown_timeout: Duration,
    /// Whether rule files are reloaded when they change.
    pub watch: bool,
    pub allow_missing_table: bool,
}

impl File {
    /// Reads the file that was named, or `rowhook.yaml` where there is one.
    pub fn load(args: &FileArgs) -> Result<File, Error> {
        let default = Path::new("rowhook.yaml");
        let path = match &args.config {
            Some(path) => path.as_path(),
            None if default.exists() => default,
            None => return Ok(File::default()),
        };
        let unreadable = |source| Error::Unreadable { path: path.to_path_buf(), source };
        let text = file::read_text(path, FILE_BYTES_MAX).map_err(unreadable)?;
        let file = File::parse(&text).map_err(|error| malformed::malformed(path, &text, &error))?;
        Ok(File { path: path.to_path_buf(), text, ..file })
    }

    /// The file and its text, where it has `alerts`.
    pub fn with_alerts(&self) -> Option<(&Path, &str)> {
        self.alerts.map(|_| (self.path.as_path(), self.text.as_str()))
    }

    /// Booleans are `true` and `false` alone, as in rule files.
    fn parse(text: &str) -> Result<File, serde_saphyr::Error> {
        serde_saphyr::from_str_with_options(text, serde_saphyr::options! { strict_booleans: true })
    }

    /// Where a setting was given that has a value: the arguments, the environment or this file. `name` is that of the flag.
    pub fn given_by(&self, name: &str, arguments: &[String], is_set: impl Fn(&str) -> bool) -> GivenBy {
        let flag = format!("--{name}");
        let is_typed = |argument: &String| {
            argument.strip_prefix(&flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        };
        let is_variable = is_set(&GivenBy::variable(name));
        let is_written = self.text.contains(&error::key(name));
        if arguments.iter().any(is_typed) || !(is_variable || is_written) {
            GivenBy::Flag
        } else if is_variable {
            GivenBy::Variable
        } else {
            // Perhaps in quotes, or in one line with others.
            self.given_here(error::key(name))
        }
    }

    fn given_here(&self, key: String) -> GivenBy {
        let line = self.line_of(&key).map_or(String::new(), |line| format!(":{line}"));
        GivenBy::File { place: format!("{}{line}", self.path.display()), key }
    }

    /// The line of a key; within a group, of one that is given as `group.key`.
    fn line_of(&self, key: &str) -> Option<usize> {
        let is_of = |line: &str, key: &str| {
            let line = line.trim_start_matches(['"', '\'']);
            let rest = line.strip_prefix(key).map(|rest| rest.trim_start_matches(['"', '\'']));
            rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
        };
        let (group, key) = key.split_once('.').unwrap_or((key, ""));
        let first = self.text.lines().position(|line| is_of(line, group))?;
        let is_within = |line: &&str| line.is_empty() || line.starts_with([' ', '\t', '#']);
        let mut below = self.text.lines().skip(first + 1).take_while(is_within);
        let further =
            below.position(|line| !key.is_empty() && is_of(line.trim_start(), key)).map_or(0, |line| line + 1);
        Some(first + 1 + further)
    }
}

impl SourceArgs {
    pub fn resolve(self, file: &File) -> Result<SourceSettings, Error> {
        Ok(SourceSettings {
            mysql: self.mysql.or_else(|| file.mysql.clone()).ok_or(Error::NoSource)?,
            mysql_user: self.mysql_user.or_else(|| file.mysql_user.clone()),
            mysql_password_file: self.mysql_password_file.or_else(|| file.mysql_password_file.clone()),
            mysql_password_command: self.mysql_password_command.or_else(|| file.mysql_password_command.clone()),
            tls: self.tls.resolve(file)?,
            server_id: self.server_id.or(file.server_id),
        })
    }
}

impl TlsArgs {
    pub fn resolve(self, file: &File) -> Result<TlsSettings, Error> {
        let read = |text: String| {
            let expected = "expected disabled, preferred, required, verify-ca or verify-identity";
            TlsMode::from_str(&text, false).map_err(|_| Error::invalid("tls", &text, expected))
        };
        let mode = match self.tls {
            Some(mode) => mode,
            None => file.tls.clone().map_or(Ok(TlsMode::default()), read)?,
        };
        Ok(TlsSettings {
            mode,
            ca: self.tls_ca.or_else(|| file.tls_ca.clone()),
            cert: self.tls_cert.or_else(|| file.tls_cert.clone()),
            key: self.tls_key.or_else(|| file.tls_key.clone()),
            public_key: self.mysql_public_key.or_else(|| file.mysql_public_key.clone()),
        })
    }
}

impl WriteArgs {
    /// None: nothing is written back. Encrypted as the source's connection is.
    pub fn resolve(self, mut tls: TlsSettings, file: &File) -> Option<WriteSettings> {
        let url = self.write_url.or_else(|| file.write_url.clone())?;
        let public_key = self.write_public_key.or_else(|| file.write_public_key.clone());
        tls.public_key = public_key.or(tls.public_key);
        let password_file = self.write_password_file.or_else(|| file.write_password_file.clone());
        Some(WriteSettings { url, password_file, tls })
    }
}

impl CallArgs {
    /// None: calls go directly.
    pub fn resolve(self, file: &File) -> Option<ProxySettings> {
        let url = self.proxy.or_else(|| file.proxy.clone()).filter(|url| url != "none")?;
        let password_file = self.proxy_password_file.or_else(|| file.proxy_password_file.clone());
        Some(ProxySettings { url, password_file })
    }
}

impl RulesArgs {
    pub fn resolve(self, file: &File) -> PathBuf {
        self.rules.or_else(|| file.rules.clone()).unwrap_or_else(|| PathBuf::from("rules"))
    }
}

impl DataArgs {
    pub fn resolve(self, file: &File) -> PathBuf {
        self.data.or_else(|| file.data.clone()).unwrap_or_else(|| PathBuf::from("data"))
    }
}

impl RunArgs {
    pub fn resolve(self, file: &File) -> Result<RunSettings, Error> {
        let start = self.start.or_else(|| file.start.clone());
        let token_file = self.admin_token_file.or_else(|| file.admin_token_file.clone());
        let admin = self.admin.or_else(|| file.admin.clone()).unwrap_or_else(|| "127.0.0.1:8055".to_owned());
        let window = in_range("window", self.window.or(file.window).unwrap_or(8192))?;
        let window_mib = in_range("window-mib", self.window_mib.or(file.window_mib).unwrap_or(64))?;
        let timeout =
            self.shutdown_timeout.or_else(|| file.shutdown_timeout.clone()).unwrap_or_else(|| "30s".to_owned());
        Ok(RunSettings {
            start_is_given: start.is_some(),
            start: start.map_or(Ok(Start::Latest), |text| parse_start("start", &text))?,
            admin: parse_admin(&admin, token_file.is_some())?,
            admin_token_file: token_file,
            window_deliveries: window,
            window_bytes: window_mib << 20,
            shutdown_timeout: parse_duration("shutdown-timeout", &timeout)?,
            watch: !self.no_watch && file.watch.unwrap_or(true),
            allow_missing_table: self.allow_missing_table || file.allow_missing_table.unwrap_or(false),
        })
    }
}

fn in_range(name: &'static str, value: usize) -> Result<usize, Error> {
    if (1..=WINDOW_MAX).contains(&value) {
        Ok(value)
    } else {
        Err(Error::invalid(name, &value.to_string(), "expected a number from 1 to 65536"))
    }
}

fn parse_duration(name: &'static str, text: &str) -> Result<Duration, Error> {
    humantime::parse_duration(text)
        .map_err(|_| Error::invalid(name, text, "expected a duration such as 500ms, 30s or 2m"))
}

/// Reads where to begin; `name` is the flag that an error names.
pub fn parse_start(name: &'static str, text: &str) -> Result<Start, Error> {
    Start::parse(text).map_err(|expected| Error::invalid(name, text, expected))
}

fn parse_admin(text: &str, has_token: bool) -> Result<Option<SocketAddr>, Error> {
    if text == "off" {
        return Ok(None);
    }
    let address: SocketAddr = text
        .parse()
        .map_err(|_| Error::invalid("admin", text, "expected an address such as 127.0.0.1:8055, or off"))?;
    if !address.ip().is_loopback() && !has_token {
        return Err(Error::invalid("admin", text, "an address that others can reach needs --admin-token-file FILE"));
    }
    Ok(Some(address))
}

#[cfg(test)]
mod tests {
    mod json_schema;

    use super::*;
    use crate::position::FileOffset;

    #[test]
    fn a_start_has_one_of_four_forms() {
        assert_eq!(parse_start("start", "latest").expect("latest"), Start::Latest);
        assert_eq!(parse_start("start", "earliest").expect("earliest"), Start::Earliest);
        let place = FileOffset { file: "mysql-bin.000123".into(), offset: 4096 };
        assert_eq!(parse_start("start", "mysql-bin.000123:4096").expect("a place"), Start::At(place));
        let set = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77:tag:1-2";
        assert_eq!(parse_start("start", set).expect("a set"), Start::After(set.parse().expect("a set")));
        for wrong in ["", "now", "binlog.000001", "binlog.000001:3", "binlog.000001:x", "3e11fa47:1-5"] {
            let error = parse_start("start", wrong).expect_err(wrong).to_string();
            assert!(error.starts_with("--start"), "{error}");
        }
    }

    #[test]
    fn the_admin_address_stays_on_this_machine_unless_a_token_guards_it() {
        assert_eq!(parse_admin("off", false).expect("off"), None);
        assert!(parse_admin("127.0.0.1:0", false).expect("loopback").is_some());
        assert!(parse_admin("[::1]:8055", false).expect("loopback").is_some());
        for wrong in ["0.0.0.0:8055", "8055", "localhost:8055", ""] {
            parse_admin(wrong, false).expect_err(wrong);
        }
        assert!(parse_admin("0.0.0.0:8055", true).expect("guarded by a token").is_some());
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file = File::parse("rules: from-file\nwindow: 5\n").expect("a settings file");
        assert_eq!(RulesArgs { rules: Some("typed".into()) }.resolve(&file), PathBuf::from("typed"));
        assert_eq!(RulesArgs { rules: None }.resolve(&file), PathBuf::from("from-file"));
        assert_eq!(DataArgs { data: None }.resolve(&file), PathBuf::from("data"));
        File::parse("ruels: x\n").expect_err("an unknown key");
    }

    #[test]
    fn rule_files_are_watched_unless_that_is_switched_off() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            run: RunArgs,
        }
        for (line, file, expected) in [
            ("run", "", true),
            ("run --no-watch", "", false),
            ("run", "watch: false", false),
            ("run", "watch: true", true),
            ("run --no-watch", "watch: true", false),
        ] {
            let file = File::parse(&format!("window: 5\n{file}\n")).expect("a settings file");
            let line_read: Line = clap::Parser::try_parse_from(line.split(' ')).expect(line);
            assert_eq!(line_read.run.resolve(&file).expect("sound").watch, expected, "{line}, {file:?}");
        }
    }
}
