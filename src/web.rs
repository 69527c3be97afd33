//! The page that people open: the web client of `--web-dir`, the one inside this program, or a placeholder that says what
//! this server is.

use std::path::PathBuf;

use bytes::Bytes;
use kez_core::ServerName;
use percent_encoding::percent_decode_str;
use web_assets::Client;

/// What `GET /` and everything below answers with.
#[derive(Debug, Clone)]
pub(crate) enum WebClient {
    /// A built client in a folder with an `index.html`.
    Folder(PathBuf),
    /// The client that this program was built with.
    BuiltIn(&'static Client),
    /// A page that says what this is and how to go on.
    Placeholder(Bytes),
}

/// How a path is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The page itself: the client finds its way by the path.
    Page,
    /// A file, or 404.
    File,
    /// 404, never the page: an old tab must not get HTML where it asked for a script.
    Nothing,
}

/// Extensions of files that a client asks for by name.
const ASSET_EXTENSIONS: [&str; 20] = [
    "avif",
    "br",
    "css",
    "gif",
    "gz",
    "html",
    "ico",
    "jpg",
    "js",
    "json",
    "map",
    "mjs",
    "png",
    "svg",
    "txt",
    "wasm",
    "webmanifest",
    "webp",
    "woff2",
    "xml",
];

impl WebClient {
    /// The client in `folder`, else the one that is `built_in`, else the placeholder for `server`.
    pub(crate) fn new(
        folder: Option<PathBuf>,
        built_in: Option<&'static Client>,
        server: &ServerName,
    ) -> Self {
        match (folder, built_in) {
            (Some(folder), _) => Self::Folder(folder),
            (None, Some(client)) => Self::BuiltIn(client),
            (None, None) => {
                let page = include_str!("web/placeholder.html").replace("{server}", server.as_str());
                Self::Placeholder(page.into())
            }
        }
    }

    /// One word for the start line and `/v1/server`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Folder(_) => "folder",
            Self::BuiltIn(_) => "built_in",
            Self::Placeholder(_) => "none",
        }
    }
}

/// Decides by the path alone, as the file system would see it: decoded.
pub(crate) fn answer(path: &str) -> Answer {
    let path = &*percent_decode_str(path).decode_utf8_lossy();
    let under =
        |folder: &str| path == folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    let last = path.rsplit('/').next().unwrap_or_default();
    let extension = last.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    // Files whose name begins with a dot are nobody's business: `.git`, `.env`, `.htpasswd`.
    let is_hidden = path.split('/').any(|segment| segment.starts_with('.'));
    // A dot alone proves nothing: /@alice@example.org is a page.
    let is_file =
        extension.is_some_and(|ext| ASSET_EXTENSIONS.contains(&ext.as_str())) && !last.contains('@');
    if is_hidden || ["/v1", "/internal"].into_iter().any(under) {
        Answer::Nothing
    } else if is_file || under("/assets") {
        Answer::File
    } else {
        Answer::Page
    }
}

/// The media type of a file of the client, by its extension.
pub(crate) fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "txt" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_links_answer_the_page_and_missing_files_do_not() {
        for path in
            ["/", "/@alice", "/@alice@example.org", "/@alice@example.js", "/chats/12", "/v10", "/assetsx"]
        {
            assert_eq!(answer(path), Answer::Page, "{path}");
        }
        for path in ["/favicon.ico", "/assets/app-1a2b.js", "/assets/", "/assets/x", "/index.html", "/a/B.JS"]
        {
            assert_eq!(answer(path), Answer::File, "{path}");
        }
        for path in [
            "/v1",
            "/v1/nothing",
            "/internal/x",
            "/.well-known/x.json",
            "/v1/x.js",
            "/%761/nothing",
            "/.env",
            "/assets/%2esecret.js",
            "/a%2f.git/config.json",
            "/..%2fkez-chat.db",
        ] {
            assert_eq!(answer(path), Answer::Nothing, "{path}");
        }
    }
}
