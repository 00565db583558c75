//! The order of the reads. A list is read cold, then by new tokens, then warm.

use std::time::Duration;

use http::StatusCode;
use indicatif::ProgressBar;
use tokio::time::Instant;

use super::{
    client::{Answer, Client, Wanted},
    lists::{self, List},
    options::Bench,
    samples::{Kind, Measured, Row},
    tokens::{Token, Tokens},
    trouble::Trouble,
};

/// From an answer to the next cold read of the same: the proxy takes what was filled within the last second for new.
const PACE: Duration = Duration::from_millis(1_100);

/// Reads both lists as often as the options say.
pub(super) async fn all(
    bench: &Bench,
    client: &Client,
    tokens: &Tokens,
    progress: &ProgressBar,
) -> Result<[Measured; 2], Trouble> {
    let main = tokens.main().await?;
    let sellers = lists::sellers(bench.page_size);
    let ids = ids(client, &sellers, &main).await?;
    // Each is read cold as well as warm, or their times would be those of different lists.
    let sellers_read = bench.sellers.min(bench.samples);
    let of_seller = |id: &u64| lists::catalogs(*id, bench.page_size);
    let catalogs: Vec<String> = ids.iter().take(sellers_read as usize).map(of_seller).collect();
    let reads = Reads { bench, client, tokens, main, progress };
    Ok([reads.of(List::Sellers, &[sellers]).await?, reads.of(List::Catalogs, &catalogs).await?])
}

/// The ids of the sellers on the first page; this also opens the connection.
async fn ids(client: &Client, target: &str, token: &Token) -> Result<Vec<u64>, Trouble> {
    let answer = checked(client, List::Sellers, client.get(target, token, Wanted::Usual).await?)?;
    let url = || client.url().to_owned();
    if answer.status != StatusCode::OK {
        return Err(Trouble::Status { url: url(), list: List::Sellers, status: answer.status });
    }
    match lists::ids(&answer.body.concat()) {
        Some(ids) if ids.is_empty() => Err(Trouble::NoSellers),
        Some(ids) => Ok(ids),
        None => Err(Trouble::NoList { url: url() }),
    }
}

/// An answer after which going on makes sense.
fn checked(client: &Client, list: List, answer: Answer) -> Result<Answer, Trouble> {
    if answer.origin.is_none() {
        return Err(Trouble::NotCatproxy { url: client.url().to_owned() });
    }
    match answer.status {
        StatusCode::UNAUTHORIZED => Err(Trouble::NotAccepted),
        StatusCode::FORBIDDEN => Err(Trouble::Forbidden(list)),
        _ => Ok(answer),
    }
}

struct Reads<'r> {
    bench: &'r Bench,
    client: &'r Client,
    tokens: &'r Tokens,
    main: Token,
    progress: &'r ProgressBar,
}

impl Reads<'_> {
    async fn of(&self, list: List, targets: &[String]) -> Result<Measured, Trouble> {
        let cold = self.cold(list, targets).await?.or_trouble()?;
        for target in targets {
            // What was not read yet is there from now on.
            self.get(list, target, &self.main, Wanted::Usual).await?;
        }
        let new_token = self.new_token(list, targets).await?;
        let warm = self.warm(list, targets).await?.or_trouble()?;
        Ok(Measured { list, keys: targets.len(), cold, new_token, warm })
    }

    async fn cold(&self, list: List, targets: &[String]) -> Result<Row, Trouble> {
        let mut row = self.row(list, Kind::Cold, self.bench.samples)?;
        let mut free = vec![Instant::now() + PACE; targets.len()];
        let places = (0..targets.len()).cycle().take(self.bench.samples as usize);
        for place in places {
            let (Some(target), Some(free)) = (targets.get(place), free.get_mut(place)) else { continue };
            tokio::time::sleep_until(*free).await;
            row.take(&self.get(list, target, &self.main, Wanted::Newest).await?);
            *free = Instant::now() + PACE;
            self.progress.inc(1);
        }
        Ok(row)
    }

    async fn new_token(&self, list: List, targets: &[String]) -> Result<Row, Trouble> {
        let others = self.tokens.others(self.bench.samples);
        let mut row = self.row(list, Kind::NewToken, others)?;
        for (place, target) in (0..others).zip(targets.iter().cycle()) {
            let token = self.tokens.other(place).await?;
            row.take(&self.get(list, target, &token, Wanted::Usual).await?);
            self.progress.inc(1);
        }
        Ok(row)
    }

    async fn warm(&self, list: List, targets: &[String]) -> Result<Row, Trouble> {
        let mut row = self.row(list, Kind::Warm, self.bench.warm_samples)?;
        for target in targets.iter().cycle().take(self.bench.warm_samples as usize) {
            row.take(&self.get(list, target, &self.main, Wanted::Usual).await?);
            self.progress.inc(1);
        }
        Ok(row)
    }

    fn row(&self, list: List, kind: Kind, reads: u32) -> Result<Row, Trouble> {
        self.progress.set_length(u64::from(reads));
        self.progress.set_position(0);
        self.progress.set_message(format!("{list}, {kind}"));
        Row::new(list, kind)
    }

    async fn get(&self, list: List, target: &str, token: &Token, wanted: Wanted) -> Result<Answer, Trouble> {
        checked(self.client, list, self.client.get(target, token, wanted).await?)
    }
}
