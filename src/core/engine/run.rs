//! Carries the phases of one operation out: plan, journal the intent, act, journal the receipt, verify.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use super::{
    Event, Phase, PhaseError, PlanCx, PlanMode, Step, Verdict, Workflow,
    act::{self, ActCx, StepError},
    event::Outcome,
    journal::{Journal, JournalError, Record},
    rollback,
    runner::{Aftermath, OnFailure, RunError, RunOptions, RunReport, Runner},
    store::Store,
    undo::Undo,
};
use crate::{host::ServiceVerb, pki::KeyPool, text::chain};

/// Why a phase stopped.
pub(super) enum Stop {
    Plan(PhaseError),
    Step(StepError),
    Journal(JournalError),
    Cancelled(&'static str),
}

impl From<JournalError> for Stop {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

/// One run of one operation.
pub(super) struct Run<'a, 'r> {
    pub runner: &'r Runner<'a>,
    pub journal: Journal,
    pub store: Store,
    pub keys: Arc<KeyPool>,
    /// Phases that ended well before an interruption.
    pub ended: BTreeSet<String>,
    pub options: &'r RunOptions,
    /// An earlier process began this operation.
    pub resumed: bool,
}

impl Run<'_, '_> {
    /// Carries out all phases; which one stopped, and why.
    pub async fn phases(&mut self, workflow: &Workflow) -> Result<(), (String, Stop)> {
        let total = workflow.phases.len();
        for (index, phase) in workflow.phases.iter().enumerate() {
            let meta = phase.meta();
            let started = Instant::now();
            self.runner.reporter.report(Event::PhaseStarted {
                phase: meta.id.into(),
                title: meta.title.to_string(),
                index: index + 1,
                total,
            });
            let fail = |stop| (meta.id.to_owned(), stop);
            let (outcome, why) = self.phase(phase.as_ref()).await.map_err(fail)?;
            self.journal
                .append(Record::PhaseEnded { phase: meta.id.into(), outcome, why: why.clone() })
                .map_err(|error| fail(error.into()))?;
            self.runner.reporter.report(Event::PhaseFinished {
                phase: meta.id.into(),
                outcome,
                why,
                elapsed_ms: millis(started),
            });
        }
        Ok(())
    }

    async fn phase(&mut self, phase: &dyn Phase) -> Result<(Outcome, Option<String>), Stop> {
        let meta = phase.meta();
        if let Some(signal) = self.runner.cancel.signal() {
            return Err(Stop::Cancelled(signal));
        }
        if self.options.skip.contains(meta.id) {
            return Ok((Outcome::Skipped, None));
        }
        if meta.once && self.ended.contains(meta.id) {
            return Ok((Outcome::AlreadyDone, Some("done before the interruption".into())));
        }
        let cx = self.plan_cx();
        // A plan only reads, so it can be dropped at once when the operator asks to stop.
        let verdict = tokio::select! {
            verdict = phase.plan(&cx) => verdict.map_err(Stop::Plan)?,
            signal = self.runner.cancel.cancelled() => return Err(Stop::Cancelled(signal)),
        };
        let steps = match verdict {
            Verdict::NotApplicable(why) => return Ok((Outcome::NotApplicable, Some(why))),
            Verdict::AlreadyDone(why) => return Ok((Outcome::AlreadyDone, Some(why))),
            Verdict::Apply(steps) => steps,
        };
        let in_words = steps.iter().map(Step::describe).collect();
        self.journal.append(Record::PhaseStarted { phase: meta.id.into(), steps: in_words })?;
        let outage = in_outage(&steps);
        for (index, step) in steps.into_iter().enumerate() {
            let in_outage = outage.contains(&index);
            if !in_outage && let Some(signal) = self.runner.cancel.signal() {
                return Err(Stop::Cancelled(signal));
            }
            self.step(meta.id, index, step, in_outage).await?;
        }
        phase.verify(&self.plan_cx()).await.map_err(Stop::Plan)?;
        Ok((Outcome::Done, None))
    }

    async fn step(
        &mut self,
        phase: &'static str,
        index: usize,
        step: Step,
        in_outage: bool,
    ) -> Result<(), Stop> {
        let started = Instant::now();
        let (host, reporter) = (self.runner.host, self.runner.reporter);
        let description = step.describe();
        reporter.report(Event::StepStarted {
            phase: phase.into(),
            step: index,
            description: description.clone(),
        });
        let cx =
            ActCx { host, store: &self.store, keys: &self.keys, cancel: self.runner.cancel, reporter, phase };
        let prepared = async {
            let step = act::materialise(step, &cx).await?;
            let undo = Undo::prepare(&step, host, &self.journal).await?;
            Ok((step, undo))
        };
        // Whoever is asked for what there is may not answer for a while.
        let (step, undo) = if in_outage { prepared.await } else { cx.unless_cancelled(prepared).await }
            .map_err(into_stop)?;
        self.journal.append(Record::StepStarted { phase: phase.into(), step: index, description, undo })?;
        act::act(&step, &cx).await.map_err(into_stop)?;
        match step {
            Step::Record { name, value } => {
                self.store.record(&name, value.clone());
                self.journal.append(Record::Output { name, value })?;
            }
            Step::CommitPoint { why } => {
                self.journal.append(Record::CommitPoint { why })?;
            }
            _ => {}
        }
        self.journal.append(Record::StepDone { phase: phase.into(), step: index })?;
        reporter.report(Event::StepFinished {
            phase: phase.into(),
            step: index,
            elapsed_ms: millis(started),
        });
        Ok(())
    }

