//! `kez-chat-server`: flags in, a running server out.

use std::process::ExitCode;

use clap::Parser;
use kez_chat_server::config::{Cli, Command, ServeArgs};
use kez_chat_server::{Server, World, admin, router};
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
        Some(Command::Openapi) => print!("{}", router::openapi_json()),
        Some(Command::Invite(command)) => {
            let clock = SystemClock::new();
            print!("{}", runtime()?.block_on(admin::invite(&cli.serve, command, &clock, &SystemRng))?);
        }
        None => runtime()?.block_on(serve(&cli.serve))?,
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
        mode = "embedded",
        registration = args.registration.as_str(),
        web = if args.web_dir.is_some() { "folder" } else { "placeholder" },
        "kez-chat-server {} is ready", env!("CARGO_PKG_VERSION"),
    );
    if !addr.ip().is_loopback() {
        tracing::info!(
            "this port speaks plain HTTP; for people on other machines put a TLS proxy in front of it"
        );
    }
    if args.sig_server_url.is_loopback() && args.public_urls()?.iter().any(|url| !url.is_loopback()) {
        tracing::warn!(
            sig_server_url = %args.sig_server_url,
            "records point to a sig-server that only this machine can reach; set --sig-server-url to a public one"
        );
    }
    Ok(())
}
