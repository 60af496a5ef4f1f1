-- Keys of other types than integers have the same forms as elsewhere in the row.

CREATE TABLE d (k DECIMAL(5,2) PRIMARY KEY);
INSERT INTO d VALUES (1.5);
-- {"op":"insert","table":"d","key":{"k":"1.50"},"after":{"k":"1.50"}}
CREATE TABLE e (k ENUM('a', 'b') PRIMARY KEY);
INSERT INTO e VALUES ('b');
-- {"op":"insert","table":"e","key":{"k":"b"},"after":{"k":"b"}}
CREATE TABLE s (k SET('a', 'b') PRIMARY KEY);
INSERT INTO s VALUES ('a,b');
-- {"op":"insert","table":"s","key":{"k":["a","b"]},"after":{"k":["a","b"]}}
CREATE TABLE ts (k TIMESTAMP(3) PRIMARY KEY);
INSERT INTO ts VALUES ('2026-11-20 23:04:05.120');
-- {"op":"insert","table":"ts","key":{"k":"2026-11-20T23:04:05.120Z"},"after":{"k":"2026-11-20T23:04:05.120Z"}}
CREATE TABLE c (k CHAR(5) CHARACTER SET latin1 PRIMARY KEY);
INSERT INTO c VALUES ('é');
-- {"op":"insert","table":"c","key":{"k":"é"},"after":{"k":"é"}}
CREATE TABLE b (k BIT(9) PRIMARY KEY, y YEAR);
INSERT INTO b VALUES (257, 2026);
-- {"op":"insert","table":"b","key":{"k":257},"after":{"k":257,"y":2026}}
CREATE TABLE f (k DOUBLE PRIMARY KEY);
INSERT INTO f VALUES (0.1);
-- {"op":"insert","table":"f","key":{"k":0.1},"after":{"k":0.1}}
CREATE TABLE t (k TIME(2) PRIMARY KEY);
INSERT INTO t VALUES ('-00:00:00.01');
-- {"op":"insert","table":"t","key":{"k":"-00:00:00.01"},"after":{"k":"-00:00:00.01"}}
