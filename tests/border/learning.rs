//! border's trainers and agents on augmented data.

use super::*;

/// border's own step processor and online trainer push into the buffer inside an augmented one.
#[test]
fn borders_online_trainer_pushes_into_an_augmented_buffer() {
    type Buffer = GtaBuffer<CandleBuffer>;
    let config = episodic(Spec::new(4, 2), SimpleReplayBufferConfig::default().capacity(2_000));
    let mut buffer = Buffer::build(&GtaBuilder::new(config).config(waiting()).device(tch::Device::Cpu));
    let rows = Arc::new(Mutex::new(0));
    let mut agent: Box<dyn Agent<Task<Tensors>, Buffer>> = Box::new(Spring { rows: rows.clone() });
    let journal = Journal::default();
    let mut recorder: Box<dyn Recorder<Task<Tensors>, Buffer>> = Box::new(journal.clone());
    let mut evaluator = TaskEvaluator::<Tensors>::new(EnvId::PointMass, 2, 0).unwrap();
    let processor =
        SimpleStepProcessor::<Task<Tensors>, TensorBatch, TensorBatch>::build(&SimpleStepProcessorConfig::default());
    let task = Task::<Tensors>::build(&EnvId::PointMass, 1).unwrap();
    let settings =
        TrainerConfig::default().max_opts(20).eval_interval(10).warmup_period(1_000).flush_record_interval(1);
    Trainer::build(settings).train(task, processor, &mut agent, &mut buffer, &mut recorder, &mut evaluator).unwrap();
    assert_eq!(*rows.lock().unwrap(), 20 * 32);
    assert_eq!(ExperienceBufferBase::len(&buffer), 1_000 + 20 - 1);
    assert!(buffer.status().transitions > 0, "{}", buffer.status());
    // Five episodes of 200 steps, and what came after.
    assert_eq!(buffer.dataset().unwrap().episodes().len(), 6);
    let returns = journal.scalars(TaskEvaluator::<Tensors>::RETURN);
    assert_eq!(returns.iter().map(|&(step, _)| step).collect::<Vec<_>>(), [10, 20]);
    assert!(returns.iter().all(|&(_, total)| total > 150.0), "{returns:?}");
}

/// Counts rows on their way to an agent.
struct Counted<R> {
    inner: R,
    generated: Arc<Mutex<usize>>,
}

impl<R: ReplayBufferBase<Batch = Transitions<Tensors>>> ReplayBufferBase for Counted<R> {
    type Config = R::Config;
    type Batch = R::Batch;
    fn build(config: &R::Config) -> Self {
        Self { inner: R::build(config), generated: Arc::default() }
    }
    fn batch(&mut self, size: usize) -> Result<R::Batch> {
        let batch = self.inner.batch(size)?;
        if batch.rewards.iter().any(|reward| !reward.is_finite()) {
            bail!("a reward is not finite");
        }
        *self.generated.lock().unwrap() += generated(&batch.sources);
        Ok(batch)
    }
    fn update_priority(&mut self, ixs: &Option<Vec<usize>>, td_err: &Option<Vec<f32>>) {
        self.inner.update_priority(ixs, td_err);
    }
}

