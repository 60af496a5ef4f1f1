-- A table that the statement makes is followed, and one that was there stays as it was, also where it says otherwise.

CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY, e ENUM('a', 'b'));
INSERT INTO t VALUES (1, 'b');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"e":"b"}}
CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY, other ENUM('x', 'y'));
INSERT INTO t VALUES (2, 'a');
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"e":"a"}}
ALTER TABLE t ADD n INT;
INSERT INTO t VALUES (3, 'a', 5);
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"e":"a","n":5}}
CREATE TABLE IF NOT EXISTS u LIKE t;
INSERT INTO u VALUES (1, 'b', 6);
-- {"op":"insert","table":"u","key":{"id":1},"after":{"id":1,"e":"b","n":6}}