    fn plan_cx(&self) -> PlanCx<'_> {
        PlanCx {
            host: self.runner.host.probe(),
            store: &self.store,
            mode: PlanMode::Apply,
            reporter: self.runner.reporter,
        }
    }

    /// Ends the operation in the journal, and takes back what is to be taken back.
    pub async fn conclude(&mut self, result: Result<(), (String, Stop)>) -> Result<RunReport, RunError> {
        let operation = self.journal.operation.id.clone();
        let (phase, stop) = match result {
            Ok(()) => return self.finish(operation),
            Err(stopped) => stopped,
        };
        let (message, hints, findings) = match stop {
            Stop::Journal(error) => return Err(error.into()),
            Stop::Cancelled(signal) => {
                self.journal.append(Record::Interrupted { signal: signal.into() })?;
                return Err(RunError::Interrupted { operation, signal });
            }
            Stop::Plan(PhaseError::Preflight(findings)) => {
                let lines: Vec<_> = findings
                    .iter()
                    .map(|finding| format!("[{}] {}", finding.check, finding.message))
                    .collect();
                (lines.join("; "), vec![], Some(findings))
            }
            Stop::Plan(error) => (chain(&error), error.hints(), None),
            Stop::Step(error) => (chain(&error), error.hints(), None),
        };
        self.journal.append(Record::Failed { phase: phase.clone(), message: message.clone() })?;
        self.runner.reporter.report(Event::PhaseFailed {
            phase: phase.clone(),
            message: message.clone(),
            hints: hints.clone(),
        });
        // What an earlier process began may have been in use since: it is not taken back without a word.
        let stay = self.options.on_failure == OnFailure::Stop || self.resumed;
        let aftermath = match findings {
            None if stay => Aftermath::Resumable,
            _ => self.take_back().await,
        };
        if let (Some(findings), false) = (findings, matches!(aftermath, Aftermath::Stuck(_))) {
            return Err(RunError::Preflight(findings));
        }
        Err(RunError::Failed { operation, phase, message, hints, aftermath: Box::new(aftermath) })
    }

    async fn take_back(&mut self) -> Aftermath {
        let commit_point = self.journal.operation.commit_point().map(str::to_owned);
        match rollback::roll_back(&mut self.journal, self.runner).await {
            Ok(steps) => Aftermath::RolledBack { steps, commit_point },
            Err(error) => Aftermath::Stuck(error),
        }
    }

    fn finish(&mut self, operation: String) -> Result<RunReport, RunError> {
        let mut secrets = vec![];
        for name in ["bootstrap-token", "certificate-key"] {
            if let Ok(Some(secret)) = self.store.secret(name) {
                secrets.push((name.to_owned(), secret));
            }
        }
        self.journal.append(Record::Finished)?;
        // The next run tries again.
        if let Err(error) = self.store.forget_secrets() {
            let message =
                format!("cannot remove {}: {error}", self.journal.folder().join("private").display());
            self.runner.reporter.report(Event::Warning { message });
        }
        let outputs = self.store.outputs().clone();
        Ok(RunReport { operation, phases: self.journal.operation.phases(), outputs, secrets })
    }
}

fn into_stop(error: StepError) -> Stop {
    match error {
        StepError::Cancelled(signal) => Stop::Cancelled(signal),
        error => Stop::Step(error),
    }
}

pub(super) fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The steps of a phase between the stop of a service and its start: a signal waits for their end. An operator whose connection broke
/// would leave a machine behind on which nothing runs and that nobody watches.
fn in_outage(steps: &[Step]) -> BTreeSet<usize> {
    let controls = |step: &Step, name: &str, verbs: &[ServiceVerb]| matches!(step, Step::Service { unit, verb } if unit == name && verbs.contains(verb));
    let mut inside = BTreeSet::new();
    for (stopped, step) in steps.iter().enumerate() {
        let Step::Service { unit, verb: ServiceVerb::Stop } = step else { continue };
        let starts = |step: &Step| controls(step, unit, &[ServiceVerb::Start, ServiceVerb::Restart]);
        if let Some(after) = steps[stopped..].iter().position(starts) {
            inside.extend(stopped + 1..=stopped + after);
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_waits_while_a_service_is_stopped_that_the_phase_starts_again() {
        let service = |unit: &str, verb| Step::Service { unit: unit.into(), verb };
        let other = || Step::CommitPoint { why: String::new() };
        let steps = [
            other(),
            service("kubelet", ServiceVerb::Stop),
            other(),
            service("containerd", ServiceVerb::Start),
            service("kubelet", ServiceVerb::Start),
            other(),
        ];
        assert_eq!(in_outage(&steps), BTreeSet::from([2, 3, 4]));
        // What stays stopped may be stopped at.
        assert!(in_outage(&steps[..3]).is_empty());
    }
}
