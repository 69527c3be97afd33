//! Conversations against a model: five people with three devices each do what chance says, the server restarts and
//! days go by, and everything that is answered, delivered and kept has to be what the model says.
//!
//! The model (`state`, `verdicts`, `retention`) shares no code with the server. Where races leave more than one outcome,
//! the answers say which it was, and the model says whether it may be.

mod lives;
mod play;
mod reads;
mod real;
mod retention;
mod state;
mod storms;
mod streams;
mod verdicts;
mod writes;

use std::collections::BTreeMap;

use play::{Operation, Play, Trace};

use crate::support::short_or_full;

/// Steps between two looks at everything.
const LOOK_EVERY: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_are_what_the_model_says() {
    let (seeds, steps) = (short_or_full(2, 20), short_or_full(300, 2_000));
    let mut done = BTreeMap::new();
    for seed in 1..=seeds as u64 {
        for (operation, times) in hold(seed, steps).await {
            *done.entry(operation).or_insert(0) += times;
        }
    }
    println!("{done:?}");
    for (operation, _) in Operation::ALL {
        assert!(done.contains_key(&operation), "{operation:?} never happened: {done:?}");
    }
}

/// Plays one seed; how often each operation happened.
async fn hold(seed: u64, steps: usize) -> BTreeMap<Operation, u32> {
    let trace = Trace::default();
    if let Ok(done) = tokio::spawn(play(seed, steps, 0, trace.clone())).await {
        return done;
    }
    panic!("seed {seed} fails after these operations:\n{}", shortest(seed, trace).await);
}

/// The operations up to the one that broke it: what came after the last look that found nothing is played again, with a
/// look after each of them.
async fn shortest(seed: u64, trace: Trace) -> Trace {
    let (steps, again) = (trace.len(), Trace::default());
    let close = steps % LOOK_EVERY + LOOK_EVERY;
    let failed = tokio::spawn(play(seed, steps, close, again.clone())).await.is_err();
    if failed { again } else { trace }
}

/// Plays, and looks at everything once in a while; after each of the last `close` steps.
async fn play(seed: u64, steps: usize, close: usize, trace: Trace) -> BTreeMap<Operation, u32> {
    let mut play = Play::begin(seed, trace).await;
    for step in 1..=steps {
        play.step().await;
        if step % LOOK_EVERY == 0 || step + close > steps {
            play.look_at_everything().await;
        }
    }
    play.end().await
}
