-- A transaction whose GTID has a tag.

CREATE TABLE t (id INT PRIMARY KEY);
SET gtid_next = 'AUTOMATIC:a_tag';
INSERT INTO t VALUES (1);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1}}
SET gtid_next = 'AUTOMATIC:another';
ALTER TABLE t COMMENT 'a definition with a tag';
SET gtid_next = AUTOMATIC;
INSERT INTO t VALUES (2);
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2}}
