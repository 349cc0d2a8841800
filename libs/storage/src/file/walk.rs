//! A walk over the files below a prefix, in the order of their keys' bytes, that stops and goes on.
//!
//! It holds the sorted names of the folders on the way to where it is, never those of a whole tree, and asks for a
//! file's size and time only when it hands the file out.

use std::{
    ffi::OsStr,
    fs::{FileType, Metadata},
    io::{self, ErrorKind},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
};

use super::{meta, names_nothing, refused, write::UNFINISHED_PREFIX};
use crate::{Error, ListPage, ObjectMeta, ObjectUri, Result};

/// A listing in progress.
#[derive(Debug)]
pub(super) struct Walk {
    /// Every key begins with this.
    prefix: Vec<u8>,
    by_folder: bool,
    /// No key comes before this one, which need not exist.
    from: Vec<u8>,
    /// The folders on the way, from the prefix's own.
    folders: Vec<Folder>,
    /// What follows the last page.
    peeked: Option<Found>,
    /// What has no address, met on the way and not told yet.
    unnameable: Vec<String>,
}

/// A folder whose names are being handed out.
#[derive(Debug)]
struct Folder {
    /// What the keys below it begin with, ending in `/`.
    key: Vec<u8>,
    /// Device and inode: a link to a folder on the way would lead around for ever.
    identity: (u64, u64),
    /// What is still to be handed out, in the order of keys: folders end in `/`, which sorts them among the files as
    /// their keys sort.
    names: std::vec::IntoIter<Box<[u8]>>,
}

#[derive(Debug)]
enum Found {
    Object(ObjectMeta),
    CommonPrefix(String),
}

impl Walk {
    /// Goes to the first key that a page has to show. The folder above `prefix` must exist.
    pub(super) fn open(
        prefix: &str,
        by_folder: bool,
        start_after: Option<&str>,
        continuation: Option<&str>,
    ) -> Result<Self> {
        let after_start = start_after.map(|key| successor(key.as_bytes())).unwrap_or_default();
        let after_page = continuation.map(after_token).unwrap_or_default();
        let base_bytes = prefix.rfind('/').map_or(0, |slash| slash + 1);
        let base = &prefix.as_bytes()[..base_bytes];
        let mut walk = Self {
            prefix: prefix.as_bytes().to_vec(),
            by_folder,
            from: after_start.max(after_page),
            folders: Vec::new(),
            peeked: None,
            unnameable: Vec::new(),
        };
        match std::fs::metadata(path_of(base)) {
            Ok(metadata) if metadata.is_dir() => walk.enter(base.to_vec(), &metadata)?,
            Ok(_) => return Err(no_folder(base)),
            Err(error) if is_gone(&error) => return Err(no_folder(base)),
            Err(error) => return Err(refused("list", &uri_of(base), error)),
        }
        Ok(walk)
    }

    /// The next `page_size` objects and common prefixes.
    pub(super) fn page(&mut self, page_size: usize) -> Result<ListPage> {
        let mut page = ListPage::default();
        let mut last = None;
        for _ in 0..page_size {
            match self.find()? {
                Some(Found::Object(object)) => {
                    last = Some(object.uri.key().to_owned());
                    page.objects.push(object);
                }
                Some(Found::CommonPrefix(prefix)) => {
                    last = Some(prefix.clone());
                    page.common_prefixes.push(prefix);
                }
                None => {
                    page.unnameable = std::mem::take(&mut self.unnameable);
                    return Ok(page);
                }
            }
        }
        self.peeked = self.find()?;
        page.next = last.filter(|_| self.peeked.is_some());
        page.unnameable = std::mem::take(&mut self.unnameable);
        Ok(page)
    }

    fn find(&mut self) -> Result<Option<Found>> {
        if let Some(found) = self.peeked.take() {
            return Ok(Some(found));
        }
        while let Some((key, metadata)) = self.next_file()? {
            if self.by_folder
                && let Some(slash) = key[self.prefix.len()..].iter().position(|&byte| byte == b'/')
            {
                let common_prefix = &key[..=self.prefix.len() + slash];
                self.folders.retain(|folder| !folder.key.starts_with(common_prefix));
                match text(common_prefix) {
                    Ok(common_prefix) => return Ok(Some(Found::CommonPrefix(common_prefix))),
                    Err(lossy) => self.unnameable.push(lossy),
                }
                continue;
            }
            match text(&key) {
                Ok(path) => return Ok(Some(Found::Object(meta(ObjectUri::File { path }, &metadata)))),
                Err(lossy) => self.unnameable.push(lossy),
            }
        }
        Ok(None)
    }

