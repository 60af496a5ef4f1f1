//! Files: reading those that a setting, a rule or an environment variable names, and putting ours, or a
//! person's changed one, in place.
//!
//! In: a path and how long the file may be. Out: its bytes, or why not. The one way in which rowhook reads rules, secrets,
//! passwords, certificates and settings: opened without waiting and checked before anything is read, because a pipe (FIFO) without
//! a writer, a terminal or a device would keep the reader waiting for ever, and `/dev/zero` never ends. Reads regular files
//! alone, also through links. The store reads its own files in its own ways.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// The file's bytes, up to `bytes_max`.
///
/// # Errors
/// Those of opening and reading; a file that is no regular one, or longer. The texts say what it is and do not name the path.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {}", size(bytes_max))));
    }
    Ok(bytes)
}

/// The same as text.
///
/// # Errors
/// As [`read`], and where the bytes are not UTF-8.
pub fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    let not_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text");
    String::from_utf8(read(path, bytes_max)?).map_err(not_text)
}

/// The path from the root on, for people; as it is where the current directory is not known.
pub fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string()
}

/// Whether the file may be read, before that is needed.
///
/// # Errors
/// As [`read`], but for its length.
pub fn require(path: &Path) -> io::Result<()> {
    open(path).map(drop)
}

/// Suffix of the name of a file of ours that is not whole yet.
pub const UNFINISHED: &str = ".unfinished";

/// The name that a file has until it is whole.
pub fn unfinished_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(UNFINISHED);
    name.into()
}

/// Puts a file of ours in place, whole, durable and readable by us alone, over the one of that name if there is one.
///
/// # Errors
/// Those of writing; the old file is as it was then.
pub fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = unfinished_of(path);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    finish(file, &unfinished, path, content)
}

/// Writes the file that is unfinished, and gives it its name.
fn finish(mut file: File, unfinished: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(unfinished, path)?;
    sync_parent(path)
}

/// Puts new content in the place of a person's file: whole or not at all. A link stays, and the file that it leads to is
/// replaced; its permissions stay. A file that is not there is made.
///
/// # Errors
/// Those of writing, also where the file is read-only; the old file is as it was then.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let target = match fs::canonicalize(path) {
        Ok(target) => target,
        // No file, and no link that leads nowhere either.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => path.to_path_buf(),
        Err(error) => return Err(error),
    };
    // A rename asks only for the directory: who may not write the file shall not replace it either.
    let permissions = match OpenOptions::new().write(true).open(&target) {
        Ok(file) => Some(file.metadata()?.permissions()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let unfinished = unfinished_here(&target);
    let file = OpenOptions::new().write(true).create_new(true).open(&unfinished)?;
    let write = || {
        if let Some(permissions) = permissions {
            file.set_permissions(permissions)?;
        }
        finish(file, &unfinished, &target, content)
    };
    write().inspect_err(|_| drop(fs::remove_file(&unfinished)))
}

/// No name that a file of theirs may have, nor that of another process.
fn unfinished_here(path: &Path) -> PathBuf {
    let mut name = unfinished_of(path).into_os_string();
    name.push(format!(".{}", std::process::id()));
    PathBuf::from(name)
}

/// Makes it durable that the file has this name.
///
/// # Errors
/// Those of opening and syncing the directory.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Opens a regular file for reading.
///
/// # Errors
/// Those of opening; a file that is no regular one.
pub fn open(path: &Path) -> io::Result<File> {
    // Without this flag opening a pipe waits for its writer. It changes nothing for a regular file.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).expect("a flag of open(2) is an int");
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = opened.map_err(|error| explained(path, error))?;
    match kind(file.metadata()?.file_type()) {
        None => Ok(file),
        Some(kind) => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {kind}, not a regular file"))),
    }
}

/// Adds to a "permission denied" who was denied and what helps; any other error stays as it is. Containers and services run
/// as users that the author of the files may not know.
pub fn explained(path: &Path, error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error;
    }
    let uid = rustix::process::geteuid().as_raw();
    io::Error::new(error.kind(), format!("{error}: {}", denial(path, fs::metadata(path), uid)))
}

/// `found` is what the user with this number sees at the path.
fn denial(path: &Path, found: io::Result<fs::Metadata>, uid: u32) -> String {
    let path = path.display();
    match found {
        Ok(found) => {
            let (owner, mode) = (found.uid(), found.mode() & 0o7777);
            let of_all = if found.is_dir() { "-R " } else { "" };
            let chmod = if owner == uid { format!("chmod {of_all}u+rwX {path}, or ") } else { String::new() };
            format!(
                "it belongs to uid {owner} and has mode {mode:04o}, and rowhook runs as uid {uid}; fix: {chmod}chown {of_all}{uid} {path}"
            )
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("rowhook runs as uid {uid}, which may not make it; fix: as root, install -d -o {uid} -m 700 {path}")
        }
        Err(_) => {
            format!(
                "rowhook runs as uid {uid}, which may not enter a directory above it; fix: chmod o+x that directory"
            )
        }
    }
}

