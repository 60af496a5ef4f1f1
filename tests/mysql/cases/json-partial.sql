-- binlog_row_value_options=PARTIAL_JSON logs what changed in a document; the event has the whole document before and after.

CREATE TABLE t (id INT PRIMARY KEY, n INT, j JSON, k JSON);
SET SESSION binlog_row_value_options = PARTIAL_JSON;
INSERT INTO t VALUES (1, 1, JSON_OBJECT('a', REPEAT('x', 250), 'b', JSON_ARRAY(1, 2, 3), 'c', NULL), '{"same": 1}'), (2, 2, NULL, NULL);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"n":1,"j":{"a":"@repeat:x:250","b":[1,2,3],"c":null},"k":{"same":1}}}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"n":2,"j":null,"k":null}}
UPDATE t SET j = JSON_SET(j, '$.a', 'y') WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"n":1,"j":{"a":"@repeat:x:250","b":[1,2,3],"c":null},"k":{"same":1}},"after":{"id":1,"n":1,"j":{"a":"y","b":[1,2,3],"c":null},"k":{"same":1}},"changed":["j"]}
UPDATE t SET j = JSON_REPLACE(j, '$.b[1]', CAST('1.10' AS DECIMAL(5,2))), n = 5 WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"n":1,"j":{"a":"y","b":[1,2,3],"c":null},"k":{"same":1}},"after":{"id":1,"n":5,"j":{"a":"y","b":[1,1.10,3],"c":null},"k":{"same":1}},"changed":["n","j"]}
UPDATE t SET j = JSON_REMOVE(j, '$.b[0]', '$.c') WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"n":5,"j":{"a":"y","b":[1,1.10,3],"c":null},"k":{"same":1}},"after":{"id":1,"n":5,"j":{"a":"y","b":[1.10,3]},"k":{"same":1}},"changed":["j"]}
UPDATE t SET n = 6 WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"n":5,"j":{"a":"y","b":[1.10,3]},"k":{"same":1}},"after":{"id":1,"n":6,"j":{"a":"y","b":[1.10,3]},"k":{"same":1}},"changed":["n"]}
UPDATE t SET j = JSON_SET(j, '$.d', JSON_OBJECT('e', '中'), '$.b[5]', TRUE);
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"n":6,"j":{"a":"y","b":[1.10,3]},"k":{"same":1}},"after":{"id":1,"n":6,"j":{"a":"y","b":[1.10,3,true],"d":{"e":"中"}},"k":{"same":1}},"changed":["j"]}
UPDATE t SET j = '[1]' WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"n":6,"j":{"a":"y","b":[1.10,3,true],"d":{"e":"中"}},"k":{"same":1}},"after":{"id":1,"n":6,"j":[1],"k":{"same":1}},"changed":["j"]}
UPDATE t SET j = NULL WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"n":6,"j":[1],"k":{"same":1}},"after":{"id":1,"n":6,"j":null,"k":{"same":1}},"changed":["j"]}
DELETE FROM t WHERE id = 2;
-- {"op":"delete","table":"t","key":{"id":2},"before":{"id":2,"n":2,"j":null,"k":null}}
