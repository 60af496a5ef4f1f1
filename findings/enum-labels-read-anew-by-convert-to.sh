#!/usr/bin/env bash
# ALTER TABLE ... CONVERT TO CHARACTER SET does not convert the labels of an ENUM: it reads their bytes as the new set.
#
# The rows keep their numbers, so that a row that said `ß` says `ÃŸ` afterwards, without an error or a warning. Converting
# back brings the old labels again. MODIFY with the same set converts properly. A reader that follows labels by the text of
# statements must look them up after CONVERT TO.
measured=9.7.4
. "$(dirname -- "${BASH_SOURCE[0]}")/support/server.bash"

start --server-id=1
sql "CREATE DATABASE d; CREATE TABLE d.t (e ENUM('ß') CHARACTER SET utf8mb4); INSERT INTO d.t VALUES ('ß');
     CREATE TABLE d.u LIKE d.t; INSERT INTO d.u SELECT * FROM d.t"
expect 'made' "$(sql 'SELECT e FROM d.t')" 'ß'
sql 'ALTER TABLE d.t CONVERT TO CHARACTER SET latin1'
expect 'after CONVERT TO CHARACTER SET latin1' "$(sql 'SELECT e FROM d.t')" 'ÃŸ'
sql 'ALTER TABLE d.t CONVERT TO CHARACTER SET utf8mb4'
expect 'converted back' "$(sql 'SELECT e FROM d.t')" 'ß'
sql "ALTER TABLE d.u MODIFY e ENUM('ß') CHARACTER SET latin1"
expect 'after MODIFY to latin1' "$(sql 'SELECT e FROM d.u')" 'ß'
