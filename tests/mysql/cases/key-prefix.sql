-- A key over prefixes of columns: the whole values are the key.

CREATE TABLE t (a VARCHAR(20), b VARBINARY(20), n INT, x TEXT, PRIMARY KEY (a(2), n, b(3)));
INSERT INTO t VALUES ('abcdef', 'ghijkl', 1, 'x');
-- {"op":"insert","table":"t","key":{"a":"abcdef","n":1,"b":"Z2hpamts"},"after":{"a":"abcdef","b":"Z2hpamts","n":1,"x":"x"}}
UPDATE t SET x = 'y';
-- {"op":"update","table":"t","key":{"a":"abcdef","n":1,"b":"Z2hpamts"},"before":{"a":"abcdef","b":"Z2hpamts","n":1,"x":"x"},"after":{"a":"abcdef","b":"Z2hpamts","n":1,"x":"y"},"changed":["x"]}
CREATE TABLE u (x TEXT, PRIMARY KEY (x(5)));
INSERT INTO u VALUES ('longer than five');
-- {"op":"insert","table":"u","key":{"x":"longer than five"},"after":{"x":"longer than five"}}
