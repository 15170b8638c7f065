//! The table definitions: versioned files, applied in order, each statement safe to repeat.

use clickhouse::Client;
use clickhouse::error::Error;

/// Number and text of every file, ascending. A file that was released is never changed.
const FILES: [(u32, &str); 1] = [(1, include_str!("../migrations/0001_samples.sql"))];

/// The same for the database of usage, which belongs to no generation.
const USAGE_FILES: [(u32, &str); 1] = [(1, include_str!("../migrations/usage/0001_usage.sql"))];

/// Brings `database` up to the newest version. Statements say `IF NOT EXISTS`, so that workers that start together do
/// no harm to each other, and one that was broken off is begun again.
pub async fn apply(client: &Client, database: &str) -> Result<(), Error> {
    apply_files(client, database, &FILES).await
}

/// The same for the database of usage.
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

/// The newest version that was applied whole; 0 if there is none.
async fn version(client: &Client, database: &str) -> Result<u32, Error> {
    let known: u64 = client
        .query("SELECT count() FROM system.tables WHERE database = {database:String} AND name = 'migrations'")
        .param("database", database)
        .fetch_one()
        .await?;
    if known == 0 {
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
    // Written twice by two workers that started together, it says the same.
    client.query_raw(&format!("INSERT INTO migrations (number) VALUES ({number})")).execute().await
}

/// The statements of a file, without its comments.
fn statements(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let code = code.join("\n");
    code.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_numbered_in_order_and_name_no_fixed_database() {
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
