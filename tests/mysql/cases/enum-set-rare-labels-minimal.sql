-- information_schema shows a label beyond the Basic Multilingual Plane with a question mark, which must not pass for one.
-- metadata: MINIMAL

CREATE TABLE t (id INT PRIMARY KEY, e ENUM('😀', 'b'));
INSERT INTO t VALUES (1, '😀');
-- stops: FULL
