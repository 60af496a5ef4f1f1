-- Labels in the binary character set are bytes, which keep their spaces.

CREATE TABLE image (
  name VARBINARY(255) NOT NULL PRIMARY KEY, media ENUM('UNKNOWN', 'BITMAP', 'DRAWING ', 'ß') DEFAULT NULL, at BINARY(2) NOT NULL
) ENGINE=InnoDB, DEFAULT CHARSET=binary;
INSERT INTO image VALUES ('Cat', 'BITMAP', '20'), ('Dog', 'DRAWING ', '21'), ('Fox', 'ß', '22');
-- {"op":"insert","table":"image","key":{"name":"Q2F0"},"after":{"name":"Q2F0","media":"BITMAP","at":"MjA="}}
-- {"op":"insert","table":"image","key":{"name":"RG9n"},"after":{"name":"RG9n","media":"DRAWING ","at":"MjE="}}
-- {"op":"insert","table":"image","key":{"name":"Rm94"},"after":{"name":"Rm94","media":"ß","at":"MjI="}}
ALTER TABLE image ADD kind SET('x ', 'y'), ADD l ENUM('a ') CHARACTER SET latin1;
INSERT INTO image VALUES ('Elk', 'UNKNOWN', '22', 'x ,y', 'a');
-- {"op":"insert","table":"image","key":{"name":"RWxr"},"after":{"name":"RWxr","media":"UNKNOWN","at":"MjI=","kind":["x ","y"],"l":"a"}}
