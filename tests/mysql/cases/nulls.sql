-- NULL in every place of a row that has more columns than a byte has bits.

CREATE TABLE t (id INT PRIMARY KEY, a INT, b VARCHAR(5), c DATE, d DECIMAL(5,2), e ENUM('x'), f SET('x'), g JSON, h BLOB, i TIME(3), j BIT(5), k DOUBLE, l YEAR, m TIMESTAMP NULL, n VECTOR(2), o TEXT, p BINARY(2), q TINYINT);
INSERT INTO t (id) VALUES (1);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"a":null,"b":null,"c":null,"d":null,"e":null,"f":null,"g":null,"h":null,"i":null,"j":null,"k":null,"l":null,"m":null,"n":null,"o":null,"p":null,"q":null}}
INSERT INTO t VALUES (2, 1, NULL, '2026-11-20', NULL, 'x', NULL, '{}', NULL, '01:00:00', NULL, 1, NULL, '2026-11-20', NULL, 'o', NULL, 1);
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"a":1,"b":null,"c":"2026-11-20","d":null,"e":"x","f":null,"g":{},"h":null,"i":"01:00:00.000","j":null,"k":1.0,"l":null,"m":"2026-11-20T00:00:00Z","n":null,"o":"o","p":null,"q":1}}
INSERT INTO t VALUES (3, NULL, 'b', NULL, 1, NULL, 'x', NULL, 'h', NULL, 1, NULL, 2026, NULL, STRING_TO_VECTOR('[1,2]'), NULL, 'p', NULL);
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"a":null,"b":"b","c":null,"d":"1.00","e":null,"f":["x"],"g":null,"h":"aA==","i":null,"j":1,"k":null,"l":2026,"m":null,"n":[1,2],"o":null,"p":"cAA=","q":null}}
UPDATE t SET a = 1, q = NULL WHERE id = 2;
-- {"op":"update","table":"t","key":{"id":2},"before":{"id":2,"a":1,"b":null,"c":"2026-11-20","d":null,"e":"x","f":null,"g":{},"h":null,"i":"01:00:00.000","j":null,"k":1.0,"l":null,"m":"2026-11-20T00:00:00Z","n":null,"o":"o","p":null,"q":1},"after":{"id":2,"a":1,"b":null,"c":"2026-11-20","d":null,"e":"x","f":null,"g":{},"h":null,"i":"01:00:00.000","j":null,"k":1.0,"l":null,"m":"2026-11-20T00:00:00Z","n":null,"o":"o","p":null,"q":null},"changed":["q"]}
UPDATE t SET a = 1, b = NULL WHERE id = 3;
-- {"op":"update","table":"t","key":{"id":3},"before":{"id":3,"a":null,"b":"b","c":null,"d":"1.00","e":null,"f":["x"],"g":null,"h":"aA==","i":null,"j":1,"k":null,"l":2026,"m":null,"n":[1,2],"o":null,"p":"cAA=","q":null},"after":{"id":3,"a":1,"b":null,"c":null,"d":"1.00","e":null,"f":["x"],"g":null,"h":"aA==","i":null,"j":1,"k":null,"l":2026,"m":null,"n":[1,2],"o":null,"p":"cAA=","q":null},"changed":["a","b"]}
