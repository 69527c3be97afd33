//! Whether a server has the name that it gives itself. SPEC "Server information".
//!
//! A registration binds a key on the server that it names. Signed for whatever name a server claims, it could be passed
//! on by a relay to the server that really has the name.

use kez_core::ServerName;
use serde::Serialize;

use super::Chosen;
use crate::error::CliError;

/// Why a server is believed to have its name. The JSON names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ServerIdentity {
    /// Nobody checked; only this machine reaches it.
    ThisMachine,
    /// Its https certificate is for that name.
    Certificate,
    /// The domain of that name points to it.
    Domain,
    /// The user said so.
    User,
}

/// Fails unless the chosen server has the name it claims. `vouched` is the name that the user says it has.
pub(super) async fn establish(
    chosen: &Chosen,
    vouched: Option<&ServerName>,
) -> Result<ServerIdentity, CliError> {
    let (url, server) = (chosen.home_server.url(), &chosen.info.server);
    if let Some(vouched) = vouched.filter(|vouched| *vouched != server) {
        let (url, server, vouched) = (url.to_string(), server.clone(), vouched.clone());
        return Err(CliError::OtherServer { url, server, vouched });
    }
    if url.is_loopback() {
        return Ok(ServerIdentity::ThisMachine);
    }
    if url.proves(server) {
        return Ok(ServerIdentity::Certificate);
    }
    if vouched.is_some() {
        return Ok(ServerIdentity::User);
    }
    let (url_text, name) = (url.to_string(), server.clone());
    match kez_client::points_to(server, url).await {
        Ok(true) => Ok(ServerIdentity::Domain),
        Ok(false) => Err(CliError::ServerDenied { url: url_text, server: name }),
        Err(source) => Err(CliError::ServerUnproven { url: url_text, server: name, source }),
    }
}
