//! Writing and deleting files as a bucket does with objects: whole or not at all, and on the disk before it is said.
//!
//! The bytes go to a file of another name in the same folder, which then takes the object's name in one step: a rename
//! replaces what is there, a hard link is refused where something is. A process that is killed in between leaves a file
//! that no listing shows.

use std::{
    fs::File,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use super::refused;
use crate::{Error, ObjectUri, PutMode, Result, backend::Put};

/// What the names of files begin with that are no objects yet.
pub(super) const UNFINISHED_PREFIX: &str = ".paraflow-unfinished-";

/// Stores an object, in folders that are made where they are missing.
pub(super) fn put(uri: &ObjectUri, bytes: &[u8], mode: PutMode) -> Result<Put> {
    let path = Path::new(uri.key());
    let folder = match path.parent() {
        Some(folder) if !uri.key().ends_with('/') => folder,
        _ => return Err(failed(uri, "a file's name can't end in a slash")),
    };
    let refused = |error| refused("write", uri, error);
    let existing = folder.ancestors().find(|folder| folder.exists());
    std::fs::create_dir_all(folder).map_err(refused)?;
    let unfinished = Unfinished::write(folder, bytes).map_err(refused)?;
    let named = match mode {
        PutMode::Overwrite => std::fs::rename(&unfinished.path, path),
        PutMode::Create => std::fs::hard_link(&unfinished.path, path),
    };
    match named {
        Err(_) if path.is_dir() => return Err(failed(uri, "there is a folder of its name")),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(Put::Exists { perhaps_ours: false }),
        named => named.map_err(refused)?,
    }
    // A name is on the disk when its folder is, and a new folder when the one above it is.
    for folder in folder.ancestors() {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(refused)?;
        if Some(folder) == existing {
            break;
        }
    }
    Ok(Put::Stored)
}

/// Deletes an object, which may be missing; a folder is none.
pub(super) fn delete(uri: &ObjectUri) -> Result<()> {
    match std::fs::remove_file(uri.key()) {
        Err(error)
            if !matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory
            ) =>
        {
            Err(refused("delete", uri, error))
        }
        _ => Ok(()),
    }
}

/// A file that is no object yet, removed when dropped unless it was renamed.
struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    fn write(folder: &Path, bytes: &[u8]) -> std::io::Result<Self> {
        let path = folder.join(format!("{UNFINISHED_PREFIX}{:016x}", fastrand::u64(..)));
        let mut file = File::create_new(&path)?;
        let unfinished = Self { path };
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(unfinished)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Gone after a rename. Where it can't be removed it stays, and no listing shows it.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn failed(uri: &ObjectUri, why: &str) -> Error {
    Error::Failed {
        action: "write",
        uri: uri.to_string(),
        source: why.into(),
    }
}
