//! Whose server it is: where a provider runs it, its settings are changed by the provider's own means.
//!
//! In: the server's address and variables. Out: how a setting is changed there, in one line. RDS and Aurora have their folders
//! and host names, Cloud SQL its `cloudsql_` variables, Azure its host names; `SET PERSIST` is refused on all of them.

use std::collections::HashMap;

/// Who runs the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Platform {
    /// Its administrator has all rights.
    Own,
    /// Amazon RDS or Aurora.
    Amazon,
    /// Google Cloud SQL.
    CloudSql,
    /// Azure Database for MySQL.
    Azure,
}

impl Platform {
    pub fn of(address: &str, variables: &HashMap<String, String>) -> Platform {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).to_ascii_lowercase();
        let is_amazons = variables.contains_key("aurora_version")
            || variables.get("basedir").is_some_and(|path| path.starts_with("/rdsdbbin"))
            || host.ends_with(".rds.amazonaws.com")
            || host.ends_with(".rds.amazonaws.com.cn");
        match () {
            () if is_amazons => Platform::Amazon,
            () if variables.keys().any(|name| name.starts_with("cloudsql_")) => Platform::CloudSql,
            () if host.ends_with(".mysql.database.azure.com") => Platform::Azure,
            () => Platform::Own,
        }
    }

    /// How a setting is changed.
    pub fn set(self, name: &str, value: &str) -> String {
        match self {
            Platform::Own if value.bytes().all(|byte| byte.is_ascii_digit()) => format!("SET PERSIST {name} = {value}"),
            Platform::Own => format!("SET PERSIST {name} = '{value}'"),
            Platform::Amazon => format!("set {name} to {value} in the parameter group of the instance or cluster"),
            Platform::CloudSql => format!("set the database flag {name} to {value}"),
            Platform::Azure => format!("az mysql flexible-server parameter set --name {name} --value {value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_recognized_by_its_variables_or_its_names() {
        let variables = |name: &str, value: &str| HashMap::from([(name.to_string(), value.to_string())]);
        let none = HashMap::new();
        for (address, variables, expected) in [
            ("shop.abc.eu-central-1.rds.amazonaws.com:3306", none.clone(), Platform::Amazon),
            ("10.0.0.1:3306", variables("basedir", "/rdsdbbin/mysql-8.0.40/"), Platform::Amazon),
            ("10.0.0.1:3306", variables("aurora_version", "3.08.0"), Platform::Amazon),
            ("10.0.0.1:3306", variables("cloudsql_iam_authentication", "OFF"), Platform::CloudSql),
            ("shop.mysql.database.azure.com:3306", none, Platform::Azure),
            ("db.example:3306", variables("basedir", "/usr/"), Platform::Own),
        ] {
            assert_eq!(Platform::of(address, &variables), expected, "{address} {variables:?}");
        }
    }

    #[test]
    fn a_setting_is_changed_by_what_the_platform_allows() {
        assert_eq!(Platform::Own.set("binlog_format", "ROW"), "SET PERSIST binlog_format = 'ROW'");
        assert_eq!(
            Platform::Own.set("binlog_expire_logs_seconds", "60"),
            "SET PERSIST binlog_expire_logs_seconds = 60"
        );
        for platform in [Platform::Amazon, Platform::CloudSql, Platform::Azure] {
            let fix = platform.set("binlog_format", "ROW");
            assert!(!fix.contains("SET PERSIST") && fix.contains("binlog_format") && fix.contains("ROW"), "{fix}");
        }
    }
}
