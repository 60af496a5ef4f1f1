-- Every shape with SRID 4326: what ST_AsGeoJSON gives. The longitude comes first there, while SQL's text has the latitude first.

CREATE TABLE t (id INT PRIMARY KEY, g GEOMETRY SRID 4326, s VARCHAR(5) CHARACTER SET latin1);
INSERT INTO t VALUES (1, ST_GeomFromText('POINT(1 2)', 4326), 'é');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"g":{"type":"Point","coordinates":[2.0,1.0]},"s":"é"}}
INSERT INTO t VALUES (2, ST_GeomFromText('POINT(-0.5 1e-7)', 4326), 'é');
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"g":{"type":"Point","coordinates":[1e-7,-0.5]},"s":"é"}}
INSERT INTO t VALUES (3, ST_GeomFromText('LINESTRING(0 0,1 1,2 4)', 4326), 'é');
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"g":{"type":"LineString","coordinates":[[0.0,0.0],[1.0,1.0],[4.0,2.0]]},"s":"é"}}
INSERT INTO t VALUES (4, ST_GeomFromText('POLYGON((0 0,4 0,4 4,0 4,0 0),(1 1,2 1,2 2,1 2,1 1))', 4326), 'é');
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"g":{"type":"Polygon","coordinates":[[[0.0,0.0],[0.0,4.0],[4.0,4.0],[4.0,0.0],[0.0,0.0]],[[1.0,1.0],[1.0,2.0],[2.0,2.0],[2.0,1.0],[1.0,1.0]]]},"s":"é"}}
INSERT INTO t VALUES (5, ST_GeomFromText('MULTIPOINT((1 2),(3 4))', 4326), 'é');
-- {"op":"insert","table":"t","key":{"id":5},"after":{"id":5,"g":{"type":"MultiPoint","coordinates":[[2.0,1.0],[4.0,3.0]]},"s":"é"}}
INSERT INTO t VALUES (6, ST_GeomFromText('MULTILINESTRING((0 0,1 1),(2 2,3 3))', 4326), 'é');
-- {"op":"insert","table":"t","key":{"id":6},"after":{"id":6,"g":{"type":"MultiLineString","coordinates":[[[0.0,0.0],[1.0,1.0]],[[2.0,2.0],[3.0,3.0]]]},"s":"é"}}
INSERT INTO t VALUES (7, ST_GeomFromText('MULTIPOLYGON(((0 0,1 0,1 1,0 0)),((5 5,6 5,6 6,5 5)))', 4326), 'é');
-- {"op":"insert","table":"t","key":{"id":7},"after":{"id":7,"g":{"type":"MultiPolygon","coordinates":[[[[0.0,0.0],[0.0,1.0],[1.0,1.0],[0.0,0.0]]],[[[5.0,5.0],[5.0,6.0],[6.0,6.0],[5.0,5.0]]]]},"s":"é"}}
INSERT INTO t VALUES (8, ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1))', 4326), 'é');
-- {"op":"insert","table":"t","key":{"id":8},"after":{"id":8,"g":{"type":"GeometryCollection","geometries":[{"type":"Point","coordinates":[2.0,1.0]},{"type":"LineString","coordinates":[[0.0,0.0],[1.0,1.0]]}]},"s":"é"}}
INSERT INTO t VALUES (9, ST_GeomFromText('GEOMETRYCOLLECTION EMPTY', 4326), 'é');
-- {"op":"insert","table":"t","key":{"id":9},"after":{"id":9,"g":{"type":"GeometryCollection","geometries":[]},"s":"é"}}
INSERT INTO t (id) VALUES (99);
-- {"op":"insert","table":"t","key":{"id":99},"after":{"id":99,"g":null,"s":null}}
