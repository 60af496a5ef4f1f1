-- Every integer type at its limits.

CREATE TABLE t (
  id INT PRIMARY KEY,
  ti TINYINT, si SMALLINT, mi MEDIUMINT, i INT, bi BIGINT
);
INSERT INTO t VALUES (1, -128, -32768, -8388608, -2147483648, -9223372036854775808);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"ti":-128,"si":-32768,"mi":-8388608,"i":-2147483648,"bi":-9223372036854775808}}
INSERT INTO t VALUES (2, 127, 32767, 8388607, 2147483647, 9223372036854775807);
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"ti":127,"si":32767,"mi":8388607,"i":2147483647,"bi":9223372036854775807}}
INSERT INTO t VALUES (3, -1, -1, -1, -1, -1), (4, 0, 0, 0, 0, 0), (5, NULL, NULL, NULL, NULL, NULL);
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"ti":-1,"si":-1,"mi":-1,"i":-1,"bi":-1}}
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"ti":0,"si":0,"mi":0,"i":0,"bi":0}}
-- {"op":"insert","table":"t","key":{"id":5},"after":{"id":5,"ti":null,"si":null,"mi":null,"i":null,"bi":null}}
UPDATE t SET bi = bi - 1, mi = mi - 1 WHERE id = 2;
-- {"op":"update","table":"t","key":{"id":2},"before":{"id":2,"ti":127,"si":32767,"mi":8388607,"i":2147483647,"bi":9223372036854775807},"after":{"id":2,"ti":127,"si":32767,"mi":8388606,"i":2147483647,"bi":9223372036854775806},"changed":["mi","bi"]}
DELETE FROM t WHERE id = 3;
-- {"op":"delete","table":"t","key":{"id":3},"before":{"id":3,"ti":-1,"si":-1,"mi":-1,"i":-1,"bi":-1}}
