//! Starting, pacing, pausing, stopping, dropping: in every phase, and what becomes of failures.

mod augment_toys;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use augment_toys::*;
use gta::augment::{AugmentConfig, Augmented, Error, Failure, Pacing, Phase, Progress, Until};
use replay::{Dataset, Replay, Seed};

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn nothing_is_learned_before_the_first_sample_and_once_after() {
    let learned = Arc::new(AtomicUsize::new(0));
    let (toy, count) = (Toy::new(jitter), learned.clone());
    let learner = FnLearner::boxed(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(toy.blueprint())
    });
    let mut buffer = Augmented::new(dataset(), learner, config(2)).unwrap();
    assert_eq!((learned.load(Ordering::SeqCst), buffer.status().phase), (0, Phase::Idle));
    assert_eq!(buffer.model_fingerprint(), None);
    for _ in 0..3 {
        buffer.sample(8, &mut Seed::new(0).rng()).unwrap();
        buffer.start().unwrap();
    }
    assert_eq!(learned.load(Ordering::SeqCst), 1);
    assert_eq!(buffer.model_fingerprint().as_deref(), Some("toy"));
}

#[test]
fn a_ratio_of_zero_learns_nothing_at_all() {
    let mut buffer = Toy::new(jitter).wrap(AugmentConfig { ratio: 0.0, ..config(1) });
    buffer.sample(8, &mut Seed::new(0).rng()).unwrap();
    assert_eq!(buffer.status().phase, Phase::Idle);
}

#[test]
fn generation_stops_at_the_allowance_and_goes_on_with_the_consumer() {
    for workers in [1, 4] {
        let toy = Toy::new(jitter);
        let mut buffer = toy.wrap(config(workers));
        let mut rng = Seed::new(0).rng();
        buffer.start().unwrap();
        wait_resting(&buffer);
        // 48 ahead: four chunks of 12, and not one more for all the workers.
        assert_eq!((toy.count(), buffer.status().generated), (4, 48));
        // Half a transition a row: 20 rows allow 58, which takes a fifth chunk.
        buffer.sample(20, &mut rng).unwrap();
        wait_resting(&buffer);
        assert_eq!((toy.count(), buffer.status().generated), (5, 60));
        // Up to 60 that is enough.
        buffer.sample(4, &mut rng).unwrap();
        assert_eq!(buffer.status().phase, Phase::Resting);
        buffer.sample(1000, &mut rng).unwrap();
        wait_resting(&buffer);
        assert_eq!((toy.count(), buffer.status().generated), (20, 240), "no further than the target");
    }
}

#[test]
fn fewer_transitions_than_a_chunk_could_hold_are_made_up_for() {
    // Windows of one transition instead of three: 4 a chunk, so 48 take twelve chunks.
    let toy = Toy::new(|prompts| {
        let mut windows = prompts.windows.clone();
        windows.lengths.fill(1);
        Ok(windows)
    });
    let mut buffer = toy.wrap(config(4));
    buffer.start().unwrap();
    wait_resting(&buffer);
    assert_eq!((toy.count(), buffer.status().generated), (12, 48));
}

#[test]
fn dropping_joins_whatever_is_going_on() {
    // Idle.
    drop(Toy::new(jitter).wrap(config(2)));

    // Learning: the learner stops at its next step.
    let (begin, began) = mpsc::channel();
    let (ended, end) = mpsc::channel();
    let learner = FnLearner::boxed(move |task| {
        begin.send(()).unwrap();
        while task.proceed() {
            std::thread::yield_now();
        }
        ended.send(()).unwrap();
        Err(Error::Stopped.into())
    });
    let mut buffer = Augmented::new(dataset(), learner, config(2)).unwrap();
    buffer.start().unwrap();
    began.recv().unwrap();
    drop(buffer);
    end.try_recv().expect("the learner ended before the drop did");

    // Filling, with a generator in the middle of a chunk: it finishes the chunk and no other.
    let (entered, leave) = (Gate::default(), Gate::default());
    let (inside, go) = (entered.clone(), leave.clone());
    let toy = Toy::new(move |prompts| {
        inside.raise(1);
        go.wait_for(1);
        jitter(prompts)
    });
    let mut buffer = toy.wrap(config(1));
    buffer.start().unwrap();
    entered.wait_for(1);
    std::thread::scope(|scope| {
        let monitor = buffer.monitor();
        let dropping = scope.spawn(move || drop(buffer));
        while monitor.status().phase != Phase::Stopped {
            std::thread::yield_now();
        }
        leave.raise(1);
        dropping.join().unwrap();
    });
    assert_eq!((toy.count(), toy.built.load(Ordering::SeqCst), toy.dropped.load(Ordering::SeqCst)), (1, 1, 1));

    // Resting, paused while learning, paused while resting, stopped, failed.
    let toy = Toy::new(jitter);
    let mut buffer = toy.wrap(config(3));
    buffer.start().unwrap();
    wait_resting(&buffer);
    buffer.pause();
    drop(buffer);
    assert_eq!(toy.built.load(Ordering::SeqCst), toy.dropped.load(Ordering::SeqCst));
    let (mut paused, _began) = learning_buffer();
    paused.pause();
    paused.start().unwrap();
    drop(paused);
    let mut stopped = toy.wrap(config(3));
    stopped.start().unwrap();
    stopped.stop();
    drop(stopped);
    let mut failed = Toy::new(|_| Err("no".into())).wrap(config(3));
    failed.wait_ready(LONG).unwrap_err();
    drop(failed);
}

