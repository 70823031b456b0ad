//! Plans: what `--dry-run` prints, and why there is none.

use rkadm_core::engine::{PhaseError, RunError, event::Outcome, plan::PlannedPhase};
use serde::Serialize;

use super::{
    Session,
    exit::{CommandError, ExitKind},
};
use crate::output::{stdout_is_terminal, text};

/// Prints the plan of a dry run.
pub fn print(session: &Session, phases: Vec<PlannedPhase>) {
    #[derive(Serialize)]
    struct Plan {
        phases: Vec<PlannedPhase>,
    }
    let plan = Plan { phases };
    let colour = stdout_is_terminal() && std::env::var_os("NO_COLOR").is_none();
    session
        .printer
        .result("Plan", &plan, || plan.phases.iter().map(|phase| planned(phase, colour)).collect());
}

fn planned(phase: &PlannedPhase, colour: bool) -> String {
    let why = phase.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let state = match phase.outcome {
        Outcome::Done => String::new(),
        Outcome::AlreadyDone => format!(" (nothing to do{why})"),
        Outcome::NotApplicable => format!(" (not applicable{why})"),
        Outcome::Skipped => " (skipped)".into(),
    };
    let mut out = format!("{}{state}\n", phase.phase);
    for step in &phase.steps {
        out += &format!("  - {}\n", step.description);
        for line in step.diff.iter().flat_map(|diff| diff.lines()) {
            let line = if colour { text::coloured(line) } else { line.to_owned() };
            out += format!("      {line}").trim_end();
            out += "\n";
        }
    }
    out
}

/// Why a plan could not be made.
pub fn failed(phase: &str, error: PhaseError) -> CommandError {
    let message = format!("phase {phase}: {error}");
    let hints = error.hints();
    match error {
        // Said as the real run says it.
        PhaseError::Preflight(findings) => RunError::Preflight(findings).into(),
        _ => CommandError { hints, ..CommandError::new(ExitKind::Failed, message) },
    }
}
