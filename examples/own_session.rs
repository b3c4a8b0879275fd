//! The indicators in any DataFusion session: `cargo run --example own_session`.

use std::error::Error;
use std::path::Path;

use datafusion::prelude::{CsvReadOptions, SessionContext};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let bars = sample(folder.path())?;

    let mut session = SessionContext::new();
    windrow_udfs::register_all(&mut session)?; // No other setup is needed.
    session.register_csv("bars", &bars, CsvReadOptions::new()).await?;

    let features = session
        .sql(
            "SELECT symbol, ts, close,
                    sma(close, 5) OVER w AS sma_5,
                    rsi(close) OVER w AS rsi_14,
                    macd(close, 5, 10, 3) OVER w['macdhist'] AS macdhist,
                    cs_rank(close) OVER (PARTITION BY ts) AS rank
             FROM bars
             WINDOW w AS (PARTITION BY symbol ORDER BY ts)
             ORDER BY ts DESC, symbol
             LIMIT 6",
        )
        .await?;
    features.show().await?;
    Ok(())
}

/// Writes sixty days of two symbols, and returns the path of the file.
fn sample(folder: &Path) -> std::io::Result<String> {
    let mut text = String::from("symbol,ts,close\n");
    for (symbol, base) in [("CALM", 50.0), ("WAVE", 80.0)] {
        for day in 0..60 {
            let close = base + f64::from(day) * 0.1 + 4.0 * (f64::from(day) / 5.0 + base).sin();
            text += &format!("{symbol},2024-{:02}-{:02},{close:.2}\n", 1 + day / 28, 1 + day % 28);
        }
    }
    let file = folder.join("bars.csv");
    std::fs::write(&file, text)?;
    Ok(file.to_string_lossy().into_owned())
}
