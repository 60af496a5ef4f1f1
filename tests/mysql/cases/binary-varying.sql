-- VARBINARY and BLOBs keep every byte, also zeros at their end.

CREATE TABLE t (id INT PRIMARY KEY, v VARBINARY(300), tb TINYBLOB, b BLOB, mb MEDIUMBLOB, lb LONGBLOB);
INSERT INTO t VALUES (1, 0x6100, 0x00, 0x00FF00, 0xC3A9, 0x80);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"v":"YQA=","tb":"AA==","b":"AP8A","mb":"w6k=","lb":"gA=="}}
INSERT INTO t VALUES (2, '', '', '', '', '');
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"v":"","tb":"","b":"","mb":"","lb":""}}
INSERT INTO t VALUES (3, REPEAT(0xFF, 300), REPEAT('a', 255), REPEAT('a', 65535), REPEAT('a', 65536), REPEAT('a', 70001));
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"v":"@repeat:/:400","tb":"@repeat:YWFh:85","b":"@repeat:YWFh:21845","mb":"@repeat:YWFh:21845:YQ==","lb":"@repeat:YWFh:23333:YWE="}}
INSERT INTO t VALUES (4, NULL, NULL, NULL, NULL, NULL);
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"v":null,"tb":null,"b":null,"mb":null,"lb":null}}
CREATE TABLE u (id INT PRIMARY KEY, c CHAR(4) CHARACTER SET binary, v VARCHAR(4) CHARACTER SET binary, x TEXT CHARACTER SET binary);
INSERT INTO u VALUES (1, 'ab', 'ab', 'ab');
-- {"op":"insert","table":"u","key":{"id":1},"after":{"id":1,"c":"YWIAAA==","v":"YWI=","x":"YWI="}}
