//! `file://`: objects are regular files, keys are absolute paths.
//!
//! It behaves like a bucket: the order of a listing is the order of the keys' bytes, a prefix may end anywhere in a
//! name, folders exist only through the files in them. Links to files and folders are followed; sockets, pipes and
//! devices are no objects. All system calls run on tokio's blocking threads.

mod walk;
mod write;

use std::{
    fs::{File, Metadata},
    io::{ErrorKind, Read as _, Seek as _, SeekFrom},
    ops::Range,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::Mutex,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use jiff::Timestamp;

use crate::{
    Error, ListPage, ListRequest, ObjectMeta, ObjectUri, PutMode, Result,
    backend::{Backend, Body, BodyError, BoxError, Put, Version},
    error::Reach,
    file::walk::Walk,
    read::{PIECE_BYTES_MAX, same_etag},
    trouble::Trouble,
};

/// Listings that are kept open between their pages, so that a large folder is read and sorted once and not once a
/// page. A forgotten one costs the memory of its folders' names; one that was dropped is found again by its token.
const OPEN_WALKS_MAX: usize = 32;

/// The local file system.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Walks by the question that continues them, the oldest first.
    open_walks: Mutex<Vec<(WalkKey, Walk)>>,
}

/// What makes a question for a further page the same listing.
#[derive(Debug, PartialEq, Eq)]
struct WalkKey {
    prefix: String,
    by_folder: bool,
    continuation: String,
}

#[async_trait]
impl Backend for Files {
    async fn list(&self, request: &ListRequest) -> Result<ListPage> {
        let page_size = request.page_size.clamp(1, 1000);
        let ListRequest {
            prefix,
            start_after,
            by_folder,
            continuation,
            page_size: _,
        } = request.clone();
        let prefix = prefix.key().to_owned();
        let kept = continuation.as_ref().and_then(|continuation| {
            self.take_walk(&WalkKey {
                prefix: prefix.clone(),
                by_folder,
                continuation: continuation.clone(),
            })
        });
        let (page, walk) = blocking("list", &request.prefix, {
            let prefix = prefix.clone();
            move || {
                let mut walk = match kept {
                    Some(walk) => walk,
                    None => Walk::open(&prefix, by_folder, start_after.as_deref(), continuation.as_deref())?,
                };
                Ok((walk.page(usize::from(page_size))?, walk))
            }
        })
        .await?;
        if let Some(next) = &page.next {
            let key = WalkKey {
                prefix,
                by_folder,
                continuation: next.clone(),
            };
            self.keep_walk(key, walk);
        }
        Ok(page)
    }

    async fn head(&self, uri: &ObjectUri) -> Result<ObjectMeta> {
        let path = PathBuf::from(uri.key());
        let uri = uri.clone();
        blocking("read", &uri.clone(), move || {
            let metadata = std::fs::metadata(path).map_err(|error| refused("read", &uri, error))?;
            if !metadata.is_file() {
                return Err(not_found(&uri));
            }
            Ok(meta(uri, &metadata))
        })
        .await
    }

    async fn open(&self, uri: &ObjectUri, version: &Version, range: Range<u64>, _trouble: &Trouble) -> Result<Body> {
        let expected = version.etag.clone();
        let open = {
            let uri = uri.clone();
            move || OpenFile::new(uri, expected.as_deref(), range)
        };
        let file = blocking("read", uri, open).await?;
        let version = Version {
            etag: Some(file.etag.clone()),
            ..Version::default()
        };
        let pieces = futures::stream::try_unfold(file, |file| async move {
            if file.next == file.end {
                return Ok(None);
            }
            let uri = file.uri.clone();
            blocking("read", &uri, move || file.piece().map(Some))
                .await
                .map_err(BodyError::Final)
        })
        .boxed();
        Ok(Body { version, pieces })
    }

    async fn put(&self, uri: &ObjectUri, bytes: Bytes, mode: PutMode) -> Result<Put> {
        let put = {
            let uri = uri.clone();
            move || write::put(&uri, &bytes, mode)
        };
        blocking("write", uri, put).await
    }

    async fn delete(&self, uri: &ObjectUri) -> Result<()> {
        let delete = {
            let uri = uri.clone();
            move || write::delete(&uri)
        };
        blocking("delete", uri, delete).await
    }
}

