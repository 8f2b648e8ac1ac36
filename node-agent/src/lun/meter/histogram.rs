//! Times by magnitude: four steps to each doubling, from a microsecond to two minutes.

use super::Count;

/// Times below 2¹⁰ ns share the first step.
const FIRST_OCTAVE: u32 = 10;
/// Times from 2³⁷ ns on (137 s) share the last step.
const OCTAVES: u32 = 27;
const STEPS: usize = OCTAVES as usize * 4 + 2;

/// How many commands took how long; written by one thread.
#[derive(Debug)]
pub struct Histogram {
    steps: [Count; STEPS],
    /// Nanoseconds, all together.
    sum: Count,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { steps: std::array::from_fn(|_| Count::default()), sum: Count::default() }
    }
}

impl Histogram {
    /// Notes that `commands` took that long each.
    pub fn add(&self, nanos: u64, commands: u64) {
        self.steps[step(nanos)].add(commands);
        self.sum.add(nanos.saturating_mul(commands));
    }

    /// What has been noted so far.
    pub fn read(&self) -> Buckets {
        Buckets { steps: self.steps.iter().map(Count::get).collect(), sum: self.sum.get() }
    }
}

fn step(nanos: u64) -> usize {
    let octave = nanos.max(1).ilog2();
    if octave < FIRST_OCTAVE {
        return 0;
    }
    let quarter = nanos >> (octave - 2) & 3;
    // It is at most 3.
    let index = (octave - FIRST_OCTAVE) as usize * 4 + 1 + usize::try_from(quarter).unwrap_or(3);
    index.min(STEPS - 1)
}

/// Nanoseconds below which all times of a step are; `None` for the last, which has no end.
fn end(step: usize) -> Option<u64> {
    match step {
        0 => Some(1 << FIRST_OCTAVE),
        _ if step == STEPS - 1 => None,
        _ => {
            let (octave, quarter) = ((step - 1) / 4, (step - 1) % 4);
            Some((5 + quarter as u64) << (octave + FIRST_OCTAVE as usize - 2))
        }
    }
}

/// A histogram at one moment, as plain numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    /// Commands by step; empty means none.
    steps: Vec<u64>,
    sum: u64,
}

impl Buckets {
    /// Adds another's.
    pub fn add(&mut self, more: &Self) {
        self.steps.resize(STEPS, 0);
        for (mine, more) in self.steps.iter_mut().zip(&more.steps) {
            *mine += more;
        }
        self.sum += more.sum;
    }

    /// Commands, all together.
    pub fn count(&self) -> u64 {
        self.steps.iter().sum()
    }

    /// Seconds that they took, all together.
    pub fn seconds(&self) -> f64 {
        nanos(self.sum)
    }

    /// Commands by time: pairs of an upper bound in seconds, the last infinite, and how many took less than that
    /// and no less than the bound before. Bounds are powers of four of nanoseconds, where steps end.
    pub fn coarse(&self) -> Vec<(f64, u64)> {
        let bounds = (12..=36_u8).step_by(2).map(|power| 1_u64 << power);
        let mut coarse: Vec<(f64, u64)> = bounds.clone().map(|bound| (nanos(bound), 0)).collect();
        coarse.push((f64::INFINITY, 0));
        for (step, count) in self.steps.iter().enumerate() {
            let place = bounds.clone().position(|bound| end(step).is_some_and(|end| end <= bound));
            coarse[place.unwrap_or(bounds.len())].1 += count;
        }
        coarse
    }

    /// Steps that have any commands: pairs of an upper bound in nanoseconds, and how many. Of the last step the
    /// bound is where it begins.
    pub fn fine(&self) -> Vec<(u64, u64)> {
        let bound = |step: usize| end(step).or_else(|| end(step - 1)).unwrap_or(u64::MAX);
        let some = self.steps.iter().enumerate().filter(|(_, count)| **count > 0);
        some.map(|(step, count)| (bound(step), *count)).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating-point numbers")]
fn nanos(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_step_that_ends_above_it() {
        for nanos in [0, 1, 1023, 1024, 1279, 1280, 1_000_000, 123_456_789, (1 << 37) - 1] {
            let step = step(nanos);
            let begin = if step == 0 { 0 } else { end(step - 1).unwrap() };
            assert!((begin..end(step).unwrap()).contains(&nanos), "{nanos} in step {step}");
        }
        assert_eq!((step(1 << 37), step(u64::MAX), end(STEPS - 1)), (STEPS - 1, STEPS - 1, None));
        let ends: Vec<u64> = (0..STEPS - 1).map(|step| end(step).unwrap()).collect();
        assert!(ends.windows(2).all(|pair| pair[0] < pair[1] && pair[1] <= pair[0] * 5 / 4), "{ends:?}");
    }

    #[test]
    fn bounds_of_metrics_hold_all_commands_below_them_and_none_above() {
        let histogram = Histogram::default();
        for (nanos, commands) in [(500, 1), (4095, 2), (4096, 4), (5_000_000, 8), (1 << 40, 16)] {
            histogram.add(nanos, commands);
        }
        let read = histogram.read();
        let some: Vec<(f64, u64)> = read.coarse().into_iter().filter(|(_, count)| *count > 0).collect();
        let bound = |power: u32| nanos(1 << power);
        assert_eq!(some, [(bound(12), 3), (bound(14), 4), (bound(24), 8), (f64::INFINITY, 16)]);
        assert_eq!((read.count(), read.fine().len()), (31, 5));
        assert!((read.seconds() - nanos(500 + 2 * 4095 + 4 * 4096 + 8 * 5_000_000 + (16 << 40))).abs() < 1e-9);
    }

    #[test]
    fn what_two_threads_noted_adds_up() {
        let (one, other) = (Histogram::default(), Histogram::default());
        one.add(2000, 1);
        other.add(2000, 2);
        let mut both = Buckets::default();
        both.add(&one.read());
        both.add(&other.read());
        assert_eq!((both.fine(), both.sum), (vec![(2048, 3)], 6000));
    }
}
