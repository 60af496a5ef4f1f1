-- CREATE TABLE ... SELECT is a definition with rows, in one transaction.

CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(5) CHARACTER SET latin1);
INSERT INTO t VALUES (1, 'é'), (2, 'b');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"s":"é"}}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"s":"b"}}
CREATE TABLE copied (PRIMARY KEY (id)) AS SELECT id, s, id * 1.5 AS more FROM t;
-- {"op":"insert","table":"copied","key":{"id":1},"after":{"id":1,"s":"é","more":"1.5"}}
-- {"op":"insert","table":"copied","key":{"id":2},"after":{"id":2,"s":"b","more":"3.0"}}
CREATE TABLE without_rows AS SELECT * FROM t WHERE FALSE;
CREATE TABLE like_it LIKE t;
INSERT INTO like_it SELECT * FROM t ORDER BY id DESC;
-- {"op":"insert","table":"like_it","key":{"id":2},"after":{"id":2,"s":"b"}}
-- {"op":"insert","table":"like_it","key":{"id":1},"after":{"id":1,"s":"é"}}
