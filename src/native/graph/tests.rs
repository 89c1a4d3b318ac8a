use std::cell::Cell;
use std::rc::Rc;

use super::*;

/// Runs what it records at once; a replay does nothing, so outputs follow the inputs where they are views of them.
#[derive(Default)]
struct Fake {
    asides: Cell<u32>,
    records: Cell<u32>,
    replays: Cell<u32>,
    /// Tapes that live.
    tapes: Rc<Cell<u32>>,
    recording: Cell<bool>,
    refuses: bool,
}

struct FakeTape(Rc<Cell<u32>>);

impl Drop for FakeTape {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

fn count(cell: &Cell<u32>) {
    cell.set(cell.get() + 1);
}

impl Recorder for Fake {
    type Tape = FakeTape;

    fn aside<T>(&self, work: impl FnOnce() -> T) -> Result<T, String> {
        count(&self.asides);
        Ok(work())
    }

    fn record<T>(&self, work: impl FnOnce() -> T) -> Result<(FakeTape, T), String> {
        count(&self.records);
        self.recording.set(true);
        let out = work();
        self.recording.set(false);
        if self.refuses {
            return Err("operation not permitted when stream is capturing".to_owned());
        }
        count(&self.tapes);
        Ok((FakeTape(Rc::clone(&self.tapes)), out))
    }

    fn refill(&self, into: &[Tensor], from: &[&Tensor]) -> Result<(), String> {
        into.iter().zip(from).for_each(|(into, from)| into.shallow_clone().copy_(from));
        Ok(())
    }

    fn replay(&self, _: &FakeTape) -> Result<(), String> {
        count(&self.replays);
        Ok(())
    }
}

fn repeats() -> Repeats<FakeTape> {
    Repeats { what: "a test", entries: Vec::new() }
}

fn tensor(values: &[f32]) -> Tensor {
    Tensor::from_slice(values)
}

/// The input, as a view, and how often it was looked at.
fn view(calls: &Cell<u32>) -> impl FnMut(&[Tensor]) -> Result<Vec<Tensor>> + '_ {
    |inputs| {
        count(calls);
        Ok(vec![inputs[0].view([-1])])
    }
}

#[test]
fn after_the_warm_up_work_is_recorded_once_and_fed_by_copies() {
    let (fake, mut repeats, calls) = (Fake::default(), repeats(), Cell::new(0));
    for call in 0..6 {
        let input = tensor(&[call as f32, 1.0]);
        let out = repeats.run(&fake, &[&input], view(&calls)).unwrap();
        assert_eq!(out[0], input, "call {call}");
        assert_eq!(out[0].data_ptr() == input.data_ptr(), call < WARM_UP, "from the record the input is its own");
    }
    assert_eq!((fake.asides.get(), fake.records.get(), fake.replays.get()), (3, 1, 3));
    assert_eq!(calls.get(), 4, "the warm-up and the recording");
}

#[test]
fn what_a_record_gave_is_overwritten_by_its_next_run_and_by_no_other() {
    let (fake, mut repeats, calls) = (Fake::default(), repeats(), Cell::new(0));
    let mut run = |values: &[f32]| repeats.run(&fake, &[&tensor(values)], view(&calls)).unwrap().remove(0);
    let last: Vec<Tensor> = (0..5).map(|call| run(&[call as f32])).collect();
    let other: Vec<Tensor> = (0..5).map(|call| run(&[call as f32, 7.0])).collect();
    assert_eq!((&last[4], &other[4]), (&tensor(&[4.0]), &tensor(&[4.0, 7.0])));
    let now = run(&[9.0]);
    assert_eq!((&now, &last[4], &other[4]), (&tensor(&[9.0]), &tensor(&[9.0]), &tensor(&[4.0, 7.0])));
}

#[test]
fn kinds_shapes_and_the_number_of_inputs_have_records_of_their_own_of_which_few_are_kept() {
    let (fake, mut repeats, calls) = (Fake::default(), repeats(), Cell::new(0));
    let mut run = |inputs: &[&Tensor]| {
        for _ in 0..=WARM_UP {
            repeats.run(&fake, inputs, view(&calls)).unwrap();
        }
    };
    let (flat, double) = (tensor(&[1.0, 2.0]), Tensor::from_slice(&[1.0f64, 2.0]));
    let square = flat.view([1, 2]);
    for inputs in [&[&flat][..], &[&double], &[&square], &[&flat, &flat]] {
        run(inputs);
    }
    assert_eq!((fake.records.get(), fake.tapes.get()), (4, 4));
    (3..10).for_each(|length| run(&[&tensor(&vec![0.0; length])]));
    assert_eq!((fake.records.get(), fake.tapes.get()), (11, KEPT as u32));
    run(&[&tensor(&[0.0; 9])]);
    assert_eq!(fake.records.get(), 11, "the latest is still there");
    run(&[&flat]);
    assert_eq!(fake.records.get(), 12, "the oldest is not");
}

#[test]
fn work_that_cannot_be_recorded_goes_on_as_it_is_and_says_why() {
    // The recorder refuses, the work fails while it is recorded, or it panics then, as the bindings' operations do.
    for (case, reason) in ["when stream is capturing", "setting 'here'", "a panic of LibTorch"].into_iter().enumerate()
    {
        let (fake, mut repeats) = (Fake { refuses: case == 0, ..Fake::default() }, repeats());
        let mut work = |inputs: &[Tensor]| match case {
            1 if fake.recording.get() => Err(Error::Config { name: "here".into(), why: "not while recording".into() }),
            2 if fake.recording.get() => panic!("a panic of LibTorch"),
            _ => Ok(vec![&inputs[0] + 1.0]),
        };
        for call in 0..6 {
            let out = repeats.run(&fake, &[&tensor(&[call as f32])], &mut work).unwrap();
            assert_eq!(out[0], tensor(&[call as f32 + 1.0]), "{reason}");
        }
        assert_eq!((fake.records.get(), fake.tapes.get()), (1, 0), "it is tried once");
        // Tests of this module run side by side, but only this one refuses.
        let said = graph_use().refused.unwrap();
        assert!(said.starts_with("a test: ") && said.contains(reason), "{said}");
    }
}

#[test]
fn an_error_of_the_work_itself_is_the_callers() {
    let (fake, mut repeats) = (Fake::default(), repeats());
    let error = repeats.run(&fake, &[&tensor(&[1.0])], |_| Err(Error::Stopped)).unwrap_err();
    assert!(matches!(error, Error::Stopped));
}

#[test]
fn on_the_cpu_work_is_called_as_it_is() {
    let (graphed, calls) = (Graphed::new("a test"), Cell::new(0));
    for call in 0..6 {
        let input = tensor(&[call as f32]);
        let out = graphed.run(&[&input], view(&calls)).unwrap();
        assert_eq!((out[0].data_ptr(), calls.get()), (input.data_ptr(), call + 1));
    }
    assert_eq!(format!("{graphed:?}"), "Graphed(a test)");
}
