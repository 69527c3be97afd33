//! `kez-chat-server`: flags in, a running server out.

use std::io::{Write as _, stdout};
use std::process::ExitCode;

use clap::Parser;
use kez_chat_server::config::{Cli, Command, ServeArgs};
use kez_chat_server::{Server, SigListener, World, admin, backup, router, write_nats_config};
use kez_serve::clock::SystemClock;
use kez_serve::rng::SystemRng;
use kez_serve::signals::Shutdown;
use kez_serve::telemetry;

/// Anything that ends the program with a message.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    telemetry::init()?;
    match &cli.command {
        Some(Command::Openapi) => stdout().write_all(router::openapi_json().as_bytes())?,
        Some(Command::NatsConfig(args)) => {
            write_nats_config(args, &cli.serve.server, &SystemRng, &mut stdout())?;
        }
        Some(Command::Invite(command)) => {
            let clock = SystemClock::new();
            runtime()?.block_on(admin::invite(&cli.serve, command, &clock, &SystemRng, &mut stdout()))?;
        }
        Some(Command::Admin(command)) => {
            let clock = SystemClock::new();
            runtime()?.block_on(admin::account(&cli.serve, command, &clock, &mut stdout()))?;
        }
        Some(Command::Backup { to }) => {
            let clock = SystemClock::new();
            runtime()?.block_on(backup::backup(&cli.serve, to, &clock, &SystemRng, &mut stdout()))?;
        }
        Some(Command::Restore { from }) => {
            let clock = SystemClock::new();
            runtime()?.block_on(backup::restore(&cli.serve, from, &clock, &SystemRng, &mut stdout()))?;
        }
        Some(Command::Verify { backup, json }) => {
            runtime()?.block_on(backup::verify(&cli.serve, backup.as_deref(), *json, &mut stdout()))?;
        }
        None => {
            let runtime = runtime()?;
            let served = runtime.block_on(serve(&cli.serve));
            // A thread may still wait for the system's resolver, for half a minute: nothing is lost with it.
            runtime.shutdown_background();
            served?;
        }
    }
    Ok(())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

async fn serve(args: &ServeArgs) -> Result<(), Failure> {
    let mut signals = Shutdown::listen()?;
    let server = Server::bind(args, World::default()).await?;
    announce(args, &server)?;
    signals.wait(|| server.announce_stop()).await;
    server.shutdown().await;
    tracing::info!("stopped");
    Ok(())
}

/// Says where everything is, and what an operator would otherwise find out the hard way.
fn announce(args: &ServeArgs, server: &Server) -> Result<(), Failure> {
    let addr = server.addr();
    let host = if addr.ip().is_unspecified() { "localhost".to_owned() } else { addr.ip().to_string() };
    tracing::info!(
        url = %format_args!("http://{host}:{}", addr.port()),
        server.name = %args.server,
        db = %args.db.display(),
        mode = if args.nats_url.is_empty() { "embedded" } else { "with NATS" },
        registration = args.registration.as_str(),
        sigchains = sigchains(server),
        web = server.web_client(),
        "kez-chat-server {} is ready", env!("CARGO_PKG_VERSION"),
    );
    if !addr.ip().is_loopback() {
        tracing::info!(
            "this port speaks plain HTTP; for people on other machines put a TLS proxy in front of it"
        );
    }
    announce_sigchains(args, server);
    if args.sig_server_url.is_loopback()
        && let Some(public) = args.public_urls()?.iter().find(|url| !url.is_loopback())
    {
        let cure = if server.sig_listener().is_some() {
            format!("--sig-server-url {public} leads to the one within")
        } else {
            "set --sig-server-url to a public one".to_owned()
        };
        tracing::warn!(
            sig_server_url = %args.sig_server_url,
            "records point to a sig-server that only this machine can reach; {cure}"
        );
    }
    Ok(())
}

/// Where sigchains are kept, for the start line.
fn sigchains(server: &Server) -> String {
    match server.sig_listener() {
        None => "off".to_owned(),
        Some(SigListener::Serves(addr)) => addr.to_string(),
        Some(SigListener::OtherSigServer(_) | SigListener::SomethingElse(_)) => "/v1/sigchains".to_owned(),
    }
}

/// Says who answers at `--sig-bind`, if it is not this server.
fn announce_sigchains(args: &ServeArgs, server: &Server) {
    match server.sig_listener() {
        None | Some(SigListener::Serves(_)) => {}
        Some(SigListener::OtherSigServer(addr)) => tracing::info!(
            sig.bind = %addr, sig.db = %args.sig_db().display(),
            "another sig-server answers at --sig-bind, so this server has no listener of its own there; \
             its own sigchains are below /v1/sigchains"
        ),
        Some(SigListener::SomethingElse(addr)) => tracing::warn!(
            sig.bind = %addr, sig.db = %args.sig_db().display(),
            "something that is no sig-server has the port of --sig-bind, so this server has no listener of its own \
             there; its sigchains are below /v1/sigchains. Choose another --sig-bind, and --sig-server-url with it"
        ),
    }
}
