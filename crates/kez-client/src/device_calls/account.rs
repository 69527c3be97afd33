//! Leaving a home server, and taking one's own data along.

use std::time::Duration;

use kez_core::{AccountDeletion, PublicKey, SignedReceipt, Verified};
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use crate::call_error::CallError;
use crate::device_client::DeviceClient;
use crate::error::{AnswerFault, Contradiction};
use crate::home_server::{HomeServer, STREAM_S_MAX};
use crate::transport::Pieces;

/// The media type of an export.
const MEDIA_TYPE: &str = "application/jsonl";

/// Room for the last line of an export, in bytes: it has two members.
const LAST_LINE_BYTES_MAX: usize = 256;

/// Everything that a server keeps of an account, as it comes: lines of JSON, a piece at a time.
#[derive(Debug)]
#[must_use]
pub struct Export {
    pieces: Pieces,
    lines: u64,
    /// The line that has begun, as far as it may be the last one.
    line: Vec<u8>,
    /// What the line before it was, when it was whole.
    is_whole: bool,
}

/// The last line of an export.
#[derive(Deserialize)]
struct End {
    #[serde(rename = "type")]
    kind: String,
    lines: u64,
}

impl HomeServer {
    /// Ends the account that the deletion is about, for ever, and has the server's receipt, verified with `receipt_key`, the
    /// key that [`ServerInfo`](crate::ServerInfo) gave before. Repeating it is safe: a large account takes longer than a
    /// call, and the server goes on.
    pub async fn delete_account(
        &self,
        deletion: &Verified<AccountDeletion>,
        receipt_key: &PublicKey,
    ) -> Result<SignedReceipt, CallError> {
        let answer = self.post_envelope(&["account", "delete"], deletion.canonical()).await?;
        if answer.status() != StatusCode::OK {
            return Err(CallError::of(&answer));
        }
        let receipt = SignedReceipt::parse(answer.text()?.as_bytes())
            .map_err(|_| answer.not_protocol(AnswerFault::NotJson))?;
        let wanted = deletion.document();
        let is_ours = receipt.verify(receipt_key).is_ok_and(|said| {
            said.primary == deletion.primary()
                && said.deletion_sha256 == *deletion.payload_sha256()
                && said.server.as_str() == wanted.server
                && said.handle.as_str() == wanted.handle
        });
        if is_ours { Ok(receipt) } else { Err(answer.contradiction(Contradiction::UnfitReceipt).into()) }
    }
}

impl DeviceClient {
    /// [`HomeServer::delete_account`] within the client's [`Patience`](crate::Patience).
    pub async fn delete_account(
        &self,
        deletion: &Verified<AccountDeletion>,
        receipt_key: &PublicKey,
    ) -> Result<SignedReceipt, CallError> {
        self.patiently(|| self.home().delete_account(deletion, receipt_key)).await
    }

    /// Everything that the server keeps of the account, read as it is taken.
    pub async fn export(&self) -> Result<Export, CallError> {
        let request = self.request(Method::GET, &["account", "export"]);
        let pieces = self.open(&request, MEDIA_TYPE, Duration::from_secs(STREAM_S_MAX)).await?;
        if pieces.media_type() != MEDIA_TYPE {
            return Err(pieces.head().not_protocol(AnswerFault::NotExport).into());
        }
        Ok(Export { pieces, lines: 0, line: Vec::new(), is_whole: false })
    }
}

impl Export {
    /// The next bytes; `None`: that was all. An export that was broken off ends with an error, and is not to be taken for
    /// the account: begin anew.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, CallError> {
        let Some(piece) = self.pieces.next().await? else {
            return if self.is_whole && self.line.is_empty() {
                Ok(None)
            } else {
                Err(self.pieces.head().not_protocol(AnswerFault::ExportCutShort).into())
            };
        };
        for byte in &piece {
            self.take(*byte);
        }
        Ok(Some(piece))
    }

    fn take(&mut self, byte: u8) {
        if byte != b'\n' {
            if self.line.len() <= LAST_LINE_BYTES_MAX {
                self.line.push(byte);
            }
            return;
        }
        let end = serde_json::from_slice::<End>(&self.line);
        self.is_whole = end.is_ok_and(|end| end.kind == "end" && end.lines == self.lines);
        self.lines += 1;
        self.line.clear();
    }
}