impl Files {
    fn take_walk(&self, key: &WalkKey) -> Option<Walk> {
        let mut walks = self.open_walks.lock().expect("no holder of this lock panics");
        let index = walks.iter().position(|(kept, _)| kept == key)?;
        Some(walks.remove(index).1)
    }

    fn keep_walk(&self, key: WalkKey, walk: Walk) {
        let mut walks = self.open_walks.lock().expect("no holder of this lock panics");
        if walks.len() == OPEN_WALKS_MAX {
            walks.remove(0);
        }
        walks.push((key, walk));
    }
}

/// A file that is being read: always one version of it, or an error.
struct OpenFile {
    uri: ObjectUri,
    file: File,
    etag: String,
    next: u64,
    end: u64,
}

impl OpenFile {
    fn new(uri: ObjectUri, expected: Option<&str>, range: Range<u64>) -> Result<Self> {
        let refused = |error| refused("read", &uri, error);
        // Asked before opening, because opening a pipe waits for its writer.
        if !std::fs::metadata(uri.key()).map_err(refused)?.is_file() {
            return Err(not_found(&uri));
        }
        let mut file = File::open(uri.key()).map_err(refused)?;
        let metadata = file.metadata().map_err(refused)?;
        let etag = etag_of(&metadata);
        if expected.is_some_and(|expected| !same_etag(expected, &etag)) {
            return Err(changed(&uri));
        }
        if metadata.len() < range.end {
            return Err(match expected {
                Some(_) => changed(&uri),
                None => Error::Failed {
                    action: "read",
                    source: too_short(&range, metadata.len()).into(),
                    uri: uri.to_string(),
                },
            });
        }
        file.seek(SeekFrom::Start(range.start)).map_err(refused)?;
        Ok(Self {
            file,
            etag,
            next: range.start,
            end: range.end,
            uri,
        })
    }

    fn piece(mut self) -> Result<(Bytes, Self)> {
        let wanted = (self.end - self.next).min(PIECE_BYTES_MAX as u64);
        let mut piece = Vec::with_capacity(wanted as usize);
        (&self.file)
            .take(wanted)
            .read_to_end(&mut piece)
            .map_err(|error| refused("read", &self.uri, error))?;
        // Asked after the bytes were read: had they been written over before, the answer shows it.
        let metadata = self
            .file
            .metadata()
            .map_err(|error| refused("read", &self.uri, error))?;
        if piece.len() as u64 != wanted || etag_of(&metadata) != self.etag {
            return Err(changed(&self.uri));
        }
        self.next += wanted;
        Ok((Bytes::from(piece), self))
    }
}

/// Says that an object of `size_bytes` ends before `range` does.
pub(crate) fn too_short(range: &Range<u64>, size_bytes: u64) -> String {
    format!(
        "bytes {}..{} were asked for and the object has {size_bytes} bytes",
        range.start, range.end
    )
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(
    action: &'static str,
    uri: &ObjectUri,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(stopped) if stopped.is_panic() => std::panic::resume_unwind(stopped.into_panic()),
        // The runtime ends: nobody has looked at the object yet.
        Err(stopped) => Err(unavailable(action, uri, stopped.into())),
    }
}

fn meta(uri: ObjectUri, metadata: &Metadata) -> ObjectMeta {
    // A time that no calendar has is a wrong clock's, and no reason not to read the file. The entity tag has it as it is.
    let bound = if metadata.mtime() < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    ObjectMeta {
        uri,
        size_bytes: metadata.len(),
        etag: etag_of(metadata),
        last_modified: Timestamp::new(metadata.mtime(), metadata.mtime_nsec() as i32).unwrap_or(bound),
        archived: None,
    }
}

/// Modification time in nanoseconds, size and inode, in hexadecimal. Two writes of the same size within one tick of
/// the file system's clock (some milliseconds) look alike.
fn etag_of(metadata: &Metadata) -> String {
    let nanoseconds = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    format!("\"{nanoseconds:x}-{:x}-{:x}\"", metadata.len(), metadata.ino())
}

/// What the system says of a link to itself, and of a name that is too long: std has no stable words for them.
const LINK_LOOP_ERRNO: i32 = if cfg!(target_os = "linux") { 40 } else { 62 };
const NAME_TOO_LONG_ERRNO: i32 = if cfg!(target_os = "linux") { 36 } else { 63 };

