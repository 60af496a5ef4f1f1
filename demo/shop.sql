-- The database of the quickstart: a small shop. Its application writes these tables and does not know rowhook.
CREATE DATABASE shop;

CREATE TABLE shop.users (
  id         BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  email      VARCHAR(255)    NOT NULL,
  name       VARCHAR(100)    NOT NULL,
  plan       ENUM('free', 'pro') NOT NULL DEFAULT 'free',
  created_at TIMESTAMP       NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE shop.orders (
  id         BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  user_id    BIGINT UNSIGNED NOT NULL,
  status     ENUM('new', 'paid', 'shipped', 'cancelled') NOT NULL DEFAULT 'new',
  total      DECIMAL(10, 2)  NOT NULL,
  created_at TIMESTAMP       NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE shop.stock (
  sku        VARCHAR(32)     NOT NULL PRIMARY KEY,
  name       VARCHAR(100)    NOT NULL,
  quantity   INT             NOT NULL,
  reorder_at INT             NOT NULL
);

CREATE TABLE shop.outbox (
  id           BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  aggregate_id BIGINT UNSIGNED NOT NULL,
  type         VARCHAR(64)     NOT NULL,
  payload      JSON            NOT NULL,
  created_at   TIMESTAMP       NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE shop.products (
  id         BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name       VARCHAR(100)    NOT NULL,
  price      DECIMAL(10, 2)  NOT NULL
);

CREATE TABLE shop.order_lines (
  order_id   BIGINT UNSIGNED NOT NULL,
  line       INT             NOT NULL,
  sku        VARCHAR(32)     NOT NULL,
  quantity   INT             NOT NULL,
  PRIMARY KEY (order_id, line)
);

CREATE TABLE shop.payments (
  id         BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  order_id   BIGINT UNSIGNED NOT NULL,
  state      ENUM('open', 'booked', 'refunded') NOT NULL DEFAULT 'open',
  amount     DECIMAL(10, 2)  NOT NULL
);

CREATE TABLE shop.subscriptions (
  id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  contact_email VARCHAR(255)    NOT NULL,
  webhook_url   VARCHAR(2000)   NOT NULL
);

CREATE TABLE shop.charges (
  id         BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  user_id    BIGINT UNSIGNED NOT NULL,
  amount     DECIMAL(10, 2)  NOT NULL
);

CREATE TABLE shop.signups (
  id         BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  email      VARCHAR(255)    NOT NULL,
  plan       ENUM('free', 'pro') NOT NULL DEFAULT 'free',
  account_id VARCHAR(64),
  state      ENUM('new', 'done', 'failed', 'stuck') NOT NULL DEFAULT 'new'
);

-- Customers from before rowhook: they are not in the binlog, so there are no calls for them, however early reading begins.
SET SESSION sql_log_bin = 0;
INSERT INTO shop.users (id, email, name) VALUES (7, 'ada@example.com', 'Ada'), (9, 'carl@example.com', 'Carl');
SET SESSION sql_log_bin = 1;

-- The privileges that rowhook needs: to read the binlog, and to read the columns of the tables that rules name.
CREATE USER rowhook IDENTIFIED BY 'rowhook';
GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO rowhook;
GRANT SELECT ON shop.* TO rowhook;
