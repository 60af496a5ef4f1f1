//! How a session is set up before rowhook asks or writes anything in it.
//!
//! Out: two statements, one for rowhook's own queries and one for statements that rules write back. A server's global
//! settings must change neither an answer nor the text of an error, because some errors are recognized by their text: a
//! limit on rows, on time or on joins, another character set, language, SQL mode or time zone. Any account may set
//! these variables, and every server from 8.0 on knows them.

/// Variables that no session of rowhook may take over from the server.
macro_rules! limits {
    () => {
        "SET NAMES utf8mb4, SESSION sql_select_limit = 18446744073709551615, SESSION max_execution_time = 0, \
         SESSION max_join_size = 18446744073709551615, SESSION sql_big_selects = ON, SESSION sql_safe_updates = OFF, \
         SESSION autocommit = ON, SESSION completion_type = 'NO_CHAIN', SESSION max_sort_length = 1024, \
         SESSION wait_timeout = 28800, SESSION lc_messages = 'en_US'"
    };
}

/// For rowhook's own queries.
pub(super) const QUESTIONS_SQL: &str = concat!(
    limits!(),
    ", SESSION sql_mode = '', SESSION time_zone = '+00:00', SESSION transaction_isolation = 'REPEATABLE-READ', \
     SESSION transaction_read_only = OFF, SESSION sql_auto_is_null = OFF"
);

/// For statements of rules: `sql_mode`, time zone and isolation stay the server's.
pub(super) const STATEMENTS_SQL: &str = limits!();

/// Generated invisible primary keys are in the row image, so they must be listed. Unknown before 8.0.30.
pub(super) const LIST_HIDDEN_KEYS_SQL: &str = "SET SESSION show_gipk_in_create_table_and_information_schema = ON";
