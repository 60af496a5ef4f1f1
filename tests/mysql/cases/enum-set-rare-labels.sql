-- Labels beyond the Basic Multilingual Plane: information_schema does not show them, so this is for FULL metadata.
-- metadata: FULL

CREATE TABLE t (id INT PRIMARY KEY, e ENUM('😀', 'b', '?'), s SET('😀', 'é', '?'));
INSERT INTO t VALUES (1, '😀', '😀,é'), (2, 'b', '?'), (3, '?', '😀,?');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"e":"😀","s":["😀","é"]}}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"e":"b","s":["?"]}}
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"e":"?","s":["😀","?"]}}
