//! A token bucket that may go into debt: exact over time, whatever one command costs.
//!
//! A command may begin while nothing is owed, and is charged when its cost is known; what it overdraws is
//! waited for by the next. Hence, in any span of `t` seconds, no more is charged than `depth + rate·t`
//! and the cost of one command; and while commands wait, no less than `rate·t` and that cost.

/// Nanoseconds of a second.
const SECOND: i128 = 1_000_000_000;

/// A rate, and what is left of it.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Tokens a second; not 0.
    rate: i128,
    /// The most that can be saved up, in tokens times 10⁹; so is the balance, and no sum is ever rounded.
    depth: i128,
    balance: i128,
}

impl Bucket {
    /// Of that rate, with room for what comes in `span` nanoseconds; nothing saved up yet.
    pub fn new(rate: u64, span: u64) -> Self {
        let rate = i128::from(rate.max(1));
        Self { rate, depth: rate * i128::from(span), balance: 0 }
    }

    /// Takes over what another has saved up or owes.
    pub fn inherit(&mut self, other: &Self) {
        self.balance = other.balance.min(self.depth);
    }

    /// Whether nothing is owed.
    pub fn is_open(&self) -> bool {
        self.balance >= 0
    }

    /// `nanos` have passed.
    pub fn refill(&mut self, nanos: u64) {
        self.balance = (self.balance + self.rate * i128::from(nanos)).min(self.depth);
    }

    /// Takes tokens out, whether or not they are there.
    pub fn charge(&mut self, tokens: u64) {
        self.balance -= i128::from(tokens) * SECOND;
    }

    /// Nanoseconds until nothing is owed.
    pub fn wait(&self) -> u64 {
        if self.is_open() {
            return 0;
        }
        u64::try_from((self.rate - 1 - self.balance) / self.rate).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Commands that are always there, taken as soon as the bucket lets them: when, and what each cost.
    fn greedy(bucket: &mut Bucket, costs: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let mut now = 0;
        let mut taken = Vec::new();
        for (idle, cost) in costs {
            let pause = idle + bucket.wait();
            bucket.refill(pause);
            now += pause;
            assert!(bucket.is_open(), "waited, and still owing");
            bucket.charge(*cost);
            taken.push((now, *cost));
        }
        taken
    }

    #[test]
    fn a_bucket_gives_what_its_rate_says() {
        let mut bucket = Bucket::new(100, 0);
        let ones = [(0, 1); 1001];
        let taken = greedy(&mut bucket, &ones);
        assert_eq!(taken.last(), Some(&(10_000_000_000, 1)), "a thousand tokens at a hundred a second");
    }

    #[test]
    fn what_is_saved_up_is_spent_at_once_and_no_more_is_saved_than_fits() {
        let mut bucket = Bucket::new(100, 2_000_000_000);
        bucket.refill(3_600_000_000_000);
        let taken = greedy(&mut bucket, &[(0, 1); 301]);
        let at_once = taken.iter().filter(|(at, _)| *at == 0).count();
        assert_eq!(at_once, 201, "two seconds' worth, and the one that overdraws");
        assert_eq!(taken.last(), Some(&(1_000_000_000, 1)));
    }

    #[test]
    fn one_large_command_is_paid_for_afterwards() {
        let mut bucket = Bucket::new(4 << 20, 0);
        bucket.charge(64 << 20);
        assert_eq!(bucket.wait(), 16_000_000_000);
        bucket.refill(16_000_000_000 - 1);
        assert!(!bucket.is_open());
        bucket.refill(1);
        assert!(bucket.is_open());
    }

    proptest! {
        /// The bounds at the head of this file, for every span between two commands.
        #[test]
        fn no_span_of_time_sees_more_than_its_bound_nor_less(
            rate in 1_u64..2_000_000,
            span in 0_u64..3_000_000_000,
            costs in prop::collection::vec((0_u64..50_000_000, 0_u64..1_000_000), 2..60),
            idle in any::<bool>(),
        ) {
            let mut bucket = Bucket::new(rate, span);
            let costs: Vec<_> = costs.into_iter().map(|(pause, cost)| (if idle { pause } else { 0 }, cost)).collect();
            let taken = greedy(&mut bucket, &costs);
            let most = costs.iter().map(|(_, cost)| *cost).max().unwrap_or(0);
            let (rate, depth) = (i128::from(rate), i128::from(rate) * i128::from(span));
            for first in 0..taken.len() {
                let mut charged = 0;
                for (at, cost) in &taken[first..] {
                    charged += i128::from(*cost) * SECOND;
                    let earned = rate * i128::from(at - taken[first].0);
                    let one = i128::from(most) * SECOND;
                    prop_assert!(charged <= depth + earned + one, "{charged} charged, {earned} earned");
                    // Each wait is rounded up to a nanosecond.
                    let rounding = rate * costs.len() as i128;
                    prop_assert!(idle || charged + depth + one + rounding >= earned, "{charged} charged, {earned} earned");
                }
            }
        }

        #[test]
        fn a_wait_is_as_long_as_it_must_be_and_no_longer(rate in 1_u64..u64::MAX, cost in 0_u64..1 << 40) {
            let mut bucket = Bucket::new(rate, 0);
            bucket.charge(cost);
            let wait = bucket.wait();
            let mut early = bucket;
            early.refill(wait.saturating_sub(1));
            bucket.refill(wait);
            prop_assert!(bucket.is_open() && (wait == 0 || !early.is_open()));
        }
    }
}
