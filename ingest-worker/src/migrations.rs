//! Applies the versioned table definitions of `migrations/` in order. Every statement is safe to repeat.

use clickhouse::Client;
use clickhouse::error::Error;

/// Number and text of every file, ascending. The statements of a released file never change.
const FILES: [(u32, &str); 1] = [(1, include_str!("../migrations/0001_samples.sql"))];

/// Files of the usage database, which belongs to no generation.
const USAGE_FILES: [(u32, &str); 1] = [(1, include_str!("../migrations/usage/0001_usage.sql"))];

/// Migrates the database of a generation to the newest version. Every statement has `IF NOT EXISTS`, so workers that start
/// at the same time do not disturb each other, and an interrupted migration is repeated.
pub async fn apply(client: &Client, database: &str) -> Result<(), Error> {
    apply_files(client, database, &FILES).await
}

/// Migrates the usage database to the newest version.
pub async fn apply_usage(client: &Client, database: &str) -> Result<(), Error> {
    apply_files(client, database, &USAGE_FILES).await
}

async fn apply_files(client: &Client, database: &str, files: &[(u32, &str)]) -> Result<(), Error> {
    let applied = version(client, database).await?;
    for &(number, text) in files.iter().filter(|(number, _)| *number > applied) {
        tracing::info!(database, number, "applying a migration");
        for statement in statements(text) {
            client.query_raw(&statement.replace("{database}", database)).execute().await?;
        }
        record(client, database, number).await?;
    }
    Ok(())
}

/// Returns the newest version that was applied completely, or 0.
async fn version(client: &Client, database: &str) -> Result<u32, Error> {
    let has_table: u64 = client
        .query("SELECT count() FROM system.tables WHERE database = {database:String} AND name = 'migrations'")
        .param("database", database)
        .fetch_one()
        .await?;
    if has_table == 0 {
        return Ok(0);
    }
    client.clone().with_database(database).query("SELECT max(number) FROM migrations").fetch_one().await
}

async fn record(client: &Client, database: &str, number: u32) -> Result<(), Error> {
    let client = client.clone().with_database(database);
    client
        .query(
            "CREATE TABLE IF NOT EXISTS migrations (number UInt32, applied_at DateTime DEFAULT now())
             ENGINE = MergeTree ORDER BY number",
        )
        .execute()
        .await?;
    // Two workers that start at the same time may both write the row, which changes nothing.
    client.query_raw(&format!("INSERT INTO migrations (number) VALUES ({number})")).execute().await
}

/// Returns the statements of a file without its comments.
fn statements(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let code = code.join("\n");
    code.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_ordered_repeatable_and_free_of_database_names() {
        for files in [FILES.as_slice(), USAGE_FILES.as_slice()] {
            assert!(files.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
        for (number, text) in FILES.into_iter().chain(USAGE_FILES) {
            for statement in statements(text) {
                assert!(statement.contains("{database}"), "file {number}: {statement}");
                assert!(statement.contains("IF NOT EXISTS"), "file {number}: {statement}");
            }
        }
    }
}
