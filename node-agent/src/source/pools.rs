//! Whether this node's pools can be used, asked of storage that may never answer.
//!
//! Each pool is asked on a thread of its own, all at once, and never again before it has answered: a file
//! system that hangs costs one thread, not one more with every look, and holds no other pool up.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use lunette_api::{LunPool, NodePool};
use lunette_backend::{Capacity, PoolError};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};

use crate::storage::AnyPool;

/// How long pools may take to answer before they count as out of reach.
const PATIENCE: Duration = Duration::from_secs(5);
/// Free space is reported in steps of a 128th of the pool, so that small writes change no object.
const AVAILABLE_STEPS: u64 = 128;

type Answer = Result<Look, PoolError>;

/// What a pool is like that can be used.
#[derive(Default)]
struct Look {
    capacity: Capacity,
    /// Whether it can copy volumes.
    copies: bool,
    images: BTreeMap<String, u64>,
}

impl Look {
    fn at(pool: &AnyPool) -> Answer {
        let capacity = pool.check()?;
        let images = pool.images().inspect_err(|error| tracing::warn!(%error, "looking for images"));
        Ok(Self { capacity, copies: pool.can_copy().unwrap_or(false), images: images.unwrap_or_default() })
    }
}

/// Questions to pools.
#[derive(Default)]
pub struct Pools {
    asked: HashMap<String, JoinHandle<Answer>>,
}

impl Pools {
    /// What each of these pools is like now, by name.
    pub async fn look(&mut self, pools: impl Iterator<Item = &LunPool>) -> BTreeMap<String, NodePool> {
        let ask = |pool: &LunPool| {
            let spec = pool.spec.clone();
            move || Look::at(&AnyPool::new(&spec)?)
        };
        self.ask(pools.map(|pool| (pool.metadata.name.clone().unwrap_or_default(), ask(pool))), PATIENCE).await
    }

    async fn ask<F: FnOnce() -> Answer + Send + 'static>(
        &mut self,
        pools: impl Iterator<Item = (String, F)>,
        patience: Duration,
    ) -> BTreeMap<String, NodePool> {
        let mut names = Vec::new();
        for (name, ask) in pools {
            self.asked.entry(name.clone()).or_insert_with(|| spawn_blocking(ask));
            names.push(name);
        }
        self.asked.retain(|name, asked| names.contains(name) || !asked.is_finished());
        let deadline = Instant::now() + patience;
        let mut looks = BTreeMap::new();
        for name in names {
            let look = self.answer(&name, deadline).await;
            looks.insert(name, look);
        }
        looks
    }

    async fn answer(&mut self, name: &str, deadline: Instant) -> NodePool {
        let Some(asked) = self.asked.get_mut(name) else { return NodePool::default() };
        let Ok(answer) = timeout_at(deadline, asked).await else {
            return out_of_reach("the pool's storage does not answer: see that its file system is not frozen or gone");
        };
        self.asked.remove(name);
        match answer {
            Ok(Ok(Look { capacity, copies, images })) => NodePool {
                ready: true,
                capacity: capacity.total,
                available: rounded_down(capacity.available, capacity.total),
                max_volume: capacity.max_volume,
                snapshots: copies,
                images,
                message: String::new(),
            },
            Ok(Err(error)) => out_of_reach(error.to_string()),
            Err(error) => out_of_reach(format!("looking at the pool failed: {error}")),
        }
    }
}

fn out_of_reach(message: impl Into<String>) -> NodePool {
    NodePool { message: message.into(), ..NodePool::default() }
}

fn rounded_down(available: u64, total: u64) -> u64 {
    let step = (total / AVAILABLE_STEPS).max(1);
    available / step * step
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn small_writes_do_not_change_what_is_free() {
        let total = 128 << 30;
        assert_eq!(rounded_down(total - 1, total), rounded_down(total - (1 << 29), total));
        assert_eq!((rounded_down(5, 10), rounded_down(0, 0)), (5, 0));
    }

    #[tokio::test]
    async fn a_pool_that_hangs_is_asked_once_and_holds_no_other_up() {
        let mut pools = Pools::default();
        let asked = Arc::new(AtomicUsize::new(0));
        let (answer, hangs) = mpsc::channel::<()>();
        let hangs = Arc::new(std::sync::Mutex::new(hangs));
        for _ in 0..3 {
            let ask = |hang: bool| {
                let (asked, hangs) = (Arc::clone(&asked), Arc::clone(&hangs));
                move || {
                    if hang {
                        asked.fetch_add(1, Ordering::SeqCst);
                        hangs.lock().unwrap().recv().unwrap();
                    }
                    Ok(Look { capacity: Capacity { total: 1, available: 1, max_volume: 1 }, ..Look::default() })
                }
            };
            let both = [("a-hung".to_owned(), ask(true)), ("good".to_owned(), ask(false))];
            let looks = pools.ask(both.into_iter(), Duration::from_millis(50)).await;
            assert_eq!((looks["a-hung"].ready, looks["good"].ready), (false, true));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        answer.send(()).unwrap();
        let again = [("a-hung".to_owned(), || Ok(Look::default()))];
        let looks = pools.ask(again.into_iter(), Duration::from_secs(20)).await;
        assert_eq!((looks["a-hung"].ready, looks["a-hung"].capacity), (true, 1), "the answer to the first question");
    }
}
