-- Unsigned integers up to their limits, also where a signed reading would turn negative.

CREATE TABLE t (
  id INT UNSIGNED PRIMARY KEY,
  ti TINYINT UNSIGNED, si SMALLINT UNSIGNED, mi MEDIUMINT UNSIGNED, i INT UNSIGNED, bi BIGINT UNSIGNED
);
INSERT INTO t VALUES (4294967295, 255, 65535, 16777215, 4294967295, 18446744073709551615);
-- {"op":"insert","table":"t","key":{"id":4294967295},"after":{"id":4294967295,"ti":255,"si":65535,"mi":16777215,"i":4294967295,"bi":18446744073709551615}}
INSERT INTO t VALUES (2147483648, 128, 32768, 8388608, 2147483648, 9223372036854775808);
-- {"op":"insert","table":"t","key":{"id":2147483648},"after":{"id":2147483648,"ti":128,"si":32768,"mi":8388608,"i":2147483648,"bi":9223372036854775808}}
INSERT INTO t VALUES (1, 127, 32767, 8388607, 2147483647, 9223372036854775807);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"ti":127,"si":32767,"mi":8388607,"i":2147483647,"bi":9223372036854775807}}
INSERT INTO t VALUES (0, 0, 0, 0, 0, 0);
-- {"op":"insert","table":"t","key":{"id":0},"after":{"id":0,"ti":0,"si":0,"mi":0,"i":0,"bi":0}}
UPDATE t SET bi = bi + 1 WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"ti":127,"si":32767,"mi":8388607,"i":2147483647,"bi":9223372036854775807},"after":{"id":1,"ti":127,"si":32767,"mi":8388607,"i":2147483647,"bi":9223372036854775808},"changed":["bi"]}
