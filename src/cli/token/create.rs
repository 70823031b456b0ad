//! `rkadm token create`.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use rkadm_core::{
    config::{
        ConfigError, GoDuration, InitFlags, Secret, resolve_init, resolve_token, types::BootstrapToken,
        validate::names::is_certificate_key,
    },
    engine::plan::{PlannedStep, object_diff},
    kube::objects,
    pki::bootstrap_token::BootstrapToken as NewToken,
};
use serde_json::Value;

use super::{Created, List, ServerArgs, plan, secret_of};
use crate::cli::{
    Session,
    cluster::{Cluster, Pins},
    config, documents,
    exit::{CommandError, ExitKind},
    plan as planned,
};

/// Flags of `token create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The token, `[a-z0-9]{6}.[a-z0-9]{16}`; generated when not given
    // A list, so that one too many is refused without being repeated.
    #[arg(value_name = "TOKEN")]
    token: Vec<String>,
    /// With --print-join-command: print the command of a control plane, with this key of its certificates
    #[arg(long, value_name = "KEY")]
    certificate_key: Option<String>,
    /// Create the `bootstrapTokens` of this configuration file; `-` reads stdin
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// What the token is used for, for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Groups that the token authenticates as [default: system:bootstrappers:kubeadm:default-node-token]
    #[arg(long, value_name = "GROUP,…", value_delimiter = ',')]
    groups: Vec<String>,
    /// Print the whole command that joins a node, in place of the token
    #[arg(long)]
    print_join_command: bool,
    /// How long the token lives, such as 2h30m; 0 is for ever [default: 24h]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    ttl: Option<GoDuration>,
    /// What the token can be used for [default: signing,authentication]
    #[arg(long, value_name = "USAGE,…", value_delimiter = ',', value_parser = ["signing", "authentication"])]
    usages: Vec<String>,
}

/// Runs it.
pub async fn run(session: &Session, args: &CreateArgs, server: &ServerArgs) -> Result<(), CommandError> {
    let wanted = wanted(args)?;
    let cluster = Cluster::open(session, server.kubeconfig.as_deref())?;
    // Known before anything is created.
    let pins = if args.print_join_command { Some(cluster.pins()?) } else { None };
    for token in &wanted {
        refuse_existing(&cluster, token).await?;
    }
    if server.dry_run {
        let steps = wanted.iter().map(would_create).collect();
        let phases = plan("token/create", "Create bootstrap tokens on the server", steps);
        planned::print(session, phases);
        return Ok(());
    }
    let tokens: Vec<_> = wanted.into_iter().map(with_value).collect::<Result<_, _>>()?;
    let mut created: Vec<&str> = vec![];
    for token in &tokens {
        create(&cluster, token, &created).await?;
        created.extend(token.id());
    }
    print(session, args, &tokens, pins.as_ref());
    Ok(())
}

/// The tokens to create; one without a value is to be generated.
fn wanted(args: &CreateArgs) -> Result<Vec<BootstrapToken>, CommandError> {
    let usage = |message: &str| Err(CommandError::new(ExitKind::Usage, message));
    if args.token.len() > 1 {
        return usage("`rkadm token create` takes one token at most");
    }
    match &args.certificate_key {
        Some(_) if !args.print_join_command => {
            return usage("--certificate-key cannot be used without --print-join-command");
        }
        Some(key) if !is_certificate_key(key) => {
            return Err(CommandError::new(ExitKind::Usage, "--certificate-key is not a key of 32 bytes as hex")
                .hint("`rkadm init phase upload-certs --upload-certs` uploads the certificates and prints their key"));
        }
        _ => {}
    }
    if args.config.is_empty() {
        let token = BootstrapToken {
            token: args.token.first().map(|token| Secret::from(token.as_str())),
            description: args.description.clone().unwrap_or_default(),
            ttl: args.ttl,
            expires: None,
            usages: args.usages.clone(),
            groups: args.groups.clone(),
        };
        return resolve_token(token).map(|token| vec![token]).map_err(|errors| {
            let details = errors.0.iter().map(ConfigError::to_string).collect();
            CommandError { details, ..CommandError::new(ExitKind::Usage, "the token cannot be created") }
        });
    }
    let flags = [
        ("TOKEN", !args.token.is_empty()),
        ("--description", args.description.is_some()),
        ("--groups", !args.groups.is_empty()),
        ("--ttl", args.ttl.is_some()),
        ("--usages", !args.usages.is_empty()),
    ];
    if let Some((flag, _)) = flags.into_iter().find(|(_, given)| *given) {
        return Err(CommandError::new(
            ExitKind::Usage,
            format!("{flag} cannot be used together with --config"),
        )
        .hint("set it in bootstrapTokens of the configuration file"));
    }
    let documents = documents::load(&args.config)?;
    resolve_init(&documents, &InitFlags::default(), &config::any_machine())
        .map(|config| config.bootstrap_tokens)
        .map_err(|errors| documents::invalid(&errors))
}

