//! `kez-sig-server`: flags in, a running server out.

use std::io::{Write as _, stdout};
use std::process::ExitCode;

use clap::Parser;
use kez_serve::signals::Shutdown;
use kez_serve::telemetry;
use kez_sig_server::config::{Cli, Command, SigArgs};
use kez_sig_server::{SigServer, World, router};

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
        None => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(serve(&cli.serve))?;
        }
    }
    Ok(())
}

async fn serve(args: &SigArgs) -> Result<(), Failure> {
    let mut signals = Shutdown::listen()?;
    let server = SigServer::bind(args, World::default())?;
    announce(args, &server);
    signals.wait(|| server.announce_stop()).await;
    server.shutdown().await;
    tracing::info!("stopped");
    Ok(())
}

/// Says where everything is.
fn announce(args: &SigArgs, server: &SigServer) {
    let addr = server.addr();
    let host = if addr.ip().is_unspecified() { "localhost".to_owned() } else { addr.ip().to_string() };
    tracing::info!(
        url = %format_args!("http://{host}:{}", addr.port()),
        db = %args.db.display(),
        chain_limits = %args.chain_limits,
        storage_max = %args.storage_max,
        "kez-sig-server {} is ready", env!("CARGO_PKG_VERSION"),
    );
    if !addr.ip().is_loopback() {
        tracing::info!(
            "this port speaks plain HTTP; for people on other machines put a TLS proxy in front of it"
        );
    }
}