/// A buffer whose learner tells when it asks for a step (`false`) and when it takes one (`true`), endlessly.
fn learning_buffer() -> (Augmented<Dataset>, mpsc::Receiver<bool>) {
    let (tell, told) = mpsc::channel();
    let learner = FnLearner::boxed(move |task| {
        let asking = || {
            let _ = tell.send(false);
            task.proceed()
        };
        let mut step = 0;
        while asking() {
            step += 1;
            task.report(Progress { step, total: 1000, loss: 1.0 / step as f64 });
            let _ = tell.send(true);
        }
        Err(Error::Stopped.into())
    });
    (Augmented::new(dataset(), learner, config(2)).unwrap(), told)
}

#[test]
fn a_generator_that_looks_at_its_flag_gives_up_in_the_middle() {
    use gta::augment::{Blueprint, BoxError, Generator, Prompts, Stop};
    struct Endless(Stop, Gate);
    impl Generator for Endless {
        fn generate(&mut self, _: &Prompts) -> Result<replay::Windows, BoxError> {
            self.1.raise(1);
            while !self.0.is_set() {
                std::thread::yield_now();
            }
            Err(Error::Stopped.into())
        }
        fn stop_when(&mut self, stop: Stop) {
            self.0 = stop;
        }
    }
    struct Plan(Gate);
    impl Blueprint for Plan {
        fn build(&self) -> Result<Box<dyn Generator>, BoxError> {
            Ok(Box::new(Endless(Stop::default(), self.0.clone())))
        }
        fn fingerprint(&self) -> String {
            "endless".into()
        }
    }
    let gate = Gate::default();
    let inside = gate.clone();
    let learner = FnLearner::boxed(move |_| Ok(Arc::new(Plan(inside.clone()))));
    let mut buffer = Augmented::new(dataset(), learner, config(1)).unwrap();
    buffer.start().unwrap();
    gate.wait_for(1);
    buffer.stop();
    assert_eq!(buffer.status().phase, Phase::Stopped, "giving up when told to is no failure");
}

#[test]
fn a_pause_holds_learning_and_progress_shows() {
    let (mut buffer, told) = learning_buffer();
    buffer.pause();
    buffer.start().unwrap();
    assert!(!told.recv().unwrap(), "the learner asks for its first step");
    assert_eq!((told.try_recv(), buffer.status().phase), (Err(mpsc::TryRecvError::Empty), Phase::Paused));
    buffer.resume();
    assert!(told.recv().unwrap(), "and takes it");
    wait_phase(
        &buffer,
        |phase| matches!(phase, Phase::Learning { step: 3.., total: 1000, loss } if *loss <= 1.0 / 3.0),
    );
    buffer.pause();
    assert_eq!(buffer.status().phase, Phase::Paused);
}