async fn refuse_existing(cluster: &Cluster, token: &BootstrapToken) -> Result<(), CommandError> {
    let Some(id) = token.id() else { return Ok(()) };
    match cluster.client.get(&secret_of(id)?).await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(exists(id)),
        Err(error) => Err(cluster.explain(&error, "No token was created.")),
    }
}

fn exists(id: &str) -> CommandError {
    CommandError::failed(format!("a token with the id {id:?} exists already"))
        .detail("It was not changed.")
        .hint(format!("leave the token out to have one generated, or `rkadm token delete {id}` first"))
}

fn would_create(token: &BootstrapToken) -> PlannedStep {
    let id = token.id().unwrap_or("<id>");
    let name = format!("Secret kube-system/bootstrap-token-{id}");
    let description = match token.token {
        Some(_) => format!("create {name}"),
        None => format!("create {name} of a token to be generated"),
    };
    // In place of what is not made yet; the plan hides the values.
    let shown = BootstrapToken { token: Some(Secret::new(format!("{id}.secret"))), ..token.clone() };
    let object = shown.end(Timestamp::now()).ok().and_then(|end| objects::bootstrap_token(&shown, end).ok());
    let diff = object.map(|object| object_diff(&name, None, &object));
    PlannedStep { action: "create", targets: vec![name], description, diff }
}

fn with_value(token: BootstrapToken) -> Result<BootstrapToken, CommandError> {
    if token.token.is_some() {
        return Ok(token);
    }
    let new = NewToken::generate().map_err(CommandError::failed)?;
    Ok(BootstrapToken { token: Some(Secret::new(new.expose().as_str())), ..token })
}

async fn create(cluster: &Cluster, token: &BootstrapToken, before: &[&str]) -> Result<(), CommandError> {
    let end = token.end(Timestamp::now()).map_err(CommandError::failed)?;
    let object: Value = objects::bootstrap_token(token, end).map_err(CommandError::failed)?;
    let Err(error) = cluster.client.create(&object).await else { return Ok(()) };
    let left = match before {
        [] => "No token was created.".to_owned(),
        ids => format!("Created before, and left: {}.", ids.join(", ")),
    };
    match token.id() {
        Some(id) if error.is_already_exists() => Err(exists(id).detail(left)),
        _ => Err(cluster.explain(&error, &left)),
    }
}

fn print(session: &Session, args: &CreateArgs, tokens: &[BootstrapToken], pins: Option<&Pins>) {
    let items: Vec<_> = tokens
        .iter()
        .map(|token| {
            let value = token.token.as_ref().map(Secret::expose).unwrap_or_default();
            let end = token.end(Timestamp::now()).ok().flatten();
            Created {
                token: value,
                expires: end.map(|end| end.strftime("%FT%TZ").to_string()),
                join_command: pins.map(|pins| join_command(pins, value, args.certificate_key.as_deref())),
            }
        })
        .collect();
    let lines = || {
        let lines: Vec<_> =
            items.iter().map(|item| item.join_command.as_deref().unwrap_or(item.token)).collect();
        lines.join("\n") + "\n"
    };
    match items.as_slice() {
        [only] => session.printer.result("BootstrapToken", only, lines),
        several => session.printer.result("BootstrapTokenList", &List { items: several }, lines),
    }
}

/// Word for word kubeadm's.
fn join_command(pins: &Pins, token: &str, certificate_key: Option<&str>) -> String {
    let mut command = format!("kubeadm join {} --token {token}", pins.endpoint);
    for hash in &pins.hashes {
        command += &format!(" --discovery-token-ca-cert-hash {hash}");
    }
    if let Some(key) = certificate_key {
        command += &format!(" --control-plane --certificate-key {key}");
    }
    command
}
