//! `upgrade apply` and `upgrade node`: from flags to a node of another version.

use std::sync::Arc;

use clap::ArgMatches;
use rkadm_core::{
    config::{GoDuration, resolve_upgrade},
    engine::{Event, OnFailure, event::Outcome, operation::Operation},
    version::{KubeVersion, check_supported, skew::Component},
};
use rkadm_phases::{
    preflight,
    upgrade::{
        self, APPLY, NODE, Scope, Upgrade, Upgrading, findings, kubelet,
        state::{self, Seen},
    },
};

use super::{
    args::{ApplyArgs, NodeArgs, Settings},
    confirm,
    diff::QUIET,
    downtime::Measuring,
    gate, hops, report,
    request::{self, Found},
    unfinished::{self, after, unfinished},
};
use crate::cli::{
    API_TIMEOUT, Session, documents,
    exit::{CommandError, ExitKind},
    operation::{self, Manner},
    phase_tree::{self, Selected},
    typed,
};

/// Runs `rkadm upgrade apply` or one of its phases.
pub async fn apply(session: &Session, matches: &ArgMatches) -> Result<(), CommandError> {
    let (only, matches) = phase_tree::chosen(matches)?;
    let args: ApplyArgs = typed(matches)?;
    if let Some(wrong) = misplaced(&args, only.as_deref()) {
        return Err(CommandError::new(ExitKind::Usage, wrong).detail("Nothing was changed."));
    }
    if !args.fleet.nodes.is_empty() {
        return super::fleet::run(session, &args).await;
    }
    let settings = Settings::of_apply(&args, &configuration(session, &args.common.config)?);
    if !settings.dry_run {
        Session::require_root("upgrade apply")?;
    }
    let wanted = settings.version.as_deref().map(version).transpose()?;
    let on_failure = args.common.on_failure.into();
    if let Some(upgrade) = unfinished(session, &settings, only.as_deref(), wanted.as_ref()) {
        let upgrade = upgrade?;
        let reached = upgrade.config.kubernetes_version.clone();
        // One that goes over several minors has more before it.
        let then = wanted.as_ref().filter(|wanted| **wanted > reached);
        execute(session, upgrade, on_failure, then).await?;
        if then.is_none() {
            return Ok(());
        }
        return apply_from(session, &settings, only, wanted, on_failure)
            .await
            .map_err(|error| after(error, &reached));
    }
    apply_from(session, &settings, only, wanted, on_failure).await
}

/// From where this machine stands, over as many minors as there are.
async fn apply_from(
    session: &Session,
    settings: &Settings,
    only: Option<String>,
    wanted: Option<KubeVersion>,
    on_failure: OnFailure,
) -> Result<(), CommandError> {
    let host = session.host(API_TIMEOUT);
    let found = request::find(&host, settings).await?;
    let Some(own) = found.own.clone() else { return Err(not_here()) };
    let to = match (wanted, &only) {
        (Some(version), _) => version,
        // A single phase goes on with what is there.
        (None, Some(_)) => own.clone().max(found.cluster.clone()),
        (None, None) => return Err(no_version(Some(&own))),
    };
    if settings.print_config {
        crate::output::note(&found.stored.cluster);
    }
    let hops = steps(session, &found, settings, only.as_deref(), &to).await?;
    if only.is_none() && !settings.dry_run && !settings.yes {
        confirm::ask(&found.cluster, &to)?;
    }
    for (index, hop) in hops.iter().enumerate() {
        let step = Step { hop, only: only.as_deref(), on_failure, then: hops.get(index + 1) };
        let taken = take(session, settings, &step).await;
        if index > 0 {
            taken.map_err(|error| after(error, &hops[index - 1]))?;
        } else {
            taken?;
        }
        if settings.dry_run && hops.len() > 1 {
            session.reporter.report(Event::Warning {
                message: format!(
                    "this is the plan to {hop}; what comes after it depends on what is there then"
                ),
            });
            break;
        }
    }
    Ok(())
}

/// One of the versions on the way.
struct Step<'a> {
    hop: &'a KubeVersion,
    only: Option<&'a str>,
    on_failure: OnFailure,
    /// The one after it.
    then: Option<&'a KubeVersion>,
}

async fn take(session: &Session, settings: &Settings, step: &Step<'_>) -> Result<(), CommandError> {
    let found = request::find(&session.host(API_TIMEOUT), settings).await?;
    let upgrade = request::request(&found, settings, step.hop, step.only)?;
    execute(session, upgrade, step.on_failure, step.then).await.map(drop)
}

/// Flags that go with other flags only.
fn misplaced(args: &ApplyArgs, only: Option<&str>) -> Option<&'static str> {
    let several = !args.fleet.nodes.is_empty();
    if several && only.is_some() {
        return Some("a single phase is run on one machine: --nodes goes with the whole upgrade");
    }
    (!several && args.fleet.kubelet.is_wanted())
        .then_some("--kubelet goes with --nodes here; the kubelet of this machine alone: `rkadm upgrade node --kubelet` afterwards")
}

