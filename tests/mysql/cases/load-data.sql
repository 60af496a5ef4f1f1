-- LOAD DATA in row format is inserts.

CREATE TABLE source (id INT PRIMARY KEY, s VARCHAR(10));
INSERT INTO source VALUES (1, 'a'), (2, NULL), (3, 'tab	x');
-- {"op":"insert","table":"source","key":{"id":1},"after":{"id":1,"s":"a"}}
-- {"op":"insert","table":"source","key":{"id":2},"after":{"id":2,"s":null}}
-- {"op":"insert","table":"source","key":{"id":3},"after":{"id":3,"s":"tab\tx"}}
SELECT * FROM source INTO OUTFILE 'rows.txt';
CREATE TABLE t LIKE source;
LOAD DATA INFILE 'rows.txt' INTO TABLE t CHARACTER SET utf8mb4;
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"s":"a"}}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"s":null}}
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"s":"tab\tx"}}
LOAD DATA INFILE 'rows.txt' REPLACE INTO TABLE t CHARACTER SET utf8mb4 IGNORE 2 LINES (id, @s) SET s = UPPER(@s);
-- {"op":"update","table":"t","key":{"id":3},"before":{"id":3,"s":"tab\tx"},"after":{"id":3,"s":"TAB\tX"},"changed":["s"]}
