//! The connections: how many, how they begin, how long anything may take.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, RecyclingMethod, Runtime};
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connection::Connection;
use super::error::{Fault, OpenError};
use super::location::Location;
use super::{Options, migrate};

/// How long a call waits for a connection that is in use. Longer is better spent in the caller's retry.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// How long it takes to connect, at most.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Calls that wait for a connection, at most: one more is refused.
const WAITING_MAX: usize = 1024;

/// For each session. What is acknowledged is on the disk (`remote_apply` is stronger still); no statement, no lock and no
/// forgotten transaction holds others up for long; a deadlock is found before anybody gives up.
const SESSION: &str = "
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
    SET statement_timeout = '30s';
    SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '30s';
    SET default_transaction_isolation = 'read committed';
    SET client_min_messages = warning;";

/// A bounded number of connections.
#[derive(Clone)]
pub(super) struct Pool {
    connections: deadpool_postgres::Pool,
}

impl Pool {
    pub(super) fn new(location: &Location, options: Options) -> Result<Self, OpenError> {
        let mut config = location.config().clone();
        config.connect_timeout(CONNECT_MAX);
        config.tcp_user_timeout(Duration::from_secs(20));
        config.keepalives_idle(Duration::from_secs(30));
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config, tls(location)?, recycling);
        let session = Arc::new(format!("{SESSION} SET search_path = {};", migrate::quoted(options.schema)));
        let connections = deadpool_postgres::Pool::builder(manager)
            .max_size(options.connections_max)
            .wait_timeout(Some(WAIT_MAX))
            .create_timeout(Some(CONNECT_MAX))
            .runtime(Runtime::Tokio1)
            .post_create(Hook::async_fn(move |client, _| {
                let session = Arc::clone(&session);
                Box::pin(async move { client.batch_execute(&session).await.map_err(HookError::Backend) })
            }))
            .build()
            .map_err(|error| OpenError::Authorities {
                location: location.clone(),
                reason: error.to_string(),
            })?;
        Ok(Self { connections })
    }

    /// A connection, as soon as one is free.
    pub(super) async fn connection(&self) -> Result<Connection, Fault> {
        if self.connections.status().waiting >= WAITING_MAX {
            return Err(Fault::Busy);
        }
        match self.connections.get().await {
            Ok(client) => Ok(Connection::new(client)),
            Err(deadpool_postgres::PoolError::PostCreateHook(HookError::Backend(error))) => Err(error.into()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn close(&self) {
        self.connections.close();
    }
}

/// A server's certificate is always verified, by the authorities that the location names or else by the machine's.
fn tls(location: &Location) -> Result<MakeRustlsConnect, OpenError> {
    let failed = |reason: String| OpenError::Authorities { location: location.clone(), reason };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?;
    let config = match location.authorities().map_err(failed)? {
        Some(roots) => builder.with_root_certificates(roots).with_no_client_auth(),
        None => {
            builder.with_platform_verifier().map_err(|error| failed(error.to_string()))?.with_no_client_auth()
        }
    };
    Ok(MakeRustlsConnect::new(config))
}