/// Runs `rkadm upgrade node` or one of its phases.
pub async fn node(session: &Session, matches: &ArgMatches) -> Result<(), CommandError> {
    let (only, matches) = phase_tree::chosen(matches)?;
    let args: NodeArgs = typed(matches)?;
    let settings = Settings::of_node(&args, &configuration(session, &args.common.config)?);
    if !settings.dry_run {
        Session::require_root("upgrade node")?;
    }
    let on_failure = args.common.on_failure.into();
    if only.is_some() || settings.kubelet.is_none() {
        return node_part(session, &settings, only.as_deref(), on_failure).await.map(drop);
    }
    // Two operations: what is wrong with the kubelet's does not take the control plane back.
    let without = Settings { kubelet: None, ..settings.clone() };
    let begun = unfinished(session, &settings, Some(kubelet::GROUP), None).is_some();
    let changed = !begun && node_part(session, &without, None, on_failure).await?;
    let kubelet = node_part(session, &settings, Some(kubelet::GROUP), on_failure).await;
    match kubelet {
        Err(error) if changed => Err(after(error, &"what comes before the kubelet")),
        other => other.map(drop),
    }
}

/// Whether it changed anything.
async fn node_part(
    session: &Session,
    settings: &Settings,
    only: Option<&str>,
    on_failure: OnFailure,
) -> Result<bool, CommandError> {
    if let Some(upgrade) = unfinished(session, settings, only, None) {
        return execute(session, upgrade?, on_failure, None).await;
    }
    let found = request::find(&session.host(API_TIMEOUT), settings).await?;
    let upgrade = request::request(&found, settings, &found.cluster, only)?;
    execute(session, upgrade, on_failure, None).await
}

/// The configuration in these files; what is odd about it is told.
pub fn configuration(
    session: &Session,
    files: &[std::path::PathBuf],
) -> Result<rkadm_core::config::types::UpgradeConfiguration, CommandError> {
    let (config, warnings) =
        resolve_upgrade(&documents::load(files)?).map_err(|errors| documents::invalid(&errors))?;
    for warning in warnings {
        session.reporter.report(Event::Warning { message: warning.to_string() });
    }
    Ok(config)
}

/// The version to look at: the flag's, else the configuration's, where it has one.
pub fn wanted(flag: Option<&str>, configured: &str) -> Result<Option<KubeVersion>, CommandError> {
    let text = flag.unwrap_or(configured);
    if text.is_empty() { Ok(None) } else { version(text).map(Some) }
}

fn version(text: &str) -> Result<KubeVersion, CommandError> {
    let wrong = |why: String| {
        let known: Vec<_> = rkadm_core::version::ROWS.iter().map(|row| row.newest().to_string()).collect();
        CommandError::new(ExitKind::Usage, why)
            .hint(format!("the newest patches that this rkadm knows: {}", known.join(", ")))
    };
    let version = KubeVersion::resolve(text).map_err(|error| wrong(error.to_string()))?;
    check_supported(&version).map_err(|error| wrong(error.to_string()))?;
    Ok(version)
}

pub fn not_here() -> CommandError {
    CommandError::new(ExitKind::Preflight, "this machine has no API server: it is no control plane")
        .detail("Nothing was changed.")
        .hint("on a control plane: `rkadm upgrade apply VERSION`; then here: `rkadm upgrade node`")
}

/// `own` is what this machine has, where it is a control plane.
pub fn no_version(own: Option<&KubeVersion>) -> CommandError {
    let has = own.map(|own| format!(" This control plane has {own}")).unwrap_or_default();
    let error = CommandError::new(ExitKind::Usage, format!("which version?{has}"));
    let next =
        own.and_then(|own| rkadm_core::version::row(own.minor() + 1)).map(|row| row.newest().to_string());
    match next {
        Some(next) => error.hint(format!("for example: rkadm upgrade apply {next}")),
        None => error.hint("rkadm upgrade apply VERSION"),
    }
}

/// The versions to go through. Several control planes have to be brought to each of them before the next.
async fn steps(
    session: &Session,
    found: &Found,
    settings: &Settings,
    only: Option<&str>,
    to: &KubeVersion,
) -> Result<Vec<KubeVersion>, CommandError> {
    let from = found.own.as_ref().unwrap_or(&found.cluster).min(&found.cluster);
    let hops = hops::between(from, to);
    if hops.len() == 1 || only.is_some() {
        return Ok(vec![to.clone()]);
    }
    let host = session.host(API_TIMEOUT);
    let probe = request::request(found, settings, to, None)?;
    let upgrading = Upgrading::new(probe);
    let access = upgrading.cluster.admin(&host).await.map_err(CommandError::failed)?;
    let seen = state::look(&host, &access).await.map_err(CommandError::failed)?;
    for (_, finding) in ahead(found, settings, &hops, &seen)? {
        let hint = finding.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        let message = format!("[{}] {}{hint}", finding.check, finding.message);
        session.reporter.report(Event::Warning { message });
    }
    let nodes: Vec<_> = seen.of(Component::ApiServer).map(|server| server.node.as_str()).collect();
    if nodes.len() < 2 {
        return Ok(hops);
    }
    let message = format!(
        "from {from} to {to} there are {} steps, and each is to be taken by all control planes ({}) before the next",
        hops.len(),
        nodes.join(", ")
    );
    let mut error = CommandError::new(ExitKind::Preflight, message).detail("Nothing was changed.");
    for hop in &hops {
        error = error.hint(format!(
            "here `rkadm upgrade apply {hop}`, then on each other control plane `rkadm upgrade node`"
        ));
    }
    Err(error)
}

