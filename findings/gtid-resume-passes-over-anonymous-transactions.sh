#!/usr/bin/env bash
# A reader that resumes by GTID set passes over transactions that were written while GTIDs were off, without an error.
#
# Row 1 is written with gtid_mode=ON and read. GTIDs are switched off and on again, one step at a time as the manual says;
# row 2 is written in between and has no GTID, row 3 afterwards. The reader (mysql-replication, a library that other tools
# are built on) asks for all that its set lacks, and gets row 3 alone: the server begins in the newest file whose GTIDs
# before it are in the set, and row 2 stands in an earlier one. By file and offset it gets an error that names row 2's
# transaction. So what a set covers says nothing about transactions without one; after a switch, a position needs both.
measured=9.7.4
. "$(dirname -- "${BASH_SOURCE[0]}")/support/server.bash"

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install mysql-replication==1.0.12
start --gtid-mode=ON --enforce-gtid-consistency=ON --server-id=1 --binlog-row-metadata=FULL
sql 'CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY); INSERT INTO d.t VALUES (1)'
had=$(sql 'SELECT @@gtid_executed')
read -r file offset _ <<<"$(sql 'SHOW BINARY LOG STATUS')"
sql 'SET GLOBAL gtid_mode = ON_PERMISSIVE; SET GLOBAL gtid_mode = OFF_PERMISSIVE; SET GLOBAL gtid_mode = OFF;
     INSERT INTO d.t VALUES (2);
     SET GLOBAL gtid_mode = OFF_PERMISSIVE; SET GLOBAL gtid_mode = ON_PERMISSIVE; SET GLOBAL gtid_mode = ON;
     INSERT INTO d.t VALUES (3)'

# Prints the rows that come, and the kind of the error, if there is one.
read_log() {
  "$folder/venv/bin/python" - "$folder/socket" "$@" <<'PYTHON'
import sys
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import WriteRowsEvent
socket, how, *where = sys.argv[1:]
begin = dict(auto_position=where[0]) if how == "set" else dict(log_file=where[0], log_pos=int(where[1]), resume_stream=True)
rows, error = [], ""
try:
    for event in BinLogStreamReader(connection_settings=dict(unix_socket=socket, user="root", passwd=""), server_id=9,
                                    only_events=[WriteRowsEvent], blocking=False, **begin):
        rows += [str(row["values"]["id"]) for row in event.rows]
except Exception as problem:
    error = ", then: Cannot replicate anonymous transaction" if "Cannot replicate anonymous" in str(problem) else f", then: {problem}"
print("rows " + (" ".join(rows) or "none") + error)
PYTHON
}

expect 'by set' "$(read_log set "$had")" 'rows 3'
expect 'by file and offset' "$(read_log file "$file" "$offset")" 'rows none, then: Cannot replicate anonymous transaction'