#[test]
fn a_pause_holds_generation_after_the_current_chunk() {
    let (entered, leave) = (Gate::default(), Gate::default());
    let (inside, go) = (entered.clone(), leave.clone());
    let toy = Toy::new(move |prompts| {
        inside.raise(chunk_of(prompts) + 1);
        go.wait_for(chunk_of(prompts) + 1);
        jitter(prompts)
    });
    let mut buffer = toy.wrap(config(1));
    let mut rng = Seed::new(0).rng();
    buffer.start().unwrap();
    entered.wait_for(1);
    buffer.pause();
    leave.raise(1);
    // The chunk under way is finished and published...
    while buffer.status().generated == 0 {
        std::thread::yield_now();
    }
    assert_eq!((buffer.status().phase, toy.count()), (Phase::Paused, 1));
    // ... and who would have to wait for the next is told instead of blocked.
    let error = buffer.sample(8, &mut rng).unwrap_err();
    assert!(matches!(cause(&error), Some(Error::Paused)), "{error}");
    let error = buffer.fill_to(100).unwrap_err();
    assert!(matches!(cause(&error), Some(Error::Paused)), "{error}");
    assert!(!buffer.wait_ready(Duration::ZERO).unwrap());
    leave.raise(u64::MAX);
    buffer.resume();
    assert!(buffer.wait_ready(LONG).unwrap());
    buffer.sample(8, &mut rng).unwrap();
}