/// What an error of the system means. A file is to blame for little: that it is not there, and who may not have it. The
/// rest (too many files open, no memory, a disk or a server of files that fails, a full disk) is trouble of this machine,
/// which any other file would have met at that moment.
fn refused(action: &'static str, uri: &ObjectUri, error: std::io::Error) -> Error {
    let is_missing = names_nothing(&error);
    match error.kind() {
        _ if is_missing && action != "write" => not_found(uri),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Error::Denied {
            action,
            uri: uri.to_string(),
            reason: format!("the file system denies it to this user: {error}"),
            reach: if action == "read" {
                Reach::Object
            } else {
                Reach::Everything
            },
        },
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::InvalidInput => {
            failed(action, uri, error)
        }
        // Folders are made where they are missing, so that one went away meanwhile.
        _ if is_missing && error.kind() != ErrorKind::NotFound => failed(action, uri, error),
        _ => unavailable(action, uri, error.into()),
    }
}

/// Whether an error says that there is no file of that name, or can be none.
fn names_nothing(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidInput
    ) || matches!(error.raw_os_error(), Some(LINK_LOOP_ERRNO | NAME_TOO_LONG_ERRNO))
}

fn failed(action: &'static str, uri: &ObjectUri, error: std::io::Error) -> Error {
    Error::Failed {
        action,
        uri: uri.to_string(),
        source: error.into(),
    }
}

fn unavailable(action: &'static str, uri: &ObjectUri, source: BoxError) -> Error {
    Error::Unavailable {
        action,
        uri: uri.to_string(),
        attempts: 1,
        source,
    }
}

fn not_found(uri: &ObjectUri) -> Error {
    Error::NotFound { uri: uri.to_string() }
}

fn changed(uri: &ObjectUri) -> Error {
    Error::Changed { uri: uri.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kind of error that a number of the system becomes.
    fn kind(action: &'static str, errno: i32) -> String {
        let uri = "file:///folder/file".parse().unwrap();
        let error = refused(action, &uri, std::io::Error::from_raw_os_error(errno));
        let debug = format!("{error:?}");
        let reach = match error {
            Error::Denied { reach, .. } => format!(" {reach:?}"),
            _ => String::new(),
        };
        format!("{}{reach}", debug.split(' ').next().unwrap_or_default())
    }

    /// By their names in errno(3), as Linux numbers them.
    #[cfg(target_os = "linux")]
    #[test]
    fn trouble_of_the_machine_is_not_the_files() {
        let machines = [
            ("EINTR", 4),
            ("EIO", 5),
            ("EAGAIN", 11),
            ("ENOMEM", 12),
            ("EBUSY", 16),
            ("ENFILE", 23),
            ("EMFILE", 24),
            ("ENOSPC", 28),
            ("ENETUNREACH", 101),
            ("ETIMEDOUT", 110),
            ("EHOSTDOWN", 112),
            ("ESTALE", 116),
            ("EDQUOT", 122),
        ];
        for action in ["list", "read", "write", "delete"] {
            for (name, errno) in machines {
                assert_eq!(kind(action, errno), "Unavailable", "{action} {name}");
            }
        }
        for (name, errno) in [("ENOENT", 2), ("ENOTDIR", 20), ("ENAMETOOLONG", 36), ("ELOOP", 40)] {
            assert_eq!(kind("read", errno), "NotFound", "{name}");
        }
        for (name, errno) in [("EPERM", 1), ("EACCES", 13)] {
            assert_eq!(kind("read", errno), "Denied Object", "{name}");
            assert_eq!(kind("list", errno), "Denied Everything", "{name}");
            assert_eq!(kind("write", errno), "Denied Everything", "{name}");
        }
        assert_eq!(kind("write", 30), "Denied Everything", "EROFS");
        for (name, errno) in [
            ("EEXIST", 17),
            ("ENOTDIR", 20),
            ("EISDIR", 21),
            ("ENAMETOOLONG", 36),
            ("ELOOP", 40),
        ] {
            assert_eq!(kind("write", errno), "Failed", "{name}");
        }
        assert_eq!(kind("write", 2), "Unavailable", "ENOENT");
    }
}
