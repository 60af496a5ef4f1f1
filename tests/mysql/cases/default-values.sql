-- With full images the defaults are in the row.

CREATE TABLE t (
  id INT PRIMARY KEY, i INT DEFAULT 5, n INT, s VARCHAR(10) DEFAULT 'é "q"', d DECIMAL(5,2) DEFAULT 1.5, e ENUM('a', 'b') DEFAULT 'b', st SET('p', 'q') DEFAULT 'p,q',
  dt DATETIME(3) DEFAULT '2026-11-20 01:02:03.004', b BINARY(3) DEFAULT 'x', x VARCHAR(20) DEFAULT (CONCAT('id ', id)), nn INT NOT NULL, ns VARCHAR(5) NOT NULL, ne ENUM('y', 'z') NOT NULL
);
INSERT INTO t (id) VALUES (1);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"i":5,"n":null,"s":"é \"q\"","d":"1.50","e":"b","st":["p","q"],"dt":"2026-11-20T01:02:03.004","b":"eAAA","x":"id 1","nn":0,"ns":"","ne":"y"}}
INSERT INTO t (id, i, s, e) VALUES (2, DEFAULT, DEFAULT, DEFAULT);
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"i":5,"n":null,"s":"é \"q\"","d":"1.50","e":"b","st":["p","q"],"dt":"2026-11-20T01:02:03.004","b":"eAAA","x":"id 2","nn":0,"ns":"","ne":"y"}}
UPDATE t SET i = DEFAULT, s = NULL WHERE id = 2;
-- {"op":"update","table":"t","key":{"id":2},"before":{"id":2,"i":5,"n":null,"s":"é \"q\"","d":"1.50","e":"b","st":["p","q"],"dt":"2026-11-20T01:02:03.004","b":"eAAA","x":"id 2","nn":0,"ns":"","ne":"y"},"after":{"id":2,"i":5,"n":null,"s":null,"d":"1.50","e":"b","st":["p","q"],"dt":"2026-11-20T01:02:03.004","b":"eAAA","x":"id 2","nn":0,"ns":"","ne":"y"},"changed":["s"]}
