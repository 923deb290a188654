//! `broker-portal seed`

use std::{num::NonZeroU32, time::Instant};

use clap::Args;

use super::CommandError;
use crate::server::{
    config::Config,
    output::{print_line, report_line},
    services::{
        accounts::Accounts,
        seed::{SeedSize, seed_database},
    },
};

#[derive(Args)]
pub struct Seed {
    /// Number of users
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    people: u32,
    /// Number of live sessions. Those beyond the roles' limits are spread evenly
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    sessions: u32,
    /// Number of ended sessions [default: a tenth of the live ones]
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    ended: Option<u32>,
    /// Number of organizations
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    organizations: u32,
    /// Allow a database that has accounts. Seeded accounts cannot be removed again
    #[arg(long)]
    i_know_this_fills_the_database: bool,
}

pub async fn run(seed: &Seed, accounts: &Accounts, config: &Config) -> Result<(), CommandError> {
    let began = Instant::now();
    let size = SeedSize {
        people: NonZeroU32::new(seed.people).unwrap_or(NonZeroU32::MIN),
        organizations: NonZeroU32::new(seed.organizations).unwrap_or(NonZeroU32::MIN),
        sessions: seed.sessions,
        ended: seed.ended.unwrap_or(seed.sessions / 10),
    };
    let seeded = seed_database(
        accounts,
        &config.policy,
        size,
        config.retention,
        seed.i_know_this_fills_the_database,
        |sessions| report_line!("{sessions} sessions"),
    )
    .await?;
    print_line!(
        "Created {} users, {} live sessions, {} ended sessions and {} audit rows in {:.0} s. No user can sign in.",
        size.people,
        seeded.live,
        seeded.ended,
        seeded.audit_rows,
        began.elapsed().as_secs_f64(),
    )?;
    if seeded.over_limit > 0 {
        print_line!(
            "{} users have more live sessions than their role allows.",
            seeded.over_limit
        )?;
    }
    Ok(())
}
