-- latin1 is Windows-1252 in MySQL, with the five bytes that it leaves open standing for themselves.

CREATE TABLE t (id INT PRIMARY KEY, c CHAR(20), v VARCHAR(40), x TEXT) DEFAULT CHARSET latin1;
INSERT INTO t VALUES (1, 'é€ÿ', 'Œuvre à 5 € “cited”', 'naïve');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"c":"é€ÿ","v":"Œuvre à 5 € “cited”","x":"naïve"}}
INSERT INTO t VALUES (2, _latin1 0x80818D8F909D9FA0FF, _latin1 0x82838485868788898A8B8C8E, _latin1 0x9192939495969798999A9B9C9E);
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"c":"€Ÿ ÿ","v":"‚ƒ„…†‡ˆ‰Š‹ŒŽ","x":"‘’“”•–—˜™š›œž"}}
CREATE TABLE u (id INT PRIMARY KEY, s VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_bin, d VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_german2_ci);
INSERT INTO u VALUES (1, 'ß', 'ẞ'), (2, 'Ä', 'Ö');
-- {"op":"insert","table":"u","key":{"id":1},"after":{"id":1,"s":"ß","d":"?"}}
-- {"op":"insert","table":"u","key":{"id":2},"after":{"id":2,"s":"Ä","d":"Ö"}}
