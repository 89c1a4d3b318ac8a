//! What an agent reports of its updates, kept on its device until somebody looks.

use tch::{Kind, Tensor};

use crate::{Error, Result};

/// Running means and maxima by name, and the bound beyond which training is stopped.
#[derive(Debug)]
pub(super) struct Metrics {
    entries: Vec<Entry>,
    /// Peaks above this are a divergence.
    bound: f64,
}

#[derive(Debug)]
struct Entry {
    name: &'static str,
    peak: bool,
    /// Not yet looked at: the sum, or the maximum, of `pending.1` values.
    pending: Option<(Tensor, u64)>,
    /// Looked at since the last report: sum, or maximum, and number of values.
    seen: (f64, u64),
}

impl Metrics {
    pub(super) fn new(bound: f64) -> Self {
        Self { entries: Vec::new(), bound }
    }

    /// Takes part in the mean called `name`; `value` is a scalar.
    pub(super) fn mean(&mut self, name: &'static str, value: &Tensor) {
        self.add(name, false, value);
    }

    /// Takes part in the maximum called `name`, which must not exceed the bound; `value` is a scalar.
    pub(super) fn peak(&mut self, name: &'static str, value: &Tensor) {
        self.add(name, true, value);
    }

    /// Mean and largest absolute number of value estimates.
    pub(super) fn values(&mut self, estimates: &Tensor) {
        let estimates = estimates.detach();
        self.mean("q_mean", &estimates.mean(estimates.kind()));
        self.peak("q_largest", &estimates.abs().max());
    }

    fn add(&mut self, name: &'static str, peak: bool, value: &Tensor) {
        let value = value.detach();
        let index = self.entries.iter().position(|entry| entry.name == name).unwrap_or_else(|| {
            self.entries.push(Entry { name, peak, pending: None, seen: (0.0, 0) });
            self.entries.len() - 1
        });
        let entry = &mut self.entries[index];
        entry.pending = Some(match entry.pending.take() {
            None => (value, 1),
            Some((kept, count)) if peak => (kept.maximum(&value), count + 1),
            Some((kept, count)) => (kept + value, count + 1),
        });
    }

    /// Names of what was taken, whether they are maxima, and the values: what a segment of an update saw of itself.
    pub(super) fn seen(self) -> (Vec<(&'static str, bool)>, Vec<Tensor>) {
        let entries = self.entries.into_iter();
        entries.filter_map(|e| e.pending.map(|(value, _)| ((e.name, e.peak), value))).unzip()
    }

    /// Takes what a segment of an update [`seen`](Self::seen) of itself; the values may be overwritten afterwards.
    pub(super) fn absorb(&mut self, names: &[(&'static str, bool)], values: &[Tensor]) {
        for (&(name, peak), value) in names.iter().zip(values) {
            // Adding to an earlier value makes a new one; a first value would be kept as it is.
            match self.entries.iter().any(|e| e.name == name && e.pending.is_some()) {
                true => self.add(name, peak, value),
                false => self.add(name, peak, &value.copy()),
            }
        }
    }

    /// Looks at what came since the last look, in one read from the device; `step` is the update just made.
    pub(super) fn check(&mut self, step: u64) -> Result<()> {
        let pending: Vec<&Tensor> = self.entries.iter().filter_map(|e| e.pending.as_ref().map(|p| &p.0)).collect();
        if pending.is_empty() {
            return Ok(());
        }
        let values = Vec::<f64>::try_from(Tensor::f_stack(&pending, 0)?.to_kind(Kind::Double))?;
        let mut values = values.into_iter();
        let mut fault = None;
        for entry in &mut self.entries {
            let Some((_, count)) = entry.pending.take() else { continue };
            let value = values.next().expect("one value for each pending entry");
            let latest = if entry.peak { value } else { value / count as f64 };
            if !latest.is_finite() || (entry.peak && latest > self.bound) {
                fault.get_or_insert(Error::Diverged { step, quantity: entry.name, value: latest });
            }
            entry.seen = match entry.peak {
                true => (entry.seen.0.max(value), 1),
                false => (entry.seen.0 + value, entry.seen.1 + count),
            };
        }
        fault.map_or(Ok(()), Err)
    }

    /// Means and maxima since the last report.
    pub(super) fn report(&mut self, step: u64) -> Result<Vec<(&'static str, f64)>> {
        self.check(step)?;
        let mean = |e: &mut Entry| {
            let (value, count) = std::mem::take(&mut e.seen);
            (count > 0).then(|| (e.name, value / count as f64))
        };
        Ok(self.entries.iter_mut().filter_map(mean).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(value: f64) -> Tensor {
        Tensor::from(value)
    }

    #[test]
    fn means_are_over_all_values_since_the_last_report_however_often_looked_at() {
        let mut metrics = Metrics::new(10.0);
        metrics.mean("loss", &scalar(1.0));
        metrics.mean("loss", &scalar(2.0));
        metrics.check(2).unwrap();
        metrics.mean("loss", &scalar(6.0));
        metrics.values(&Tensor::from_slice(&[1.0f64, -4.0]));
        let expected = [("loss", 3.0), ("q_mean", -1.5), ("q_largest", 4.0)];
        assert_eq!(metrics.report(3).unwrap(), expected);
        assert_eq!(metrics.report(3).unwrap(), []);
        metrics.mean("loss", &scalar(5.0));
        assert_eq!(metrics.report(4).unwrap(), [("loss", 5.0)]);
    }

    #[test]
    fn what_a_segment_saw_is_taken_by_value() {
        let mut metrics = Metrics::new(10.0);
        let mut place = Tensor::from_slice(&[2.0f64, -3.0]);
        for value in [2.0, 5.0] {
            let _ = place.get(0).fill_(value);
            let mut seen = Metrics::new(f64::INFINITY);
            seen.mean("loss", &place.get(0));
            seen.values(&place.get(1));
            let (names, values) = seen.seen();
            assert_eq!(names, [("loss", false), ("q_mean", false), ("q_largest", true)]);
            metrics.absorb(&names, &values);
        }
        let _ = place.fill_(100.0);
        assert_eq!(metrics.report(2).unwrap(), [("loss", 3.5), ("q_mean", -3.0), ("q_largest", 3.0)]);
    }

    #[test]
    fn what_is_not_finite_or_beyond_the_bound_is_named_with_its_step() {
        let mut metrics = Metrics::new(10.0);
        metrics.mean("loss", &scalar(f64::NAN));
        metrics.mean("loss", &scalar(1.0));
        let error = metrics.check(7).unwrap_err().to_string();
        assert!(error.contains("step 7") && error.contains("loss is NaN"), "{error}");
        metrics.values(&Tensor::from_slice(&[-11.0f64]));
        metrics.values(&Tensor::from_slice(&[0.0f64]));
        let error = metrics.check(8).unwrap_err().to_string();
        assert!(error.contains("step 8") && error.contains("q_largest is 11"), "{error}");
    }
}
