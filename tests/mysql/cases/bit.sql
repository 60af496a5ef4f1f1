-- BIT(n) is a number, up to 64 bits.

CREATE TABLE t (id INT PRIMARY KEY, b1 BIT(1), b8 BIT(8), b9 BIT(9), b33 BIT(33), b64 BIT(64));
INSERT INTO t VALUES (1, b'1', b'10000001', b'100000001', b'100000000000000000000000000000001', 0xFFFFFFFFFFFFFFFF);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"b1":1,"b8":129,"b9":257,"b33":4294967297,"b64":18446744073709551615}}
INSERT INTO t VALUES (2, b'0', b'0', b'0', b'0', b'0');
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"b1":0,"b8":0,"b9":0,"b33":0,"b64":0}}
INSERT INTO t VALUES (3, 1, 255, 511, 8589934591, 0x8000000000000000);
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"b1":1,"b8":255,"b9":511,"b33":8589934591,"b64":9223372036854775808}}
INSERT INTO t VALUES (4, NULL, NULL, NULL, NULL, NULL);
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"b1":null,"b8":null,"b9":null,"b33":null,"b64":null}}
UPDATE t SET b9 = b'11' WHERE id = 2;
-- {"op":"update","table":"t","key":{"id":2},"before":{"id":2,"b1":0,"b8":0,"b9":0,"b33":0,"b64":0},"after":{"id":2,"b1":0,"b8":0,"b9":3,"b33":0,"b64":0},"changed":["b9"]}
