//! Chance that repeats itself: the same seed, kind and id always throw the same dice.

/// A SplitMix64 sequence. Good enough for believable data, and for nothing else.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The dice of one thing: `kind` keeps seller 7 apart from lot 7.
    pub(crate) fn new(seed: u64, kind: &str, id: i32) -> Self {
        let kind = kind.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let id = u64::from(id.unsigned_abs()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut dice = Self(seed.wrapping_mul(0xd134_2543_de82_ef95) ^ kind ^ id);
        dice.throw();
        dice
    }

    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A whole number of `from..=to`.
    pub(crate) fn between(&mut self, from: i32, to: i32) -> i32 {
        let span = u64::from(to.abs_diff(from)) + 1;
        i32::try_from(self.throw() % span).map_or(to, |offset| from.saturating_add(offset))
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: i32) -> bool {
        self.between(1, n) == 1
    }

    /// One of `options`; the default where there are none.
    pub(crate) fn pick<T: Copy + Default>(&mut self, options: &[T]) -> T {
        let last = i32::try_from(options.len()).unwrap_or(i32::MAX).saturating_sub(1);
        let index = usize::try_from(self.between(0, last.max(0))).unwrap_or_default();
        options.get(index).copied().unwrap_or_default()
    }

    /// A version 4 UUID in lower case.
    pub(crate) fn uuid(&mut self) -> String {
        let (high, low) = (self.throw(), self.throw());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | (low >> 48) & 0x3fff,
            low & 0xffff_ffff_ffff
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_throws_the_same_dice_and_another_does_not() {
        let throws = |seed| {
            let mut dice = Dice::new(seed, "lot", 7);
            (0..8).map(|_| dice.between(0, 1_000_000)).collect::<Vec<_>>()
        };
        assert_eq!(throws(1), throws(1));
        assert_ne!(throws(1), throws(2));
    }

    #[test]
    fn throws_stay_within_their_bounds() {
        let mut dice = Dice::new(3, "any", 1);
        assert!((0..1_000).map(|_| dice.between(-3, 4)).all(|throw| (-3..=4).contains(&throw)));
        assert_eq!(dice.pick::<i32>(&[]), 0);
    }
}
