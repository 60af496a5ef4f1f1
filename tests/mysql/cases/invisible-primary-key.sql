-- A generated invisible primary key is a column and the key.

SET SESSION sql_generate_invisible_primary_key = ON;
CREATE TABLE t (s VARCHAR(10));
INSERT INTO t VALUES ('a'), ('b');
-- {"op":"insert","table":"t","key":{"my_row_id":1},"after":{"my_row_id":1,"s":"a"}}
-- {"op":"insert","table":"t","key":{"my_row_id":2},"after":{"my_row_id":2,"s":"b"}}
UPDATE t SET s = 'c' WHERE s = 'b';
-- {"op":"update","table":"t","key":{"my_row_id":2},"before":{"my_row_id":2,"s":"b"},"after":{"my_row_id":2,"s":"c"},"changed":["s"]}
DELETE FROM t WHERE s = 'a';
-- {"op":"delete","table":"t","key":{"my_row_id":1},"before":{"my_row_id":1,"s":"a"}}