/// The augmentation's own error behind a buffer's, if that is what it is.
fn cause(error: &replay::Error) -> Option<&Error> {
    let replay::Error::Source { source, .. } = error else { return None };
    match source.downcast_ref::<Failure>() {
        Some(failure) => failure.cause().downcast_ref(),
        None => source.downcast_ref(),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("out of tokens")]
struct OutOfTokens;

#[test]
fn a_learners_error_or_panic_reaches_every_sample_and_the_status() {
    for until in [Until::Wait, Until::RealRows] {
        let config = AugmentConfig { until, ..config(2) };
        let learner = FnLearner::boxed(|_| Err(OutOfTokens.into()));
        let mut buffer = Augmented::new(dataset(), learner, config.clone()).unwrap();
        buffer.start().unwrap();
        wait_phase(&buffer, |phase| matches!(phase, Phase::Failed { .. }));
        for _ in 0..2 {
            let error = buffer.sample(8, &mut Seed::new(0).rng()).unwrap_err();
            assert_eq!(error.to_string(), "learning the model behind the buffer: out of tokens");
            let replay::Error::Source { source, .. } = error else { unreachable!("checked by its text") };
            assert!(source.downcast_ref::<Failure>().unwrap().cause().is::<OutOfTokens>());
        }
        let during = "learning the model behind the buffer".to_owned();
        assert_eq!(buffer.status().phase, Phase::Failed { during, cause: "out of tokens".into() });

        let learner = FnLearner::boxed(|_| panic!("step {} blew up", 7));
        let mut buffer = Augmented::new(dataset(), learner, config).unwrap();
        let error = buffer.wait_ready(LONG).unwrap_err();
        assert!(matches!(cause(&error), Some(Error::Panicked { message }) if message == "step 7 blew up"), "{error}");
        assert!(buffer.sample(8, &mut Seed::new(0).rng()).is_err());
    }
}

#[test]
fn a_workers_error_or_panic_ends_all_of_them() {
    for workers in [1, 4] {
        let toy = Toy::new(|prompts| if chunk_of(prompts) == 2 { panic!("chunk two") } else { jitter(prompts) });
        let mut buffer = toy.wrap(config(workers));
        let error = buffer.wait_filled().unwrap_err();
        assert_eq!(error.to_string(), "generating windows: panicked: chunk two");
        let error = buffer.sample(8, &mut Seed::new(0).rng()).unwrap_err();
        assert!(matches!(cause(&error), Some(Error::Panicked { message }) if message == "chunk two"));
        assert!(buffer.status().chunks <= 2, "nothing is published past a gap");
        drop(buffer);
        assert_eq!(toy.built.load(Ordering::SeqCst), toy.dropped.load(Ordering::SeqCst));

        let mut buffer = Toy::new(|_| Err(OutOfTokens.into())).wrap(config(workers));
        let error = buffer.sample(8, &mut Seed::new(0).rng()).unwrap_err();
        assert_eq!(error.to_string(), "generating windows: out of tokens");
    }
}

#[test]
fn a_blueprint_or_check_that_fails_is_named() {
    struct Unbuildable;
    impl gta::augment::Blueprint for Unbuildable {
        fn build(&self) -> Result<Box<dyn gta::augment::Generator>, gta::augment::BoxError> {
            Err(OutOfTokens.into())
        }
        fn fingerprint(&self) -> String {
            "none".into()
        }
    }
    let learner = FnLearner::boxed(|_| Ok(Arc::new(Unbuildable)));
    let mut buffer = Augmented::new(dataset(), learner, config(2)).unwrap();
    assert_eq!(buffer.wait_filled().unwrap_err().to_string(), "building a generator: out of tokens");

    let check = gta::augment::Check::new("oracle", |_| Err(OutOfTokens.into()));
    let mut buffer = Toy::new(jitter).wrap(config(2)).with_check(check);
    assert_eq!(buffer.wait_filled().unwrap_err().to_string(), "filtering generated windows: out of tokens");
}

#[test]
fn malformed_windows_are_an_error_not_a_crash() {
    type Spoil = fn(&mut replay::Windows);
    let spoilers: [(Spoil, &str); 4] = [
        (|w| w.clear(), "(B, H, O, A) = (4, 3, 2, 1), the generator gave (0, 3, 2, 1)"),
        (|w| w.lengths[2] = 4, "window 2 has 4 transitions, not 1 to 3"),
        (|w| w.values.truncate(5), "columns of [5, 4, 4, 4] entries"),
        (|w| w.lengths[0] = 0, "window 0 has 0 transitions"),
    ];
    for (spoil, says) in spoilers {
        let toy = Toy::new(move |prompts| {
            let mut windows = jitter(prompts)?;
            spoil(&mut windows);
            Ok(windows)
        });
        let error = toy.wrap(config(1)).wait_filled().unwrap_err();
        assert!(matches!(cause(&error), Some(Error::Malformed { why }) if why.contains(says)), "{error}");
    }
}

#[test]
fn a_filter_that_leaves_nothing_ends_generation() {
    let toy = Toy::new(|prompts| {
        let mut windows = prompts.windows.clone();
        windows.values.fill(f32::NAN);
        Ok(windows)
    });
    let mut buffer = toy.wrap(config(2));
    let error = buffer.sample(8, &mut Seed::new(0).rng()).unwrap_err();
    assert!(
        matches!(cause(&error), Some(Error::AllRejected { chunks: 16, rejections }) if rejections.not_finite == 64)
    );
}

#[test]
fn stopping_keeps_the_pool() {
    let config = AugmentConfig { until: Until::RealRows, ..config(2) };
    let mut buffer = Toy::new(jitter).wrap(config);
    buffer.fill_to(100).unwrap();
    buffer.stop();
    assert_eq!((buffer.status().phase, buffer.status().transitions), (Phase::Stopped, 108));
    let batch = buffer.sample(10, &mut Seed::new(0).rng()).unwrap();
    assert_eq!(batch.sources.iter().filter(|s| matches!(s, replay::Source::Generated { .. })).count(), 5);
    let error = buffer.fill_to(200).unwrap_err();
    assert!(matches!(cause(&error), Some(Error::Stopped)), "{error}");
    buffer.start().unwrap();
    assert_eq!(buffer.status().phase, Phase::Stopped, "for good");
}

#[test]
fn filling_ignores_consumption_but_not_the_target() {
    let mut buffer = Toy::new(jitter).wrap(config(2));
    buffer.fill_to(121).unwrap();
    wait_resting(&buffer);
    assert_eq!(buffer.status().generated, 132);
    buffer.wait_filled().unwrap();
    assert_eq!(buffer.status().transitions, 240);
    assert!(matches!(buffer.fill_to(241), Err(replay::Error::Invalid { .. })));
    let generated = buffer.generated_dataset().unwrap();
    assert_eq!((generated.len(), generated.episodes().len()), (240, 80));
    assert!(generated.episodes().iter().all(|e| e.rows.len() == HORIZON && e.ending != replay::Ending::Unfinished));
}

#[test]
fn waiting_has_a_limit() {
    let gate = Gate::default();
    let go = gate.clone();
    let toy = Toy::new(move |prompts| {
        go.wait_for(1);
        jitter(prompts)
    });
    let mut buffer = toy.wrap(AugmentConfig { until: Until::RealRows, ..config(1) });
    assert!(!buffer.wait_ready(Duration::from_millis(1)).unwrap());
    // Nor does a sample wait in this mode: its rows are all real.
    let batch = buffer.sample(10, &mut Seed::new(0).rng()).unwrap();
    assert!(batch.sources.iter().all(|s| matches!(s, replay::Source::Real(_))));
    gate.raise(1);
    assert!(buffer.wait_ready(LONG).unwrap());
}

#[test]
fn a_plan_that_cannot_work_is_refused_at_once() {
    let pacing = Pacing { minimum: 100, ahead: 50, ..config(1).pacing };
    let config = AugmentConfig { pacing, ..config(1) };
    assert!(matches!(
        Augmented::new(dataset(), Toy::new(jitter).learner(), config),
        Err(replay::Error::Invalid { .. })
    ));
}
