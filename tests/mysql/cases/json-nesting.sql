-- Objects and arrays, small and large, and members in MySQL's own order: by length, then by bytes.

CREATE TABLE t (id INT PRIMARY KEY, j JSON);
INSERT INTO t VALUES (1, '{"bb": 1, "a": [1, {"c": []}, [[]]], "ccc": {"d": {"e": {}}}, "": "empty name"}');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"j":{"":"empty name","a":[1,{"c":[]},[[]]],"bb":1,"ccc":{"d":{"e":{}}}}}}
INSERT INTO t VALUES (2, '{"b": 1, "a": 2, "é": 3, "aa": 4, "a": 5}');
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"j":{"a":5,"b":1,"aa":4,"é":3}}}
INSERT INTO t VALUES (3, CONCAT('{"large": "', REPEAT('x', 70000), '", "n": 70000, "m": 4000000000, "o": {"k": [1, null]}}'));
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"j":{"m":4000000000,"n":70000,"o":{"k":[1,null]},"large":"@repeat:x:70000"}}}
INSERT INTO t VALUES (4, CONCAT(REPEAT('[', 99), REPEAT(']', 99)));
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"j":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}}
INSERT INTO t VALUES (5, CONCAT('["', REPEAT('y', 127), '", "', REPEAT('z', 128), '", "', REPEAT('w', 16384), '"]'));
-- {"op":"insert","table":"t","key":{"id":5},"after":{"id":5,"j":["yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy","zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz","@repeat:w:16384"]}}
UPDATE t SET j = JSON_SET(j, '$.b', 'changed') WHERE id = 2;
-- {"op":"update","table":"t","key":{"id":2},"before":{"id":2,"j":{"a":5,"b":1,"aa":4,"é":3}},"after":{"id":2,"j":{"a":5,"b":"changed","aa":4,"é":3}},"changed":["j"]}
UPDATE t SET j = JSON_REMOVE(j, '$.ccc', '$.a[1]') WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"j":{"":"empty name","a":[1,{"c":[]},[[]]],"bb":1,"ccc":{"d":{"e":{}}}}},"after":{"id":1,"j":{"":"empty name","a":[1,[[]]],"bb":1}},"changed":["j"]}