    fn next_file(&mut self) -> Result<Option<(Vec<u8>, Metadata)>> {
        while let Some(folder) = self.folders.last_mut() {
            let Some(name) = folder.names.next() else {
                self.folders.pop();
                continue;
            };
            let key = [folder.key.as_slice(), &name].concat();
            let metadata = match std::fs::metadata(path_of(&key)) {
                Ok(metadata) => metadata,
                // It was removed after its folder was read, or it is a link to nowhere.
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(refused("list", &uri_of(&key), error)),
            };
            if key.ends_with(b"/") {
                self.enter(key, &metadata)?;
            } else if metadata.is_file() {
                return Ok(Some((key, metadata)));
            }
        }
        Ok(None)
    }

    /// Reads and sorts a folder's names, those that the listing can show.
    fn enter(&mut self, key: Vec<u8>, metadata: &Metadata) -> Result<()> {
        let identity = (metadata.dev(), metadata.ino());
        if self.folders.iter().any(|above| above.identity == identity) {
            tracing::debug!(folder = %uri_of(&key), "not entering a link to a folder above it");
            return Ok(());
        }
        let mut names = match self.names(&key) {
            Ok(names) => names,
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err(refused("list", &uri_of(&key), error)),
        };
        names.sort_unstable();
        let names = names.into_iter();
        self.folders.push(Folder { key, identity, names });
        Ok(())
    }

    fn names(&self, folder: &[u8]) -> io::Result<Vec<Box<[u8]>>> {
        // Only the first folder's names can miss the prefix: it ends there.
        let name_prefix = self.prefix.get(folder.len()..).unwrap_or_default();
        let mut names = Vec::new();
        let mut key = folder.to_vec();
        for entry in std::fs::read_dir(path_of(folder))? {
            let entry = entry?;
            let name = entry.file_name();
            let is_unfinished = name.as_bytes().starts_with(UNFINISHED_PREFIX.as_bytes());
            if is_unfinished || !name.as_bytes().starts_with(name_prefix) {
                continue;
            }
            let slash = match kind(entry.file_type()?, &entry.path())? {
                Kind::File => "",
                Kind::Folder => "/",
                Kind::Neither => continue,
            };
            key.truncate(folder.len());
            key.extend_from_slice(name.as_bytes());
            key.extend_from_slice(slash.as_bytes());
            // A folder before `from` is still of use when `from` lies in it.
            if key >= self.from || (!slash.is_empty() && self.from.starts_with(&key)) {
                names.push(key[folder.len()..].into());
            }
        }
        Ok(names)
    }
}

enum Kind {
    File,
    Folder,
    Neither,
}

fn kind(file_type: FileType, path: &Path) -> io::Result<Kind> {
    let file_type = if file_type.is_symlink() {
        match std::fs::metadata(path) {
            Ok(metadata) => metadata.file_type(),
            // It leads nowhere, or to itself.
            Err(error) if names_nothing(&error) => return Ok(Kind::Neither),
            Err(error) => return Err(error),
        }
    } else {
        file_type
    };
    Ok(if file_type.is_file() {
        Kind::File
    } else if file_type.is_dir() {
        Kind::Folder
    } else {
        Kind::Neither
    })
}

/// The first key behind `key`; no file's name has a zero byte.
fn successor(key: &[u8]) -> Vec<u8> {
    [key, b"\0"].concat()
}

/// The first key behind a page. Its token is the last thing on it: an object, or a common prefix, which ends in `/`
/// as no file's key does, and behind which all keys below it are skipped.
fn after_token(token: &str) -> Vec<u8> {
    match token.strip_suffix('/') {
        Some(folder) => [folder.as_bytes(), &[b'/' + 1]].concat(),
        None => successor(token.as_bytes()),
    }
}

/// The path of a file or folder.
fn path_of(key: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(key))
}

/// A key, or what can be shown of one that is not UTF-8.
fn text(key: &[u8]) -> Result<String, String> {
    String::from_utf8(key.to_vec()).map_err(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// For messages: what is not UTF-8 shows as such.
fn uri_of(key: &[u8]) -> ObjectUri {
    ObjectUri::File {
        path: String::from_utf8_lossy(key).into_owned(),
    }
}

fn no_folder(key: &[u8]) -> Error {
    Error::NoSuchBucket {
        uri: uri_of(key).to_string(),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