/// What later steps will meet: better known before the first.
pub fn ahead(
    found: &Found,
    settings: &Settings,
    hops: &[KubeVersion],
    seen: &Seen,
) -> Result<Vec<preflight::Found>, CommandError> {
    let step = |hop| Ok::<_, CommandError>(Upgrading::new(request::request(found, settings, hop, None)?));
    let steps = hops.iter().map(step).collect::<Result<Vec<_>, _>>()?;
    Ok(findings::of_later_steps(&steps, seen))
}

pub fn verb(scope: Scope) -> &'static str {
    match scope {
        Scope::Cluster => APPLY,
        Scope::Node => NODE,
    }
}

/// Goes on with an unfinished upgrade.
pub async fn resume(session: &Session, operation: &Operation) -> Result<(), CommandError> {
    Session::require_root("op resume")?;
    let upgrade: Upgrade = operation::request(session, operation)?;
    execute(session, upgrade, OnFailure::Stop, None).await.map(drop)
}

/// `then` is the version that comes after this one in the same command. Whether it changed anything.
async fn execute(
    session: &Session,
    upgrade: Upgrade,
    on_failure: OnFailure,
    then: Option<&KubeVersion>,
) -> Result<bool, CommandError> {
    for warning in &upgrade.config.warnings {
        session.reporter.report(Event::Warning { message: warning.to_string() });
    }
    let verb = verb(upgrade.scope);
    let only = upgrade.only.clone();
    let upgrading = Arc::new(Upgrading::new(upgrade));
    let config = &upgrading.request.config;
    let whole = match upgrading.request.scope {
        Scope::Cluster => upgrade::apply(&upgrading),
        Scope::Node => upgrade::node(&upgrading),
    };
    let Selected { workflow, skip } = Selected::of(verb, whole, &config.skip_phases, only.as_deref())?;
    let manner = Manner {
        dry_run: config.dry_run,
        on_failure,
        key_algorithm: upgrading.request.control_plane.then(|| config.key_algorithm()),
        skip,
        digest: Some(digest(&upgrading.request)),
        config: Some(recorded(&upgrading.request)),
        ..Manner::default()
    };
    let host = session.host(config.timeouts.kubernetes_api_call.map_or(API_TIMEOUT, GoDuration::as_std));
    let measuring = match upgrading.cluster.admin(&host).await {
        Ok(access) if upgrading.request.control_plane && !config.dry_run => {
            Some(Measuring::start(session, access))
        }
        _ => None,
    };
    let done = operation::carry_out(session, &host, &workflow, &upgrading.request, &manner).await;
    let downtime = match measuring {
        Some(measuring) => Some(measuring.end().await),
        None => None,
    };
    match done {
        Ok(Some(done)) => {
            report::finished(session, &upgrading, &done, downtime, then).await;
            let is_whole = only.as_deref().is_none_or(|only| only == kubelet::GROUP);
            if is_whole && upgrading.request.control_plane {
                gate::pass(session, &upgrading, &done.operation).await?;
            }
            let quiet = |phase: &str| QUIET.contains(&phase);
            Ok(done.phases.iter().any(|line| line.outcome == Some(Outcome::Done) && !quiet(&line.phase)))
        }
        Ok(None) => Ok(false),
        Err(failure) => Err(unfinished::left_behind(session, &host, failure.into()).await),
    }
}

/// What the journal says of the request: without the environment, whose proxies may have passwords.
fn recorded(upgrade: &Upgrade) -> serde_json::Value {
    let mut config = serde_json::to_value(&upgrade.config).unwrap_or_default();
    config[super::rollback::FROM] = upgrade.from.to_string().into();
    config
}

/// The same command has the same.
fn digest(upgrade: &Upgrade) -> String {
    let text = format!(
        "{:?}\n{}\n{}\n{}\n{:?}\n{:?}\n{:?}",
        upgrade.scope,
        upgrade.config.kubernetes_version,
        upgrade.certificate_renewal,
        upgrade.etcd_upgrade,
        upgrade.config.patches_dir,
        upgrade.kubelet.as_ref().map(|kubelet| &kubelet.binary),
        upgrade.only
    );
    rkadm_core::text::sha256_hex(text.as_bytes())
}
