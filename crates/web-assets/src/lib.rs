//! The built web client, inside the program that serves it. Nothing else, and nothing of ours is imported here: only this
//! crate is compiled anew when the client changes.

/// The client that was there when this program was built.
pub static CLIENT: Option<Client> = include!(concat!(env!("OUT_DIR"), "/client.rs"));

/// A built web client.
#[derive(Debug)]
pub struct Client {
    /// Sorted by path.
    pub files: &'static [File],
}

/// A file of the client.
#[derive(Debug)]
pub struct File {
    /// Relative, with `/` between its parts: `assets/app-1a2b.js`.
    pub path: &'static str,
    /// The entity tag of its content, with quotes.
    pub etag: &'static str,
    /// As it is.
    pub plain: &'static [u8],
    /// In brotli (RFC 7932), when the build made it so.
    pub brotli: Option<&'static [u8]>,
    /// In gzip (RFC 1952), when the build made it so.
    pub gzip: Option<&'static [u8]>,
}

impl Client {
    /// The file at `path`.
    pub fn file(&self, path: &str) -> Option<&File> {
        let at = self.files.binary_search_by_key(&path, |file| file.path).ok()?;
        self.files.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_is_inside_has_a_page_and_finds_its_files() {
        let Some(client) = &CLIENT else { return };
        assert!(client.file("index.html").is_some());
        assert!(client.file("index.htm").is_none());
        for file in client.files {
            assert_eq!(client.file(file.path).map(|found| found.etag), Some(file.etag), "{}", file.path);
        }
    }
}
