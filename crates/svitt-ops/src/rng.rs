//! Counter-based random numbers: the value drawn depends on a seed, a path of integers and a counter alone,
//! so any item, layer or step can be drawn again, in any order, on any platform, backend or thread.

/// One odd 64-bit constant of the SplitMix64 sequence (2^64 divided by the golden ratio).
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64's finaliser: a bijection of 64-bit words whose output bits all depend on all input bits.
pub const fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// The key for `path` under `seed`: `key(seed, &[item, field])`, `key(seed, &[step, layer])`, ….
pub fn key(seed: u64, path: &[u64]) -> u64 {
    path.iter().fold(mix(seed ^ GOLDEN), |key, part| mix(key.wrapping_add(GOLDEN) ^ mix(part.wrapping_add(GOLDEN))))
}

/// A 64-bit key of a text (FNV-1a, then mixed): for names inside a [`key`] path and for identities.
pub fn text_key(text: &str) -> u64 {
    mix(text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)))
}

/// A stream of draws under one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    key: u64,
    counter: u64,
}

impl Rng {
    /// The stream of `path` under `seed`.
    pub fn new(seed: u64, path: &[u64]) -> Self {
        Self { key: key(seed, path), counter: 0 }
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.counter += 1;
        mix(self.key.wrapping_add(self.counter.wrapping_mul(GOLDEN)))
    }

    /// Uniform in `[0, 1)`, 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The stream as a function that gives [`Self::uniform`] numbers, for whoever takes any generator.
    pub fn into_uniform(mut self) -> impl FnMut() -> f64 + Clone {
        move || self.uniform()
    }

    /// Uniform in `[low, high)`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Uniform in `0..n` (multiply-shift; the bias is below `n / 2^64`). `n` must not be zero.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// A standard Gumbel draw, `-ln(-ln u)`: `argmax(log w + gumbel)` draws from the weights `w`.
    pub fn gumbel(&mut self) -> f64 {
        let u = self.uniform().max(1e-12);
        -(-u.ln()).ln()
    }

    /// A standard normal draw (Box-Muller, cosine branch).
    pub fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform().max(1e-300), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// A uniformly drawn permutation of `items`, in place (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_the_same_everywhere() {
        let mut rng = Rng::new(7, &[3, 1]);
        let first: Vec<u64> = (0..3).map(|_| rng.bits()).collect();
        let mut again = Rng::new(7, &[3, 1]);
        assert_eq!(first, (0..3).map(|_| again.bits()).collect::<Vec<_>>());
        assert_ne!(first[0], Rng::new(7, &[1, 3]).bits(), "the order of a path matters");
    }

    #[test]
    fn below_is_uniform() {
        let mut rng = Rng::new(0, &[]);
        let mut counts = [0usize; 7];
        (0..70_000).for_each(|_| counts[rng.below(7)] += 1);
        assert!(counts.iter().all(|&c| (9_600..10_400).contains(&c)), "{counts:?}");
    }

    #[test]
    fn gumbel_max_draws_from_the_weights() {
        let mut rng = Rng::new(5, &[]);
        let weights = [0.1f64, 0.6, 0.3];
        let mut counts = [0usize; 3];
        for _ in 0..30_000 {
            let noisy = weights.map(|w| w.ln() + rng.gumbel());
            let best = (0..3).max_by(|&a, &b| noisy[a].total_cmp(&noisy[b])).unwrap();
            counts[best] += 1;
        }
        for (count, weight) in counts.iter().zip(weights) {
            assert!((*count as f64 / 30_000.0 - weight).abs() < 0.01, "{counts:?}");
        }
    }
}
