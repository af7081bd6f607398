//! What the keys need of a file system.

use zeroize::Zeroizing;

/// The data key, encrypted to its recipients.
pub(crate) const STORE_KEY: &str = "store.age";
/// This admin's identity under a passphrase.
pub(crate) const SEALED_IDENTITY: &str = "identity.age";
/// This admin's identity, bare.
pub(crate) const BARE_IDENTITY: &str = "identity.key";

/// Longest key file, in bytes; a `store.age` with a hundred recipients has 20 KiB.
pub(crate) const KEY_FILE_LIMIT: u64 = 64 * 1024;

/// A refusal of the file system, told by who knows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct FolderError {
    /// What went wrong, with the path.
    pub(crate) message: String,
    /// What the admin does next.
    pub(crate) remedy: String,
}

/// The private folder that holds the key files. Each call is whole: after a crash the file has
/// its old content or its new.
pub(crate) trait KeyFolder {
    /// The content of the file, at most [`KEY_FILE_LIMIT`] bytes; `None` when there is none. A
    /// file that others could read is refused.
    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, FolderError>;
    /// Makes the file, durable on return; `false`, and nothing changed, when one is there. Of
    /// several processes at once, one makes it.
    fn create(&self, name: &str, content: &[u8]) -> Result<bool, FolderError>;
    /// Replaces the file's content, durable on return.
    fn replace(&self, name: &str, content: &[u8]) -> Result<(), FolderError>;
    /// Removes the file, durable on return; a missing one is fine.
    fn remove(&self, name: &str) -> Result<(), FolderError>;
}
