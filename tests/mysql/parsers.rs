//! What is sent, as the parsers of real frameworks read it: forms, parts, XML, lines of JSON and headers with values that try to
//! break out of their places. The oracle is the table.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::fetched::fetched;
use crate::support::mysql::MysqlServer;
use crate::support::program::Home;

const DEADLINE: Duration = Duration::from_secs(60);

/// An API in Node, which ends with this value.
struct Api {
    process: Child,
    port: u16,
}

impl Api {
    fn start() -> Api {
        let mut process = Command::new("node")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/parsers.mjs"))
            .arg(fetched("get-parsers.sh"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        Api { process, port: line.trim().parse().expect("a port") }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What the parser of this path has read, when it is so many items, by their ids.
    async fn read(&self, path: &str, count: usize) -> BTreeMap<u64, Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("the API is there");
        let request = format!("GET /read?path={path}&count={count} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        let answered = tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answer)).await;
        answered.unwrap_or_else(|_| panic!("{path} did not get {count} items")).expect("an answer");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        let items: Vec<Value> = serde_json::from_str(body).expect("JSON");
        assert_eq!(items.len(), count, "{path}");
        let id = |item: &Value| match item.get("body").unwrap_or(item)["id"].clone() {
            Value::String(text) => text.parse().expect("an id"),
            number => number.as_u64().expect("an id"),
        };
        items.into_iter().map(|item| (id(&item), item)).collect()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Values that end what they stand in, or begin something else, if they are not escaped.
fn hostile() -> Vec<String> {
    let values = [
        "plain",
        " ",
        "  two  ",
        "a&b",
        "a=b",
        "a&admin=1",
        "&=",
        "a;b",
        "a+b",
        "a%20b",
        "%",
        "%zz",
        "%00",
        "a[b]",
        "]",
        "[",
        "[]",
        "a[]=1&b",
        "?x",
        "#x",
        "a/b",
        "..",
        "../../x",
        "\"",
        "'",
        "\\",
        "\\\"",
        "a\"; filename=\"x",
        "a\"\r\nX-Evil: 1",
        "\r\n",
        "\n",
        "\r",
        "a\nb",
        "\t",
        "--",
        "--rowhook",
        "\r\n--rowhook\r\n",
        "--rowhook--",
        "Content-Disposition: form-data; name=\"id\"",
        "<",
        ">",
        "</note>",
        "<a/>",
        "&amp;",
        "&#60;",
        "&lt;",
        "]]>",
        "<![CDATA[x]]>",
        "<!-- x -->",
        "<?x y?>",
        "<!DOCTYPE x>",
        "\" onload=\"x",
        "{",
        "}",
        "{}",
        "{{ row.id }}",
        "{% if %}",
        "${x}",
        "\",\"admin\":true,\"x\":\"",
        "}\n{\"delete\":{}}",
        "\u{2028}",
        "\u{2029}",
        "\u{feff}x",
        "ü",
        "名前",
        "🎉",
        "e\u{301}",
        "null",
        "true",
        "1e999",
        "-0",
        "0x10",
        "NaN",
    ];
    values.iter().map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn real_parsers_read_what_the_table_holds_whatever_the_values_try() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    server
        .query(&format!(
            "CREATE TABLE {database}.t (id INT PRIMARY KEY, v VARCHAR(200) COLLATE utf8mb4_bin NOT NULL, b BLOB NOT NULL, is_line BOOL NOT NULL)"
        ))
        .await;
    let api = Api::start();
    let rule = |name: &str, more: &str, call: &str| {
        format!(
            "  - name: {name}\n{more}    retry_on: [network]\n    call:\n      url: {}\n{call}",
            api.url(&format!("/{name}"))
        )
    };
    let rules = [
        rule(
            "form",
            "",
            "      form: {id: '{{ row.id }}', v: '{{ row.v }}', deep: {a: {b: '{{ row.v }}'}}, list: ['{{ row.v }}', x]}\n",
        ),
        rule(
            "multipart",
            "",
            "      multipart:\n        id: '{{ row.id }}'\n        v: '{{ row.v }}'\n        file: {filename: '{{ row.v }}', type: \
             application/x-test, value: '{{ row.b }}'}\n",
        ),
        rule(
            "xml",
            "",
            "      headers: {Content-Type: application/xml}\n      text: '<o id=\"{{ row.id }}\"><note v=\"{{ row.v }}\">{{ row.v }}</note></o>'\n",
        ),
        rule(
            "lines",
            "    batch: {size: 7, format: ndjson, line: {index: {_id: '{{ row.v }}'}}}\n",
            "      body: {id: '{{ row.id }}', v: '{{ row.v }}'}\n",
        ),
        rule(
            "header",
            "    when: row.is_line\n",
            "      headers: {X-Value: '{{ row.v }}'}\n      body: {id: '{{ row.id }}'}\n",
        ),
    ];
    let rules = format!("table: {database}.t\nrules:\n{}", rules.concat());
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("t.yaml", &rules);
    let program = home.start(&["run", "--mysql", &server.root_url(), "--admin", "off"]);
    program.wait_for_line("reading after", DEADLINE);

    let mut conn = server.conn().await;
    for (id, value) in (1..).zip(hostile()) {
        let bytes: Vec<u8> = value.bytes().chain([0, 0xff, b'\r', b'\n']).collect();
        // A header has one line, and what surrounds it is not its own.
        let is_line = !value.chars().any(char::is_control) && value.trim_matches(' ') == value;
        conn.exec_drop(format!("INSERT INTO {database}.t VALUES (?, ?, ?, ?)"), (id, &value, bytes, is_line))
            .await
            .unwrap();
    }
    conn.disconnect().await.unwrap();
    let rows: Vec<(u64, String, String, bool)> =
        server.rows(&format!("SELECT id, v, LOWER(HEX(b)), is_line FROM {database}.t")).await;

    let count = rows.len();
    let lines = rows.iter().filter(|row| row.3).count();
    assert!(count >= 60 && lines >= 40, "{count} values, {lines} of one line");
    let (form, multipart) = (api.read("/form", count).await, api.read("/multipart", count).await);
    let (xml, json_lines) = (api.read("/xml", count).await, api.read("/lines", count).await);
    let header = api.read("/header", lines).await;
    for (id, v, hex, is_line) in rows {
        let text = id.to_string();
        assert_eq!(form[&id], json!({"id": text, "v": v, "deep": {"a": {"b": v}}, "list": [v, "x"]}));
        let filename = v.replace('"', "%22").replace('\\', "%5C").replace('\r', "%0D").replace('\n', "%0A");
        let file = json!({"filename": filename, "mimeType": "application/x-test", "hex": hex});
        assert_eq!(multipart[&id], json!({"id": text, "v": v, "file": file}));
        assert_eq!(xml[&id], json!({"id": text, "attribute": v, "text": v}));
        assert_eq!(json_lines[&id], json!({"line": {"index": {"_id": v}}, "body": {"id": id, "v": v}}));
        assert_eq!(header.get(&id), is_line.then(|| json!({"id": id, "value": v})).as_ref());
    }
}
