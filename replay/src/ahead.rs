//! Rows drawn at random, asked from memory some draws before they are copied: from a large buffer nearly every row is in
//! no cache, and a copy that waits for each costs several times the copying.

use crate::{Batch, Source, Transition};

/// Draws between asking for a row and copying it.
const AHEAD: usize = 12;

/// Appends `rows` transitions to `batch`: `draw` says which is next, `ask` [asks](ask_for) for its memory, and `row` gives it
/// with its source, some draws later. Draws are made in order, each once.
pub fn gather<'a, T: Copy>(
    rows: usize,
    batch: &mut Batch,
    mut draw: impl FnMut() -> T,
    ask: impl Fn(T),
    row: impl Fn(T) -> (Transition<'a>, Source),
) {
    let mut next = || {
        let drawn = draw();
        ask(drawn);
        drawn
    };
    let ahead = rows.min(AHEAD);
    let Some(first) = (ahead > 0).then(&mut next) else { return };
    let mut waiting = [first; AHEAD];
    waiting[1..ahead].fill_with(&mut next);
    for number in 0..rows {
        let (transition, source) = row(waiting[number % AHEAD]);
        batch.push(transition, source);
        if number + ahead < rows {
            waiting[(number + ahead) % AHEAD] = next();
        }
    }
}

/// Asks for the memory of `values`, without waiting for it.
pub fn ask_for<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        const LINE: usize = 64;
        let bytes = size_of_val(values);
        let start = values.as_ptr().cast::<i8>();
        for offset in (0..bytes).step_by(LINE).chain(bytes.checked_sub(1)) {
            // SAFETY: the address lies within `values`; asking for it reads nothing, and SSE is part of x86-64.
            unsafe {
                std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(start.add(offset));
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
        for rows in [0, 1, 2, AHEAD - 1, AHEAD, AHEAD + 1, 40] {
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
            gather(rows, &mut batch, draw, |number| ask_for(&values[number..=number]), row);
            assert_eq!(batch.observations, &values[..rows]);
            assert_eq!(next, rows, "each draw is made once");
        }
    }
}