/// What it is instead of a regular file.
fn kind(found: FileType) -> Option<&'static str> {
    Some(match found {
        _ if found.is_file() => return None,
        _ if found.is_dir() => "a directory",
        _ if found.is_fifo() => "a pipe (FIFO)",
        _ if found.is_char_device() => "a character device",
        _ if found.is_block_device() => "a block device",
        _ if found.is_socket() => "a socket",
        _ => "something else",
    })
}

fn size(bytes: u64) -> String {
    match bytes {
        _ if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_also_through_a_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&path, "four").expect("written");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        assert_eq!(read(&link, 4).expect("read"), b"four");
        assert_eq!(read_text(&path, 4).expect("read"), "four");
        assert_eq!(read(&path, 3).expect_err("too long").to_string(), "it is longer than 3 bytes");
        std::fs::write(&path, [0xff]).expect("written");
        assert_eq!(read_text(&path, 4).expect_err("no text").to_string(), "it is not UTF-8 text");
        assert_eq!(read(&folder.path().join("none"), 4).expect_err("none").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_denied_permission_names_the_user_and_the_fix() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.yaml");
        std::fs::write(&file, "table: t").expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("set");
        let owner = rustix::process::geteuid().as_raw();
        let denied = |path: &Path, uid: u32| denial(path, fs::metadata(path), uid);
        let (of_file, of_folder) = (denied(&file, owner + 1), denied(folder.path(), owner + 1));
        let who = format!("it belongs to uid {owner} and has mode 0600, and rowhook runs as uid {}; fix: ", owner + 1);
        assert_eq!(of_file, format!("{who}chown {} {}", owner + 1, file.display()));
        assert!(of_folder.ends_with(&format!("chown -R {} {}", owner + 1, folder.path().display())), "{of_folder}");
        assert!(denied(&file, owner).contains(&format!("fix: chmod u+rwX {}, or chown", file.display())));
        let missing = denied(&folder.path().join("data"), 10001);
        assert!(missing.contains("which may not make it; fix: as root, install -d -o 10001 -m 700 "), "{missing}");

        let explained = explained(&file, io::Error::from_raw_os_error(13)).to_string();
        assert!(explained.starts_with("Permission denied (os error 13): it belongs to uid "), "{explained}");
        let missing = super::explained(&file, io::ErrorKind::NotFound.into());
        assert_eq!(missing.to_string(), io::Error::from(io::ErrorKind::NotFound).to_string());
    }

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all_behind_its_link_and_keeps_its_permissions() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        replace(&path, b"new").expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
        std::os::unix::fs::symlink("file", &link).expect("linked");
        replace(&link, b"second").expect("replaced");
        assert_eq!(read(&path, 9).expect("read"), b"second");
        let mode = |path: &Path| fs::symlink_metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), fs::symlink_metadata(&link).expect("there").is_symlink()), (0o640, true));
        // What can't be written whole leaves the old one.
        fs::create_dir(unfinished_here(&path)).expect("in the way");
        replace(&link, b"third").expect_err("in the way");
        assert_eq!(read(&path, 9).expect("read"), b"second");
        std::os::unix::fs::symlink("nowhere/file", folder.path().join("broken")).expect("linked");
        replace(&folder.path().join("broken"), b"x").expect_err("no such folder");
        assert!(fs::symlink_metadata(folder.path().join("broken")).expect("there").is_symlink());
    }

    #[test]
    fn what_could_wait_for_ever_is_refused_by_what_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let (fifo, socket) = (folder.path().join("fifo"), folder.path().join("socket"));
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs");
        assert!(made.success());
        let (reads, writes) = io::pipe().expect("a pipe");
        let substituted = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reads));
        for (path, what) in [
            (fifo.as_path(), "a pipe (FIFO)"),
            (Path::new(&substituted), "a pipe (FIFO)"),
            (Path::new("/dev/zero"), "a character device"),
            (folder.path(), "a directory"),
        ] {
            let expected = format!("it is {what}, not a regular file");
            assert_eq!(read(path, 9).expect_err(what).to_string(), expected);
            assert_eq!(require(path).expect_err(what).to_string(), expected);
        }
        drop((reads, writes));
        // Opening one fails by itself.
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        read(&socket, 9).expect_err("a socket");
    }

    #[test]
    fn a_limit_is_said_in_the_unit_that_fits() {
        for (bytes, expected) in [(7, "7 bytes"), (64 << 10, "64 KiB"), (1 << 20, "1 MiB"), (1500, "1500 bytes")] {
            assert_eq!(size(bytes), expected);
        }
    }
}
