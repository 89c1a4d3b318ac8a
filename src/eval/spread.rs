//! Which of many windows to judge.

use rand::RngExt;
use replay::Seed;

/// At most `most` of the numbers below `count`, rising: one from each of as many equal stretches, so that no part is left
/// out. Within its stretch each is drawn at random: equal steps would fall into step with episodes of equal length.
pub fn spread(count: usize, most: usize, seed: &Seed) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    let mut rng = seed.rng();
    let edge = |i: usize| (i as u128 * count as u128 / most as u128) as usize;
    (0..most).map(|i| rng.random_range(edge(i)..edge(i + 1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_over_everything() {
        let seed = Seed::new(1);
        assert_eq!(spread(4, 9, &seed), [0, 1, 2, 3]);
        let numbers = spread(1000, 10, &seed);
        assert!(numbers.iter().enumerate().all(|(i, n)| (100 * i..100 * (i + 1)).contains(n)), "{numbers:?}");
        assert_eq!(numbers, spread(1000, 10, &seed));
        assert_ne!(numbers, spread(1000, 10, &Seed::new(2)));
    }
}