/// IQL, AWAC and BC learn to run from HalfCheetah data inside a `GtaBuffer`, by border's offline trainer.
#[test]
fn borders_agents_learn_from_an_augmented_dataset() {
    type Buffer = Counted<GtaBuffer<BorderBuffer<Dataset, Tensors>>>;
    const BATCH: usize = 64;
    let dataset = half_cheetah(5_000);
    for (algorithm, updates) in [(Algorithm::Iql, 600), (Algorithm::Awac, 600), (Algorithm::Bc, 800)] {
        let folder = tempfile::tempdir().unwrap();
        let serving = Serving { reward_scale: 0.2, truncations: false, ..Serving::default() };
        let mut buffer =
            Buffer { inner: augmented(BorderBuffer::new(dataset.clone(), serving)), generated: Arc::default() };
        let settings = Settings { obs_dim: 17, action_dim: 6, hidden: 64, batch_size: BATCH, rate: 1e-3 };
        let mut agent: Box<dyn Agent<agents::Env, Buffer>> = algorithm.agent(settings);
        let mut evaluator = TaskEvaluator::<Tensors>::new(EnvId::HalfCheetah, 1, 0).unwrap();
        agent.eval();
        let (untrained, _) = evaluator.evaluate(&mut agent).unwrap();
        // How far its actions are from the data's. border draws first weights from the operating system, so that no two
        // runs are the same; what all three do, whatever they start from, is to come nearer.
        let distance = |agent: &mut Box<dyn Agent<agents::Env, Buffer>>| {
            let (rows, d) = (500, &dataset);
            let observations = Rows::new(d.observations()[..rows * 17].to_vec(), 17).unwrap();
            let actions = agent.sample(&Tensors::from_rows(observations).unwrap()).to_rows().unwrap().into_values();
            let squares = actions.iter().zip(&d.actions()[..rows * 6]).map(|(a, b)| (a - b).powi(2));
            squares.sum::<f32>() / (rows * 6) as f32
        };
        let far = distance(&mut agent);
        let journal = Journal::in_folder(folder.path());
        let mut recorder: Box<dyn Recorder<agents::Env, Buffer>> = Box::new(journal.clone());
        let config = TrainerConfig::default()
            .max_opts(updates)
            .eval_interval(updates)
            .record_agent_info_interval(100)
            .flush_record_interval(1);
        Trainer::build(config).train_offline(&mut agent, &mut buffer, &mut recorder, &mut evaluator).unwrap();

        assert_eq!(*buffer.generated.lock().unwrap(), updates * BATCH / 2, "{algorithm:?}: half of all rows");
        let losses = journal.scalars(if algorithm == Algorithm::Bc { "loss" } else { "loss_actor" });
        assert_eq!(losses.len(), updates / 100);
        assert!(losses.iter().all(|(_, loss)| loss.is_finite()), "{algorithm:?}: {losses:?}");
        let scores = journal.scalars(TaskEvaluator::<Tensors>::SCORE);
        let [(step, score)] = scores[..] else { panic!("{algorithm:?}: {scores:?}") };
        assert_eq!(step, updates as i64);
        agent.eval();
        let near = distance(&mut agent);
        println!(
            "{algorithm:?}: scores {untrained:.2}, {score:.2} after {updates} updates; distances {far:.3}, {near:.3}"
        );
        assert!(near < 0.8 * far, "{algorithm:?}: {near} from the data's actions, {far} untrained");

        // The best parameters lie on disk, and are the trained agent.
        let mut again: Box<dyn Agent<agents::Env, Buffer>> = algorithm.agent(settings);
        recorder.load_model(Path::new("best"), &mut again).unwrap();
        again.eval();
        assert_eq!(evaluator.evaluate(&mut again).unwrap().0, score, "{algorithm:?}");
    }
}

#[test]
fn the_example_trains_with_and_without_augmentation_on_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("halfcheetah-best-v2.hdf5");
    d4rl::write(&file, &half_cheetah(3_000), &Provenance::new()).unwrap();
    // Test binaries lie in `deps`, examples beside it.
    let here = std::env::current_exe().unwrap();
    let program = here.parent().and_then(Path::parent).unwrap().join("examples/border_iql");
    let output = Command::new(program).arg(&file).args(["--short", "--agent", "iql"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for line in ["without augmentation", "with augmentation"] {
        let scores = text.lines().find_map(|l| l.strip_prefix(line)).unwrap_or_else(|| panic!("{text}"));
        let scores: Vec<f32> = scores.split_whitespace().map(|score| score.parse().unwrap()).collect();
        assert!(scores.len() == 2 && scores.iter().all(|score| score.is_finite()), "{text}");
    }
}
