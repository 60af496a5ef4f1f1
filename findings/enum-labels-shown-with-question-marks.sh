#!/usr/bin/env bash
# A label of ENUM or SET beyond the Basic Multilingual Plane is kept by the server, and shown as `?` in the definition.
#
# SELECT gives the label; information_schema and SHOW CREATE TABLE give `?`, because they hold types as utf8mb3. A reader
# that takes labels from there delivers `?`, and a dump that is loaded has another label. Only the binlog's own metadata
# (binlog_row_metadata=FULL) and the text of the statement that made it have it.
measured=9.7.4
. "$(dirname -- "${BASH_SOURCE[0]}")/support/server.bash"

start --server-id=1
sql "CREATE DATABASE d; CREATE TABLE d.t (e ENUM('😀') CHARACTER SET utf8mb4); INSERT INTO d.t VALUES ('😀')"
expect 'SELECT' "$(sql 'SELECT e FROM d.t')" '😀'
expect 'information_schema' "$(sql "SELECT COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_NAME = 't'")" "enum('?')"
shown=$(sql 'SHOW CREATE TABLE d.t')
expect 'SHOW CREATE TABLE' "$(grep -o "enum('[^']*')" <<<"$shown")" "enum('?')"
