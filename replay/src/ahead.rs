//! Rows drawn at random, asked from memory some draws before they are copied: from a large buffer nearly every row is in
//! no cache, and a copy that waits for each costs several times the copying.

use crate::{Batch, Source, Transition};

/// Draws between asking for a row and copying it: so many rows are on their way from memory at a time. With half as many a
/// copy still waits at times; with more, what came first is pushed out of the nearest cache again.
const AHEAD: usize = 24;
/// Places for draws that wait: a power of two, which makes the way round a ring cheap, and at least twice [`AHEAD`].
const RING: usize = 64;

/// Appends `rows` transitions to `batch`. `draw` says which is next; `ask`, some draws later, finds out where it lies and
/// [asks](ask_for) for its memory; and `row`, some draws later again, gives it with its source. Where finding out takes memory
/// that may be far away itself, `draw` can ask for that. Draws are made in order, each once.
#[inline]
pub fn gather<'a, D: Copy, T: Copy>(
    rows: usize,
    batch: &mut Batch,
    mut draw: impl FnMut() -> D,
    ask: impl Fn(D) -> T,
    row: impl Fn(T) -> (Transition<'a>, Source),
) {
    batch.reserve(rows);
    let (mut drawn, mut asked) = ([None; RING], [None; RING]);
    for number in 0..rows + 2 * AHEAD {
        if number < rows {
            drawn[number % RING] = Some(draw());
        }
        if let Some(next) = number.checked_sub(AHEAD).and_then(|next| drawn[next % RING].take()) {
            asked[number % RING] = Some(ask(next));
        }
        if let Some(next) = number.checked_sub(AHEAD).and_then(|next| asked[next % RING].take()) {
            let (transition, source) = row(next);
            batch.push(transition, source);
        }
    }
}

/// Asks for the memory of `values`, without waiting for it: once for each cache line that they touch.
#[inline]
pub fn ask_for<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        const LINE: usize = 64;
        let start = values.as_ptr().cast::<i8>();
        let before = start.addr() % LINE;
        for offset in (0..before + size_of_val(values)).step_by(LINE) {
            // SAFETY: asking for an address reads nothing and cannot fail, wherever it lies (here in a line of `values`);
            // SSE is part of x86-64.
            unsafe {
                use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
                _mm_prefetch::<_MM_HINT_T0>(start.wrapping_sub(before).wrapping_add(offset));
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Spec;

    #[test]
    fn rows_come_in_the_order_of_their_draws_whatever_their_number() {
        let values: Vec<f32> = (0..100).map(|value| value as f32).collect();
        for rows in [0, 1, 2, AHEAD - 1, AHEAD, AHEAD + 1, 2 * AHEAD, RING, RING + 1, 100] {
            let mut batch = Batch::with_capacity(&Spec::new(1, 1), rows);
            let mut next = 0;
            let draw = || {
                next += 1;
                next - 1
            };
            let row = |number: usize| {
                let value = &values[number..=number];
                let [observation, action, next_observation] = [value; 3];
                let (reward, terminated, truncated) = (value[0], false, false);
                (
                    Transition { observation, action, reward, next_observation, terminated, truncated },
                    Source::Real(number),
                )
            };
            batch.reset(&Spec::new(1, 1));
            let ask = |number: usize| {
                ask_for(&values[number..=number]);
                number
            };
            gather(rows, &mut batch, draw, ask, row);
            assert_eq!(batch.observations, &values[..rows]);
            assert_eq!(next, rows, "each draw is made once");
        }
    }
}
