//! The real folder under the key files.

use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::platform::durable::{create_durably, remove_durably, write_durably};
use crate::platform::files::{FileError, read_private_file};
use crate::vault::folder::{FolderError, KEY_FILE_LIMIT, KeyFolder};

/// The data folder, as `vault` sees it.
#[derive(Clone, Debug)]
pub(super) struct PrivateFolder(pub(super) PathBuf);

impl KeyFolder for PrivateFolder {
    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, FolderError> {
        read_private_file(&self.0.join(name), KEY_FILE_LIMIT).map_err(|error| refused(&error))
    }

    fn create(&self, name: &str, content: &[u8]) -> Result<bool, FolderError> {
        create_durably(&self.0.join(name), content).map_err(|error| refused(&error))
    }

    fn replace(&self, name: &str, content: &[u8]) -> Result<(), FolderError> {
        write_durably(&self.0.join(name), content).map_err(|error| refused(&error))
    }

    fn remove(&self, name: &str) -> Result<(), FolderError> {
        remove_durably(&self.0.join(name)).map_err(|error| refused(&error))
    }
}

fn refused(error: &FileError) -> FolderError {
    FolderError { message: error.to_string(), remedy: error.remedy() }
}
