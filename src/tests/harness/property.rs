//! Property tests. A failure prints the seed that reproduces it and the smallest failing case.

use std::fmt::Debug;

use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngSeed, TestRunner},
};
use uuid::Uuid;

/// Runs `test` with this many random values. `PORTAL_TEST_SEED` reproduces a failure.
pub fn for_all<S>(cases: u32, values: &S, test: impl AsyncFn(S::Value))
where
    S: Strategy,
    S::Value: Debug,
{
    let given = std::env::var("PORTAL_TEST_SEED").ok();
    let seed = given
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0);
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 60,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let outcome = TestRunner::new(config).run(values, |value| {
        runtime.block_on(test(value));
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("PORTAL_TEST_SEED={seed} brings it back: {error}");
    }
}
